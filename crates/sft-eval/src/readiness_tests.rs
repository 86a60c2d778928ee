#![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]

use super::*;
use crate::Interval;

fn curve(losses: &[(f64, Option<f64>)]) -> TrainingCurve {
    let epoch = |&(train_loss, val_loss)| EpochLoss { train_loss, val_loss, steps: 20 };
    TrainingCurve { epochs: losses.iter().map(epoch).collect(), ..TrainingCurve::default() }
}

fn exactly(estimate: f64) -> Option<Interval> {
    Some(Interval { estimate, low: estimate, high: estimate })
}

fn figures() -> SummaryFigures {
    SummaryFigures {
        eos_rate: exactly(1.0),
        repetition: exactly(0.0),
        in_format: exactly(0.99),
        grounded: exactly(0.8),
        notes: 20,
        facts: 100,
        ..SummaryFigures::new(&[])
    }
}

fn pairs(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

fn status(readiness: &Readiness, name: &str) -> Status {
    readiness.checks.iter().find(|check| check.name == name).unwrap().status
}

#[test]
fn a_model_that_learnt_its_form_and_still_hallucinates_goes_on() {
    let (curve, figures) =
        (curve(&[(2.0, Some(1.9)), (1.2, Some(1.22)), (1.0, Some(1.2))]), figures());
    let pairs = pairs(&[("dose", 30), ("side", 20)]);
    let evidence = Evidence {
        curve: Some(&curve),
        summaries: Some(&figures),
        scores: None,
        pairs: Some(&pairs),
    };
    let readiness = Readiness::new(&evidence);
    assert_eq!(readiness.verdict, Verdict::Proceed, "{readiness:?}");
    assert!(readiness.reasons.is_empty());
    assert!(readiness.checks.iter().all(|check| check.status == Status::Passed));

    let nothing = Readiness::new(&Evidence::default());
    assert_eq!((nothing.verdict, nothing.reasons.len()), (Verdict::Hold, 5));
    assert!(nothing.checks.iter().all(|check| check.status == Status::Unknown));
}

#[test]
fn each_question_alone_holds_a_model_back() {
    let good = curve(&[(2.0, Some(1.9)), (1.2, Some(1.22)), (1.0, Some(1.2))]);
    let rose = curve(&[(2.0, Some(1.9)), (1.0, Some(1.2)), (0.5, Some(1.3))]);
    let mut kept_best = rose.clone();
    kept_best.final_model = "best evaluation".into();
    let mut skipped = good.clone();
    skipped.skipped_steps = 1;
    let mut few_steps = good.clone();
    few_steps.epochs.iter_mut().for_each(|epoch| epoch.steps = 9);
    let converged = "loss converged smoothly";
    for (curve, expected) in [
        (&good, Status::Passed),
        (&rose, Status::Failed),
        (&kept_best, Status::Passed),
        (&skipped, Status::Failed),
        (&curve(&[(2.0, Some(1.9)), (1.0, Some(1.2))]), Status::Failed), // still falling
        (&few_steps, Status::Unknown),
        (&curve(&[(2.0, None), (2.5, None)]), Status::Failed),
        (&curve(&[(2.0, None), (1.0, None), (1.5, None)]), Status::Failed),
        (&curve(&[(2.0, None), (1.0, None)]), Status::Unknown),
        (&curve(&[(2.0, Some(1.0))]), Status::Unknown),
        (&curve(&[(2.0, Some(1.0)), (f64::NAN, Some(1.0))]), Status::Failed),
    ] {
        let readiness = Readiness::new(&Evidence { curve: Some(curve), ..Evidence::default() });
        assert_eq!(status(&readiness, converged), expected, "{curve:?}");
    }

    let with = |change: fn(&mut SummaryFigures)| {
        let mut figures = figures();
        change(&mut figures);
        Readiness::new(&Evidence { summaries: Some(&figures), ..Evidence::default() })
    };
    assert_eq!(status(&with(|f| f.eos_rate = exactly(0.9)), "text coherent"), Status::Failed);
    assert_eq!(status(&with(|f| f.repetition = exactly(0.1)), "text coherent"), Status::Failed);
    assert_eq!(status(&with(|f| f.in_format = exactly(0.5)), "output format"), Status::Failed);
    let grounded = with(|f| f.grounded = exactly(1.0));
    assert_eq!(status(&grounded, "something left to unlearn"), Status::Failed);
    assert_eq!(status(&with(|_| ()), "something left to unlearn"), Status::Passed);

    for name in ["text coherent", "output format"] {
        assert_eq!(status(&with(|f| f.notes = 9), name), Status::Unknown, "of few notes");
    }
    assert_eq!(status(&with(|f| f.repetition = exactly(0.1)), "output format"), Status::Passed);
    let scores = |auroc| Evaluation { auroc: Some(auroc), ..Evaluation::default() };
    for (auroc, expected) in [(0.99, Status::Unknown), (0.9, Status::Passed)] {
        let scores = scores(auroc);
        let readiness = Readiness::new(&Evidence { scores: Some(&scores), ..Evidence::default() });
        assert_eq!(status(&readiness, "something left to unlearn"), expected, "without a summary");
    }

    for (counts, expected) in [
        (&[("dose", 49)][..], Status::Failed),
        (&[("dose", 50)], Status::Passed),
        (&[("dose", 60), ("side", 9)], Status::Failed),
        (&[], Status::Failed),
    ] {
        let pairs = pairs(counts);
        let readiness = Readiness::new(&Evidence { pairs: Some(&pairs), ..Evidence::default() });
        assert_eq!(status(&readiness, "enough preference pairs"), expected, "{counts:?}");
    }
}

#[test]
fn a_column_that_holds_no_types_is_not_shown() {
    let long = "the patient reports fever and cough since Monday morning";
    let many: BTreeMap<String, usize> = (0..30).map(|i| (format!("kind {i:02}"), 10)).collect();
    for (pairs, total) in [(pairs(&[(long, 60)]), 60), (many, 300)] {
        let readiness = Readiness::new(&Evidence { pairs: Some(&pairs), ..Evidence::default() });
        let check = readiness.checks.last().unwrap();
        assert!(check.measured.starts_with(&format!("{total} pairs: (other) ")), "{check:?}");
        assert!(!readiness.to_string().contains("fever") && !check.measured.contains("kind 29"));
        assert_eq!(check.status, Status::Passed);
    }
}

#[test]
fn the_statistics_of_a_run_are_its_curve() {
    let text = r#"{"completed": true, "epochs": [{"epoch": 1, "train_loss": 2.5, "val_loss": null, "steps": 3}],
        "skipped_steps": 0, "final_model": "last step"}"#;
    let curve: TrainingCurve = serde_json::from_str(text).unwrap();
    assert_eq!(curve.epochs, [EpochLoss { train_loss: 2.5, val_loss: None, steps: 3 }]);
    assert_eq!(curve.final_model, "last step");
}
