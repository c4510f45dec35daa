#!/usr/bin/env bash
# Builds sdist and wheel again, from a copy of the sources in another folder, and compares the bytes with what
# tools/wheel.sh made of them here.
#     tools/same_wheel.sh [FOLDER]     where the first pair lies; default: dist
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(cd "${1:-dist}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR="$scratch/target"

mkdir "$scratch/elsewhere"
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$scratch/elsewhere"
"$scratch/elsewhere/tools/wheel.sh" "$scratch/dist" > /dev/null
for again in "$scratch"/dist/*; do cmp "$dist/$(basename "$again")" "$again"; done
cd "$dist" && sha256sum unirex_rationales-*
