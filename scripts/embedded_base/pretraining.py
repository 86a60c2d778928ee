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
    "value": ["{} {}", "{} = {}", "{}: {}", "{} is {}", "{} was {}", "{} at {}"],
    "test": ["{} -> {}", "{}: {}", "{} showed {}", "{} gave {}", "{} = {}", "{} was {}"],
}
QUESTIONS = {"symptom": "What are the complaints?", "absent": "What is denied?", "drug": "Which drugs?", "diagnosis": "Which diagnosis?", "vital": "Which measurements?", "lab": "Which values?",
             "test": "Which tests?", "procedure": "Which procedures?", "history": "What was known before?"}


class Form:
    """How the sections under one heading look; a function of the heading."""

    def __init__(self, seed):
        rng = random.Random(f"form {seed}")
        self.frames = {kind: rng.choice(frames) for kind, frames in FRAMES.items()}
        self.between = rng.choice(["; ", ". ", "\n", "\n- ", " | ", ". ", ", ", " / ", "\n* ", ". "])
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
        if item.quality and self.keeps_quality:
            name = f"{item.quality} {name}"
        if item.side:
            name = f"{name} ({item.side})" if self.side_after else f"{item.side} {name}"
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


def section(rng, groups, note):
    draw = rng.random()
    if draw < 0.60:
        name = rng.choice(HEADINGS)
        return heading(rng, name) + FORMS[name].text(groups)
    if draw < 0.72:   # a form of its own: only what stands there tells how it goes on
        form = Form(rng.random())
        return heading(rng, clinic.invented_word(rng).capitalize()) + form.text(groups)
    if draw < 0.84:
        return heading(rng, rng.choice(["Dictated again", "Retold", "Other hand", "Colleague", "Once more"])) + clinic.note(rng, groups, fillers=False)
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
        odd = rng.choice([0.0, 0.0, 0.0, 0.15, 0.15, 0.3, 0.7])
        while True:
            groups = clinic.case(rng, odd=odd)
            for item in [i for g in groups if g.kind in ("diagnosis", "history", "procedure") for i in g.items if not i.side]:
                if rng.random() < 0.08:   # any of them may have a side
                    item.side = rng.choice(["left", "right"])
            note = clinic.note(rng, groups)
            if normalised(note) not in forbidden:
                break
        start = rng.choice(["", "", heading(rng, rng.choice(PLACES)), heading(rng, rng.choice(PLACES))])
        pieces.append((start + note + rng.choice(["\n", "\n\n", "\n\n"]), False))
        for _ in range(rng.choice([1, 1, 2, 2, 3])):
            pieces.append((section(rng, groups, note) + rng.choice(["\n", "\n\n", "\n\n"]), True))
    return pieces
