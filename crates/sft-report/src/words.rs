//! A text in pieces, of which some are marked.

use std::ops::Range;

use serde::Serialize;

/// A piece of a text.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Piece<'a> {
    text: &'a str,
    marked: bool,
}

/// `text` in order, its `spans` marked. Spans may overlap; what lies outside the text is left out, and a border inside a
/// character moves outwards.
pub(crate) fn pieces<'a>(text: &'a str, spans: &[Range<usize>]) -> Vec<Piece<'a>> {
    let mut spans: Vec<Range<usize>> = spans
        .iter()
        .map(|span| text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end))
        .filter(|span| span.start < span.end)
        .collect();
    spans.sort_by_key(|span| (span.start, span.end));
    let mut pieces = Vec::new();
    let mut add = |range: Range<usize>, marked| {
        if let Some(text) = text.get(range).filter(|text| !text.is_empty()) {
            pieces.push(Piece { text, marked });
        }
    };
    let mut done = 0;
    for span in spans {
        add(done..span.start, false);
        add(span.start.max(done)..span.end, true);
        done = done.max(span.end);
    }
    add(done..text.len(), false);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, spans: &[Range<usize>]) -> String {
        let piece = |piece: &Piece<'_>| {
            if piece.marked { format!("[{}]", piece.text) } else { piece.text.to_owned() }
        };
        pieces(text, spans).iter().map(piece).collect()
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, clippy::single_range_in_vec_init)]
    fn every_byte_is_there_once() {
        let text = "38.5 °C and cough";
        for (spans, expected) in [
            (vec![], "38.5 °C and cough"),
            (vec![12..17], "38.5 °C and[ coug]h"),
            (vec![0..4, 13..18], "[38.5] °C and [cough]"),
            (vec![6..8], "38.5 [°C] and cough"),
            (vec![8..12, 0..9], "[38.5 °C ][and] cough"),
            (vec![13..99, 40..50, 5..3], "38.5 °C and [cough]"),
        ] {
            assert_eq!(shown(text, &spans), expected, "{spans:?}");
        }
    }
}
