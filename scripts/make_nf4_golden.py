#!/usr/bin/env python3
"""Writes fixtures/golden/nf4: a matrix as bitsandbytes keeps it in NF4 with double quantisation.

    python scripts/make_nf4_golden.py [fixtures/golden/nf4]

needs torch and bitsandbytes (its CPU build will do); the versions that wrote the committed file are in PROVENANCE.md, and a second run
with them writes the same bytes.

  nf4.safetensors: values [257, 72] bf16, with blocks of zeros, of equal values and of outliers; codes: two a byte; sizes: codes of the
    blocks' largest magnitudes; scales: one for 256 of them; offset: their mean; map: what those codes stand for; dequantised: the first
    4,096 values and the last 8 in f32
  model/: fixtures/golden/llama2 with the matrices of its blocks as transformers stores them with load_in_4bit
  dense.safetensors: those matrices dequantised to f32
"""

import hashlib, json, os, platform, sys

import bitsandbytes, torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from safetensors.torch import load_file, save_file

ROWS, COLS = 257, 72
SOURCE = "fixtures/golden/llama2"
FILES = ["nf4.safetensors", "dense.safetensors", "model/model.safetensors", "model/config.json"]


def model(out, dense_path):
    os.makedirs(out, exist_ok=True)
    stored, dense = {}, {}
    for name, values in load_file(os.path.join(SOURCE, "model.safetensors")).items():
        if not name.endswith("_proj.weight"):
            stored[name] = values
            continue
        codes, state = quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")
        stored[name] = codes
        stored.update({f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()})
        # As rows of one block: bitsandbytes' CPU kernel (0.50) takes the wrong sizes for rows of 32.
        state.shape = torch.Size([values.numel() // 64, 64])
        dense[name] = dequantize_4bit(codes, state).reshape(values.shape)
        assert (dense[name] - values).abs().max() < 0.13, name
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, os.path.join(out, "model.safetensors"), {"format": "pt"})
    save_file(dense, dense_path)
    with open(os.path.join(SOURCE, "config.json")) as file:
        config = json.load(file)
    config["quantization_config"] = {
        "_load_in_4bit": True, "_load_in_8bit": False, "bnb_4bit_compute_dtype": "float32", "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "llm_int8_enable_fp32_cpu_offload": False,
        "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": None, "llm_int8_threshold": 6.0, "load_in_4bit": True,
        "load_in_8bit": False, "quant_method": "bitsandbytes",
    }
    with open(os.path.join(out, "config.json"), "w") as file:
        file.write(json.dumps(config, indent=2) + "\n")


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
    model(os.path.join(out, "model"), os.path.join(out, "dense.safetensors"))
    digests = ""
    for name in FILES:
        with open(os.path.join(out, name), "rb") as file:
            digests += f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n"
    with open(os.path.join(out, "PROVENANCE.md"), "w") as file:
        file.write(
            "# A matrix in NF4\n\n"
            "Format: the head of `scripts/make_nf4_golden.py`, which wrote it. Random numbers: no licence but this project's own.\n\n"
            "* Command: `python scripts/make_nf4_golden.py`\n"
            f"* Versions: Python {platform.python_version()}, torch {torch.__version__}, bitsandbytes {bitsandbytes.__version__}\n\n"
            f"## sha256\n\n```\n{digests}```\n"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fixtures/golden/nf4")
