"""Greedy generation beside transformers on this machine: the same model and prompt, in turns.

    cargo build --release
    pip install -r requirements.txt
    python decode.py [--model DIR] [--dtypes f32,bf16] [--tokens 100] [--repeats 3]

Without --model a Llama of 124 M random parameters is made. Speed is the median over the repeats of tokens a second after the
prompt. Leave the machine alone meanwhile.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = {"f32": "float32", "bf16": "bfloat16"}
NOTE = "Patient reports fever and cough for three days with a sore throat and no rash."


def peer(model, dtype, tokens):
    """Run by itself in another process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, NAMES[dtype])).eval()
    ids = tokenizer(f"### Clinical note:\n{NOTE}\n\n### Summary:\n", return_tensors="pt").input_ids
    times = []
    with torch.inference_mode():
        for count in (1, 1, tokens):   # the first to warm up
            begin = time.perf_counter()
            network.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count, max_new_tokens=count, pad_token_id=0)
            times.append(time.perf_counter() - begin)
    print((tokens - 1) / (times[2] - times[1]))


def ours(binary, model, dtype, tokens):
    command = [binary, "--model_path", model, "--clinical_note", NOTE, "--max_new_tokens", str(tokens), "--dtype", dtype, "--device", "cpu", "--json"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if answer["generated_tokens"] != tokens:
        sys.exit("the model ended its answer early: take one that does not")
    return answer["decode_tokens_per_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--binary", default=str(ROOT / "target/release/sft-infer"))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.model, args.peer, args.tokens)
    with tempfile.TemporaryDirectory() as work:
        if args.model is None:
            args.model = f"{work}/model"
            subprocess.run([sys.executable, HERE / "make_model.py", "--shape", "124m", "--out", args.model], check=True, capture_output=True)
        for dtype in args.dtypes.split(","):
            speeds = [], []
            for _ in range(args.repeats):
                command = [sys.executable, __file__, "--peer", dtype, "--model", args.model, "--tokens", str(args.tokens)]
                speeds[0].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                speeds[1].append(ours(args.binary, args.model, dtype, args.tokens))
            theirs, own = map(statistics.median, speeds)
            print(f"{dtype:5} transformers {theirs:6.1f} tokens/s, this {own:6.1f}: {own / theirs:.1f}x", flush=True)


if __name__ == "__main__":
    main()
