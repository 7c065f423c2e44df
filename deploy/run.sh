#!/bin/sh
# The server for development, as `make run` starts it: for this machine alone, SQLite in data/, readable logs, a secret
# key made once. Whatever is set in the environment stays as it is.
set -eu
cd "$(dirname "$0")/.."
BIN=${VENV:-.venv}/bin

: "${ENVIRONMENT:=development}" "${SHUTDOWN_DRAIN_DELAY:=0}" "${STRUCTURED_LOGGING:=false}" "${HTTP_PORT:=8080}"
export ENVIRONMENT SHUTDOWN_DRAIN_DELAY STRUCTURED_LOGGING HTTP_PORT
# Plain HTTP, DEVELOPMENT's open ALLOWED_HOSTS: other machines get in only if somebody says so. An empty one says so.
[ -n "${HTTP_HOST_FILE:-}" ] || export HTTP_HOST="${HTTP_HOST-127.0.0.1}"

mkdir -p data
chmod go-rwx data 2>/dev/null || : # another user's: the server warns of that

# The settings use this key only in development, and only if no other key is set.
if [ "$ENVIRONMENT" = development ] && [ ! -s data/secret_key ]; then
    (umask 077 && "$BIN/python" -c 'import secrets; print(secrets.token_urlsafe(50))' >data/secret_key.new)
    mv data/secret_key.new data/secret_key
fi

mkdir -p staticfiles # WhiteNoise warns if it is missing; in development it serves the files of the apps
"$BIN/python" manage.py migrate --verbosity 0
"$BIN/python" manage.py welcome
exec "$BIN/gunicorn" -c deploy/gunicorn.conf.py
