#!/usr/bin/env python3
"""Writes fixtures/golden/peft/<version>: adapters as the installed PEFT saves them, and the logits it computes with them.

    python scripts/make_peft_golden.py [fixtures/golden/peft]

needs torch, transformers and peft, of any version from PEFT 0.10 on; run it once with each version whose files are to be
kept. PROVENANCE.md in each folder says which versions wrote it. The base is fixtures/golden/llama2. A and B are random, drawn
in the order of the parameters' names; everything is computed in f64.

  <name>/                adapter_config.json and adapter_model.safetensors (`bin`: adapter_model.bin), as PEFT saves them
  logits.safetensors     ids [T], base [T, vocab] and, of each adapter, <name> [T, vocab] f32
  refused.json           configurations with options that plain LoRA does not have, as this PEFT saves them, by option
"""

import hashlib, inspect, json, os, platform, shutil, sys, tempfile

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes target_modules in the order of a set
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import peft, safetensors, torch, transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "golden")
IDS = [1, 17, 42, 5, 63, 29, 8, 51, 2]
COMMON = dict(task_type="CAUSAL_LM", lora_dropout=0.0)

# name -> options; alpha differs from r everywhere
ADAPTERS = {
    "plain": dict(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"]),
    "bin": dict(r=2, lora_alpha=6, target_modules=["k_proj", "down_proj"]),
    "all_linear": dict(r=1, lora_alpha=3, target_modules="all-linear"),
    # one key for the rank and the alpha of a module: until 0.13 PEFT looked both up by one key
    "patterns": dict(r=2, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "k_proj", "down_proj"],
                     rank_pattern={"k_proj": 3, "1.self_attn.q_proj": 1}, alpha_pattern={"k_proj": 7, "down_proj": 5}),
    "regex": dict(r=2, lora_alpha=5, target_modules=r".*\.(0\.self_attn\.[qo]_proj|1\.mlp\.(up|gate)_proj)"),
    "names": dict(r=3, lora_alpha=6, target_modules=["0.self_attn.o_proj", "model.layers.1.mlp.gate_proj"]),
    "layers": dict(r=2, lora_alpha=6, target_modules=["q_proj", "up_proj"], layers_to_transform=[1]),
    "layers_pattern": dict(r=2, lora_alpha=6, target_modules=["v_proj", "model.layers.0.self_attn.o_proj"],
                           layers_to_transform=1, layers_pattern="layers"),
    "exclude": dict(r=2, lora_alpha=6, target_modules=["q_proj", "up_proj"], exclude_modules=["0.self_attn.q_proj"]),
    "exclude_regex": dict(r=2, lora_alpha=6, target_modules=r".*\.[qv]_proj", exclude_modules=r".*\.1\..*q_proj"),
}

REFUSED = {
    "use_dora": True, "bias": "lora_only", "modules_to_save": ["lm_head"], "fan_in_fan_out": True, "lora_bias": True,
    "layer_replication": [[0, 2], [1, 2]], "trainable_token_indices": [3], "target_parameters": ["mlp.up_proj.weight"],
    "init_lora_weights": "pissa", "use_qalora": True, "alora_invocation_tokens": [5, 6], "megatron_config": {"a": 1},
    "ensure_weight_tying": True,
}


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]


def write(folder, name, options):
    torch.manual_seed(len(name))
    base = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama2", torch_dtype=torch.float32).eval()
    base.name_or_path = "llama2"
    tuned = get_peft_model(base, LoraConfig(**COMMON, **options)).eval()
    tuned.peft_config["default"].base_model_name_or_path = "llama2"
    with torch.no_grad():
        for key, p in sorted(tuned.named_parameters()):
            if "lora_A" in key:
                p.normal_(0.0, 1.0 / p.shape[1] ** 0.5)
            elif "lora_B" in key:
                p.normal_(0.0, 0.3)
    out = f"{folder}/{name}"
    tuned.save_pretrained(out, safe_serialization=name != "bin")
    for file in os.listdir(out):
        if not file.startswith("adapter_"):
            os.remove(f"{out}/{file}")
    result = logits(tuned.double())
    again = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama2", torch_dtype=torch.float32)
    again = PeftModel.from_pretrained(again, out).double().eval()
    torch.testing.assert_close(logits(again), result, rtol=0, atol=1e-5)  # what the files say
    return result.float()


def refused():
    """What this version writes for options that it has; it may demand others beside them."""
    configs = {}
    for option, value in REFUSED.items():
        if option not in inspect.signature(LoraConfig).parameters:
            continue
        with tempfile.TemporaryDirectory() as folder:
            options = COMMON | dict(r=2, lora_alpha=6, target_modules=["q_proj"]) | {option: value}
            LoraConfig(**options).save_pretrained(folder)
            with open(f"{folder}/adapter_config.json") as f:
                configs[option] = json.load(f)
    return configs


def provenance(folder):
    lines = [f"# Adapters of PEFT {peft.__version__}", "", "Format: the head of `scripts/make_peft_golden.py`, which wrote them. "
             "Random numbers: no licence but this project's own.", "", "* Command: `python scripts/make_peft_golden.py`",
             f"* Versions: Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
             f"peft {peft.__version__}, safetensors {safetensors.__version__}", "", "## sha256", "", "```"]
    for path in sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, names in os.walk(folder) for f in names):
        if path != "PROVENANCE.md":
            with open(os.path.join(folder, path), "rb") as f:
                lines.append(f"{hashlib.sha256(f.read()).hexdigest()}  {path}")
    with open(f"{folder}/PROVENANCE.md", "w") as f:
        f.write("\n".join([*lines, "```", ""]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(GOLDEN, "peft")
    folder = os.path.join(root, peft.__version__)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    base = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama2", torch_dtype=torch.float32).double().eval()
    out = {"ids": torch.tensor(IDS), "base": logits(base).float()}
    for name, options in ADAPTERS.items():
        if all(option in inspect.signature(LoraConfig).parameters for option in options):
            out[name] = write(folder, name, options)
            gap = (out[name] - out["base"]).abs().max().item()
            print(f"{name}: {gap:.3g} from the base")
            assert gap > 0.1
    save_file(out, f"{folder}/logits.safetensors")
    with open(f"{folder}/refused.json", "w") as f:
        f.write(json.dumps(refused(), indent=1, sort_keys=True) + "\n")
    provenance(folder)
