#!/usr/bin/env bash
# Builds the static binary that goes into the image: glibc, no interpreter, no shared libraries.
# PROFILE=dev builds faster and larger. Prints the path of the binary.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = aarch64 ] && target=aarch64-unknown-linux-gnu
profile=${PROFILE:-release}
# A target of its own, so that build scripts and derive macros, which are shared libraries, are not
# built static.
export RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"
cargo build --locked --quiet --profile "$profile" --target "$target" --bin caapc
folder=$profile
[ "$profile" = dev ] && folder=debug
echo "${CARGO_TARGET_DIR:-target}/$target/$folder/caapc"
