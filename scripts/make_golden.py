#!/usr/bin/env python3
"""Writes the golden folders under fixtures/golden: tiny random models, PEFT adapters, and what PyTorch computes with them.

    python scripts/make_golden.py [fixtures/golden]

needs torch, transformers and peft; the versions that wrote the committed files are in fixtures/golden/PROVENANCE.md, and a
second run with those versions writes the same bytes. Weights are stored in f32; everything is computed in f64 (RMSNorm and RoPE
tables in f32, as transformers has them), so that a golden value is exact beside the 1e-4 it is compared to.

Of each architecture:
  config.json           as this transformers writes it; config.old.json (llama32, mistral): the same model in the older keys
  model.safetensors     (llama32 also pytorch_model.bin)
  adapter/              a PEFT LoRA adapter with random A and B, as PEFT saves it (llama2 also adapter_bin/, the older file)
  golden.safetensors    ids [T] and cu_seqlens [4] of three sequences of uneven length, first_target [3]: index within each
                        sequence of the first token that is a target; then
    logits.base, logits.adapter, logits.merged   [T, vocab] f32
    nll.base, nll.adapter   [3] f64: sum over each sequence's targets       targets   [3]
    grad.<module>.lora_A.weight, grad.<module>.lora_B.weight   d(sum of all NLL)/d(weight), f32
    steps.loss, steps.grad_norm, steps.learning_rate   [10] f64: AdamW, see `ten_steps`
    greedy.prompt, greedy.tokens   50 tokens with the adapter
"""

import copy, hashlib, json, os, platform, shutil, sys

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes target_modules in the order of a set
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import peft, safetensors, torch, transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

LENGTHS = [13, 5, 22]
FIRST_TARGET = [9, 2, 15]
STEPS, WARMUP, RATE, DECAY, MAX_NORM = 10, 2, 1e-3, 0.01, 0.5
SHAPE = dict(vocab_size=67, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)
ADAPTER = dict(r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")

# name -> seed, config, LoRA options on top of ADAPTER
ARCHITECTURES = {
    # the plain case: as many key/value heads as heads, a head of its own
    "llama2": (11, LlamaConfig(num_key_value_heads=4, rope_parameters=dict(rope_type="default", rope_theta=10000.0), **SHAPE), {}),
    # head_dim 8 and theta 10000: wavelengths 6.3, 63, 628 and 6283 against the borders 128/4 and 128/1
    "llama31": (21, LlamaConfig(num_key_value_heads=2, tie_word_embeddings=False, rope_parameters=LLAMA3 | dict(factor=8.0), **SHAPE), {}),
    "llama32": (12, LlamaConfig(num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=LLAMA3 | dict(factor=32.0), **SHAPE), {}),
    # 4 heads of 12 in a hidden size of 32; a window shorter than two of the sequences
    "mistral": (13, MistralConfig(num_key_value_heads=2, head_dim=12, sliding_window=6, tie_word_embeddings=False,
                                  rope_parameters=dict(rope_type="default", rope_theta=50000.0), **SHAPE), dict(use_rslora=True)),
    # biases everywhere a Llama may have them; another rank and another alpha for some modules
    "llama_bias": (14, LlamaConfig(num_key_value_heads=2, attention_bias=True, mlp_bias=True,
                                   rope_parameters=dict(rope_type="default", rope_theta=10000.0), **SHAPE),
                   dict(rank_pattern={"k_proj": 3}, alpha_pattern={"down_proj": 5, "k_proj": 7})),
    # biases on q, k and v alone, without a flag; a window on the second block only; an adapter on some layers, named by a regex
    "qwen2": (16, Qwen2Config(num_key_value_heads=1, tie_word_embeddings=True, use_sliding_window=True, sliding_window=6, max_window_layers=1,
                              rope_parameters=dict(rope_type="default", rope_theta=1000000.0), **SHAPE),
              dict(target_modules=r".*\.(0\.self_attn\.[qv]_proj|1\.self_attn\..*|[01]\.mlp\.(up|down)_proj)")),
    # queries and keys normalised by head; 4 heads of 12 in a hidden size of 32
    "qwen3": (17, Qwen3Config(num_key_value_heads=2, head_dim=12, tie_word_embeddings=False,
                              rope_parameters=dict(rope_type="default", rope_theta=1000000.0), **SHAPE), {}),
}


def randomise(model):
    """Weights at which every part matters: attention that is peaked, norms that are not 1, logits with a spread above 1."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                p.normal_(0.0, 0.3)
            elif "embed_tokens" in name:
                p.normal_(0.0, 0.5)
            else:
                gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.2
                p.normal_(0.0, gain / p.shape[1] ** 0.5)


def randomise_adapter(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_A" in name:
                p.normal_(0.0, 1.0 / p.shape[1] ** 0.5)
            elif "lora_B" in name:
                p.normal_(0.0, 0.15)


def logits_alone(model, sequences):
    """Each sequence by itself: no mask, no padding."""
    return torch.cat([model(input_ids=s[None], use_cache=False).logits[0] for s in sequences])  # [T, vocab]


def logits_padded(model, sequences):
    """The same as one right-padded batch under an attention mask."""
    longest = max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, s in enumerate(sequences):
        ids[i, : len(s)], mask[i, : len(s)] = s, 1
    out = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return torch.cat([out[i, : len(s)] for i, s in enumerate(sequences)])


def nll(logits, sequences):
    """Sum of the targets' negative log-likelihood, per sequence: the row before a target predicts it."""
    sums, start = [], 0
    for s, first in zip(sequences, FIRST_TARGET):
        rows = logits[start + first - 1 : start + len(s) - 1]
        sums.append(torch.nn.functional.cross_entropy(rows, s[first:], reduction="sum"))
        start += len(s)
    return torch.stack(sums)


def adapter_name(parameter):
    return parameter.removeprefix("base_model.model.").replace(".default", "")


def gradients(model, sequences):
    model.zero_grad()
    nll(logits_alone(model, sequences), sequences).sum().backward()
    return {adapter_name(n): p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def ten_steps(model, sequences, max_norm=MAX_NORM):
    """Ten AdamW steps on one batch; the loss is the mean over its targets, the norm is the one before clipping."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    targets = sum(len(s) - f for s, f in zip(sequences, FIRST_TARGET))
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nll(logits_alone(model, sequences), sequences).sum() / targets
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, max_norm).item())
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return losses, norms, rates


def greedy(model, prompt, new):
    """By whole forward passes, checked against generate() with its cache. Ties would make the golden fragile: none is near."""
    ids, margin = prompt, float("inf")
    for _ in range(new):
        top = model(input_ids=ids[None], use_cache=False).logits[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        ids = torch.cat([ids, top.indices[:1]])
    cached = model.generate(input_ids=prompt[None], max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0)[0]
    assert torch.equal(ids, cached), "generate() with its cache differs from whole forward passes"
    assert margin > 1e-3, f"two tokens lie {margin} apart"
    return ids[len(prompt):]


def differs(what, a, b, at_least):
    gap = (a - b).abs().max().item()
    print(f"  {what}: {gap:.3g}")
    assert gap > at_least, f"{what} changes the logits by {gap} only: the golden would not notice it"


def check_sensitivity(name, model, config, logits, sequences):
    """A golden that a wrong implementation also meets is worth nothing."""
    def with_config(edit):
        other = copy.deepcopy(config)
        edit(other)
        wrong = type(model)(other)
        wrong.load_state_dict(model.state_dict(), strict=False)  # a removed bias is one of the edits
        return logits_alone(wrong.double().eval(), sequences)

    def rope(key, value):
        return lambda c: c.rope_parameters.update({key: value})

    if name in ("llama31", "llama32"):
        differs("no rope scaling", logits, with_config(rope("rope_type", "default")), 0.1)
        scaled, factor = model.model.rotary_emb.inv_freq, config.rope_parameters["factor"]
        plain = 10000.0 ** (-torch.arange(4) / 4)
        kept, smooth, *low = (scaled / plain).tolist()
        assert abs(kept - 1) < 1e-6 and 0.2 < smooth < 0.9 and all(abs(x - 1 / factor) < 1e-6 for x in low), "a branch is not hit"
        for i, times in ((0, 1 / factor), (1, 1.0), (1, 1 / factor), (2, 1.0), (3, 1.0)):
            wrong = copy.deepcopy(model)
            wrong.model.rotary_emb.inv_freq[i] = plain[i] * times
            differs(f"frequency {i} times {times:.3f} for {scaled[i] / plain[i]:.3f}", logits, logits_alone(wrong, sequences), 1e-3)
    if name == "mistral":
        differs("a window of one key more", logits, with_config(lambda c: setattr(c, "sliding_window", 7)), 1e-2)
        differs("a window of one key fewer", logits, with_config(lambda c: setattr(c, "sliding_window", 5)), 1e-2)
        differs("theta 10000", logits, with_config(rope("rope_theta", 10000.0)), 1e-2)
    if name == "llama_bias":
        differs("no attention bias", logits, with_config(lambda c: setattr(c, "attention_bias", False)), 0.1)
        differs("no MLP bias", logits, with_config(lambda c: setattr(c, "mlp_bias", False)), 0.1)
    if name == "qwen2":
        for projection in ("q_proj", "k_proj", "v_proj"):
            wrong = copy.deepcopy(model)
            for layer in wrong.model.layers:
                getattr(layer.self_attn, projection).bias.zero_()
            # Of a key bias, softmax sees only what the rotation makes of it.
            differs(f"no bias on {projection}", logits, logits_alone(wrong, sequences), 0.1)
        for windows in (["full_attention"] * 2, ["sliding_attention"] * 2, ["sliding_attention", "full_attention"]):
            differs(f"windows: {windows}", logits, with_config(lambda c: setattr(c, "layer_types", windows)), 1e-2)
    if name == "qwen3":
        for norm in ("q_norm", "k_norm"):
            wrong, plain = copy.deepcopy(model), copy.deepcopy(model)
            for layer in wrong.model.layers:
                setattr(layer.self_attn, norm, torch.nn.Identity())
            for layer in plain.model.layers:
                getattr(layer.self_attn, norm).weight.fill_(1.0)
            differs(f"no {norm}", logits, logits_alone(wrong, sequences), 0.1)
            differs(f"no weights in {norm}", logits, logits_alone(plain, sequences), 0.1)


def old_style(config):
    """The keys that transformers 4 wrote: rope_theta and rope_scaling at the top, torch_dtype."""
    rope = dict(config.pop("rope_parameters"))
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.43.0"
    return config


def write(folder, name, seed, config, lora):
    print(name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    config._attn_implementation = "sdpa"  # eager attention would round its softmax to f32
    model = AutoModelForCausalLM.from_config(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    os.remove(f"{folder}/generation_config.json")
    if name in ("llama32", "mistral"):
        with open(f"{folder}/config.json") as f:
            old = old_style(json.load(f))
        with open(f"{folder}/config.old.json", "w") as f:
            f.write(json.dumps(old, indent=2, sort_keys=True) + "\n")
    if name == "llama32":
        torch.save(model.state_dict(), f"{folder}/pytorch_model.bin")

    sequences = [torch.cat([torch.tensor([1]), torch.randint(3, SHAPE["vocab_size"], (n - 2,)), torch.tensor([2])]) for n in LENGTHS]
    out = {"ids": torch.cat(sequences), "cu_seqlens": torch.tensor([0, *LENGTHS]).cumsum(0),
           "first_target": torch.tensor(FIRST_TARGET), "targets": torch.tensor([n - f for n, f in zip(LENGTHS, FIRST_TARGET)])}

    base = copy.deepcopy(model).double()
    with torch.no_grad():
        logits = logits_alone(base, sequences)
        torch.testing.assert_close(logits_padded(base, sequences), logits, rtol=0, atol=1e-5)
        assert logits.std() > 1.0, f"logits have a spread of {logits.std()}"
        check_sensitivity(name, base, config, logits, sequences)
        out["logits.base"], out["nll.base"] = logits.float(), nll(logits, sequences)

    model.name_or_path = name  # becomes base_model_name_or_path
    tuned = get_peft_model(model, LoraConfig(**(ADAPTER | lora)))
    tuned.peft_config["default"].base_model_name_or_path = name
    randomise_adapter(tuned)
    tuned.save_pretrained(f"{folder}/adapter")
    if name == "llama2":
        # What PEFT wrote before it had safetensors, and still loads: torch.save of the same state dict.
        os.makedirs(f"{folder}/adapter_bin")
        shutil.copy(f"{folder}/adapter/adapter_config.json", f"{folder}/adapter_bin")
        torch.save(load_file(f"{folder}/adapter/adapter_model.safetensors"), f"{folder}/adapter_bin/adapter_model.bin")
    for d in ("adapter", "adapter_bin"):
        if os.path.exists(f"{folder}/{d}/README.md"):
            os.remove(f"{folder}/{d}/README.md")

    tuned = tuned.double().eval()
    with torch.no_grad():
        logits = logits_alone(tuned, sequences)
        out["logits.adapter"], out["nll.adapter"] = logits.float(), nll(logits, sequences)
        prompt = sequences[1]
        out["greedy.prompt"], out["greedy.tokens"] = prompt, greedy(tuned, prompt, 50)
        merged = logits_alone(copy.deepcopy(tuned).merge_and_unload(), sequences)
        torch.testing.assert_close(merged, logits, rtol=0, atol=1e-5)
        out["logits.merged"] = merged.float()
        # The files, not what was in memory, are what the golden values belong to; and by transformers' other attention.
        again = PeftModel.from_pretrained(type(base).from_pretrained(folder, attn_implementation="eager"), f"{folder}/adapter").double().eval()
        torch.testing.assert_close(logits_alone(again, sequences), logits, rtol=0, atol=1e-5)
    grads = gradients(tuned, sequences)
    out |= {f"grad.{n}": g.float() for n, g in grads.items()}
    assert all(g.norm() > 1e-2 for g in grads.values())

    losses, norms, rates = ten_steps(copy.deepcopy(tuned), sequences)
    unclipped, _, _ = ten_steps(copy.deepcopy(tuned), sequences, max_norm=1e9)
    print("  steps:", *(f"{x:.4f}" for x in losses), " norms:", *(f"{x:.3f}" for x in norms))
    print(f"  without clipping: {max(abs(a - b) for a, b in zip(losses, unclipped)):.2g}")
    assert min(norms) > MAX_NORM and losses[-1] < losses[0] - 0.05
    out |= {f"steps.{k}": torch.tensor(v, dtype=torch.float64) for k, v in
            (("loss", losses), ("grad_norm", norms), ("learning_rate", rates))}
    save_file({k: v.contiguous() for k, v in out.items()}, f"{folder}/golden.safetensors")


def provenance(root, command):
    lines = ["# Golden files", "",
             "Tiny random models of each architecture, LoRA adapters written by PEFT, and what PyTorch computes with them.",
             "Random weights: no licence but this project's own. Format: the head of `scripts/make_golden.py`.", "",
             f"* Script: `scripts/make_golden.py`, command: `{command}`",
             f"* Versions: Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
             f"peft {peft.__version__}, safetensors {safetensors.__version__}",
             "* Seeds: " + ", ".join(f"{n} {a[0]}" for n, a in ARCHITECTURES.items()), "", "## sha256", "", "```"]
    # a folder with a PROVENANCE.md of its own speaks for itself
    others = [d for d, _, names in os.walk(root) if d != root and "PROVENANCE.md" in names]
    files = sorted(os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names
                   if not any(d == other or d.startswith(other + os.sep) for other in others))
    for path in files:
        if path != "PROVENANCE.md":
            with open(os.path.join(root, path), "rb") as f:
                lines.append(f"{hashlib.sha256(f.read()).hexdigest()}  {path}")
    with open(os.path.join(root, "PROVENANCE.md"), "w") as f:
        f.write("\n".join([*lines, "```", ""]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "fixtures", "golden")
    for name, (seed, config, lora) in ARCHITECTURES.items():
        write(os.path.join(root, name), name, seed, config, lora)
    provenance(root, "python scripts/make_golden.py")
