# The image is one file. Needs no BuildKit: `docker build --tag vrrp-init .`
FROM rust:1.95-slim AS build
WORKDIR /build

# The dependencies alone, in a layer that lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN rustup target add "$(uname -m)-unknown-linux-musl" \
 && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --locked --release --target "$(uname -m)-unknown-linux-musl" \
 && rm -r src

COPY src src
# Cargo goes by modification times, and the sources may be older than the layer above.
RUN touch src/lib.rs src/main.rs \
 && cargo build --locked --release --target "$(uname -m)-unknown-linux-musl" \
 && cp "target/$(uname -m)-unknown-linux-musl/release/vrrp-init" /vrrp-init

FROM scratch
COPY --from=build /vrrp-init /vrrp-init
ENTRYPOINT ["/vrrp-init"]
