"""Writes a Llama of random weights as a Hugging Face folder: something to time that needs no download.

    python make_model.py --shape 124m --out DIR [--dtype float32] [--tokenizer TOKENIZER_DIR]

The shapes are those of SmolLM-135M (with 32,000 tokens: 124 M parameters), TinyLlama-1.1B and Llama-2-7B. The tokenizer is
any folder that has a tokenizer.json of at most 32,000 tokens; by default the one of the model that this project carries.
"""
import argparse
import pathlib
import shutil

import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = {  # hidden, intermediate, layers, heads, key/value heads, tied head
    "124m": (576, 1536, 30, 9, 3, True),
    "1b": (2048, 5632, 22, 32, 4, False),
    "7b": (4096, 11008, 32, 32, 32, False),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="124m")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tokenizer", type=pathlib.Path, default=ROOT / "fixtures" / "embedded_base")
    args = parser.parse_args()
    hidden, intermediate, layers, heads, kv_heads, tied = SHAPES[args.shape]
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, args.dtype))
    config = LlamaConfig(
        vocab_size=32000, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, tie_word_embeddings=tied, max_position_embeddings=4096, rms_norm_eps=1e-5)
    LlamaForCausalLM(config).save_pretrained(args.out, max_shard_size="2GB")
    for path in args.tokenizer.iterdir():
        if path.name.startswith("tokenizer"):
            shutil.copy(path, args.out)


if __name__ == "__main__":
    main()
