"""Trains the embedded base: tokenizer, then a small Llama, on text made as it goes.

    python train_base.py --sample ../../fixtures/phase1_data/sft --out ../../fixtures/embedded_base --tokens 10e6

Offline and deterministic up to the arithmetic of the machine; see PROVENANCE.md beside the result.
"""
import argparse
import csv
import hashlib
import json
import math
import pathlib
import platform
import random
import time

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

import pretraining

VOCAB, SEQUENCE = 4096, 512
BOS, EOS = 0, 1


def train_tokenizer(seed, forbidden):
    rng = random.Random(f"tokenizer {seed}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["".join(text for text, _ in pretraining.document(rng, forbidden)) for _ in range(12000)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)])
    return tokenizer


def stream(tokenizer, seed, forbidden, note_weight):
    """Rows of SEQUENCE + 1 ids with the weight of each as a target."""
    rng = random.Random(f"text {seed}")
    ids, weights = [], []
    while True:
        pieces = pretraining.document(rng, forbidden)
        ids.append(BOS), weights.append(0.0)
        for encoding, (_, restated) in zip(tokenizer.encode_batch([p[0] for p in pieces], add_special_tokens=False), pieces):
            ids += encoding.ids
            weights += [1.0 if restated else note_weight] * len(encoding.ids)
        ids.append(EOS), weights.append(1.0)
        while len(ids) > SEQUENCE:
            yield ids[:SEQUENCE + 1], weights[:SEQUENCE + 1]
            ids, weights = ids[SEQUENCE:], weights[SEQUENCE:]


def batch_of(rows, size):
    picked = [next(rows) for _ in range(size)]
    return torch.tensor([r[0] for r in picked]), torch.tensor([r[1] for r in picked])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--tokens", type=float, default=10e6)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--init", type=pathlib.Path, help="go on from the base in this folder, with its tokenizer, fresh optimizers and the text of --seed")
    parser.add_argument("--note_weight", type=float, default=0.25, help="of the notes' tokens in the loss; restated ones have 1")
    parser.add_argument("--stop", type=int, help="end after this many steps of the schedule")
    parser.add_argument("--flat", type=float, default=0.4, help="share of the steps before the rate falls")
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--shape", default="192,6,512,6,6", help="hidden, layers, intermediate, heads, key/value heads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    forbidden = {pretraining.normalised(row["clinical_note"]) for path in sorted(args.sample.glob("*.csv")) for row in csv.DictReader(path.open(encoding="utf-8"))}
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json")) if args.init else train_tokenizer(args.seed, forbidden)
    tokenizer.save(str(args.out / "tokenizer.json"))
    hidden, layers, intermediate, heads, kv = map(int, args.shape.split(","))
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                         max_position_embeddings=SEQUENCE, tie_word_embeddings=True, rms_norm_eps=1e-5, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=None)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():   # small projections into the residual stream, as GPT-2 has them
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.data.mul_(1 / math.sqrt(2 * layers))
    if args.init:
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32)
    total = sum(p.numel() for p in model.parameters())
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [torch.optim.Muon(matrices, lr=args.lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)]
    steps = int(args.tokens / (args.batch * SEQUENCE))
    print(f"{total} parameters, {steps} steps", flush=True)
    rows, start, smooth = stream(tokenizer, args.seed, forbidden, args.note_weight), time.time(), None
    for step in range(steps):
        rate = min(1.0, (step + 1) / 60) * (1.0 if step < args.flat * steps else max(0.02, (steps - step) / ((1 - args.flat) * steps)))
        ids, weights = batch_of(rows, args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids[:, :-1]).logits
        losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        wanted = weights[:, 1:].flatten()
        loss = (losses * wanted).sum() / wanted.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * rate
            optimizer.step()
            optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            restated = wanted == 1.0
            shown = (losses.detach()[restated].mean().item(), losses.detach()[~restated].mean().item())
            print(f"step {step}/{steps} loss restated {shown[0]:.3f} notes {shown[1]:.3f} lr {args.lr * rate:.2e} {(step + 1) * args.batch * SEQUENCE / (time.time() - start):.0f} tok/s", flush=True)
        if (step + 1) % args.every == 0 or step == steps - 1 or step + 1 == args.stop:
            save(model, tokenizer, args.out)
        if step + 1 == args.stop:
            break
    provenance(args, total, step + 1, shown, time.time() - start)


def save(model, tokenizer, out):
    import copy
    half = copy.deepcopy(model).to(torch.bfloat16)
    half.config.dtype = torch.bfloat16
    half.save_pretrained(out)
    (out / "generation_config.json").write_text(json.dumps({"bos_token_id": BOS, "eos_token_id": EOS}, indent=2) + "\n")
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "model_max_length": SEQUENCE,
        "clean_up_tokenization_spaces": False}, indent=2) + "\n")


def provenance(args, total, steps, shown, seconds):
    facts = {"parameters": total, "steps": steps, "tokens": steps * args.batch * SEQUENCE, "seed": args.seed, "batch": args.batch, "learning_rate": args.lr,
             "final_loss_restatements": round(shown[0], 4), "final_loss_notes": round(shown[1], 4), "seconds": round(seconds), "threads": args.threads,
             "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
             "sha256": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(args.out.iterdir()) if p.suffix in (".json", ".safetensors") and p.name != "training.json"}}
    (args.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
