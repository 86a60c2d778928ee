"""What a synthetic patient has, and the many ways in which a note says it.

A case is a list of groups, each of one kind (symptom, absent, vital, lab, test, diagnosis, history,
drug, procedure) with one or more items, in the order in which the note tells them. Notes, the sample's summaries and
the pretraining text's restatements are renderings of cases.
"""
import random
from dataclasses import dataclass, field, replace

import lexicon as lex


@dataclass
class Item:
    kind: str
    term: str                       # canonical: "cough", "knee pain", "blood pressure"
    side: str = ""                  # left, right, bilateral
    quality: str = ""               # severity and the like
    details: list = field(default_factory=list)   # dose and frequency, value, duration, result
    said: str = ""                  # the note's own word, where it differs (BP)
    verb: str = ""                  # for tests: showed / was


    def name(self):
        return f"{self.side} {self.term}" if self.side else self.term


@dataclass
class Group:
    kind: str
    items: list
    new: bool = True                # drugs: started now; diagnoses: made now


ONSETS = "CVC CV CVC V".split()
CONS, VOWELS = "b c d f g h k l m n p r s t v z br cl dr fl gr pl pr st tr th ch".split(), "a e i o u ia io ea".split()


def invented_word(rng, syllables=None):
    """A word that no lexicon has: what must be copied letter by letter."""
    n = syllables or rng.randint(2, 4)
    text = "".join(rng.choice(CONS) + rng.choice(VOWELS) for _ in range(n))
    return text + rng.choice(["", "", "n", "x", "l", "ne", "ra", "mab", "itis", "osis", "in", "ide", "s", "ic", "ed"])


def term(rng, known, share):
    """One of the known terms, or, with the probability `share`, an invented one."""
    if rng.random() >= share:
        return rng.choice(known)
    if rng.random() < 0.4:   # known words in a new order
        a, b = rng.choice(known).split(), rng.choice(known).split()
        return " ".join(dict.fromkeys([a[0], b[-1]]))
    return " ".join(invented_word(rng) for _ in range(rng.choice([1, 1, 2])))


def count(rng, number):
    return rng.choice(lex.NUMBER_WORDS) if rng.random() < 0.3 else str(number)


def span(rng):
    unit = rng.choice(["hour", "day", "day", "day", "week", "week", "month", "year"])
    n = rng.randint(1, 12 if unit in ("hour", "month") else 6)
    if n == 1:
        return rng.choice([f"1 {unit}", f"one {unit}"])
    return f"{count(rng, n)} {unit}s"


def duration(rng):
    return rng.choice([f"for {span(rng)}", f"for {span(rng)}", f"for {span(rng)}", f"since {rng.choice(lex.DAYS)}", "since yesterday"])


def composed(rng):
    """A symptom put together from parts, so that its words are many."""
    part = rng.choice(lex.PLAIN_PARTS)
    return rng.choice([
        lambda: f"{rng.choice(['pain', 'pain', 'burning', 'discomfort', 'cramps', 'dizziness', 'breathlessness', 'cough', rng.choice(lex.SYMPTOMS)])} {rng.choice(lex.WHEN)}",
        lambda: f"{rng.choice(['difficulty', 'difficulty', 'trouble', 'pain', 'problems'])} {rng.choice(lex.DIFFICULT)}",
        lambda: f"sensitivity to {rng.choice(lex.SENSITIVE)}", lambda: f"blood in {rng.choice(lex.BLOOD_IN)}", lambda: f"loss of {rng.choice(lex.LOSS_OF)}",
        lambda: f"{rng.choice(lex.STATES_OF_PARTS)} {part}", lambda: f"{rng.choice(lex.STATES_OF_PARTS)} {part}",
        lambda: f"{rng.choice(lex.TROUBLES_OF_PARTS)} in the {part}", lambda: f"{part.rstrip('s')} {rng.choice(lex.TROUBLES_OF_PARTS)}", lambda: f"{part.rstrip('s')} {rng.choice(lex.TROUBLES_OF_PARTS)}",
        lambda: f"{rng.choice(['ear', 'tooth', 'head', 'stomach', 'back', 'belly', 'muscle'])}{rng.choice(['ache', 'ache', ' discomfort'])}",
    ])()


def symptom(rng, odd, sided=None):
    if (rng.random() < 0.22) if sided is None else sided:
        name = f"{rng.choice(lex.BODY_PARTS) if rng.random() > odd else invented_word(rng)} {rng.choice(lex.BODY_SYMPTOMS)}"
        item = Item("symptom", name, side=rng.choice(["left", "left", "right", "right", "bilateral"]))
    elif rng.random() < 0.2:
        item = Item("symptom", composed(rng))
    else:
        item = Item("symptom", term(rng, sorted(lex.CLAUSES) if rng.random() < 0.15 else lex.SYMPTOMS, odd))
        if item.term in lex.SYMPTOM_SHORT and rng.random() < 0.15:
            item.said = rng.choice(lex.SYMPTOM_SHORT[item.term])
    if rng.random() < 0.3:
        item.quality = rng.choice(lex.SEVERITIES)
    return item


def vital(rng):
    name, short, unit, limits = rng.choice(lex.VITALS)
    if limits is None:
        value = f"{rng.randint(86, 198)}/{rng.randint(48, 116)}"
    else:
        low, high, decimals = limits
        value = f"{rng.uniform(low, high):.{decimals}f}"
        if name == "temperature" and rng.random() < 0.25:
            value, unit = f"{rng.uniform(96, 104):.1f}", "°F"
        if name == "blood glucose" and rng.random() < 0.4:
            value, unit = f"{rng.uniform(2.8, 22):.1f}", "mmol/L"
    bare = name in ("blood pressure", "heart rate", "pulse", "respiratory rate") and rng.random() < 0.3
    joint = "" if unit in ("%", "°C", "°F") and rng.random() < 0.8 else " "
    if name in ("respiratory rate",) and not bare:
        unit = rng.choice([unit, "/min", "breaths/min"])
    if name in ("heart rate", "pulse") and not bare:
        unit = rng.choice([unit, unit, "beats per minute", "/min"])
    if unit.startswith("/"):
        joint = ""
    said = rng.choice(short) if rng.random() < 0.5 else name
    return Item("vital", name, details=[value if bare else f"{value}{joint}{unit}"], said=said if said != name else "")


def lab(rng):
    name, unit, (low, high, decimals) = rng.choice(lex.LABS)
    if rng.random() < 0.25:
        return Item("test", name, details=[rng.choice(lex.LAB_STATES)])
    value = f"{rng.uniform(low, high):.{decimals}f}"
    return Item("test", name, details=[f"{value}%" if unit == "%" else f"{value} {unit}".strip()])


def test(rng, odd):
    name, short, shown = rng.choice(lex.TESTS)
    if rng.random() < odd * 0.5:
        name, short, shown = f"{invented_word(rng)} test", [], invented_word(rng)
    shown = lex.words(shown)
    side = rng.choice(["left", "right"]) if name == "X-ray" else ""
    if side:
        name = f"{rng.choice(['knee', 'wrist', 'ankle', 'hip', 'shoulder', 'hand', 'foot', 'elbow'])} X-ray"
    said = rng.choice(short) if short and rng.random() < 0.4 and not side else ""
    if shown and rng.random() < 0.65:
        return Item("test", name, side, details=[rng.choice(shown)], said=said, verb="showed")
    return Item("test", name, side, details=[rng.choice(lex.TEST_STATES)], said=said,
                verb="were" if name.endswith(("tests", "labs")) else "was")


def diagnosis(rng, odd):
    if rng.random() < 0.2:
        return Item("diagnosis", rng.choice(lex.SIDED_DIAGNOSES), side=rng.choice(["left", "right"]))
    item = Item("diagnosis", term(rng, lex.DIAGNOSES, odd))
    if item.term in lex.DIAGNOSIS_SHORT and rng.random() < 0.15:
        item.said = rng.choice(lex.DIAGNOSIS_SHORT[item.term])
    return item


def drug(rng, odd):
    name, unit, doses = rng.choice(lex.DRUGS)
    if rng.random() < odd:
        name = invented_word(rng)
    dose = rng.choice(doses.split()) if rng.random() < 0.7 else str(rng.choice([5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 120, 125, 150, 160, 200, 250, 300, 350, 400, 500, 600, 750]))
    details = [f"{dose}{'' if rng.random() < 0.15 else ' '}{unit}"]
    if rng.random() < 0.12:
        details = [rng.choice(lex.FORMS_OF_DRUG)]
    if rng.random() < 0.85:
        details.append(rng.choice(lex.FREQUENCIES))
        if rng.random() < 0.2:
            details.append(rng.choice(lex.COURSES))
    if rng.random() < 0.04:
        details = []
    return Item("drug", name, details=details)


def procedure(rng, odd):
    if rng.random() < 0.3:
        item = Item("procedure", rng.choice(lex.SIDED_PROCEDURES), side=rng.choice(["left", "right", "right", "left", "bilateral"]))
    else:
        item = Item("procedure", term(rng, lex.PROCEDURES, odd))
    if rng.random() < 0.3:
        item.details = [rng.choice(["yesterday", "today", f"in {rng.randint(1998, 2024)}", "last week", "last month", f"{span(rng)} ago", f"on {rng.choice(lex.DAYS)}"])]
    return item


def distinct(make, n):
    """`n` items of which none is named inside another."""
    items = []
    for _ in range(40):
        if len(items) == n:
            break
        item = make()
        if all(item.term not in other.term and other.term not in item.term for other in items):
            items.append(item)
    return items


def case(rng, odd=0.0, size=None):
    """The groups of one note. `odd`: how often terms are invented words instead of known ones."""
    size = size or rng.choice([1, 2, 2, 3, 3, 3, 4, 4, 5])
    kinds = ["symptom"] if rng.random() < 0.8 else []
    pool = ["absent", "absent", "vital", "vital", "lab", "test", "diagnosis", "diagnosis", "drug", "drug", "history", "procedure", "symptom"]
    while len(kinds) < size:
        kind = rng.choice(pool)
        if kind not in kinds:
            kinds.append(kind)
    order = ["history", "symptom", "absent", "vital", "lab", "test", "diagnosis", "procedure", "drug"]
    if rng.random() < 0.6:
        kinds.sort(key=order.index)
    elif rng.random() < 0.5:
        rng.shuffle(kinds)
    makers = {
        "symptom": lambda: symptom(rng, odd), "absent": lambda: symptom(rng, odd, sided=rng.random() < 0.06) if rng.random() < 0.88 else diagnosis(rng, odd), "vital": lambda: vital(rng),
        "lab": lambda: lab(rng), "test": lambda: test(rng, odd), "diagnosis": lambda: diagnosis(rng, odd),
        "history": lambda: diagnosis(rng, odd), "drug": lambda: drug(rng, odd), "procedure": lambda: procedure(rng, odd),
    }
    numbers = {"symptom": [1, 1, 2, 2, 2, 3, 3, 4], "absent": [1, 1, 2, 2, 3], "vital": [1, 1, 2, 2, 3], "lab": [1, 1, 2], "test": [1, 1, 1, 2],
               "diagnosis": [1, 1, 1, 1, 2], "history": [1, 1, 2, 2, 3], "drug": [1, 1, 1, 2], "procedure": [1, 1, 1, 1, 2]}
    used, groups = [], []
    for kind in kinds:
        def fresh(kind=kind):
            while True:
                item = makers[kind]()
                if all(item.term not in other and other not in item.term for other in used):
                    return item
        items = distinct(fresh, rng.choice(numbers[kind]))
        used += [item.term for item in items]
        if kind == "absent":
            for item in items:
                item.quality = ""
        if kind == "symptom" and rng.random() < 0.4:
            rng.choice(items).details = [duration(rng)]
            if len(items) > 1 and rng.random() < 0.25:
                items[0].details = [duration(rng)]
        groups.append(Group(kind, items, new=rng.random() < 0.6))
    return groups


# ---- how a note says it -------------------------------------------------------------------------

def listed(rng, parts, last=None):
    last = last or rng.choice([" and ", " and ", " and ", ", ", " & ", " as well as ", " plus "])
    if len(parts) == 1:
        return parts[0]
    comma = "," if rng.random() < 0.15 and len(parts) > 2 and last == " and " else ""
    return ", ".join(parts[:-1]) + comma + last + parts[-1]


def part_of(item):
    """("knee", "pain") of "knee pain"."""
    return item.term.rsplit(" ", 1)


def said_symptom(rng, item, absent=False):
    text = item.said or item.term
    if item.side:
        part, what = part_of(item)
        side = {"left": ["left", "left", "left", "L"], "right": ["right", "right", "right", "R"], "bilateral": ["bilateral"]}[item.side]
        side = rng.choice(side)
        if side == "bilateral":
            text = rng.choice([f"bilateral {item.term}", f"bilateral {item.term}", f"{what} of both {part}s", f"{what} in both {part}s", f"{item.term} on both sides"])
        else:
            text = rng.choice([f"{side} {item.term}", f"{side} {item.term}", f"{what} in the {side} {part}", f"{what} of the {side} {part}", f"{side}-sided {item.term}", f"{item.term} on the {side}", f"{what} on the {side} {part}", f"{side} {part} {what}"])
    if item.quality:
        text = f"{item.quality} {text}" if not text.startswith("a ") else f"a {item.quality} {text[2:]}"
    if item.term in ("fever", "pyrexia") and not absent and rng.random() < 0.45:
        text += rng.choice([" of {}°C", " of {} °C", " to {}°C", " up to {}°C", " ({}°C)", " of {} degrees"]).format(f"{rng.uniform(37.8, 40.6):.1f}")
    if item.details:
        when = item.details[0]
        if when.startswith("for "):
            n = when[4:]
            text = rng.choice([f"{text} {when}", f"{text} {when}", f"{text} {when}", f"{text} for the past {n}", f"{text} for the last {n}",
                               f"{text} over the past {n}", f"{n} of {text}", f"{text} ({n})", f"{text} x {n}", f"{text} that began {n} ago", f"a {hyphened(n)} history of {bare(text)}"])
        else:
            text += " " + when
    return text


def bare(text):
    return text[2:] if text.startswith("a ") else text


def hyphened(n):
    number, unit = n.split(" ")
    return f"{number}-{unit.rstrip('s')}"


def clause(rng, item):
    """The symptom as something the patient is or does, or nothing."""
    if item.quality:
        return None
    when = f" {item.details[0]}" if item.details else ""
    if item.term in lex.CLAUSES and not item.said:
        return "{she} " + rng.choice(lex.CLAUSES[item.term])[0] + when
    if item.side:
        part, what = part_of(item)
        if what in lex.PART_STATES:
            state = rng.choice(lex.PART_STATES[what])
            subject, be = (f"both {part}s", "are") if item.side == "bilateral" else (f"{rng.choice(['the', '{her}'])} {item.side} {part}", "is")
            if when:
                be = "have been" if be == "are" else "has been"
            return f"{subject} {be} {state}{when}"
    return None


def clinical_name(rng, item):
    return item.said or item.name()


SYMPTOM = [
    "Patient reports {}.", "Patient reports {}.", "The patient reports {}.", "Patient presents with {}.", "Presents with {}.", "Presented with {}.",
    "Complains of {}.", "Patient complains of {}.", "{she} complains of {}.", "c/o {}.", "Pt c/o {}.", "Came in with {}.", "{she} came in with {}.",
    "{who} presenting with {}.", "{who} with {}.", "{who} presents with {}.", "{who} complaining of {}.", "{who} who reports {}.",
    "The main complaints are {}.", "{she} describes {}.", "Seen today for {}.", "Admitted with {}.", "Brought in because of {}.",
    "{she} has {}.", "{she} has had {}.", "Has {}.", "Has had {}.", "Symptoms: {}.", "Symptoms include {}.", "Chief complaint: {}.", "Troubled by {}.",
    "{she} reports {}.", "Reports {}.", "{she} mentions {}.", "There is {}.", "Attends with {}.", "Referred for {}.", "{} reported.", "{} noted.", "{}.",
    "Woke up with {}.", "{she} developed {}.", "Now also has {}.", "{she} is suffering from {}.", "{she} feels unwell with {}.", "Experiencing {}.", "{}.", "{}.", "{}.", "{}.", "{}.", "{}.", "Patient with {}.", "Pt with {}.", "Here with {}.", "Came by ambulance with {}.", "Now has {}.", "Again {}.", "{} today.", "{} again.", "Child with {}.",
    "{she} says {her} main problem is {}.", "Visit for {}.", "Consulted for {}.", "Admits to {}.", "Nurse noted {}.", "Ongoing {}.", "{she} still has {}.",
]
ABSENT = [
    "Denies {}.", "Denies {}.", "Denies any {}.", "Patient denies {}.", "{she} denies {}.", "No {}.", "No {}.", "No {}.", "No {} reported.", "There is no {}.",
    "There was no {}.", "{she} has no {}.", "Has not had {}.", "Without {}.", "Negative for {}.", "Does not report {}.", "No complaints of {}.",
    "No evidence of {}.", "No history of {}.", "No signs of {}.", "Absence of {}.", "{she} has had no {}.", "Currently no {}.", "Nil {}.", "Not complaining of {}.", "{she} does not have {}.", "Never had {}.", "No current {}.", "Has no {}.", "{she} does not complain of {}.",
]
DIAGNOSIS = [
    "Diagnosed with {}.", "Diagnosed with {}.", "Diagnosis: {}.", "Dx: {}.", "Impression: {}.", "Impression is {}.", "Assessment: {}.", "Assessed as {}.", "Findings are consistent with {}.",
    "Consistent with {}.", "Likely {}.", "This is likely {}.", "Probable {}.", "The diagnosis is {}.", "{she} was diagnosed with {}.", "{she} was found to have {}.", "Working diagnosis {}.",
    "A diagnosis of {} was made.", "Suspected {}.", "Picture of {}.", "{} was diagnosed.", "{} confirmed.", "{} suspected.", "Most likely {}.", "Treated for {}.",
    "Admitted for {}.", "Concerning for {}.", "Clinically {}.", "In keeping with {}.", "Managed as {}.", "New diagnosis of {}.", "{}.", "{}.", "{}.", "{} was found.", "{she} has {}.", "Looks like {}.", "Thought to be {}.",
]
HISTORY = [
    "Known {}.", "Past medical history of {}.", "Past medical history: {}.", "PMH: {}.", "PMHx {}.", "History of {}.", "Has a history of {}.", "{she} has a history of {}.",
    "hx of {}.", "Background of {}.", "Medical history includes {}.", "Past history: {}.", "{who} with a history of {}.", "{who} with known {}.", "Previously diagnosed with {}.",
    "{who} with a past medical history of {}.", "Comorbidities: {}.", "{she} is known to have {}.", "Long-standing {}.", "History includes {}.", "Known case of {}.", "Has known {}.", "Has long-term {}.", "Patient with {}.", "Pt with known {}.", "{} for years.", "{} in the past.", "Suffers from {}.", "Lives with {}.", "Previously had {}.",
]
STARTED = [
    "Started on {}.", "Started {}.", "Started on {}.", "Prescribed {}.", "Prescribed {}.", "{she} was started on {}.", "{she} was prescribed {}.", "Given {}.", "Commenced on {}.", "Commenced {}.",
    "We began {}.", "Plan: start {}.", "Plan: {}.", "Rx: {}.", "Treated with {}.", "Will start {}.", "Begin {}.", "Put on {}.", "To start {}.", "Treatment with {} was started.", "{} was started.", "{} prescribed.", "{} started.", "{she} received {}.",
    "Discharged on {}.", "Sent home with {}.", "Initiated {}.", "Advised to take {}.", "{} given.", "{} was given.", "{} was added.", "{}.", "Now on {}.", "Changed to {}.", "Switched to {}.", "{} ordered.",
]
TAKES = [
    "Takes {}.", "{she} takes {}.", "On {}.", "Currently on {}.", "Current medication: {}.", "Medications: {}.", "Meds: {}.", "Regular medication: {}.", "Taking {}.", "{she} is taking {}.",
    "{she} is on {}.", "Already taking {}.", "Medication includes {}.", "Continues {}.", "Continue {}.", "Uses {}.", "Currently takes {}.", "Treated at home with {}.", "Maintained on {}.", "Has been taking {}.", "Receiving {}.", "{she} receives {}.", "{} helps.", "{} helps a little.", "{} at home.", "{she} uses {}.", "{} continued.", "Long-term {}.", "Usual medication {}.",
]
PROCEDURE = [
    "Underwent {}.", "Underwent {}.", "{she} underwent {}.", "{she} had {}.", "Had {}.", "{} was performed.", "{} performed.", "{} done.", "Status post {}.", "s/p {}.", "Previous {}.", "Post {}.",
    "Treated with {}.", "Recovering from {}.", "Admitted for {}.", "Taken for {}.", "After {}.", "{} was carried out.", "{} without complications.", "Uncomplicated {}.", "Past surgical history: {}.", "Has had {}.", "Hx of {}.", "Previous surgery: {}.", "Day 1 after {}.", "Day 3 post {}.", "History of {}.", "{}.", "Two days after {}.", "Following {}.", "{} in the past.", "{} planned and done.", "{} went well.", "First day after {}.",
]
FILLERS = [
    "Lives alone.", "Lives with {her} family.", "Non-smoker.", "Smokes 10 cigarettes a day.", "Ex-smoker.", "Works in an office.", "Follow-up in two weeks.", "Review in 3 days.", "Discussed with the patient.",
    "Return if worse.", "Advice given.", "Alert and oriented.", "Looks well.", "Will be seen again next week.", "Independent at home.", "No known allergies.", "Drinks alcohol socially.", "Safety-net advice given.", "Brought by {her} daughter.",
    "Rest and fluids advised.", "Appears comfortable.", "Consent obtained.", "To be reviewed tomorrow.", "Retired.", "Family informed.", "Notes reviewed.", "Plan discussed.", "Seen with a nurse.", "Happy with the plan.", "Seen in clinic.", "Day 2 on the ward.",
    "Tolerating diet.", "Slept well.", "Mobile with a frame.", "Referral sent.", "Advised to drink plenty of water.", "Return to work next week.", "Call back if no better.", "Comfortable overnight.", "Slipped on the stairs yesterday.", "Fell at home.", "Seen at home.", "Ate breakfast.", "Daughter at the bedside.", "Came by ambulance.", "No concerns from the family.", "Walks with a stick.",
    "Works night shifts.", "Just back from holiday.", "Worse than usual.", "Here with {her} mother.", "Usually well.", "Otherwise well.", "Wants a sick note.", "Feels better today.", "Good appetite.", "Family worried.", "Playing football when it happened.", "No recent travel.",
    "Settled night.", "Lifted a heavy box.", "Asks for advice.", "Not taking any other tablets.", "Keep an eye on it.", "Bloods tomorrow.", "To call if worse.", "Twisted it while running.", "Started after dinner.", "Improving slowly.",
]


def opener_who(rng):
    age = rng.randint(2, 94)
    if rng.random() < 0.06:
        return rng.choice(["Six", "Eight", "Four", "Ten", "Seven", "Five"]) + "-year-old" + rng.choice(["", " boy", " girl", " child"])
    person = rng.choice(lex.PEOPLE)
    return rng.choice([f"{age}-year-old {person}", f"A {age}-year-old {person}", f"{age} year old {person}", f"{age}yo {person}", f"This {age}-year-old {person}",
                       f"{age}{rng.choice('MF')}", f"{age} y/o {person}"])


def with_course(item, rng):
    """The drug with dose and frequency in the note's order."""
    text = " ".join([item.term, *item.details])
    if len(item.details) > 1:
        dose, rest = item.details[0], " ".join(item.details[1:])
        text = rng.choice([text, text, text, f"{item.term} {dose} {rest}", f"{item.term} ({dose} {rest})", f"{item.term} {dose}, {rest}", f"{dose} of {item.term} {rest}"])
    return text


def said_value(rng, item, several):
    name = item.said or item.term
    value = item.details[0]
    if not any(c.isdigit() for c in value):
        return rng.choice([f"{name} {value}", f"{name} {value}", f"{name} is {value}", f"{name} was {value}", f"{name}: {value}", f"{value} {name}"])
    return rng.choice([f"{name} {value}", f"{name} {value}"] if several else
                      [f"{name} {value}", f"{name} {value}", f"{name} is {value}", f"{name} was {value}", f"{name}: {value}", f"{name} of {value}", f"{name} measured {value}", f"{name} at {value}",
                       f"a {name} of {value}"])


def said_test(rng, item):
    name = item.name() if not item.said else item.said
    if item.side:
        region = item.term.rsplit(" ", 1)[0]
        name = rng.choice([name, name, f"X-ray of the {item.side} {region}"])
    result = item.details[0]
    if item.verb == "showed":
        return rng.choice([f"{name} showed {result}", f"{name} shows {result}", f"{name} revealed {result}", f"{name}: {result}", f"{name} demonstrated {result}", f"{name} with {result}",
                           f"{name} positive for {result}" if not result.startswith(("no ", "a ", "an ")) else f"{name} showing {result}", f"{result} on {name}", f"{name} found {result}"])
    be = item.verb
    return rng.choice([f"{name} {be} {result}", f"{name} {'is' if be == 'was' else 'are'} {result}", f"{name}: {result}", f"{name} {result}", f"{result} {name}", f"{name} came back {result}"])


def said_group(rng, group):
    """One or more sentences of a note."""
    kind, items = group.kind, group.items
    if kind == "symptom":
        # A duration that belongs to one symptom stands with it; "since Monday" last covers one only when alone.
        clauses = [clause(rng, item) for item in items]
        if all(clauses) and rng.random() < 0.5:
            return listed(rng, clauses, " and ") + "."
        if len(items) > 1 and clauses[-1] and clauses[-1].startswith("{she}") and rng.random() < 0.4:
            head = rng.choice(SYMPTOM).replace("{}", listed(rng, [said_symptom(rng, item) for item in items[:-1]]), 1)
            return head.rstrip(".") + rng.choice([" and ", ", ", ". "]) + clauses[-1] + "."
        return rng.choice(SYMPTOM).replace("{}", listed(rng, [said_symptom(rng, item) for item in items]), 1)
    if kind == "absent":
        join = rng.choice([" or ", " or ", " and ", ", ", " nor "])
        texts = [clinical_name(rng, item) if item.kind == "diagnosis" else said_symptom(rng, item, absent=True) for item in items]
        if all(item.term in lex.CLAUSES for item in items) and rng.random() < 0.5:
            return "{she} " + listed(rng, [rng.choice(lex.CLAUSES[item.term])[1] for item in items], " and ") + "."
        if rng.random() < 0.15:
            return rng.choice([", ", " and ", ", "]).join(f"no {text}" for text in texts) + "."
        return rng.choice(ABSENT).replace("{}", listed(rng, texts, join), 1)
    if kind in ("vital", "lab"):
        several = len(items) > 1
        if kind == "vital" and rng.random() < 0.15:
            value = said_value(rng, items[0], several) + " " + rng.choice(lex.CIRCUMSTANCES)
            return listed(rng, [value] + [said_value(rng, item, True) for item in items[1:]], ", ") + "."
        text = listed(rng, [said_value(rng, item, several) for item in items], rng.choice([", ", " and ", ", and "]) if several else None)
        frame = rng.choice(["{}.", "{}.", "{}.", "Vitals: {}.", "On examination {}.", "Obs: {}.", "Today {}.", "Measured {}.", "O/E: {}.", "With {}.", "On arrival {}."] if kind == "vital" else
                           ["{}.", "{}.", "{}.", "Labs: {}.", "Bloods: {}.", "Blood tests show {}.", "Lab results: {}.", "Laboratory: {}."])
        return frame.replace("{}", text)
    if kind == "test":
        return listed(rng, [said_test(rng, item) for item in items], rng.choice([" and ", ". ", "; "])) + "."
    if kind == "drug" and not group.new and len(items) == 1 and items[0].details and rng.random() < 0.1:
        return f"{items[0].term} {rng.choice(['increased to', 'reduced to', 'raised to', 'continued at'])} {' '.join(items[0].details)}."
    if kind == "drug":
        frames = STARTED if group.new else TAKES
        return rng.choice(frames).replace("{}", listed(rng, [with_course(item, rng) for item in items]), 1)
    if kind == "procedure":
        def said(item):
            name = item.name()
            article = "an" if name[0] in "aeiou" else "a"
            name = rng.choice([name, name, f"{article} {name}"])
            return f"{name} {item.details[0]}" if item.details else name
        return rng.choice(PROCEDURE).replace("{}", listed(rng, [said(item) for item in items]), 1)
    frames = DIAGNOSIS if kind == "diagnosis" else HISTORY
    def named(item):
        name = item.said or item.term
        if item.side:
            name = rng.choice([f"{item.side} {name}", f"{item.side} {name}", f"{item.side}-sided {name}", f"a {item.side} {name}"])
        return name
    return rng.choice(frames).replace("{}", listed(rng, [named(item) for item in items]), 1)


def core(rng, group):
    """The items as a list, without a frame."""
    if group.kind == "symptom":
        return listed(rng, [said_symptom(rng, item) for item in group.items])
    if group.kind == "drug":
        return listed(rng, [with_course(item, rng) for item in group.items])
    if group.kind == "absent":
        return listed(rng, [clinical_name(rng, item) if item.kind == "diagnosis" else said_symptom(rng, item, absent=True) for item in group.items], rng.choice([" or ", " and "]))
    return listed(rng, [clinical_name(rng, item) for item in group.items])


PAIRS = {
    ("symptom", "old"): ["{} despite {}.", "{}, takes {}.", "Has {} despite taking {}.", "{} while on {}.", "{} not relieved by {}."],
    ("symptom", "new"): ["{}, given {}.", "{}; {} prescribed.", "{}: {}.", "{}, started on {}.", "{}, treated with {}.", "For {} {she} was given {}."],
    ("history", "old"): ["{} on {}.", "Known {} on {}.", "{}, takes {}.", "{} treated with {}.", "{}, on {}."],
    ("diagnosis", "new"): ["{}, started on {}.", "{}; {} prescribed.", "{}, given {}.", "{}: {}.", "{} was diagnosed and {} started.", "{}, treated with {}.", "{}. {}."],
    ("symptom", "absent"): ["{} without {}.", "{} but no {}.", "{}, no {}.", "Has {}, denies {}.", "{} with no {}.", "Reports {} but not {}."],
    ("history", "symptom"): ["Patient with {}, now has {}.", "Known {}, presents with {}.", "{}, now with {}.", "With a history of {}, reports {}.", "{}, now {}.", "Patient with {} complaining of {}."],
    ("diagnosis", "symptom"): ["{} with {}.", "{}: {}.", "{} again: {}.", "{} with ongoing {}."],
    ("symptom", "diagnosis"): ["{} due to {}.", "{}, likely {}.", "{}, diagnosed with {}.", "{} from {}.", "{}, probably {}.", "{} caused by {}."],
    ("procedure", "symptom"): ["After {} reports {}.", "{}, now {}.", "Since {} {she} has {}."],
    ("history", "absent"): ["{}, no {}.", "Known {} without {}."],
}


def said_pair(rng, one, two):
    """Two groups in one sentence, or nothing."""
    kind = lambda g: ("new" if g.new else "old") if g.kind == "drug" else g.kind
    frames = PAIRS.get((kind(one), kind(two)))
    if not frames:
        return None
    frame = rng.choice(frames)
    return frame.replace("{}", core(rng, one), 1).replace("{}", core(rng, two), 1)


def upper_first(text):
    """A capital at the start, but for words such as eGFR."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def note(rng, groups, fillers=True):
    """A note of the case: its sentences in order, in varied wording."""
    she, her = rng.choice([("She", "her"), ("He", "his"), ("Patient", "the"), ("The patient", "the"), ("Pt", "the")])
    who = opener_who(rng)
    sentences, opened = [], False
    at = 0
    while at < len(groups):
        group = groups[at]
        pair = said_pair(rng, group, groups[at + 1]) if at + 1 < len(groups) and rng.random() < 0.3 else None
        text = pair or said_group(rng, group)
        if "{who}" in text and opened:
            continue
        if "{who}" in text:
            text = text.replace("{who}", who)
        opened = True
        # Two groups in one sentence: "... and was started on", "... with no vomiting", "..., no fever".
        if pair:
            at += 1
        elif at + 1 < len(groups) and rng.random() < 0.22:
            following = said_group(rng, groups[at + 1])
            if "{who}" not in following:
                first = following.split(" ")[0]
                small = following if first.strip(":.,").isupper() and len(first) > 1 or any(ch.isdigit() for ch in first) else following[:1].lower() + following[1:]
                small = small.replace("{she}", she.lower())
                glue = rng.choice([", ", "; ", " and ", " but " if groups[at + 1].kind == "absent" else ", ", " with " if groups[at + 1].kind in ("vital", "lab", "absent") else ", "])
                if glue == " with " and not small.startswith("no "):
                    glue = ", "
                text = text.rstrip(".") + glue + small
                at += 1
        if text.startswith("{she}"):
            text = she + text[5:]
        text = text.replace("{she}", she.lower()).replace("{her}", her)
        sentences.append(upper_first(text) if rng.random() < 0.97 else text)
        at += 1
        if fillers and rng.random() < 0.14:
            sentences.insert(rng.choice([0, len(sentences), len(sentences)]), rng.choice(FILLERS).replace("{her}", her))
    if rng.random() < 0.05:
        sentences = [s.rstrip(".") for s in sentences]
        return rng.choice(["\n", "; ", ", "]).join(sentences)
    text = rng.choice([" "] * 14 + ["\n"]).join(sentences)
    if rng.random() < 0.06:
        text = text.rstrip(".")
    if rng.random() < 0.03:
        text = text.lower()
    return text


# ---- the sample's summaries ---------------------------------------------------------------------

def joined(parts, last="and"):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" {last} " + parts[-1]


def full(item):
    """The item with its quality and details: "dry cough for 3 days", "amoxicillin 500 mg twice daily"."""
    return " ".join([item.quality, item.name(), *item.details]).strip()


def summary_sentence(group):
    kind, items = group.kind, group.items
    if kind == "symptom":
        return f"The patient has {joined([full(i) for i in items])}."
    if kind == "absent":
        return f"No {joined([i.name() for i in items], 'or')}."
    if kind in ("vital", "lab"):
        return upper_first(joined([f"{i.term} is {i.details[0]}" for i in items])) + "."
    if kind == "test":
        return upper_first(joined([f"{i.name()} {i.verb} {i.details[0]}" for i in items])) + "."
    frame = {"diagnosis": "Diagnosed with {}.", "history": "History of {}.", "procedure": "Underwent {}.",
             "drug": "Started on {}." if group.new else "Takes {}."}[kind]
    return frame.replace("{}", joined([full(i) for i in items]))


def summary(groups):
    """The factual summary: what the note says, in its order, without circumstances."""
    return " ".join(summary_sentence(group) for group in groups)


# ---- wrong summaries ----------------------------------------------------------------------------

def copied(groups):
    return [replace(g, items=[replace(i, details=list(i.details)) for i in g.items]) for g in groups]


def other_number(rng, text):
    import re
    numbers = list(re.finditer(r"\d+(?:\.\d+)?", text))
    match = rng.choice(numbers)
    old = match.group()
    while True:
        value = float(old) * rng.choice([0.5, 2, 10, 1.2, 0.1, 1.5, 0.8])
        new = f"{value:.{len(old.split('.')[1]) if '.' in old else 0}f}"
        if new != old and float(new) > 0:
            return text[:match.start()] + new + text[match.end():]


def hallucinated(rng, groups):
    """One thing is wrong: (type, groups), or None where this case has no place for the drawn type."""
    kind = rng.choice(["invented_finding", "flipped_negation", "wrong_number", "wrong_side", "wrong_drug", "wrong_time"])
    wrong = copied(groups)
    terms = {i.term for g in groups for i in g.items}
    if kind == "invented_finding":
        target = rng.choice([g for g in wrong if g.kind in ("symptom", "absent", "diagnosis", "history", "drug", "procedure")] or [None])
        if target is None:
            return None
        new = {"symptom": symptom, "absent": symptom, "diagnosis": diagnosis, "history": diagnosis, "drug": drug, "procedure": procedure}[target.kind](rng, 0)
        if any(new.term in t or t in new.term for t in terms):
            return None
        target.items.append(replace(new, said="", quality=""))
    elif kind == "flipped_negation":
        target = rng.choice([g for g in wrong if g.kind in ("symptom", "absent")] or [None])
        if target is None:
            return None
        target.kind = "absent" if target.kind == "symptom" else "symptom"
        for item in target.items:
            item.details = []
    elif kind == "wrong_side":
        sided = [i for g in wrong for i in g.items if i.side in ("left", "right")]
        if not sided:
            return None
        item = rng.choice(sided)
        item.side = "left" if item.side == "right" else "right"
    elif kind == "wrong_drug":
        drugs = [i for g in wrong if g.kind == "drug" for i in g.items]
        if not drugs:
            return None
        new = rng.choice(lex.DRUGS)[0]
        if new in terms:
            return None
        rng.choice(drugs).term = new
    else:
        timed = kind == "wrong_time"
        places = [(i, at) for g in wrong for i in g.items for at, d in enumerate(i.details)
                  if timed == (g.kind in ("symptom", "procedure")) and (any(c.isdigit() for c in d) and not d.startswith("for 1 ") or d.startswith("since "))]
        if not places:
            return None
        item, at = rng.choice(places)
        old = item.details[at]
        item.details[at] = "since " + rng.choice([d for d in lex.DAYS if d not in old]) if old.startswith("since ") else other_number(rng, old)
    return kind, wrong


def findings(groups):
    """The case as the sidecar lists it."""
    def aliases(item):
        names = [item.said] if item.said else []
        if item.kind == "symptom" and item.side:
            part, what = part_of(item)
            names.append(f"{what} in the {part}")
        return names
    return [{"kind": i.kind, "term": i.term, "aliases": aliases(i), "present": g.kind != "absent", "side": i.side or None,
             "details": list(i.details)} for g in groups for i in g.items]
