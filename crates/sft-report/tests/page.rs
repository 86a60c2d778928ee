//! The page: every number is that of its source, every text is text, and nothing is fetched.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod common;

use std::collections::BTreeSet;

use common::{EPOCHS, STEPS, full, write_run};
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};
use sft_report::{ExampleText, Report, Run};

fn run(complete: bool) -> (tempfile::TempDir, Run) {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path(), complete);
    let run = Run::read(dir.path()).unwrap();
    (dir, run)
}

fn all<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().trim().to_owned()
}

/// What follows from metrics.jsonl, computed from its lines without the library.
fn derived(dir: &std::path::Path, report: &Report) -> Value {
    let metrics = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (evals, steps): (Vec<Value>, Vec<Value>) =
        lines.into_iter().partition(|line| line.get("eval_loss").is_some());
    let sum = |lines: &[&Value], key: &str| {
        lines.iter().map(|line| line[key].as_f64().unwrap()).sum::<f64>()
    };
    let everything: Vec<&Value> = steps.iter().collect();
    let epochs: Vec<Value> = (1..=EPOCHS)
        .map(|epoch| {
            let of: Vec<&Value> = steps.iter().filter(|step| step["epoch"] == epoch).collect();
            let learned: Vec<&Value> =
                of.iter().copied().filter(|step| step.get("skipped").is_none()).collect();
            let nll: f64 = learned
                .iter()
                .map(|step| {
                    step["loss"].as_f64().unwrap() * step["target_tokens"].as_f64().unwrap()
                })
                .sum();
            json!({
                "epoch": epoch,
                "train_loss": nll / sum(&learned, "target_tokens"),
                "val_loss": evals[epoch - 1]["eval_loss"],
                "learning_rate": of.last().unwrap()["learning_rate"],
                "seconds": sum(&of, "seconds"),
                "tokens_per_s": sum(&of, "tokens") / sum(&of, "seconds"),
            })
        })
        .collect();
    let best = evals.iter().min_by(|a, b| {
        a["eval_loss"].as_f64().unwrap().total_cmp(&b["eval_loss"].as_f64().unwrap())
    });
    let (trainable, total) = report.parameters.unwrap();
    json!({
        "steps": EPOCHS * STEPS, "planned_steps": report.planned_steps, "skipped_steps": 1,
        "tokens": sum(&everything, "tokens"), "train_seconds": sum(&everything, "seconds"),
        "tokens_per_s": sum(&everything, "tokens") / sum(&everything, "seconds"),
        "peak_memory_mb": 93.5, "train_loss": epochs.last().unwrap()["train_loss"],
        "val_loss": evals.last().unwrap()["eval_loss"], "best_evaluation": best, "epochs": epochs,
        "trainable_parameters": trainable, "trainable_percent": 100.0 * trainable as f64 / total as f64,
    })
}

/// The number that a text of the page says, and half of the last place that it says.
fn said(text: &str) -> (f64, f64) {
    if text.ends_with(['s', 'n']) {
        let words: Vec<&str> = text.split(' ').collect();
        let seconds = |unit| match unit {
            "h" => 3600.0,
            "min" => 60.0,
            _ => 1.0,
        };
        let parts = words.chunks(2).map(|pair| pair[0].parse::<f64>().unwrap() * seconds(pair[1]));
        let place = match words[words.len() - 2..] {
            [_, "min"] => 30.0,
            [number, _] if number.contains('.') => 0.05,
            _ => 0.5,
        };
        return (parts.sum(), place);
    }
    let plain = text.replace(',', "");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let digits = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len());
    let place = exponent.parse::<i32>().unwrap() - i32::try_from(digits).unwrap();
    (plain.parse().unwrap(), 0.5 * 10_f64.powi(place))
}

#[test]
fn every_number_is_that_of_the_json_it_came_from() {
    for complete in [true, false] {
        let (dir, run) = run(complete);
        let report = full(run);
        let root = json!({
            "stats": report.run.stats, "derived": derived(dir.path(), &report),
            "data": report.data, "evaluation": report.evaluation,
        });
        let page = Html::parse_document(&report.html().unwrap());
        let mut keys = BTreeSet::new();
        for element in all(&page, "[data-key]") {
            let key = element.value().attr("data-key").unwrap();
            let value = root.pointer(key).and_then(Value::as_f64);
            let value = value.unwrap_or_else(|| panic!("{key} has no source"));
            let (number, place) = said(&text(element));
            let off = (number - value).abs();
            assert!(off <= place * (1.0 + 1e-9) + 1e-12, "{key}: {} for {value}", text(element));
            keys.insert(key.to_owned());
        }
        for part in ["/derived/", "/data/training/", "/data/validation/", "/evaluation/base/"] {
            assert!(keys.iter().any(|key| key.starts_with(part)), "{part}: {keys:?}");
        }
        assert_eq!(keys.iter().any(|key| key.starts_with("/stats/")), complete);
        assert!(keys.len() > 70, "{}", keys.len());
        // And no cell that holds a number is without a source.
        for cell in all(&page, "dl.facts:not(.wide) dd, td.number") {
            let sourced = cell.select(&Selector::parse("[data-key]").unwrap()).next().is_some();
            assert!(sourced || text(cell) == "–", "{}", text(cell));
        }
    }
}

#[test]
fn the_tables_have_every_epoch_every_type_and_every_label() {
    let (_dir, run) = run(true);
    let page = Html::parse_document(&full(run).html().unwrap());
    let keys: Vec<String> = all(&page, "[data-key]")
        .into_iter()
        .map(|it| it.value().attr("data-key").unwrap().to_owned())
        .collect();
    for key in [
        "/stats/epochs/2/val_loss",
        "/evaluation/auroc_by_type/invented ~1 finding",
        "/evaluation/base/auroc_by_type/side ~0 swapped",
        "/data/training/labels/halluci~1nated",
        "/data/validation/hallucination_types/invented ~0 finding",
        "/data/validation/dropped/1/rows",
        "/data/training/prompt_tokens/p90",
    ] {
        assert!(keys.iter().any(|it| it == key), "{key} is missing");
    }
    let checks: Vec<String> = all(&page, "#checks .state").into_iter().map(text).collect();
    assert_eq!(checks, ["passed", "failed", "not known"]);
    let settings: Vec<String> =
        all(&page, "#configuration tbody tr").into_iter().map(text).collect();
    assert_eq!(settings.len(), 5);
    assert!(settings[1].contains("0.0002") && settings[1].ends_with("flag"), "{settings:?}");
    assert_eq!(all(&page, "figure svg").len(), 5);
    assert_eq!(text(all(&page, "mark")[0]), "nausea");
}

/// Text that tries everything to become more than text.
const HOSTILE: &str = "</p></td></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"x {{ 7*7 }} {% raw %} <!-- &amp;";

#[test]
fn text_of_notes_stays_text() {
    let (_dir, mut run) = run(true);
    for setting in &mut run.settings {
        setting.value = HOSTILE.into();
        setting.origin = HOSTILE.into();
    }
    let mut report = full(run);
    report.examples = vec![ExampleText {
        id: HOSTILE.into(),
        note: HOSTILE.into(),
        reference: HOSTILE.into(),
        base: Some(HOSTILE.into()),
        tuned: Some(HOSTILE.into()),
        unsupported: vec![5..40],
    }];
    report.verdict = Some(HOSTILE.into());
    for check in &mut report.checks {
        (check.name, check.measured, check.why) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
    }
    report.fingerprints = vec![(HOSTILE.into(), HOSTILE.into())];
    report.versions = vec![(HOSTILE.into(), HOSTILE.into())];
    let data = report.data.as_mut().unwrap();
    data.training.source = HOSTILE.into();
    data.training.labels.insert(HOSTILE.into(), 3);
    data.training.hallucination_types.insert(HOSTILE.into(), 3);
    data.training.dropped[0].reason = HOSTILE.into();
    report.evaluation.as_mut().unwrap()["auroc_by_type"][HOSTILE] = json!(0.5);
    let html = report.html().unwrap();
    let page = Html::parse_document(&html);

    assert!(all(&page, "script, img, iframe, object, link, [onload], [onerror]").is_empty());
    let clean = Html::parse_document(&full(self::run(true).1).html().unwrap());
    let names = |page: &Html| -> BTreeSet<String> {
        all(page, "*").into_iter().map(|it| it.value().name().to_owned()).collect()
    };
    let more: Vec<_> = names(&page).difference(&names(&clean)).cloned().collect();
    assert!(more.is_empty(), "elements that only the hostile page has: {more:?}");
    for selector in [".example h3", ".note p", "#examples .texts div:nth-child(2) p", "title"] {
        let found = text(all(&page, selector)[0]);
        assert!(found.contains(HOSTILE), "{selector}: {found}");
    }
    assert_eq!(text(all(&page, ".verdict")[0]), HOSTILE);
}

#[test]
fn the_page_needs_nothing_beside_itself() {
    let (_dir, run) = run(true);
    let html = full(run).html().unwrap();
    let page = Html::parse_document(&html);
    assert!(all(&page, "script, img, iframe, object, embed, link, base, form, a[href]").is_empty());
    assert!(all(&page, "[src], [href], [srcset], [action], [style]").is_empty());
    // The one address is the name of SVG's elements.
    let addresses = html.matches("://").count();
    assert_eq!(addresses, html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    for word in ["@import", "url(", "@font-face"] {
        assert!(!html.contains(word), "{word}");
    }
    // For people who do not see it.
    assert_eq!(all(&page, "html[lang]").len(), 1);
    assert_eq!(all(&page, "h1").len(), 1);
    for table in all(&page, "table") {
        assert!(table.select(&Selector::parse("thead th[scope=col]").unwrap()).count() > 1);
    }
    for svg in all(&page, "svg") {
        let parent = ElementRef::wrap(svg.parent().unwrap()).unwrap();
        assert_eq!(parent.value().attr("role"), Some("img"));
        assert!(parent.value().attr("aria-label").is_some_and(|label| label.len() > 10));
    }
    let ids: Vec<&str> =
        all(&page, "[id]").iter().map(|it| it.value().attr("id").unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id stands twice");
}

#[test]
fn an_interrupted_run_and_what_is_not_known_are_said() {
    let (_dir, run) = run(false);
    let page = Html::parse_document(&Report { run, ..Report::default() }.html().unwrap());
    assert!(text(all(&page, ".lead")[0]).starts_with("Not complete"));
    assert_eq!(all(&page, "#curves svg").len(), 4);
    assert_eq!(all(&page, "#curves tbody tr").len(), EPOCHS);
    for section in ["checks", "examples", "discrimination", "data", "fingerprints"] {
        let found = all(&page, &format!("#{section}"));
        let [found] = found[..] else { panic!("{section}") };
        let missing: Vec<_> = found.select(&Selector::parse(".missing").unwrap()).collect();
        assert_eq!(missing.len(), 1, "{section}");
        assert!(!text(missing[0]).is_empty());
        assert!(
            found.select(&Selector::parse("table, svg").unwrap()).next().is_none(),
            "{section}"
        );
    }
    let empty = Html::parse_document(&Report::default().html().unwrap());
    assert_eq!(all(&empty, ".missing").len(), 7);
    assert!(all(&empty, "svg").is_empty());
}
