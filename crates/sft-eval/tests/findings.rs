//! Correct paraphrases pass, corrupted summaries do not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use sft_dataset::{Dataset, Record};
use sft_eval::EvalError;
use sft_eval::findings::{
    Finding, FindingKind as Kind, Lack, Reason, Side, Verdict, check, read_jsonl,
};

fn finding(kind: Kind, term: &str, details: &[&str]) -> Finding {
    Finding {
        kind,
        term: term.to_owned(),
        aliases: vec![],
        present: true,
        side: None,
        details: details.iter().map(|&detail| detail.to_owned()).collect(),
    }
}

fn absent(kind: Kind, term: &str) -> Finding {
    Finding { present: false, ..finding(kind, term, &[]) }
}

fn sided(kind: Kind, term: &str, side: Side, details: &[&str]) -> Finding {
    Finding { side: Some(side), ..finding(kind, term, details) }
}

fn named(finding: Finding, aliases: &[&str]) -> Finding {
    Finding { aliases: aliases.iter().map(|&name| name.to_owned()).collect(), ..finding }
}

struct Case {
    note: &'static str,
    findings: Vec<Finding>,
    /// Correct ones; the first is plain, for systematic corruption.
    good: &'static [&'static str],
    bad: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    use Kind::{Diagnosis, Drug, OtherPerson, Procedure, Symptom, Test, Vital};
    vec![
        Case {
            note: "Patient reports fever of 38.5°C and left knee pain for three days. Denies \
                   vomiting. BP 150/90 mmHg. Started on amoxicillin 500 mg three times daily for \
                   suspected pneumonia.",
            findings: vec![
                finding(Symptom, "fever", &[]),
                sided(Symptom, "knee pain", Side::Left, &["three days"]),
                absent(Symptom, "vomiting"),
                named(finding(Vital, "blood pressure", &["150/90 mmHg"]), &["BP"]),
                finding(Drug, "amoxicillin", &["500 mg", "three times daily"]),
                finding(Diagnosis, "pneumonia", &[]),
            ],
            good: &[
                "The patient has fever and left knee pain for three days. Denies vomiting. Blood \
                 pressure is 150/90 mmHg. Diagnosed with pneumonia. Takes amoxicillin 500 mg three \
                 times daily.",
                "Fever of 38.5 °C, 3-day history of pain in the left knee. No vomiting. BP 150/90. \
                 Amoxicillin 500mg tid for suspected pneumonia.",
                "Patient with fever and left-sided knee pain for 3 days but no vomiting; blood \
                 pressure 150 over 90 mmHg; treated for pneumonia with 500 mg of amoxicillin 3 \
                 times a day.",
                "For three days the patient has had left knee pain, without vomiting. There is \
                 also fever (38.5 degrees Celsius). Pneumonia is suspected, and amoxicillin 0.5 g \
                 three times per day was started. The blood pressure was measured at 150/90 mm Hg.",
                "The patient denies vomiting and reports fever and left knee pain for three days. \
                 BP: 150/90 mmHg. Amoxicillin 500 mg, three times daily, for pneumonia.",
                "Vomiting is denied. Knee pain on the left for 3 days, fever. Blood pressure \
                 150/90 mmHg. Receives amoxicillin at a dose of 500 mg three times daily for \
                 pneumonia.",
            ],
            bad: &[
                "",
                "  \n",
                ".",
                "The patient has fever and cough.",
                // invented
                "The patient has fever, headache and left knee pain for three days. Denies \
                 vomiting. Blood pressure is 150/90 mmHg. Diagnosed with pneumonia. Takes \
                 amoxicillin 500 mg three times daily.",
                // polarity, both ways
                "The patient has fever, vomiting and left knee pain for three days. BP 150/90. \
                 Pneumonia. Amoxicillin 500 mg three times daily.",
                "The patient has no fever but left knee pain for three days. Denies vomiting. BP \
                 150/90. Pneumonia. Amoxicillin 500 mg three times daily.",
                "The patient denies vomiting, fever and left knee pain for three days. BP 150/90. \
                 Pneumonia. Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia \
                 was ruled out. Amoxicillin 500 mg three times daily.",
                // numbers
                "Fever of 39.5 °C and left knee pain for three days. Denies vomiting. BP 150/90. \
                 Pneumonia. Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for four days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three weeks. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 130/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mcg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg twice daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 three times daily.",
                // side, drug
                "Fever and right knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.",
                "Fever and pain in both knees for three days. Denies vomiting. BP 150/90. \
                 Pneumonia. Amoxicillin 500 mg three times daily.",
                "Fever and knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Doxycycline 500 mg three times daily.",
                // missing
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Amoxicillin \
                 500 mg three times daily.",
                "Fever and left knee pain for three days. BP 150/90. Pneumonia. Amoxicillin 500 \
                 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin three times daily.",
                // cut off, loops, rambling
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily. Denies vomiting.",
                "Fever, fever, fever and left knee pain for three days. Denies vomiting. BP \
                 150/90. Pneumonia. Amoxicillin 500 mg three times daily.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily. Note: Patient reports fever.",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily.\n\n### Patient",
                "Fever and left knee pain for three days. Denies vomiting. BP 150/90. Pneumonia. \
                 Amoxicillin 500 mg three times daily. Patient reports rash for 2 weeks.",
            ],
        },
        Case {
            note: "62-year-old woman with type 2 diabetes. Takes metformin 850 mg twice daily and \
                   lisinopril 10 mg once daily. HR 98 bpm, temperature 37.2 C. No chest pain or \
                   dyspnea. Follow-up in 2 weeks.",
            findings: vec![
                finding(Diagnosis, "type 2 diabetes", &[]),
                finding(Drug, "metformin", &["850 mg", "twice daily"]),
                finding(Drug, "lisinopril", &["10 mg", "once daily"]),
                named(finding(Vital, "heart rate", &["98 bpm"]), &["HR", "pulse"]),
                named(finding(Vital, "temperature", &["37.2 °C"]), &["temp"]),
                absent(Symptom, "chest pain"),
                named(absent(Symptom, "dyspnea"), &["shortness of breath"]),
            ],
            good: &[
                "The patient has type 2 diabetes. Takes metformin 850 mg twice daily and \
                 lisinopril 10 mg once daily. Heart rate is 98 bpm and temperature is 37.2 °C. \
                 Denies chest pain and dyspnea.",
                "A 62-year-old woman with type 2 diabetes takes 850 mg of metformin bid and 10 mg \
                 of lisinopril daily. Pulse 98 beats per minute, temp 37.2. Chest pain and \
                 shortness of breath are absent. Follow-up in two weeks.",
                "Negative for chest pain or dyspnea. Heart rate 98/min, temperature 37.2 C. Type-2 \
                 diabetes, treated with metformin 850 mg two times a day and lisinopril 10 mg per \
                 day.",
                "The patient does not have chest pain or shortness of breath. HR of 98; temp of \
                 37.2 degrees. Metformin (850 mg twice daily) for type 2 diabetes; lisinopril (10 \
                 mg once a day).",
            ],
            bad: &[
                // swapped doses, frequencies, readings
                "Type 2 diabetes. Metformin 10 mg twice daily and lisinopril 850 mg once daily. HR \
                 98, temp 37.2. No chest pain or dyspnea.",
                "Type 2 diabetes. 10 mg of metformin twice daily and 850 mg of lisinopril once \
                 daily. HR 98, temp 37.2. No chest pain or dyspnea.",
                "Type 2 diabetes. Metformin 850 mg once daily and lisinopril 10 mg twice daily. HR \
                 98, temp 37.2. No chest pain or dyspnea.",
                "Type 2 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. HR \
                 37.2, temp 98. No chest pain or dyspnea.",
                "Type 2 diabetes. Metformin and lisinopril 10 mg once daily. HR 98, temp 37.2. No \
                 chest pain or dyspnea.",
                "Type 1 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. HR \
                 98, temp 37.2. No chest pain or dyspnea.",
                "A 72-year-old woman with type 2 diabetes. Metformin 850 mg twice daily and \
                 lisinopril 10 mg once daily. HR 98, temp 37.2. No chest pain or dyspnea.",
                "Type 2 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. HR \
                 98, temp 37.2. No chest pain but dyspnea.",
                "Type 2 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. HR \
                 98, temp 37.2. No chest pain, has dyspnea.",
                "Type 2 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. HR \
                 98, temp 37.2. No chest pain or dyspnea. Follow-up in 3 weeks.",
                "No type 2 diabetes. Metformin 850 mg twice daily and lisinopril 10 mg once daily. \
                 HR 98, temp 37.2. No chest pain or dyspnea.",
            ],
        },
        Case {
            note: "Fell yesterday. Right wrist fracture on X-ray; ECG normal, troponin negative. \
                   Closed reduction performed. Ibuprofen 400 mg every 8 hours. Mother has asthma. \
                   Swelling of both ankles. Denies dizziness.",
            findings: vec![
                sided(Diagnosis, "wrist fracture", Side::Right, &[]),
                named(finding(Test, "X-ray", &[]), &["radiograph"]),
                named(finding(Test, "ECG", &["normal"]), &["electrocardiogram"]),
                finding(Test, "troponin", &["negative"]),
                finding(Procedure, "closed reduction", &[]),
                finding(Drug, "ibuprofen", &["400 mg", "every 8 hours"]),
                finding(OtherPerson, "asthma", &[]),
                sided(Symptom, "ankle swelling", Side::Bilateral, &[]),
                absent(Symptom, "dizziness"),
            ],
            good: &[
                "X-ray showed a right wrist fracture. ECG was normal and troponin was negative. \
                 Underwent closed reduction. Takes ibuprofen 400 mg every 8 hours. Bilateral ankle \
                 swelling. Denies dizziness.",
                "Fracture of the right wrist on radiograph, treated by closed reduction and 400 mg \
                 of ibuprofen q8h. Normal electrocardiogram, negative troponin. Swelling in both \
                 ankles, no dizziness. Her mother has asthma.",
                "The patient fell yesterday. The X ray shows a fracture of the right wrist. \
                 Swelling of the left and right ankles; no dizziness. A closed reduction was done. \
                 Ibuprofen 400 mg every eight hours was prescribed. Troponin negative, ECG normal.",
                "No dizziness. Swelling of both ankles. X-rays revealed right-sided wrist \
                 fracture. Troponin is negative, ECG is normal. Closed reduction was performed. \
                 Ibuprofen 400 mg every 8 hours.",
            ],
            bad: &[
                "X-ray showed a left wrist fracture. ECG normal, troponin negative. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG normal, troponin negative. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Left ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG negative, troponin normal. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG normal, troponin positive. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG normal, troponin negative. Closed \
                 reduction. Ibuprofen 400 mg every 6 hours. Bilateral ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG normal, troponin negative. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No \
                 dizziness. The patient has asthma.",
                "X-ray showed no right wrist fracture. ECG normal, troponin negative. Closed \
                 reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No dizziness.",
                "X-ray showed a right wrist fracture. ECG normal, troponin negative. Closed \
                 reduction was not performed. Ibuprofen 400 mg every 8 hours. Bilateral ankle \
                 swelling. No dizziness.",
                "X-ray showed a right wrist fracture since today. ECG normal, troponin negative. \
                 Closed reduction. Ibuprofen 400 mg every 8 hours. Bilateral ankle swelling. No \
                 dizziness.",
            ],
        },
        Case {
            note: "Dry cough and sore throat x3 days, right ear pain since 2 days. SpO2 96%. \
                   Neither rash nor left ear pain. Paracetamol 1 g qid, codeine 15 mg at night.",
            findings: vec![
                named(finding(Symptom, "cough", &["dry", "3 days"]), &[]),
                finding(Symptom, "sore throat", &["3 days"]),
                sided(Symptom, "ear pain", Side::Right, &["2 days"]),
                named(finding(Vital, "oxygen saturation", &["96 %"]), &["SpO2"]),
                absent(Symptom, "rash"),
                Finding { present: false, ..sided(Symptom, "ear pain", Side::Left, &[]) },
                finding(Drug, "paracetamol", &["1 g", "four times daily"]),
                finding(Drug, "codeine", &["15 mg", "at night"]),
            ],
            good: &[
                "The patient has dry cough and sore throat for 3 days. Reports right ear pain for \
                 two days. Denies rash and left ear pain. Oxygen saturation is 96 %. Takes \
                 paracetamol 1 g four times daily and codeine 15 mg at night.",
                "Three-day history of dry cough and sore throat, and a 2-day history of pain in \
                 the right ear. No rash, no pain in the left ear. SpO2 of 96%. Paracetamol 1000 mg \
                 4 times per day, codeine 15 mg at night.",
            ],
            bad: &[
                "Dry cough and sore throat for 3 days, left ear pain for 2 days. SpO2 96%. Denies \
                 rash and right ear pain. Paracetamol 1 g qid, codeine 15 mg at night.",
                "Dry cough and sore throat for 2 days, right ear pain for 3 days. SpO2 96%. Denies \
                 rash and left ear pain. Paracetamol 1 g qid, codeine 15 mg at night.",
                "Dry cough and sore throat for 3 days, right ear pain for 2 days. SpO2 69%. Denies \
                 rash and left ear pain. Paracetamol 1 g qid, codeine 15 mg at night.",
                "Dry cough and sore throat for 3 days, right ear pain for 2 days. SpO2 96%. Denies \
                 rash and left ear pain. Paracetamol 1 mg qid, codeine 15 mg at night.",
                "Dry cough and sore throat for 3 days, right ear pain for 2 days. SpO2 96%. Denies \
                 rash and left ear pain. Codeine 1 g qid, paracetamol 15 mg at night.",
            ],
        },
        Case {
            note: "Has been vomiting. HR 90 bpm. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds \
                   prn, aspirin 75 mg tds for two weeks.",
            findings: vec![
                finding(Symptom, "vomiting", &[]),
                named(finding(Vital, "heart rate", &["90 bpm"]), &["HR"]),
                finding(Drug, "apixaban", &["5 mg", "od"]),
                finding(Drug, "digoxin", &["0.5 mg", "bd"]),
                finding(Drug, "codeine", &["30 mg", "qds", "prn"]),
                finding(Drug, "aspirin", &["75 mg", "tds", "two weeks"]),
            ],
            good: &[
                "Reports vomiting. HR is 90 bpm. Takes apixaban 5 mg once daily, digoxin 0.5 mg \
                 twice daily, codeine 30 mg four times daily as needed and aspirin 75 mg three \
                 times daily for 14 days.",
                "Does not deny vomiting. HR 90. Apixaban 5 mg od, digoxin .5 mg bid, codeine 30 mg \
                 qid prn, aspirin 75 mg tid for 2 weeks.",
            ],
            bad: &[
                "Denies vomiting. HR 90. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds \
                 prn, aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90 mmHg. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds \
                 prn, aspirin 75 mg tds for two weeks.",
                "Vomiting and. HR 90. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90 %. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban .5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban <5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban >5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban > 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds, aspirin \
                 75 mg tds prn for two weeks.",
                "Vomiting. HR 90. Apixaban 5 mg bd, digoxin 0.5 mg od, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks.",
                "Vomiting. HR 90. Apixaban 5 mg od, digoxin 0.5 mg bd, codeine 30 mg qds prn, \
                 aspirin 75 mg tds for two weeks and.",
            ],
        },
        Case {
            note: "Complains of earaches. Codeine 30 mg nocte.",
            findings: vec![
                finding(Symptom, "earache", &[]),
                finding(Drug, "codeine", &["30 mg", "at night"]),
            ],
            good: &["The patient has earaches. Takes codeine 30 mg at night."],
            bad: &["The patient has heartache. Takes codeine 30 mg at night."],
        },
    ]
}

fn passes(verdict: &Verdict) -> bool {
    verdict.complete() && verdict.supported()
}

#[test]
fn correct_paraphrases_pass() {
    let mut wrong = Vec::new();
    for case in cases() {
        for summary in case.good {
            let verdict = check(case.note, &case.findings, summary);
            if !passes(&verdict) {
                wrong.push(format!("{summary}\n  {verdict:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases().iter().map(|case| case.good.len()).sum::<usize>() >= 15);
}

#[test]
fn corrupted_summaries_do_not() {
    let mut passed = Vec::new();
    for case in cases() {
        for summary in case.bad {
            if passes(&check(case.note, &case.findings, summary)) {
                passed.push(*summary);
            }
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
    assert!(cases().iter().map(|case| case.bad.len()).sum::<usize>() >= 40);
}

/// Summaries of the notes in `judged/`, right or wrong.
const JUDGED: &[(&str, &str, bool)] = &[
    // polarity of results
    (
        "test-075",
        "The patient has right wrist swelling. Right wrist X-ray showed a fracture. \
         Started on paracetamol 1000 mg with meals.",
        false,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. Right wrist X-ray showed fracture, no \
         swelling. Started on paracetamol 1000 mg with meals.",
        false,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. There was a fracture on the right wrist \
         X-ray. Started on paracetamol 1000 mg with meals.",
        false,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. There was no fracture on the right wrist \
         X-ray. Started on paracetamol 1000 mg with meals.",
        true,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. No fracture was seen on X-ray of the right \
         wrist. Started on paracetamol 1000 mg with meals.",
        true,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. Right wrist X-ray did not show a fracture. \
         Started on paracetamol 1000 mg with meals.",
        true,
    ),
    (
        "test-075",
        "The patient has right wrist swelling. Right wrist X-ray was negative for \
         fracture. Started on paracetamol 1000 mg with meals.",
        true,
    ),
    (
        "test-133",
        "Started on colchicine 500 mcg od. The patient has left knee pain since yesterday \
         and left knee stiffness. Left knee X-ray showed a fracture.",
        false,
    ),
    ("test-027", "Urinalysis showed no blood. Diagnosed with kidney stones.", false),
    ("test-027", "Blood was not detected on urinalysis. Diagnosed with kidney stones.", false),
    ("test-027", "There was blood on urinalysis. Diagnosed with kidney stones.", true),
    (
        "test-067",
        "Right hand X-ray showed no soft tissue swelling. Started on naproxen 500 mg \
         every 8 hours.",
        false,
    ),
    (
        "test-067",
        "There was no soft tissue swelling on the right hand X-ray. Started on naproxen \
         500 mg every 8 hours.",
        false,
    ),
    (
        "test-054",
        "The patient has persistent right leg weakness for 3 days. ECG showed no atrial \
         fibrillation. Diagnosed with stroke. Takes aspirin 100 mg daily and atorvastatin \
         10 mg in the morning.",
        false,
    ),
    (
        "test-074",
        "No fever. Blood pressure is 92/68 mmHg and blood glucose is 389 mg/dL. Lung \
         examination showed no wheeze. Takes montelukast 10 mg at bedtime and salbutamol \
         200 mcg every 8 hours for 5 days.",
        false,
    ),
    ("test-052", "No diarrhea. Blood culture showed no E. coli. TSH is 11.1 mIU/L.", false),
    ("test-052", "No diarrhea. Blood culture showed E. coli. TSH is not 11.1 mIU/L.", false),
    (
        "test-037",
        "Hemoglobin is not high. Started on naproxen 500 mg daily for two weeks. History \
         of osteoporosis.",
        false,
    ),
    (
        "test-062",
        "Diagnosed with gout. Started on prednisolone 40 mg every 8 hours. Taking other \
         tablets.",
        false,
    ),
    (
        "test-062",
        "Diagnosed with gout. Started on prednisolone 40 mg every 8 hours. Not taking any \
         other tablets.",
        true,
    ),
    // times
    (
        "test-022",
        "The patient has slurred speech since yesterday and right arm weakness since \
         Tuesday. Blood glucose is 5.4 mmol/L. Diagnosed with transient ischemic attack. \
         Underwent right carotid endarterectomy on Tuesday.",
        false,
    ),
    (
        "test-022",
        "The patient has slurred speech since yesterday and right arm weakness since \
         yesterday. Blood glucose is 5.4 mmol/L. Diagnosed with transient ischemic \
         attack. Underwent right carotid endarterectomy on Tuesday.",
        false,
    ),
    (
        "test-022",
        "The patient has slurred speech since yesterday and right arm weakness. Blood \
         glucose is 5.4 mmol/L. Diagnosed with transient ischemic attack. Underwent right \
         carotid endarterectomy on yesterday.",
        false,
    ),
    (
        "test-022",
        "The patient has slurred speech since yesterday and right arm weakness. Blood \
         glucose is 5.4 mmol/L. Diagnosed with transient ischemic attack. Underwent right \
         carotid endarterectomy on Tuesday. Slipped on the stairs yesterday.",
        true,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn at bedtime.",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g in the morning.",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g as needed.",
        true,
    ),
    (
        "test-070",
        "Ferritin is 138 ng/mL. Diagnosed with goiter. Started on folic acid 5 mg once \
         daily with meals and levothyroxine 75 mcg with meals.",
        false,
    ),
    (
        "test-070",
        "Ferritin is 138 ng/mL. Diagnosed with goiter. Started on folic acid 5 mg once \
         daily and levothyroxine 75 mcg with meals.",
        true,
    ),
    (
        "test-029",
        "The patient has neck pain and right shoulder pain yesterday. Underwent right \
         shoulder injection yesterday. Takes diclofenac 75 mg nightly.",
        false,
    ),
    (
        "test-029",
        "The patient has neck pain and right shoulder pain. Underwent right shoulder \
         injection yesterday. Takes diclofenac 75 mg daily.",
        false,
    ),
    (
        "test-029",
        "The patient has neck pain and right shoulder pain. Underwent right shoulder \
         injection yesterday. Takes diclofenac 75 mg at night.",
        true,
    ),
    (
        "test-054",
        "The patient has persistent right leg weakness for 3 days. ECG showed atrial \
         fibrillation. Diagnosed with stroke. Takes aspirin 100 mg daily in the morning \
         and atorvastatin 10 mg in the morning.",
        false,
    ),
    (
        "test-054",
        "The patient has persistent right leg weakness for 3 days. ECG showed atrial \
         fibrillation. Diagnosed with stroke. Takes aspirin 100 mg daily and atorvastatin \
         10 mg every morning.",
        true,
    ),
    (
        "test-074",
        "No fever. Blood pressure is 92/68 mmHg and blood glucose is 389 mg/dL. Lung \
         examination showed wheeze. Takes montelukast 10 mg at bedtime and salbutamol 200 \
         mcg every 8 hours for 5 days at bedtime.",
        false,
    ),
    (
        "test-133",
        "Started on colchicine 500 mcg od. The patient has left knee pain and left knee \
         stiffness since yesterday. Left knee X-ray showed no fracture.",
        false,
    ),
    // cut-offs
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn and...",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn and then.",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn. The patient.",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg/m2. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn, and takes.",
        false,
    ),
    // units
    (
        "test-015",
        "The patient has left foot pain and left ankle swelling. Oxygen saturation is 83% \
         and pulse is 132. Underwent left ankle fixation. Started on ibuprofen 600 mg \
         three times a day.",
        true,
    ),
    (
        "test-015",
        "The patient has left foot pain and left ankle swelling. Oxygen saturation is 83% \
         and pulse is 132 bpm. Underwent left ankle fixation. Started on ibuprofen 600 mg \
         tds.",
        true,
    ),
    (
        "test-015",
        "The patient has left foot pain and left ankle swelling. Oxygen saturation is 83% \
         and pulse is 132 mmHg. Underwent left ankle fixation. Started on ibuprofen 600 \
         mg three times a day.",
        false,
    ),
    (
        "test-015",
        "The patient has left foot pain and left ankle swelling. Oxygen saturation is 83% \
         and pulse is 132 %. Underwent left ankle fixation. Started on ibuprofen 600 mg \
         three times a day.",
        false,
    ),
    (
        "test-015",
        "The patient has left foot pain and left ankle swelling. Oxygen saturation is 83 \
         mmHg and pulse is 132. Underwent left ankle fixation. Started on ibuprofen 600 \
         mg three times a day.",
        false,
    ),
    (
        "test-021",
        "Body mass index is 33.9 kg. Diagnosed with acute kidney injury. Started on \
         paracetamol 500 mg at bedtime for 10 days and vancomycin 1 g prn.",
        false,
    ),
    ("test-052", "No diarrhea. Blood culture showed E. coli. TSH is 11.1.", true),
    ("test-052", "No diarrhea. Blood culture showed E. coli. TSH is 11.1 mg/L.", false),
    (
        "test-070",
        "Ferritin is 138. Diagnosed with goiter. Started on folic acid 5 mg once daily \
         and levothyroxine 75 mcg with meals.",
        true,
    ),
    // other names
    (
        "test-133",
        "Started on colchicine 500 mcg once daily. The patient has left knee pain since \
         yesterday and left knee stiffness. Left knee X-ray showed no fracture.",
        true,
    ),
    (
        "test-133",
        "Started on colchicine 500 mcg twice daily. The patient has left knee pain since \
         yesterday and left knee stiffness. Left knee X-ray showed no fracture.",
        false,
    ),
    (
        "test-037",
        "Hemoglobin is high. Started on naproxen 500 mg daily for 14 days. History of \
         osteoporosis.",
        true,
    ),
    (
        "test-037",
        "Hemoglobin is high. Started on naproxen 500 mg daily for 12 days. History of \
         osteoporosis.",
        false,
    ),
];

/// Rows and the findings of their notes.
fn read(notes: &str, findings: &str) -> (Vec<Record>, BTreeMap<String, Vec<Finding>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let records = Dataset::read_csv(&folder.join(notes)).unwrap().records;
    let notes = read_jsonl(&folder.join(findings)).unwrap();
    (records, notes.into_iter().map(|note| (note.id, note.findings)).collect())
}

#[test]
fn the_factual_summaries_of_the_test_set_pass_and_the_hallucinated_ones_do_not() {
    let sample = |name: &str| format!("../../fixtures/phase1_data/sft/{name}");
    let (records, findings) =
        read(&sample("test_set_processed.csv"), &sample("test_set_findings.jsonl"));
    let note_ids: BTreeMap<&str, &str> = records
        .iter()
        .filter(|row| row.is_factual())
        .map(|row| (row.clinical_note.as_str(), row.id.as_str()))
        .collect();
    assert_eq!((note_ids.len(), findings.len()), (150, 150));
    let mut wrong = Vec::new();
    for row in &records {
        let findings = &findings[note_ids[row.clinical_note.as_str()]];
        let verdict = check(&row.clinical_note, findings, &row.model_summary);
        if passes(&verdict) != row.is_factual() {
            wrong.push(format!("{}: {}\n  {verdict:?}", row.id, row.model_summary));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn other_summaries_are_judged_rightly() {
    let (records, findings) = read("tests/judged/notes.csv", "tests/judged/findings.jsonl");
    let mut wrong = Vec::new();
    for &(id, summary, right) in JUDGED {
        let row = records.iter().find(|row| row.id == id).unwrap();
        let verdict = check(&row.clinical_note, &findings[id], summary);
        if passes(&verdict) != right {
            wrong.push(format!("{id}: {summary}\n  {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every corruption of a plain summary that a rule can make; what it could not touch is left out.
fn corruptions(case: &Case) -> Vec<(&'static str, String)> {
    let plain = case.good[0];
    let mut all: Vec<(&'static str, String)> = Vec::new();
    let mut add = |kind, text: String| {
        if text != plain {
            all.push((kind, text));
        }
    };
    for (at, _) in plain.match_indices(' ') {
        add("cut off", plain[..at].trim_end_matches('.').to_owned());
        add("cut off, then closed", format!("{}.", plain[..at].trim_end_matches(['.', ','])));
    }
    let sentences: Vec<&str> = plain.split_inclusive(". ").collect();
    for i in 0..sentences.len() {
        let without = [&sentences[..i], &sentences[i + 1..]].concat().concat();
        add("missing sentence", without);
        add("repeated sentence", format!("{plain} {}", sentences[i].trim()));
        add("loop", format!("{plain}{}", format!(" {}", sentences[i].trim()).repeat(5)));
    }
    for invented in ["headache", "a rash on the arm", "warfarin 5 mg daily", "hypertension"] {
        add("invented finding", format!("{plain} The patient also has {invented}."));
    }
    for (number, _) in plain.match_indices(|c: char| c.is_ascii_digit()) {
        let digit = plain.as_bytes()[number] - b'0';
        let other = (digit + 1) % 10;
        add("wrong number", format!("{}{other}{}", &plain[..number], &plain[number + 1..]));
    }
    for (word, other) in [
        ("three", "five"),
        ("two", "six"),
        ("twice", "once"),
        ("once", "twice"),
        ("four", "two"),
        ("three times", "four times"),
        ("days", "weeks"),
        ("hours", "days"),
        ("daily", "weekly"),
        (" mg", " g"),
        (" mg", ""),
        ("night", "noon"),
        ("normal", "abnormal"),
        ("negative", "positive"),
        ("left", "right"),
        ("right", "left"),
        ("left ", ""),
        ("right ", ""),
        ("Bilateral", "Left"),
        ("Bilateral", "Right"),
        ("Bilateral ", ""),
    ] {
        for (at, _) in plain.match_indices(word) {
            add("wrong word", format!("{}{other}{}", &plain[..at], &plain[at + word.len()..]));
        }
    }
    for finding in case.findings.iter().filter(|f| f.kind != Kind::OtherPerson) {
        for other in ["migraine", "warfarin"] {
            add("wrong name", replace_first(plain, &finding.term, other));
        }
        let term = &finding.term;
        if finding.present {
            add("negated", replace_first(plain, term, &format!("no {term}")));
            add("negated at the end", format!("{plain} The patient denies {term}."));
            add("negated behind", format!("{plain} {term} was ruled out."));
        } else if !case.findings.iter().any(|f| f.present && f.term == *term) {
            add("affirmed at the end", format!("{plain} The patient has {term}."));
        }
    }
    for cue in ["Denies", "No "] {
        add("affirmed", plain.replace(cue, "Has"));
    }
    let drugs: Vec<&Finding> = case.findings.iter().filter(|f| f.kind == Kind::Drug).collect();
    for pair in drugs.windows(2) {
        let swapped = plain
            .replace(&pair[0].term, "\0")
            .replace(&pair[1].term, &pair[0].term)
            .replace('\0', &pair[1].term);
        add("swapped drugs", swapped);
    }
    for other in cases().iter().filter(|other| other.note != case.note) {
        add("another summary", other.good[0].to_owned());
        add("rambles into another note", format!("{plain} {}", other.note));
        add("rambles into another summary", format!("{plain}\n\n{}", other.good[0]));
    }
    all
}

fn replace_first(text: &str, word: &str, other: &str) -> String {
    let lower = text.to_lowercase();
    lower
        .find(&word.to_lowercase())
        .map_or(text.to_owned(), |at| format!("{}{other}{}", &text[..at], &text[at + word.len()..]))
}

#[test]
fn every_systematic_corruption_is_caught() {
    let mut passed = Vec::new();
    let mut count = 0;
    for case in cases() {
        for (kind, summary) in corruptions(&case) {
            count += 1;
            if passes(&check(case.note, &case.findings, &summary)) {
                passed.push(format!("{kind}: {summary}"));
            }
        }
    }
    assert!(count > 400, "{count}");
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

#[test]
fn reasons_are_told_apart() {
    let cases = cases();
    let case = &cases[0];
    let say = |summary: &str| check(case.note, &case.findings, summary);
    let reason = |summary: &str| {
        let unsupported = say(summary).unsupported;
        unsupported.into_iter().map(|u| (u.words, u.reason)).next()
    };
    assert_eq!(say("").missing[0].lack, Lack::Text);
    assert_eq!(say("Fever").missing.last().unwrap().lack, Lack::End);
    assert_eq!(say("No fever.").missing[0].lack, Lack::Polarity);
    assert_eq!(say("Fever, right knee pain.").missing[0].lack, Lack::Side(Side::Left));
    assert_eq!(reason("Fever and rash."), Some(("rash".to_owned(), Reason::Word)));
    assert_eq!(reason("Vomiting."), Some(("Vomiting".to_owned(), Reason::Polarity)));
    let wrong = Reason::Number("amoxicillin".to_owned());
    assert_eq!(reason("Amoxicillin 250 mg."), Some(("250 mg".to_owned(), wrong)));
    let wrong = Reason::Side("knee pain".to_owned());
    assert_eq!(reason("Right knee pain."), Some(("Right".to_owned(), wrong)));
    assert_eq!(reason("Fever. Fever."), Some(("Fever".to_owned(), Reason::Repetition)));
    assert!(!say("Fever.").complete() && say("Fever.").supported());
}

#[test]
fn a_unit_that_the_note_leaves_out_is_not_made_up() {
    let findings = [
        finding(Kind::Test, "sodium", &["140"]),
        named(finding(Kind::Vital, "heart rate", &["90"]), &["HR"]),
    ];
    let say = |summary| passes(&check("Sodium 140, HR 90.", &findings, summary));
    assert!(say("Sodium is 140 and HR is 90."));
    assert!(say("Sodium is 140 and heart rate is 90 bpm."));
    assert!(!say("Sodium is 140 mg/L and HR is 90."));
    assert!(!say("Sodium is 140 and HR is 90 mmHg."));
}

#[test]
fn odd_text_is_read_without_panic() {
    let case = &cases()[0];
    for text in
        ["38°", "3,", "3.", "1.µ", "1,é", "…", "µg", "'", "a'", "b.i.d.", "x3", "- 3 -", "5–7 d"]
    {
        assert!(!passes(&check(text, &case.findings, text)), "{text}");
        check(text, &[], text);
    }
    assert!(!check("Nothing.", &[], "").complete(), "an empty text is never complete");
}

#[test]
fn a_sidecar_is_read_or_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("findings.jsonl");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_jsonl(&path)
    };
    let good = r#"{"id":"a","findings":[{"kind":"symptom","term":"fever","present":true}]}"#;
    let notes = read(&format!("{good}\n\n")).unwrap();
    assert_eq!((notes.len(), notes[0].id.as_str()), (1, "a"));
    assert_eq!(notes[0].findings, [finding(Kind::Symptom, "fever", &[])]);
    let error = read(&format!("{good}\n{{\"id\":\"b\"}}")).unwrap_err();
    assert!(matches!(error, EvalError::FindingsLine { line: 2, .. }), "{error}");
    let unknown = good.replace("term", "trem");
    assert!(matches!(read(&unknown).unwrap_err(), EvalError::FindingsLine { line: 1, .. }));
    let error = read(&format!("{good}\n{good}")).unwrap_err();
    assert!(matches!(error, EvalError::Findings { line: 2, .. }), "{error}");
    assert!(matches!(read(&good.replace("fever", "-")), Err(EvalError::Findings { line: 1, .. })));
    let missing = read_jsonl(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, EvalError::ReadFindings { .. }));
}
