//! `--quantize`: what a run on a base in few bits learns, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Fixture;

/// The last validation loss of 30 steps on the embedded base and sample.
fn loss(fixture: &Fixture, name: &str, flag: &str) -> f64 {
    let out = format!("--output_dir={name}");
    fixture.run(&["--max_steps=30", flag, &out]).ok();
    let lines = fixture.text(&format!("{name}/metrics.jsonl"));
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    last["eval_loss"].as_f64().unwrap()
}

#[test]
fn a_quantised_base_trains_to_the_loss_of_bf16() {
    let fixture = Fixture::new();
    let dense = loss(&fixture, "bf16", "--dtype=bf16");
    let nf4 = loss(&fixture, "nf4", "--quantize=nf4");
    assert!(dense < 0.5, "{dense} is no loss of a trained model");
    assert!((nf4 / dense - 1.0).abs() < 0.02, "nf4 {nf4}, bf16 {dense}");
    assert!(fixture.text("nf4/run_config.toml").contains("quantize = \"nf4\""));
}

#[test]
fn a_run_goes_on_with_the_base_that_it_began_with() {
    let fixture = Fixture::new();
    let run = ["--max_steps=4", "--save_steps=2", "--max_length=128", "--output_dir=out"];
    fixture.train(&[&run[..], &["--quantize=int8"]].concat()).ok();
    let adapter = "out/final_model/adapter_model.safetensors";
    let whole = fixture.read(adapter);
    std::fs::remove_dir_all(fixture.path("out/final_model")).unwrap();

    let resumed = [&run[..], &["--resume=out/checkpoint_step_2"]].concat();
    let refused = fixture.train(&[&resumed[..], &["--quantize=nf4"]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("quantize"), "{}", refused.stderr);
    fixture.train(&resumed).ok(); // which knows how it began
    assert_eq!(fixture.read(adapter), whole);
}

#[test]
fn what_does_not_go_with_it_is_refused_on_one_line() {
    let fixture = Fixture::new();
    for (flags, code, part) in [
        (&["--quantize=fp4"][..], 2, "use nf4 or int8"),
        (&["--quantize=nf4", "--dtype=f32"], 1, "leave out --dtype f32"),
        (&["--quantize=nf4", "--self_test"], 2, "leave out --quantize"),
    ] {
        let refused = fixture.train(&[flags, &["--output_dir=out"]].concat());
        assert_eq!(refused.code, Some(code), "{flags:?}: {}", refused.stderr);
        assert!(refused.error_line().contains(part), "{flags:?}: {}", refused.stderr);
    }
}

#[test]
fn a_base_that_lies_in_few_bits_trains_to_the_same_bytes() {
    let fixture = Fixture::new();
    let dir = sft_model::ModelDir::open(&fixture.path("model")).unwrap();
    let saved = fixture.path("base-nf4");
    sft_model::save_quantised(&dir, sft_model::runtime::Quantize::Nf4, &saved).unwrap();

    let run = ["--max_steps=3", "--max_length=128", "--learning_rate=1e-3"];
    let now = [&run[..], &["--quantize=nf4", "--output_dir=now"]].concat();
    fixture.train(&now).ok();
    let stored = [&run[..], &["--model_name=base-nf4", "--output_dir=stored"]].concat();
    let said = fixture.train(&stored);
    assert!(said.stderr.contains("blocks in nf4"), "{}", said.stderr);
    said.ok();
    let adapter = "final_model/adapter_model.safetensors";
    let [now, stored] = ["now", "stored"].map(|run| fixture.read(&format!("{run}/{adapter}")));
    assert!(now == stored);

    let refused = fixture.train(&["--model_name=base-nf4", "--self_test", "--output_dir=out"]);
    assert!(refused.error_line().contains("not quantised"), "{}", refused.stderr);
    let refused = fixture.train(&["--model_name=base-nf4", "--quantize=int8", "--output_dir=out"]);
    assert!(refused.error_line().contains("stored in nf4"), "{}", refused.stderr);
}
