#!/usr/bin/env bash
# Every fuzz target for so many seconds each (60), with the pinned compiler: no nightly, no cargo-fuzz, on x86-64 Linux.
#
#   scripts/fuzz.sh          # all of fuzz/fuzz_targets
#   scripts/fuzz.sh 600 csv  # one, for ten minutes
#
# What it finds lies in target/fuzz/findings: put it into fuzz/corpus/TARGET, mend the reader, and tests/mutations.rs keeps
# it mended. Building takes some ten minutes on two cores, once.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
if [ $# -eq 0 ]; then
  mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)
  set -- "${targets[@]}"
fi

out=$PWD/target/fuzz
host=x86_64-unknown-linux-gnu
# What cargo-fuzz asks of the compiler; these options are for nightly ones unless told otherwise.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1 -Zsanitizer=address"
cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --target-dir "$out"

mkdir -p "$out/findings"
failed=0
for target; do
  mkdir -p "$out/corpus/$target"
  if "$out/$host/release/$target" "$out/corpus/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -timeout=20 \
    -rss_limit_mb=2048 -artifact_prefix="$out/findings/$target-" 2>"$out/$target.log"; then
    grep -h '^Done' "$out/$target.log" | sed "s/^Done/$target: no finding,/"
  else
    echo "$target: a finding, see $out/$target.log" >&2
    failed=1
  fi
done
exit $failed
