#!/bin/sh
# The entry point of the image: `serve` (default), `migrate`, `manage COMMAND…`, or any other program.
# To serve, it prepares and then execs gunicorn, so that gunicorn is process 1 and gets the signals itself.
set -eu
cd "$(dirname "$0")/.."

# The kernel gives process 1 no signal that it has no handler for: a container that is stopped while it starts would
# continue until it is killed. So a signal ends the running child and this script. gunicorn takes a second to install
# its handlers, so it starts with the signals blocked until then (apps/lifecycle/gunicorn/master_hooks.py, when_ready).
child=
trap '[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null || true; exit 143' TERM INT
exec 3<&0 # the shell gives a background process no standard input
run() {
  "$@" <&3 3<&- &
  child=$!
  wait "$child" || exit $?
  child=
}

# One line on standard error: JSON if the server's own lines are.
say() {
  case $(echo "${STRUCTURED_LOGGING:-}" | tr '[:upper:]' '[:lower:]') in
  true | 1 | yes | on)
    text=$(printf %s "$1" | LC_ALL=C tr -d '\000-\037\177' | sed 's/[\\"]/\\&/g')
    printf '{"timestamp": "%s", "level": "ERROR", "logger": "pacsync", "message": "%s"}\n' \
      "$(date -u +%FT%T.%3NZ)" "$text" >&2
    ;;
  *) echo "$1" >&2 ;;
  esac
}

# Slow bodies are stored in TMPDIR. /dev/shm is writable in every container, but has only 64 MB in Docker.
[ -n "${TMPDIR:-}" ] || [ -w /tmp ] || export TMPDIR=/dev/shm

# The compose file can't require these variables itself, because the development service in it doesn't need them.
for name in ${REQUIRED_VARIABLES:-}; do
  if [ -z "$(printenv "$name")" ] && [ -z "$(printenv "${name}_FILE")" ]; then
    say "$name is not set - run \`make env\` first"
    exit 2
  fi
done

# Development has its own key, made once. `ln` fails if it exists: so two containers that start at once share one key.
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
  # `serve` changes the schema only with AUTO_MIGRATE; a lock lets several instances start with it at once.
  case $(echo "${AUTO_MIGRATE:-false}" | tr '[:upper:]' '[:lower:]') in
  true | 1 | yes | on) run python deploy/database.py migrate ;;
  false | 0 | no | off | "") run python deploy/database.py wait ;;
  *) say "AUTO_MIGRATE must be true or false, not '$AUTO_MIGRATE'."; exit 2 ;;
  esac
  exec 3<&-
  exec env --block-signal=TERM --block-signal=INT gunicorn pacsync.wsgi:application "$@" --config deploy/gunicorn.conf.py
  ;;
migrate) run python deploy/database.py migrate "$@" ;;
manage)
  # At a terminal, the command must get Ctrl-C itself.
  if [ -t 0 ]; then exec python manage.py "$@" 3<&-; fi
  run python manage.py "$@"
  ;;
-h | --help | help)
  echo "usage: serve [GUNICORN-OPTIONS] | migrate | manage COMMAND [ARGUMENTS] | PROGRAM [ARGUMENTS]
The default is serve. docs/configuration.md describes the settings; manage --help lists the commands."
  ;;
*) exec "$command" "$@" 3<&- ;;
esac
