#!/bin/sh
# Replace every instance by one of the present image and settings, one after the other, without losing a request:
#   deploy/rolling-update.sh                                                     the stack of docker-compose.yml
#   deploy/rolling-update.sh -f docker-compose.yml -f docker-compose.scale.yml   the scaled one
# What is given goes to docker-compose (or Compose v2) before its command: -f, -p, --env-file. A new instance that does
# not become ready is removed again, and the old ones stay as they are.
#   READY_WITHIN  seconds that a new instance may take, its migration included (default 300)
#   COMPOSE       the command (default: docker-compose where there is one, else docker compose)
set -eu
service=pacman-sync-server
# HAProxy asks DNS every 500 ms and takes an instance after two good checks, 250 ms apart.
seen_by_haproxy=3

case ${1:-} in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit ;; esac
if command -v docker-compose >/dev/null; then compose=docker-compose; else compose='docker compose'; fi
compose=${COMPOSE:-$compose}

running() { # ids of the instances that run, one a line
  for id in $($compose "$@" ps -q $service); do
    [ "$(docker inspect -f '{{.State.Running}}' "$id")" = true ] && echo "$id"
  done
  true
}
name() { docker inspect -f '{{slice .Name 1}}' "$1"; }

old=$(running "$@")
count=$(echo "$old" | grep -c . || true)
if [ "$count" = 0 ]; then
  echo "No instance of $service is running: $compose $* up -d starts the service." >&2
  exit 1
fi
for id in $old; do
  $compose "$@" up -d --no-deps --no-recreate --scale $service=$((count + 1)) $service
  new=$(running "$@" | grep -vxF "$old${made:+
$made}" | head -n 1)
  if [ -z "$new" ] || ! docker exec "$new" python manage.py healthcheck --url http://127.0.0.1:8080 --wait "${READY_WITHIN:-300}"; then
    echo "The new instance did not become ready; it is removed, and the others stay as they are. Its last lines:" >&2
    [ -z "$new" ] || { docker logs --tail 20 "$new" >&2; docker rm -f -v "$new" >/dev/null; }
    exit 1
  fi
  made="${made:+$made
}$new"
  sleep $seen_by_haproxy
  echo "$(name "$new") serves; $(name "$id") drains and ends"
  docker stop -t 45 "$id" >/dev/null
  docker rm -v "$id" >/dev/null
done
echo "$count of $count instances replaced"
