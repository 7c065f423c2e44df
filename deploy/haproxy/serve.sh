#!/bin/bash
# Process 1 of HAProxy's container: it stops HAProxy in such a way that requests are refused only while the engine
# replaces the container. It must not know what HAProxy serves, except for the frontend whose requests count.
#
# HAProxy by itself closes its listener as soon as it is told to stop, and then waits for idle connections (30 s).
# Here TERM, INT and USR1 (docker stop, restart, up) do this instead:
#   1. HAProxy continues until no request is older than NEW, within PATIENCE: long uploads finish, nobody is refused.
#   2. It closes its listener and finishes the requests that are left, within FINISH. Idle connections don't count.
#   3. It ends.
# HUP loads a changed haproxy.cfg and refuses nobody: docker-compose kill -s HUP haproxy
set -u
FRONTEND=pacman_sync
NEW=2 PATIENCE=20 FINISH=5 # seconds; together well below stop_grace_period
MASTER=127.0.0.1/9999 # HAProxy's master listens here, inside this container only

ask() { # a command to HAProxy's master; prints its answer
  local line
  { exec 3<>"/dev/tcp/$MASTER"; } 2>/dev/null || return 0
  printf '%s\nquit\n' "$1" >&3
  while IFS= read -r -t 2 line <&3; do echo "$line"; done
  exec 3>&-
}

seconds() { # of an age as HAProxy writes it: 14s, 1m2s, 3h5m
  if [[ $1 =~ ^([0-9]+)s$ ]]; then echo "${BASH_REMATCH[1]}"; else echo 60; fi
}

in_flight() { # succeeds while a request is $1 seconds old or older, in a worker that a reload replaced, too
  local pid type rest line
  while read -r pid type rest; do
    [ "$type" = worker ] || continue
    while IFS= read -r line; do
      [[ $line =~ \ fe=$FRONTEND\ .*\ age=([0-9dhms]+)\  ]] || continue
      [ "$(seconds "${BASH_REMATCH[1]}")" -lt "$1" ] || return 0
    done < <(ask "@!$pid show sess")
  done < <(ask "show proc")
  return 1
}

wait_for_requests() { # that are $1 seconds old or older, for $2 seconds at most
  local end=$((SECONDS + $2))
  while in_flight "$1" && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
}

# haproxy.cfg listens on IPv6, too, if the kernel has it.
[ ! -e /proc/net/if_inet6 ] || export LISTEN_IPV6=yes

haproxy -W -db -S "${MASTER/\//:},level,operator" -f /usr/local/etc/haproxy/haproxy.cfg &
haproxy=$!
stopping=
trap 'stopping=yes' TERM INT USR1
trap 'kill -HUP "$haproxy"' HUP
# A signal ends the `wait`, too, while HAProxy still runs.
while wait "$haproxy"; code=$?; [ -z "$stopping" ] && kill -0 "$haproxy" 2>/dev/null; do :; done
[ -n "$stopping" ] || exit "$code"

trap '' TERM INT USR1 HUP
sleep "$NEW"
wait_for_requests "$NEW" "$PATIENCE"
kill -USR1 "$haproxy"
wait_for_requests 0 "$FINISH"
kill -TERM "$haproxy" 2>/dev/null
wait "$haproxy"
exit 0
