//! Porter's stemmer with the extensions of NLTK, which is what `rouge-score` uses.
//!
//! Source: Porter (1980), "An algorithm for suffix stripping", with the changes that the
//! documentation of NLTK's `PorterStemmer` lists for its mode `NLTK_EXTENSIONS`. The Snowball
//! stemmers ("English") are another algorithm and give other stems.

/// The stem of a word of `a-z` and `0-9`.
pub(crate) fn porter(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let steps = [plural, past, final_y, long_suffix, third, fourth, final_e, final_l];
    steps.iter().fold(word.to_owned(), |word, step| step(&word))
}

const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

fn is_consonant(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => at == 0 || !is_consonant(word, at - 1),
        _ => true,
    }
}

/// How often a vowel is followed by a consonant.
fn measure(word: &str) -> usize {
    let word = word.as_bytes();
    (1..word.len()).filter(|&at| is_consonant(word, at) && !is_consonant(word, at - 1)).count()
}

fn has_vowel(word: &str) -> bool {
    (0..word.len()).any(|at| !is_consonant(word.as_bytes(), at))
}

fn ends_double(word: &str) -> bool {
    let bytes = word.as_bytes();
    let n = bytes.len();
    n >= 2 && bytes[n - 1] == bytes[n - 2] && is_consonant(bytes, n - 1)
}

/// Consonant, vowel, consonant but w, x, y; or a word of a vowel and a consonant.
fn ends_short(word: &str) -> bool {
    let bytes = word.as_bytes();
    let n = bytes.len();
    let three = n >= 3
        && is_consonant(bytes, n - 3)
        && !is_consonant(bytes, n - 2)
        && is_consonant(bytes, n - 1)
        && !matches!(bytes[n - 1], b'w' | b'x' | b'y');
    three || n == 2 && !is_consonant(bytes, 0) && is_consonant(bytes, 1)
}

type Rule = (&'static str, &'static str);

/// The first suffix that the word has decides: replaced if what is before it fulfils the condition.
fn replace(word: &str, rules: &[Rule], condition: impl Fn(&str) -> bool) -> String {
    for (suffix, replacement) in rules {
        if let Some(stem) = word.strip_suffix(suffix) {
            return if condition(stem) { format!("{stem}{replacement}") } else { word.to_owned() };
        }
    }
    word.to_owned()
}

/// Step 1a.
fn plural(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() == 1) {
        return format!("{stem}ie");
    }
    replace(word, &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")], |_| true)
}

/// Step 1b.
fn past(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if stem.len() == 1 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word.to_owned() };
    }
    let stripped =
        ["ed", "ing"].iter().find_map(|end| word.strip_suffix(end).filter(|s| has_vowel(s)));
    let Some(stem) = stripped else { return word.to_owned() };
    for (suffix, replacement) in [("at", "ate"), ("bl", "ble"), ("iz", "ize")] {
        if let Some(start) = stem.strip_suffix(suffix) {
            return format!("{start}{replacement}");
        }
    }
    if ends_double(stem) {
        let keep = stem.ends_with(['l', 's', 'z']);
        return stem[..stem.len() - usize::from(!keep)].to_owned();
    }
    let short = measure(stem) == 1 && ends_short(stem);
    format!("{stem}{}", if short { "e" } else { "" })
}

/// Step 1c.
fn final_y(word: &str) -> String {
    replace(word, &[("y", "i")], |stem| {
        stem.len() > 1 && is_consonant(stem.as_bytes(), stem.len() - 1)
    })
}

/// Suffixes of step 2.
const LONG: [Rule; 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Step 2.
fn long_suffix(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        return long_suffix(&format!("{stem}al"));
    }
    let logy = !LONG.iter().any(|(suffix, _)| word.ends_with(suffix)) && word.ends_with("logi");
    if logy {
        // the `l` counts to what has to be long enough
        let stem = &word[..word.len() - 3];
        return if measure(stem) > 0 { format!("{stem}og") } else { word.to_owned() };
    }
    replace(word, &LONG, |stem| measure(stem) > 0)
}

/// Step 3.
fn third(word: &str) -> String {
    const RULES: [Rule; 7] = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    replace(word, &RULES, |stem| measure(stem) > 0)
}

/// Step 4.
fn fourth(word: &str) -> String {
    const RULES: [&str; 19] = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ];
    let Some((suffix, stem)) =
        RULES.iter().find_map(|suffix| word.strip_suffix(suffix).map(|stem| (*suffix, stem)))
    else {
        return word.to_owned();
    };
    let goes = measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't']));
    if goes { stem.to_owned() } else { word.to_owned() }
}

/// Step 5a.
fn final_e(word: &str) -> String {
    replace(word, &[("e", "")], |stem| measure(stem) > 1 || measure(stem) == 1 && !ends_short(stem))
}

/// Step 5b.
fn final_l(word: &str) -> String {
    let ends = word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1;
    word[..word.len() - usize::from(ends)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::porter;

    #[test]
    fn words_of_the_paper_and_of_the_extensions() {
        for (word, stem) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("ties", "tie"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("bled", "bled"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("enjoy", "enjoy"),
            ("relational", "relat"),
            ("radically", "radic"),
            ("etiology", "etiolog"),
            ("adjustment", "adjust"),
            ("adoption", "adopt"),
            ("probate", "probat"),
            ("controlling", "control"),
            ("dying", "die"),
            ("spied", "spi"),
        ] {
            assert_eq!(porter(word), stem, "{word}");
        }
    }
}
