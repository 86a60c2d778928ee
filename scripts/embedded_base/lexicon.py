"""The words of the synthetic clinic: what its notes may speak of.

Everything here is invented for this project from general clinical vocabulary. No patient, no real
note and no other corpus stands behind it.
"""


def words(text):
    return [entry.strip() for entry in text.replace("\n", ",").split(",") if entry.strip()]


SYMPTOMS = words("""
fever, cough, dry cough, productive cough, headache, nausea, vomiting, diarrhea, constipation, fatigue
dizziness, chest pain, chest tightness, shortness of breath, wheezing, palpitations, sore throat, runny nose
nasal congestion, abdominal pain, back pain, lower back pain, neck pain, joint pain, muscle aches, chills
night sweats, weight loss, weight gain, loss of appetite, rash, itching, swelling, ankle swelling
blurred vision, double vision, photophobia, tinnitus, hearing loss, vertigo, insomnia, anxiety, low mood
confusion, memory loss, tremor, weakness, numbness, tingling, seizures, syncope, fainting, dysuria
urinary frequency, urinary urgency, urinary retention, hematuria, incontinence, flank pain, pelvic pain
vaginal bleeding, vaginal discharge, heavy periods, rectal bleeding, melena, bloody stools, hematemesis
heartburn, bloating, belching, dysphagia, hoarseness, nosebleeds, easy bruising, jaundice, dark urine
pale stools, excessive thirst, polyuria, heat intolerance, cold intolerance, hair loss, dry skin, dry mouth
mouth ulcers, toothache, bleeding gums, ear discharge, eye redness, eye discharge, watery eyes
eye irritation, sneezing, hemoptysis, orthopnea, leg cramps, leg swelling, claudication, stiffness
morning stiffness, muscle weakness, unsteady gait, falls, slurred speech, facial droop, difficulty walking
difficulty swallowing, difficulty sleeping, difficulty breathing, poor concentration, irritability
hallucinations, panic attacks, hot flushes, breast tenderness, epigastric pain, cramping, abdominal cramps
stomach pain, malaise, lethargy, sweating, drowsiness, burning on urination, testicular swelling
blisters, hives, acne, skin lesion, wound discharge, lightheadedness, snoring, daytime sleepiness
facial pain, jaw pain, rib pain, bone pain, groin pain, tenderness, redness, pallor, thirst, hiccups
swollen glands, swollen lymph nodes, loose stools, poor appetite, body aches, a racing heart, dyspnea
breathlessness, tiredness, exhaustion, general weakness, stomach cramps, sinus pressure, phlegm
loss of smell, loss of taste, post-nasal drip, restlessness, agitation, trouble sleeping
""")
# Said with a side: "left knee pain", "pain in the left knee".
BODY_PARTS = words("""
knee, hip, shoulder, elbow, wrist, ankle, foot, hand, arm, leg, ear, eye, flank, calf, thigh, forearm, heel, groin
thumb, big toe, breast, ankle, lower leg, upper arm, jaw, temple
""")
BODY_SYMPTOMS = words("pain, swelling, weakness, numbness, tingling, stiffness, tenderness, redness, cramping, bruising, itching")
DIAGNOSES = words("""
pneumonia, bronchitis, asthma, chronic obstructive pulmonary disease, influenza, sinusitis, tonsillitis, pharyngitis
otitis media, conjunctivitis, urinary tract infection, pyelonephritis, cystitis, kidney stones, gastroenteritis
gastritis, peptic ulcer, acid reflux, pancreatitis, cholecystitis, gallstones, appendicitis, diverticulitis
hepatitis, cirrhosis, irritable bowel syndrome, ulcerative colitis, Crohn's disease, celiac disease, hypertension
heart failure, atrial fibrillation, angina, myocardial infarction, coronary artery disease, pericarditis
deep vein thrombosis, pulmonary embolism, stroke, transient ischemic attack, migraine, tension headache, epilepsy
Parkinson's disease, multiple sclerosis, dementia, depression, anxiety disorder, bipolar disorder, type 1 diabetes
type 2 diabetes, hypothyroidism, hyperthyroidism, goiter, gout, osteoarthritis, rheumatoid arthritis, osteoporosis
fibromyalgia, sciatica, carpal tunnel syndrome, cellulitis, eczema, psoriasis, shingles, scabies, anemia
iron deficiency anemia, sepsis, meningitis, tuberculosis, malaria, COVID-19, chickenpox, measles, dehydration
acute kidney injury, chronic kidney disease, hyperkalemia, hyponatremia, hypercholesterolemia, obesity, sleep apnea
pleural effusion, lung cancer, breast cancer, prostate cancer, colon cancer, melanoma, lymphoma, leukemia
prostate enlargement, endometriosis, preeclampsia, gestational diabetes, mastitis, glaucoma, cataracts
labyrinthitis, allergic rhinitis, anaphylaxis, food poisoning, hemorrhoids, inguinal hernia, bowel obstruction
varicose veins, peripheral artery disease, concussion, whiplash, delirium, alcohol withdrawal, hyperlipidemia
high blood pressure, high cholesterol, a viral infection, a chest infection, an ear infection, a skin infection
acute bronchitis, acute coronary syndrome, upper respiratory tract infection, community-acquired pneumonia, COPD
diabetic ketoacidosis, hypoglycemia, polymyalgia rheumatica, lupus, sarcoidosis, plantar fasciitis, tendinitis
""")
SIDED_DIAGNOSES = words("""
ankle sprain, wrist fracture, hip fracture, rib fracture, clavicle fracture, femoral fracture, ankle fracture
rotator cuff tear, frozen shoulder, tennis elbow, meniscus tear, otitis externa, corneal abrasion, retinal detachment
renal colic, inguinal hernia, knee osteoarthritis, hip bursitis, lower lobe pneumonia, pneumothorax, Bell's palsy
shoulder dislocation, Achilles tendinitis, hydronephrosis, leg cellulitis, calf strain, ear infection
""")
PROCEDURES = words("""
appendectomy, cholecystectomy, coronary angiography, coronary bypass, cardiac catheterization, colonoscopy
gastroscopy, endoscopy, bronchoscopy, lumbar puncture, thoracentesis, paracentesis, cesarean section, hysterectomy
tonsillectomy, thyroidectomy, mastectomy, prostatectomy, pacemaker insertion, cardioversion, dialysis
blood transfusion, wound debridement, skin biopsy, liver biopsy, bone marrow biopsy, hernia repair, bowel resection
stent placement, chest tube insertion, central line insertion, joint aspiration, tracheostomy, cystoscopy
lithotripsy, laparoscopy, laparotomy, spinal fusion, gastric bypass, abscess drainage, suturing, physiotherapy
chemotherapy, radiotherapy, electroconvulsive therapy, intubation, valve replacement, angioplasty, splenectomy
""")
SIDED_PROCEDURES = words("""
knee replacement, hip replacement, knee arthroscopy, shoulder arthroscopy, cataract surgery, nephrectomy
inguinal hernia repair, carpal tunnel release, carotid endarterectomy, breast biopsy, knee injection
shoulder injection, ankle fixation, wrist splinting, ureteric stent placement, mastectomy, foot amputation
""")
# name, unit, doses, forms of use
DRUGS = [entry.split(":") for entry in words("""
amoxicillin:mg:250 500 875, amoxicillin-clavulanate:mg:625 875, azithromycin:mg:250 500, doxycycline:mg:100 200
ciprofloxacin:mg:250 500 750, levofloxacin:mg:500 750, nitrofurantoin:mg:50 100, trimethoprim:mg:100 200
cephalexin:mg:250 500, ceftriaxone:g:1 2, clarithromycin:mg:250 500, metronidazole:mg:400 500, penicillin V:mg:250 500
flucloxacillin:mg:250 500, clindamycin:mg:150 300, vancomycin:g:1 1.5, acyclovir:mg:400 800, oseltamivir:mg:75
fluconazole:mg:50 150 200, paracetamol:mg:500 1000, acetaminophen:mg:325 500 650 1000, ibuprofen:mg:200 400 600
naproxen:mg:250 500, diclofenac:mg:50 75, aspirin:mg:75 81 100 300, codeine:mg:15 30, tramadol:mg:50 100
morphine:mg:5 10 20, oxycodone:mg:5 10, gabapentin:mg:100 300 600, pregabalin:mg:25 75 150, lisinopril:mg:5 10 20 40
ramipril:mg:2.5 5 10, enalapril:mg:5 10 20, losartan:mg:25 50 100, valsartan:mg:80 160, amlodipine:mg:5 10
nifedipine:mg:30 60, diltiazem:mg:120 180, metoprolol:mg:25 50 100, bisoprolol:mg:1.25 2.5 5 10, atenolol:mg:25 50 100
carvedilol:mg:3.125 6.25 12.5, propranolol:mg:10 40 80, furosemide:mg:20 40 80, hydrochlorothiazide:mg:12.5 25
spironolactone:mg:25 50 100, atorvastatin:mg:10 20 40 80, simvastatin:mg:20 40, rosuvastatin:mg:5 10 20
warfarin:mg:2 3 5, apixaban:mg:2.5 5, rivaroxaban:mg:10 15 20, clopidogrel:mg:75, enoxaparin:mg:40 60 80
digoxin:mcg:62.5 125 250, amiodarone:mg:100 200, metformin:mg:500 850 1000, gliclazide:mg:30 60 80
glipizide:mg:5 10, sitagliptin:mg:50 100, empagliflozin:mg:10 25, insulin glargine:units:10 18 20 24
insulin lispro:units:4 6 8, levothyroxine:mcg:25 50 75 100 125, prednisone:mg:5 10 20 40, prednisolone:mg:5 20 30 40
dexamethasone:mg:2 4 8, hydrocortisone:mg:10 20 100, methotrexate:mg:7.5 10 15, allopurinol:mg:100 200 300
colchicine:mcg:500, omeprazole:mg:20 40, pantoprazole:mg:20 40, lansoprazole:mg:15 30, famotidine:mg:20 40
ondansetron:mg:4 8, metoclopramide:mg:10, loperamide:mg:2 4, lactulose:ml:10 15 20, senna:mg:7.5 15
sertraline:mg:50 100, fluoxetine:mg:20 40, citalopram:mg:10 20, escitalopram:mg:5 10 20, venlafaxine:mg:37.5 75 150
mirtazapine:mg:15 30 45, amitriptyline:mg:10 25 50, diazepam:mg:2 5, lorazepam:mg:0.5 1 2, zopiclone:mg:3.75 7.5
quetiapine:mg:25 50 100, olanzapine:mg:5 10, risperidone:mg:0.5 1 2, lithium:mg:400 600, lamotrigine:mg:25 100
levetiracetam:mg:250 500 750, valproate:mg:200 500, carbamazepine:mg:100 200, phenytoin:mg:100 300, donepezil:mg:5 10
levodopa:mg:50 100, salbutamol:mcg:100 200, albuterol:mg:2.5, budesonide:mcg:200 400, fluticasone:mcg:125 250
tiotropium:mcg:18, montelukast:mg:4 10, cetirizine:mg:5 10, loratadine:mg:10, tamsulosin:mcg:400
finasteride:mg:5, oxybutynin:mg:2.5 5, alendronate:mg:70, folic acid:mg:5, ferrous sulfate:mg:200 325
vitamin D:units:800 1000 2000, tamoxifen:mg:20, sumatriptan:mg:50 100, nitroglycerin:mcg:400, baclofen:mg:5 10
""")]
FREQUENCIES = words("""
once daily, once daily, twice daily, twice daily, three times daily, three times a day, four times daily, twice a day
once a day, every 4 hours, every 6 hours, every 8 hours, every 12 hours, at night, at bedtime, every morning
in the morning, as needed, daily, daily, once weekly, nightly, with meals, every other day, bd, tds, od, prn, BID, TID
""")
COURSES = words("for 3 days, for 5 days, for 7 days, for 10 days, for 14 days, for one week, for two weeks, for 6 weeks")
DAYS = words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
NUMBER_WORDS = words("two, three, four, five, six, seven, eight, ten")
# name, note abbreviations, unit, low, high, decimals
VITALS = [
    ("blood pressure", ["BP"], "mmHg", None),
    ("heart rate", ["HR"], "bpm", (44, 148, 0)),
    ("pulse", ["P"], "bpm", (44, 148, 0)),
    ("respiratory rate", ["RR", "resp rate"], "breaths per minute", (10, 36, 0)),
    ("temperature", ["temp", "T"], "°C", (35.2, 40.4, 1)),
    ("oxygen saturation", ["SpO2", "O2 sat", "sats"], "%", (82, 100, 0)),
    ("weight", ["wt"], "kg", (42, 131, 0)),
    ("blood glucose", ["BG", "glucose"], "mg/dL", (48, 390, 0)),
    ("body mass index", ["BMI"], "kg/m2", (17, 41, 1)),
]
LABS = [
    ("hemoglobin", "g/dL", (6.8, 17.1, 1)), ("white cell count", "x10^9/L", (2.1, 24.5, 1)), ("CRP", "mg/L", (1, 290, 0)),
    ("creatinine", "mg/dL", (0.5, 4.8, 1)), ("potassium", "mmol/L", (2.7, 6.4, 1)), ("sodium", "mmol/L", (121, 152, 0)),
    ("HbA1c", "%", (5.2, 11.8, 1)), ("TSH", "mIU/L", (0.1, 14.0, 1)), ("platelet count", "x10^9/L", (38, 480, 0)),
    ("troponin", "ng/L", (3, 900, 0)), ("INR", "", (1.0, 4.6, 1)), ("lactate", "mmol/L", (0.7, 6.2, 1)),
    ("ALT", "U/L", (12, 410, 0)), ("bilirubin", "mg/dL", (0.4, 7.9, 1)), ("ferritin", "ng/mL", (4, 400, 0)),
    ("LDL cholesterol", "mg/dL", (58, 220, 0)), ("ESR", "mm/h", (2, 96, 0)), ("eGFR", "ml/min", (14, 98, 0)),
    ("D-dimer", "ng/mL", (140, 3900, 0)), ("uric acid", "mg/dL", (3.1, 11.2, 1)), ("albumin", "g/dL", (2.1, 4.8, 1)),
]
# name, note abbreviations, findings
TESTS = [
    ("chest X-ray", ["CXR"], "consolidation, pleural effusion, cardiomegaly, a nodule, rib fractures, hyperinflation, infiltrates"),
    ("ECG", ["EKG"], "sinus tachycardia, atrial fibrillation, ST elevation, ST depression, left bundle branch block, sinus rhythm"),
    ("CT of the head", ["CT head"], "a subdural hematoma, an infarct, a hemorrhage, no bleeding, atrophy"),
    ("CT of the abdomen", ["CT abdomen"], "appendicitis, diverticulitis, kidney stones, free fluid, a mass, bowel obstruction"),
    ("CT of the chest", ["CT chest"], "a pulmonary embolism, a mass, ground-glass opacities, enlarged lymph nodes"),
    ("MRI of the brain", ["MRI brain"], "white matter lesions, an infarct, a tumor, demyelination"),
    ("MRI of the spine", ["MRI spine"], "disc herniation, spinal stenosis, a compression fracture, nerve root compression"),
    ("abdominal ultrasound", ["US abdomen"], "gallstones, fatty liver, an enlarged liver, hydronephrosis, ascites"),
    ("echocardiogram", ["echo"], "reduced ejection fraction, aortic stenosis, mitral regurgitation, a pericardial effusion"),
    ("urinalysis", ["urine dipstick", "UA"], "leukocytes, nitrites, blood, protein, glucose, ketones"),
    ("urine culture", [], "E. coli, Klebsiella, no growth"),
    ("blood culture", [], "Staphylococcus aureus, E. coli, no growth"),
    ("spirometry", [], "airflow obstruction, a restrictive pattern, reversibility"),
    ("Doppler ultrasound", ["Doppler"], "deep vein thrombosis, a clot, venous reflux"),
    ("X-ray", ["XR"], "a fracture, soft tissue swelling, degenerative changes, a dislocation, no fracture"),
    ("stool test", [], "occult blood, Clostridioides difficile, Campylobacter"),
    ("strep test", [], ""), ("pregnancy test", [], ""), ("COVID test", [], ""), ("flu test", [], ""),
    ("blood tests", ["labs", "bloods"], ""), ("physical examination", ["exam"], ""), ("lung examination", [], "crackles, wheeze, reduced air entry"),
    ("liver function tests", ["LFTs"], ""), ("stress test", [], "ischemia"), ("mammogram", [], "a lesion, calcifications"),
]
TEST_STATES = words("normal, normal, unremarkable, negative, positive, abnormal, clear, inconclusive")
SYMPTOM_SHORT = {"shortness of breath": ["SOB", "dyspnea"], "diarrhea": ["diarrhoea"], "chest pain": ["CP"], "nausea": ["feeling sick"],
                 "vomiting": ["being sick"], "urinary frequency": ["passing urine often"], "ankle swelling": ["swollen ankles"],
                 "sore throat": ["a sore throat"], "headache": ["a headache"], "rash": ["a rash"], "fever": ["a fever"], "cough": ["a cough"]}
DIAGNOSIS_SHORT = {"type 2 diabetes": ["T2DM"], "hypertension": ["HTN"], "urinary tract infection": ["UTI"], "myocardial infarction": ["MI"],
                   "chronic kidney disease": ["CKD"], "atrial fibrillation": ["AF"], "coronary artery disease": ["CAD"],
                   "deep vein thrombosis": ["DVT"], "pulmonary embolism": ["PE"], "transient ischemic attack": ["TIA"],
                   "chronic obstructive pulmonary disease": ["COPD"]}
SEVERITIES = words("severe, mild, moderate, intermittent, persistent, worsening, occasional, sudden, constant, slight, new, recurrent, marked, bad, terrible, some, frequent, increasing, acute, chronic, sharp, dull, throbbing, stabbing, burning, crampy, nagging, diffuse, colicky, central, pleuritic, watery, bloody, painful, generalised, episodic, sudden-onset, low-grade, daily, nocturnal, troublesome, dull aching")
PEOPLE = words("""
man, woman, male, female, lady, gentleman, patient, retired teacher, office worker, student, farmer, nurse, builder
""")
ILL_RELATIVES = words("mother, father, brother, sister, grandmother, aunt, uncle")

# Symptoms put together from parts.
WHEN = words("""
on exertion, after meals, at night, when walking, on standing, when coughing, at rest, on deep breathing, when swallowing, when lying flat, in the morning, after exercise,
when climbing stairs, when passing urine, with movement, after eating, on bending, when chewing, on waking, during exercise, when sitting
""")
DIFFICULT = words("breathing, walking, swallowing, speaking, hearing, climbing stairs, concentrating, passing urine, standing, chewing, sleeping, reading, opening the mouth, bending, lifting, remembering names, urinating, eating")
SENSITIVE = words("light, noise, cold, touch, heat, sound, smells")
BLOOD_IN = words("the stool, the urine, the sputum, the vomit, the semen, the saliva, his stools, her urine")
LOSS_OF = words("balance, consciousness, sensation, interest, taste, smell, vision, strength, hearing, energy, coordination, memory")
PLAIN_PARTS = words("neck, back, throat, chest, stomach, abdomen, face, lips, tongue, scalp, gums, skin, eyes, ears, hands, feet, legs, joints, muscles, fingers, toes, lower back, upper abdomen, jaw, buttock")
STATES_OF_PARTS = words("sore, itchy, swollen, stiff, tight, painful, dry, red, numb, weak, tender, burning, tingling, aching, bruised, blocked, watery, cold, cracked, inflamed")
TROUBLES_OF_PARTS = words("pain, swelling, itching, stiffness, tightness, redness, numbness, tenderness, burning, discomfort, cramps, pressure, rash, spasms, irritation")
# A symptom as something the patient is or does: (positive, negative) after "she".
CLAUSES = {
    "vomiting": [("has been vomiting", "has not been vomiting"), ("has vomited twice", "has not vomited"), ("vomited", "has not vomited"), ("is vomiting", "is not vomiting")],
    "nausea": [("feels nauseous", "is not nauseous"), ("feels nauseated", "does not feel nauseated")], "tiredness": [("feels tired", "does not feel tired"), ("has felt tired", "is not tired"), ("is always tired", "is not tired")],
    "fatigue": [("feels fatigued", "is not fatigued"), ("is fatigued", "is not fatigued")], "exhaustion": [("feels exhausted", "is not exhausted")],
    "dizziness": [("feels dizzy", "is not dizzy"), ("has been dizzy", "has not been dizzy")], "lightheadedness": [("feels lightheaded", "is not lightheaded")],
    "breathlessness": [("is breathless", "is not breathless"), ("gets breathless", "does not get breathless"), ("has become more breathless", "is not breathless")],
    "cough": [("has been coughing", "is not coughing"), ("is coughing", "has not been coughing"), ("coughs", "does not cough")], "fever": [("is febrile", "is afebrile"), ("has been feverish", "is not feverish"), ("feels feverish", "is afebrile")],
    "anxiety": [("feels anxious", "is not anxious"), ("is anxious", "is not anxious")], "confusion": [("is confused", "is not confused"), ("has become confused", "is not confused")], "drowsiness": [("is drowsy", "is not drowsy")],
    "falls": [("has fallen twice", "has not fallen"), ("keeps falling", "has not fallen")], "weight loss": [("has lost weight", "has not lost weight"), ("has lost 5 kg", "has not lost weight")], "weight gain": [("has gained weight", "has not gained weight")],
    "itching": [("is itchy", "is not itchy")], "insomnia": [("cannot sleep", "sleeps well")], "sweating": [("is sweating", "is not sweating"), ("has been sweating", "has not been sweating")], "wheezing": [("is wheezing", "is not wheezing"), ("has been wheezing", "has not been wheezing")],
    "constipation": [("is constipated", "is not constipated")], "syncope": [("fainted", "has not fainted"), ("passed out", "did not pass out")], "loss of appetite": [("is off her food", "is eating normally"), ("has not been eating", "is eating well")],
    "restlessness": [("is restless", "is not restless")], "agitation": [("is agitated", "is not agitated")], "jaundice": [("is jaundiced", "is not jaundiced"), ("looks yellow", "is not jaundiced")], "pallor": [("looks pale", "is not pale")],
    "sneezing": [("keeps sneezing", "is not sneezing")], "snoring": [("snores", "does not snore")], "low mood": [("feels low", "does not feel low")], "thirst": [("is thirsty", "is not thirsty")], "chills": [("has been shivering", "is not shivering")],
}
PART_STATES = {"swelling": ["swollen"], "pain": ["painful", "sore"], "weakness": ["weak"], "numbness": ["numb"], "stiffness": ["stiff"], "tenderness": ["tender"], "redness": ["red"], "bruising": ["bruised"], "itching": ["itchy"]}
LAB_STATES = words("normal, normal, raised, elevated, low, high, negative, reduced, within normal limits, slightly raised, positive")
FORMS_OF_DRUG = words("1 tablet, one tablet, two tablets, 2 puffs, 1 puff, 10 drops, 5 ml, 1 sachet, 2 tablets, one capsule, 1 g, 2 drops")
CIRCUMSTANCES = words("on room air, at rest, today, on arrival, this morning, on admission, at triage, now, in clinic, lying down, after treatment, at 06:00, overnight")
