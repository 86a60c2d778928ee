"""Picks words.txt from SCOWL by rule.

    apt-get download scowl && dpkg-deb -x scowl_*.deb scowl
    python pick_words.py scowl/usr/share/dict/scowl words.txt

SCOWL (Debian package scowl) is Copyright 2000-2011 Kevin Atkinson: "Permission to use, copy, modify, distribute and
sell these word lists ... is hereby granted without fee, provided that the above copyright notice appears in all copies".
"""
import pathlib
import random
import re
import sys

RUDE = re.compile(r"nigg|fuck|shit|cunt|slut|whore|rape|porn|nazi|bitch|bastard|fag|queer|sexy|kill|murder|slav|terror|negro|jew|christ|devil|damn|hell$|gay|god$|muslim|islam|hitler|bomb|gun$|masturb|incest|philia|necromanc|hypertex|virgin|sodom|bestial")
FRAME = set("""have does done been were will would could should shall might must with without this that these those what which when where there here very just than then them they their
your about after again against before below between both down each from further into more most once only other over same some such through under until while also ever every never always nor not
since though although because unless upon whether yours hers ours mine itself himself herself themselves myself yourself during despite left right bilateral denies deny patient note history
start starts started stop stopped take takes taken give given known normal absent present positive negative possible probable likely suspect doctor nurse day week month year hour minute second
increase reduce switch change continue now today yesterday tomorrow morning evening night many much several both either neither none nothing anything something everything someone anyone everyone
nobody except within toward towards beside besides beyond among amid onto unto whom whose else even still already perhaps maybe like unlike near worse better best worst less least""".split())
ROOTS = ("derm gastr cardi nephr hepat arthr oste myel neur otit rhin bronch pneum cyst colit enter lapar mast splen thyr prostat vascul angi phleb blephar kerat gloss gingiv laryng pharyn trache "
         "esoph oesoph duoden append chole pancrea aden lymph haem hemat leuk spondyl chondr tend burs fasci cortic steroid cillin mycin azole statin pril sartan olol dipine caine cerebr crani "
         "encephal mening ophthalm retin cornea cervic uter ovari vagin uret pyel hydro hypo hyper tachy brady dys glyc lipid thromb embol isch infarct necro fibro carcin sarco melan lip"
         ).split()
ENDS = re.compile(r"(itis|osis|osis|ectomy|oscopy|oma|emia|aemia|uria|opathy|plasty|otomy|ostomy|graphy|rrhea|rrhoea|rrhage|olysis|spasm|megaly|algia|plegia|paresis|phagia|phasia|pnea|pnoea|penia|cyte|trophy|phobia|"
                  r"cillin|mycin|azole|statin|pril|olol|caine|zepam|barbital|oxacin|cycline|sone|ectasis|stenosis|sclerosis|plasia|lysis|meter|gram|logist|iasis|pathy|toxin|globin|gen|ase|cele|edema|oedema|cardia|therm|thermia)$")


def read(folder, names):
    return [w for name in names for w in (folder / name).read_text("latin-1").split()]


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    common = read(folder, [f"{lang}-words.{size}" for size in (10, 20, 35) for lang in ("english", "british", "american")])
    all35 = set(common)
    rank = {w: i for i, w in enumerate(read(folder, ["english-words.10", "english-words.20", "british-words.10", "american-words.10", "british-words.20", "american-words.20"]) )}
    possessive = {w[:-2] for w in all35 if w.endswith("'s")}
    ok = lambda w: re.fullmatch(r"[a-z]{4,11}", w) and w not in FRAME and not RUDE.search(w)
    rng = random.Random(6)
    base = [w for w in dict.fromkeys(rank) if ok(w)]
    plain = lambda w: not w.endswith(("ing", "ness")) and not (w.endswith("s") and not w.endswith("ss")) and not w.endswith(("ed", "ly"))
    nouns = [w for w in base if plain(w) and w in possessive and (w + "s" in all35 or w[:-1] + "ies" in all35 or w + "es" in all35)]
    stem = lambda w: w[:-1] if w.endswith("e") else w
    verbs = [w for w in base if plain(w) and w not in nouns and (stem(w) + "ing" in all35 or w + w[-1] + "ing" in all35) and len(w) <= 9]
    adjectives = [w for w in base if plain(w) and w not in nouns and w not in verbs and
                  (w + "ly" in all35 or w[:-1] + "y" in all35 and w.endswith("e") or w[:-1] + "ily" in all35 or w + "ness" in all35 or re.search(r"(ous|ful|less|able|ive|ic|al|ish|y)$", w))]
    print(len(nouns), len(verbs), len(adjectives))
    nouns = sorted(rng.sample(nouns, min(1600, len(nouns))))
    verbs = sorted(rng.sample(verbs, min(350, len(verbs))))
    adjectives = sorted(rng.sample(adjectives, min(650, len(adjectives))))
    langs = ("english", "british", "american")
    small = [w for w in dict.fromkeys(read(folder, [f"{l}-words.{s}" for s in (40, 50, 55, 60, 70, 80) for l in langs if (folder / f"{l}-words.{s}").exists()]))]
    medical = [w for w in small if re.fullmatch(r"[a-z]{5,15}", w) and ENDS.search(w) and not RUDE.search(w) and (any(r in w for r in ROOTS) or re.search(r"(itis|ectomy|aemia|emia|uria|algia|plegia|pnea|pnoea|rrhea|rrhoea|megaly|penia|oscopy|plasty|cillin|mycin|zepam|caine|olol|oxacin|cycline|oma|phagia|phasia)$", w))
               and w not in {"academia", "bohemia", "aroma", "hypertext", "computerphobia", "hydroplane", "diploma", "sonoma", "nostalgia", "program", "oxygen", "hydrogen", "nitrogen", "cocaine"}]
    medical += [w for w in read(folder, [f"english-words.{s}" for s in (35, 40, 50, 55, 60, 70, 80)]) if re.fullmatch(r"[a-z]{5,14}", w) and any(w.startswith(r) for r in ROOTS if len(r) > 4) and not w.endswith(("s", "ly", "ness", "ed", "ing")) and w not in medical]
    print(len(medical))
    medical = sorted(rng.sample(sorted(set(medical)), min(1500, len(set(medical)))))
    head = ("# Picked by pick_words.py from SCOWL (Debian package scowl), http://wordlist.sourceforge.net, Copyright 2000-2011 by Kevin Atkinson.\n"
            "# Permission to use, copy, modify, distribute and sell these word lists, the associated scripts, the output created from the\n"
            "# scripts, and its documentation for any purpose is hereby granted without fee, provided that the above copyright notice appears\n"
            "# in all copies and that both that copyright notice and this permission notice appear in supporting documentation. Kevin Atkinson\n"
            "# makes no representations about the suitability of this array for any purpose. It is provided \"as is\" without express or implied\n"
            "# warranty. (Sizes 10-20 for the plain words, by frequency; up to 80 for the medical ones, by root and ending.)\n")
    out.write_text(head + "".join(f"{name}: {' '.join(w)}\n" for name, w in [("nouns", nouns), ("verbs", verbs), ("adjectives", adjectives), ("medical", medical)]))


main()
