# The image of the PacSync server.
#   make image                                                              the last commit, with labels; reproducible
#   docker build -t pacman-sync-utility .                                   the production image (the last stage)
#   docker build --target development -t pacman-sync-utility:development .  the same with reload; the code is mounted
# It needs no BuildKit. If bridge networks can't reach the internet, add --network=host.
# Python's minor version and Debian's release are fixed, so a build gets security updates and nothing else. A published
# image also fixes the digest: see docs/operations/release.md.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
# The time of all files that come from no commit, so that two builds make equal layers: 1980, as in zip files.
ARG FILE_TIME=315532800

# --- base: the interpreter and the environment that every stage shares ------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
ARG FILE_TIME
# WORKDIR would make /app with the time of the build.
RUN mkdir /app /opt/venv && touch -d "@$FILE_TIME" /app /opt/venv /opt
WORKDIR /app

# --- builder: installs the pinned packages, compiles them, collects static files --------------------------------------
FROM base AS builder
# For your own package index: --build-arg NAME=...; an unset argument changes nothing.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
ARG FILE_TIME
COPY requirements.txt ./
# One process compiles, in one order: so bytecode can't depend on which of several came first.
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --only-binary=:all: --require-hashes --no-compile --report /tmp/installed.json -r requirements.txt \
 # The hashes of the installed wheels, as sha256sum writes them, for the list of contents (deploy/release/sbom.py).
 && python -c 'import json; print(*sorted("{}  {}".format(one["download_info"]["archive_info"]["hashes"]["sha256"], \
      one["download_info"]["url"].rsplit("/", 1)[1]) for one in json.load(open("/tmp/installed.json"))["install"]), sep="\n")' \
      >/opt/venv/wheels.sha256 \
 # All pages are in English. Other translations, and the sources of all, would be a quarter of the image.
 && find /opt/venv -name '*.po' -delete && find /opt/venv -name '*.mo' ! -path '*/locale/en/*' -delete \
 && PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib \
 && find /opt/venv -exec touch -hd "@$FILE_TIME" {} +
COPY . ./
# The time of the commit; without it, files keep theirs.
ARG SOURCE_DATE_EPOCH
# No server runs with this key: collectstatic only loads the settings.
RUN SECRET_KEY=only-for-the-build python manage.py collectstatic --noinput --verbosity 0 \
 && PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash apps pacsync \
 # A checkout with a strict umask would be unreadable for the server's user.
 && chmod -R u=rwX,go=rX . \
 && if [ -n "$SOURCE_DATE_EPOCH" ]; then find . -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +; fi
# COPY gives the folder that it copies into the time of the build. So the later stages copy into the root, which is in
# no layer.
RUN mkdir -p /image/venv/opt /image/app && cp -a /opt/venv /image/venv/opt && cp -a /app /image/app \
 && touch -d "@$FILE_TIME" /image/venv/opt

# --- runtime: the base without pip and without programs that change the user; with the server's user ------------------
FROM base AS runtime
ARG FILE_TIME
# The user's number is fixed, so that volumes, `runAsUser` and NFS exports can name it. No home, shell or password.
# pip is either a part of Python in /usr/local, or packages of Debian. What is deleted stays in the base's layers, but
# no container has it. The last `find` gives all that changed here the same time in each build; only
# deletions keep theirs.
# hadolint ignore=DL4006
RUN touch /tmp/before \
 && export SOURCE_DATE_EPOCH="$FILE_TIME" \
 && groupadd --gid 10001 pacsync \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin pacsync \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
 && dpkg-query -W -f '${Package}\n' \
      | grep -Ex 'python3([.][0-9]+)?-(pip|pip-whl|setuptools|setuptools-whl|wheel|pkg-resources|venv)' \
      | xargs -r dpkg --purge >/dev/null \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 # The group root may write, too: any other user (`--user NUMBER`, OpenShift) is in that group.
 && install -d -o pacsync -g root -m 0770 /app/data \
 && rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /var/log/dpkg.log \
 && find / -xdev -newer /tmp/before ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -path '/etc/hosts' \
      ! -path '/etc/hostname' ! -path '/etc/resolv.conf' -exec touch -hd "@$FILE_TIME" {} + \
 && rm /tmp/before && touch -d "@$FILE_TIME" /tmp

# --- development: the same packages; mount the code at /app -----------------------------------------------------------
FROM runtime AS development
COPY --from=builder /image/venv /
COPY --from=builder /image/app /
ENV ENVIRONMENT=development \
    STRUCTURED_LOGGING=false \
    SHUTDOWN_DRAIN_DELAY=0
USER 10001:10001
VOLUME ["/app/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/deploy/entrypoint.sh"]
CMD ["serve", "--reload"]

# --- production -------------------------------------------------------------------------------------------------------
FROM runtime AS production
COPY --from=builder /image/venv /
# In front of the code: builders find layers by content without times, and the files have the time of the commit.
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=$REVISION
COPY --from=builder /image/app /
# Set, so that what is said before the settings are loaded is JSON, too.
ENV STRUCTURED_LOGGING=true
USER 10001:10001
# Only the SQLite database is stored here; with PostgreSQL the volume stays empty.
VOLUME ["/app/data"]
EXPOSE 8080
# gunicorn is process 1 (the entry point execs it); on this signal it drains and then stops.
STOPSIGNAL SIGTERM
# The same request as `curl -f http://localhost:8080/health/ready`. It needs no curl, and finds the server's address.
# hadolint ignore=DL3025
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
  CMD python manage.py healthcheck --url || exit 1
ENTRYPOINT ["/app/deploy/entrypoint.sh"]
CMD ["serve"]
# `make image` adds version, source and time.
LABEL org.opencontainers.image.title="pacman-sync-utility" \
      org.opencontainers.image.description="PacSync: fleets of Arch Linux machines on the same package versions" \
      org.opencontainers.image.licenses="MIT"
