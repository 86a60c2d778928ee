"""The words of the synthetic clinic: what its notes may speak of.

Everything here is invented for this project from general clinical vocabulary. No patient, no real
note and no other corpus stands behind it.
"""


def words(text):
    return [entry.strip() for entry in text.replace("\n", ",").split(",") if entry.strip()]


SYMPTOMS = words("""
oedema, edema, dyspnoea, melaena, haemoptysis, haematemesis, vomiting bile, feeling hot, feeling cold, shivering, rigors, photosensitivity, night cramps, hot flashes, heavy legs, clumsiness, dropping things, word-finding difficulty, eye pain, gritty eyes, dry cough at night, bleeding after sex,
weak legs, pins and needles in the fingers, foot drop, hoarse voice, lump in the throat, food sticking, early satiety, tenesmus, mucus in the stool, straining, soiling, nocturia, poor urinary flow, hesitancy, urethral discharge, scrotal swelling, erectile problems, loss of libido, irregular periods, bleeding between periods,
hair thinning, brittle nails, scaly scalp, peeling skin, cracked heels, sunburn, prickly heat, cold sores, nappy rash, colic, teething, drooling, poor weight gain, refusing feeds, wet cough, stridor, apnoea, cyanosis, neck stiffness, neck lump, trismus, bad breath, tongue swelling, lip swelling,
racing thoughts, flashbacks, self-harm, paranoia, hearing voices, overeating, binge eating, cravings, gambling, low confidence, worry, guilt, hopelessness, early waking, oversleeping, sleepwalking, jet lag, brain fog, head pressure, head spinning, ear fullness, popping ears, a perforated eardrum, nasal crusting,
earache, ear pain, stomach ache, tummy pain, diarrhoea, haematuria, breathing problems, blackouts, collapse, loss of consciousness, poor sleep, broken sleep, suicidal thoughts, panic, stress,
blood in the stool, blood in the urine, itchy eyes, itchy skin, cold sweats, chest discomfort, pins and needles, feeling faint, shakiness, blurry vision, flashing lights, floaters, period pain, missed periods,
spotting, hot flashes, painful swallowing, sputum, green sputum, a lump in the neck, a lump in the breast, a stiff neck, a blocked nose, poor feeding, crying, a chesty cough, a barking cough, a cold, flu symptoms,
wheeze, noisy breathing, swollen knee, swollen hands, dry eyes, mood swings, nightmares, nail changes, a mole, warts, corns, bed wetting, weak stream, dribbling, discharge, an itchy rash, a painful rash,
a leg ulcer, a wound infection, a dog bite, an insect bite, a burn, a laceration, a head injury, pain on urination, painful urination, frequent urination, pain, discomfort, stomach upset, indigestion, wind, reflux,
low energy, sleepiness, vomiting blood, coughing up blood, spinning, imbalance, forgetfulness, tearfulness, irritable mood, anger, poor memory, spasms, aching legs, restless legs, cold hands, varicose veins,
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
lower back, upper back, cheek, eyelid, forehead, finger, index finger, toe, little finger, chest wall, buttock, shin, rib, collarbone, armpit, kidney, loin, testicle, hamstring, knee joint,
knee, hip, shoulder, elbow, wrist, ankle, foot, hand, arm, leg, ear, eye, flank, calf, thigh, forearm, heel, groin
thumb, big toe, breast, ankle, lower leg, upper arm, jaw, temple
""")
BODY_SYMPTOMS = words("pain, swelling, weakness, numbness, tingling, stiffness, tenderness, redness, cramping, bruising, itching")
DIAGNOSES = words("""
oesophagitis, esophagitis, haemorrhoids, coeliac disease, leukaemia, hyponatraemia, hyperkalaemia, hypoglycaemia, hypercalcaemia, hypokalaemia, anaemia of chronic disease, sickle cell disease, thalassaemia, haemophilia, oesophageal cancer, pancreatic cancer, ovarian cancer, testicular torsion, epididymitis, orchitis,
Barrett's oesophagus, aspiration pneumonia, bronchiectasis, cystic fibrosis, asbestosis, pulmonary oedema, NSTEMI, STEMI, heart block, supraventricular tachycardia, ventricular tachycardia, aortic aneurysm, aortic dissection, Raynaud's, lymphoedema, cauda equina syndrome, ankylosing spondylitis, psoriatic arthritis, pseudogout,
Addison's disease, Cushing's syndrome, Graves' disease, Hashimoto's thyroiditis, hyperparathyroidism, prediabetes, steroid-induced diabetes, diabetic foot, diabetic retinopathy, macular degeneration, blepharitis, uveitis, iritis, dry eye disease, orbital cellulitis, quinsy, mumps, scarlet fever, slapped cheek, hand foot and mouth disease,
glandular fever, infectious mononucleosis, dengue, typhoid, hepatitis C, syphilis, gonorrhoea, chlamydia, genital herpes, pelvic inflammatory disease, ectopic pregnancy, hyperemesis, pre-eclampsia, postnatal depression, fibroids, PCOS, ovarian torsion, OCD, anorexia nervosa, bulimia, psychosis, personality disorder, opioid overdose,
necrotising fasciitis, folliculitis, hidradenitis, urticaria, lichen planus, vitiligo, alopecia, seborrhoeic dermatitis, basal cell carcinoma, actinic keratosis, pressure ulcer, C. difficile infection, norovirus, sickle crisis, neutropenic sepsis, tumour lysis, brain metastases, normal pressure hydrocephalus, Guillain-Barre syndrome, myasthenia gravis,
contact dermatitis, dermatitis, acute otitis media, heart disease, ischaemic heart disease, iron deficiency, vitamin D deficiency, vitamin B12 deficiency, a fracture, a sprain, a muscle strain, a simple cold, a common cold,
tonsil abscess, croup, bronchiolitis, viral gastroenteritis, anaemia, hypothermia, heat exhaustion, acne vulgaris, rosacea, impetigo, ringworm, athlete's foot, thrush, bacterial vaginosis, a miscarriage, menopause,
polycystic ovary syndrome, benign prostatic hyperplasia, erectile dysfunction, insomnia disorder, post-traumatic stress disorder, ADHD, autism, burnout, panic disorder, schizophrenia, alcohol dependence, smoking, hay fever, nut allergy,
vertigo, Meniere's disease, sinus infection, dental abscess, gum disease, chest wall pain, costochondritis, aortic stenosis, mitral regurgitation, cardiomyopathy, endocarditis, myocarditis, pneumonia on the left, lung fibrosis,
pulmonary hypertension, pulmonary fibrosis, liver disease, fatty liver, gallbladder disease, hiatus hernia, umbilical hernia, anal fissure, perianal abscess, a stomach ulcer, colitis, kidney disease, kidney failure, a kidney infection, bladder cancer,
cervical cancer, skin cancer, stomach cancer, brain tumour, spinal stenosis, a slipped disc, back strain, tendonitis, bursitis, a ganglion, trigger finger, septic arthritis, osteomyelitis, vasculitis, temporal arteritis, Lyme disease, HIV, hepatitis B,
head injury, subdural hematoma, subarachnoid hemorrhage, trigeminal neuralgia, peripheral neuropathy, restless legs syndrome, cluster headache, essential tremor, motor neurone disease,
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
distal radius fracture, femoral neck fracture, hip dislocation, elbow fracture, hand fracture, metatarsal fracture, Colles fracture, foot fracture, thigh strain, hamstring strain, groin strain, shoulder impingement, wrist sprain, knee sprain, ear infection, otitis media, upper lobe pneumonia, kidney stone, varicocele, breast abscess, ovarian cyst, eye infection, stye, cataract, foot ulcer, ingrown toenail, leg ulcer, sciatica,
ankle sprain, wrist fracture, hip fracture, rib fracture, clavicle fracture, femoral fracture, ankle fracture
rotator cuff tear, frozen shoulder, tennis elbow, meniscus tear, otitis externa, corneal abrasion, retinal detachment
renal colic, inguinal hernia, knee osteoarthritis, hip bursitis, lower lobe pneumonia, pneumothorax, Bell's palsy
shoulder dislocation, Achilles tendinitis, hydronephrosis, leg cellulitis, calf strain, ear infection
""")
PROCEDURES = words("""
plaster cast, cast removal, wound irrigation, wound dressing, wound cleaning, wound closure, stitches, removal of stitches, stitch removal, skin graft, tooth extraction, nasal packing, nasal cautery, ear syringing, incision and drainage,
urinary catheter insertion, catheter removal, catheter change, cannula insertion, IV fluids, intravenous fluids, oxygen therapy, a nebuliser, tetanus booster, flu vaccination, vaccination, steroid injection, joint injection, nerve block, epidural,
ultrasound-guided biopsy, cervical smear, IUD insertion, dilation and curettage, vasectomy, circumcision, hemodialysis, plasma exchange, drain insertion, drain removal, spinal surgery, heart surgery, bypass surgery, back surgery, brain surgery, gallbladder removal,
ablation, endoscopic retrograde cholangiopancreatography, hernia surgery, C-section, laparoscopic cholecystectomy, laparoscopic appendectomy, coronary stenting, total thyroidectomy, dental extraction, compression bandage, sling, splint,
appendectomy, cholecystectomy, coronary angiography, coronary bypass, cardiac catheterization, colonoscopy
gastroscopy, endoscopy, bronchoscopy, lumbar puncture, thoracentesis, paracentesis, cesarean section, hysterectomy
tonsillectomy, thyroidectomy, mastectomy, prostatectomy, pacemaker insertion, cardioversion, dialysis
blood transfusion, wound debridement, skin biopsy, liver biopsy, bone marrow biopsy, hernia repair, bowel resection
stent placement, chest tube insertion, central line insertion, joint aspiration, tracheostomy, cystoscopy
lithotripsy, laparoscopy, laparotomy, spinal fusion, gastric bypass, abscess drainage, suturing, physiotherapy
chemotherapy, radiotherapy, electroconvulsive therapy, intubation, valve replacement, angioplasty, splenectomy
""")
SIDED_PROCEDURES = words("""
total knee replacement, total hip replacement, hip fixation, ankle surgery, wrist surgery, knee surgery, eye surgery, ear tube insertion, toe amputation, below-knee amputation, lung resection, hip arthroplasty, elbow aspiration, knee aspiration, chest drain insertion, hand surgery,
knee replacement, hip replacement, knee arthroscopy, shoulder arthroscopy, cataract surgery, nephrectomy
inguinal hernia repair, carpal tunnel release, carotid endarterectomy, breast biopsy, knee injection
shoulder injection, ankle fixation, wrist splinting, ureteric stent placement, mastectomy, foot amputation
""")
# name, unit, doses, forms of use
DRUGS = [entry.split(":") for entry in words("""
co-amoxiclav:mg:625, benzylpenicillin:g:1.2, gentamicin:mg:120 240, meropenem:g:1, piperacillin-tazobactam:g:4.5, erythromycin:mg:250 500, cefuroxime:mg:250 500, fosfomycin:g:3, aciclovir:mg:200 800,
mebendazole:mg:100, candesartan:mg:4 8 16, perindopril:mg:2 4, indapamide:mg:1.5 2.5, bumetanide:mg:1, ticagrelor:mg:90, dabigatran:mg:110 150, edoxaban:mg:30 60, pravastatin:mg:20 40, ezetimibe:mg:10,
dapagliflozin:mg:10, semaglutide:mg:0.5 1, liraglutide:mg:1.2, insulin aspart:units:4 8 10, carbimazole:mg:5 20, esomeprazole:mg:20 40, rabeprazole:mg:20, domperidone:mg:10, cyclizine:mg:50, buscopan:mg:10,
mebeverine:mg:135, ispaghula:g:3.5, bisacodyl:mg:5 10, duloxetine:mg:30 60, paroxetine:mg:20, bupropion:mg:150, trazodone:mg:50 100, aripiprazole:mg:5 10, haloperidol:mg:0.5 1, topiramate:mg:25 50, ropinirole:mg:0.25 1,
memantine:mg:10 20, salmeterol:mcg:50, formoterol:mcg:12, ipratropium:mcg:500, theophylline:mg:200, fexofenadine:mg:120 180, chlorphenamine:mg:4, solifenacin:mg:5 10, mirabegron:mg:25 50, sildenafil:mg:50, etoricoxib:mg:60 90,
celecoxib:mg:100 200, co-codamol:mg:500, fentanyl:mcg:12 25, buprenorphine:mcg:5 10, tranexamic acid:mg:500, hydroxychloroquine:mg:200, azathioprine:mg:50, sulfasalazine:mg:500, mesalazine:g:1, calcium carbonate:mg:500, potassium chloride:mg:600,
magnesium:mg:200 400, vitamin B12:mcg:1000, iron:mg:100, melatonin:mg:2, nicotine:mg:14 21, zinc:mg:15, diphenhydramine:mg:25 50, guaifenesin:mg:200 400, prednisolone:mg:25 60,
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
BD, bd, tds, TDS, QDS, qds, OD, od, QID, nocte, mane, stat, PRN, q4h, q6h, q8h, q12h, 4-hourly, 6-hourly, 8-hourly, 12-hourly, six-hourly, weekly, monthly, once a week, twice a week, once a month, every day, every night, every evening
each morning, each night, at breakfast, with food, before meals, after meals, before bed, when required, if needed, when needed, alternate days, on alternate days, on Mondays, every 3 days, every 2 hours, hourly, every 72 hours, 4 times a day, 3 times a day
2 times a day, five times a day, 3 times daily, one a day, one daily, in the evening, morning and night, up to four times a day, three times a week, fortnightly, every 12 weeks, every three months
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
# Rarer ones, for the pretraining text alone.
SCORES = [
    ("peak flow", [], "L/min", (150, 560, 0)), ("pain score", [], "/10", (1, 10, 0)), ("GCS", [], "/15", (8, 15, 0)), ("PHQ-9 score", ["PHQ-9"], "", (3, 26, 0)), ("height", [], "cm", (148, 196, 0)),
    ("blood sugar", ["sugar"], "mmol/L", (2.6, 24.0, 1)), ("MMSE score", ["MMSE"], "", (12, 30, 0)), ("ankle-brachial index", ["ABI"], "", (0.4, 1.3, 1)), ("urine output", [], "ml", (200, 1900, 0)),
]
MORE_LABS = [
    ("white blood cells", "x10^9/L", (2.1, 24.5, 1)), ("WCC", "", (2.1, 24.5, 1)), ("WBC", "", (2.1, 24.5, 1)), ("HbA1c", "mmol/mol", (36, 110, 0)), ("haemoglobin", "g/L", (68, 171, 0)), ("Hb", "g/L", (68, 171, 0)), ("creatinine", "umol/L", (50, 420, 0)),
    ("urea", "mmol/L", (3.1, 28.0, 1)), ("calcium", "mmol/L", (1.9, 3.1, 1)), ("magnesium", "mmol/L", (0.5, 1.2, 1)), ("BNP", "ng/L", (40, 3200, 0)), ("NT-proBNP", "ng/L", (120, 9000, 0)), ("PSA", "ng/mL", (0.5, 40, 1)), ("lipase", "U/L", (20, 1800, 0)),
    ("amylase", "U/L", (30, 1500, 0)), ("AST", "U/L", (12, 410, 0)), ("GGT", "U/L", (12, 610, 0)), ("total cholesterol", "mmol/L", (3.1, 8.9, 1)), ("triglycerides", "mmol/L", (0.7, 6.1, 1)), ("vitamin D", "nmol/L", (12, 110, 0)), ("vitamin B12", "ng/L", (90, 900, 0)),
    ("free T4", "pmol/L", (6, 32, 0)), ("CK", "U/L", (40, 4800, 0)), ("procalcitonin", "ng/mL", (0.1, 12.0, 1)), ("platelets", "x10^9/L", (38, 480, 0)), ("CRP", "", (1, 290, 0)),
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
    ("urinalysis", ["UA"], "leukocytes, nitrites, blood, protein, glucose, ketones"),
    ("urine culture", [], "E. coli, Klebsiella, no growth"),
    ("blood culture", [], "Staphylococcus aureus, E. coli, no growth"),
    ("spirometry", [], "airflow obstruction, a restrictive pattern, reversibility"),
    ("Doppler ultrasound", ["Doppler"], "deep vein thrombosis, a clot, venous reflux"),
    ("X-ray", ["XR"], "a fracture, soft tissue swelling, degenerative changes, a dislocation, no fracture"),
    ("stool test", [], "occult blood, Clostridioides difficile, Campylobacter"),
    ("stool culture", [], "Salmonella, no growth"), ("throat swab", [], "Streptococcus"), ("urine dipstick", ["dipstick"], "nitrites, leukocytes, blood"), ("strep test", ["rapid strep test"], ""), ("pregnancy test", [], ""), ("COVID test", [], ""), ("flu test", [], ""),
    ("urine dip", [], "nitrites, leukocytes, blood, protein"), ("wound swab", [], "Staphylococcus aureus, no growth"), ("sputum culture", [], "Pseudomonas, no growth"), ("gastroscopy", ["OGD"], "a hiatus hernia, a duodenal ulcer, no ulcer, gastritis, varices"),
    ("colonoscopy", [], "a polyp, diverticulosis, no abnormality, colitis"), ("bone scan", ["DEXA scan"], "osteoporosis, osteopenia"), ("skin prick test", [], "a nut allergy, house dust mite"), ("ultrasound", ["US", "USS"], "a cyst, gallstones, no abnormality, free fluid"),
    ("CT scan", ["CT"], "a mass, a fracture, no bleeding, a stone"), ("MRI scan", ["MRI"], "a disc bulge, a tear, a lesion"), ("eye examination", ["fundoscopy"], "cataract, hemorrhages"), ("hearing test", [], "hearing loss"), ("biopsy", [], "dysplasia, a benign lesion"), ("troponin", [], ""), ("D-dimer", [], ""), ("TSH", [], ""), ("BNP", [], ""),
    ("blood count", ["FBC", "CBC"], "anemia"), ("kidney function", [], ""), ("thyroid function", [], ""), ("neurological examination", ["neuro exam"], ""), ("foot pulses", [], ""), ("reflexes", [], ""),
    ("blood tests", ["labs", "bloods"], ""), ("physical examination", ["exam"], ""), ("lung examination", [], "crackles, wheeze, reduced air entry"),
    ("liver function tests", ["LFTs"], ""), ("stress test", [], "ischemia"), ("mammogram", [], "a lesion, calcifications"),
]
TEST_STATES = words("normal, normal, unremarkable, negative, positive, abnormal, clear, inconclusive, raised, low, stable, pending, reassuring, intact, present")
SYMPTOM_SHORT = {"shortness of breath": ["SOB"], "chest pain": ["CP"],
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
    "itching": [("is itchy", "is not itchy")], "sweating": [("is sweating", "is not sweating"), ("has been sweating", "has not been sweating")], "wheezing": [("is wheezing", "is not wheezing"), ("has been wheezing", "has not been wheezing")],
    "constipation": [("is constipated", "is not constipated")], "fainting": [("fainted", "has not fainted"), ("keeps fainting", "is not fainting")], 
    "restlessness": [("is restless", "is not restless")], "agitation": [("is agitated", "is not agitated")], "jaundice": [("is jaundiced", "is not jaundiced"), ("looks jaundiced", "is not jaundiced")], "suicidal thoughts": [("has suicidal thoughts", "has no suicidal thoughts"), ("has suicidal thoughts", "denies suicidal thoughts")],
    "wheeze": [("is wheezy", "is not wheezy"), ("has been wheezy", "is not wheezy"), ("sounds wheezy", "is not wheezy")], "dehydration": [("looks dehydrated", "is not dehydrated"), ("is dehydrated", "is well hydrated")],
    "shortness of breath": [("is short of breath", "is not short of breath"), ("feels short of breath", "is not short of breath")], "blackouts": [("has blacked out", "never blacked out"), ("blacked out twice", "has not blacked out")], "collapse": [("collapsed", "has not collapsed")],
    "unsteadiness": [("is unsteady", "is steady"), ("feels unsteady", "is not unsteady")], "tearfulness": [("is tearful", "is not tearful")], "irritability": [("is irritable", "is not irritable")], "palpitations": [("has had palpitations", "has not had palpitations"), ("gets palpitations", "does not get palpitations")], "diarrhea": [("has had diarrhea", "has not had diarrhea"), ("has diarrhea", "does not have diarrhea")],
    "diarrhoea": [("has had diarrhoea", "has not had diarrhoea"), ("has diarrhoea", "has no diarrhoea")],
    "sneezing": [("keeps sneezing", "is not sneezing")], "snoring": [("snores", "does not snore")], "low mood": [("feels low", "does not feel low")], "thirst": [("is thirsty", "is not thirsty")], "shivering": [("has been shivering", "is not shivering")],
}
PART_STATES = {"swelling": ["swollen"], "pain": ["painful"], "weakness": ["weak"], "numbness": ["numb"], "stiffness": ["stiff"], "tenderness": ["tender"], "redness": ["red"], "bruising": ["bruised"], "itching": ["itchy"]}
LAB_STATES = words("normal, normal, raised, elevated, low, high, negative, reduced, within normal limits, slightly raised, positive")
FORMS_OF_DRUG = words("1 tablet, one tablet, two tablets, 2 puffs, 1 puff, 10 drops, 5 ml, 1 sachet, 2 tablets, one capsule, 1 g, 2 drops")
CIRCUMSTANCES = words("on room air, at rest, today, on arrival, this morning, on admission, at triage, now, in clinic, lying down, after treatment, at 06:00, overnight")
ALLERGENS = words("penicillin, amoxicillin, aspirin, ibuprofen, codeine, latex, nuts, peanuts, shellfish, eggs, pollen, trimethoprim, morphine, iodine, sulfa drugs, bee stings, strawberries, plasters, cats, dust")
# How sure the note is of a diagnosis, and how it says so.
HEDGES = {
    "likely": ["Likely {}.", "This is likely {}.", "Most likely {}.", "{} is the likely diagnosis.", "{} is most likely.", "Impression: likely {}.", "Likely diagnosis {}.", "Findings suggest likely {}."],
    "suspected": ["Suspected {}.", "{} suspected.", "{} is suspected.", "{} was suspected.", "With suspected {}.", "Admitted with suspected {}."],
    "probable": ["Probable {}.", "Impression: probable {}.", "Diagnosis: probable {}.", "{} is probable."],
    "possible": ["Possible {}.", "Impression: possible {}.", "This may be possible {}.", "{} is possible."],
}

# Wider vocabulary, for the pretraining text alone.
SITED = words("""
rash, rash, itchy rash, pain, pain, swelling, laceration, laceration, cut, cut, deep cut, graze, abrasion, burn, scald, blister, ulcer, lump, bruise, bruising, bite, sting, wound, puncture wound, tenderness, redness, erythema, oedema, edema, numbness
tingling, weakness, haematoma, hematoma, spots, lesion, mole, eczema, itching, stiffness, cramp, abscess, boil, cellulitis, deformity, discharge, foreign body, splinter, crepitus, warmth, dry skin, petechiae, purpura, plaques, vesicles
""")
LANDMARKS = words("""
the scaphoid, the lateral malleolus, the medial malleolus, the joint line, the mastoid, the sinuses, the temporal artery, the bladder, the liver edge, the sternum, the lower ribs, the fifth metatarsal, the base of the thumb, the greater trochanter
the calf, the spine, the lumbar spine, the coccyx, McBurney's point, the epigastrium, the right iliac fossa, the left iliac fossa, the clavicle, the patella, the Achilles tendon, the heel, the olecranon, the radial head, the lateral epicondyle
""")
DIAGNOSES_OF_PLACES = words("""
cellulitis, cellulitis, abscess, fracture, fracture, sprain, strain, dislocation, osteoarthritis, burn, laceration, contusion, haematoma, hematoma, melanoma, basal cell carcinoma, septic arthritis, bursitis, tendonitis, osteomyelitis, psoriasis, eczema, ulcer, ringworm, cyst, lipoma, thrombosis
""")
MODALITIES = words("CT, CT, MRI, MRI, X-ray, X-ray, ultrasound, USS, scan, biopsy, swab, culture, Doppler, angiogram, XR")
THINGS_DONE = words("wound, sutures, catheter, abscess, polyp, cyst, lump, foreign body, splinter, cast, drain, fracture, mole, tooth, line, cannula, laceration, nail, pacemaker, dressing, stent, hernia, joint, haematoma, lesion, ear wax")
DRUG_FORMS = words("cream, cream, ointment, gel, drops, drops, eye drops, ear drops, inhaler, inhaler, nebuliser, nebules, patch, patches, spray, nasal spray, mouthwash, suppository, suppositories, lozenges, injection, syrup, suspension, tablets, capsules, infusion, lotion, shampoo, pessary, powder, sachets, depot, implant, enema, MR, SR, modified release")
ROUTES = words("orally, orally, by mouth, by mouth, PO, po, IV, IV, iv, intravenously, IM, intramuscularly, SC, subcut, subcutaneously, nebulised, via nebuliser, inhaled, via spacer, topically, to the affected area, under the tongue, sublingually, PR, rectally, PV, via PEG, to both eyes, to the left eye, to the right ear, to the skin, intranasally")
UNITS = words("mmol/L, mmol/l, mg/L, mg/dL, g/L, g/dL, mU/L, IU/L, U/L, ng/mL, ng/L, pg/mL, pmol/L, nmol/L, umol/L, micromol/L, ml/min, mm/h, mm/hr, x10^9/L, x 10^9/L, %, %, /min, kg, L/min, l/min, ml, L, cm, mm, kPa, mmHg, bpm, kg/m2, mg/mmol, ug/L, /mm3, seconds, mOsm/kg, g, degrees, C, °C")
MORE_DRUGS = words("""
salbutamol, terbutaline, beclometasone, fluticasone, tiotropium, aminophylline, adrenaline, epinephrine, noradrenaline, atropine, lidocaine, lignocaine, ketamine, propofol, midazolam, lorazepam, diazepam, clonazepam, temazepam, zopiclone, zolpidem, phenytoin, carbamazepine, lacosamide, primidone, sumatriptan, rizatriptan
hydrocortisone, dexamethasone, methylprednisolone, fludrocortisone, betamethasone, mometasone, clobetasol, calcipotriol, clotrimazole, miconazole, ketoconazole, terbinafine, nystatin, itraconazole, amphotericin, permethrin, ivermectin, albendazole, praziquantel, hydroxyzine, desloratadine, promethazine, prochlorperazine, metoclopramide
granisetron, hyoscine, loperamide, senna, docusate, macrogol, Movicol, Gaviscon, lactulose, rifaximin, ursodeoxycholic acid, cholestyramine, pancreatin, infliximab, adalimumab, rituximab, methotrexate, leflunomide, ciclosporin, tacrolimus, mycophenolate, cyclophosphamide, tamoxifen, letrozole, anastrozole, bicalutamide, goserelin, imatinib
allopurinol, febuxostat, colchicine, alendronic acid, risedronate, denosumab, zoledronate, calcitriol, cholecalciferol, thiamine, Pabrinex, pyridoxine, folic acid, ferrous fumarate, iron sucrose, erythropoietin, heparin, dalteparin, tinzaparin, fondaparinux, alteplase, tenecteplase, dipyridamole, prasugrel, isosorbide mononitrate, glyceryl trinitrate
GTN, ivabradine, ranolazine, nicorandil, hydralazine, methyldopa, labetalol, nebivolol, sotalol, flecainide, verapamil, felodipine, lercanidipine, doxazosin, bendroflumethiazide, chlortalidone, metolazone, eplerenone, sacubitril-valsartan, fenofibrate, levothyroxine, liothyronine, propylthiouracil, desmopressin, octreotide, testosterone, oestradiol, estradiol
progesterone, norethisterone, levonorgestrel, medroxyprogesterone, mifepristone, misoprostol, oxytocin, tolterodine, oxybutynin, finasteride, dutasteride, tadalafil, fluoxetine, citalopram, venlafaxine, mirtazapine, amitriptyline, nortriptyline, clomipramine, lithium, risperidone, clozapine, olanzapine, chlorpromazine, flupentixol, methylphenidate, atomoxetine
methadone, naltrexone, naloxone, acamprosate, disulfiram, chlordiazepoxide, baclofen, tizanidine, dantrolene, donepezil, rivastigmine, galantamine, levodopa, co-beneldopa, co-careldopa, pramipexole, rasagiline, selegiline, ofloxacin, moxifloxacin, tobramycin, amikacin, teicoplanin, linezolid, daptomycin, rifampicin, isoniazid, ethambutol, pyrazinamide
cefalexin, cefotaxime, ceftazidime, ertapenem, ampicillin, Tazocin, tetracycline, minocycline, lymecycline, chloramphenicol, fusidic acid, mupirocin, remdesivir, valaciclovir, ganciclovir, tenofovir, chloroquine, mefloquine, quinine, latanoprost, timolol, dorzolamide, pilocarpine, carmellose, xylometazoline, zanamivir, aspirin, Calpol, Nurofen
""")
