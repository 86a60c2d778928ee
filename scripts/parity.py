#!/usr/bin/env python3
"""This project beside transformers and PEFT on a model of your own: differences of ids, logits, losses, gradients, steps and text.

    python scripts/parity.py MODEL_DIR ROWS.csv [--rows 200] [--seed 42]

needs torch, transformers and peft. It runs `cargo run --example parity`, which writes what this project computes on the
first rows of the CSV file with a random adapter, loads that adapter with PEFT, computes the same in f32, and prints one line for
each comparison. Exit code 1 when a difference is above its tolerance.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parent.parent
failed = False


def report(what, difference, tolerance):
    global failed
    ok = difference <= tolerance
    failed |= not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what:<52} {difference:10.2e}  (allowed {tolerance:.0e})", flush=True)


def ids_of(tokenizer, facts, rows):
    """Prompt and summary in one go, EOS at the end; and where the summary starts."""
    for note, summary in rows:
        prompt = facts["template"].replace("{clinical_note}", note)
        ids = tokenizer(prompt + summary).input_ids + [facts["eos_id"]]
        yield ids, len(tokenizer(prompt).input_ids)


def nll(model, ids, first, keep=None):
    logits = model(input_ids=ids[None], use_cache=False).logits[0, first - 1:-1].float()
    if keep is not None:
        keep.append(logits.detach())
    return torch.nn.functional.cross_entropy(logits, ids[first:], reduction="sum")


def name_of(parameter):
    return parameter.removeprefix("base_model.model.").replace(".default", "")


def ten_steps(model, examples, batch, steps):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    losses, norms, place = [], [], 0
    for _ in range(steps):
        if place >= len(examples):
            place = 0
        window = examples[place:place + batch]
        place += batch
        targets = sum(len(ids) - first for ids, first in window)
        optimizer.zero_grad()
        total = 0.0
        for ids, first in window:
            loss = nll(model, ids, first) / targets
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 0.5).item())
        losses.append(total)
        optimizer.step()
    return torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("csv", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "parity"
        command = ["cargo", "run", "--quiet", "--example", "parity", "--", args.model.resolve(), args.csv.resolve(), out, str(args.rows), str(args.seed)]
        subprocess.run(command, cwd=ROOT, check=True)
        compare(args, out)
    sys.exit(failed)


def compare(args, out):
    ours, facts = load_file(out / "parity.safetensors"), json.loads((out / "parity.json").read_text())
    borders, firsts = ours["cu_seqlens"].tolist(), ours["first_target"].tolist()
    examples = [(ours["ids"][a:b], first) for a, b, first in zip(borders, borders[1:], firsts)]
    print(f"{len(examples)} rows, {borders[-1]} tokens; torch {torch.__version__}, transformers {transformers.__version__}")

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(args.model / "tokenizer.json"))
    tokenizer.backend_tokenizer.encode_special_tokens = True   # a control string in a note is text
    theirs = ids_of(tokenizer, facts, facts["rows"])
    different = sum(ids.tolist() != other or first != start for (ids, first), (other, start) in zip(examples, theirs))
    report("rows with other ids or another first target", different, 0)

    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, out / "adapter", is_trainable=True).eval()
    kept = []
    with torch.no_grad():
        sums = [nll(model, ids, first, kept if i < facts["with_logits"] else None).item() for i, (ids, first) in enumerate(examples)]
    targets = torch.tensor([len(ids) - first for ids, first in examples], dtype=torch.float64)
    gap = (ours["nll"] - torch.tensor(sums, dtype=torch.float64)).abs() / targets
    logits = torch.cat(kept)
    print(f"     logits from {logits.min():.1f} to {logits.max():.1f}; mean loss {ours['nll'].sum() / targets.sum():.4f}")
    report("logits, largest difference", (ours["logits"] - logits).abs().max().item(), 1e-4 * max(1.0, logits.abs().max().item()))
    report("loss per target of a row, largest difference", gap.max().item(), 1e-4)

    for ids, first in examples[:facts["batch"]]:
        nll(model, ids, first).backward()
    gradients = {name_of(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert {f"grad.{n}" for n in gradients} == {n for n in ours if n.startswith("grad.")}, "not the same adapters"
    worst = torch.stack([(ours[f"grad.{n}"] - g).norm() / g.norm() for n, g in gradients.items()]).max().item()
    report(f"gradients, {len(gradients)} by name, relative norm, largest", worst, 1e-4)

    with torch.no_grad():
        wrong = 0
        for (note, _), greedy in zip(facts["rows"], facts["greedy"]):
            prompt = torch.tensor(tokenizer(facts["template"].replace("{clinical_note}", note)).input_ids)
            text = model.generate(input_ids=prompt[None], attention_mask=torch.ones_like(prompt[None]), max_new_tokens=facts["new_tokens"], do_sample=False,
                                  eos_token_id=facts["stop_ids"], pad_token_id=0)[0, len(prompt):]
            wrong += text.tolist() != greedy
    report(f"greedy texts that differ, of {len(facts['greedy'])}", wrong, 0)

    losses, norms = ten_steps(model, examples, facts["batch"], len(ours["steps.loss"]))
    report("losses of ten AdamW steps, largest difference", (ours["steps.loss"] - losses).abs().max().item(), 1e-4)
    report("their gradient norms, relative, largest", (ours["steps.grad_norm"] / norms - 1).abs().max().item(), 1e-3)
    final = {k.removeprefix("base_model.model."): v for k, v in load_file(out / "run" / "final_model" / "adapter_model.safetensors").items()}
    weights = {name_of(n): p.detach() for n, p in model.named_parameters() if p.requires_grad}
    worst = torch.stack([(final[n] - w).norm() / w.norm() for n, w in weights.items()]).max().item()   # NaN if one is
    report("adapter after the steps, relative norm, largest", worst, 1e-3)


if __name__ == "__main__":
    main()
