#!/usr/bin/env bash
# Builds the wheel twice, from two copies of the committed sources in different folders, and compares the bytes.
#     tools/same_wheel.sh [FOLDER]     the wheel and its SHA-256 are left in FOLDER (default: dist)
# Dates come from the last commit, and paths of the machine are taken out of the binary.
set -euo pipefail
root=$(git rev-parse --show-toplevel)
out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

for copy in first "second/elsewhere"; do
  mkdir -p "$scratch/$copy/source"
  git -C "$root" archive HEAD | tar -x -C "$scratch/$copy/source"
  (
    cd "$scratch/$copy/source"
    remap="--remap-path-prefix=$PWD=/unirex --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    remap+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
    RUSTFLAGS="$remap" CARGO_TARGET_DIR="$PWD/target" maturin build --quiet --release --locked --strip \
      --out "$scratch/$copy/dist"
  )
done
first=("$scratch"/first/dist/*.whl)
second=("$scratch"/second/elsewhere/dist/*.whl)
cmp "${first[0]}" "${second[0]}"
cp "${first[0]}" "$out/"
cd "$out" && sha256sum "$(basename "${first[0]}")"
