#![allow(clippy::unwrap_used)]

use clap::FromArgMatches;

use super::*;
use crate::flags::{self, Flags};
use crate::layers::Origin;

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("16GB", 16_000_000_000),
        ("900 mb", 900_000_000),
        (" 7.5GiB ", 8_053_063_680),
        ("1TB", 1_000_000_000_000),
        ("64KiB", 65_536),
    ] {
        assert_eq!(text.parse(), Ok(MemorySize(bytes)), "{text}");
    }
    for text in ["", "16", "GB", "-1GB", "0MB", "16 GBs", "nanGB", "infGB", "much"] {
        let error = text.parse::<MemorySize>().unwrap_err();
        assert!(error.contains("16GB"), "{error}");
    }
}

#[test]
fn lines_of_the_system_are_kilobytes() {
    let text = "Name:\tx\nVmRSS:\t  3072 kB\n";
    assert_eq!(kilobytes(text, "VmRSS"), Some(3 << 20));
    assert_eq!(kilobytes(text, "VmHWM"), None);
}

#[test]
fn what_takes_less_than_a_full_device_fits_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let shape = sft_fixtures::LlamaShape {
        hidden_size: 64,
        intermediate_size: 160,
        num_hidden_layers: 8,
        num_attention_heads: 4,
        head_dim: 16,
        ..Default::default()
    };
    shape.write(folder.path(), 1).unwrap();
    let folder = ModelDir::open(folder.path()).unwrap();
    let args = ["sft-train", "--model_name=embedded", "--train_csv=rows.csv", "--batch_size=8"];
    let matches = flags::command().try_get_matches_from(args).unwrap();
    let options = Flags::from_arg_matches(&matches).unwrap().options;
    let settings = Settings::resolve(vec![(Origin::Flag, options)], None, &mut Vec::new()).unwrap();
    let example = Example { ids: vec![5; 60_000], first_target: 59_900, index: 0, line: 2 };
    let examples = vec![example; 8];
    let run = Run {
        settings: &settings,
        folder: &folder,
        examples: &examples,
        process: 0,
        place: Place::Device,
    };
    let base = Base { flag: "", dtype: DType::BF16, quantize: None };
    let shape = run.shape(base, 8).unwrap();
    let (keeps, again) = (shape.plan_of(0), shape.plan_of(8));
    let budget = |bytes| Some(Budget { bytes, given: false });

    // Room for as much as the plan said: less is kept. Room for less than that: fewer examples at a time.
    let text = run.rescue(base, &keeps, budget(keeps.estimate.peak())).unwrap();
    assert!(text.starts_with("--gradient_checkpointing takes less ("), "{text}");
    let room = run.least(base, 2).unwrap();
    for plan in [&keeps, &again] {
        let text = run.rescue(base, plan, budget(room)).unwrap();
        assert!(text.contains("--batch_size 2 --gradient_accumulation_steps 4 ("), "{text}");
        assert!(text.contains("--max_length") && !text.contains("--quantize"), "{text}");
    }
    let text = run.rescue(base, &again, budget(1)).unwrap();
    assert!(text.contains("a smaller model") && text.contains("--max_length"), "{text}");

    // A run that fails for it says so; another error stays what it is.
    let remedy = "take less".to_owned();
    let planned = Planned { plan: again, budget: None, rescue: Some(remedy) };
    let of = |text: &str| CliError::Settings { problems: vec![text.to_owned()] };
    let full = planned.explain(of("DriverError(CUDA_ERROR_OUT_OF_MEMORY)"));
    assert!(one_line(&full).starts_with("the GPU's memory is full; take less;"));
    assert_eq!(one_line(&planned.explain(of("a is 0"))), "a is 0");
}
