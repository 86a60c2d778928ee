//! Whatever is wrong with the input: one line with the reason and a remedy, a nonzero status, no panic, and a finished
//! run in the output folder stays as it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::{Fixture, csv, rows, tree};

struct Case {
    name: &'static str,
    spoil: fn(&Fixture),
    args: &'static [&'static str],
    code: i32,
    /// What the error line must say: the thing, the reason, the remedy.
    says: &'static [&'static str],
}

fn nothing(_: &Fixture) {}

const TRAIN: [&str; 3] = ["--model_name=model", "--train_csv=train.csv", "--max_steps=2"];

#[rustfmt::skip] // one case, one block
const CASES: &[Case] = &[
    // Usage and settings.
    Case { name: "unknown flag", spoil: nothing, args: &["--lora_rank=8"], code: 2, says: &["--lora_rank"] },
    Case { name: "no number", spoil: nothing, args: &["--batch_size=many"], code: 2, says: &["many", "--batch-size"] },
    Case { name: "unknown scheduler", spoil: nothing, args: &["--lr_scheduler=step"], code: 2, says: &["lr_scheduler", "step", "cosine"] },
    Case { name: "batch_size 0", spoil: nothing, args: &["--batch_size=0"], code: 2, says: &["batch_size is 0", "at least 1"] },
    Case { name: "r 0", spoil: nothing, args: &["--lora_r=0"], code: 2, says: &["r is 0", "at least 1"] },
    Case { name: "dropout 1", spoil: nothing, args: &["--lora_dropout=1"], code: 2, says: &["lora_dropout is 1", "[0, 1)"] },
    Case { name: "negative rate", spoil: nothing, args: &["--learning_rate", "-1"], code: 2, says: &["learning_rate is -1", "above 0"] },
    Case { name: "val_split 1.5", spoil: nothing, args: &["--val_split=1.5"], code: 2, says: &["val_split is 1.5", "less than 1"] },
    Case { name: "patience without validation", spoil: nothing, args: &["--val_split=0", "--early_stopping_patience=2"], code: 2,
        says: &["early_stopping_patience", "--val_csv"] },
    Case { name: "several problems", spoil: nothing, args: &["--lora_r=0", "--batch_size=0", "--dtype=int4"], code: 2,
        says: &["3 settings", "r is 0", "batch_size is 0", "int4"] },
    Case { name: "bad regex", spoil: nothing, args: &["--lora_target_modules=model.(q_proj"], code: 2, says: &["model.(q_proj", "regular expression"] },
    Case { name: "unknown device", spoil: nothing, args: &["--device=tpu"], code: 2, says: &["tpu", "cpu"] },
    Case { name: "unknown dtype", spoil: nothing, args: &["--dtype=int4"], code: 2, says: &["int4", "f32"] },
    Case { name: "f16 on the CPU", spoil: nothing, args: &["--dtype=f16", "--device=cpu"], code: 1, says: &["f16", "--dtype f32"] },
    Case { name: "no CUDA here", spoil: nothing, args: &["--device=cuda:9"], code: 1, says: &["--device cpu"] },
    Case { name: "template without the note", spoil: nothing, args: &["--prompt_template=Summary:"], code: 2, says: &["{clinical_note}", "exactly once"] },
    Case { name: "template file in another encoding", spoil: |f| f.write("t.txt", b"Gr\xf6\xdfe: {clinical_note}\n"), args: &["--prompt_template=t.txt"], code: 2,
        says: &["t.txt", "UTF-8"] },
    Case { name: "template that fuses", spoil: nothing, args: &["--prompt_template={clinical_note} Summary: "], code: 1, says: &["template", "newline"] },
    Case { name: "max_length too small", spoil: nothing, args: &["--max_length=8"], code: 1, says: &["8 tokens", "--max_length"] },
    // Configuration file.
    Case { name: "no configuration file", spoil: nothing, args: &["--config=run.toml"], code: 2, says: &["run.toml", "--config"] },
    Case { name: "unknown key", spoil: |f| f.write("run.toml", "seed = 1\nlora_rr = 8\n"), args: &["--config=run.toml"], code: 2,
        says: &["run.toml:2", "lora_rr", "did you mean `lora_r`?"] },
    Case { name: "not TOML", spoil: |f| f.write("run.toml", "{\"seed\": 1}"), args: &["--config=run.toml"], code: 2, says: &["run.toml:1"] },
    Case { name: "wrong type in the file", spoil: |f| f.write("run.toml", "\n\nbatch_size = \"eight\"\n"), args: &["--config=run.toml"], code: 2,
        says: &["run.toml:3", "eight"] },
    // Data.
    Case { name: "no training file", spoil: |f| fs::remove_file(f.path("train.csv")).unwrap(), args: &[], code: 1, says: &["train.csv", "check that the path"] },
    Case { name: "no validation file", spoil: nothing, args: &["--val_csv=val.csv"], code: 1, says: &["val.csv", "check that the path"] },
    Case { name: "a folder as training file", spoil: |f| f.write("train.csv.d/x", ""), args: &["--train_csv=train.csv.d"], code: 1, says: &["train.csv.d"] },
    Case { name: "missing column", spoil: |f| f.write("train.csv", "id,note,model_summary,label\n1,a,b,factual\n"), args: &[], code: 1,
        says: &["train.csv", "clinical_note", "rename"] },
    Case { name: "empty CSV", spoil: |f| f.write("train.csv", ""), args: &[], code: 1, says: &["train.csv", "no content", "header"] },
    Case { name: "header without rows", spoil: |f| f.write("train.csv", csv(&[])), args: &[], code: 1, says: &["train.csv", "no rows"] },
    Case { name: "no factual row", spoil: |f| f.write("train.csv", csv(&rows()[5..6])), args: &[], code: 1, says: &["train.csv", "factual", "hallucinated 1"] },
    Case { name: "binary file", spoil: |f| f.write("train.csv", b"\x7fELF\0\0\x01\x02\0\0\0"), args: &[], code: 1, says: &["train.csv", "not a CSV file"] },
    Case { name: "UTF-16", spoil: |f| {
            let text: Vec<u8> = csv(&rows()).encode_utf16().flat_map(u16::to_le_bytes).collect();
            f.write("train.csv", [b"\xff\xfe".to_vec(), text].concat());
        }, args: &[], code: 1, says: &["train.csv", "UTF-16", "UTF-8"] },
    Case { name: "bad UTF-8", spoil: |f| f.write("train.csv", b"id,clinical_note,model_summary,label\n1,Gr\xf6\xdfe,b,factual\n"), args: &[], code: 1,
        says: &["train.csv", "line 2", "UTF-8"] },
    Case { name: "short row", spoil: |f| f.write("train.csv", "id,clinical_note,model_summary,label\n1,a,b,factual\n2,a\n"), args: &[], code: 1,
        says: &["train.csv", "line 3", "2 fields", "quotes"] },
    // Model.
    Case { name: "a hub id without a network", spoil: nothing, args: &["--model_name=meta-llama/Llama-2-7b"], code: 1,
        says: &["meta-llama/Llama-2-7b-hf", "HF_HUB_OFFLINE", "--model_name DIR"] },
    Case { name: "a revision that leaves its folder", spoil: nothing, args: &["--model_name=owner/name", "--revision=../x"], code: 1,
        says: &["../x", "--revision main"] },
    Case { name: "a model that recommends too much", spoil: |f| f.write("model/recommended_sft.toml", "num_epochs = 1\nseed = 3\n"), args: &[], code: 2,
        says: &["recommended_sft.toml:2", "seed", "may recommend num_epochs"] },
    Case { name: "no model folder", spoil: nothing, args: &["--model_name=./nowhere"], code: 2, says: &["./nowhere", "--model_name DIR"] },
    Case { name: "no config.json", spoil: |f| fs::remove_file(f.path("model/config.json")).unwrap(), args: &[], code: 1, says: &["model", "config.json"] },
    Case { name: "broken config.json", spoil: |f| f.write("model/config.json", "{\"model_type\": \"llama\","), args: &[], code: 1, says: &["config.json", "fetch"] },
    Case { name: "unsupported model_type", spoil: |f| {
            let config = f.text("model/config.json").replace("\"llama\"", "\"mamba\"");
            f.write("model/config.json", config);
        }, args: &[], code: 1, says: &["config.json", "mamba", "llama", "mistral"] },
    Case { name: "missing shard", spoil: |f| {
            fs::remove_file(f.path("model/model.safetensors")).unwrap();
            f.write("model/model.safetensors.index.json",
                "{\"metadata\": {}, \"weight_map\": {\"model.embed_tokens.weight\": \"model-00001-of-00002.safetensors\"}}");
        }, args: &[], code: 1, says: &["model-00001-of-00002.safetensors"] },
    Case { name: "no weights", spoil: |f| fs::remove_file(f.path("model/model.safetensors")).unwrap(), args: &[], code: 1, says: &["model", "model.safetensors"] },
    Case { name: "truncated safetensors", spoil: |f| {
            let bytes = f.read("model/model.safetensors");
            f.write("model/model.safetensors", &bytes[..bytes.len() - 100]);
        }, args: &[], code: 1, says: &["model.safetensors", "again"] },
    Case { name: "missing tokenizer", spoil: |f| fs::remove_file(f.path("model/tokenizer.json")).unwrap(), args: &[], code: 1, says: &["tokenizer.json"] },
    Case { name: "broken tokenizer", spoil: |f| f.write("model/tokenizer.json", "{\"added_tokens\": [{\"id\": 258, \"content\": \"</s>\"}]}"), args: &[], code: 1,
        says: &["tokenizer.json"] },
    Case { name: "a tokenizer larger than the model", spoil: |f| {
            let config = f.text("model/config.json").replace("\"vocab_size\":259", "\"vocab_size\":100");
            f.write("model/config.json", config);
        }, args: &[], code: 1, says: &["token 257 of line 2", "100 embeddings", "one model"] },
    Case { name: "more tokens than positions", spoil: |f| {
            let config = f.text("model/config.json").replace("\"max_position_embeddings\":256", "\"max_position_embeddings\":60");
            f.write("model/config.json", config);
        }, args: &["--max_length=128"], code: 1, says: &["line 2", "tokens", "60 positions", "--max_length 60"] },
    Case { name: "a huge r", spoil: nothing, args: &["--lora_r=18446744073709551615"], code: 1, says: &["18446744073709551615", "q_proj", "at most 16"] },
    Case { name: "an r beyond memory", spoil: nothing, args: &["--lora_r=999999999999"], code: 1, says: &["999999999999", "at most 16"] },
    Case { name: "no module matches", spoil: nothing, args: &["--lora_target_modules=query_key_value"], code: 1, says: &["target_modules", "q_proj"] },
    // Adapter, resume, output.
    Case { name: "no initial adapter", spoil: nothing, args: &["--init_adapter=nowhere"], code: 1, says: &["nowhere", "adapter_config.json"] },
    Case { name: "a flag against the initial adapter", spoil: finished_run, args: &["--init_adapter=first/final_model", "--lora_r=8"], code: 2,
        says: &["lora_r is 8", "first/final_model has 2", "leave lora_r out"] },
    Case { name: "no checkpoint to resume", spoil: nothing, args: &["--resume=nowhere/checkpoint_step_3", "--output_dir=other"], code: 1, says: &["nowhere/checkpoint_step_3"] },
    Case { name: "another r on resume", spoil: unfinished_run, args: &["--output_dir=first", "--resume=auto", "--lora_r=8", "--lora_alpha=4"], code: 1,
        says: &["first", "r was 2, now 8", "--output_dir"] },
    Case { name: "other data on resume", spoil: |f| {
            unfinished_run(f);
            f.write("train.csv", csv(&rows()[..4]));
        }, args: &["--output_dir=first", "--resume=auto"], code: 1, says: &["training_data", "examples", "--allow_changes"] },
    Case { name: "an unfinished run in the output folder", spoil: unfinished_run, args: &["--output_dir=first"], code: 1, says: &["first", "unfinished", "--resume auto"] },
    Case { name: "another program's model in the output folder", spoil: |f| f.write("other/final_model/model.bin", "x"), args: &["--output_dir=other", "--resume=auto"],
        code: 1, says: &["other", "final_model", "another --output_dir"] },
    Case { name: "only damaged checkpoints", spoil: |f| {
            unfinished_run(f);
            for name in names(&f.path("first")).iter().filter(|name| name.starts_with("checkpoint_")) {
                f.write(&format!("first/{name}/optimizer.safetensors"), "x");
            }
        }, args: &["--output_dir=first", "--resume=auto"], code: 1, says: &["checkpoint_step_1: optimizer.safetensors has 1 bytes", "--output_dir"] },
    Case { name: "a file in place of the output folder", spoil: |f| f.write("taken", "text"), args: &["--output_dir=taken/run"], code: 1, says: &["taken", "--output_dir"] },
];

/// A run of rank 2 in `first/`.
fn finished_run(fixture: &Fixture) {
    fixture.train(&["--lora_r=2", "--max_steps=2", "--save_steps=1", "--output_dir=first"]).ok();
}

/// The same, as if it had been killed after its first step.
fn unfinished_run(fixture: &Fixture) {
    finished_run(fixture);
    for folder in ["final_model", "checkpoint_step_2", "checkpoint_epoch_1"] {
        let _ = fs::remove_dir_all(fixture.path("first").join(folder));
    }
    fs::remove_file(fixture.path("first/training_stats.json")).unwrap();
}

#[test]
fn every_kind_of_bad_input_is_refused_with_a_remedy_and_nothing_is_overwritten() {
    let mut failures = Vec::new();
    for case in CASES {
        let fixture = Fixture::new();
        fixture.write("out/final_model/adapter_model.safetensors", "a finished run");
        fixture.write("out/final_model/sft_config.json", "{}");
        fixture.write("out/training_stats.json", "{\"completed\": true}");
        fixture.write("out/metrics.jsonl", "{\"step\": 1}\n");
        fixture.write("out/run_config.toml", "seed = 1\n");
        (case.spoil)(&fixture);
        let before = tree(&fixture.path(""));
        let ended = fixture.run(&arguments(case.args));
        let line = ended.error_line().to_owned();
        let mut fail = |what: String| failures.push(format!("{}: {what}\n    {line}", case.name));
        if ended.code != Some(case.code) {
            fail(format!("status {:?} instead of {}\n{}", ended.code, case.code, ended.stderr));
        }
        for word in case.says {
            if !line.contains(word) {
                fail(format!("does not say {word:?}"));
            }
        }
        if ended.stderr.contains("panicked") || ended.stderr.contains("   0: ") {
            fail(format!("panic or backtrace:\n{}", ended.stderr));
        }
        if ended.stderr.matches("error:").count() != 1 || !ended.stdout.is_empty() {
            fail(format!("more than one error, or output:\n{}{}", ended.stderr, ended.stdout));
        }
        for (path, _) in difference(&before, &tree(&fixture.path(""))) {
            // Taking a folder for a run leaves a lock file.
            if path.file_name().unwrap() != ".sft-lock" {
                fail(format!("{} changed", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(CASES.len() > 40);
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The usual arguments, without those that the case gives itself.
fn arguments(case: &[&'static str]) -> Vec<&'static str> {
    let name = |arg: &&'static str| arg.split('=').next().unwrap_or_default();
    let usual = TRAIN.into_iter().chain(["--output_dir=out"]);
    let usual = usual.filter(|arg| !case.iter().any(|own| name(own) == name(arg)));
    usual.chain(case.iter().copied()).collect()
}

type Files = Vec<(std::path::PathBuf, Vec<u8>)>;

fn difference(before: &Files, after: &Files) -> Files {
    let only = |one: &Files, two: &Files| {
        one.iter().filter(|file| !two.contains(file)).cloned().collect::<Files>()
    };
    [only(before, after), only(after, before)].concat()
}
