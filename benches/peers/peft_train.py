"""The same training in PyTorch and PEFT: a plain loop at its best setting for a CPU. Called by compare.py.

Padding to the longest example of a batch, loss on the summary alone, LoRA r 16 alpha 32 on all linear layers, AdamW, a constant
rate, no dropout, no shuffling. bfloat16 means a bfloat16 base under autocast with f32 adapters. One JSON line for each step, and
one for the end.
"""
import argparse
import csv
import json
import os
import resource
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", required=True)
parser.add_argument("--csv", required=True)
parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--max_length", type=int, default=512)
parser.add_argument("--lr", type=float, default=2e-4)
parser.add_argument("--init", help="folder of the adapter to start from")
parser.add_argument("--save_init", help="write a fresh adapter here and stop")
args = parser.parse_args()

torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(args.model)
eos = tokenizer.eos_token_id
examples = []
for row in csv.DictReader(open(args.csv, encoding="utf-8", newline="")):
    if row["label"] == "factual":
        prompt = f"### Clinical note:\n{row['clinical_note'].strip()}\n\n### Summary:\n"
        first = len(tokenizer(prompt).input_ids)
        ids = tokenizer(prompt + row["model_summary"].strip()).input_ids + [eos]
        if len(ids) <= args.max_length:
            examples.append((ids, [-100] * first + ids[first:]))

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
if args.init:
    model = PeftModel.from_pretrained(model, args.init, is_trainable=True)
else:
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
if args.save_init:
    model.save_pretrained(args.save_init)
    raise SystemExit
model.train()
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.0)
for step in range(args.steps):
    batch = [examples[(step * args.batch + i) % len(examples)] for i in range(args.batch)]
    longest = max(len(ids) for ids, _ in batch)
    pad = lambda values, fill: torch.tensor([v + [fill] * (longest - len(v)) for v in values])
    ids, labels = pad([b[0] for b in batch], eos), pad([b[1] for b in batch], -100)
    mask = pad([[1] * len(b[0]) for b in batch], 0)
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    print(json.dumps({"loss": loss.item(), "tokens": int(mask.sum()), "seconds": time.perf_counter() - begin}), flush=True)
print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
