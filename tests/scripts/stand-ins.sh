#!/bin/bash
# Makes local images for the public names that are neither here nor to be had from a registry.
# Usage: stand-ins.sh builder|haproxy|nginx|dns|theirs ...      (root; a Docker Engine must be running)
#
#   builder   rust:1.95.0-slim Debian with gcc, and this machine's own Rust toolchain
#   haproxy   haproxy:3.2      Debian's haproxy (2.6 in Debian 12), run as the public image runs it
#   nginx     nginx:stable     Debian's nginx, run as the public image runs it
#   dns       vrrp-init-stand-in/pihole, …/unbound   Debian's dnsmasq, from which Pi-hole's program was made, under
#                              that name, and Debian's unbound; never pulled
#   theirs    vrrp-init-stand-in/theirs   Debian's keepalived behind start.sh; never pulled
#
# One debootstrap tree under target/ serves all. A stand-in carries a label; an image without it
# is somebody's own and is used as it is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$here/../../target/stand-ins
tree=$work/debian
label=vrrp-init.stand-in
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# One at a time: they write to the same folder.
mkdir -p "$work"
exec {lock}>"$work/lock"
flock "$lock"

# What a stand-in is made from; a change here makes it again.
recipe=$({ cat "$0" "$here/start.sh"; rustc --version; rustup target list --installed; } | sha256sum | cut -c1-16)

have() { # image: present, and if it is a stand-in, of this recipe
    local made
    made=$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null) || return 1
    [ -z "$made" ] || [ "$made" = "$recipe" ]
}

obtained() { # image: a registry gives it; asks for the manifest first
    timeout 20 docker manifest inspect "$1" >/dev/null 2>&1 && docker pull --quiet "$1" >/dev/null
}

debian() {
    local packages=ca-certificates,gcc,libc6-dev,haproxy,keepalived,busybox,nginx-light,dnsmasq-base,unbound
    [ "$(cat "$tree/.complete" 2>/dev/null)" = "$packages" ] && return
    local suite mirror components=main
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    if grep -q '^ID=ubuntu' /etc/os-release; then components=main,universe; fi
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -n 1)
    "$here/setup.sh" stand-ins
    echo "stand-ins: unpacking $suite, once (about a minute)" >&2
    rm -rf "$tree"
    mkdir -p "$work"
    debootstrap --variant=minbase --components="$components" \
        --include="$packages" \
        "$suite" "$tree" "$mirror" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    echo "$packages" >"$tree/.complete"
}

programs() { # folder, programs: the programs, the libraries they load and what is in the folder, as a tar
    local from=$1
    shift
    { printf '%s\n' "$@"; for p in "$@"; do chroot "$tree" ldd "$p" 2>/dev/null | grep -o '/[^ ]*' || true; done; } |
        sort -u | sed 's|^/||' | tar -C "$tree" -chf "$work/image.tar" --files-from=- -C "$from" .
}

import() { # image, then docker import's --change texts; from the tar
    local image=$1 changes=() before
    before=$(docker images --quiet "$1")
    shift
    for change in "LABEL $label=$recipe" "$@"; do changes+=(--change "$change"); done
    docker import "${changes[@]}" "$work/image.tar" "$image" >/dev/null
    rm "$work/image.tar"
    [ -z "$before" ] || docker rmi "$before" >/dev/null 2>&1 || true # in use: it stays
    echo "stand-ins: made $image" >&2
}

builder() { # image
    debian
    local stage=$work/builder ca=/etc/ssl/certs/ca-certificates.crt name
    # Rustup adds targets only to a toolchain with a release's name.
    name=$(rustc -vV | sed -n 's/^release: //p')-$(rustc -vV | sed -n 's/^host: //p')
    rm -rf "$stage"
    cp -al "$tree" "$stage"
    rm -rf "$stage"/usr/share/{doc,man,locale} "$stage"/var/cache/apt "$stage"/var/lib/apt "$stage/.complete"
    mkdir -p "$stage/usr/local/cargo/bin" "$stage/usr/local/rustup/toolchains/$name"
    cp -a "$(rustc --print sysroot)"/{bin,lib} "$stage/usr/local/rustup/toolchains/$name/"
    cp -a "$cargo_home"/bin/{rustup,cargo,rustc} "$stage/usr/local/cargo/bin/"
    printf 'version = "12"\nprofile = "minimal"\ndefault_toolchain = "%s"\n[overrides]\n' "$name" \
        >"$stage/usr/local/rustup/settings.toml"
    rm -f "$stage$ca" # a hard link: replaced, never written through
    cp -L "$ca" "$stage$ca"
    tar -C "$stage" -cf "$work/image.tar" .
    import "$1" \
        'ENV PATH=/usr/local/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        'ENV RUSTUP_HOME=/usr/local/rustup' 'ENV CARGO_HOME=/usr/local/cargo' \
        "ENV SSL_CERT_FILE=$ca" "ENV CARGO_HTTP_CAINFO=$ca" 'CMD ["sh"]'
    rm -rf "$stage"
}

haproxy() { # image
    debian
    local empty
    empty=$(mktemp -d)
    programs "$empty" /usr/sbin/haproxy
    import "$1" 'USER 99:99' 'ENV PATH=/usr/sbin' \
        'CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
    rmdir "$empty"
}

nginx() { # image
    debian
    local extra
    extra=$(mktemp -d)
    mkdir -p "$extra"/{etc/nginx,run,tmp,var/log/nginx,var/lib/nginx}
    printf '%s\n' 'error_log /dev/stderr;' 'events {}' \
        'http { access_log off; server { listen 80; location / { return 200 "nginx\n"; } } }' \
        >"$extra/etc/nginx/nginx.conf"
    printf '%s\n' 'root:x:0:0:root:/:' 'www-data:x:33:33:www-data:/:' 'nobody:x:65534:65534:nobody:/:' >"$extra/etc/passwd"
    printf '%s\n' 'root:x:0:' 'www-data:x:33:' 'nogroup:x:65534:' >"$extra/etc/group"
    programs "$extra" /usr/sbin/nginx
    import "$1" 'ENV PATH=/usr/sbin' 'CMD ["nginx", "-g", "daemon off;"]'
    rm -r "$extra"
}

pihole() { # image
    debian
    local extra
    extra=$(mktemp -d)
    mkdir -p "$extra"/{bin,etc,run}
    cp "$tree/usr/sbin/dnsmasq" "$extra/bin/pihole-FTL"
    programs "$extra" /usr/sbin/dnsmasq
    import "$1" 'ENV PATH=/bin' \
        'CMD ["pihole-FTL", "--keep-in-foreground", "--conf-file", "--pid-file", "--user=", "--no-resolv", "--server=127.0.0.1#5335"]'
    rm -r "$extra"
}

unbound() { # image
    debian
    local extra
    extra=$(mktemp -d)
    mkdir -p "$extra"/{etc,tmp}
    programs "$extra" /usr/sbin/unbound
    import "$1" 'ENV PATH=/usr/sbin' 'CMD ["unbound", "-d", "-c", "/opt/unbound/etc/unbound/unbound.conf"]'
    rm -r "$extra"
}

theirs() { # image
    debian
    local extra
    extra=$(mktemp -d)
    mkdir -p "$extra"/{etc/keepalived,run,tmp,bin}
    cp "$here/start.sh" "$extra/start.sh"
    cp "$tree/bin/busybox" "$extra/bin/sh"
    echo 'root:x:0:0:root:/:/bin/sh' >"$extra/etc/passwd"
    programs "$extra" /usr/sbin/keepalived /bin/busybox
    import "$1" 'ENV PATH=/usr/sbin:/bin' 'CMD ["/start.sh"]'
    rm -r "$extra"
}

need() { # image, function
    have "$1" || obtained "$1" || "$2" "$1"
}

for name in "$@"; do
    case $name in
        builder) need rust:1.95.0-slim builder ;;
        haproxy) need haproxy:3.2 haproxy ;;
        nginx) need nginx:stable nginx ;;
        dns)
            have vrrp-init-stand-in/pihole || pihole vrrp-init-stand-in/pihole
            have vrrp-init-stand-in/unbound || unbound vrrp-init-stand-in/unbound
            ;;
        theirs) have vrrp-init-stand-in/theirs || theirs vrrp-init-stand-in/theirs ;;
        *) echo "stand-ins: no image is called $name (builder, haproxy, nginx, dns, theirs)" >&2; exit 64 ;;
    esac
done
