#!/bin/sh
# The server for development, as `make run` starts it: SQLite in data/, readable logs, a secret key made once.
# Whatever is set in the environment stays as it is.
set -eu
cd "$(dirname "$0")/.."
BIN=${VENV:-.venv}/bin

: "${ENVIRONMENT:=development}" "${SHUTDOWN_DRAIN_DELAY:=0}" "${STRUCTURED_LOGGING:=false}" "${HTTP_PORT:=8080}"
export ENVIRONMENT SHUTDOWN_DRAIN_DELAY STRUCTURED_LOGGING HTTP_PORT

if [ -z "${SECRET_KEY:-}" ] && [ -z "${SECRET_KEY_FILE:-}" ]; then
    SECRET_KEY_FILE=data/secret_key
    export SECRET_KEY_FILE
    if [ ! -s "$SECRET_KEY_FILE" ]; then
        mkdir -p data
        (umask 077 && "$BIN/python" -c 'import secrets; print(secrets.token_urlsafe(50))' >"$SECRET_KEY_FILE.new")
        mv "$SECRET_KEY_FILE.new" "$SECRET_KEY_FILE"
    fi
fi

mkdir -p staticfiles # WhiteNoise warns when it is missing; in development it serves from the apps
"$BIN/python" manage.py migrate --verbosity 0
"$BIN/python" manage.py welcome
exec "$BIN/gunicorn" -c deploy/gunicorn.conf.py
