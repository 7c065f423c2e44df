# The machine of an endpoint in the tests: pacman and what the agent needs, from Debian.
FROM pacsync-local/trixie
RUN apt-get update -q \
 && apt-get install -yq --no-install-recommends pacman-package-manager makepkg libarchive-tools fakeroot zstd \
      bash-static python3 curl ca-certificates \
 && rm -rf /var/lib/apt/lists/*
CMD ["sleep", "infinity"]
