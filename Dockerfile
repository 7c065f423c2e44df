# The image of the PacSync server.
#   docker build -t pacman-sync-utility .                                   the production image (the last stage)
#   docker build --target development -t pacman-sync-utility:development .  the same with reload; the code is mounted
# No BuildKit syntax: any builder makes it. Where bridge networks have no way out, add --network=host.
ARG PYTHON_IMAGE=python:3.13-slim

# --- base: the interpreter, the user, the environment that every stage shares -----------------------------------------
FROM ${PYTHON_IMAGE} AS base
# A fixed number, so that volumes, `runAsUser` and NFS exports can name it; no home, no shell, no password.
RUN groupadd --gid 10001 pacsync \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin pacsync
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# --- builder: installs what is pinned, compiles, collects; nothing of pip's own comes along ---------------------------
FROM base AS builder
# For an index or a certificate of your own: --build-arg NAME=...; unset ones change nothing.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --only-binary=:all: --require-hashes --no-compile -r requirements.txt \
 # Pages are in English: other languages' catalogues and all sources of catalogues are a quarter of the image.
 && find /opt/venv -name '*.po' -delete && find /opt/venv -name '*.mo' ! -path '*/locale/en/*' -delete \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
COPY . ./
# No server runs with this key: collecting files only loads the settings.
RUN SECRET_KEY=only-for-the-build python manage.py collectstatic --noinput --verbosity 0 \
 && python -m compileall -q --invalidation-mode unchecked-hash apps pacsync

# --- development: the same packages; mount the code at /app -----------------------------------------------------------
FROM base AS development
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app ./
RUN install -d -o pacsync -g root -m 0770 /app/data
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
FROM base AS production
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app ./
# Writable for the group root, too: that is what `--user NUMBER` (and OpenShift) gives any other user.
RUN install -d -o pacsync -g root -m 0770 /app/data
USER 10001:10001
# SQLite, and nothing else, is kept here; with PostgreSQL it stays empty.
VOLUME ["/app/data"]
EXPOSE 8080
# gunicorn is process 1 (the entry point execs it): it drains and then stops on this signal.
STOPSIGNAL SIGTERM
# The same question as `curl -f http://localhost:8080/health/ready`, without a curl in the image, wherever it listens.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
  CMD python manage.py healthcheck --url || exit 1
ENTRYPOINT ["/app/deploy/entrypoint.sh"]
CMD ["serve"]
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pacman-sync-utility" \
      org.opencontainers.image.description="PacSync: fleets of Arch Linux machines on the same package versions" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
