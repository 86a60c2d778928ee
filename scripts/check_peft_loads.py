#!/usr/bin/env python3
"""Loads an adapter that this project wrote with whatever PEFT is installed, and compares the logits.

    cargo run --release --example logits -- MODEL_DIR 1,5,9,12 ADAPTER_DIR > ours.json
    python scripts/check_peft_loads.py MODEL_DIR 1,5,9,12 ADAPTER_DIR ours.json
    python scripts/check_peft_loads.py MODEL_DIR 1,5,9,12 - ours.json      # a model without an adapter, say a merged one

Ids as for the example: sequences separated by semicolons. Prints the versions and the largest difference of a logit, and
fails where this is above 1e-4 or the adapter changes nothing. --bin reads adapter_model.bin instead of the safetensors file.
"""

import json, os, shutil, sys, tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import peft, torch, transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
arguments = [a for a in sys.argv[1:] if a != "--bin"]
if len(arguments) != 4:
    sys.exit(__doc__)
model_dir, ids, adapter_dir, ours_json = arguments

# f64, so that the difference is this project's alone; not by a keyword, whose name depends on the version
base = AutoModelForCausalLM.from_pretrained(model_dir).double().eval()


def logits(model):
    with torch.no_grad():
        return [model(torch.tensor([[int(i) for i in s.split(",")]]), use_cache=False).logits[0] for s in ids.split(";")]


expected = logits(base)
effect = None
if adapter_dir != "-":
    untouched = expected
    with tempfile.TemporaryDirectory() as folder:
        if "--bin" in sys.argv:
            for file in ("adapter_config.json", "adapter_model.bin"):
                shutil.copy(os.path.join(adapter_dir, file), folder)
            adapter_dir = folder
        model = PeftModel.from_pretrained(base, adapter_dir).double().eval()
    expected = logits(model)
    effect = max((a - b).abs().max().item() for a, b in zip(untouched, expected))
with open(ours_json) as f:
    ours = [torch.tensor(rows, dtype=torch.float64) for rows in json.load(f)]
assert [o.shape for o in ours] == [e.shape for e in expected], "the logits have other shapes"
gap = max((a - b).abs().max().item() for a, b in zip(ours, expected))
print(f"peft {peft.__version__}, transformers {transformers.__version__}: largest difference {gap:.2e}"
      + ("" if effect is None else f"; the adapter changes a logit by up to {effect:.2e}"))
sys.exit(gap > 1e-4 or effect == 0.0)
