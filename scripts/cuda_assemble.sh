#!/usr/bin/env bash
# Called by cuda_env.sh: fetches the packages and makes the toolkit's folder. WHEELS are their names and versions.
set -euo pipefail
kit=$1 scripts=$(cd "$(dirname "$0")" && pwd)
shift
home=$kit/site/nvidia/cu13
rm -rf "$kit/wheels" "$kit/site" "$kit/home" "$kit/complete"
mkdir -p "$kit/wheels" "$kit/site" "$kit/home/lib"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$kit/wheels" "$@"
for wheel in "$kit"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$kit/site"; done
rm -rf "$kit/wheels"
chmod +x "$home"/bin/* "$home"/nvvm/bin/*
ln -sfn lib "$home/lib64"
for part in bin nvvm include; do ln -sfn "$home/$part" "$kit/home/$part"; done
ln -sfn lib "$kit/home/lib64"
python3 "$scripts/cuda_lazy.py" "$home" "$kit/home/lib"
cp "$home"/lib/libcudart_static.a "$home"/lib/libcudadevrt.a "$kit/home/lib/"
# The runtime is linked in; it opens the driver itself.
echo "INPUT($kit/home/lib/libcudart_static.a)" > "$kit/home/lib/libcudart.so"
test -x "$home/bin/nvcc" -a -s "$kit/home/lib/libcuda.so"
echo "$*" > "$kit/complete"
