# The image is one file and an empty /run. Needs no BuildKit: `docker build --tag vrrp-init .`
FROM rust:1.95-slim AS build
WORKDIR /build
# Another machine's, as in `--build-arg TARGET=aarch64-unknown-linux-musl`: cross-compiled, no emulation.
ARG TARGET
# The compiler is the pinned stable one; the variable admits the options of Cargo in that file.
ENV RUSTC_BOOTSTRAP=1 \
    BUILD="cargo build --locked --release --config .cargo/image.toml"

# The dependencies alone, in a layer that lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN target=${TARGET:-$(uname -m)-unknown-linux-musl} \
 && rustup component add rust-src && rustup target add "$target" \
 && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && $BUILD --target "$target" \
 && rm -r src

COPY src src
# Cargo goes by modification times, and the sources may be older than the layer above.
RUN target=${TARGET:-$(uname -m)-unknown-linux-musl} \
 && touch src/lib.rs src/main.rs \
 && $BUILD --target "$target" \
 && mkdir -p /image/run \
 && cp "target/$target/release/vrrp-init" /image/

FROM scratch
COPY --from=build /image /
# Healthy in FAULT too: a restart mends nothing, and would take the guests of the process namespace along.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/vrrp-init", "healthcheck"]
ENTRYPOINT ["/vrrp-init"]
