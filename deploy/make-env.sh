#!/bin/sh
# Write .env for the compose files, with secrets made now: `make env`. It never overwrites one.
set -eu
cd "$(dirname "$0")/.."
file=.env
umask 077

secret() { python3 -c 'import secrets, sys; print(secrets.token_urlsafe(int(sys.argv[1])))' "$1"; }

# noclobber: the file is made here or not at all, also when two do it at once.
set -C
if ! (: >"$file") 2>/dev/null; then
  echo "$file exists and is left as it is. Move it away first if you want new secrets (docs/operations.md, Rotate secrets)." >&2
  exit 1
fi
set +C
cat >"$file" <<END
# Made by \`make env\`. Keep it secret and out of version control; docs/operations.md says how to change each value.
SECRET_KEY=$(secret 50)
POSTGRES_PASSWORD=$(secret 24)
GRAFANA_PASSWORD=$(secret 18)

# The profiles that are on when no --profile is given. Empty: no PostgreSQL of ours; then set POSTGRES_HOST, too.
COMPOSE_PROFILES=postgres

# The host names by which browsers and agents reach the service; with HTTPS also its origin.
ALLOWED_HOSTS=localhost,127.0.0.1,[::1],haproxy,pacman-sync-server
#CSRF_TRUSTED_ORIGINS=https://pacman-sync.example.com
#HTTP_PORT=8080
END
echo "Wrote $file (readable by you alone). Next: docker-compose --profile postgres up"
