//! The files of a run, read again. They may be those of a run that still goes on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use toml::de::DeTable;

use crate::ReportError;

const METRICS: &str = "metrics.jsonl";
const STATS: &str = "training_stats.json";
const CONFIG: &str = "run_config.toml";
/// Where a run works that is to replace a finished one.
const NEXT_RUN: &str = "next_run";

/// What a run has written so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// One entry an optimizer step, in order.
    pub steps: Vec<StepLine>,
    /// One entry an evaluation, in order.
    pub evals: Vec<EvalLine>,
    /// training_stats.json, which a run writes when it is complete.
    pub stats: Option<Value>,
    /// run_config.toml: every setting in its order.
    pub settings: Vec<Setting>,
}

/// A line of metrics.jsonl about a step. What was not finite is `null` there, and `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct StepLine {
    /// Optimizer steps done.
    pub step: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean loss over the target tokens, in nats.
    pub loss: Option<f64>,
    /// Norm of all gradients before clipping.
    pub grad_norm: Option<f64>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Tokens.
    pub tokens: usize,
    /// Target tokens among them.
    pub target_tokens: usize,
    /// Duration.
    pub seconds: f64,
    /// `tokens / seconds`.
    pub tokens_per_s: Option<f64>,
    /// Highest resident memory so far, MiB.
    pub peak_memory_mb: Option<f64>,
    /// Nothing was learned in this step.
    #[serde(default)]
    pub skipped: bool,
}

/// A line of metrics.jsonl about an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct EvalLine {
    /// Optimizer steps done.
    pub step: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Token-weighted mean loss, in nats.
    pub eval_loss: Option<f64>,
}

/// A line of run_config.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name, as the flag has it.
    pub name: String,
    /// Value, as TOML has it; a text without its quotes.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

impl Run {
    /// Reads the run in `dir`, complete or not. A last line that is still being written is left out.
    ///
    /// # Errors
    /// When metrics.jsonl is missing, or a file is not what a run writes.
    pub fn read(dir: &Path) -> Result<Self, ReportError> {
        let mut run = Self::read_metrics(dir)?;
        let path = dir.join(STATS);
        run.stats = match optional(&path)? {
            None => None,
            Some(text) => {
                Some(serde_json::from_str(&text).map_err(|error| malformed(&path, &error, 0))?)
            }
        };
        let path = dir.join(CONFIG);
        if let Some(text) = optional(&path)? {
            run.settings = settings(&path, &text)?;
        }
        Ok(run)
    }

    /// Its curves alone.
    ///
    /// # Errors
    /// As [`Run::read`].
    pub fn read_metrics(dir: &Path) -> Result<Self, ReportError> {
        let path = dir.join(METRICS);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ReportError::Read { path: path.clone(), source })?;
        let mut run = Self::default();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let Some(line) = line.strip_suffix('\n') else { break };
            let value: Value =
                serde_json::from_str(line).map_err(|error| malformed(&path, &error, index))?;
            let malformed = |error: serde_json::Error| malformed(&path, &error, index);
            if value.get("eval_loss").is_some() {
                run.evals.push(serde_json::from_value(value).map_err(malformed)?);
            } else {
                run.steps.push(serde_json::from_value(value).map_err(malformed)?);
            }
        }
        Ok(run)
    }

    /// The folder whose run is under way, or was the last: `next_run/` in `dir` where a run works that is to
    /// replace a finished one, else `dir`.
    pub fn newest(dir: &Path) -> PathBuf {
        let next = dir.join(NEXT_RUN);
        if next.join(METRICS).is_file() { next } else { dir.to_owned() }
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let named = self.settings.iter().find(|setting| setting.name == name);
        named.map(|setting| setting.value.as_str())
    }
}

fn optional(path: &Path) -> Result<Option<String>, ReportError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path: path.into(), source }),
    }
}

fn malformed(path: &Path, error: &serde_json::Error, lines_before: usize) -> ReportError {
    ReportError::Malformed {
        path: path.into(),
        line: lines_before + error.line().max(1),
        reason: error.to_string(),
    }
}

/// Each setting with the comment behind it, which names its origin.
fn settings(path: &Path, text: &str) -> Result<Vec<Setting>, ReportError> {
    let table = DeTable::parse(text).map_err(|error| ReportError::Malformed {
        path: path.into(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        reason: error.message().replace('\n', "; "),
    })?;
    let mut settings: Vec<(usize, Setting)> = Vec::new();
    for (name, value) in table.get_ref() {
        let span = value.span();
        let rest = text.get(span.end..).unwrap_or_default().lines().next().unwrap_or_default();
        let origin = rest.trim().strip_prefix('#').unwrap_or_default().trim().to_owned();
        let value = match value.get_ref().as_str() {
            Some(text) => text.to_owned(),
            None => text.get(span).unwrap_or_default().to_owned(),
        };
        settings
            .push((name.span().start, Setting { name: name.get_ref().to_string(), value, origin }));
    }
    settings.sort_by_key(|(at, _)| *at);
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const STEP: &str = r#"{"step":1,"epoch":1,"loss":2.5,"grad_norm":null,"learning_rate":0.0,"tokens":9,"target_tokens":3,"seconds":0.5,"tokens_per_s":18.0,"peak_memory_mb":null}"#;

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("{STEP}\n{{\"step\":1,\"epoch\":1,\"eval_loss\":null}}\n{}", &STEP[..40]);
        std::fs::write(dir.path().join(METRICS), text).unwrap();
        let run = Run::read(dir.path()).unwrap();
        assert_eq!((run.steps.len(), run.evals.len()), (1, 1));
        assert_eq!((run.steps[0].loss, run.steps[0].grad_norm), (Some(2.5), None));
        assert_eq!(run.evals[0].eval_loss, None);
        assert!(run.stats.is_none() && run.settings.is_empty());
    }

    #[test]
    fn what_no_run_writes_is_refused_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Run::read(dir.path()).unwrap_err().to_string();
        assert!(missing.contains("metrics.jsonl"), "{missing}");
        std::fs::write(dir.path().join(METRICS), format!("{STEP}\nfever\n")).unwrap();
        let error = Run::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl:2") && !error.contains("fever"), "{error}");
        std::fs::write(dir.path().join(METRICS), format!("{STEP}\n")).unwrap();
        std::fs::write(dir.path().join(CONFIG), "seed = 1\nseed: 2\n").unwrap();
        let error = Run::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("run_config.toml:2"), "{error}");
    }

    #[test]
    fn settings_keep_their_order_and_their_origin() {
        let text = "# Repeat\nseed = 42 # default\nmodel_name = \"a # b\" # flag\n\
                    prompt_template = \"\"\"\nNote\n# x\n\"\"\" # default\n";
        let settings = settings(Path::new(CONFIG), text).unwrap();
        let of = |name: &str, value: &str, origin: &str| Setting {
            name: name.into(),
            value: value.into(),
            origin: origin.into(),
        };
        assert_eq!(
            settings,
            [
                of("seed", "42", "default"),
                of("model_name", "a # b", "flag"),
                of("prompt_template", "Note\n# x\n", "default")
            ]
        );
    }

    #[test]
    fn the_run_that_replaces_a_finished_one_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Run::newest(dir.path()), dir.path());
        std::fs::create_dir(dir.path().join(NEXT_RUN)).unwrap();
        std::fs::write(dir.path().join(NEXT_RUN).join(METRICS), "").unwrap();
        assert_eq!(Run::newest(dir.path()), dir.path().join(NEXT_RUN));
    }
}
