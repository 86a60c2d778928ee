"""Writes the sample: train, validation and test CSV, and the findings of the test notes.

    python sample_data.py ../../fixtures/phase1_data/sft

All of it is synthetic. A note draws its findings from one complaint's usual picture, so that it is plausible;
its wording comes from clinic.py. Standard library only, and the same bytes on every run.
"""
import csv
import json
import pathlib
import random
import re
import sys
from dataclasses import replace

import clinic
import lexicon as lex
from clinic import Group, Item

SEED = 20
TRAIN, VAL, TEST = 100, 20, 150

# symptoms (a slash parts body part and what it does: said with a side) | absent | tests | diagnoses | drugs | procedures
PICTURES = [line.split("|") for line in """
fever, cough, productive cough, shortness of breath, chills, chest pain, fatigue|hemoptysis, wheezing, night sweats, leg swelling|chest X-ray=consolidation, blood culture=no growth, lung examination=crackles|pneumonia, acute bronchitis, community-acquired pneumonia, <lower lobe pneumonia|amoxicillin, azithromycin, doxycycline, paracetamol, levofloxacin|bronchoscopy, thoracentesis
wheezing, dry cough, chest tightness, shortness of breath, difficulty sleeping|fever, hemoptysis, chest pain, ankle swelling|spirometry=airflow obstruction, chest X-ray=normal, lung examination=wheeze|asthma, chronic obstructive pulmonary disease, bronchitis|salbutamol, prednisolone, budesonide, montelukast, tiotropium|intubation, bronchoscopy
chest pain, palpitations, sweating, nausea, shortness of breath, <arm/pain, <arm/numbness|fever, cough, syncope, leg swelling|ECG=ST elevation, echocardiogram=reduced ejection fraction, stress test=ischemia, chest X-ray=normal|myocardial infarction, angina, acute coronary syndrome, pericarditis|aspirin, clopidogrel, atorvastatin, metoprolol, nitroglycerin|coronary angiography, angioplasty, stent placement, coronary bypass
orthopnea, ankle swelling, fatigue, shortness of breath, weight gain|chest pain, fever, cough, palpitations|echocardiogram=reduced ejection fraction, chest X-ray=cardiomegaly, ECG=left bundle branch block|heart failure, atrial fibrillation, pleural effusion|furosemide, bisoprolol, spironolactone, ramipril, apixaban|pacemaker insertion, cardioversion, thoracentesis
palpitations, dizziness, lightheadedness, fatigue|chest pain, syncope, shortness of breath|ECG=atrial fibrillation, echocardiogram=mitral regurgitation, blood tests=normal|atrial fibrillation, hyperthyroidism, anxiety disorder|bisoprolol, apixaban, digoxin, amiodarone, warfarin|cardioversion, cardiac catheterization
dysuria, urinary frequency, fever, hematuria, urinary urgency, <flank/pain|vomiting, vaginal discharge, chills, back pain|urinalysis=nitrites, urine culture=E. coli, urinalysis=leukocytes|urinary tract infection, pyelonephritis, cystitis|nitrofurantoin, trimethoprim, ciprofloxacin, cephalexin|cystoscopy
<flank/pain, hematuria, nausea, vomiting|fever, dysuria, diarrhea|CT of the abdomen=kidney stones, urinalysis=blood, abdominal ultrasound=hydronephrosis|<renal colic, kidney stones, <hydronephrosis|diclofenac, tamsulosin, morphine, ondansetron|lithotripsy, cystoscopy, <ureteric stent placement
abdominal pain, nausea, vomiting, loss of appetite, fever|diarrhea, dysuria, rectal bleeding|CT of the abdomen=appendicitis, abdominal ultrasound=free fluid, urinalysis=normal|appendicitis, diverticulitis, bowel obstruction|metronidazole, ceftriaxone, morphine, ondansetron|appendectomy, laparoscopy, abscess drainage
epigastric pain, heartburn, bloating, nausea, belching|weight loss, melena, hematemesis, dysphagia|stool test=negative, abdominal ultrasound=normal|gastritis, peptic ulcer, acid reflux|omeprazole, pantoprazole, famotidine, lansoprazole|gastroscopy, endoscopy
jaundice, dark urine, pale stools, itching, epigastric pain|fever, vomiting, diarrhea|abdominal ultrasound=gallstones, liver function tests=abnormal, CT of the abdomen=a mass|cholecystitis, gallstones, hepatitis, pancreatitis|ceftriaxone, metronidazole, morphine|cholecystectomy, liver biopsy
diarrhea, vomiting, abdominal cramps, fever, fatigue|bloody stools, rash, headache|stool test=Campylobacter, blood tests=normal|gastroenteritis, food poisoning, dehydration|loperamide, ondansetron, paracetamol, ciprofloxacin|colonoscopy
rectal bleeding, weight loss, constipation, fatigue|abdominal pain, vomiting, fever|stool test=occult blood, CT of the abdomen=a mass|colon cancer, hemorrhoids, ulcerative colitis, iron deficiency anemia|ferrous sulfate, lactulose, prednisolone|colonoscopy, bowel resection, blood transfusion
headache, photophobia, nausea, blurred vision|fever, weakness, seizures, confusion|CT of the head=no bleeding, MRI of the brain=white matter lesions|migraine, tension headache|sumatriptan, ibuprofen, propranolol, amitriptyline, paracetamol|lumbar puncture
slurred speech, facial droop, <arm/weakness, <leg/weakness, <hand/numbness, confusion|headache, seizures, chest pain|CT of the head=an infarct, MRI of the brain=an infarct, ECG=atrial fibrillation|stroke, transient ischemic attack|aspirin, clopidogrel, atorvastatin, apixaban|<carotid endarterectomy
seizures, confusion, drowsiness, headache|fever, vomiting, chest pain|MRI of the brain=a tumor, CT of the head=a subdural hematoma|epilepsy, meningitis, delirium|levetiracetam, lamotrigine, valproate, dexamethasone|lumbar puncture
polyuria, excessive thirst, fatigue, weight loss, blurred vision|vomiting, abdominal pain, confusion|urinalysis=glucose, urinalysis=ketones|type 2 diabetes, type 1 diabetes, diabetic ketoacidosis|metformin, insulin glargine, gliclazide, empagliflozin, sitagliptin|
fatigue, weight gain, cold intolerance, dry skin, hair loss|palpitations, tremor, fever|blood tests=abnormal|hypothyroidism, goiter, iron deficiency anemia|levothyroxine, ferrous sulfate, folic acid|thyroidectomy
<knee/pain, <knee/swelling, <knee/stiffness, morning stiffness, difficulty walking|fever, rash, falls|<knee X-ray=degenerative changes, <knee X-ray=no fracture|<knee osteoarthritis, <meniscus tear, gout, osteoarthritis|ibuprofen, naproxen, paracetamol, colchicine|<knee arthroscopy, <knee replacement, <knee injection
<hip/pain, <groin/pain, difficulty walking, falls|dizziness, syncope, fever|<hip X-ray=a fracture, <hip X-ray=degenerative changes|<hip fracture, <hip bursitis, osteoporosis|morphine, paracetamol, enoxaparin, alendronate|<hip replacement
<wrist/pain, <wrist/swelling, <hand/numbness, <hand/tingling|fever, neck pain, falls|<wrist X-ray=a fracture, <wrist X-ray=no fracture|<wrist fracture, carpal tunnel syndrome|ibuprofen, codeine, paracetamol|<wrist splinting, <carpal tunnel release
<shoulder/pain, <shoulder/stiffness, <arm/weakness, neck pain|fever, chest pain, numbness|<shoulder X-ray=a dislocation, <shoulder X-ray=no fracture|<rotator cuff tear, <frozen shoulder, <shoulder dislocation|naproxen, diclofenac, tramadol|<shoulder arthroscopy, <shoulder injection
<ankle/pain, <ankle/swelling, <ankle/bruising, <foot/pain|numbness, fever|<ankle X-ray=a fracture, <ankle X-ray=soft tissue swelling|<ankle sprain, <ankle fracture, <Achilles tendinitis|ibuprofen, paracetamol, naproxen|<ankle fixation
lower back pain, <leg/pain, <leg/tingling, stiffness|incontinence, fever, weight loss|MRI of the spine=disc herniation, MRI of the spine=spinal stenosis|sciatica, whiplash|gabapentin, naproxen, diazepam, codeine|spinal fusion, physiotherapy
<calf/swelling, <calf/pain, <leg/redness, <leg/tenderness|chest pain, shortness of breath, fever|Doppler ultrasound=deep vein thrombosis, Doppler ultrasound=negative|deep vein thrombosis, <leg cellulitis, <calf strain|apixaban, rivaroxaban, enoxaparin, flucloxacillin|wound debridement
sore throat, fever, swollen glands, headache, difficulty swallowing|cough, rash, runny nose|strep test=positive, strep test=negative|tonsillitis, pharyngitis, influenza|penicillin V, paracetamol, ibuprofen|tonsillectomy
<ear/pain, hearing loss, tinnitus, vertigo, fever|ear discharge, headache, vomiting|physical examination=normal|otitis media, <otitis externa, labyrinthitis|amoxicillin, ciprofloxacin, ibuprofen|
<eye/redness, <eye/itching, eye discharge, watery eyes|photophobia, double vision, headache|physical examination=unremarkable|conjunctivitis, <corneal abrasion, allergic rhinitis, glaucoma|cetirizine, loratadine, acyclovir|<cataract surgery
rash, itching, hives, blisters|fever, shortness of breath, joint pain|blood tests=normal|eczema, shingles, cellulitis, psoriasis|cetirizine, hydrocortisone, acyclovir, flucloxacillin|skin biopsy
low mood, insomnia, poor concentration, fatigue, loss of appetite|hallucinations, weight loss, palpitations|blood tests=normal|depression, anxiety disorder, bipolar disorder|sertraline, mirtazapine, escitalopram, quetiapine|electroconvulsive therapy
joint pain, morning stiffness, fatigue, <hand/swelling|rash, fever, weight loss|<hand X-ray=soft tissue swelling, blood tests=abnormal|rheumatoid arthritis, lupus, gout|methotrexate, prednisolone, folic acid, naproxen|joint aspiration
pelvic pain, heavy periods, vaginal bleeding, fatigue|fever, dysuria, vaginal discharge|pregnancy test=negative, abdominal ultrasound=normal|endometriosis, anemia|naproxen, ferrous sulfate, ibuprofen|laparoscopy, hysterectomy
fever, chills, confusion, lethargy|cough, diarrhea, headache|blood culture=Staphylococcus aureus, blood culture=E. coli, chest X-ray=clear|sepsis, acute kidney injury, cellulitis|ceftriaxone, vancomycin, paracetamol|central line insertion, dialysis
""".strip().splitlines()]
HISTORIES = lex.words("hypertension, type 2 diabetes, asthma, gout, osteoarthritis, atrial fibrillation, hypothyroidism, depression, migraine, epilepsy, chronic kidney disease, coronary artery disease, hypercholesterolemia, obesity, anemia, osteoporosis, glaucoma, heart failure, psoriasis, sleep apnea")
SEVERITIES = lex.SEVERITIES[:13]   # those that suit any symptom
FREQUENCIES = [often for often in lex.FREQUENCIES if not re.search(r"week|month|fortnight|Monday|72|days$|hourly$|every 2 hours|five", often) or often == "8-hourly"]   # those that suit any drug
DOSES = {name: (unit, doses) for name, unit, doses in lex.DRUGS}


def sided(rng, text, side):
    return (text[1:], side) if text.startswith("<") else (text, "")


def pick(rng, picture, column, n):
    known = lex.words(picture[column])
    return rng.sample(known, min(n, len(known)))


def case(rng):
    """The groups of a plausible case: two to five kinds of finding, at most seven findings."""
    picture = rng.choice(PICTURES)
    side = rng.choice(["left", "right"])

    def item(kind, text):
        name, at = sided(rng, text, side)
        return Item(kind, name.replace("/", " "), at)

    def symptoms(n):
        made = [item("symptom", text) for text in pick(rng, picture, 0, n)]
        for one in made:
            if one.term in lex.SYMPTOM_SHORT and rng.random() < 0.15:
                one.said = rng.choice(lex.SYMPTOM_SHORT[one.term])
            if rng.random() < 0.2:
                one.quality = rng.choice(SEVERITIES)
        if rng.random() < 0.4:
            rng.choice(made).details = [clinic.duration(rng, wide=False)]
        return made

    def tests():
        text = rng.choice(lex.words(picture[2]) or ["blood tests=normal"])
        name, result = text.split("=")
        name, at = sided(rng, name, side)
        state = result in lex.TEST_STATES
        short = {n: s for n, s, _ in lex.TESTS}.get(name, [])
        return [Item("test", name, at, details=[result], said=rng.choice(short) if short and rng.random() < 0.4 else "",
                     verb="showed" if not state else "were" if name.endswith("tests") else "was")]

    def drugs(n):
        made = []
        for name in pick(rng, picture, 4, n):
            unit, doses = DOSES[name]
            details = [f"{rng.choice(doses.split())} {unit}", rng.choice(FREQUENCIES)]
            made.append(Item("drug", name, details=details + ([rng.choice(lex.COURSES)] if rng.random() < 0.15 else [])))
        return made

    def procedures():
        known = pick(rng, picture, 5, 1)
        made = [item("procedure", text) for text in known]
        for one in made:
            if rng.random() < 0.4:
                one.details = [rng.choice(["yesterday", "today", "last week", f"in {rng.randint(2005, 2024)}", f"on {rng.choice(lex.DAYS)}"])]
        return made

    makers = {
        "history": lambda: [Item("diagnosis", name) for name in rng.sample(HISTORIES, rng.choice([1, 1, 2]))],
        "symptom": lambda: symptoms(rng.choice([1, 2, 2, 3])),
        "absent": lambda: [Item("symptom", name) for name in pick(rng, picture, 1, rng.choice([1, 1, 2]))],
        "vital": lambda: clinic.distinct(lambda: clinic.vital(rng, lex.VITALS), rng.choice([1, 1, 2])),
        "lab": lambda: [clinic.lab(rng, lex.LABS)],
        "stopped": lambda: [Item("drug", rng.choice(sorted(DOSES)))],
        "allergy": lambda: [Item("diagnosis", rng.choice(lex.ALLERGENS))],
        "planned": lambda: [replace(i, details=[]) for i in procedures()],
        "test": tests,
        "diagnosis": lambda: [item("diagnosis", text) for text in pick(rng, picture, 3, 1)],
        "procedure": procedures,
        "drug": lambda: drugs(rng.choice([1, 1, 1, 2])),
    }
    weights = {"history": 2, "symptom": 9, "absent": 5, "vital": 4, "lab": 2, "test": 4, "diagnosis": 6, "procedure": 2, "drug": 6, "stopped": 1, "allergy": 1, "planned": 0.7}
    kinds = [k for k in sorted(makers, key=lambda k: -rng.random() ** (1 / weights[k]))][:rng.choice([2, 2, 3, 3, 4])]
    order = ["history", "allergy", "symptom", "absent", "vital", "lab", "test", "diagnosis", "procedure", "stopped", "drug", "planned"]
    if rng.random() < 0.85:
        kinds.sort(key=order.index)
    groups, seen = [], []
    for kind in kinds:
        items = [i for i in makers[kind]() if not any(i.term in s or s in i.term for s in seen)]
        seen += [i.term for i in items] + [i.details[0] for i in items if kind == "test"]
        if items:
            groups.append(Group(kind, items, new=rng.random() < 0.7, hedge=clinic.hedge(rng, kind)))
    return groups


def cases(rng, n, taken):
    made = []
    while len(made) < n:
        groups = case(rng)
        if not groups or not 2 <= sum(len(g.items) for g in groups) <= 7:
            continue
        note = clinic.note(rng, groups)
        opening = {"stopped": "stopped", "allergy": "allergic", "planned": "listed"}
        if any(word not in note.lower() for g in groups for word in (g.hedge, opening.get(g.kind, ""))):
            continue   # a summary has no word for it that the note lacks
        if any(word in note for word in ("Baby with", "Toddler with", "Child with")):
            continue
        key = " ".join(note.lower().split())
        if key not in taken:
            taken.add(key)
            made.append((groups, note))
    return made


def rows(rng, name, made, wrong_per_note):
    """A factual row for each note, and hallucinated ones beside it."""
    table = []
    for at, (groups, note) in enumerate(made, 1):
        table.append([f"{name}-{at:03}", note, clinic.summary(groups), "factual", ""])
        found = {}
        for _ in range(80):
            drawn = clinic.hallucinated(rng, groups)
            if drawn and clinic.summary(drawn[1]) != clinic.summary(groups):
                found[drawn[0]] = drawn[1]
        kinds = rng.sample(sorted(found), min(wrong_per_note, len(found)))
        for letter, kind in zip("ab", kinds):
            table.append([f"{name}-{at:03}-{letter}", note, clinic.summary(found[kind]), "hallucinated", kind])
    return table


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng, taken = random.Random(SEED), set()
    for name, n, wrong in [("train", TRAIN, 1), ("val", VAL, 1), ("test", TEST, 2)]:
        made = cases(rng, n, taken)
        with (out / f"{name}_set_processed.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "clinical_note", "model_summary", "label", "hallucination_type"])
            writer.writerows(rows(rng, name, made, wrong))
        if name == "test":
            with (out / "test_set_findings.jsonl").open("w", encoding="utf-8") as file:
                for at, (groups, _) in enumerate(made, 1):
                    file.write(json.dumps({"id": f"test-{at:03}", "findings": clinic.findings(groups)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
