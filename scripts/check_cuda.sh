#!/usr/bin/env bash
# Does the feature `cuda` still compile? Without a GPU and without NVIDIA's toolkit.
#
# Types and lints are checked with a stand-in for the compiler of kernels (a `cargo clippy` runs no kernel). The project's
# own kernels are then compiled for real, to PTX and to machine code for compute capability 8.0 and 9.0, with the parts of
# NVIDIA's compiler that are Python packages (100 MB, once, into $CUDA_KIT_COMPILER); where they cannot be fetched, that is said.
#
# What links and runs is made by `. scripts/cuda_env.sh && cargo build --release --features cuda`.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/include" "$work/lib64"
cat > "$work/bin/nvcc" <<'STAND_IN'
#!/usr/bin/env bash
# Writes the files that it is asked for, empty.
[ "${1:-}" = --version ] && echo "Cuda compilation tools, release 13.0, V13.0.88"
folder=
while [ $# -gt 0 ]; do
  case $1 in
    -o|--output-file) : > "$2";;
    -odir|--output-directory) folder=$2;;
    *.cu) source=${1##*/}; [ -z "$folder" ] || : > "$folder/${source%.cu}.ptx";;
  esac
  shift
done
STAND_IN
chmod +x "$work/bin/nvcc"
: > "$work/include/cuda.h"
NVCC=$work/bin/nvcc CUDA_HOME=$work CUDA_COMPUTE_CAP=80 CUDARC_CUDA_VERSION=13000 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cuda-check \
  cargo clippy --workspace --all-targets --features cuda -- -D warnings

compiler=${CUDA_KIT_COMPILER:-$HOME/.cache/sft-cuda-compiler}
wheels="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85"
if [ ! -e "$compiler/complete" ]; then
  mkdir -p "$compiler/wheels"
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$compiler/wheels" $wheels; then
    echo "SKIPPED: the kernels were not compiled, NVIDIA's compiler could not be fetched (python3 with pip, and a network)"
    exit
  fi
  for wheel in "$compiler"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$compiler"; done
  rm -rf "$compiler/wheels"
  chmod +x "$compiler"/nvidia/cu13/bin/* "$compiler"/nvidia/cu13/nvvm/bin/*
  touch "$compiler/complete"
fi
for capability in 80 90; do
  "$compiler/nvidia/cu13/bin/nvcc" -cubin -O3 -std=c++17 -arch "sm_$capability" -Werror all-warnings -Xptxas -warn-spills,-warn-lmem-usage -o "$work/kernels.cubin" \
    crates/sft-kernels/cuda/kernels.cu
  echo "kernels compiled for compute capability ${capability%?}.${capability#?}"
done
