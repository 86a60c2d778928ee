//! What somebody may have meant who typed an id that the hub does not know.

/// Models of the kinds that this library trains, as the hub spells them.
const KNOWN: [&str; 20] = [
    "HuggingFaceTB/SmolLM2-135M",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "meta-llama/Llama-2-7b-hf",
    "meta-llama/Llama-2-7b-chat-hf",
    "meta-llama/Llama-2-13b-hf",
    "meta-llama/Meta-Llama-3-8B",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B",
    "meta-llama/Llama-3.2-3B-Instruct",
    "mistralai/Mistral-7B-v0.1",
    "mistralai/Mistral-7B-v0.3",
    "mistralai/Mistral-7B-Instruct-v0.3",
];

/// Likeness (1: equal) below which a name is no suggestion.
const LIKENESS: f64 = 0.7;

/// At most two known ids, the likest first.
pub(super) fn near(id: &str) -> Vec<String> {
    let id = id.to_lowercase();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&id, &known.to_lowercase());
    let mut near: Vec<(f64, &str)> =
        KNOWN.into_iter().map(|known| (likeness(known), known)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKENESS);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(2).map(|(_, known)| known.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_slip_of_the_pen_is_found_and_a_stranger_is_not() {
        assert_eq!(near("mistralai/Mistal-7B-v0.1")[0], "mistralai/Mistral-7B-v0.1");
        assert_eq!(near("meta-lama/llama-3.2-1b")[0], "meta-llama/Llama-3.2-1B");
        assert!(near("somebody/clinical-notes").is_empty());
    }
}
