#!/bin/sh
# The entry point of the image: `serve` (default), `migrate`, `manage COMMAND…`, or any other program.
# For the server it only prepares and then execs, so that gunicorn is process 1 and gets the signals itself.
set -eu
cd "$(dirname "$0")/.."

# As process 1 the kernel gives us no signal without a handler: a container that is stopped while it starts would serve
# on until it is killed. So a signal ends what runs under us, and us; and gunicorn, which needs a second to be able to take
# one, is started with them held back until it is (apps/lifecycle/hooks.py, when_ready).
child=
trap '[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null || true; exit 143' TERM INT
exec 3<&0 # what runs in the background gets no standard input by itself
run() {
  "$@" <&3 3<&- &
  child=$!
  wait "$child" || exit $?
  child=
}

# Where bodies wait. /dev/shm is writable in every container, but has 64 MB in Docker.
[ -n "${TMPDIR:-}" ] || [ -w /tmp ] || export TMPDIR=/dev/shm

# What the compose file can't refuse itself: it is read for the development service, too, which needs none of it.
for name in ${REQUIRED_VARIABLES:-}; do
  if [ -z "$(printenv "$name")" ]; then
    echo "$name is not set - run \`make env\` first" >&2
    exit 2
  fi
done

# Development has a key of its own, made once. `ln`: of two containers that start at once one makes it.
if [ "${ENVIRONMENT:-}" = development ] && [ -n "${SECRET_KEY_FILE:-}" ] && [ ! -s "$SECRET_KEY_FILE" ]; then
  new=$(mktemp "$SECRET_KEY_FILE.XXXXXX")
  python -c 'import secrets; print(secrets.token_urlsafe(50))' >"$new"
  ln "$new" "$SECRET_KEY_FILE" 2>/dev/null || true
  rm -f "$new"
fi

command=${1:-serve}
[ $# -eq 0 ] || shift
case $command in
serve)
  # Serving never changes the schema unless it was told to; several instances may be told at once (a lock).
  case $(echo "${AUTO_MIGRATE:-false}" | tr '[:upper:]' '[:lower:]') in
  true | 1 | yes | on) run python deploy/database.py migrate ;;
  false | 0 | no | off | "") run python deploy/database.py wait ;;
  *) echo "AUTO_MIGRATE must be true or false, not '$AUTO_MIGRATE'." >&2; exit 2 ;;
  esac
  exec 3<&-
  exec env --block-signal=TERM --block-signal=INT gunicorn pacsync.wsgi:application "$@" --config deploy/gunicorn.conf.py
  ;;
migrate) run python deploy/database.py migrate "$@" ;;
manage)
  # At a terminal the command itself gets Ctrl-C.
  if [ -t 0 ]; then exec python manage.py "$@" 3<&-; fi
  run python manage.py "$@"
  ;;
-h | --help | help)
  echo "usage: serve [gunicorn's options] | migrate | manage COMMAND [ARGUMENTS] | another program
serve is the default. Settings come from the environment: docs/configuration.md; manage --help lists the commands."
  ;;
*) exec "$command" "$@" 3<&- ;;
esac
