#!/usr/bin/env bash
# Runs the tests of the core under a sanitizer of LLVM, whose runtime comes with the stable toolchain.
#     tools/sanitize.sh [address|thread]
# The variable allows the flag on the stable compiler. The standard library itself is not instrumented.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-address}
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$kind -Cunsafe-allow-abi-mismatch=sanitizer"
cargo test --locked --lib --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/sanitize-$kind"
