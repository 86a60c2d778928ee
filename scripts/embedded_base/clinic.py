"""What a synthetic patient has, and the many ways in which a note says it.

A case is a list of groups, each of one kind (symptom, absent, vital, lab, test, diagnosis, history,
drug, procedure, stopped, allergy, planned) with one or more items, in the order in which the note tells them. Notes, the sample's summaries and
the pretraining text's restatements are renderings of cases.
"""
import pathlib
import random
import re
from dataclasses import dataclass, field, replace

import frames as fr
import lexicon as lex

REAL = dict(line.split(": ") for line in pathlib.Path(__file__).with_name("words.txt").read_text().splitlines() if not line.startswith("#"))
REAL = {kind: text.split() for kind, text in REAL.items()}


@dataclass
class Item:
    kind: str
    term: str                       # canonical: "cough", "knee pain", "blood pressure"
    side: str = ""                  # left, right, bilateral
    quality: str = ""               # severity and the like
    details: list = field(default_factory=list)   # dose and frequency, value, duration, result
    said: str = ""                  # the note's own word, where it differs (BP)
    verb: str = ""                  # for tests: showed / was
    forms: list = field(default_factory=list)     # the same words in another order or form, for the note alone


    def name(self):
        return f"{self.side} {self.term}" if self.side else self.term


@dataclass
class Group:
    kind: str
    items: list
    new: bool = True                # drugs: started now
    hedge: str = ""                 # diagnoses: likely, suspected, probable, possible


EXAMINATIONS = [word for word in REAL["medical"] if word.endswith(("scopy", "gram", "graphy", "metry"))]
ONSETS = "CVC CV CVC V".split()
CONS, VOWELS = "b c d f g h k l m n p r s t v z br cl dr fl gr pl pr st tr th ch".split(), "a e i o u ia io ea".split()


ROOTS = ("derm gastr cardi nephr hepat arthr oste my neur ot rhin bronch pneum cyst col enter lapar mast splen thyr uter prostat vas angi "
         "phleb blephar kerat gloss gingiv laryng pharyng trache esophag duoden append chole pancreat aden lymph hem leuk spondyl chondr tend burs fasci").split()
ENDINGS = "itis osis algia ectomy oscopy oma emia uria opathy oplasty otomy ography orrhea ostomy olysis spasm omegaly oid ostasis ic al ous".split()
PLAIN = ("cut graze bite burn bump cyst wart boil lump blister splinter scratch bruise crack spot patch ulcer tear strain sprain knot stitch spasm twitch ache flutter "
         "clicking locking catching giving popping grinding buzzing ringing leaking straining pulling heaviness coldness puffiness flaking peeling oozing weeping crusting "
         "finger nail knuckle palm sole arch shin instep eyelid eyebrow earlobe nostril chin cheek forehead temple collarbone shoulder blade tailbone rib spine waist navel "
         "gland tonsil sinus bladder bowel kidney liver spleen lung heart artery vein nerve tendon ligament cartilage socket stump graft stoma line drain dressing cast splint brace plaster").split()


def made_up_word(rng, syllables=None):
    """A word that no lexicon has: what must be copied letter by letter."""
    if syllables is None and rng.random() < 0.35:
        return (rng.choice(ROOTS) + rng.choice(["", "", "o" + rng.choice(ROOTS)]) + rng.choice(ENDINGS)).replace("oo", "o")
    if syllables is None and rng.random() < 0.25:
        return rng.choice(PLAIN)
    n = syllables or rng.randint(2, 4)
    text = "".join(rng.choice(CONS) + rng.choice(VOWELS) for _ in range(n))
    return text + rng.choice(["", "", "n", "x", "l", "ne", "ra", "mab", "itis", "osis", "in", "ide", "s", "ic", "ed"])


def odd_word(rng):
    """A word to be copied: a real one two times in three, else an invented one."""
    if rng.random() > 0.67:
        return made_up_word(rng)
    return rng.choice(REAL[rng.choices(["nouns", "adjectives", "verbs", "medical"], [40, 12, 6, 42])[0]])


def an(text):
    return ("an " if text[0] in "aeiou" else "a ") + text


def plural(noun):
    if noun.endswith("foot"):
        return noun[:-4] + "feet"
    if noun.endswith("calf"):
        return noun[:-1] + "ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def odd_phrase(rng):
    noun, adjective = rng.choice(REAL["nouns"]), rng.choice(REAL["adjectives"])
    return rng.choice([noun, f"{adjective} {noun}", an(noun), an(f"{adjective} {noun}"), plural(noun), f"{rng.choice(REAL['nouns'])} {noun}", rng.choice(REAL["medical"]), f"{adjective} {rng.choice(REAL['medical'])}", odd_word(rng)])


def term(rng, known, share):
    """One of the known terms, or, with the probability `share`, an odd one."""
    if rng.random() >= share:
        return rng.choice(known)
    if rng.random() < 0.3:   # plain words put together
        return rng.choice([" ".join(rng.sample(PLAIN, 2)), f"{rng.choice(REAL['adjectives'])} {rng.choice(PLAIN)}", f"{rng.choice(REAL['nouns'])} {rng.choice(PLAIN)}", f"{rng.choice(REAL['adjectives'])} {rng.choice(REAL['nouns'])}",
                           f"{rng.choice(REAL['adjectives'])} {rng.choice(REAL['medical'])}", f"{rng.choice(REAL['nouns'])} {rng.choice(lex.TROUBLES_OF_PARTS)}"])
    if rng.random() < 0.3:   # known words in a new order
        a, b = rng.choice(known).split(), rng.choice(known).split()
        return " ".join(dict.fromkeys([a[1] if a[0] in ("a", "an") else a[0], b[-1]]))
    return " ".join(odd_word(rng) for _ in range(rng.choice([1, 1, 2])))


NUMERALS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
MONTHS = "January February March April May June July August September October November December".split()
SIMPLE_SPAN = re.compile(r"(\d+|" + "|".join(NUMERALS) + r") (minute|hour|day|week|month|year)s?")


def count(rng, number):
    return NUMERALS[number - 1] if number <= 20 and rng.random() < 0.25 else str(number)


def some(rng, most):
    """1 to `most`, the small ones more often."""
    return min(most, int(most ** rng.random() + rng.random()) or 1) if rng.random() < 0.7 else rng.randint(1, most)


def span(rng, wide=True):
    """A length of time. Not wide: one that suits an illness."""
    most = dict(minute=90, hour=96, day=90, week=60, month=40, year=60) if wide else dict(hour=12, day=14, week=8, month=11, year=6)
    unit = rng.choice(["hour", "hour", "day", "day", "day", "day", "week", "week", "week", "month", "month", "year", "year"] + ["minute"] * wide)
    n = some(rng, most[unit])
    if unit == "hour" and rng.random() < 0.35:
        n = rng.choice([12, 24, 24, 36, 48, 48, 72])
    plain = f"{count(rng, n)} {unit}" + "s" * (n > 1)
    draw = rng.random()
    if draw < 0.68:
        return plain
    if draw < 0.78:
        return rng.choice(["a day", "a week", "a week", "a week", "a month", "a month", "a year", "an hour", "a fortnight", "half a day", "half an hour"])
    if draw < 0.88:
        return rng.choice(["a few {}s", "a few {}s", "a couple of {}s", "couple of {}s", "several {}s", "many {}s", "some {}s", "a good few {}s"]).format(unit)
    if draw < 0.94:
        m = n + rng.choice([1, 1, 1, 2])
        return rng.choice([f"{n}-{m} {unit}s", f"{n}-{m} {unit}s", f"{n} to {m} {unit}s"] + ([f"{NUMERALS[n - 1]} to {NUMERALS[m - 1]} {unit}s"] if m < 13 else []))
    if draw < 0.96:
        return rng.choice([f"{n}.5 {unit}s", f"{count(rng, n)} and a half {unit}s"])
    return rng.choice(["about", "around", "over", "nearly", "almost", "at least", "more than"]) + " " + plain


def duration(rng, wide=True):
    event = rng.choice(["this morning", "last night", "last week", "breakfast", "the operation", "childhood", "a fall", "her fall", "his holiday", "the weekend", "lunch", "exercise", "last month", "birth", "the birth of her baby",
                        "starting work", "yesterday evening", "the accident", "Christmas", "last summer", "a flu jab", "an injury", "midnight", "early this morning", "a long flight", "moving house", "school"])
    if wide and rng.random() < 0.4:
        event = rng.choice([odd_word(rng), f"the {rng.choice(REAL['nouns'])}", an(rng.choice(REAL["nouns"])), f"{rng.choice(['his', 'her'])} {rng.choice(REAL['nouns'])}"])
    age = some(rng, 80)
    draw = rng.random()
    if draw < 0.70:
        return f"for {span(rng, wide)}"
    if draw < 0.75:
        return rng.choice(["on and off for {}", "every day for {}", "for the last {}", "for the past {}"]).format(rng.choice(["fortnight", "week", "month", "few days", "few weeks", "couple of days"]) if rng.random() < 0.4 else f"{rng.randint(2, 30 if wide else 9)} {rng.choice(['days', 'weeks', 'hours', 'months'])}").replace("for fortnight", "for a fortnight").replace("for week", "for a week").replace("for month", "for a month").replace("off for few", "off for a few").replace("day for few", "day for a few").replace("for couple", "for a couple")
    if draw < 0.80:
        return rng.choice([f"since {rng.choice(lex.DAYS)}", "since yesterday"])
    if draw < 0.87:
        return rng.choice([f"since {rng.randint(1985, 2025)}", f"since {rng.randint(2005, 2025)}", f"since {rng.choice(MONTHS)}", f"since {rng.choice(MONTHS)} {rng.randint(2010, 2025)}", f"since age {age}", f"since the age of {age}"] if wide else [f"since {rng.choice(MONTHS)}", f"since {rng.randint(2019, 2024)}"])
    if wide and draw < 0.89:
        return rng.choice(["all week", "all day", "all night", "every night", "most days", "twice a week", "after every meal", "again"])
    return f"since {event}"


def sited(rng, odd):
    """Something at a place, in the very words of the note: "laceration above the left eye"."""
    part = rng.choice(lex.BODY_PARTS) if rng.random() > odd * 0.7 else rng.choice([rng.choice(REAL["nouns"]), odd_word(rng)])
    side = rng.choice(["left", "right"])
    where = rng.choice([f"the {side} {part}", f"the {side} {part}", f"both {plural(part)}", f"the {rng.choice(lex.PLAIN_PARTS)}", f"the {side} {rng.choice(['upper', 'lower', 'medial', 'lateral', 'anterior'])} {part}"])
    what = rng.choice(lex.SITED) if rng.random() > odd * 0.5 else odd_word(rng)
    if rng.random() < 0.25:
        state = rng.choice(lex.STATES_OF_PARTS)
        return Item("symptom", f"{state} {side} {part}", forms=[f"{side} {part} {state}", f"{side} {part} {state}", f"{side} {part}: {state}"])
    if rng.random() < 0.2:
        over = rng.choice(lex.LANDMARKS) if rng.random() > odd * 0.5 else f"the {rng.choice(REAL['nouns'])}"
        return rng.choice([Item("symptom", f"tenderness over {over}", forms=[f"tender over {over}", f"tender over {over}"]), Item("symptom", f"tender {side} {rng.choice(['lower quadrant', 'upper quadrant', 'iliac fossa', 'flank', 'loin', part])}"),
                           Item("symptom", f"swelling over {over}", forms=[f"swollen over {over}"]), Item("symptom", f"bruising over {over}", forms=[f"bruised over {over}"])])
    return Item("symptom", f"{what} {rng.choice(['on', 'of', 'to', 'in', 'over', 'above', 'below', 'around', 'behind', 'under', 'across', 'near'])} {where}")


def composed(rng):
    """A symptom put together from parts, so that its words are many."""
    part = rng.choice(lex.PLAIN_PARTS)
    return rng.choice([
        lambda: f"{rng.choice(['pain', 'pain', 'burning', 'discomfort', 'cramps', 'dizziness', 'breathlessness', 'cough', rng.choice(lex.SYMPTOMS)])} {rng.choice(lex.WHEN)}",
        lambda: f"{rng.choice(['difficulty', 'difficulty', 'trouble', 'pain', 'problems'])} {rng.choice(lex.DIFFICULT)}",
        lambda: f"{rng.choice(['pain', 'neck pain', 'back pain', 'lower back pain', 'chest pain', 'abdominal pain', 'discomfort', 'tingling', 'numbness'])} {rng.choice(['radiating to', 'radiating into', 'spreading to', 'going into', 'shooting down', 'going down'])} the {part}",
        lambda: f"{rng.choice(['a lump', 'a sore', 'a rash', 'a wound', 'a bruise', 'an itchy patch', 'redness', 'a swelling', 'spots', 'a blister'])} {rng.choice(['on', 'under', 'behind', 'near', 'above', 'around'])} the {part}",
        lambda: f"sensitivity to {rng.choice(lex.SENSITIVE)}", lambda: f"blood in {rng.choice(lex.BLOOD_IN)}", lambda: f"loss of {rng.choice(lex.LOSS_OF)}",
        lambda: f"{rng.choice(lex.STATES_OF_PARTS)} {part}", lambda: f"{rng.choice(lex.STATES_OF_PARTS)} {part}",
        lambda: f"{rng.choice(lex.TROUBLES_OF_PARTS)} in the {part}", lambda: f"{part.rstrip('s')} {rng.choice(lex.TROUBLES_OF_PARTS)}", lambda: f"{part.rstrip('s')} {rng.choice(lex.TROUBLES_OF_PARTS)}",
        lambda: f"{rng.choice(['ear', 'tooth', 'head', 'stomach', 'back', 'belly', 'muscle'])}{rng.choice(['ache', 'ache', ' discomfort'])}",
    ])()


def symptom(rng, odd, sided=None):
    if (rng.random() < 0.22) if sided is None else sided:
        name = f"{rng.choice(lex.BODY_PARTS) if rng.random() > odd else odd_word(rng)} {rng.choice(lex.BODY_SYMPTOMS)}"
        item = Item("symptom", name, side=rng.choice(["left", "left", "right", "right", "bilateral"]))
    elif rng.random() < (0.14 if sided is None else 0.06):
        item = sited(rng, odd)
    elif rng.random() < 0.2:
        item = Item("symptom", composed(rng))
    else:
        item = Item("symptom", term(rng, sorted(lex.CLAUSES) if rng.random() < 0.15 else lex.SYMPTOMS, odd))
        if item.term in lex.SYMPTOM_SHORT and rng.random() < 0.15:
            item.said = rng.choice(lex.SYMPTOM_SHORT[item.term])
    if rng.random() < 0.3:
        item.quality = rng.choice(lex.SEVERITIES) if rng.random() > odd * 0.3 else rng.choice(REAL["adjectives"])
        item.forms = []
    return item


def number(rng):
    """Any number, of any size, with none to two decimals."""
    decimals = rng.choice([0, 0, 0, 1, 1, 2])
    return f"{10 ** rng.uniform(0 if not decimals else -0.7, 3.7 if not decimals else 2.6):.{decimals}f}"


def vital(rng, known=None):
    wide, known = known is None, known or lex.VITALS + lex.SCORES
    name, short, unit, limits = rng.choice(known)
    odd = wide and rng.random() < 0.3
    if limits is None:
        value = f"{rng.randint(60, 250)}/{rng.randint(30, 150)}" if odd else f"{rng.randint(86, 198)}/{rng.randint(48, 116)}"
    elif odd:
        value, unit = number(rng), rng.choice([unit, unit, rng.choice(lex.UNITS)])
    else:
        low, high, decimals = limits
        value = f"{rng.uniform(low, high):.{decimals}f}"
        if name == "temperature" and not odd and rng.random() < 0.25:
            value, unit = f"{rng.uniform(96, 104):.1f}", "°F"
        if name == "blood glucose" and not odd and rng.random() < 0.4:
            value, unit = f"{rng.uniform(2.8, 22):.1f}", "mmol/L"
    bare = name in ("blood pressure", "heart rate", "pulse", "respiratory rate") and rng.random() < 0.3
    joint = "" if unit in ("%", "°C", "°F") and rng.random() < 0.8 else " "
    if name == "respiratory rate" and not bare and not odd:
        unit = rng.choice([unit, "/min", "breaths/min"])
    if name in ("heart rate", "pulse") and not bare and not odd:
        unit = rng.choice([unit, unit, "beats per minute", "/min"])
    if unit.startswith("/"):
        joint = ""
    bare = bare or not unit
    said = rng.choice(short) if short and rng.random() < 0.5 else name
    return Item("vital", name, details=[value if bare else f"{value}{joint}{unit}"], said=said if said != name else "")


def lab(rng, known=None, odd=0.0):
    wide, known = known is None, known or lex.LABS + lex.MORE_LABS
    name, unit, (low, high, decimals) = rng.choice(known)
    if rng.random() < odd * 0.6:
        word = odd_word(rng)
        name = rng.choice([word, word, f"{word} level", f"serum {word}", f"urine {word}", f"{word} count", f"{word} antibody", f"plasma {word}"])
    if rng.random() < 0.25:
        return Item("test", name, details=[rng.choice(lex.LAB_STATES)])
    value = f"{rng.uniform(low, high):.{decimals}f}"
    if wide and rng.random() < 0.4:
        value, unit = number(rng), rng.choice([unit, "", rng.choice(lex.UNITS)])
    if unit.startswith("/"):
        return Item("test", name, details=[value + unit])
    return Item("test", name, details=[f"{value}%" if unit == "%" else f"{value} {unit}".strip()])


def test(rng, odd):
    name, short, shown = rng.choice(lex.TESTS)
    if rng.random() < odd * 0.5:
        name = rng.choice([f"{odd_word(rng)} test", f"{rng.choice(lex.MODALITIES)} {rng.choice(lex.PLAIN_PARTS + REAL['nouns'])}", f"{rng.choice(lex.PLAIN_PARTS + REAL['nouns'])} {rng.choice(lex.MODALITIES)}", rng.choice(EXAMINATIONS), f"{odd_word(rng)} swab"])
        short, shown = [], odd_phrase(rng)
    shown = lex.words(shown)
    side = rng.choice(["left", "right"]) if name == "X-ray" else ""
    if side:
        name = f"{rng.choice(['knee', 'wrist', 'ankle', 'hip', 'shoulder', 'hand', 'foot', 'elbow'])} X-ray"
    said = rng.choice(short) if short and rng.random() < 0.4 and not side else ""
    if shown and rng.random() < 0.65:
        return Item("test", name, side, details=[rng.choice(shown) if rng.random() > odd * 0.5 else odd_phrase(rng)], said=said, verb="showed")
    return Item("test", name, side, details=[rng.choice(lex.TEST_STATES)], said=said,
                verb="were" if name.endswith(("tests", "labs", "reflexes", "pulses")) else "was")


def history(rng, odd):
    item = diagnosis(rng, odd)
    if rng.random() < 0.18:
        age = some(rng, 80)
        item.details = [rng.choice([f"for {count(rng, some(rng, 50) + 1)} years", f"for {count(rng, some(rng, 50) + 1)} years", f"since {rng.randint(1970, 2025)}", f"since {rng.randint(1970, 2025)}", f"since age {age}", "since childhood", "for many years", f"for {span(rng)}", "for a few years"])]
    return item


def allergy(rng, odd):
    return Item("diagnosis", rng.choice(lex.ALLERGENS) if rng.random() > max(odd, 0.25) else rng.choice([odd_word(rng), rng.choice(lex.DRUGS)[0], plural(rng.choice(REAL["nouns"]))]))


def diagnosis(rng, odd):
    if rng.random() < 0.2:
        return Item("diagnosis", rng.choice(lex.SIDED_DIAGNOSES), side=rng.choice(["left", "right"]))
    if rng.random() < 0.1:
        part = rng.choice(lex.BODY_PARTS) if rng.random() > odd else odd_word(rng)
        what = rng.choice(lex.DIAGNOSES_OF_PLACES) if rng.random() > odd * 0.7 else rng.choice(REAL["medical"])
        return Item("diagnosis", f"{what} of the {rng.choice(['left', 'right'])} {part}")
    item = Item("diagnosis", term(rng, lex.DIAGNOSES, odd))
    if item.term in lex.DIAGNOSIS_SHORT and rng.random() < 0.15:
        item.said = rng.choice(lex.DIAGNOSIS_SHORT[item.term])
    return item


def dose(rng):
    """Any dose in any unit."""
    unit = rng.choices(["mg", "g", "mcg", "micrograms", "ml", "mL", "units", "puffs", "tablets", "drops", "%", "mg/kg", "mmol", "IU", "capsules", "sachets", "mg/ml", "litres"], [50, 9, 8, 3, 5, 2, 8, 4, 4, 2, 4, 3, 1, 2, 2, 2, 1, 1])[0]
    if unit == "mg":
        value = rng.choice([str(rng.randint(1, 20)), str(5 * rng.randint(1, 30)), str(25 * rng.randint(1, 40)), str(50 * rng.randint(1, 40)), f"{rng.uniform(0.1, 20):.1f}", f"{rng.randint(0, 12)}.{rng.choice(['5', '25', '75', '125'])}"])
    elif unit in ("g", "litres", "mg/kg"):
        value = rng.choice([str(rng.randint(1, 15)), f"{rng.uniform(0.1, 6):.1f}", "1.2", "4.5", "0.5"])
    elif unit == "%":
        return rng.choice(["0.05", "0.1", "0.5", "1", "2", "2.5", "5", "10", f"{rng.uniform(0.01, 9):.2f}", f"{rng.uniform(0.1, 50):.1f}"]) + "%"
    elif unit in ("mcg", "micrograms", "IU", "mmol", "ml", "mL", "units", "mg/ml"):
        value = rng.choice([str(rng.randint(1, 60)), str(5 * rng.randint(1, 60)), str(25 * rng.randint(1, 40)), str(100 * rng.randint(1, 20))])
    else:
        n = rng.randint(1, 10)
        return f"{count(rng, n)} {unit if n > 1 else unit[:-1]}"
    return f"{value}{'' if rng.random() < 0.2 else ' '}{unit}"


def drug(rng, odd):
    name, unit, doses = rng.choice(lex.DRUGS)
    if rng.random() < odd:
        name = odd_word(rng) if rng.random() < 0.8 else f"{odd_word(rng)} {odd_word(rng)}"
    elif rng.random() < 0.25:
        name = rng.choice(lex.MORE_DRUGS)
    details = [f"{rng.choice(doses.split())}{'' if rng.random() < 0.15 else ' '}{unit}" if rng.random() < 0.5 else dose(rng)]
    if rng.random() < 0.08:
        details = [rng.choice(lex.FORMS_OF_DRUG)]
    if rng.random() < 0.15:
        name += " " + rng.choice(lex.DRUG_FORMS)
    if rng.random() < 0.15:
        details.append(rng.choice(lex.ROUTES))
    if rng.random() < 0.85:
        details.append(rng.choice(lex.FREQUENCIES))
        if rng.random() < 0.25:
            details.append(rng.choice(lex.COURSES) if rng.random() < 0.5 else f"for {span(rng)}")
    if rng.random() < 0.12:
        details = details[1:] if rng.random() < 0.5 else []
    return Item("drug", name, details=details)


def stopped(rng, odd):
    item = drug(rng, odd)
    item.details = [dose(rng)] if rng.random() < 0.12 else []
    return item


DOINGS = "removed/removal drained/drainage excised/excision biopsied/biopsy inserted/insertion cleaned/cleaning closed/closure repaired/repair fixed/fixation injected/injection dressed/dressing sutured/suturing reduced/reduction irrigated/irrigation aspirated/aspiration replaced/replacement changed/change".split()


def procedure(rng, odd):
    if rng.random() < 0.25:
        item = Item("procedure", rng.choice(lex.SIDED_PROCEDURES), side=rng.choice(["left", "right", "right", "left", "bilateral"]))
    elif rng.random() < 0.12:
        thing = rng.choice(lex.THINGS_DONE) if rng.random() > odd else rng.choice([rng.choice(REAL["nouns"]), odd_word(rng)])
        if rng.random() < 0.3:
            thing = f"{rng.choice(['left', 'right'])} {rng.choice(lex.BODY_PARTS)} {thing}"
        done, doing = rng.choice(DOINGS).split("/")
        item = Item("procedure", f"{doing} of {thing}", forms=[f"{thing} {done}"])
    elif rng.random() < 0.04:
        n = rng.randint(1, 9)
        what = f"{count(rng, n)} unit{'s' * (n > 1)} of {rng.choice(['blood', 'platelets', 'plasma', 'red cells'])}"
        item = Item("procedure", f"transfusion of {what}", forms=[f"transfused {what}", f"transfused {what}"])
    else:
        item = Item("procedure", term(rng, lex.PROCEDURES, odd))
    if rng.random() < 0.3:
        item.details = [rng.choice(["yesterday", "today", f"in {rng.randint(1970, 2025)}", f"in {rng.choice(MONTHS)}", "last week", "last month", "last year", "this morning", f"{span(rng)} ago", f"{span(rng)} ago", f"on {rng.choice(lex.DAYS)}", f"at age {rng.randint(2, 80)}"])]
    return item


def planned(rng, odd):
    item = procedure(rng, odd)
    item.forms = []
    item.details = [rng.choice(["tomorrow", "next week", "next month", f"on {rng.choice(lex.DAYS)}", f"in {rng.choice(MONTHS)}", f"in {span(rng)}"])] if rng.random() < 0.3 else []
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
    pool = ["absent", "absent", "vital", "vital", "lab", "test", "diagnosis", "diagnosis", "drug", "drug", "history", "procedure", "symptom", rng.choice(["stopped", "allergy", "planned", "history"])]
    while len(kinds) < size:
        kind = rng.choice(pool)
        if kind not in kinds:
            kinds.append(kind)
    order = ["history", "allergy", "symptom", "absent", "vital", "lab", "test", "diagnosis", "procedure", "stopped", "drug", "planned"]
    if rng.random() < 0.6:
        kinds.sort(key=order.index)
    elif rng.random() < 0.5:
        rng.shuffle(kinds)
    if "stopped" in kinds and rng.random() < 0.5:   # one drug in place of another
        kinds = [kind for kind in kinds if kind != "drug"]
        kinds.insert(kinds.index("stopped") + 1, "drug")
    makers = {
        "symptom": lambda: symptom(rng, odd), "absent": lambda: symptom(rng, odd, sided=rng.random() < 0.06) if rng.random() < 0.88 else diagnosis(rng, odd), "vital": lambda: vital(rng),
        "lab": lambda: lab(rng, odd=odd), "test": lambda: test(rng, odd), "diagnosis": lambda: diagnosis(rng, odd),
        "history": lambda: history(rng, odd), "drug": lambda: drug(rng, odd), "procedure": lambda: procedure(rng, odd),
        "stopped": lambda: stopped(rng, odd), "allergy": lambda: allergy(rng, odd), "planned": lambda: planned(rng, odd),
    }
    numbers = {"symptom": [1, 1, 2, 2, 2, 3, 3, 4], "absent": [1, 1, 2, 2, 3], "vital": [1, 1, 2, 2, 3], "lab": [1, 1, 2], "test": [1, 1, 1, 2],
               "diagnosis": [1, 1, 1, 1, 2], "history": [1, 1, 2, 2, 3], "drug": [1, 1, 1, 2], "procedure": [1, 1, 1, 1, 2], "stopped": [1, 1, 1, 2], "allergy": [1, 1, 2], "planned": [1]}
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
        if kind == "drug" and groups and groups[-1].kind == "stopped":
            items = items[:1]
        if kind == "symptom":
            for item in items:
                if item.details:
                    item.forms = []
        instead = kind == "drug" and groups and groups[-1].kind == "stopped"
        groups.append(Group(kind, items, new=instead or rng.random() < 0.6, hedge=hedge(rng, kind)))
    return groups


def hedge(rng, kind):
    return rng.choice(sorted(lex.HEDGES)) if kind == "diagnosis" and rng.random() < 0.25 else ""


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
    if item.forms and not absent and rng.random() < 0.7:
        return rng.choice(item.forms)
    if absent and item.term == "fever" and rng.random() < 0.08:
        text = "temperature"
    if item.side:
        part, what = part_of(item)
        side = {"left": ["left", "left", "left", "L"], "right": ["right", "right", "right", "R"], "bilateral": ["bilateral"]}[item.side]
        side = rng.choice(side)
        if side == "bilateral":
            text = rng.choice([f"bilateral {item.term}", f"bilateral {item.term}", f"{what} of both {plural(part)}", f"{what} in both {plural(part)}", f"{what} in both {plural(part)}", f"both {plural(part)} {what}" if rng.random() < 0.2 else f"{what} in both {plural(part)}", f"{item.term} on both sides"])
        else:
            text = rng.choice([f"{side} {item.term}", f"{side} {item.term}", f"{what} in the {side} {part}", f"{what} of the {side} {part}", f"{side}-sided {item.term}", f"{item.term} on the {side}", f"{what} on the {side} {part}", f"{side} {part} {what}"])
    if item.quality:
        text = with_quality(item.quality, text)
    if item.term in ("fever", "pyrexia") and not absent and rng.random() < 0.45:
        text += rng.choice([" of {}°C", " of {} °C", " to {}°C", " up to {}°C", " ({}°C)", " of {} degrees"]).format(f"{rng.uniform(37.8, 40.6):.1f}")
    if item.details:
        when = item.details[0]
        if when.startswith(("for the last ", "for the past ")):
            text = rng.choice([f"{text} {when}", f"{text} {when}", f"{text} {when.replace('for', 'over', 1)}"])
        elif when.startswith("for "):
            n = when[4:]
            forms = [f"{text} {when}"] * 5 + [f"{n} of {text}"] * 2 + [f"{text} {n}", f"{text}, {n}", f"{text} ({n})", f"{text} - {n}", f"{text} now for {n}"]
            if SIMPLE_SPAN.fullmatch(n) and not n.startswith(("1 ", "one ")):
                forms += [f"{text} for the past {n}", f"{text} for the last {n}", f"{text} over the past {n}", f"{text} over the last {n}"]
            if SIMPLE_SPAN.fullmatch(n):
                forms += [f"{text} x {n}", f"{text} x{n}", f"{text} that began {n} ago", f"{text} lasting {n}", f"{n} {bare(text)}",
                          f"a {hyphened(n)} history of {bare(text)}", f"{hyphened(n)} history of {bare(text)}", f"{n} history of {bare(text)}", f"{n} h/o {bare(text)}"]
            text = rng.choice(forms)
        else:
            text = rng.choice([f"{text} {when}", f"{text} {when}", f"{text} {when}", f"{text}, {when}", f"{text} ({when})"])
    return text


def with_quality(quality, text):
    """"bad cough", "a bad cold"."""
    if not quality:
        return text
    return an(f"{quality} {bare(text)}") if text.startswith(("a ", "an ")) else f"{quality} {text}"


def bare(text):
    return re.sub(r"^an? ", "", text)


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
            subject, be = (f"both {plural(part)}", "are") if item.side == "bilateral" else (f"{rng.choice(['the', '{her}'])} {item.side} {part}", "is")
            if when:
                be = "have been" if be == "are" else "has been"
            return f"{subject} {be} {state}{when}"
    return None


def clinical_name(rng, item):
    return " ".join([item.name() if not item.said else item.said, *item.details])


def told(rng, texts):
    """Symptoms after one another, the first before the rest."""
    if len(texts) > 1 and rng.random() < 0.22:
        glue = rng.choice([" with ", " with ", " with associated ", ", now also ", ", now ", ", also ", " and also ", ", then ", " then ", " followed by ", " together with ", "; also "])
        return texts[0] + glue + listed(rng, texts[1:], " and ")
    return listed(rng, texts)


SYMPTOM = [
    "Patient reports {}.", "Patient reports {}.", "The patient reports {}.", "Patient presents with {}.", "Presents with {}.", "Presented with {}.",
    "Complains of {}.", "Patient complains of {}.", "{she} complains of {}.", "c/o {}.", "Pt c/o {}.", "Came in with {}.", "{she} came in with {}.",
    "{who} presenting with {}.", "{who} with {}.", "{who} presents with {}.", "{who} complaining of {}.", "{who} who reports {}.",
    "The main complaints are {}.", "{she} describes {}.", "Seen today for {}.", "Admitted with {}.", "Brought in because of {}.",
    "{she} has {}.", "{she} has had {}.", "Has {}.", "Has had {}.", "Symptoms: {}.", "Symptoms include {}.", "Chief complaint: {}.", "Troubled by {}.",
    "{she} reports {}.", "Reports {}.", "{she} mentions {}.", "There is {}.", "Attends with {}.", "Referred for {}.", "{} reported.", "{} noted.", "{}.",
    "Woke up with {}.", "{she} developed {}.", "Now also has {}.", "{she} is suffering from {}.", "{she} feels unwell with {}.", "Experiencing {}.", "{}.", "{}.", "{}.", "{}.", "{}.", "{}.", "Patient with {}.", "Pt with {}.", "Here with {}.", "Came by ambulance with {}.", "Now has {}.", "{} persists.", "{she} is troubled by {}.", "{} since arrival.", "{} is worse.", "{} continues.", "Again {}.", "{} today.", "{} again.", "Child with {}.",
    "{she} says {her} main problem is {}.", "Visit for {}.", "Consulted for {}.", "Admits to {}.", "Nurse noted {}.", "Ongoing {}.", "{she} still has {}.",
]
ABSENT = [
    "Denies {}.", "Denies {}.", "Denies any {}.", "Patient denies {}.", "{she} denies {}.", "No {}.", "No {}.", "No {}.", "No {} reported.", "There is no {}.",
    "There was no {}.", "{she} has no {}.", "Has not had {}.", "Without {}.", "Negative for {}.", "Does not report {}.", "No complaints of {}.",
    "No evidence of {}.", "No history of {}.", "No signs of {}.", "Absence of {}.", "{she} has had no {}.", "Currently no {}.", "Nil {}.", "Not complaining of {}.", "{she} does not have {}.", "Never had {}.", "No current {}.", "Has no {}.", "{she} does not complain of {}.",
]
DIAGNOSIS = [
    "Diagnosed with {}.", "Diagnosed with {}.", "Diagnosis: {}.", "Dx: {}.", "Impression: {}.", "Impression is {}.", "Assessment: {}.", "Assessed as {}.", "Findings are consistent with {}.",
    "Consistent with {}.", "The diagnosis is {}.", "{she} was diagnosed with {}.", "{she} was found to have {}.",
    "A diagnosis of {} was made.", "Picture of {}.", "{} was diagnosed.", "{} confirmed.", "Treated for {}.",
    "Admitted for {}.", "Clinically {}.", "In keeping with {}.", "Managed as {}.", "New diagnosis of {}.", "{}.", "{}.", "{}.", "{} was found.", "{she} has {}.", "{she} is being treated for {}.", "Examination is consistent with {}.", "Signs of {}.", "Being treated for {}.", "X-ray and examination suggest {}.",
]
HISTORY = [
    "Known {}.", "Past medical history of {}.", "Past medical history: {}.", "PMH: {}.", "PMHx {}.", "History of {}.", "Has a history of {}.", "{she} has a history of {}.",
    "hx of {}.", "Background of {}.", "Medical history includes {}.", "Past history: {}.", "{who} with a history of {}.", "{who} with known {}.", "Previously diagnosed with {}.",
    "{who} with a past medical history of {}.", "Comorbidities: {}.", "{she} is known to have {}.", "Long-standing {}.", "History includes {}.", "Known case of {}.", "Has known {}.", "Has long-term {}.", "Patient with {}.", "Pt with known {}.", "{} for years.", "{} in the past.", "Suffers from {}.", "Lives with {}.", "Previously had {}.",
]
STARTED = [
    "Started on {}.", "Started {}.", "Started on {}.", "Prescribed {}.", "Prescribed {}.", "{she} was started on {}.", "{she} was prescribed {}.", "Given {}.", "Commenced on {}.", "Commenced {}.",
    "We began {}.", "Plan: start {}.", "Plan: {}.", "Rx: {}.", "Treated with {}.", "Will start {}.", "Begin {}.", "Put on {}.", "To start {}.", "Treatment with {} was started.", "{} was started.", "{} prescribed.", "{} started.", "{she} received {}.",
    "Discharged on {}.", "Sent home with {}.", "Initiated {}.", "Advised to take {}.", "{} given.", "{} was given.", "{} was added.", "{}.", "Now on {}.", "Agreed to start {}.", "{} to be started.", "Given {} in clinic.", "Dose of {} given.", "Changed to {}.", "Switched to {}.", "{} ordered.", "{} advised.", "{she} was advised {}.", "{} was recommended.", "{} today.",
]
TAKES = [
    "Takes {}.", "{she} takes {}.", "On {}.", "Currently on {}.", "Current medication: {}.", "Medications: {}.", "Meds: {}.", "Regular medication: {}.", "Taking {}.", "{she} is taking {}.",
    "{she} is on {}.", "Already taking {}.", "Medication includes {}.", "Continues {}.", "Continue {}.", "Uses {}.", "Currently takes {}.", "Treated at home with {}.", "Maintained on {}.", "Has been taking {}.", "Receiving {}.", "{she} receives {}.", "{} helps.", "{} helps a little.", "{} at home.", "{she} uses {}.", "{} continued.", "To continue {}.", "Is on regular {}.", "Long-term {}.", "Usual medication {}.",
]
PROCEDURE = [
    "Underwent {}.", "Underwent {}.", "{she} underwent {}.", "{she} had {}.", "Had {}.", "{} was performed.", "{} performed.", "{} done.", "Status post {}.", "s/p {}.", "Previous {}.", "Post {}.",
    "Treated with {}.", "Recovering from {}.", "Admitted for {}.", "Taken for {}.", "After {}.", "{} was carried out.", "{} without complications.", "Uncomplicated {}.", "Past surgical history: {}.", "Has had {}.", "Hx of {}.", "Previous surgery: {}.", "Day 1 after {}.", "Day 3 post {}.", "History of {}.", "{}.", "Two days after {}.", "Following {}.", "{} in the past.", "{} planned and done.", "{} went well.", "First day after {}.", "{she} is recovering after {}.", "Treated by {}.", "{} was done.", "{} under local anaesthetic.", "Day 2 post {}.", "{} applied.", "{} given.", "{} was applied.", "{} was given.", "{} inserted.", "{} placed.", "{} and discharged.", "Managed with {}.", "Received {}.", "{she} received {}.", "{} fitted.", "{} arranged and done.",
]
FILLERS = [
    "Lives alone.", "Lives with {her} family.", "Non-smoker.", "Smokes 10 cigarettes a day.", "Ex-smoker.", "Works in an office.", "Follow-up in two weeks.", "Review in 3 days.", "Discussed with the patient.",
    "Return if worse.", "Advice given.", "Alert and oriented.", "Looks well.", "Will be seen again next week.", "Independent at home.", "No known allergies.", "Drinks alcohol socially.", "Safety-net advice given.", "Brought by {her} daughter.",
    "Rest and fluids advised.", "Appears comfortable.", "Consent obtained.", "To be reviewed tomorrow.", "Retired.", "Family informed.", "Notes reviewed.", "Plan discussed.", "Seen with a nurse.", "Happy with the plan.", "Seen in clinic.", "Day 2 on the ward.",
    "Tolerating diet.", "Slept well.", "Mobile with a frame.", "Referral sent.", "Advised to drink plenty of water.", "Return to work next week.", "Call back if no better.", "Comfortable overnight.", "Slipped on the stairs yesterday.", "Fell at home.", "Seen at home.", "Ate breakfast.", "Daughter at the bedside.", "Came by ambulance.", "No concerns from the family.", "Walks with a stick.",
    "Works night shifts.", "Just back from holiday.", "Worse than usual.", "Here with {her} mother.", "Usually well.", "Otherwise well.", "Wants a sick note.", "Feels better today.", "Good appetite.", "Family worried.", "Playing football when it happened.", "No recent travel.",
    "Settled night.", "Lifted a heavy box.", "Asks for advice.", "Not taking any other tablets.", "Keep an eye on it.", "Bloods tomorrow.", "To call if worse.", "Twisted it while running.", "Started after dinner.", "Improving slowly.",
]


SYMPTOM, ABSENT, DIAGNOSIS, HISTORY, STARTED, TAKES, PROCEDURE = (mine + more for mine, more in [
    (SYMPTOM, fr.SYMPTOM), (ABSENT, fr.ABSENT), (DIAGNOSIS, fr.DIAGNOSIS), (HISTORY, fr.HISTORY), (STARTED, fr.STARTED), (TAKES, fr.TAKES), (PROCEDURE, fr.PROCEDURE)])
HEDGES = {hedge: lex.HEDGES[hedge] + fr.HEDGES[hedge] for hedge in lex.HEDGES}
# Frames that suit some procedures alone.
OF_THINGS = re.compile(r"applied|fitted|inserted|placed|given|Received|received|Treated (with|by)|Managed")
THINGS = re.compile(r"cast|splint|dressing|bandage|sling|catheter|drain|line|stent|tube|pacemaker|fluids|transfusion|vaccination|booster|injection|oxygen|nebuliser|stitches|graft|IUD|block|epidural|therapy|exchange")


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
    if len(item.details) > 1 and re.match(r"\d|one |two |three |four |five |six |seven ", item.details[0]):
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
                       f"{an(name)} of {value}", f"{name} came back at {value}", f"{name} came back {value}", f"{name} up to {value}", f"{name} down to {value}", f"{name} now {value}", f"{name} = {value}", f"{name} - {value}", f"{name} result {value}",
                       f"{name} has risen to {value}", f"{name} reading {value}", f"{name} recorded as {value}", f"{name} {value} (checked twice)", f"{name} today {value}", f"latest {name} {value}", f"repeat {name} {value}"])


def said_test(rng, item):
    name = item.name() if not item.said else item.said
    if item.side:
        region = item.term.rsplit(" ", 1)[0]
        name = rng.choice([name, name, f"X-ray of the {item.side} {region}"])
    result = item.details[0]
    if item.verb == "showed" and rng.random() < 0.3:
        if name.endswith(("culture", "swab")) and not result.startswith("no "):
            return rng.choice([f"{name} grew {result}", f"{name} has grown {result}", f"{result} grown on {name}"])
        return rng.choice([f"{name} reported as {result}", f"{name} - {result}", f"{name}: {result}", f"{name} ({result})", f"{name} has shown {result}", f"{name} confirmed {result}", f"{name} today showed {result}", f"{result} seen on {name}" if not result.startswith(("left", "right")) else f"{name} shows {result}",
                           f"{name} today: {result}", f"{name} reveals {result}", f"{name} picked up {result}", f"{name} report: {result}", f"{name} done: {result}", f"{name} {result}"])
    if item.verb == "showed":
        return rng.choice([f"{name} showed {result}", f"{name} shows {result}", f"{name} revealed {result}", f"{name}: {result}", f"{name} demonstrated {result}", f"{name} with {result}",
                           f"{name} positive for {result}" if not result.startswith(("no ", "a ", "an ")) else f"{name} showing {result}", f"{result} on {name}" if not result.startswith(("left", "right")) else f"{name}: {result}", f"{name} found {result}"])
    be = item.verb
    return rng.choice([f"{name} reported as {result}", f"{name} reported {result}", f"{name} - {result}", f"{name} has come back {result}", f"{name} today {result}", f"{name} {be} reported as {result}", f"{name} ({result})", f"{name} again {result}",
                       f"{name} {be} {result}", f"{name} {'is' if be == 'was' else 'are'} {result}", f"{name}: {result}", f"{name} {result}", f"{result} {name}", f"{name} came back {result}"])


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
        return rng.choice(SYMPTOM).replace("{}", told(rng, [said_symptom(rng, item) for item in items]), 1)
    if kind == "absent":
        join = rng.choice([" or ", " or ", " and ", ", ", " nor "])
        texts = [clinical_name(rng, item) if item.kind == "diagnosis" else said_symptom(rng, item, absent=True) for item in items]
        if all(item.term in lex.CLAUSES for item in items) and rng.random() < 0.5:
            return "{she} " + listed(rng, [rng.choice(lex.CLAUSES[item.term])[1] for item in items], " and ") + "."
        if rng.random() < 0.15:
            return rng.choice([", ", " and ", ", "]).join(f"no {text}" for text in texts) + "."
        if len(items) == 1 and items[0].forms and rng.random() < 0.6:
            form = items[0].forms[0]
            if form.startswith(("tender", "swollen", "bruised")):
                return f"Not {form}."
            place, state = form.rsplit(" ", 1)
            return f"{place} not {state}."
        states = [[n for _, n in lex.CLAUSES.get(item.term, []) if n.startswith("is not ")] for item in items]
        if all(states) and rng.random() < 0.5:
            text = listed(rng, [rng.choice(n)[7:] for n in states], " or ")
            return rng.choice(["Not {}.", "Not {}.", "Not {}.", "Not at all {}.", "{she} was not {}.", "Isn't {}.", "Not feeling {}."]).replace("{}", text)
        if len(items) == 1 and items[0].term == "suicidal thoughts" and rng.random() < 0.5:
            return rng.choice(["Not suicidal.", "Denies being suicidal.", "Not currently suicidal."])
        return rng.choice(ABSENT).replace("{}", listed(rng, texts, join), 1)
    if kind in ("vital", "lab"):
        several = len(items) > 1
        if kind == "vital" and rng.random() < 0.15:
            value = said_value(rng, items[0], several) + " " + rng.choice(lex.CIRCUMSTANCES)
            return listed(rng, [value] + [said_value(rng, item, True) for item in items[1:]], ", ") + "."
        text = listed(rng, [said_value(rng, item, several) for item in items], rng.choice([", ", " and ", ", and "]) if several else None)
        frame = rng.choice(["{}.", "{}.", "{}.", "Vitals: {}.", "On examination {}.", "Obs: {}.", "Today {}.", "Measured {}.", "O/E: {}.", "With {}.", "On arrival {}."] + fr.VITAL if kind == "vital" else
                           ["{}.", "{}.", "{}.", "Labs: {}.", "Bloods: {}.", "Blood tests show {}.", "Lab results: {}.", "Laboratory: {}."] + fr.LAB)
        return re.sub(r"\b(latest|repeat|now|today|result) \1\b", r"\1", frame.replace("{}", text), flags=re.I)
    if kind == "test":
        return listed(rng, [said_test(rng, item) for item in items], rng.choice([" and ", ". ", "; "])) + "."
    if kind == "drug" and not group.new and len(items) == 1 and items[0].details and items[0].details[0][0].isdigit() and rng.random() < 0.2:
        return rng.choice(fr.DOSE_CHANGED).replace("{}", items[0].term, 1).replace("{}", " ".join(items[0].details), 1)
    if kind in ("stopped", "allergy", "planned"):
        frames = {"stopped": fr.STOPPED, "allergy": fr.ALLERGY, "planned": fr.PLANNED}[kind]
        return rng.choice(frames).replace("{}", core(rng, group), 1)
    if kind == "drug":
        frames = STARTED if group.new else TAKES
        return rng.choice(frames).replace("{}", listed(rng, [with_course(item, rng) for item in items]), 1)
    if kind == "procedure":
        def said(item):
            name = item.name()
            if not item.forms and rng.random() < 0.3 and not name.startswith(("a ", "an ")):
                name = an(name)
            return " ".join([name, *item.details])
        if len(items) == 1 and items[0].forms and rng.random() < 0.7:
            return " ".join([rng.choice(items[0].forms), *items[0].details]) + "."
        while True:
            frame = rng.choice(PROCEDURE)
            if (not OF_THINGS.search(frame) or all(THINGS.search(item.term) for item in items)) and not (any(item.details for item in items) and re.search(r"today|yesterday|overnight|morning|\bN\b|[Dd]ay|in the past", frame)):
                break
        n = rng.randint(1, 14)
        if re.search(r"\bN\b", frame):
            frame = re.sub(r"\bN\b", count(rng, n), frame)
            frame = re.sub(r"^(1|one) (day|week|month|hour)s", r"\1 \2", frame)
        return frame.replace("{}", listed(rng, [said(item) for item in items]), 1)
    frames = HEDGES.get(group.hedge, DIAGNOSIS) if kind == "diagnosis" else HISTORY
    def named(item):
        name = item.said or item.term
        if item.side:
            name = rng.choice([f"{item.side} {name}", f"{item.side} {name}", f"{item.side}-sided {name}", f"a {item.side} {name}"])
        if item.details:
            n = item.details[0][4:]
            if item.details[0].startswith("for ") and SIMPLE_SPAN.fullmatch(n) and len(items) == 1 and rng.random() < 0.4:
                return f"HISTORY {hyphened(n)} history of {name}"
            return rng.choice([f"{name} {item.details[0]}", f"{name} {item.details[0]}", f"{name} ({item.details[0]})"])
        return name
    if any(item.details for item in items):
        texts = [named(item) for item in items]
        if texts[0].startswith("HISTORY "):
            text = texts[0][8:]
            return rng.choice(["{}.", an(text).split(" ")[0] + " {}.", "{who} with {}.", "{she} has " + an(text).split(" ")[0] + " {}.", "{who}, {}."]).replace("{}", text)
        frames = [f for f in frames if f.endswith("{}.") and "revious" not in f]
        return rng.choice(frames).replace("{}", listed(rng, texts), 1)
    return rng.choice(frames).replace("{}", listed(rng, [named(item) for item in items]), 1)


def core(rng, group):
    """The items as a list, without a frame."""
    if group.kind == "symptom":
        return told(rng, [said_symptom(rng, item) for item in group.items])
    if group.kind == "drug":
        return listed(rng, [with_course(item, rng) for item in group.items])
    if group.kind == "absent":
        return listed(rng, [clinical_name(rng, item) if item.kind == "diagnosis" else said_symptom(rng, item, absent=True) for item in group.items], rng.choice([" or ", " and "]))
    if group.kind in ("stopped", "allergy"):
        return listed(rng, [" ".join([item.term, *item.details]) for item in group.items], " or " if group.kind == "allergy" and rng.random() < 0.1 else " and ")
    return f"{group.hedge} " * bool(group.hedge) + listed(rng, [clinical_name(rng, item) for item in group.items])


PAIRS = {
    ("symptom", "old"): ["{} despite {}.", "{}, takes {}.", "Has {} despite taking {}.", "{} while on {}.", "{} not relieved by {}."],
    ("symptom", "new"): ["{}, given {}.", "{}; {} prescribed.", "{}: {}.", "{}, started on {}.", "{}, treated with {}.", "For {} {she} was given {}."],
    ("history", "old"): ["{} on {}.", "Known {} on {}.", "{}, takes {}.", "{} treated with {}.", "{}, on {}."],
    ("diagnosis", "new"): ["{}, started on {}.", "{}; {} prescribed.", "{}, given {}.", "{}: {}.", "{} was diagnosed and {} started.", "{}, treated with {}.", "{}. {}."],
    ("symptom", "absent"): ["{} without {}.", "{} but no {}.", "{}, no {}.", "Has {}, denies {}.", "{} with no {}.", "Reports {} but not {}."],
    ("history", "symptom"): ["Patient with {}, now has {}.", "Known {}, presents with {}.", "{}, now with {}.", "With a history of {}, reports {}.", "{}, now {}.", "Patient with {} complaining of {}."],
    ("diagnosis", "symptom"): ["{} with {}.", "{}: {}.", "{} again: {}.", "{} with ongoing {}."],
    ("symptom", "diagnosis"): ["{} due to {}.", "{}, {}.", "{}, diagnosed with {}.", "{} from {}.", "{}: {}.", "{} caused by {}."],
    ("procedure", "symptom"): ["After {} reports {}.", "{}, now {}.", "Since {} {she} has {}."],
    ("absent", "new"): ["No {}; {} prescribed.", "No {}. {} given."],
    ("diagnosis", "absent"): ["{} without {}.", "{}, no {}.", "{} with no {}."],
    ("symptom", "old"): ["{} despite {}.", "{}, takes {}.", "{}, taking {} with some relief.", "{} in spite of {}.", "{}, no better with {}.", "{}, uses {}."],
    ("procedure", "new"): ["After {} given {}.", "{}; {} started."],
    ("procedure", "old"): ["{}, takes {}.", "{}. Takes {}."],
    ("history", "absent"): ["{}, no {}.", "Known {} without {}."],
}


for key, more in fr.PAIRS.items():
    PAIRS[key] = PAIRS.get(key, []) + more


def said_pair(rng, one, two):
    """Two groups in one sentence, or nothing."""
    kind = lambda g: ("new" if g.new else "old") if g.kind == "drug" else g.kind
    frames = PAIRS.get((kind(one), kind(two)))
    if not frames:
        return None
    if "symptom" in (one.kind, two.kind) and any(i.forms for g in (one, two) for i in g.items):
        return None
    frame = rng.choice(frames)
    return frame.replace("{}", core(rng, one), 1).replace("{}", core(rng, two), 1)


def upper_first(text):
    """A capital at the start, but for words such as eGFR."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def aside(rng, wide):
    """Words that belong to no finding."""
    if not wide or rng.random() < 0.65:
        return rng.choice(fr.ASIDES)
    words = {"N": "nouns", "A": "adjectives", "V": "verbs"}
    text = rng.choice(fr.ODD_ASIDES)
    text = re.sub(r"\bNs\b", lambda _: plural(rng.choice(REAL["nouns"])), text)
    text = re.sub(r"\b[NAV]\b", lambda m: rng.choice(REAL[words[m.group()]]), text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def note(rng, groups, fillers=True, wide=False):
    """A note of the case: its sentences in order, in varied wording."""
    she, her = rng.choice([("She", "her"), ("He", "his"), ("Patient", "the"), ("The patient", "the"), ("Pt", "the")])
    who = opener_who(rng)
    sentences, opened = [], False
    at = 0
    while at < len(groups):
        group = groups[at]
        pair = said_pair(rng, group, groups[at + 1]) if at + 1 < len(groups) and rng.random() < (0.6 if group.kind == "stopped" else 0.3) else None
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
                small = following if len(first) > 1 and not first[1:2].islower() or any(ch.isdigit() for ch in first) else following[:1].lower() + following[1:]
                small = small.replace("{she}", she.lower())
                glue = rng.choice([", ", "; ", " and ", " but " if groups[at + 1].kind == "absent" else ", ", " with " if groups[at + 1].kind in ("vital", "lab", "absent") else ", "])
                if group.kind == "absent":   # not a list of what is absent
                    glue = "; "
                if glue == " with " and not small.startswith("no "):
                    glue = ", "
                text = text.rstrip(".") + glue + small
                at += 1
        if text.startswith("{she}"):
            text = she + text[5:]
        text = text.replace("{she}", she.lower()).replace("{her}", her)
        sentences.append(upper_first(text) if rng.random() < 0.97 else text)
        at += 1
        if fillers and rng.random() < 0.10 and sentences[-1].endswith("."):   # words that belong to no finding
            sentences[-1] = sentences[-1][:-1] + rng.choice([", which worries {her} family", ", worse at night", " while playing football", ", no change since", ", seen by the nurse", " with some relief", ", as before", " most days",
                ", which is new", " after gardening", ", improving", " at work", " during the ward round", ", partly relieved by rest", ", slowly getting worse", ", better today", " on and off", " again"]).replace("{her}", her) + "."
        elif fillers and rng.random() < 0.10 and sentences[-1].endswith(".") and groups[at - 1].kind in ("symptom", "diagnosis", "procedure", "history"):
            sentences[-1] = sentences[-1][:-1] + rng.choice([", ", ", ", " - ", "; "]) + aside(rng, wide).replace("{her}", her) + "."
        if fillers and rng.random() < 0.12:
            sentences.insert(rng.choice([0, len(sentences), len(sentences)]), upper_first(aside(rng, wide).replace("{her}", her)) + ".")
        if fillers and rng.random() < 0.10:
            sentences.insert(rng.choice([0, len(sentences), len(sentences)]), rng.choice(FILLERS).replace("{her}", her))
    if rng.random() < 0.05:
        sentences = [s.rstrip(".") for s in sentences]
        return rng.choice(["\n", "; "] if any(g.kind == "absent" for g in groups) else ["\n", "; ", ", "]).join(sentences)
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
    return " ".join([with_quality(item.quality, item.name()), *item.details])


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
    if group.hedge:
        return f"{upper_first(group.hedge)} {joined([full(i) for i in items])}."
    frame = {"stopped": "Stopped {}.", "allergy": "Allergic to {}.", "planned": "Listed for {}.", "diagnosis": "Diagnosed with {}.", "history": "History of {}.", "procedure": "Underwent {}.",
             "drug": "Started on {}." if group.new else "Takes {}."}[kind]
    return frame.replace("{}", joined([full(i) for i in items]))


def summary(groups):
    """The factual summary: what the note says, in its order, without circumstances."""
    return " ".join(summary_sentence(group) for group in groups)


# ---- wrong summaries ----------------------------------------------------------------------------

def copied(groups):
    return [replace(g, items=[replace(i, details=list(i.details)) for i in g.items]) for g in groups]


def other_number(rng, text):
    numbers = list(re.finditer(r"(?<![\w^.])\d+(?:\.\d+)?", text))
    if not numbers:
        return text
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
