#!/bin/bash
# Runs a command with a Docker Engine: the one that runs, or one started for the command's duration.
# Usage: with-docker.sh COMMAND ARGUMENT...
# KEEP_ENGINE=FILE leaves an engine that had to be started running; writes its process id to FILE and its log to FILE.log.
set -euo pipefail

docker info >/dev/null 2>&1 && exec "$@"

[ "$(id -u)" = 0 ] || { echo "with-docker: no Docker Engine answers, and only root can start one" >&2; exit 1; }
command -v dockerd >/dev/null || { echo "with-docker: no Docker Engine answers, and dockerd is not installed (make setup)" >&2; exit 1; }

if [ -n "${KEEP_ENGINE:-}" ]; then log=$KEEP_ENGINE.log; else log=$(mktemp -t vrrp-init-dockerd.XXXXXX); fi
# In a session of its own: Ctrl-C must not stop it before the command has cleaned up.
setsid dockerd >"$log" 2>&1 &
engine=$!
if [ -n "${KEEP_ENGINE:-}" ]; then
    echo "$engine" >"$KEEP_ENGINE"
else
    trap 'kill "$engine" 2>/dev/null || true; wait "$engine" || true; rm -f "$log"' EXIT
fi
for _ in $(seq 150); do
    docker info >/dev/null 2>&1 && break
    if ! kill -0 "$engine" 2>/dev/null; then break; fi
    sleep 0.2
done
docker info >/dev/null 2>&1 || { echo "with-docker: dockerd does not come up:" >&2; tail -n 20 "$log" >&2; exit 1; }
"$@"
