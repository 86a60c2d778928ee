//! Text as words, numbers and the punctuation that carries meaning.

use super::Side;
use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Word,
    Number(f64),
    /// `150/90`
    Ratio(f64, f64),
    /// A comma, a dash between words.
    Comma,
    Colon,
    /// The end of a clause: `;`.
    Semicolon,
    /// A hyphen between two numbers.
    Dash,
    /// The end of a sentence.
    Stop,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Lower case.
    pub(crate) text: String,
    /// Lower case, without a plural -s.
    pub(crate) stem: String,
    /// Bytes in the text.
    pub(crate) span: Range<usize>,
}

impl Token {
    pub(crate) fn is(&self, words: &[&str]) -> bool {
        self.kind == Kind::Word && words.contains(&self.text.as_str())
    }

    pub(crate) fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }

    /// A word, a number or a ratio.
    pub(crate) fn has_content(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Number(_) | Kind::Ratio(..))
    }

    pub(crate) fn side(&self) -> Option<Side> {
        match self.text.as_str() {
            "left" => Some(Side::Left),
            "right" => Some(Side::Right),
            "bilateral" | "bilaterally" => Some(Side::Bilateral),
            _ => None,
        }
    }
}

/// The stems of a term or an alias, without its side.
pub(crate) fn name(text: &str) -> Vec<String> {
    let content = tokens(text).into_iter().filter(|t| t.has_content() && t.side().is_none());
    content.map(|t| t.stem).collect()
}

/// Splits a text.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { text, at: 0, tokens: Vec::new() };
    while let Some(c) = scanner.peek(0) {
        scanner.next(c);
    }
    scanner.tokens
}

const ABBREVIATIONS: [&str; 7] = ["dr", "mr", "mrs", "ms", "vs", "approx", "st"];

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn peek(&self, skip: usize) -> Option<char> {
        self.text[self.at..].chars().nth(skip)
    }

    fn before(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    /// How many bytes from here on satisfy `wanted`.
    fn run(&self, from: usize, wanted: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[from..];
        rest.find(|c| !wanted(c)).unwrap_or(rest.len())
    }

    fn push(&mut self, kind: Kind, text: &str, span: Range<usize>) {
        let text = text.to_lowercase();
        let stem = if kind == Kind::Word { stem(&text) } else { text.clone() };
        self.tokens.push(Token { kind, text, stem, span });
    }

    fn mark(&mut self, kind: Kind, c: char) {
        self.push(kind, &c.to_string(), self.at..self.at + c.len_utf8());
        self.at += c.len_utf8();
    }

    fn next(&mut self, c: char) {
        let (before, after) = (self.before(), self.peek(1));
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        match c {
            '°' | 'º' | '˚' => self.mark_word("°", c),
            '℃' => self.mark_word("c", c),
            '%' => self.mark_word("%", c),
            '/' => self.mark_word("/", c),
            '<' | '>' | '≤' | '≥' if self.bounds() => self.mark_word(&c.to_string(), c),
            '0'..='9' => self.number(),
            '.' if is_digit(after) && !before.is_some_and(char::is_alphanumeric) => self.number(),
            _ if c.is_alphabetic() => self.word(),
            ':' => self.mark(Kind::Colon, c),
            ';' => self.mark(Kind::Semicolon, c),
            '-' | '–' | '—' if is_digit(before) && is_digit(after) => self.mark(Kind::Dash, c),
            ',' | '—' => self.mark(Kind::Comma, c),
            '-' | '–' if before == Some(' ') && after == Some(' ') => self.mark(Kind::Comma, c),
            // an initial (`b.i.d.`) or an abbreviation is no end of a sentence
            '.' if is_letter(before) && is_letter(after) => self.at += 1,
            '.' if self.tokens.last().is_some_and(|t| t.is(&ABBREVIATIONS)) => self.at += 1,
            '.' | '!' | '?' | '\n' => {
                if self.tokens.last().is_some_and(|token| token.kind != Kind::Stop) {
                    self.mark(Kind::Stop, c);
                } else {
                    self.at += 1;
                }
            }
            _ => self.at += c.len_utf8(),
        }
    }

    /// Does a number follow a sign like `<`?
    fn bounds(&self) -> bool {
        let rest = self.text[self.at..].trim_start_matches(['<', '>', '≤', '≥', '=', ' ', '.']);
        rest.starts_with(|c: char| c.is_ascii_digit())
    }

    fn mark_word(&mut self, text: &str, c: char) {
        self.push(Kind::Word, text, self.at..self.at + c.len_utf8());
        self.at += c.len_utf8();
    }

    fn number(&mut self) {
        let start = self.at;
        let first = self.decimal();
        let slash = self.text[self.at..].starts_with('/')
            && self.peek(1).is_some_and(|c| c.is_ascii_digit());
        if slash {
            self.at += 1;
            let second = self.decimal();
            let text = self.text[start..self.at].to_owned();
            return self.push(Kind::Ratio(first, second), &text, start..self.at);
        }
        let letters = self.run(self.at, char::is_alphabetic);
        let ordinal = matches!(&self.text[self.at..self.at + letters], "st" | "nd" | "rd" | "th");
        if ordinal {
            self.at += letters;
        }
        let text = self.text[start..self.at].to_owned();
        let kind = if ordinal { Kind::Word } else { Kind::Number(first) };
        self.push(kind, &text, start..self.at);
    }

    /// Digits with commas between thousands and a decimal point.
    fn decimal(&mut self) -> f64 {
        let mut digits = String::new();
        loop {
            let run = self.run(self.at, |c| c.is_ascii_digit());
            digits.push_str(&self.text[self.at..self.at + run]);
            self.at += run;
            let mark = self.peek(0).filter(|c| matches!(c, '.' | ','));
            let next = mark.map_or(0, |_| self.run(self.at + 1, |c| c.is_ascii_digit()));
            match mark {
                Some('.') if next > 0 && !digits.contains('.') => digits.push('.'),
                Some(',') if next == 3 && !digits.contains('.') => {}
                _ => break,
            }
            self.at += 1;
        }
        digits.parse().unwrap_or(f64::NAN) // digits and one point always parse
    }

    fn word(&mut self) {
        let start = self.at;
        let in_word = |c: char| c.is_alphanumeric() && c != 'º';
        let mut word = String::new();
        loop {
            let run = self.run(self.at, in_word);
            word.push_str(&self.text[self.at..self.at + run]);
            self.at += run;
            let (mark, next, then) = (self.peek(0), self.peek(1), self.peek(2));
            let next_is_letter = next.is_some_and(char::is_alphabetic);
            let initial = word.chars().count() <= 3 && then.is_none_or(|c| !c.is_alphanumeric());
            match mark {
                Some(c @ ('\'' | '’')) if next_is_letter => {
                    word.push('\'');
                    self.at += c.len_utf8();
                }
                Some('.') if next_is_letter && initial && run == 1 => self.at += 1,
                _ => break,
            }
        }
        let word = word.to_lowercase();
        let span = start..self.at;
        if let Some(verb) = word.strip_suffix("n't") {
            self.push(Kind::Word, if verb == "ca" { "can" } else { verb }, span.clone());
            return self.push(Kind::Word, "not", span);
        }
        if word == "cannot" {
            self.push(Kind::Word, "can", span.clone());
            return self.push(Kind::Word, "not", span);
        }
        if let Some(digits) = word.strip_prefix('x').filter(|d| !d.is_empty())
            && let Ok(number) = digits.parse::<u32>()
        {
            return self.push(Kind::Number(number.into()), digits, span); // x3 days
        }
        let word = word.strip_suffix("'s").unwrap_or(&word).replace('μ', "µ");
        self.push(Kind::Word, &word, span);
    }
}

fn stem(word: &str) -> String {
    let keep = word.len() <= 3 || ["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    if keep {
        return word.to_owned();
    }
    if let Some(start) = word.strip_suffix("ies").filter(|start| start.len() > 2) {
        return format!("{start}y");
    }
    for end in ["sses", "xes", "ches", "shes"] {
        // Of aches, headaches and the like the `e` is a part.
        if word.ends_with(end) && !word.ends_with("aches") {
            return word[..word.len() - 2].to_owned();
        }
    }
    word.strip_suffix('s').unwrap_or(word).to_owned()
}
