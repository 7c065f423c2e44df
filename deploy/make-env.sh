#!/bin/sh
# Write .env for the compose files, with secrets made now: `make env`. It never overwrites one.
set -eu
cd "$(dirname "$0")/.."
file=.env
umask 077

# URL-safe letters of so many random bytes. With nothing but coreutils: a Docker host often has no Python.
secret() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

if [ -e "$file" ] || [ -L "$file" ]; then
  echo "$file exists and is left as it is. Move it away first if you want new secrets (docs/operations.md, Rotate secrets)." >&2
  exit 1
fi
key=$(secret 50) database=$(secret 24) grafana=$(secret 18)
if [ ${#key} -lt 60 ] || [ ${#database} -lt 30 ] || [ ${#grafana} -lt 24 ]; then
  echo "No random secrets can be made here: head, base64 and tr are needed. Nothing is written." >&2
  exit 1
fi
# noclobber: the file is made here or not at all, also when two do it at once.
set -C
cat >"$file" <<END
# Made by \`make env\`. Keep it secret and out of version control; docs/operations.md says how to change each value.
SECRET_KEY=$key
POSTGRES_PASSWORD=$database
GRAFANA_PASSWORD=$grafana

# The profiles that are on when no --profile is given. Empty: no PostgreSQL of ours; then set POSTGRES_HOST, too.
COMPOSE_PROFILES=postgres
# The number of instances: every \`up\` keeps to it. (\`up --scale\` is for one command; the next \`up\` goes back.)
PACSYNC_INSTANCES=1
# For several instances; with HTTPS here :docker-compose.tls.yml at the end. Then every command does without its -f.
#COMPOSE_FILE=docker-compose.yml:docker-compose.scale.yml

# The host names by which browsers and agents reach the service; with HTTPS also its origin.
ALLOWED_HOSTS=localhost,127.0.0.1,[::1],haproxy,pacman-sync-server
#CSRF_TRUSTED_ORIGINS=https://pacman-sync.example.com
#HTTP_PORT=8080
END
echo "Wrote $file (readable by you alone). Next: docker-compose --profile postgres up"
