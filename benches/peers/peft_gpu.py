"""Training steps of the Llama-2-7B shape in PyTorch and PEFT on one GPU: random weights, LoRA r 16 on all linear layers, bf16
base, f32 adapters, scaled-dot-product attention. Called by scripts/gpu_check.sh; the same tokens as examples/gpu_check.rs.
"""
import argparse
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--layers", type=int, default=32)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--length", type=int, default=300)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--checkpointing", action="store_true")
args = parser.parse_args()

torch.manual_seed(0)
config = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=args.layers, num_attention_heads=32,
                     num_key_value_heads=32, vocab_size=32000, max_position_embeddings=4096, use_cache=False)
with torch.device("cuda"):
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
    torch.set_default_dtype(torch.float32)
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
if args.checkpointing:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, fused=True)
tokens = args.batch * args.length
ids = (torch.arange(tokens, device="cuda") * 7919 % 32000).view(args.batch, args.length)
labels = ids.clone()
labels[:, : args.length - args.length // 5] = -100


def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    return loss


for _ in range(2):
    step()
torch.cuda.synchronize()
start = time.perf_counter()
for _ in range(args.steps):
    loss = step()
torch.cuda.synchronize()
seconds = time.perf_counter() - start
print(f"PEFT, batch {args.batch} x {args.length}{', checkpointing' if args.checkpointing else ''}: {tokens * args.steps / seconds:.0f} tokens/s, "
      f"peak {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB, loss {loss.item():.3f}")
