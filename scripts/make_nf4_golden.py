#!/usr/bin/env python3
"""Writes fixtures/golden/nf4: a matrix as bitsandbytes keeps it in NF4 with double quantisation.

    python scripts/make_nf4_golden.py [fixtures/golden/nf4]

needs torch and bitsandbytes (its CPU build will do); the versions that wrote the committed file are in PROVENANCE.md, and a second run
with them writes the same bytes.

  nf4.safetensors: values [257, 72] bf16, with blocks of zeros, of equal values and of outliers; codes: two a byte; sizes: codes of the
    blocks' largest magnitudes; scales: one for 256 of them; offset: their mean; map: what those codes stand for; dequantised: the first
    4,096 values and the last 8 in f32
"""

import hashlib, os, platform, sys

import bitsandbytes, torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from safetensors.torch import save_file

ROWS, COLS = 257, 72


def main(out):
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(5)
    values = torch.randn(ROWS * COLS) * torch.rand(ROWS * COLS).pow(4) * 0.05
    values[128:192] = 0
    values[640:704] = 0.25
    values[1000] = 3.0
    values = values.view(ROWS, COLS).to(torch.bfloat16)
    codes, state = quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")
    state.dtype = torch.float32
    flat = dequantize_4bit(codes, state).reshape(-1)
    tensors = {
        "values": values,
        "codes": codes.reshape(-1),
        "sizes": state.absmax,
        "scales": state.state2.absmax,
        "offset": state.offset.reshape(1),
        "map": state.state2.code,
        "dequantised": torch.cat([flat[:4096], flat[-8:]]),
    }
    path = os.path.join(out, "nf4.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    with open(os.path.join(out, "PROVENANCE.md"), "w") as file:
        file.write(
            "# A matrix in NF4\n\n"
            "Format: the head of `scripts/make_nf4_golden.py`, which wrote it. Random numbers: no licence but this project's own.\n\n"
            "* Command: `python scripts/make_nf4_golden.py`\n"
            f"* Versions: Python {platform.python_version()}, torch {torch.__version__}, bitsandbytes {bitsandbytes.__version__}\n\n"
            f"## sha256\n\n```\n{digest}  nf4.safetensors\n```\n"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fixtures/golden/nf4")
