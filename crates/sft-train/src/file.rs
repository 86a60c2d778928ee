//! The configuration file: the same names as the flags, in TOML.

use std::io::{Error, ErrorKind};
use std::path::Path;

use clap::CommandFactory;
use sft_dataset::limited::{SETTINGS, read_limited};
use toml::de::DeTable;

use crate::error::CliError;
use crate::flags::Options;

/// A name is offered as a correction above this likeness (Jaro-Winkler, 0 to 1).
const LIKENESS: f64 = 0.8;

/// The file in a model's folder that says how it likes to be trained.
pub(crate) const RECOMMENDED_FILE: &str = "recommended_sft.toml";

/// What it may say.
const RECOMMENDED: [&str; 10] = [
    "num_epochs",
    "learning_rate",
    "batch_size",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lr_scheduler",
    "warmup_ratio",
    "weight_decay",
    "max_length",
];

/// Reads a TOML file of settings. An unknown key is refused with its line and the nearest known name.
pub(crate) fn read(path: &Path) -> Result<Options, CliError> {
    let known = known_keys();
    read_keys(path, &|key| {
        if known.iter().any(|name| name == key) { None } else { Some(hint(key, &known)) }
    })
}

/// What the model in a folder recommends, if it does.
pub(crate) fn read_recommended(folder: &Path) -> Result<Option<Options>, CliError> {
    let path = folder.join(RECOMMENDED_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let hint = || format!("a model may recommend {}; remove the line", RECOMMENDED.join(", "));
    read_keys(&path, &|key| (!RECOMMENDED.contains(&key)).then(hint)).map(Some)
}

/// Reads a TOML file; `refuse` says what is wrong with a key, if something is.
fn read_keys(path: &Path, refuse: &dyn Fn(&str) -> Option<String>) -> Result<Options, CliError> {
    let text = read_limited(path, SETTINGS)
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
        })
        .map_err(|source| CliError::ConfigRead { path: path.into(), source })?;
    let fail = |error: &toml::de::Error| CliError::ConfigSyntax {
        path: path.into(),
        line: error.span().map_or(1, |span| line_of(&text, span.start)),
        reason: error.message().trim().replace('\n', "; "),
    };
    let table = DeTable::parse(&text).map_err(|error| fail(&error))?;
    // Tables are sorted by key: report the first unknown one of the file.
    let unknown = table.get_ref().keys().filter(|key| refuse(key.get_ref()).is_some());
    if let Some(key) = unknown.min_by_key(|key| key.span().start) {
        return Err(CliError::ConfigKey {
            path: path.into(),
            line: line_of(&text, key.span().start),
            key: key.get_ref().to_string(),
            hint: refuse(key.get_ref()).unwrap_or_default(),
        });
    }
    toml::from_str(&text).map_err(|error| fail(&error))
}

/// The names of all settings, in the order of the flags.
pub(crate) fn known_keys() -> Vec<String> {
    struct_args()
        .filter(|id| {
            !["config", "self_test", "allow_changes", "cross_validate", "suggest", "show"]
                .contains(&id.as_str())
        })
        .collect()
}

fn struct_args() -> impl Iterator<Item = String> {
    let command = crate::flags::Flags::command();
    command.get_arguments().map(|arg| arg.get_id().to_string()).collect::<Vec<_>>().into_iter()
}

fn hint(key: &str, known: &[String]) -> String {
    let key = key.replace('-', "_").to_lowercase();
    let best = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&key, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, name)) if likeness >= LIKENESS => format!("did you mean `{name}`?"),
        _ => "`sft-train --help` lists the names, with underscores".to_owned(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Options, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_every_kind_of_value() {
        let options = read_text(
            "model_name = './base'\nlora_alpha = 24\nlearning_rate = 1e-3\nno_shuffle = true\n\
             lora_target_modules = ['q_proj', 'v_proj']\nseed = 7\n",
        )
        .unwrap();
        assert_eq!(options.model_name.as_deref(), Some("./base"));
        assert_eq!(options.lora_alpha, Some(24.0));
        assert_eq!(options.learning_rate, Some(1e-3));
        assert_eq!(options.no_shuffle, Some(true));
        assert_eq!(options.lora_target_modules.as_deref(), Some("q_proj,v_proj"));
        assert_eq!(options.seed, Some(7));
        assert_eq!(options.batch_size, None);
    }

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_neighbour() {
        let error = read_text("seed = 1\n\n# comment\nlora_rank = 8\n").unwrap_err();
        assert!(error.contains("run.toml:4"), "{error}");
        assert!(
            error.contains("`lora_rank`") && error.contains("did you mean `lora_r`?"),
            "{error}"
        );
        let error = read_text("batch-size = 8").unwrap_err();
        assert!(error.contains("did you mean `batch_size`?"), "{error}");
        let error = read_text("zzz = 8").unwrap_err();
        assert!(error.contains("--help"), "{error}");
        assert!(read_text("[lora]\nr = 8").unwrap_err().contains("`lora`"));
    }

    #[test]
    fn a_model_recommends_hyper_parameters_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_recommended(dir.path()).unwrap().is_none());
        let path = dir.path().join(RECOMMENDED_FILE);
        let all: String = RECOMMENDED
            .iter()
            .map(|key| match *key {
                "lr_scheduler" => "lr_scheduler = 'linear'\n".to_owned(),
                key => format!("{key} = 1\n"),
            })
            .collect();
        std::fs::write(&path, all.replace("learning_rate = 1", "learning_rate = 1.0")).unwrap();
        let options = read_recommended(dir.path()).unwrap().unwrap();
        assert_eq!((options.num_epochs, options.learning_rate), (Some(1), Some(1.0)));
        for other in ["output_dir = 'x'", "seed = 1", "lora_rank = 2"] {
            std::fs::write(&path, format!("num_epochs = 3\n{other}\n")).unwrap();
            let error = read_recommended(dir.path()).unwrap_err().to_string();
            assert!(error.contains("recommended_sft.toml:2"), "{error}");
            assert!(error.contains("may recommend num_epochs"), "{error}");
        }
    }

    #[test]
    fn a_wrong_type_and_broken_toml_name_the_line() {
        let error = read_text("seed = 1\nbatch_size = 'eight'\n").unwrap_err();
        assert!(error.contains("run.toml:2") && error.contains("invalid type"), "{error}");
        let error = read_text("seed = 1\nthis is not toml\n").unwrap_err();
        assert!(error.contains("run.toml:2"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
