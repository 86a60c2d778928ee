//! Numbers as they are spoken: `one twenty over eighty`, `nineteen sixty one`, `one oh one point
//! five`, `six out of ten`.

use crate::findings::{
    quantity::{ONES, TENS},
    tokens::{Kind, Token},
};

/// The value of a number word or a number in digits.
pub(crate) fn value(token: &Token) -> Option<f64> {
    match token.kind {
        Kind::Number(value) => Some(value),
        Kind::Word => one(token).or_else(|| ten(token)).map(f64::from),
        _ => None,
    }
}

/// Puts one number in the place of each run of number words; a single word stays.
pub(crate) fn numbers(tokens: Vec<Token>) -> Vec<Token> {
    let number = |at: usize| {
        let (value, end) = run(&tokens, at).filter(|(_, end)| *end > at + 1)?;
        Some((Kind::Number(value), value.to_string(), end))
    };
    let tokens = replaced(&tokens, number);
    // `six out of ten`
    let ratio = |at: usize| {
        let (a, b) = (value(tokens.get(at)?)?, value(tokens.get(at + 3)?)?);
        let out_of = tokens[at + 1].is(&["out"]) && tokens[at + 2].is(&["of"]);
        out_of.then(|| (Kind::Ratio(a, b), format!("{a}/{b}"), at + 4))
    };
    replaced(&tokens, ratio)
}

/// `short` gives, of a place, one token's kind and text for all up to an end.
fn replaced(
    tokens: &[Token],
    short: impl Fn(usize) -> Option<(Kind, String, usize)>,
) -> Vec<Token> {
    let (mut replaced, mut at) = (Vec::with_capacity(tokens.len()), 0);
    while at < tokens.len() {
        if let Some((kind, text, end)) = short(at) {
            let span = tokens[at].span.start..tokens[end - 1].span.end;
            replaced.push(Token { kind, stem: text.clone(), text, span });
            at = end;
        } else {
            replaced.push(tokens[at].clone());
            at += 1;
        }
    }
    replaced
}

fn one(token: &Token) -> Option<u32> {
    ONES.iter().position(|word| *word == token.text).map(|at| at as u32)
}

fn ten(token: &Token) -> Option<u32> {
    TENS.iter().position(|word| *word == token.text).map(|at| 10 * (at as u32 + 2))
}

/// 0 to 99 in words, and where it ends.
fn small(tokens: &[Token], at: usize) -> Option<(u32, usize)> {
    let token = tokens.get(at).filter(|token| token.is_word())?;
    if let Some(tens) = ten(token) {
        let ones = tokens.get(at + 1).and_then(one).filter(|ones| (1..10).contains(ones));
        return Some(ones.map_or((tens, at + 1), |ones| (tens + ones, at + 2)));
    }
    one(token).map(|ones| (ones, at + 1))
}

fn is(tokens: &[Token], at: usize, word: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(&[word]))
}

/// `two thousand and nine`, `two hundred and fifty`, `one twenty`, `nineteen oh five`
fn whole(tokens: &[Token], at: usize) -> Option<(u32, usize)> {
    let (value, end) = hundreds(tokens, at)?;
    if is(tokens, end, "thousand") {
        let (thousands, after) = (value * 1000, end + 1);
        let start = after + usize::from(is(tokens, after, "and"));
        return Some(match hundreds(tokens, start).filter(|(below, _)| *below < 1000) {
            Some((below, end)) => (thousands + below, end),
            None => (thousands, after),
        });
    }
    let leads = (1..10).contains(&value) || (18..=20).contains(&value);
    if leads {
        let oh = is(tokens, end, "oh") || is(tokens, end, "o");
        if let Some(ones) = tokens.get(end + 1).and_then(one).filter(|ones| oh && *ones < 10) {
            return Some((value * 100 + ones, end + 2));
        }
        if let Some((below, after)) = small(tokens, end).filter(|(below, _)| *below >= 10) {
            return Some((value * 100 + below, after));
        }
    }
    Some((value, end))
}

fn hundreds(tokens: &[Token], at: usize) -> Option<(u32, usize)> {
    let hundred = is(tokens, at, "a") && is(tokens, at + 1, "hundred");
    let (value, end) = if hundred { (1, at + 1) } else { small(tokens, at)? };
    if is(tokens, end, "hundred") {
        return Some(rest(tokens, value * 100, end + 1));
    }
    Some((value, end))
}

fn rest(tokens: &[Token], hundreds: u32, at: usize) -> (u32, usize) {
    let start = at + usize::from(is(tokens, at, "and"));
    small(tokens, start).map_or((hundreds, at), |(below, end)| (hundreds + below, end))
}

fn run(tokens: &[Token], at: usize) -> Option<(f64, usize)> {
    let (mut value, mut end) = match tokens.get(at)?.kind {
        Kind::Number(value) => (value, at + 1),
        _ => whole(tokens, at).map(|(value, end)| (f64::from(value), end))?,
    };
    let digit = |token: &Token| match token.kind {
        Kind::Number(digit) if (0.0..10.0).contains(&digit) && digit.fract() == 0.0 => Some(digit),
        Kind::Word => one(token).filter(|digit| *digit < 10).map(f64::from),
        _ => None,
    };
    if is(tokens, end, "point") && tokens.get(end + 1).and_then(digit).is_some() {
        let (mut digits, mut place) = (0.0, 1.0);
        end += 1;
        while let Some(digit) = tokens.get(end).and_then(digit) {
            (digits, place) = (digits * 10.0 + digit, place * 10.0);
            end += 1;
        }
        value += digits / place;
    } else if is(tokens, end, "and") && is(tokens, end + 1, "a") && is(tokens, end + 2, "half") {
        (value, end) = (value + 0.5, end + 3);
    }
    Some((value, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::tokens::tokens;

    #[test]
    fn spoken_numbers_are_numbers() {
        for (text, expected) in [
            ("eighty three", "83"),
            ("one twenty over eighty", "120 over eighty"),
            ("nineteen sixty one", "1961"),
            ("two thousand nine", "2009"),
            ("twenty twenty one", "2021"),
            ("one oh one point five", "101.5"),
            ("98 point 6", "98.6"),
            ("two and a half weeks", "2.5 weeks"),
            ("a hundred and four", "104"),
            ("six out of ten", "6/10"),
            ("five hundred milligrams", "500 milligrams"),
            ("one of two", "one of two"),
            ("two, three days", "two , three days"),
        ] {
            let words: Vec<String> =
                numbers(tokens(text)).into_iter().map(|token| token.text).collect();
            assert_eq!(words.join(" "), expected);
        }
    }
}
