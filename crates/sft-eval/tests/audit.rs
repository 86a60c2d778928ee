//! The grounding audit: clinical English case by case, and planted corruptions by the hundred.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod corrupt;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use corrupt::{ALL, Planted, Random, plant, terms};
use sft_dataset::{Dataset, Record};
use sft_eval::EvalError;
use sft_eval::audit::{Auditor, Kind, TermKind, Terms};

fn auditor() -> Auditor {
    Auditor::new(Terms::built_in())
}

/// Kind and words of what is flagged.
fn flags(auditor: &Auditor, note: &str, summary: &str) -> Vec<(Kind, String)> {
    let audit = auditor.check(note, summary);
    for unsupported in &audit.unsupported {
        assert_eq!(summary[unsupported.start..unsupported.end], unsupported.text);
        assert!(!unsupported.why.is_empty());
    }
    assert!(audit.unsupported.len() <= audit.facts);
    audit.unsupported.into_iter().map(|u| (u.kind, u.text)).collect()
}

#[test]
fn what_the_note_supports_in_other_words_is_not_flagged() {
    let auditor = auditor();
    for (note, summary) in [
        (
            "Pt c/o SOB, denies CP, N/V or fever. PMH: HTN, T2DM.",
            "The patient has shortness of breath. No chest pain, nausea, vomiting or fever. History of hypertension and type 2 diabetes.",
        ),
        ("Amoxicillin 0.5 g TDS for 1 week.", "Amoxicillin 500 mg three times daily for 7 days."),
        ("Ibuprofen 400 mg q8h prn.", "Ibuprofen 400 mg three times a day as needed."),
        ("Her L knee is very swollen and painful.", "Left knee swelling and pain."),
        (
            "BP was one twenty over eighty, temp ninety eight point six.",
            "Blood pressure is 120/80. Temperature is 98.6 F.",
        ),
        (
            "Doctor: Any fever or chills?\nPatient: No.\nDoctor: Do you smoke?\nPatient: Yes, a pack a day.",
            "No fever or chills. He smokes one pack daily.",
        ),
        (
            "Pain in both hands. The abdomen is nontender. She is afebrile.",
            "Bilateral hand pain. No abdominal tenderness or fever.",
        ),
        ("Surgery on October third two thousand eight.", "Surgery on 10/3/2008."),
        ("Fever: none. Cough was denied. PE ruled out.", "No fever, cough or pulmonary embolism."),
        (
            "He had his appendix taken out. R sided weakness, RUQ pain.",
            "Appendectomy. Right weakness. Right upper quadrant pain.",
        ),
        ("Takes Lasix 40 mg daily and Coumadin.", "Furosemide 40 mg once a day, warfarin."),
        ("Anaemia, oedema of the ankles, diarrhoea.", "Anemia, ankle edema and diarrhea."),
        ("CT: no evidence of haemorrhage, mass or infarct.", "CT showed no hemorrhage or mass."),
        ("1. Asthma\n2. Gout", "1. Asthma. 2. Gout."),
        ("Doctor: You had the C T scan and the M R I.", "CT scan and MRI were done."),
        (
            "67 y/o M p/w 3d of SOB. Lantus 20U qHS. PCN allergy. HFrEF.",
            "67-year-old with shortness of breath for 3 days and heart failure. Insulin glargine 20 units at bedtime. Allergy to penicillin.",
        ),
        (
            "34F, L flank pain. Renal US: 4 mm stone.",
            "34-year-old with left flank pain. Ultrasound showed a 4 mm stone.",
        ),
        ("No relief with ibuprofen. Pain is six out of ten.", "Takes ibuprofen. Pain 6/10."),
    ] {
        assert_eq!(flags(&auditor, note, summary), [], "{note} | {summary}");
        assert!(auditor.check(note, summary).facts > 0, "{summary}");
    }
}

#[test]
fn what_the_note_does_not_support_is_flagged_by_its_kind() {
    let auditor = auditor();
    for (note, summary, kind, words) in [
        ("Amoxicillin 500 mg daily.", "Amoxicillin 50 mg daily.", Kind::Dose, "50 mg"),
        ("Amoxicillin 500 mg, aspirin 81 mg.", "Amoxicillin 81 mg.", Kind::Dose, "81 mg"),
        ("Metformin 1 g BID.", "Metformin 1000 mg once daily.", Kind::Frequency, "once daily"),
        ("Cough for 3 days.", "Cough for 3 weeks.", Kind::Duration, "3 weeks"),
        ("BP 120/80.", "Blood pressure is 120/90.", Kind::Number, "120/90"),
        ("Ejection fraction 55 %.", "Ejection fraction 35%.", Kind::Number, "35%"),
        ("Temp 38.5 C.", "Temperature 39.5 °C.", Kind::Number, "39.5 °C"),
        ("Seen on March 4, 2019.", "Seen on 3/5/2019.", Kind::Date, "3/5/2019"),
        ("Fever since Monday.", "Fever since Friday.", Kind::Date, "since Friday"),
        ("Denies fever, cough, or chest pain.", "The patient has cough.", Kind::Negation, "cough"),
        ("He has fever and cough.", "No fever.", Kind::Negation, "fever"),
        ("Abdominal pain w/o vomiting.", "Vomiting.", Kind::Negation, "Vomiting"),
        ("Doctor: Any cough? Patient: No.", "The patient has cough.", Kind::Negation, "cough"),
        ("Pain in the L hip.", "Right hip pain.", Kind::Side, "Right"),
        (
            "Swollen left ankle; right knee normal.",
            "Swelling of the right ankle.",
            Kind::Side,
            "right",
        ),
        ("RLQ tenderness.", "Left lower quadrant tenderness.", Kind::Side, "Left"),
        ("Takes Zocor.", "Takes atorvastatin.", Kind::Medication, "atorvastatin"),
        ("Cough.", "Cough and pneumonia.", Kind::Finding, "pneumonia"),
        ("Pain in the knee.", "Shoulder pain.", Kind::Finding, "pain"),
        ("Chest X-ray was clear.", "MRI was clear.", Kind::Procedure, "MRI"),
    ] {
        assert_eq!(
            flags(&auditor, note, summary),
            [(kind, words.to_owned())],
            "{note} | {summary}"
        );
    }
}

#[test]
fn terms_in_no_list_are_not_judged_but_numbers_are() {
    let auditor = auditor();
    assert_eq!(flags(&auditor, "Fine.", "Has zorblaxitis."), []);
    assert_eq!(flags(&auditor, "Fine.", "Zorblaxin 20 mg.").len(), 1);
    assert_eq!(auditor.check("Fine.", ""), sft_eval::audit::Audit::default());
}

#[test]
fn a_list_of_the_user_s_own_adds_terms_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terms.tsv");
    fs::write(&path, "# ours\nmedication\tzorblaxin\tZBX\nfinding\tfever\tthe hots\n\n").unwrap();
    let own = Auditor::new(Terms::with_file(&path).unwrap());
    assert_eq!(flags(&own, "Takes ZBX.", "Takes zorblaxin."), []);
    assert_eq!(
        flags(&own, "Fine.", "Takes zorblaxin."),
        [(Kind::Medication, "zorblaxin".to_owned())]
    );
    // another name joins those that the list has
    assert_eq!(flags(&own, "Pyrexia.", "The hots."), []);
}

#[test]
fn a_wrong_list_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terms.tsv");
    for (text, line, part) in [
        ("medication\taspirin\ndrug\tx\n", 2, "`drug` is no kind"),
        ("finding\n", 1, "no term"),
        ("finding\tfever\t...\n", 1, "`...` has no word"),
        ("# nothing\n", 1, "no term in this file"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Terms::with_file(&path).unwrap_err();
        assert!(matches!(error, EvalError::TermsLine { line: at, .. } if at == line), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    fs::write(&path, b"finding\t\xff\n").unwrap();
    assert!(Terms::with_file(&path).unwrap_err().to_string().contains("UTF-8"));
    assert!(Terms::with_file(Path::new("none.tsv")).unwrap_err().to_string().contains("none.tsv"));
}

#[test]
fn a_summary_against_a_reference_has_precision_and_recall() {
    let auditor = auditor();
    let reference = "The patient has fever and cough. No rash.";
    let same = auditor.compare(reference, "Cough, fever, no rash.");
    assert_eq!((same.precision, same.recall, same.f1), (1.0, 1.0, 1.0));
    // of fever and asthma one is in the reference; of fever, cough and rash one is in the summary
    let found = auditor.compare(reference, "Fever and asthma.");
    assert_eq!((found.precision, found.recall), (0.5, 1.0 / 3.0));
}

fn factual() -> Vec<Record> {
    records().into_iter().filter(Record::is_factual).collect()
}

fn records() -> Vec<Record> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/phase1_data/sft");
    let mut rows = Vec::new();
    for name in ["test", "val", "train"] {
        let set = Dataset::read_csv(&folder.join(format!("{name}_set_processed.csv"))).unwrap();
        rows.extend(set.records);
    }
    rows
}

#[test]
fn factual_summaries_of_the_sample_are_supported() {
    let (auditor, rows) = (auditor(), factual());
    let (mut facts, mut flagged) = (0, BTreeMap::<&str, usize>::new());
    for row in &rows {
        let audit = auditor.check(&row.clinical_note, &row.model_summary);
        facts += audit.facts;
        for unsupported in audit.unsupported {
            *flagged.entry(unsupported.kind.name()).or_default() += 1;
        }
    }
    let wrong: usize = flagged.values().sum();
    println!("{} summaries, {facts} facts, flagged wrongly: {flagged:?}", rows.len());
    assert!(rows.len() >= 200 && facts > 1000);
    assert!(wrong * 100 <= facts, "{wrong} of {facts}: {flagged:?}");
}

#[test]
fn planted_corruptions_are_found_and_nothing_else_is() {
    let (auditor, rows, terms) = (auditor(), factual(), terms());
    let mut random = Random(20_260_101);
    for what in ALL {
        // (found, planted, flags elsewhere, flags at the place)
        let (mut found, mut planted, mut elsewhere) = (0_usize, 0_usize, 0_usize);
        let mut missed = Vec::new();
        while planted < 200 {
            let row = &rows[random.below(rows.len())];
            let Some(corrupted) = plant(what, row, &terms, &mut random) else { continue };
            planted += 1;
            let (wrong, kinds) = (&corrupted.wrong, kinds(what));
            let audit = auditor.check(&row.clinical_note, &corrupted.text);
            let hits = |u: &&sft_eval::audit::Unsupported| {
                kinds.contains(&u.kind) && u.start < wrong.end && wrong.start < u.end
            };
            let hit = audit.unsupported.iter().filter(hits).count();
            found += usize::from(hit > 0);
            // beside a wrong medication its dose may be flagged too, which is right
            elsewhere += audit
                .unsupported
                .iter()
                .filter(|u| u.end <= wrong.start || u.start >= wrong.end)
                .count();
            if hit == 0 {
                missed.push((row.clinical_note.clone(), corrupted.text[wrong.clone()].to_owned()));
            }
        }
        let recall = found as f64 / planted as f64;
        let precision = found as f64 / (found + elsewhere) as f64;
        println!("{what:?}: recall {recall:.3}, precision {precision:.3} of {planted}");
        assert!(recall >= 0.95, "{what:?}: {recall}; missed: {missed:#?}");
        assert!(precision >= 0.95, "{what:?}: {precision}");
    }
}

#[test]
fn the_hallucinated_summaries_of_the_sample_are_flagged() {
    let auditor = auditor();
    let mut types = BTreeMap::<String, (usize, usize)>::new();
    for row in records().iter().filter(|row| !row.is_factual()) {
        let audit = auditor.check(&row.clinical_note, &row.model_summary);
        let (found, rows) = types.entry(row.hallucination_type.clone()).or_default();
        *found += usize::from(!audit.unsupported.is_empty());
        *rows += 1;
    }
    println!("{types:?}");
    let (found, rows) = types.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    assert!(rows > 400 && found * 100 >= rows * 95, "{found} of {rows}: {types:?}");
    // findings that are in no list are not judged
    for (name, (found, rows)) in types {
        assert!(found * 100 >= rows * 90, "{name}: {found} of {rows}");
    }
}

fn kinds(what: Planted) -> &'static [Kind] {
    match what {
        Planted::Dose => &[Kind::Dose],
        Planted::Negation => &[Kind::Negation],
        Planted::Side => &[Kind::Side],
        Planted::Medication => &[Kind::Medication],
        Planted::Finding => &[Kind::Finding],
    }
}

#[test]
fn odd_text_is_read_without_a_panic_and_with_places_in_it() {
    const PIECES: &[&str] = &[
        " ",
        "\n",
        ".",
        ",",
        ":",
        "?",
        "no ",
        "No, ",
        "fever",
        "L ",
        "R",
        " n/v/d ",
        "w/o",
        "3/4/98",
        "3/4/",
        "2019-03-04",
        "one thousand ",
        "twenty ",
        "oh ",
        "point ",
        "and a half ",
        "out of ",
        "10",
        "1e9",
        "99999999999999999999",
        " mg",
        "℃",
        "é",
        "İ",
        "ß",
        "🩺",
        "\u{301}",
        "«",
        "'s ",
        "80s",
        "12:30",
        "#1",
        "(2)",
        "C T ",
        "both ",
        "left",
        " knee",
        "pain in ",
        "Doctor: ",
        "Patient: ",
        "any ",
        "if ",
        "mother ",
        "aspirin ",
        "severe ",
        "not ",
        "May ",
        "x3",
        "<",
        "5/0",
        "0/0 ",
    ];
    let (auditor, mut random) = (auditor(), Random(7));
    for _ in 0..3000 {
        let mut text = || -> String {
            let length = random.below(14);
            (0..length).map(|_| PIECES[random.below(PIECES.len())]).collect()
        };
        let (note, summary) = (text(), text());
        flags(&auditor, &note, &summary);
        // what a note says of itself, it supports, but where it contradicts itself
        let own = flags(&auditor, &note, &note);
        let hard = |kind: &Kind| {
            matches!(
                kind,
                Kind::Medication | Kind::Finding | Kind::Procedure | Kind::Date | Kind::Side
            )
        };
        assert!(!own.iter().any(|(kind, _)| hard(kind)), "{note:?}: {own:?}");
    }
    let long = "one thousand no fever, ".repeat(20_000);
    assert!(auditor.check(&long, "No fever.").unsupported.is_empty());
}

#[test]
fn the_list_has_several_hundred_terms_of_each_large_kind() {
    let terms = Terms::built_in();
    for (kind, at_least) in
        [(TermKind::Medication, 500), (TermKind::Finding, 500), (TermKind::Procedure, 150)]
    {
        assert!(terms.names(kind).count() >= at_least);
    }
}
