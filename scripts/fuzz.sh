#!/usr/bin/env bash
# Fuzzes every parser of outside bytes with coverage: `scripts/fuzz.sh [seconds] [target...]`, 60 seconds a target unless
# told otherwise, as many targets at once as there are processors (FUZZ_JOBS changes that). An input that takes 10 seconds
# is a finding (FUZZ_TIMEOUT, for machines that have something better to do). It needs a C++ compiler for LLVM's libFuzzer
# and nothing but stable Rust: the flags are those that cargo-fuzz passes, without a sanitizer, since our code is free of
# `unsafe`.
#
# What it learns is kept in FUZZ_DIR (default: a folder beside the build), so that the next run goes on, and what it
# finds lies there in `findings`: run it again with `RETORT_FUZZ_TARGET=<target> <binary> <file>`, then make a regression
# test of it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
shift || true

export CARGO_TARGET_DIR="${FUZZ_TARGET_DIR:-${CARGO_TARGET_DIR:-target}/fuzzing}"
work="${FUZZ_DIR:-$CARGO_TARGET_DIR/corpus}"
triple="$(rustc -vV | sed -n 's/^host: //p')"
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 --cfg fuzzing"
# With a target triple given, build scripts and macros are built without these flags.
cargo build --locked --release --target "$triple" -p hostile --features libfuzzer --bin fuzz
binary="$CARGO_TARGET_DIR/$triple/release/fuzz"

fuzz() {
  local target="$1" log="$work/$1.log" result=ok processor runs rss edges
  mkdir -p "$work/$target" "$work/findings/$target"
  export RETORT_FUZZ_TARGET="$target"
  RETORT_FUZZ_SEEDS="$work/$target" "$binary" >/dev/null 2>"$log"
  # A dictionary of one's own isn't needed: comparisons are traced.
  TIMEFORMAT='processor seconds: %U'
  { time "$binary" "$work/$target" -max_total_time="$seconds" -timeout="${FUZZ_TIMEOUT:-10}" \
    -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 -artifact_prefix="$work/findings/$target/"; } >"$log" 2>&1 || result=FINDING
  processor="$(sed -n 's/^processor seconds: *//p' "$log")"
  runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  rss="$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")"
  edges="$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)"
  printf '%-10s %-8s %8.0f s of a core %12s runs %8s edges %6s MB peak\n' \
    "$target" "$result" "${processor:-0}" "${runs:-?}" "${edges:-?}" "${rss:-?}"
  [ "$result" = ok ] || { tail -n 20 "$log" >&2; return 1; }
}
export -f fuzz
export binary work seconds

targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(grep -oE 'name: "[a-z]+"' hostile/src/targets/mod.rs | cut -d'"' -f2)
# One that finds something doesn't stop the others; the exit status says so in the end.
printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I{} bash -euo pipefail -c 'fuzz {}'
