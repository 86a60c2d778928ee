"""Averages the weights of two phases into the base that ships, and writes its hashes.

    python average.py base2 base3 0.45 ../../fixtures/embedded_base

The weights of two points of one training run average well (model soups, arXiv 2203.05482); 0.45 was the best of 0, 0.45, 0.6 and 1
by the sample's test notes after fine-tuning.
"""
import hashlib
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

first, second, share, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3]), pathlib.Path(sys.argv[4])
out.mkdir(parents=True, exist_ok=True)
for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]:
    shutil.copyfile(second / name, out / name)
a, b = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
mean = {name: ((1 - share) * a[name].float() + share * b[name].float()).to(torch.bfloat16) for name in a}
save_file(mean, out / "model.safetensors", metadata={"format": "pt"})
phases = [json.loads((folder / "training.json").read_text()) for folder in (first, second)]
for phase in phases:
    phase["sha256"] = phase["sha256"]["model.safetensors"]
files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
facts = {"phases_2_and_3": phases, "share_of_phase_3": share, "sha256": {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}}
(out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
