//! The tokens that a tokenizer matches before its model runs, told apart by who may write them.

use std::ops::Range;
use tokenizers::normalizer::Range as SliceRange;
use tokenizers::tokenizer::{AddedToken, Normalizer, Token};
use tokenizers::{NormalizedString, Tokenizer};

/// Pieces of a string, with their token where an added token was matched.
pub(super) type Splits = Vec<(NormalizedString, Option<Vec<Token>>)>;

/// Added tokens, ready to be searched for in a text.
pub(super) struct AddedTokens {
    /// Longest first, so that the longest match at a place is the first.
    patterns: Vec<Pattern>,
    first_bytes: [bool; 256],
}

struct Pattern {
    text: String,
    id: u32,
    control: bool,
    token: AddedToken,
}

impl AddedTokens {
    /// The tokens searched for in the raw text: every control token, and the vocabulary that the
    /// tokenizer does not normalise.
    pub(super) fn raw(tokenizer: &Tokenizer) -> Self {
        Self::new(tokenizer, |token| steers(token) || !token.normalized, str::to_owned)
    }

    /// The vocabulary searched for in normalised text, in its own normalised form.
    pub(super) fn normalized(tokenizer: &Tokenizer) -> Self {
        let normalize = |text: &str| {
            let mut string = NormalizedString::from(text);
            // Like the tokenizers library: what cannot be normalised is matched as it stands.
            let done = tokenizer.get_normalizer().map(|n| n.normalize(&mut string));
            if matches!(done, Some(Ok(()))) { string.get().to_owned() } else { text.to_owned() }
        };
        Self::new(tokenizer, |token| !steers(token) && token.normalized, normalize)
    }

    fn new(
        tokenizer: &Tokenizer,
        wanted: impl Fn(&AddedToken) -> bool,
        text: impl Fn(&str) -> String,
    ) -> Self {
        let mut patterns: Vec<Pattern> = tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| wanted(token) && !token.content.is_empty())
            .map(|(id, token)| Pattern {
                text: text(&token.content),
                id,
                control: steers(&token),
                token,
            })
            .collect();
        patterns.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        let mut first_bytes = [false; 256];
        for pattern in &patterns {
            if let Some(&byte) = pattern.text.as_bytes().first() {
                first_bytes[usize::from(byte)] = true;
            }
        }
        Self { patterns, first_bytes }
    }

    /// Cuts a string at its added tokens. A control token counts only where it lies wholly inside
    /// one of the `trusted` ranges.
    pub(super) fn split(&self, string: NormalizedString, trusted: &[Range<usize>]) -> Splits {
        let matches = self.find(string.get(), trusted);
        if matches.is_empty() {
            return vec![(string, None)];
        }
        let mut splits = Splits::new();
        let mut push = |range: Range<usize>, id: Option<u32>| {
            let piece = string.slice(SliceRange::Normalized(range));
            splits.extend(piece.map(|piece| {
                let token = |id| Token::new(id, piece.get().to_owned(), (0, piece.get().len()));
                let tokens = id.map(|id| vec![token(id)]);
                (piece, tokens)
            }));
        };
        let mut end = 0;
        for (range, id) in matches {
            push(end..range.start, None);
            end = range.end;
            push(range, Some(id));
        }
        push(end..string.get().len(), None);
        splits
    }

    /// Leftmost, then longest matches that do not overlap.
    fn find(&self, text: &str, trusted: &[Range<usize>]) -> Vec<(Range<usize>, u32)> {
        let mut matches = Vec::new();
        let (mut at, mut end) = (0, 0);
        while at < text.len() {
            let found = self.first_bytes[usize::from(text.as_bytes()[at])]
                .then(|| self.patterns.iter().find(|pattern| pattern.is_at(text, at, trusted)))
                .flatten();
            let Some(pattern) = found else {
                at += 1;
                continue;
            };
            let range = pattern.with_spaces(text, at, end);
            at = range.end;
            end = range.end;
            matches.push((range, pattern.id));
        }
        matches
    }
}

impl Pattern {
    fn is_at(&self, text: &str, at: usize, trusted: &[Range<usize>]) -> bool {
        let end = at + self.text.len();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        text.as_bytes()[at..].starts_with(self.text.as_bytes())
            && (!self.control || trusted.iter().any(|range| range.start <= at && end <= range.end))
            && !(self.token.single_word
                && (word(text[..at].chars().next_back()) || word(text[end..].chars().next())))
    }

    /// The match with the white space that the token takes with it.
    fn with_spaces(&self, text: &str, at: usize, previous_end: usize) -> Range<usize> {
        let end = at + self.text.len();
        let before = if self.token.lstrip { text[..at].trim_end().len() } else { at };
        let rest = &text[end..];
        let after = if self.token.rstrip { rest.len() - rest.trim_start().len() } else { 0 };
        before.max(previous_end)..end + after
    }
}

/// Whether an added token steers the model, so that only a template may write it: every token
/// marked special, and those written like markup, since many files leave the mark out. The other
/// added tokens (runs of spaces, words of a field) are vocabulary and count in notes too.
pub(super) fn is_control(content: &str, special: bool) -> bool {
    let enclosed = |open, close| content.starts_with(open) && content.ends_with(close);
    special || enclosed('<', '>') || enclosed('[', ']')
}

fn steers(token: &AddedToken) -> bool {
    is_control(&token.content, token.special)
}
