#!/bin/sh
# Replace every instance, one after the other, by one with the current image and settings, without losing a request:
#   deploy/rolling-update.sh                                                     the stack of docker-compose.yml
#   deploy/rolling-update.sh -f docker-compose.yml -f docker-compose.scale.yml   the scaled one
# The arguments (-f, -p, --env-file) are passed to docker-compose (or Compose v2) before its command. Nothing is built.
# A new instance that does not become ready is removed again, and the old ones stay as they are. Ctrl-C ends the update
# when the current instance is done; the number of instances stays the same. Stopped instances are removed.
#   READY_WITHIN  seconds that a new instance may take to become ready, including its migration (default 300)
#   COMPOSE       the command (default: docker-compose if it is installed, else docker compose)
set -eu
service=pacman-sync-server
# Seconds. HAProxy asks DNS every 500 ms, and uses an instance after two successful checks, 250 ms apart.
seen_by_haproxy=3

case ${1:-} in -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit ;; esac
if command -v docker-compose >/dev/null; then compose=docker-compose; else compose='docker compose'; fi
compose=${COMPOSE:-$compose}

# Two updates at once would each mistake the other's new instances for their own.
if command -v flock >/dev/null; then
  exec 9<"$0"
  flock -n 9 || { echo "Another rolling update is running." >&2; exit 1; }
fi

all() { # the service's containers, running or not, except for those of `run`
  for id in $($compose "$@" ps -qa $service); do
    [ "$(docker inspect -f '{{index .Config.Labels "com.docker.compose.oneoff"}}' "$id")" != False ] || echo "$id"
  done
}
is_running() { [ "$(docker inspect -f '{{.State.Running}}' "$1")" = true ]; }
name() { docker inspect -f '{{slice .Name 1}}' "$1"; }
remove() { docker rm -f -v "$1" >/dev/null; }

old=
for id in $(all "$@"); do
  if is_running "$id"; then old="$old $id"; else
    # `up --scale` would start it again, with its old image.
    echo "$(name "$id") is stopped: removed"
    remove "$id"
  fi
done
count=$(echo "$old" | wc -w)
if [ "$count" -eq 0 ]; then
  echo "No instance of $service is running. To start the service: $compose $* up -d" >&2
  exit 1
fi

interrupted=
trap 'interrupted=yes' INT TERM
replaced=0
for id in $old; do
  before=$(all "$@")
  $compose "$@" up -d --no-deps --no-build --no-recreate --scale $service=$((count + 1)) $service </dev/null || true
  new=$(all "$@" | grep -vxF "$before" | head -n 1 || true)
  if [ -n "$interrupted" ] || [ -z "$new" ] ||
    ! docker exec "$new" python manage.py healthcheck --url http://127.0.0.1:8080 --wait "${READY_WITHIN:-300}" </dev/null; then
    if [ -n "$new" ]; then
      [ -n "$interrupted" ] || docker logs --tail 20 "$new" >&2
      remove "$new"
    fi
    [ -n "$interrupted" ] && break
    echo "The new instance did not become ready (its last log lines are above). It was removed; the others stay as they are." >&2
    exit 1
  fi
  sleep $seen_by_haproxy || true
  echo "$(name "$new") serves; $(name "$id") drains and ends"
  # In its own session, if setsid is installed: Ctrl-C must not interrupt it.
  $(command -v setsid || true) docker stop -t 45 "$id" >/dev/null
  remove "$id"
  replaced=$((replaced + 1))
  [ -z "$interrupted" ] || break
done
if [ "$replaced" -ne "$count" ]; then
  echo "Interrupted: $replaced of $((count)) instances replaced. Run this again to replace the others." >&2
  exit 130
fi
echo "$replaced of $((count)) instances replaced"
