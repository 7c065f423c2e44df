#!/bin/sh
# The entry point of the image: `serve` (default), `migrate`, `manage COMMAND…`, or any other program.
# It only prepares and then execs, so that the server is process 1 and gets the signals itself.
set -eu
cd "$(dirname "$0")/.."

# As process 1 the kernel gives us no signal without a handler: a container that is stopped while it starts would serve
# on until it is killed. So a signal ends what prepares, and us; and gunicorn, which needs a second to be able to take
# one, is started with them held back until it is (apps/lifecycle/hooks.py, when_ready).
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; exit 143' TERM INT
database() {
  python deploy/database.py "$@" &
  child=$!
  wait "$child" || exit $?
  child=
}

command=${1:-serve}
[ $# -eq 0 ] || shift
case $command in
serve)
  # Serving never changes the schema unless it was told to; several instances may be told at once (a lock).
  case ${AUTO_MIGRATE:-false} in
  true | True | TRUE | 1 | yes | on) database migrate ;;
  false | False | FALSE | 0 | no | off | "") database wait ;;
  *) echo "AUTO_MIGRATE must be true or false, not '$AUTO_MIGRATE'." >&2; exit 2 ;;
  esac
  exec env --block-signal=TERM --block-signal=INT gunicorn pacsync.wsgi:application --config deploy/gunicorn.conf.py "$@"
  ;;
migrate) database migrate "$@" ;;
manage) exec python manage.py "$@" ;;
*) exec "$command" "$@" ;;
esac
