#!/bin/sh
# `make env`: write .env for the compose files, with new secrets. It never overwrites an existing .env.
set -eu
cd "$(dirname "$0")/.."
file=.env
umask 077

# $1 random bytes as URL-safe characters. It uses only coreutils, because a Docker host often has no Python.
secret() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

if [ -e "$file" ] || [ -L "$file" ]; then
  echo "$file exists and was not changed. Move it away first if you want new secrets (docs/operations/maintenance.md)." >&2
  exit 1
fi
key=$(secret 50) || :
database=$(secret 24) || :
grafana=$(secret 18) || :
if [ ${#key} -lt 60 ] || [ ${#database} -lt 30 ] || [ ${#grafana} -lt 24 ]; then
  echo "Random secrets can't be made here: head, base64 and tr are needed. Nothing was written." >&2
  exit 1
fi
# noclobber: the file is created here or not at all, even if two processes do it at once. A part of it doesn't stay.
set -C
: >"$file"
trap 'rm -f "$file"; echo "$file could not be written: the reason is above. Nothing was left behind." >&2' EXIT
cat >>"$file" <<END
# Made by \`make env\`. Keep it secret and out of version control; docs/operations/maintenance.md says how to change it.
SECRET_KEY=$key
POSTGRES_PASSWORD=$database
GRAFANA_PASSWORD=$grafana

# The profiles that are used when no --profile is given. Empty: without this PostgreSQL; then set POSTGRES_HOST, too.
COMPOSE_PROFILES=postgres
# The number of instances for every \`up\`. (\`up --scale\` changes it for one command only.)
PACSYNC_INSTANCES=1
# For several instances. For HTTPS, append :docker-compose.tls.yml. With this set, no command needs -f.
#COMPOSE_FILE=docker-compose.yml:docker-compose.scale.yml

# The host names by which browsers and agents reach the service; with HTTPS also its origin.
ALLOWED_HOSTS=localhost,127.0.0.1,[::1],haproxy,pacman-sync-server
#CSRF_TRUSTED_ORIGINS=https://pacman-sync.example.com
#HTTP_PORT=8080

# Known vulnerabilities in installed packages (docs/vulnerabilities.md): off without this.
#SECURITY_TRACKER_URL=https://security.archlinux.org/all.json
END
trap - EXIT
echo "Wrote $file (only you can read it). Next: docker-compose --profile postgres up"
