"""Training beside PyTorch and PEFT on this machine: the same model, examples, adapter and steps, in turns.

    cargo build --release
    pip install -r requirements.txt
    python compare.py [--model DIR] [--csv ROWS.csv] [--dtypes f32,bf16] [--steps 10] [--repeats 3] [--memory_share 0.2]

Without --model a Llama of 124 M random parameters is made, without --csv the project's sample is used. Both programs start from
one adapter and take the examples in the file's order, so that their losses can be compared step by step. Speed is the median
over the repeats of tokens a second (real tokens, the first step left out). With --memory_share this program may take that share
of the memory that PEFT took at most; else it takes what keeps most. Leave the machine alone meanwhile: an OpenMP program
slows down several times beside any other load.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = {"f32": "float32", "bf16": "bfloat16"}


def speed(steps):
    timed = steps[1:] or steps
    return sum(s["tokens"] for s in timed) / sum(s["seconds"] for s in timed)


def peer(args, dtype, init):
    command = [sys.executable, HERE / "peft_train.py", "--model", args.model, "--csv", args.csv, "--dtype", NAMES[dtype],
               "--steps", str(args.steps), "--batch", str(args.batch), "--max_length", str(args.max_length), "--init", init]
    lines = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    return lines[:-1], lines[-1]["peak_mb"]


def ours(args, dtype, init, work, budget):
    out = pathlib.Path(tempfile.mkdtemp(dir=work))
    command = [args.binary, "--model_name", args.model, "--train_csv", args.csv, "--val_split", "0", "--output_dir", out, "--device", "cpu",
               "--dtype", dtype, "--batch_size", str(args.batch), "--gradient_accumulation_steps", "1", "--max_length", str(args.max_length),
               "--max_steps", str(args.steps), "--learning_rate", "2e-4", "--lr_scheduler", "constant", "--warmup_ratio", "0", "--weight_decay", "0",
               "--lora_dropout", "0", "--no_shuffle", "--init_adapter", init]
    if budget:
        command += ["--memory_budget", f"{budget:.0f}MiB"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    steps = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    steps = [step for step in steps if "loss" in step]
    return steps, steps[-1]["peak_memory_mb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--csv", default=str(ROOT / "fixtures/phase1_data/sft/train_set_processed.csv"))
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--max_length", type=int, default=512)
    parser.add_argument("--memory_share", type=float)
    parser.add_argument("--binary", default=str(ROOT / "target/release/sft-train"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if args.model is None:
            args.model = f"{work}/model"
            subprocess.run([sys.executable, HERE / "make_model.py", "--shape", "124m", "--out", args.model], check=True, capture_output=True)
        init = f"{work}/adapter"
        subprocess.run([sys.executable, HERE / "peft_train.py", "--model", args.model, "--csv", args.csv, "--save_init", init],
                       check=True, capture_output=True)
        print(f"{platform.processor() or platform.machine()}, batch {args.batch}, {args.steps} steps, median of {args.repeats}")
        print(f"{'':6}{'PEFT':>12}{'this':>12}{'ratio':>8}   {'PEFT':>10}{'this':>10}{'share':>8}   largest difference of a loss")
        for dtype in args.dtypes.split(","):
            runs = []
            for _ in range(args.repeats):
                other = peer(args, dtype, init)
                runs.append((other, ours(args, dtype, init, work, other[1] * (args.memory_share or 0))))
            speeds = [statistics.median(speed(run[side][0]) for run in runs) for side in (0, 1)]
            peaks = [statistics.median(run[side][1] for run in runs) for side in (0, 1)]
            pairs = [(a, b) for p, o in runs for a, b in zip(p[0], o[0], strict=True)]
            if any(abs(a["tokens"] - b["tokens"]) > args.batch for a, b in pairs):
                sys.exit("the two programs did not train on the same tokens: is the model's tokenizer a fast one, with a BOS and an EOS?")
            worst = max(abs(a["loss"] - b["loss"]) / a["loss"] for a, b in pairs)
            print(f"{dtype:6}{speeds[0]:8.0f} t/s{speeds[1]:8.0f} t/s{speeds[1] / speeds[0]:7.1f}x   "
                  f"{peaks[0]:7.0f} MB{peaks[1]:7.0f} MB{peaks[1] / peaks[0]:8.2f}   {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
