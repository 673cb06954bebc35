#!/bin/sh
# Cargo starts every program through this script (runner in .cargo/config.toml). Without root it does not start the
# test binaries that need it, and prints how many tests that leaves out. In CI, where nothing may be left out, they
# start and fail.
case $1 in
    */deps/sys-* | */deps/netns-*) why="root, for network and PID namespaces" ;;
    */deps/docker-*) why="root, for Docker engines in network namespaces" ;;
    *) exec "$@" ;;
esac
if [ "$(id -u)" = 0 ] || [ -n "$CI" ]; then exec "$@"; fi
case " $* " in *" --list "*) exec "$@" ;; esac
count=$("$@" --list | grep -c ': test$')
printf '\nleft out: %s tests, which need %s. To run them, as root: make test\n\n' "$count" "$why"
