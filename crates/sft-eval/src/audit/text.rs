//! Clinical text as words: abbreviations written out, British spelling as American.

use super::spoken;
use crate::findings::frame::FRAME;
use crate::findings::tokens::{Kind, Token, tokens};

/// The words of a text; every one has the bytes of the text that it was read from.
pub(crate) fn read(text: &str) -> Vec<Token> {
    let mut words = spoken::numbers(expand(text, joined(text, tokens(text))));
    for word in &mut words {
        word.stem = fold(&word.stem);
    }
    words
}

/// The words of a name, as they are compared.
pub(crate) fn words(name: &str) -> Vec<String> {
    read(name).into_iter().filter(Token::has_content).map(|token| token.stem).collect()
}

/// Is a token written in capitals?
pub(crate) fn in_capitals(text: &str, token: &Token) -> bool {
    !text[token.span.clone()].contains(char::is_lowercase)
}

/// `C T scan` and `M R I`, as speech is written down: one word.
fn joined(text: &str, tokens: Vec<Token>) -> Vec<Token> {
    let is_letter = |token: &Token| {
        token.span.len() == 1 && text.as_bytes()[token.span.start].is_ascii_uppercase()
    };
    let mut joined: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut open = false;
    for token in tokens {
        let letter = is_letter(&token);
        if let Some(last) = joined.last_mut().filter(|_| letter && open)
            && text.get(last.span.end..token.span.start) == Some(" ")
        {
            last.text.push_str(&token.text);
            if last.text == "pt" {
                "physiotherapy".clone_into(&mut last.text); // spoken letter by letter
            }
            last.stem = last.text.clone();
            last.span.end = token.span.end;
            continue;
        }
        open = letter;
        joined.push(token);
    }
    joined
}

/// Abbreviations of several words with a slash.
const SLASHED: [(&[&str], &[&str]); 14] = [
    (&["n", "/", "v", "/", "d"], &["nausea", "vomiting", "diarrhea"]),
    (&["n", "/", "v"], &["nausea", "vomiting"]),
    (&["w", "/", "o"], &["without"]),
    (&["s", "/", "p"], &["status", "post"]),
    (&["c", "/", "o"], &["complains", "of"]),
    (&["h", "/", "o"], &["history", "of"]),
    (&["r", "/", "o"], &["rule", "out"]),
    (&["b", "/", "l"], &["bilateral"]),
    (&["y", "/", "o"], &["year", "old"]),
    (&["f", "/", "u"], &["follow", "up"]),
    (&["p", "/", "w"], &["presents", "with"]),
    (&["a", "/", "w"], &["associated", "with"]),
    (&["d", "/", "t"], &["due", "to"]),
    (&["w", "/"], &["with"]),
];

fn abbreviation(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "neg" => &["negative"],
        "rt" => &["right"],
        "lt" => &["left"],
        "bilat" => &["bilateral"],
        "yo" | "yof" | "yom" => &["year", "old"],
        "qhs" | "hs" => &["at", "bedtime"],
        "qam" => &["every", "morning"],
        "qpm" => &["every", "evening"],
        "qod" => &["every", "other", "day"],
        "hx" => &["history"],
        "pt" => &["patient"],
        "everyday" => &["every", "day"],
        "afebrile" | "apyrexial" => &["no", "fever"],
        "nontender" => &["no", "tenderness"],
        "nonsmoker" => &["no", "smoking"],
        "asymptomatic" => &["no", "symptoms"],
        "rle" => &["right", "lower", "extremity"],
        "lle" => &["left", "lower", "extremity"],
        "rue" => &["right", "upper", "extremity"],
        "lue" => &["left", "upper", "extremity"],
        "ruq" => &["right", "upper", "quadrant"],
        "luq" => &["left", "upper", "quadrant"],
        "rlq" => &["right", "lower", "quadrant"],
        "llq" => &["left", "lower", "quadrant"],
        _ => return None,
    })
}

fn expand(text: &str, tokens: Vec<Token>) -> Vec<Token> {
    let mut words: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let slashed = SLASHED.iter().find(|(short, _)| {
            let here = tokens.get(at..at + short.len());
            let touches = |t: &[Token]| t.array_windows().all(|[a, b]| a.span.end == b.span.start);
            here.is_some_and(|t| {
                touches(t) && t.iter().map(|t| t.text.as_str()).eq(short.iter().copied())
            })
        });
        let (long, length): (&[&str], usize) = match slashed {
            Some((short, long)) => (long, short.len()),
            None if is_side(text, &tokens, at) => {
                (if tokens[at].text == "l" { &["left"] } else { &["right"] }, 1)
            }
            None if is_age(&tokens, at) => (&["year", "old"], 1),
            None if is_fever(&tokens, at) => (&["fever"], 1),
            None => (
                tokens[at]
                    .is_word()
                    .then(|| abbreviation(&tokens[at].text))
                    .flatten()
                    .unwrap_or(&[]),
                1,
            ),
        };
        if long.is_empty() {
            words.push(tokens[at].clone());
        }
        let span = tokens[at].span.start..tokens[at + length - 1].span.end;
        words.extend(long.iter().map(|word| Token {
            kind: Kind::Word,
            text: (*word).to_owned(),
            stem: (*word).to_owned(),
            span: span.clone(),
        }));
        at += length;
    }
    words
}

/// `34F with ...`, `A 67M ...`: whole years at the beginning, and no degrees.
fn is_age(tokens: &[Token], at: usize) -> bool {
    let Some(number) = at.checked_sub(1).map(|i| &tokens[i]) else { return false };
    let years = matches!(number.kind, Kind::Number(n) if n.fract() == 0.0 && n < 120.0);
    let touches = number.span.end == tokens[at].span.start;
    let first = at < 2 || !tokens[at - 2].has_content() || tokens[at - 2].is(&["a", "an", "this"]);
    tokens[at].is(&["f", "m"]) && years && touches && first
}

/// `no temperature`, `running a temperature`
fn is_fever(tokens: &[Token], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|i| &tokens[i]);
    let runs =
        before(2).is_some_and(|t| t.is(&["had", "has", "have", "running", "ran", "with", "got"]));
    let lead = before(1).is_some_and(|t| t.is(&["no", "without", "or"]) || t.is(&["a"]) && runs);
    let after =
        tokens.get(at + 1).is_none_or(|t| !t.is(&["of", "is", "was", "at", "change", "changes"]));
    tokens[at].is(&["temperature"]) && lead && after
}

/// `L knee`, `R sided`, `on the R`: a capital before a word in small letters, and no litres.
fn is_side(text: &str, tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    let before = at.checked_sub(1).map(|i| &tokens[i]);
    let number = before.is_some_and(|t| matches!(t.kind, Kind::Number(_)) || t.text == "/");
    let next = tokens.get(at + 1).filter(|next| {
        let gap = text.get(token.span.end..next.span.start);
        let small = text[next.span.clone()].starts_with(char::is_lowercase);
        next.is_word()
            && small
            && matches!(gap, Some(" " | "-"))
            && next.text.len() > 2
            && (!FRAME.contains(&next.stem.as_str()) || next.is(&["side", "sided"]))
    });
    let on_the = before.is_some_and(|t| t.is(&["the"]))
        && next.is_none()
        && tokens.get(at + 1).is_none_or(|t| !t.has_content());
    token.is(&["l", "r"]) && in_capitals(text, token) && !number && (next.is_some() || on_the)
}

/// American spelling.
fn fold(word: &str) -> String {
    const SPELLINGS: [(&str, &str); 14] = [
        ("haem", "hem"),
        ("aemia", "emia"),
        ("aemic", "emic"),
        ("oedema", "edema"),
        ("oesoph", "esoph"),
        ("rrhoea", "rrhea"),
        ("pnoea", "pnea"),
        ("aesthe", "esthe"),
        ("paed", "ped"),
        ("tumour", "tumor"),
        ("orthopaedic", "orthopedic"),
        ("coeliac", "celiac"),
        ("caesar", "cesar"),
        ("leukaem", "leukem"),
    ];
    let mut word = word.to_owned();
    for (british, american) in SPELLINGS {
        if word.contains(british) {
            word = word.replace(british, american);
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        read(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn abbreviations_are_written_out() {
        assert_eq!(texts("c/o SOB w/o fever"), ["complains", "of", "sob", "without", "fever"]);
        assert_eq!(texts("L knee, R-sided"), ["left", "knee", ",", "right", "sided"]);
        assert_eq!(texts("34F p/w fever"), ["34", "year", "old", "presents", "with", "fever"]);
        assert_eq!(texts("Temp 101F"), ["temp", "101", "f"]);
        assert_eq!(texts("2 L of saline"), ["2", "l", "of", "saline"]);
        assert_eq!(texts("C T scan and M R I."), ["ct", "scan", "and", "mri", "."]);
        assert_eq!(words("haemoptysis"), words("hemoptysis"));
    }

    #[test]
    fn a_written_out_word_keeps_its_bytes() {
        let text = "pain RUQ";
        let words = read(text);
        assert_eq!(words.len(), 4);
        assert!(words[1..].iter().all(|word| &text[word.span.clone()] == "RUQ"));
    }
}
