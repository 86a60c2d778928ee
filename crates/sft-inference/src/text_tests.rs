#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

const SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];

fn tokenizer(tokens: &[String], decoder: Value) -> Tokenizer {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added: Vec<Value> = SPECIALS
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
                  "byte_fallback": true, "vocab": vocab, "merges": []},
    });
    file.to_string().parse().unwrap()
}

/// A SentencePiece vocabulary with byte fallback: byte `b` has the id `3 + b`.
fn sentencepiece() -> Tokenizer {
    let mut tokens: Vec<String> = SPECIALS.iter().map(ToString::to_string).collect();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["▁The", "▁pain", "▁", "s", "é", "▁▁"].map(str::to_owned)); // 259..=264
    tokenizer(
        &tokens,
        json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
    )
}

/// A byte-level vocabulary: byte `b` has the id `3 + b`.
fn byte_level() -> Tokenizer {
    let printable = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut shifted = 255;
    let mut tokens: Vec<String> = SPECIALS.iter().map(ToString::to_string).collect();
    tokens.extend((0..=255).map(|b| {
        let code = if printable(b) {
            b
        } else {
            shifted += 1;
            shifted
        };
        char::from_u32(code).unwrap().to_string()
    }));
    tokens.extend(["The", "Ġpain"].map(str::to_owned)); // 259, 260
    tokenizer(
        &tokens,
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
    )
}

fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    stream_without("", tokenizer, ids)
}

fn stream_without(lead: &str, tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    let mut text = TextStream::new(tokenizer).without_lead(lead);
    let mut pieces: Vec<String> = ids.iter().map(|&id| text.push(id).unwrap()).collect();
    let (rest, whole) = text.finish().unwrap();
    pieces.push(rest);
    (pieces, whole)
}

fn bytes(text: &str) -> impl Iterator<Item = u32> {
    text.bytes().map(|b| 3 + u32::from(b))
}

#[test]
fn an_emoji_over_four_byte_tokens_comes_whole() {
    let tokenizer = byte_level();
    let ids: Vec<u32> = [259].into_iter().chain(bytes("😀é")).chain([260]).collect();
    let (pieces, whole) = stream(&tokenizer, &ids);
    assert_eq!(pieces, ["The", "", "", "", "😀", "", "é", " pain", ""]);
    assert_eq!(whole, "The😀é pain");
}

#[test]
fn byte_fallback_waits_for_the_end_of_its_run() {
    let tokenizer = sentencepiece();
    let ids: Vec<u32> = [259].into_iter().chain(bytes("😀")).chain([260, 262]).collect();
    let (pieces, whole) = stream(&tokenizer, &ids);
    assert_eq!(pieces, ["The", "", "", "", "", "😀 pain", "s", ""]);
    assert_eq!(whole, "The😀 pains");
    // the same bytes with a stray one behind them: the decoder gives up on the whole run
    let ids: Vec<u32> = bytes("😀").chain([3 + 0xF0, 260]).collect();
    let (pieces, whole) = stream(&tokenizer, &ids);
    assert_eq!(whole, "����� pain");
    assert_eq!(pieces.concat(), whole);
}

#[test]
fn only_the_first_space_of_the_text_goes() {
    let tokenizer = sentencepiece();
    assert_eq!(stream(&tokenizer, &[259, 260, 259]).0, ["The", " pain", " The", ""]);
    assert_eq!(stream(&tokenizer, &[264, 260, 261, 262]).1, "  pain s");
    // a special token in front does not count as text
    assert_eq!(stream(&tokenizer, &[1, 259, 2]).0, ["", "The", "", ""]);
}

#[test]
fn a_learnt_lead_is_no_part_of_the_text() {
    let lead = |lead: &str, ids: &[u32]| {
        let (pieces, whole) = stream_without(lead, &byte_level(), ids);
        assert_eq!(pieces.concat(), whole);
        (pieces, whole)
    };
    let space: Vec<u32> = bytes(" ").collect();
    assert_eq!(lead(" ", &[260, 260]).1, "pain pain");
    assert_eq!(lead("  ", &[space[0], 260, 259]).0, ["", "pain", "The", ""]);
    // a model that leaves it out loses nothing
    assert_eq!(lead("  ", &[260, 259]).1, " painThe");
    assert_eq!(lead(" ", &[259, 260]).1, "The pain");
    assert_eq!(lead(" ", &space).1, "");
    assert_eq!(stream_without(" ", &sentencepiece(), &[259, 260]).1, "The pain");
}

#[test]
fn what_never_becomes_a_character_is_given_at_the_end() {
    let ids: Vec<u32> = [259].into_iter().chain(bytes("😀").take(2)).collect();
    let (pieces, whole) = stream(&byte_level(), &ids);
    assert_eq!(pieces.concat(), whole);
    assert_eq!(whole, "The�");
    let (pieces, whole) = stream(&sentencepiece(), &ids);
    assert_eq!(pieces.concat(), whole);
    assert_eq!(whole, "The��");
}

/// Tokenizers like those of well-known models and texts of many kinds; `shown` is what the Python
/// library makes of the ids.
#[test]
fn streamed_pieces_of_real_texts_join_to_the_text_of_the_python_library() {
    let golden = "../../fixtures/golden/tokenizers";
    let vectors = std::fs::read(format!("{golden}/vectors.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&vectors).unwrap();
    for (name, vectors) in vectors.as_object().unwrap() {
        let tokenizer = Tokenizer::from_file(format!("{golden}/{name}.json")).unwrap();
        let mut all = Vec::new();
        for case in vectors["cases"].as_array().unwrap() {
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            let (pieces, whole) = stream(&tokenizer, &ids);
            assert_eq!(whole, case["shown"].as_str().unwrap(), "{name}: {case}");
            assert_eq!(pieces.concat(), whole, "{name}: {case}");
            let whole_characters = |piece: &String| !piece.contains(char::REPLACEMENT_CHARACTER);
            assert!(
                whole.contains(char::REPLACEMENT_CHARACTER) || pieces.iter().all(whole_characters),
                "{name}: {pieces:?}"
            );
            all.extend(ids);
        }
        let (pieces, whole) = stream(&tokenizer, &all);
        assert_eq!(pieces.concat(), whole, "{name}");
        assert_eq!(whole, tokenizer.decode(&all, true).unwrap(), "{name}");
    }
}

#[test]
fn any_ids_joined_are_what_they_are_at_once() {
    let mut state = 1_u64;
    let mut random = |below: u32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(below)) as u32
    };
    for (tokenizer, size) in [(sentencepiece(), 265), (byte_level(), 261)] {
        for _ in 0..2_000 {
            let mut ids = Vec::new();
            for _ in 0..=random(6) {
                match random(4) {
                    0 => ids.extend(bytes("🩺é日")),
                    1 => ids.push(259 + random(size - 259)),
                    2 => ids.push(random(3)),
                    _ => ids.push(random(size)),
                }
            }
            let (pieces, whole) = stream(&tokenizer, &ids);
            assert_eq!(pieces.concat(), tokenizer.decode(&ids, true).unwrap(), "{ids:?}");
            assert_eq!(pieces.concat(), whole);
        }
    }
}
