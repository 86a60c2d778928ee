//! PEFT options that plain LoRA does not have.

use serde_json::Value;

use super::narrowed;

/// Why this option of an `adapter_config.json` cannot be ignored, or `None` when it can.
///
/// The list follows `peft/tuners/lora/config.py` and `peft/config.py` of PEFT 0.21.
pub(super) fn unsupported(key: &str, value: &Value) -> Option<String> {
    let remedy = match key {
        _ if narrowed::OPTIONS.contains(&key) => return None, // read there
        // Notes for people and programs, options that act only together with one refused here, and
        // configurations of an initialisation (`init_lora_weights` says whether it was used).
        "auto_mapping" | "corda_config" | "eva_config" | "inference_mode" | "loftq_config"
        | "lora_ga_config" | "megatron_core" | "peft_version" | "qalora_group_size"
        | "runtime_config" => return None,
        "init_lora_weights" => match initialisation(value) {
            Initialisation::KeepsBase => return None,
            Initialisation::ChangesBase => {
                "it changed the base weights; in PEFT convert the adapter to plain LoRA \
                 (save_pretrained with path_initial_model_for_weight_conversion) first"
            }
        },
        "bias" if value == "none" => return None,
        _ if at_rest(value) => return None,
        "bias" => "biases are not trained here; use an adapter trained with bias none",
        "modules_to_save" => "use an adapter that trains LoRA matrices alone",
        "trainable_token_indices" => "use an adapter that does not train token embeddings",
        "use_dora"
        | "arrow_config"
        | "kasa_config"
        | "monteclora_config"
        | "use_bdlora"
        | "use_qalora"
        | "velora_config"
        | "alora_invocation_tokens" => {
            "this variant of LoRA is not supported; use a plain LoRA adapter, or merge it into its \
             base with PEFT"
        }
        "lora_bias" => "lora_B has no bias here; train with lora_bias false",
        "fan_in_fan_out" => "weights are [out, in] here; use a base with torch.nn.Linear layers",
        "target_parameters" => {
            "adapters of single parameters are not supported; use one on linear layers"
        }
        "layer_replication" => "merge it into its base with PEFT first",
        _ => "this option is not known here; remove it if the adapter does not depend on it",
    };
    Some(format!("{key} is {}: {remedy}", shorten(value)))
}

enum Initialisation {
    KeepsBase,
    ChangesBase,
}

/// PiSSA, CorDA, OLoRA, LoftQ and LoRA-GA subtract what they put into A and B from the base weight
/// (`peft/tuners/lora/layer.py`); the others only choose A and B.
fn initialisation(value: &Value) -> Initialisation {
    let name = value.as_str().unwrap_or_default().to_lowercase();
    let changes = ["pissa", "corda", "olora", "loftq", "lora_ga"];
    if changes.iter().any(|start| name.starts_with(start)) {
        Initialisation::ChangesBase
    } else {
        Initialisation::KeepsBase
    }
}

/// Null, false or empty: an option that nobody set.
pub(super) fn at_rest(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Number(_) => false,
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
