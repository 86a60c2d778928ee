#!/usr/bin/env python3
"""Does TRL read a preference file, and find the reference log-probabilities that are in it?

    sft-infer --model_path ADAPTER --evaluate ROWS.csv --export_preferences pairs.jsonl
    python scripts/check_preferences.py BASE ADAPTER pairs.jsonl

needs torch, transformers, peft, datasets and trl; `sft-infer --export_base BASE` writes the embedded base. It gives the file to TRL's
DPOTrainer with the adapted model, in f32, as reference, lets TRL compute the log-probabilities itself, and prints the largest difference;
the status is 1 above 1e-3. (A folder of `--merge_to` would not do: it is rounded to the type of the base's files.)
"""

import json, sys, tempfile

import datasets, peft, torch, transformers, trl


def main(base_dir, adapter_dir, path):
    rows = [json.loads(line) for line in open(path)]
    print(f"trl {trl.__version__}, peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}; {len(rows)} pairs")
    model = transformers.AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, adapter_dir).merge_and_unload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter_dir)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    columns = ["prompt", "chosen", "rejected"]
    data = datasets.Dataset.from_list([{column: row[column] for column in columns} for row in rows])
    scratch = tempfile.mkdtemp()
    config = trl.DPOConfig(
        output_dir=scratch, per_device_train_batch_size=4, precompute_ref_log_probs=True, report_to=[], use_cpu=True,
        gradient_checkpointing=False, bf16=False, max_length=None, dataset_num_proc=None,
    )
    trainer = trl.DPOTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    if "ref_chosen_logps" not in trainer.train_dataset.column_names:
        trainer.get_train_dataloader()  # older versions compute them here
    found = trainer.train_dataset
    worst = 0.0
    for ours, theirs in zip(rows, found):
        for key in ["ref_chosen_logps", "ref_rejected_logps"]:
            worst = max(worst, abs(ours[key] - float(theirs[key])))
    print(f"largest difference of a log-probability: {worst:.2e}")
    return worst > 1e-3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
