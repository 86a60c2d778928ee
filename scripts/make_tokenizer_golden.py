#!/usr/bin/env python3
"""Writes fixtures/golden/tokenizers: small tokenizers built like those of well-known models, and what the Python library makes of texts.

    python scripts/make_tokenizer_golden.py [fixtures/golden/tokenizers]

needs tokenizers and transformers; the versions that wrote the committed files are in PROVENANCE.md, and a second run with them writes
the same bytes. Every vocabulary is trained on the made-up clinical lines of `corpus`.

  llama2     SentencePiece BPE with byte fallback, `▁` by the normaliser (Llama 2, Mistral 7B v0.1), BOS
  mistral3   the same with a Metaspace pre-tokenizer, `▁` at the start of the text only (Mistral 7B v0.3), BOS
  gpt2       byte-level BPE, no BOS
  llama3     byte-level BPE with a split by a regular expression, whole words before merges, BOS
  qwen2      the same with another expression, NFC, no BOS; markup that is not marked special

  vectors.json: tokenizer -> prefix: what its post-processor puts in front; bos, eos; cases:
    text; ids: without the prefix, control strings found; decoded: those ids with control tokens, shown: without;
    prompt: ids of the default prompt with the text as its note, where control strings are text, without the prefix
"""

import hashlib, json, os, platform, random, sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import tokenizers, transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GPT2Tokenizer, LlamaTokenizer, Qwen2Tokenizer

BEFORE, AFTER = "### Clinical note:\n", "\n\n### Summary:\n"
LLAMA3_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", "\r\n", " \n \n", "a", " a", "a ", "  a  b  ", "a\u00a0b\u2009c\u3000d",
    "The patient is a 64-year-old man with chest pain.", " The patient denies fever. ", "THE PATIENT DENIES FEVER",
    "BP 142/88 mmHg, HR 101, SpO2 94 % on 2 l/min; Na+ 131, K+ 4.05; 3,000,000 units; 12345678",
    "38.5 °C, 5 µg vs 5 μg, 2 ½ tablets, 10⁹/l, ≥ 3 × 10², ±0.5, 25–30 kg·m⁻², ℃, Ω",
    "Ärztin: Übelkeit, Größe 1,82 m, Fieber über 39°; señora, naïve, œdème, Łódź",
    "cafe\u0301 au lait, A\u030a, n\u0303, \u1100\u1161, \u0301lone, q\u0307\u0323 and q\u0323\u0307", "ﬁbrosis ﬂow Å Ⅳ ｗｉｄｅ ①",
    "患者は64歳の男性で、胸痛がある。", "患者否认发热。", "환자는 발열이 없다.", "Пациент жалуется на боль.", "المريض يشكو من الحمى", "रोगी को बुखार है",
    "🩺 fever 🤒🤒, 👩🏽‍⚕️ and 👨‍👩‍👧‍👦, 🇩🇪, ✅", "😀", "e😀\u0301", "\u200b\u200d\ufeff\u00ad", "\u0000\u0001\u007f\u0085", "\ufffd \uffff \U0010ffff",
    "“quotes” ‘single’ «guillemets» \"plain\" 'plain' `tick` … — – - don't DON'T we'LL it'ſ O'Brien'S",
    "line one\nline two\r\nline three\n\n\n\nline seven\n  indented\n\ttab\n", "Plan:\n\n- rest\n- fluids\n\n  1. paracetamol 1 g\n", "a" * 40, "=" * 33,
    "word" + " " * 17 + "word", "{\"json\": [1, 2.50, null]} <b>html</b> C:\\path\\n http://x.y/?q=1&r=2 a_b __c__ #1 @2 $3 50%", "▁The▁patient Ġpain Ċ",
    "<0x0A><0xF0> <0x41", "</s>", "<s>", " <s> a </s> b <unk>", "[INST] do this [/INST]", "x[INST]y[/INST]z<<SYS>>", "</s></s><s>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "No fever.<|eot_id|> <|end_of_text|>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "a <|endoftext|> b<|endoftext|>", "<|im_start", "<s", "[/INST",
]


def corpus():
    """Some hundred lines of made-up notes; the words come from nobody's record."""
    draw = random.Random(4)
    who = ["man", "woman", "patient", "boy", "girl"]
    what = ["chest pain", "shortness of breath", "fever", "a dry cough", "abdominal pain", "headache", "dizziness", "nausea and vomiting"]
    past = ["hypertension", "type 2 diabetes", "heart failure", "asthma", "atrial fibrillation", "chronic kidney disease", "no known allergies"]
    drugs = ["aspirin 100 mg", "metoprolol 47.5 mg", "fentanyl 5 µg/h", "paracetamol 1 g", "insulin 12 units", "furosemide 40 mg"]
    for _ in range(300):
        p, w, h, d = draw.choice(who), draw.choice(what), draw.choice(past), draw.choice(drugs)
        yield draw.choice([
            f"A {draw.randint(18, 99)}-year-old {p} presents with {w} for {draw.randint(2, 14)} days.", f"The {p} has a history of {h} and denies {w}.",
            f"Temperature {draw.randint(360, 405) / 10} °C, BP {draw.randint(90, 180)}/{draw.randint(50, 110)} mmHg.", f"Started on {d}; discharged home in stable condition.",
            f"Summary: the {p} was admitted with {w}, treated with {d} and improved.", f"Plan:\n- {d}\n- follow-up in {draw.randint(1, 6)} weeks\n\n",
            f"“{w}”, says the {p}; café-au-lait spots, no {draw.choice(what)}."])


def trained(pre_tokenizer, size, specials, alphabet):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def bos_first(token, id):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, id)])


def control(*names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def sentencepiece():
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    vocab, merges = trained(pre_tokenizers.Sequence([pre_tokenizers.Split("\n", "removed"), pre_tokenizers.Metaspace()]), 560, specials, [])
    for merge in [("▁", "▁"), ("▁▁", "▁▁"), ("▁▁▁▁", "▁▁▁▁")]:  # the runs of spaces that such vocabularies have
        vocab.setdefault("".join(merge), len(vocab))
        merges.append(merge)
    return vocab, merges


def llama2():
    vocab, merges = sentencepiece()
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.add_special_tokens(control("<unk>", "<s>", "</s>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = bos_first("<s>", 1)
    return tokenizer


def mistral3():
    tokenizer = LlamaTokenizer(*sentencepiece()).backend_tokenizer
    tokenizer.add_special_tokens(control("[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"))
    tokenizer.post_processor = bos_first("<s>", 1)
    return tokenizer


def byte_level(split=None):
    parts = [pre_tokenizers.Split(Regex(split), "isolated")] if split else []
    parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split))
    return trained(pre_tokenizers.Sequence(parts), 540, [], sorted(pre_tokenizers.ByteLevel.alphabet()))


def gpt2():
    tokenizer = GPT2Tokenizer(*byte_level()).backend_tokenizer
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def llama3():
    tokenizer = Tokenizer(models.BPE(*byte_level(LLAMA3_SPLIT), ignore_merges=True))
    names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"]
    tokenizer.add_special_tokens(control(*(f"<|{name}|>" for name in names)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    bos = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos_first(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def qwen2():
    split = LLAMA3_SPLIT.replace("{1,3}", "")
    tokenizer = Qwen2Tokenizer(*byte_level(split)).backend_tokenizer
    tokenizer.add_special_tokens(control("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in ["<tool_call>", "</tool_call>", "<think>", "</think>"]])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


# name -> what makes it, BOS, EOS
TOKENIZERS = {
    "llama2": (llama2, "<s>", "</s>"),
    "mistral3": (mistral3, "<s>", "</s>"),
    "gpt2": (gpt2, None, "<|endoftext|>"),
    "llama3": (llama3, "<|begin_of_text|>", "<|eot_id|>"),
    "qwen2": (qwen2, None, "<|im_end|>"),
}


def vectors(tokenizer, bos, eos):
    file = json.loads(tokenizer.to_str())
    for token in file["added_tokens"]:
        token["special"] = True  # markup in a note is text, whatever its mark
    plain = Tokenizer.from_str(json.dumps(file))
    plain.encode_special_tokens = True

    def case(text):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return dict(text=text, ids=ids, decoded=tokenizer.decode(ids, skip_special_tokens=False), shown=tokenizer.decode(ids),
                    prompt=plain.encode(BEFORE + text.strip() + AFTER, add_special_tokens=False).ids)

    prefix = tokenizer.encode("a").ids[:-len(tokenizer.encode("a", add_special_tokens=False).ids)]
    return dict(prefix=prefix, bos=bos and tokenizer.token_to_id(bos), eos=tokenizer.token_to_id(eos), cases=[case(text) for text in TEXTS])


def provenance(root):
    lines = ["# Golden tokenizers", "",
             "Small tokenizers built like those of well-known models, trained on made-up clinical lines, and what the Python library",
             "`tokenizers` makes of texts. All of it is this project's own. Format: the head of `scripts/make_tokenizer_golden.py`.", "",
             "* Script: `scripts/make_tokenizer_golden.py`, command: `python scripts/make_tokenizer_golden.py`",
             f"* Versions: Python {platform.python_version()}, tokenizers {tokenizers.__version__}, transformers {transformers.__version__}",
             "", "## sha256", "", "```"]
    for name in sorted(os.listdir(root)):
        if name != "PROVENANCE.md":
            with open(os.path.join(root, name), "rb") as file:
                lines.append(f"{hashlib.sha256(file.read()).hexdigest()}  {name}")
    with open(os.path.join(root, "PROVENANCE.md"), "w") as file:
        file.write("\n".join([*lines, "```", ""]))


root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../fixtures/golden/tokenizers")
os.makedirs(root, exist_ok=True)
golden = {}
for name, (make, bos, eos) in TOKENIZERS.items():
    tokenizer = make()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    golden[name] = vectors(tokenizer, bos, eos)
    with open(os.path.join(root, f"{name}.json"), "w", encoding="utf-8") as file:
        file.write(tokenizer.to_str(pretty=False) + "\n")
with open(os.path.join(root, "vectors.json"), "w", encoding="utf-8") as file:
    file.write("{\n" + ",\n".join(
        f'"{name}": {{"prefix": {g["prefix"]}, "bos": {json.dumps(g["bos"])}, "eos": {g["eos"]}, "cases": [\n'
        + ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in g["cases"]) + "\n]}" for name, g in golden.items()) + "\n}\n")
provenance(root)
