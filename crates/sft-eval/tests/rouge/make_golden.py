#!/usr/bin/env python3
"""Writes golden.json beside this file: ROUGE of 200 pairs by Google's rouge-score, without and with its stemmer.

    python crates/sft-eval/tests/rouge/make_golden.py

needs rouge-score 0.1.2 (written with it and nltk 3.10.4 on Python 3; a second run writes the same bytes). The references are factual
summaries of fixtures/phase1_data/sft/test_set_processed.csv, the summaries are those, perturbed with a seed.

  versions; pairs: reference, summary, kind, plain and stemmed: [precision, recall, F1] of rouge1, rouge2, rougeL
"""

import csv, importlib.metadata, json, pathlib, random

from rouge_score import rouge_scorer

HERE = pathlib.Path(__file__).resolve().parent
ROWS = HERE.parents[3] / "fixtures/phase1_data/sft/test_set_processed.csv"
NAMES = ["rouge1", "rouge2", "rougeL"]


def reorder(text, rng):
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def drop(text, rng):
    return " ".join(word for word in text.split() if rng.random() < 0.6)


def odd(text, rng):
    swaps = [("e", "é"), ("i", "İ"), ("k", "\u212a"), ("s", "ß"), (" ", "\u2003"), ("fi", "ﬁ"), (".", "。"), ("a", "Å"), ("o", "ό")]
    old, new = rng.choice(swaps)
    return text.replace(old, new) + rng.choice(["", " 🩺", " 発熱", " ΟΔΟΣ", "_-_", "\u0000"])


def numbers(text, rng):
    return text + f" {rng.randrange(10, 200)}/{rng.randrange(10, 99)} mmHg, {rng.random() * 10:.2f}°C; 1,000 mg x{rng.randrange(9)} q{rng.randrange(9)}h."


def endings(text, rng):
    ends = ["s", "ed", "ing", "ly", "ness", "ies", "ational", "ization", "fulness", "alli", "logy", "ement", "ll", "eed", "ied", "bli", "e", "y"]
    return " ".join(word.rstrip(".,") + rng.choice(ends) for word in text.split())


def repeat(text, rng):
    return text + " " + text.upper()[: rng.randrange(1, len(text))]


def main():
    rng = random.Random(20260101)
    rows = [row for row in csv.DictReader(ROWS.open(encoding="utf-8", newline="")) if row["label"] == "factual"]
    texts = [row["model_summary"] for row in rows]
    makers = [reorder, drop, odd, numbers, endings, repeat]
    pairs = [("", "", "empty"), (texts[0], "", "empty"), ("", texts[0], "empty"), (texts[0], texts[0], "equal"), ("...", "发热", "no words")]
    # what is long enough to lose its ending, against what has lost it already, and irregular words
    words = "dying lying tying skies innings news proceeding succeeded ties dies sized controlled generalizations oscillators etiology radically enjoy happy spied adoption was is by"
    pairs += [(words, words[::-1], "words"), (words, words.replace("ing", "").replace("ed", ""), "words")]
    while len(pairs) < 190:
        make, text = makers[len(pairs) % len(makers)], rng.choice(texts)
        pairs.append((text, make(text, rng), make.__name__))
    while len(pairs) < 200:
        pairs.append((rng.choice(texts), rng.choice(texts), "other"))
    scorers = [rouge_scorer.RougeScorer(NAMES, use_stemmer=stem) for stem in (False, True)]
    out = []
    for reference, summary, kind in pairs:
        plain, stemmed = ([list(scorer.score(reference, summary)[name]) for name in NAMES] for scorer in scorers)
        out.append({"kind": kind, "reference": reference, "summary": summary, "plain": plain, "stemmed": stemmed})
    versions = {name: importlib.metadata.version(name) for name in ["rouge-score", "nltk"]}
    lines = ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in out)
    (HERE / "golden.json").write_text(f'{{"versions": {json.dumps(versions)}, "pairs": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
