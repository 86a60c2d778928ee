//! The page: one HTML file that needs nothing beside itself.

use minijinja::{Environment, Value as Html, context};
use serde_json::{Value, json};

use crate::derived::{Derived, epoch_losses};
use crate::figure::{Form, escaped, figure};
use crate::input::SetShape;
use crate::plot::{self, Bars, Colour, Line};
use crate::thin::Point;
use crate::words::pieces;
use crate::{Check, DataShape, Report, ReportError, Status, StepLine};

/// The name ends in `.html`: so everything that is put in is escaped.
const PAGE: &str = "report.html";

impl Report {
    /// The report as an HTML file: no script, no font, no image, nothing from a network. Text of notes, labels and
    /// settings is escaped.
    ///
    /// # Errors
    /// When a plot cannot be drawn or the page cannot be put together; both are faults of the program.
    pub fn html(&self) -> Result<String, ReportError> {
        let root = self.root()?;
        let mut environment = Environment::new();
        environment.add_template(PAGE, include_str!("report.html.jinja"))?;
        let page = environment.get_template(PAGE)?;
        Ok(page.render(context! {
            style => Html::from_safe_string(include_str!("report.css").to_owned()),
            title => self.run.setting("output_dir").unwrap_or("training run"),
            model => self.run.setting("model_name"),
            train_csv => self.run.setting("train_csv"),
            completed => self.run.stats.is_some(),
            stopped_early => root["stats"]["stopped_early"] == true,
            final_model => root["stats"]["final_model"].as_str(),
            head => head(&root),
            epochs => self.epochs(&root),
            plots => self.plots()?,
            data => self.data.as_ref().map(|data| data_tables(data, &root)),
            examples => self.examples_shown(),
            types => self.types(&root),
            types_plot => plot::bars(&self.bars())?.map(Html::from_safe_string),
            evaluation => self.evaluation_rows(&root),
            checks => self.checks.iter().map(check).collect::<Vec<_>>(),
            verdict => self.verdict.as_deref(),
            settings => self.run.settings.iter()
                .map(|it| context! { name => it.name.as_str(), value => it.value.as_str(), origin => it.origin.as_str() })
                .collect::<Vec<_>>(),
            fingerprints => pairs(&self.fingerprints),
            versions => pairs(&self.versions),
        })?)
    }

    /// Every number of the page, by its pointer.
    fn root(&self) -> Result<Value, ReportError> {
        Ok(json!({
            "stats": self.run.stats,
            "derived": serde_json::to_value(Derived::new(self))?,
            "data": serde_json::to_value(&self.data)?,
            "evaluation": self.evaluation,
        }))
    }

    /// The epochs: those of the statistics, or as far as the run has come.
    fn epochs(&self, root: &Value) -> Vec<Html> {
        let from = if self.run.stats.is_some() { "/stats/epochs" } else { "/derived/epochs" };
        let count = root.pointer(from).and_then(Value::as_array).map_or(0, Vec::len);
        let columns = [
            ("epoch", Form::Count),
            ("train_loss", Form::Fixed(4)),
            ("val_loss", Form::Fixed(4)),
            ("learning_rate", Form::Power),
            ("seconds", Form::Duration),
            ("tokens_per_s", Form::Count),
        ];
        let row = |index| {
            columns
                .map(|(name, form)| figure(root, &format!("{from}/{index}/{name}"), form))
                .into_iter()
                .collect::<Html>()
        };
        (0..count).map(row).collect()
    }

    fn plots(&self) -> Result<Vec<Html>, ReportError> {
        let run = &self.run;
        let of = |value: fn(&StepLine) -> Option<f64>| -> Vec<Point> {
            let steps = run.steps.iter();
            steps
                .filter_map(|step| Some((step.step as f64, value(step).filter(|v| v.is_finite())?)))
                .collect()
        };
        let line = |points, colour, dots| Line { points, colour, dots };
        let points = |points: Vec<(usize, f64)>| -> Vec<Point> {
            points.into_iter().map(|(step, value)| (step as f64, value)).collect()
        };
        let evals =
            run.evals.iter().filter_map(|eval| Some((eval.step, eval.eval_loss?))).collect();
        let evals = points(evals);
        let has_evals = !evals.is_empty();
        let loss = [
            line(of(|step| step.loss), Colour::Step, false),
            line(points(epoch_losses(run)), Colour::Train, true),
            line(evals, Colour::Validation, true),
        ];
        let mut keys =
            vec![("step", "training, each step"), ("train", "training, mean of an epoch")];
        if has_evals {
            keys.push(("validation", "validation"));
        }
        let single = |value| [line(of(value), Colour::Train, false)];
        let plots = [
            ("Loss", "nats a token, by step", plot::lines(&loss)?, keys),
            (
                "Learning rate",
                "by step",
                plot::lines(&single(|step| Some(step.learning_rate)))?,
                Vec::new(),
            ),
            (
                "Gradient norm",
                "before clipping, by step",
                plot::lines(&single(|step| step.grad_norm))?,
                Vec::new(),
            ),
            (
                "Throughput",
                "tokens a second, by step",
                plot::lines(&single(|step| step.tokens_per_s))?,
                Vec::new(),
            ),
        ];
        let drawn = plots.into_iter().filter_map(|(name, what, svg, keys)| {
            Some(context! { name, what, svg => Html::from_safe_string(svg?), keys })
        });
        Ok(drawn.collect())
    }

    fn examples_shown(&self) -> Vec<Html> {
        let shown = |example: &crate::ExampleText| {
            let tuned = example.tuned.as_ref();
            context! {
                id => example.id.as_str(),
                note => example.note.as_str(),
                reference => example.reference.as_str(),
                base => example.base.as_deref(),
                tuned => tuned.map(|text| {
                    Html::from(minijinja::value::Serde(pieces(text, &example.unsupported)))
                }),
            }
        };
        self.examples.iter().map(shown).collect()
    }

    /// The kinds of hallucination that were evaluated.
    fn type_names(&self) -> Vec<&String> {
        let types = self.evaluation.as_ref().and_then(|it| it["auroc_by_type"].as_object());
        types.map_or(Vec::new(), |types| types.keys().collect())
    }

    fn bars(&self) -> Vec<Bars> {
        let Some(evaluation) = &self.evaluation else { return Vec::new() };
        let all = [("all".to_owned(), &evaluation["auroc"], &evaluation["base"]["auroc"])];
        let types = self.type_names().into_iter().map(|name| {
            let of = |it: &'static str| if it.is_empty() { evaluation } else { &evaluation[it] };
            (name.clone(), &of("")["auroc_by_type"][name], &of("base")["auroc_by_type"][name])
        });
        let bars = all.into_iter().chain(types).map(|(name, model, base)| Bars {
            name,
            model: model.as_f64(),
            base: base.as_f64(),
        });
        bars.collect()
    }

    /// The table beside the bars: name, model, base.
    fn types(&self, root: &Value) -> Vec<Html> {
        if self.evaluation.is_none() {
            return Vec::new();
        }
        let row = |name: &str, key: String| {
            let model = figure(root, &format!("/evaluation/{key}"), Form::Fixed(3));
            let base = figure(root, &format!("/evaluation/base/{key}"), Form::Fixed(3));
            context! { name, model, base }
        };
        let mut rows =
            vec![row("all", "auroc".into()), row("within a note", "auroc_paired".into())];
        let types = self.type_names().into_iter();
        rows.extend(types.map(|name| row(name, format!("auroc_by_type/{}", escaped(name)))));
        rows
    }

    /// Every other figure of the evaluation: name, model, base.
    fn evaluation_rows(&self, root: &Value) -> Vec<Html> {
        let names = [
            ("Rows scored", "rows", Form::Count),
            ("Rows skipped", "skipped", Form::Count),
            ("Factual rows", "factual", Form::Count),
            ("Hallucinated rows", "hallucinated", Form::Count),
            ("Loss of factual summaries", "loss_factual", Form::Fixed(4)),
            ("Loss of hallucinated summaries", "loss_hallucinated", Form::Fixed(4)),
            ("Perplexity of factual summaries", "perplexity_factual", Form::Fixed(3)),
        ];
        let row = |(name, key, form): (&str, &str, Form)| {
            let model = figure(root, &format!("/evaluation/{key}"), form);
            let base = figure(root, &format!("/evaluation/base/{key}"), form);
            context! { name, model, base }
        };
        if self.evaluation.is_some() { names.map(row).to_vec() } else { Vec::new() }
    }
}

/// The figures at the top: name, number, unit.
fn head(root: &Value) -> Vec<Html> {
    let epochs = root["stats"]["epochs"].as_array().map_or(0, Vec::len);
    let last = format!("/stats/epochs/{}", epochs.saturating_sub(1));
    // Where the statistics are not there yet, what follows from the lines of metrics.jsonl.
    let either = |stats: &str, derived: &str| {
        let key = if root.pointer(stats).is_some() { stats } else { derived };
        key.to_owned()
    };
    let rows = [
        (
            "Training loss, last epoch",
            either(&format!("{last}/train_loss"), "/derived/train_loss"),
            Form::Fixed(4),
            "",
        ),
        (
            "Validation loss, at the end",
            either(&format!("{last}/val_loss"), "/derived/val_loss"),
            Form::Fixed(4),
            "",
        ),
        (
            "Lowest validation loss",
            either("/stats/best_evaluation/eval_loss", "/derived/best_evaluation/eval_loss"),
            Form::Fixed(4),
            "",
        ),
        (
            "Step of the lowest loss",
            either("/stats/best_evaluation/step", "/derived/best_evaluation/step"),
            Form::Count,
            "",
        ),
        ("Steps", either("/stats/steps", "/derived/steps"), Form::Count, ""),
        ("Steps planned", either("/stats/total_steps", "/derived/planned_steps"), Form::Count, ""),
        (
            "Steps without an update",
            either("/stats/skipped_steps", "/derived/skipped_steps"),
            Form::Count,
            "",
        ),
        (
            "Time in training",
            either("/stats/train_seconds", "/derived/train_seconds"),
            Form::Duration,
            "",
        ),
        ("Tokens", either("/stats/tokens", "/derived/tokens"), Form::Count, ""),
        ("Tokens a second", "/derived/tokens_per_s".to_owned(), Form::Count, ""),
        (
            "Peak memory",
            either("/stats/peak_memory_mb", "/derived/peak_memory_mb"),
            Form::Count,
            " MiB",
        ),
        ("Trainable parameters", "/derived/trainable_parameters".to_owned(), Form::Count, ""),
        ("Share of all parameters", "/derived/trainable_percent".to_owned(), Form::Fixed(3), " %"),
    ];
    rows.into_iter()
        .filter(|(_, key, ..)| root.pointer(key).is_some_and(|value| !value.is_null()))
        .map(|(name, key, form, unit)| context! { name, value => figure(root, &key, form), unit })
        .collect()
}

fn pairs(pairs: &[(String, String)]) -> Vec<Html> {
    let pair = |(name, value): &(String, String)| context! { name => name.as_str(), value => value.as_str() };
    pairs.iter().map(pair).collect()
}

fn check(check: &Check) -> Html {
    let (status, word) = match check.status {
        Status::Passed => ("passed", "passed"),
        Status::Failed => ("failed", "failed"),
        Status::Unknown => ("unknown", "not known"),
    };
    context! { name => check.name.as_str(), status, word, measured => check.measured.as_str(), why => check.why.as_str() }
}

/// The columns of the data's tables are the sets, their rows what was counted.
fn data_tables(data: &DataShape, root: &Value) -> Html {
    let mut sets = vec![("training", "Training", &data.training)];
    if let Some(validation) = &data.validation {
        sets.push(("validation", "Validation", validation));
    }
    let row = |name: &str, path: &str, form| {
        let values: Html = sets
            .iter()
            .map(|(key, ..)| figure(root, &format!("/data/{key}/{path}"), form))
            .collect();
        context! { name, values }
    };
    let count = |name: &str, path: &str| row(name, path, Form::Count);
    let names = |of: fn(&SetShape) -> Vec<&String>| {
        let mut names: Vec<&String> = sets.iter().flat_map(|(_, _, set)| of(set)).collect();
        names.sort();
        names.dedup();
        names
    };
    let unnamed = |name: &str| if name.is_empty() { "(none)".to_owned() } else { name.to_owned() };
    let labels: Vec<Html> = names(|set| set.labels.keys().collect())
        .into_iter()
        .map(|name| count(&unnamed(name), &format!("labels/{}", escaped(name))))
        .collect();
    let types: Vec<Html> = names(|set| set.hallucination_types.keys().collect())
        .into_iter()
        .map(|name| count(&unnamed(name), &format!("hallucination_types/{}", escaped(name))))
        .collect();
    let dropped: Vec<Html> = sets
        .iter()
        .flat_map(|(key, name, set)| {
            set.dropped.iter().enumerate().map(move |(index, dropped)| {
                let rows = figure(root, &format!("/data/{key}/dropped/{index}/rows"), Form::Count);
                context! { set => *name, reason => dropped.reason.as_str(), rows }
            })
        })
        .collect();
    let lengths: Vec<Html> = [("Prompt", "prompt_tokens"), ("Target", "target_tokens")]
        .into_iter()
        .flat_map(|(name, path)| {
            sets.iter().map(move |(key, set, _)| {
                let values: Html = ["min", "median", "p90", "max"]
                    .map(|rank| figure(root, &format!("/data/{key}/{path}/{rank}"), Form::Count))
                    .into_iter()
                    .collect();
                context! { name => format!("{name}, {}", set.to_lowercase()), values }
            })
        })
        .collect();
    context! {
        sets => sets.iter().map(|(_, name, set)| context! { name => *name, source => set.source.as_str() }).collect::<Vec<_>>(),
        counts => vec![
            count("Rows", "rows"), count("Examples", "examples"), count("Notes shortened", "truncated"),
        ],
        labels, types, dropped, lengths,
    }
}
