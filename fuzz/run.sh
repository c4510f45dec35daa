#!/usr/bin/env bash
# Fuzzes the core on the stable compiler: libFuzzer with LLVM's coverage pass, which needs no nightly flag.
#     fuzz/run.sh [RUNS [TARGET...]]     default: 1,000,000 runs of every target
# A crash leaves fuzz/artifacts/TARGET/; the corpus in fuzz/corpus/TARGET seeds each run and is not changed by it.
set -euo pipefail
cd "$(dirname "$0")"
runs=${1:-1000000}
shift || true
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
  mapfile -t targets < <(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | grep -v '^unirex-fuzz$')
fi

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
# --target keeps build scripts and procedural macros free of the instrumentation.
RUSTFLAGS="$coverage --cfg fuzzing" cargo build --locked --release --quiet --target "$host" \
  --target-dir "${CARGO_TARGET_DIR:-../target}/fuzz"
binaries=$(cd "${CARGO_TARGET_DIR:-../target}/fuzz/$host/release" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; rm -rf /dev/shm/unirex-fuzz-*-"${fuzzer:-none}"' EXIT
for target in "${targets[@]}"; do
  mkdir -p "$scratch/$target" "artifacts/$target" "corpus/$target"
  log=$scratch/$target.log
  RAYON_NUM_THREADS=1 "$binaries/$target" -runs="$runs" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout="${TIMEOUT:-60}" \
    -max_len="${MAX_LEN:-2048}" -print_final_stats=1 -artifact_prefix="artifacts/$target/" ${SEED:+-seed=$SEED} \
    "$scratch/$target" "corpus/$target" > "$log" 2>&1 &
  fuzzer=$!
  wait "$fuzzer" || { tail -n 40 "$log"; echo "$target: CRASH"; exit 1; }
  rm -rf "/dev/shm/unirex-fuzz-$target-$fuzzer"
  if [ -n "${KEEP:-}" ]; then # a small corpus for the repository: what reaches most, and no file over 512 bytes
    "$binaries/$target" -merge=1 -max_len=512 "corpus/$target" "$scratch/$target" > /dev/null 2>&1
  fi
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  reached=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
  printf '%-9s %10s executions, %s edges, peak %s MiB: no crash, no wrong answer\n' "$target" "$executed" "${reached#cov: }" "$rss"
done
