#!/usr/bin/env python3
"""Applies an exported GGUF adapter with llama.cpp itself, and compares what it predicts.

    sft-infer --model_path ADAPTER_DIR --base_model MODEL_DIR --export_gguf_lora adapter.gguf
    cargo run --release --example logits -- MODEL_DIR 1,5,9,12 ADAPTER_DIR > ours.json
    python scripts/check_llama_cpp.py MODEL_DIR 1,5,9,12 adapter.gguf ours.json

needs torch, safetensors, gguf and xllamacpp (llama.cpp as a library). For tiny models only, such as those in fixtures/golden: it
writes the base as a GGUF file in f32, as llama.cpp's own converter does, with a vocabulary of bytes, and asks for the
logarithms of all probabilities after each prefix of each sequence. llama.cpp has no sliding window for these architectures:
give sequences shorter than it. Prints the largest difference, with and without the adapter; fails above 1e-4.
"""

import json, math, os, sys, tempfile, urllib.request

import gguf, torch, xllamacpp
from safetensors.torch import load_file

ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "mistral": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
                 "qwen3": gguf.MODEL_ARCH.QWEN3}


def permute(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def rope_factors(rope, head_dim):
    """Of Llama 3.1: what each frequency is divided by."""
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / head_dim)
        original, low, high = (rope[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors)


def write_base(model_dir, path):
    with open(f"{model_dir}/config.json") as f:
        config = json.load(f)
    arch = ARCHITECTURES[config["model_type"]]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config["rope_parameters"]
    w = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_vocab_size(config["vocab_size"])
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    size = config["vocab_size"]
    w.add_tokenizer_model("llama")
    w.add_token_list(["<unk>", "<s>", "</s>", "<0x0A>"] + [f"<0x{0x20 + i:02X}>" for i in range(size - 4)])
    w.add_token_scores([0.0] * size)
    w.add_token_types([gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.BYTE] * (size - 3))
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    for name, tensor in load_file(f"{model_dir}/model.safetensors").items():
        if arch == gguf.MODEL_ARCH.LLAMA and ".q_proj." in name:
            tensor = permute(tensor, heads)
        if arch == gguf.MODEL_ARCH.LLAMA and ".k_proj." in name:
            tensor = permute(tensor, kv_heads)
        w.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), tensor.float().contiguous().numpy())
    if rope["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", rope_factors(rope, head_dim).numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def log_probabilities(base, adapter, sequences):
    """Of each sequence, [T, vocab]."""
    params = xllamacpp.CommonParams()
    params.model.path = base
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.port, params.warmup = 256, 1, 0, 0, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)
    rows = []
    for sequence in sequences:
        rows.append([])
        for end in range(1, len(sequence) + 1):
            body = {"prompt": sequence[:end], "n_predict": 1, "n_probs": 1000, "cache_prompt": False, "temperature": 0}
            request = urllib.request.Request(f"{server.listening_address}/completion", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            answer = json.load(urllib.request.urlopen(request))
            top = answer["completion_probabilities"][0]["top_logprobs"]
            rows[-1].append([p for _, p in sorted((entry["id"], entry["logprob"]) for entry in top)])
    return [torch.tensor(r, dtype=torch.float64) for r in rows]


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    model_dir, ids, adapter, ours_json = sys.argv[1:]
    sequences = [[int(i) for i in s.split(",")] for s in ids.split(";")]
    with open(ours_json) as f:
        ours = [torch.tensor(rows, dtype=torch.float64).log_softmax(-1) for rows in json.load(f)]
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.join(folder, "base.gguf")
        write_base(model_dir, base)
        gap, effect = (max((a - b).abs().max().item() for a, b in zip(ours, log_probabilities(base, lora, sequences)))
                       for lora in (adapter, None))
    print(f"largest difference of a log-probability: {gap:.2e}; without the adapter {effect:.2e}")
    sys.exit(gap > 1e-4 or effect < 1e-2)
