"""Makes the golden values of this folder with PEFT, the reference.

Made with Python 3.11, torch 2.15.0, peft 0.21.2, transformers 5.23.0:
    python make_golden.py
writes golden.json, and two adapters as PEFT saves them: peft_safetensors/ and peft_bin/.
"""

import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import nn

HERE = pathlib.Path(__file__).parent
MODULES = ["layers.0.self_attn.q_proj", "layers.0.mlp.up_proj"]
SHAPES = {MODULES[0]: (4, 5), MODULES[1]: (6, 5)}  # [out, in]
T = 7


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.Module()
        layer.self_attn, layer.mlp = nn.Module(), nn.Module()
        layer.self_attn.q_proj = nn.Linear(5, 4, bias=True)
        layer.mlp.up_proj = nn.Linear(5, 6, bias=False)
        self.layers = nn.ModuleList([layer])

    def forward(self, x):
        return {name: self.get_submodule(name)(x) for name in MODULES}


CASES = {
    "plain": (torch.float32, dict(r=3, lora_alpha=7)),
    "rslora": (torch.float32, dict(r=3, lora_alpha=7, use_rslora=True)),
    "patterns": (
        torch.float32,
        dict(r=3, lora_alpha=7, rank_pattern={"up_proj": 2}, alpha_pattern={r"layers\.\d+\.mlp\.up_proj": 5}),
    ),
    "patterns_rslora": (
        torch.float32,
        dict(r=3, lora_alpha=7, use_rslora=True, rank_pattern={"self_attn.q_proj": 5}, alpha_pattern={"q_proj": 1}),
    ),
    "bf16_base": (torch.bfloat16, dict(r=3, lora_alpha=7)),
}


def build(dtype, options):
    torch.manual_seed(3)
    config = LoraConfig(target_modules=["q_proj", "up_proj"], lora_dropout=0.0, **options)
    model = get_peft_model(Tiny().to(dtype), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:  # B != 0
            torch.nn.init.normal_(parameter.data, std=0.5)
    return model


def numbers(tensor):
    return tensor.detach().float().tolist()


def case(name, dtype, options):
    model = build(dtype, options)
    x = torch.randn(T, 5).to(dtype).requires_grad_()
    result = {"name": name, "dtype": str(dtype).removeprefix("torch."), "options": options, "x": numbers(x)}
    result["modules"] = modules = {}
    for module in MODULES:
        layer = model.base_model.model.get_submodule(module)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        dy = torch.randn(T, SHAPES[module][0]).to(dtype)
        y = layer(x)
        grads = torch.autograd.grad(y, [x, a, b], dy)
        bias = layer.base_layer.bias
        modules[module] = {
            "weight": numbers(layer.base_layer.weight),
            "bias": None if bias is None else numbers(bias),
            "a": numbers(a),
            "b": numbers(b),
            "dy": numbers(dy),
            "y": numbers(y),
            "grad_x": numbers(grads[0]),
            "grad_a": numbers(grads[1]),
            "grad_b": numbers(grads[2]),
        }
    model.merge_adapter()
    for module in MODULES:
        layer = model.base_model.model.get_submodule(module)
        modules[module]["merged"] = numbers(layer.base_layer.weight)
    return result


def main():
    golden = [case(name, dtype, options) for name, (dtype, options) in CASES.items()]
    (HERE / "golden.json").write_text(json.dumps(golden) + "\n")

    model = build(*CASES["patterns"])
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.peft_config["default"].task_type = "CAUSAL_LM"
    model.save_pretrained(HERE / "peft_safetensors")
    # What save_pretrained(safe_serialization=False) of older versions does.
    folder = HERE / "peft_bin"
    folder.mkdir(exist_ok=True)
    model.peft_config["default"].save_pretrained(folder)
    torch.save(get_peft_model_state_dict(model), folder / "adapter_model.bin")
    for path in HERE.glob("*/README.md"):
        path.unlink()


if __name__ == "__main__":
    main()
