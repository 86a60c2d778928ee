#!/usr/bin/env bash
# Is the GPU computed on correctly, and how fast? One report, in a few minutes, without a network.
#
#   scripts/gpu_check.sh             build here (`--features cuda`) and check here
#   scripts/gpu_check.sh --pack DIR  build here, and copy into DIR all that another machine needs: no cargo there;
#                                    run DIR/gpu_check.sh on it
#
# The operations against the CPU, the golden suite and ten golden steps on the device, the matmul rate, the LoRA layer
# beside its frozen product, training steps of the Llama-2-7B shape with random weights; and, where python3 has PyTorch,
# transformers and PEFT, the same shape with them (PYTHON names another interpreter).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Programs that cargo has made, as "NAME PATH" lines.
build() {
  cargo test --release --features cuda -p sft-kernels --test cuda_device -p sft-model --test golden -p sft-trainer \
    --test golden_steps --no-run --message-format=json | programs
  cargo build --release --features cuda --example gpu_check --message-format=json | programs
}
programs() {
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"): print(message["target"]["name"], message["executable"])'
}

if [ "${1:-}" = --pack ]; then
  folder=${2:?a folder to pack into}
  mkdir -p "$folder"
  cd "$here/.."
  build | while read -r name path; do cp "$path" "$folder/$name"; strip "$folder/$name"; done
  mkdir -p "$folder/fixtures"
  rm -rf "$folder/fixtures/golden"
  cp -r fixtures/golden "$folder/fixtures/"
  cp "$here/gpu_check.sh" benches/peers/peft_gpu.py "$folder/"
  echo "packed into $folder"
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"; kill "${sampler:-}" 2>/dev/null || true' EXIT
if [ -x "$here/gpu_check" ]; then
  program() { echo "$here/$1"; }
  golden=$here/fixtures/golden peer=$here/peft_gpu.py
else
  (cd "$here/.." && build) > "$work/programs"
  program() { awk -v name="$1" '$1 == name {print $2}' "$work/programs"; }
  golden=$here/../fixtures/golden peer=$here/../benches/peers/peft_gpu.py
fi

python=${PYTHON:-python3}
# The libraries of a PyTorch that is installed will do.
wheels=$("$python" -c 'import glob, nvidia; print(":".join(glob.glob(list(nvidia.__path__)[0] + "/*/lib")))' 2>/dev/null || true)
export CUDA_LIB_DIRS=${CUDA_LIB_DIRS:-}:$wheels:/usr/local/cuda/lib64
if ! nvidia-smi -i 0 --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null; then
  echo "no NVIDIA driver here: the checks below say what they skip, and figures are the CPU's"
  unset gpu
else
  gpu=yes
fi

# The most memory that the device had in use while a command ran, in MiB.
measured() {
  if [ "${gpu:-}" ]; then
    nvidia-smi -i 0 --query-gpu=memory.used --format=csv,noheader,nounits -lms 100 > "$work/memory" & sampler=$!
  fi
  "$@"
  if [ "${gpu:-}" ]; then
    kill "$sampler" 2>/dev/null || true
    echo "most device memory in use: $(sort -n "$work/memory" | tail -1) MiB"
  fi
}

failed=0
check() { # title, command
  local title=$1
  shift
  if "$@" > "$work/log" 2>&1; then
    if ! grep -q 'skipped, no CUDA' "$work/log"; then
      echo "ok: $title"
    elif [ "${gpu:-}" ]; then
      echo "FAILED: $title: there is a GPU, but it cannot be opened (driver 580 or newer is needed)"
      grep -m 1 'skipped, no CUDA' "$work/log"
      failed=1
    else
      echo "SKIPPED: $title: no CUDA device"
    fi
  else
    echo "FAILED: $title"
    tail -20 "$work/log"
    failed=1
  fi
}
check "operations against the CPU in f64" "$(program cuda_device)" --nocapture
if [ "${gpu:-}" ]; then
  check "golden suite on the device" env SFT_TEST_DEVICE=cuda SFT_GOLDEN="$golden" "$(program golden)"
  check "ten golden steps on the device" env SFT_TEST_DEVICE=cuda SFT_GOLDEN="$golden" "$(program golden_steps)"
else
  echo "SKIPPED: golden suite on the device"
fi
measured "$(program gpu_check)" --batches 0 || failed=1
for batch in ${BATCHES:-8 16 32}; do
  if [ "${gpu:-}" ]; then measured "$(program gpu_check)" --matmul 0 --batches "$batch" || failed=1; fi
done
if [ "${gpu:-}" ] && "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
  for batch in ${BATCHES:-8 16 32}; do
    measured "$python" "$peer" --batch "$batch" || true
    measured "$python" "$peer" --batch "$batch" --checkpointing || true
  done
else
  echo "no PyTorch with transformers and PEFT (or no GPU): nothing to compare with"
fi
exit $failed
