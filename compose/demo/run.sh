#!/bin/bash
# Starts the two nodes, kills haproxy on the master and says what a client saw; removes everything at the end.
# The images vrrp-init:latest and haproxy:3.2 must be there or obtainable (make demo sees to that).
set -euo pipefail
cd "$(dirname "$0")"
url=http://10.51.0.100/
record=$(mktemp)

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(--project-name vrrp-init-demo)

client=
finish() {
    local code=$?
    [ -z "$client" ] || kill "$client" 2>/dev/null || true
    [ "$code" = 0 ] || "${compose[@]}" logs --no-color >&2 || true
    "${compose[@]}" down >/dev/null 2>&1
    rm -f "$record"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# One line a request: milliseconds at its end, then the name of the node that answered or "-".
ask() { # seconds at most
    local end=$((SECONDS + $1)) answer now
    while [ $SECONDS -lt $end ]; do
        answer=$(curl --silent --max-time 0.2 "$url") || answer=-
        now=${EPOCHREALTIME/[.,]/}
        echo "${now%???} ${answer:--}"
        sleep 0.01
    done
}

answered() { # node, seconds at most: until the newest line of the record names the node
    local end=$((SECONDS + $2))
    until [ "$(tail -n 1 "$record" | cut -d ' ' -f 2)" = "$1" ]; do
        [ $SECONDS -lt $end ] || { echo "demo: no answer from $1 within $2 s" >&2; exit 1; }
        sleep 0.1
    done
}

# The time between one node's last answer and the other's first, and the requests that failed in it.
seen() { # from node, to node
    awk -v from="$1" -v to="$2" '
        $2 == "-" { failed++ }
        $2 == from { last = $1; failed = 0 }
        $2 == to && last { printf "%d ms without an answer, %d requests failed\n", $1 - last, failed; exit }' "$record"
}

echo "start    two nodes: keepalived (vrrp-init) and haproxy each"
"${compose[@]}" up -d >/dev/null 2>&1 || { "${compose[@]}" up -d; exit 1; }
ask 120 >>"$record" &
client=$!
answered node-a 30
echo "curl     $url is answered by node-a"

"${compose[@]}" kill haproxy-a >/dev/null 2>&1
answered node-b 30
echo "kill     haproxy on node-a; now answered by node-b: $(seen node-a node-b)"

: >"$record" # the client appends
"${compose[@]}" start haproxy-a >/dev/null 2>&1
answered node-a 30
echo "start    haproxy on node-a; answered by node-a again: $(seen node-b node-a)"
