"""Writes optim.json: what torch.optim.AdamW, clip_grad_norm_ and transformers' schedules compute.

    python make_golden.py            # needs torch and transformers; the versions used are written into the file

Every float32 is written as its exact decimal value, every rate as Python's float64.
"""

import json
import pathlib

import torch
import transformers
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

SHAPES = {"a": [2, 3], "b": [4]}
STEPS = 6


def adamw(weight_decay: float, max_norm: float) -> dict:
    generator = torch.Generator().manual_seed(7)
    draw = lambda shape: torch.randn(shape, generator=generator, dtype=torch.float32)
    parameters = {name: torch.nn.Parameter(draw(shape)) for name, shape in SHAPES.items()}
    case = {"weight_decay": weight_decay, "max_norm": max_norm, "start": values(parameters), "steps": []}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
    )
    for step in range(STEPS):
        gradients = {name: draw(shape) * (0.1 + step) for name, shape in SHAPES.items()}
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
        clipped = {name: parameter.grad for name, parameter in parameters.items()}
        optimizer.param_groups[0]["lr"] = lr = [0.0, 1e-2, 3e-2, 2e-2, 1e-2, 3e-3][step]
        case["steps"].append({"lr": lr, "gradients": values(gradients), "norm": norm.item(), "clipped": values(clipped)})
        optimizer.step()
        state = optimizer.state
        case["steps"][-1] |= {
            "parameters": values(parameters),
            "exp_avg": {n: flat(state[p]["exp_avg"]) for n, p in parameters.items()},
            "exp_avg_sq": {n: flat(state[p]["exp_avg_sq"]) for n, p in parameters.items()},
        }
    return case


def flat(tensor: torch.Tensor) -> list[float]:
    return tensor.detach().flatten().tolist()


def values(tensors: dict) -> dict:
    return {name: flat(tensor) for name, tensor in tensors.items()}


def schedule(kind: str, warmup_ratio: float, total: int, peak: float) -> dict:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    warmup = transformers.TrainingArguments(
        output_dir="unused", warmup_steps=warmup_ratio, use_cpu=True
    ).get_warmup_steps(total)
    if kind == "cosine":
        lr = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    elif kind == "linear":
        lr = get_linear_schedule_with_warmup(optimizer, warmup, total)
    else:
        lr = get_constant_schedule_with_warmup(optimizer, warmup)
    rates = []
    for _ in range(total):
        rates.append(lr.get_last_lr()[0])
        optimizer.step()
        lr.step()
    return {"kind": kind, "warmup_ratio": warmup_ratio, "total": total, "peak": peak, "warmup_steps": warmup, "rates": rates}


golden = {
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "adamw": [adamw(0.0, 1.0), adamw(0.1, 2.5), adamw(0.01, 1e6)],
    "schedules": [
        schedule(kind, ratio, total, 2e-4)
        for kind in ("cosine", "linear", "constant")
        for ratio, total in ((0.0, 7), (0.1, 13), (0.3, 10), (0.5, 9))
    ],
}
path = pathlib.Path(__file__).with_name("optim.json")
path.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
