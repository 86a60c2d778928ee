//! The figures for people.

use sft_eval::{Comparison, Interval, ModelReport, Readiness, SummaryFigures};

/// A line each, a column for each model.
pub(super) fn table(
    models: &[(&str, &ModelReport)],
    both: Option<&Comparison>,
    readiness: &Readiness,
) -> String {
    let Some((_, ModelReport { scores: first, summaries })) = models.first() else {
        return String::new();
    };
    let mut text = format!(
        "{} rows: {} factual, {} hallucinated; {} skipped",
        first.rows, first.factual, first.hallucinated, first.skipped
    );
    text += &line("", models.iter().map(|(name, _)| format!("{name:>9}")));
    let mut add = |name: &str, of: &dyn Fn(&ModelReport) -> Cell| {
        text += &line(name, models.iter().map(|(_, report)| of(report).text()));
    };
    add("loss a token, factual", &|r| Cell::plain(r.scores.loss_factual));
    add("loss a token, hallucinated", &|r| Cell::plain(r.scores.loss_hallucinated));
    add("perplexity, factual", &|r| Cell::plain(r.scores.perplexity_factual));
    add("AUROC", &|r| Cell(r.scores.auroc, r.scores.intervals.auroc));
    add("AUROC within a note", &|r| Cell::plain(r.scores.auroc_paired));
    for name in first.auroc_by_type.keys().take(TYPES) {
        add(&format!("AUROC, {}", shown(name)), &|r| {
            let interval = r.scores.intervals.auroc_by_type.get(name).copied().flatten();
            Cell(r.scores.auroc_by_type.get(name).copied().flatten(), interval)
        });
    }
    if let Some(figures) = summaries {
        let mut section = format!(
            "\n\n{} notes summarised, {} with a reference",
            figures.notes, figures.with_reference
        );
        for (name, of) in MEANS {
            if models.iter().any(|(_, report)| mean(report, *of).is_some()) {
                let cells = models.iter().map(|(_, report)| Cell::of(mean(report, *of)).text());
                section += &line(name, cells);
            }
        }
        let unsupported = |report: &ModelReport| {
            report.summaries.as_ref().map_or_else(String::new, |figures| {
                let bad: usize = figures.unsupported.values().sum();
                format!("{:>9}", format!("{bad} of {}", figures.facts))
            })
        };
        section += &line("unsupported facts", models.iter().map(|(_, report)| unsupported(report)));
        text += &section;
    }
    if let Some(both) = both {
        text += &line("\nAUROC gain", [Cell::plain(both.auroc_gain).text()]);
        for (name, key) in
            [("grounded", "grounded"), ("faithful", "faithful"), ("ROUGE-L", "rouge_l")]
        {
            if let Some(gain) = both.gains.get(key) {
                text += &line(&format!("{name} gain"), [Cell::of(Some(*gain)).text()]);
            }
        }
        text += &answer(both);
    }
    format!("{text}\n\n{readiness}")
}

/// Types that have a line; JSON has them all.
const TYPES: usize = 30;

/// A type as far as it fits and is text: the column may hold anything.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(24).collect()
}

/// Does it hallucinate less than its base?
fn answer(both: &Comparison) -> String {
    let Some(gain) = both.gains.get("grounded") else { return String::new() };
    let than_base = match (gain.low > 0.0, gain.high < 0.0) {
        (true, _) => "The model says unsupported things in fewer summaries than its base.",
        (_, true) => "The model says unsupported things in MORE summaries than its base.",
        _ => "No difference to the base is shown in how many summaries say unsupported things.",
    };
    format!("\n{than_base}")
}

/// The figures of summaries that have a line.
const MEANS: &[(&str, Mean)] = &[
    ("ROUGE-1", |s| s.rouge1),
    ("ROUGE-2", |s| s.rouge2),
    ("ROUGE-L", |s| s.rouge_l),
    ("length by reference", |s| s.length_ratio),
    ("ended by itself", |s| s.eos_rate),
    ("copied from the note", |s| s.copy_rate),
    ("repetition", |s| s.repetition),
    ("form of the references", |s| s.in_format),
    ("facts: precision", |s| s.fact_precision),
    ("facts: recall", |s| s.fact_recall),
    ("grounded in the note", |s| s.grounded),
    ("faithful: form, grounded, complete", |s| s.faithful),
    ("complete and supported (--findings)", |s| s.complete_and_supported),
];

type Mean = fn(&SummaryFigures) -> Option<Interval>;

fn mean(report: &ModelReport, of: Mean) -> Option<Interval> {
    report.summaries.as_ref().and_then(of)
}

/// A figure, perhaps with its interval.
struct Cell(Option<f64>, Option<Interval>);

impl Cell {
    fn plain(value: Option<f64>) -> Self {
        Self(value, None)
    }

    fn of(interval: Option<Interval>) -> Self {
        Self(interval.map(|interval| interval.estimate), interval)
    }

    /// A dash where a class is empty.
    fn text(&self) -> String {
        let value = self.0.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let interval = self.1.map_or_else(String::new, |interval| {
            format!("  {:.3} to {:.3}", interval.low, interval.high)
        });
        format!("{value:>9}{interval}")
    }
}

/// A new line of the table.
fn line(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| format!("{cell:<28}")).collect();
    format!("\n{name:<38}{}", cells.concat()).trim_end_matches(' ').to_owned()
}
