//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, ValueEnum};
use sft_inference::GenerationParams;
use sft_model::runtime::{DTypeChoice, DeviceChoice, Quantize};
use sft_model::source::EMBEDDED;

const EXAMPLES: &str = "\
Examples:
  One note, with the adapter that training left:
    sft-infer --model-path models/sft_specialist/final_model --clinical-note \"Fever of 38.5 C ...\"

  The same from a pipe (all of standard input is one note):
    sft-infer --model-path models/sft_specialist/final_model < note.txt

  A conversation at the terminal, note after note; /help there says what it can do:
    sft-infer --model-path models/sft_specialist/final_model

  A file of notes, one JSON object a line with the exact text and the figures:
    sft-infer --model-path DIR --input-file notes.csv --json --output-file summaries.jsonl

  An adapter or a model of the hub, at a revision:
    sft-infer --model-path owner/name --revision v1.0 --clinical-note \"...\"

  A model of its own, without an adapter, sampled instead of greedy:
    sft-infer --model-path DIR --clinical-note \"...\" --temperature 0.7 --top-p 0.9 --seed 1

  One folder for other tools, the adapter merged into its base:
    sft-infer --model-path models/sft_specialist/final_model --merge-to merged

  The adapter alone, for llama.cpp:
    sft-infer --model-path models/sft_specialist/final_model --export-gguf-lora adapter.gguf

  A base in four bits, quantised once; training and generation then take it like any other:
    sft-infer --model-path DIR --quantize nf4 --quantize-to DIR-nf4

  Does the model find factual summaries likelier than hallucinated ones, and more so than its base?
    sft-infer --model-path models/sft_specialist/final_model --evaluate test.csv --compare base

  The same as a gate, with what was measured of each row, and pairs for preference training:
    sft-infer --model-path DIR --evaluate test.csv --evaluate-rows rows.csv --export-preferences pairs.jsonl --min-faithful 0.8

  What does a summary say that its note does not support? No model is needed:
    sft-infer --check --clinical-note \"No fever. Takes aspirin 81 mg.\" --summary \"Fever. Aspirin 810 mg.\"
    sft-infer --check --input-file summaries.csv --json --output-file checked.jsonl

Without --json the summary of a single note is printed as it is generated. For a file there is one
line of output for each row, empty where the row has no note or one that is too long for the model;
line breaks inside a summary become spaces.

Every flag may be written with _ instead of -; of a flag given twice the last one counts. Exit status: 0 done, 1 failed, 2 wrong usage, 3 below a --min threshold, 130 stopped by a signal.";

const NOTES: &str = "Notes (default: a conversation at the terminal; from a pipe, one note)";

/// Summarise clinical notes with a fine-tuned language model.
///
/// The model is an adapter's folder, as sft-train writes it, or a Hugging Face model: a folder, or
/// a hub id, which is downloaded once. Nothing leaves this machine.
#[derive(Debug, Parser)]
#[command(name = "sft-infer", version, args_override_self = true, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// An adapter (its base is the one it names) or a model: a folder, a hub id (owner/name), or
    /// embedded, the small base model inside this program
    #[arg(
        long,
        value_name = "DIR|ID|embedded",
        help_heading = "Model",
        required_unless_present_any = ["export_base", "check"],
        default_value = EMBEDDED, // which is what --export-base writes
        hide_default_value = true
    )]
    pub model_path: PathBuf,
    /// The base model, instead of the one the adapter names: a folder, a hub id, or embedded
    #[arg(long, value_name = "DIR|ID|embedded", help_heading = "Model")]
    pub base_model: Option<PathBuf>,
    /// Branch, tag or commit of the model path on the hub, or else of the base [default: main]
    #[arg(long, value_name = "REV", help_heading = "Model")]
    pub revision: Option<String>,
    /// File or text with {clinical_note}, used byte for byte; or the word chat: the tokenizer's own
    /// chat template [default: the one saved with the adapter]
    #[arg(long, value_name = "FILE|TEXT|chat", help_heading = "Model", allow_hyphen_values = true)]
    pub prompt_template: Option<String>,
    /// auto, cpu, cuda, cuda:N, metal or metal:N
    #[arg(long, default_value = "auto", help_heading = "Model")]
    pub device: DeviceChoice,
    /// auto, f32, bf16 or f16
    #[arg(long, default_value = "auto", help_heading = "Model")]
    pub dtype: DTypeChoice,
    /// Keep the matrices of the base's blocks in few bits: nf4 or int8, on the CPU; the rest is bf16
    #[arg(long, value_name = "nf4|int8", help_heading = "Model")]
    pub quantize: Option<Quantize>,

    /// The note itself
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = NOTES,
        conflicts_with = "input_file",
        allow_hyphen_values = true
    )]
    pub clinical_note: Option<String>,
    /// A .txt file with a note a line, or a .csv file with a column clinical_note
    #[arg(
        long,
        value_name = "FILE",
        help_heading = NOTES
    )]
    pub input_file: Option<PathBuf>,

    /// Measure the model on a CSV file (clinical_note, model_summary, label): losses and AUROC of its
    /// labelled summaries, the model's own summaries against notes and references, and whether
    /// preference training (Stage B) is next
    #[arg(
        long,
        value_name = "CSV",
        help_heading = "Evaluation",
        conflicts_with_all = ["clinical_note", "input_file", "merge_to"]
    )]
    pub evaluate: Option<PathBuf>,
    /// The same figures for the base without the adapter, and what the adapter gains
    #[arg(long, value_name = "base", help_heading = "Evaluation", requires = "evaluate")]
    pub compare: Option<Compare>,
    /// Score the rows only: no summary is written and judged
    #[arg(long, help_heading = "Evaluation", requires = "evaluate")]
    pub scores_only: bool,
    /// What a complete summary of each note says, a JSON object a line (see the guide): summaries are
    /// then also counted as complete and supported
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Evaluation",
        requires = "evaluate",
        conflicts_with = "scores_only"
    )]
    pub findings: Option<PathBuf>,
    /// Write a CSV file with what was measured of each row, the model's summary among it
    #[arg(long, value_name = "FILE", help_heading = "Evaluation", requires = "evaluate")]
    pub evaluate_rows: Option<PathBuf>,
    /// Write pairs for preference training (prompt, chosen, rejected, with the reference model's
    /// log-probabilities): of the labelled rows, and of this model's own unsupported summaries
    #[arg(long, value_name = "FILE", help_heading = "Evaluation", requires = "evaluate")]
    pub export_preferences: Option<PathBuf>,
    /// Exit with status 3 when the AUROC is below
    #[arg(long, value_name = "X", help_heading = "Evaluation", requires = "evaluate")]
    pub min_auroc: Option<Share>,
    /// The same for ROUGE-L
    #[arg(
        long,
        value_name = "X",
        help_heading = "Evaluation",
        requires = "evaluate",
        conflicts_with = "scores_only"
    )]
    pub min_rouge_l: Option<Share>,
    /// The same for the share of summaries whose facts are all in the note
    #[arg(
        long,
        value_name = "X",
        help_heading = "Evaluation",
        requires = "evaluate",
        conflicts_with = "scores_only"
    )]
    pub min_grounded: Option<Share>,
    /// The same for the share of grounded summaries that leave out no fact of the reference
    #[arg(
        long,
        value_name = "X",
        help_heading = "Evaluation",
        requires = "evaluate",
        conflicts_with = "scores_only"
    )]
    pub min_faithful: Option<Share>,
    /// The same for the share of summaries that end by themselves
    #[arg(
        long,
        value_name = "X",
        help_heading = "Evaluation",
        requires = "evaluate",
        conflicts_with = "scores_only"
    )]
    pub min_eos_rate: Option<Share>,

    /// List what a summary says that its note does not support, each with its place: numbers, doses,
    /// dates, negations, sides, and terms that the note does not have. For --summary, or for the
    /// rows of a CSV file (clinical_note, model_summary). Loads no model
    #[arg(
        long,
        help_heading = "Checking",
        conflicts_with_all = ["model_path", "base_model", "revision", "prompt_template", "evaluate", "merge_to"]
    )]
    pub check: bool,
    /// The summary of the note
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Checking",
        requires = "clinical_note",
        conflicts_with = "input_file",
        allow_hyphen_values = true
    )]
    pub summary: Option<String>,
    /// Terms beside those of the program, one a line: the word medication, finding or procedure, a
    /// tab, the term, and its synonyms, each behind a tab
    #[arg(long, value_name = "FILE", help_heading = "Checking")]
    pub terms: Option<PathBuf>,

    /// Write here instead of to standard output; FILE.partial until everything is done
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    /// One JSON object a line for each note; with --evaluate, one object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Merge the adapter into its base and write a Hugging Face model folder; needs no note. Always
    /// in f32 on the CPU
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Output",
        conflicts_with_all = ["clinical_note", "input_file", "output_file", "json"]
    )]
    pub merge_to: Option<PathBuf>,
    /// Write the adapter as a GGUF file that llama.cpp applies to a GGUF file of its base; needs no
    /// note. The file is read back and compared
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Output",
        conflicts_with_all = [
            "clinical_note", "input_file", "evaluate", "output_file", "json", "merge_to", "check",
        ]
    )]
    pub export_gguf_lora: Option<PathBuf>,
    /// Write the model, which has no adapter, with its blocks as --quantize says: read again it is the
    /// same model, at once and straight from the file. nf4 is written as bitsandbytes does it
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Output",
        requires = "quantize",
        conflicts_with_all = [
            "clinical_note", "input_file", "evaluate", "output_file", "json", "merge_to", "export_gguf_lora",
            "base_model", "prompt_template", "check",
        ]
    )]
    pub quantize_to: Option<PathBuf>,
    /// Write the embedded base model as a Hugging Face folder, for other tools; needs no
    /// --model-path
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Output",
        conflicts_with_all = [
            "model_path", "clinical_note", "input_file", "evaluate", "output_file", "json", "merge_to",
            "export_gguf_lora", "quantize_to", "check",
        ]
    )]
    pub export_base: Option<PathBuf>,

    /// At most this many tokens a summary
    #[arg(long, value_name = "N", default_value_t = 150, help_heading = "Generation")]
    pub max_new_tokens: usize,
    /// 0 is greedy: always the most likely token. Above 0: sample
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        help_heading = "Generation",
        allow_negative_numbers = true
    )]
    pub temperature: f64,
    /// Sample among the most likely tokens that together have this probability
    #[arg(long, value_name = "P", help_heading = "Generation", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Sample among the K most likely tokens
    #[arg(long, value_name = "K", help_heading = "Generation")]
    pub top_k: Option<usize>,
    /// Above 1: tokens of the note and of the summary so far become less likely
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        help_heading = "Generation",
        allow_negative_numbers = true
    )]
    pub repetition_penalty: f64,
    /// Of the sampling: one seed, one result
    #[arg(long, value_name = "N", default_value_t = 42, help_heading = "Generation")]
    pub seed: u64,
}

/// What a model is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compare {
    /// The base, its adapter taken off
    Base,
}

impl Args {
    /// Parses a command line, each flag in kebab-case or snake_case.
    pub(crate) fn parse_from(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_args(also_in_snake_case);
        let args = Self::from_arg_matches(&command.try_get_matches_from_mut(arguments)?)?;
        // `requires` would not see it beside a flag that --check excludes.
        if args.summary.is_some() && !args.check {
            let reason = "--summary belongs to --check: add it, or leave out --summary";
            return Err(command.error(ErrorKind::ArgumentConflict, reason));
        }
        let as_asked = matches!(args.device, DeviceChoice::Auto | DeviceChoice::Cpu)
            && matches!(args.dtype, DTypeChoice::Auto | DTypeChoice::F32)
            && args.quantize.is_none();
        let writes =
            [("--merge-to", &args.merge_to), ("--export-gguf-lora", &args.export_gguf_lora)];
        if let Some((flag, _)) = writes.iter().find(|(_, out)| out.is_some() && !as_asked) {
            let reason = format!(
                "{flag} works in f32 on the CPU: leave out --device, --dtype and --quantize"
            );
            return Err(command.error(ErrorKind::ArgumentConflict, reason));
        }
        let of_evaluation = [
            ("--compare", args.compare.is_some()),
            ("--scores-only", args.scores_only),
            ("--findings", args.findings.is_some()),
            ("--evaluate-rows", args.evaluate_rows.is_some()),
            ("--export-preferences", args.export_preferences.is_some()),
            ("--min-auroc", args.min_auroc.is_some()),
            ("--min-rouge-l", args.min_rouge_l.is_some()),
            ("--min-grounded", args.min_grounded.is_some()),
            ("--min-faithful", args.min_faithful.is_some()),
            ("--min-eos-rate", args.min_eos_rate.is_some()),
        ];
        // `requires` does not hold where what is required conflicts with what is there.
        if let (None, Some((flag, _))) =
            (&args.evaluate, of_evaluation.iter().find(|(_, given)| *given))
        {
            let reason = format!("{flag} needs --evaluate");
            return Err(command.error(ErrorKind::MissingRequiredArgument, reason));
        }
        if args.evaluate.is_some() && args.temperature != 0.0 {
            let reason = "--evaluate writes summaries greedily: leave out --temperature";
            return Err(command.error(ErrorKind::ArgumentConflict, reason));
        }
        if args.terms.is_some() && !args.check && args.evaluate.is_none() {
            let reason = "--terms needs --check or --evaluate";
            return Err(command.error(ErrorKind::MissingRequiredArgument, reason));
        }
        Ok(args)
    }

    /// Every file that is read, as far as the arguments tell: outputs must be none of them.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        let folders = [Some(&self.model_path), self.base_model.as_ref()].into_iter().flatten();
        let of_models = folders
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
        let named = [&self.input_file, &self.evaluate, &self.findings, &self.terms];
        let template = self.prompt_template.as_deref().map(PathBuf::from);
        named.into_iter().flatten().cloned().chain(template).chain(of_models).collect()
    }

    /// The part that the generator needs.
    pub(crate) fn params(&self) -> GenerationParams {
        GenerationParams {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share(pub(crate) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
        if (0.0..=1.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err("give a number from 0 to 1".into())
        }
    }
}

fn also_in_snake_case(arg: Arg) -> Arg {
    match arg.get_long().filter(|long| long.contains('-')).map(|long| long.replace('-', "_")) {
        Some(alias) => arg.alias(alias),
        None => arg,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::parse_from(["sft-infer"].iter().chain(arguments))
    }

    #[test]
    fn the_command_is_consistent() {
        Args::command().mut_args(also_in_snake_case).debug_assert();
    }

    #[test]
    fn defaults_are_the_library_s() {
        let args = parse(&["--model-path", "m"]).unwrap();
        assert_eq!(args.params(), GenerationParams::default());
        assert_eq!((args.device, args.dtype), (DeviceChoice::Auto, DTypeChoice::Auto));
    }

    #[test]
    fn every_flag_works_in_both_cases() {
        for separator in ["-", "_"] {
            let flags = [
                ("model-path", "m"),
                ("base-model", "b"),
                ("revision", "v1"),
                ("prompt-template", "-{clinical_note}"),
                ("input-file", "n.csv"),
                ("output-file", "o"),
                ("max-new-tokens", "7"),
                ("temperature", "0.5"),
                ("top-p", "0.9"),
                ("top-k", "3"),
                ("repetition-penalty", "1.5"),
                ("seed", "9"),
                ("device", "cuda:1"),
                ("dtype", "bf16"),
                ("quantize", "int8"),
            ];
            let arguments: Vec<String> = flags
                .iter()
                .flat_map(|(flag, value)| {
                    [format!("--{}", flag.replace('-', separator)), (*value).into()]
                })
                .collect();
            let args = parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            assert_eq!(args.model_path, PathBuf::from("m"));
            assert_eq!(args.base_model, Some("b".into()));
            assert_eq!(args.revision.as_deref(), Some("v1"));
            assert_eq!(args.prompt_template.as_deref(), Some("-{clinical_note}"));
            assert_eq!(args.input_file, Some("n.csv".into()));
            assert_eq!(args.output_file, Some("o".into()));
            assert_eq!((args.device, args.dtype), (DeviceChoice::Cuda(1), DTypeChoice::Bf16));
            assert_eq!(args.quantize, Some(Quantize::Int8));
            let expected = GenerationParams {
                max_new_tokens: 7,
                temperature: 0.5,
                top_p: Some(0.9),
                top_k: Some(3),
                repetition_penalty: 1.5,
                seed: 9,
            };
            assert_eq!(args.params(), expected);
        }
        assert_eq!(parse(&["--model_path=m", "--merge_to=x"]).unwrap().merge_to, Some("x".into()));
        assert_eq!(parse(&["--export_base=x"]).unwrap().export_base, Some("x".into()));
        let export = parse(&["--model_path=m", "--export_gguf_lora=x"]).unwrap();
        assert_eq!(export.export_gguf_lora, Some("x".into()));
    }

    #[test]
    fn a_note_may_begin_with_a_hyphen() {
        let args = parse(&["--model-path", "m", "--clinical-note", "- fever\n- cough"]).unwrap();
        assert_eq!(args.clinical_note.as_deref(), Some("- fever\n- cough"));
    }

    #[test]
    fn the_last_of_a_flag_counts() {
        let args = parse(&["--model-path", "m", "--seed", "1", "--model_path", "n", "--seed", "2"]);
        let args = args.unwrap();
        assert_eq!((args.model_path, args.seed), (PathBuf::from("n"), 2));
    }

    #[test]
    fn merging_may_name_what_it_does() {
        let merge = ["--model-path", "m", "--merge-to", "x", "--device", "cpu", "--dtype", "f32"];
        assert!(parse(&merge).is_ok());
    }

    #[test]
    fn contradictions_are_wrong_usage() {
        for wrong in [
            &["--clinical-note", "a"][..],
            &["--model-path", "m", "--clinical-note", "a", "--input-file", "b"],
            &["--model-path", "m", "--merge-to", "x", "--clinical-note", "a"],
            &["--model-path", "m", "--merge-to", "x", "--json"],
            &["--model-path", "m", "--merge-to", "x", "--dtype", "bf16"],
            &["--model-path", "m", "--merge-to", "x", "--quantize", "nf4"],
            &["--model-path", "m", "--quantize", "fp4"],
            &["--model-path", "m", "--quantize-to", "x"],
            &["--model-path", "m", "--quantize", "nf4", "--quantize-to", "x", "--json"],
            &["--model-path", "m", "--quantize", "nf4", "--quantize-to", "x", "--base-model", "b"],
            &["--model-path", "m", "--merge-to", "x", "--device", "cuda"],
            &["--model-path", "m", "--evaluate", "e.csv", "--clinical-note", "a"],
            &["--model-path", "m", "--evaluate", "e.csv", "--input-file", "b"],
            &["--model-path", "m", "--evaluate", "e.csv", "--merge-to", "x"],
            &["--model-path", "m", "--evaluate", "e.csv", "--compare", "other"],
            &["--model-path", "m", "--compare", "base"],
            &["--model-path", "m", "--dtype", "f64"],
            &["--model-path", "m", "--device", "tpu"],
            &["--model-path", "m", "--top-k", "-1"],
            &["--model-path", "m", "--nonsense"],
            &["--check", "--model-path", "m", "--input-file", "x.csv"],
            &["--check", "--evaluate", "e.csv"],
            &["--check", "--merge-to", "x"],
            &["--check", "--export-base", "x"],
            &["--model-path", "m", "--terms", "t"],
            &["--model-path", "m", "--min-auroc", "0.5"],
            &["--model-path", "m", "--input-file", "n.csv", "--min-faithful", "0.5"],
            &["--model-path", "m", "--clinical-note", "n", "--compare", "base"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-auroc", "nan"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-auroc", "1.01"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-rouge-l", "nan"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-grounded", "nan"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-faithful", "2"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-eos-rate", "nan"],
            &["--model-path", "m", "--evaluate", "e.csv", "--min-faithful", "-0.1"],
            &["--model-path", "m", "--evaluate", "e.csv", "--temperature", "0.7"],
            &["--check", "--summary", "s"],
            &["--check", "--input-file", "x.csv", "--summary", "s"],
            &["--model-path", "m", "--clinical-note", "n", "--summary", "s"],
            &["--export-base", "x", "--model-path", "m"],
            &["--export-base", "x", "--clinical-note", "a"],
            &["--export-base", "x", "--merge-to", "y"],
            &["--export-base", "x", "--export-gguf-lora", "y"],
            &["--model-path", "m", "--export-gguf-lora", "y", "--merge-to", "x"],
            &["--model-path", "m", "--export-gguf-lora", "y", "--evaluate", "e.csv"],
            &["--model-path", "m", "--export-gguf-lora", "y", "--clinical-note", "a"],
            &["--model-path", "m", "--export-gguf-lora", "y", "--json"],
            &["--model-path", "m", "--export-gguf-lora", "y", "--dtype", "f16"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
