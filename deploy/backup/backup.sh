#!/bin/sh
# Backups of PacSync's PostgreSQL, in the folder of the service `backup` (docs/operations/maintenance.md):
#   docker-compose run --rm backup once                one backup now
#   docker-compose run --rm backup list                the backups that there are, oldest first
#   docker-compose run --rm backup show [NAME]         write one to standard output
#   docker-compose run --rm backup restore [NAME]      into an empty database
#   docker-compose --profile backup up -d backup       one backup every BACKUP_INTERVAL seconds
# Without NAME it is the newest. A dump gets its name only after pg_restore has read all of it; nothing is removed
# before that. So a backup that fails leaves the others as they are.
# PGHOST, PGUSER, PGPASSWORD and PGDATABASE name the database. Needs only PostgreSQL's programs and a POSIX shell.
set -eu
folder=${BACKUP_FOLDER:-/backups}
interval=${BACKUP_INTERVAL:-86400} # seconds
keep=${BACKUP_KEEP:-14}            # so many of the newest
retry=600                          # seconds from a backup that failed to the next
grace=3600                         # seconds that a backup may be late before the service is unhealthy
umask 077

say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) backup: $*"; }
fail() { say "$*" >&2; exit 1; }
names() { find "$folder" -maxdepth 1 -name 'pacsync-*.dump' | sed 's,.*/,,' | sort; }
newest() { names | tail -n 1; }
age() { echo $(($(date +%s) - $(stat -c %Y "$folder/$1"))); }

child='' part=''
end() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || true
  [ -z "$part" ] || rm -f "$part"
  exit 143
}
run() { # a program that a signal interrupts at once
  "$@" &
  child=$!
  wait "$child" && code=0 || code=$?
  child=
  return "$code"
}

refuse() { # the reason; the unfinished dump is removed
  rm -f "$part"
  say "FAILED: $*. The earlier backups are unchanged ($(names | wc -l))." >&2
  return 1
}

make_backup() {
  name=pacsync-$(date -u +%Y-%m-%dT%H-%M-%SZ).dump
  { : >"$folder/.lock"; } 2>/dev/null || fail "FAILED: user $(id -u) can't write into $folder: set BACKUP_USER, or change the folder's owner"
  exec 9>"$folder/.lock"
  flock -n 9 || fail "FAILED: another backup is being made: wait for it"
  part=$folder/.$name.part
  rm -f "$folder"/.pacsync-*.part # of a backup that was killed
  run pg_dump --format=custom --no-password --file="$part" || { refuse "pg_dump's reason is above"; return 1; }
  run pg_restore --file=/dev/null "$part" || { refuse "the dump can't be read; pg_restore's reason is above"; return 1; }
  pg_restore --list "$part" | grep 'TABLE DATA .* django_migrations ' >/dev/null ||
    { refuse "the database $PGDATABASE has no tables of PacSync"; return 1; }
  [ ! -e "$folder/$name" ] || { refuse "$name is there already"; return 1; }
  mv "$part" "$folder/$name"
  part=
  sync
  names | sort -r | tail -n +"$((keep + 1))" | while read -r old; do rm -f "$folder/$old"; done
  exec 9>&-
  say "$name: $(stat -c %s "$folder/$name") bytes; $(names | wc -l) backups are kept"
}

chosen() { # NAME, or the newest
  name=${1:-$(newest)}
  [ -n "$name" ] || fail "no backup is in $folder: make one with \`once\`"
  [ -f "$folder/$name" ] || fail "$name is not in $folder: \`list\` shows what is"
}

restore() {
  chosen "$@"
  for _ in $(seq 60); do pg_isready -q && break; run sleep 1; done # PostgreSQL has perhaps just been started
  tables=$(psql -XAtq --no-password -c "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") || fail "the database $PGDATABASE can't be used; psql's reason is above"
  [ "$tables" = 0 ] || fail "the database $PGDATABASE has $tables tables, and a restore needs an empty one: dropdb and createdb first"
  run pg_restore --no-password --no-owner --no-privileges --single-transaction --dbname="$PGDATABASE" "$folder/$name" ||
    fail "FAILED: $name was not restored, and the database is as empty as before. pg_restore's reason is above"
  say "$name is restored into $PGDATABASE"
}

is_late() { # the newest backup is older than $1 seconds
  last=$(newest)
  [ -z "$last" ] || [ "$(age "$last")" -ge "$1" ]
}

schedule() {
  while :; do
    pause=60
    # In a process of its own: a reason to fail ends only that one.
    if is_late "$interval" && ! run "$0" once; then pause=$retry; fi
    run sleep "$pause" || true
  done
}

[ "$keep" -ge 1 ] 2>/dev/null || fail "BACKUP_KEEP=$keep: must be a number from 1"
[ "$interval" -ge 60 ] 2>/dev/null || fail "BACKUP_INTERVAL=$interval: must be seconds, 60 at least"
[ -d "$folder" ] || fail "the folder $folder is not there"
trap end TERM INT
command=${1:-}
[ $# = 0 ] || shift
case $command in
once) make_backup ;;
list) names ;;
show) chosen "$@"; exec cat "$folder/$name" ;;
restore) restore "$@" ;;
schedule) schedule ;;
check) ! is_late "$((interval + grace))" || fail "the newest backup is older than $interval seconds" ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
