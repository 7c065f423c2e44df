#!/bin/sh
# The entry point of the image: `serve` (default), `migrate`, `manage COMMAND…`, or any other program.
# It only prepares and then execs, so that the server is process 1 and gets the signals itself.
set -eu
cd "$(dirname "$0")/.."

command=${1:-serve}
[ $# -eq 0 ] || shift
case $command in
serve)
  # Serving never changes the schema unless it was told to; several instances may be told at once (a lock).
  case ${AUTO_MIGRATE:-false} in
  true | True | TRUE | 1 | yes | on) python deploy/database.py migrate ;;
  false | False | FALSE | 0 | no | off | "") python deploy/database.py wait ;;
  *) echo "AUTO_MIGRATE must be true or false, not '$AUTO_MIGRATE'." >&2; exit 2 ;;
  esac
  exec gunicorn pacsync.wsgi:application --config deploy/gunicorn.conf.py "$@"
  ;;
migrate) exec python deploy/database.py migrate "$@" ;;
manage) exec python manage.py "$@" ;;
*) exec "$command" "$@" ;;
esac
