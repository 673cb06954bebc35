# The image is one file and an empty /run. Needs no BuildKit: `docker build --tag vrrp-init .`
# The file is what plain `cargo build --release` makes with the same compiler, byte for byte.
FROM rust:1.95.0-slim AS build
WORKDIR /build
# For another architecture: `--build-arg TARGET=aarch64-unknown-linux-musl`. It is cross-compiled, without emulation.
ARG TARGET
# The dependencies have a layer of their own, which lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN target=${TARGET:-$(uname -m)-unknown-linux-musl} \
 && rustup target add "$target" \
 && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --locked --release --target "$target" \
 && rm -r src

COPY src src
# Cargo compares modification times, and the sources may be older than the layer above.
RUN target=${TARGET:-$(uname -m)-unknown-linux-musl} \
 && touch src/lib.rs src/main.rs \
 && cargo build --locked --release --target "$target" \
 && mkdir -p /image/run \
 && cp "target/$target/release/vrrp-init" /image/

FROM scratch
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vrrp-init" \
      org.opencontainers.image.description="One static binary that replaces keepalived in a container" \
      org.opencontainers.image.source="https://github.com/vrrp-init/vrrp-init" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image /
# A router in FAULT is healthy too: a restart repairs nothing, and would end the other containers of the process namespace.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/vrrp-init", "healthcheck"]
ENTRYPOINT ["/vrrp-init"]
