#!/usr/bin/env bash
# The sdist, and from it the wheel, the only ones in a folder afterwards.
#     tools/wheel.sh [FOLDER]     default: dist
# The same sources, Rust compiler and pinned tools give the same bytes in any folder (tools/same_wheel.sh): dates are
# those of the last commit or of SOURCE_DATE_EPOCH, and no path of the machine gets into the binary. On Linux zig links
# against glibc 2.17, so that the wheel runs wherever manylinux2014 does, however new this machine is.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

cargo fetch --quiet --locked # unpacks the crates: where they lie is known from here on
RUSTFLAGS=""
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do RUSTFLAGS+=" --remap-path-prefix=$crates=/crates"; done
export RUSTFLAGS

pinned=(uv run --quiet --isolated --only-group wheel)
"${pinned[@]}" python tools/sbom.py --crates > "$scratch/unirex.cyclonedx.json"
rm -f "$out"/unirex_rationales-*.whl "$out"/unirex_rationales-*.tar.gz
linux=()
if [ "$(uname -s)" = Linux ]; then linux=(--zig --compatibility manylinux2014); fi
"${pinned[@]}" maturin build --release --locked --strip --sdist "${linux[@]}" \
  --sbom-include "$scratch/unirex.cyclonedx.json" --out "$out"
ls -l "$out"
