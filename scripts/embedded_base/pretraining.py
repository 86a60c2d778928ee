"""The pretraining text: notes, each followed by restatements under a heading that decides their form.

The base learns from it clinical language, copying, and that a heading decides what follows. It never
sees the sample's prompt or the sample's form of summary; `documents` also skips every note of the sample.
"""
import random
import re

import clinic
import lexicon as lex

HEADINGS = lex.words("""
Handover, Telephone message, For the board, Coding sheet, Night round, Register, Card, Dictated again, Transfer, Triage, Pharmacy copy, Insurance form, Index, Discharge list,
Bedside, Whiteboard, For the GP, Trainee's version, Reception, Study form, Second entry, Problem list, Keywords, Ward list, Chart, Worksheet, Fax, Letter, Entry, Short form, Log,
Memo, Rounds, Read back, Teaching case, Audit, Referral, Desk, Pager, Diary, Table, Points, Archive, Label, Checklist, Extract, Statement, In other words, Shift report, Sheet
""")
PLACES = lex.words("Ward 3, Clinic, Emergency room, Practice, Room 12, Outpatients, Home visit, Ambulance, Admission, Day unit, ICU, Nursing home, Consultation, Record, Visit, Case, Seen, Today")
FRAMES = {
    "symptom": ["complaint: {}", "suffers from {}", "has {}", "{}", "sx {}", "came with {}", "problem: {}", "symptoms {}", "+ {}", "reports {}", "this person has {}", "there is {}", "with {}", "feels {}"],
    "absent": ["no {}", "absent: {}", "not {}", "without {}", "{}: none", "denied: {}", "never {}", "free of {}", "neg {}", "denies {}"],
    "diagnosis": ["dx {}", "diagnosis {}", "now {}", "found: {}", "is thought to have {}", "diagnosed: {}", "condition: {}", "it is {}", "diagnosed with {}"],
    "history": ["past {}", "earlier: {}", "known {}", "background {}", "before: {}", "long had {}", "hx {}", "history of {}"],
    "new": ["start {}", "new drug {}", "begins {}", "given {}", "rx {}", "to take {}", "prescribed {}", "started on {}"],
    "old": ["takes {}", "home drug {}", "on {}", "uses {}", "med {}", "keeps taking {}"],
    "procedure": ["op: {}", "had {}", "done: {}", "procedure {}", "was treated by {}", "underwent {}"],
    "stopped": ["stopped {}", "stopped {}", "off {}", "no longer on {}", "drug stopped: {}", "discontinued {}", "ceased {}"],
    "allergy": ["allergic to {}", "allergic to {}", "allergy: {}", "allergies {}", "allergy to {}", "must not have {}"],
    "planned": ["listed for {}", "listed for {}", "planned: {}", "awaiting {}", "booked for {}", "to have {}"],
    "value": ["{} {}", "{} = {}", "{}: {}", "{} is {}", "{} was {}", "{} at {}"],
    "test": ["{} -> {}", "{}: {}", "{} showed {}", "{} gave {}", "{} = {}", "{} was {}"],
}
QUESTIONS = {"symptom": "What are the complaints?", "absent": "What is denied?", "drug": "Which drugs?", "diagnosis": "Which diagnosis?", "vital": "Which measurements?", "lab": "Which values?",
             "test": "Which tests?", "procedure": "Which procedures?", "history": "What was known before?", "stopped": "Which drugs were stopped?", "allergy": "Which allergies?", "planned": "What is planned?"}


class Form:
    """How the sections under one heading look; a function of the heading."""

    def __init__(self, seed):
        rng = random.Random(f"form {seed}")
        self.frames = {kind: rng.choice(frames) for kind, frames in FRAMES.items()}
        self.hedged = rng.choice(["{}", "{}", "{}", "dx {}", "diagnosis: {}", "impression {}"])
        self.between = rng.choice(["; ", ". ", "\n", "\n- ", " | ", ". ", ", ", " / ", "\n* ", ". "])
        if self.between in (", ", " / ") and self.frames["symptom"] == "{}":
            self.frames["symptom"] = "has {}"
        self.last = rng.choice([" and ", ", ", " and ", " + ", " & "])
        self.last_absent = rng.choice([" or ", " or ", ", ", " and "])
        self.keeps_quality = rng.random() < 0.7
        self.keeps_details = rng.random() < 0.9
        self.short = rng.random() < 0.15
        self.upper = rng.random() < 0.5
        self.each = rng.random() < 0.15      # one line an item
        self.sorted = rng.random() < 0.2
        self.side_after = rng.random() < 0.2

    def name(self, item):
        name = item.said if self.short and item.said else item.term
        if item.side and not self.side_after:
            name = f"{item.side} {name}"
        if item.quality and self.keeps_quality:
            name = clinic.with_quality(item.quality, name)
        if item.side and self.side_after:
            name += f" ({item.side})"
        return name

    def full(self, item):
        return " ".join([self.name(item), *(item.details if self.keeps_details else [])])

    def parts(self, group):
        kind = group.kind
        if kind in ("vital", "lab"):
            return [(self.name(i), i.details[0]) for i in group.items], self.frames["value"]
        if kind == "test":
            return [(self.name(i), i.details[0]) for i in group.items], self.frames["test"]
        frame = self.frames[("new" if group.new else "old") if kind == "drug" else kind]
        return [(self.name(i) if kind == "absent" else self.full(i),) for i in group.items], frame

    def group(self, group):
        parts, frame = self.parts(group)
        if group.kind in ("vital", "lab", "test"):
            texts = [frame.format(*p) for p in parts]
            return texts if self.each else [join(texts, self.last)]
        names = [p[0] for p in parts]
        if group.hedge:
            return [self.hedged.format(f"{group.hedge} {join(names, self.last)}")]
        if self.each:
            return [frame.format(n) for n in names]
        return [frame.format(join(names, self.last_absent if group.kind == "absent" else self.last))]

    def text(self, groups):
        if self.sorted:
            order = list(QUESTIONS)
            groups = sorted(groups, key=lambda g: order.index(g.kind))
        lines = [line for g in groups for line in self.group(g)]
        if self.upper:
            lines = [clinic.upper_first(line) for line in lines]
        start = self.between.lstrip("\n") if self.between.startswith("\n") else ""
        return start + self.between.join(lines) + ("." if self.between == ". " else "")


def join(parts, last):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + last + parts[-1]


FORMS = {heading: Form(heading) for heading in HEADINGS}


def heading(rng, name):
    return rng.choice(["{}: ", "{}:\n", "{}:\n", "== {} ==\n", "[{}]\n", "{} - ", "# {}\n", "{}\n", "{}. ", "## {}\n"]).format(name)


# Circumstances that a frame may bring along; a note told again may not bring new ones.
CIRCUMSTANCES = re.compile(r"\d+(?:\.\d+)?|\b(?:year|yo|old|GP|ED|A&E|overnight|today|yesterday|morning|ambulance|mum|mother|wife|carer|staff|parents|baby|toddler|child|boy|girl|teenager|elderly|young|man|woman|lady|gentleman|male|female|teacher|worker|student|"
                           r"farmer|nurse|builder|video|telephone|phoned|rang|called|admission|admitted|readmitted|transferred|arrival|triage|side effects|theatre|GA|anaesthetic|sedation|surgeons|guidance|bedside|home|clinic|checked|repeat|latest|risen|up to|"
                           r"down to|increas\w+|reduc\w+|raised to|cut to|wean\w+|titrat\w+|uptitrat\w+|past|years|worse|again|helps|still|first|days?|weeks?|months?|hours?|two|one|three|four|five|six|seven|eight|nine|ten|switched|changed|replaced|in spite|because|due to|despite|"
                           r"controlled|relieved|improved|caused|complicated|woke|brought|emergency|elective|discharged|completed|complications|uncomplicated|successful|uneventful|well|stat|loaded|twice|ultrasound-guided|persists|continues|recurred|remains|back|side)\b", re.I)


def retold(rng, groups, note):
    """The case in other sentences, with no circumstance that the note lacks; the note itself where none is found."""
    known = {word.lower() for word in CIRCUMSTANCES.findall(note)}
    for _ in range(8):
        text = clinic.note(rng, groups, fillers=False)
        if {word.lower() for word in CIRCUMSTANCES.findall(text)} <= known:
            return text
    return note


def section(rng, groups, note):
    draw = rng.random()
    if draw < 0.60:
        name = rng.choice(HEADINGS)
        return heading(rng, name) + FORMS[name].text(groups)
    if draw < 0.72:   # a form of its own: only what stands there tells how it goes on
        form = Form(rng.random())
        return heading(rng, clinic.odd_word(rng).capitalize()) + form.text(groups)
    if draw < 0.84:
        return heading(rng, rng.choice(["Dictated again", "Retold", "Other hand", "Colleague", "Once more"])) + retold(rng, groups, note)
    if draw < 0.88:
        return heading(rng, rng.choice(["Read back", "Copy", "Carbon copy"])) + note
    lines = []
    for group in rng.sample(groups, k=min(len(groups), rng.randint(1, 3))):
        form = FORMS[rng.choice(HEADINGS)]
        lines.append(f"{QUESTIONS[group.kind]} " + "; ".join(form.group(group)))
    return "\n".join(lines)


def normalised(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def document(rng, forbidden=frozenset()):
    """A list of (text, is it a restatement?): one to three patients."""
    pieces = []
    for _ in range(rng.choice([1, 2, 2, 3])):
        odd = rng.choice([0.0, 0.0, 0.15, 0.15, 0.3, 0.5, 0.8])
        while True:
            groups = clinic.case(rng, odd=odd)
            for item in [i for g in groups if g.kind in ("diagnosis", "history", "procedure") for i in g.items if not i.side and not i.forms and " the " not in i.term]:
                if rng.random() < 0.08:   # any of them may have a side
                    item.side = rng.choice(["left", "right"])
            note = clinic.note(rng, groups, wide=True)
            if normalised(note) not in forbidden:
                break
        start = rng.choice(["", "", heading(rng, rng.choice(PLACES)), heading(rng, rng.choice(PLACES))])
        pieces.append((start + note + rng.choice(["\n", "\n\n", "\n\n"]), False))
        for _ in range(rng.choice([1, 1, 2, 2, 3])):
            pieces.append((section(rng, groups, note) + rng.choice(["\n", "\n\n", "\n\n"]), True))
    return pieces
