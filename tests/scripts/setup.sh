#!/bin/bash
# Installs what building and testing need on Debian or Ubuntu; says what is missing elsewhere. Quick when all is there.
# Usage: setup.sh                      everything
#        setup.sh demo | stand-ins     what `make demo` needs, and stand-ins.sh where no registry is reachable
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "cargo is not here: install Rust with rustup (https://rustup.rs)"
command -v rustup >/dev/null || fail "rustup is not here, and the musl target comes through it (https://rustup.rs)"
install_rust_parts() {
    local component target
    for component in rustfmt clippy; do
        rustup component list --installed | grep -q "^$component" || rustup component add "$component"
    done
    target=$(uname -m)-unknown-linux-musl
    rustup target list --installed | grep -qx "$target" || rustup target add "$target"
}

# Debian package and the program that tells it is there.
missing=()
want() { command -v "$2" >/dev/null || [ -e "/usr/sbin/$2" ] || missing+=("$1"); }
want gcc cc
want docker.io docker
docker info >/dev/null 2>&1 || want docker.io dockerd
docker compose version >/dev/null 2>&1 || want docker-compose docker-compose
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
case ${1:-} in
    demo) ;;
    stand-ins) want debootstrap debootstrap ;;
    "")
        install_rust_parts
        want debootstrap debootstrap
        want haproxy haproxy
        want keepalived keepalived
        want busybox busybox
        want frr ../lib/frr/vrrpd
        want nginx-light nginx
        want tshark tshark
        want tcpdump tcpdump
        want nftables nft
        want iproute2 ip
        want iputils-arping arping
        want procps ps
        want curl curl
        want prometheus promtool
        want qemu-user qemu-aarch64
        want python3-pip pip3
        want systemd systemd-analyze
        ;;
    *) fail "usage: setup.sh [demo|stand-ins]" ;;
esac
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || fail "this is neither Debian nor Ubuntu; install by hand: ${missing[*]}"
[ "$(id -u)" = 0 ] || fail "not root; run as root, or install first: apt-get install ${missing[*]}"

# The packages must not start their services on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "setup: installing ${missing[*]}" >&2
apt-get update -qq
# Newer releases package the client apart from the engine.
if [[ " ${missing[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then missing+=(docker-cli); fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
