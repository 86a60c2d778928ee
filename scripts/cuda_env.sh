# Everything that a build with `--features cuda` needs on a machine without a CUDA toolkit: to be sourced.
#
#   . scripts/cuda_env.sh && cargo build --release --features cuda
#
# Fetches NVIDIA's compiler, headers and libraries as Python packages (1.4 GB, once, into $CUDA_KIT; no root, no GPU),
# and makes link libraries that open the real ones at the first call: the program starts on machines without a driver,
# where `--device auto` computes on the CPU. At run time the real libraries are looked for by the system's loader, in the
# folders of $CUDA_LIB_DIRS (colon-separated), and beside the kit.
#
# At run time the driver must be 580 or newer. Linux on x86_64, with python3 (and pip), gcc and binutils. Where a toolkit is installed, `CUDA_LAZY=no` takes nothing
# from here: set CUDA_HOME and build.
CUDA_KIT=${CUDA_KIT:-$HOME/.cache/sft-cuda-kit}
_cuda_scripts=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)

# Versions that belong together: CUDA 13.0, update 2.
_cuda_wheels="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35"

if [ "${CUDA_LAZY:-yes}" = yes ]; then
  if [ "$(cat "$CUDA_KIT/complete" 2>/dev/null)" != "$_cuda_wheels" ]; then
    echo "fetching NVIDIA's compiler into $CUDA_KIT (once)" >&2
    bash "$_cuda_scripts/cuda_assemble.sh" "$CUDA_KIT" $_cuda_wheels
  fi
  if [ "$(cat "$CUDA_KIT/complete" 2>/dev/null)" = "$_cuda_wheels" ]; then
    export CUDA_HOME=$CUDA_KIT/home CUDARC_CUDA_VERSION=13000
    export NVCC=$CUDA_KIT/site/nvidia/cu13/bin/nvcc PATH=$CUDA_KIT/site/nvidia/cu13/bin:$PATH
    export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}   # what the kernels are made for; newer GPUs compile them on first use
    unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR
  else
    echo "cuda_env.sh: $CUDA_KIT could not be assembled" >&2
    false
  fi
fi
