//! `quantization_config` of a `config.json`.

use serde_json::{Value, json};

use crate::runtime::Quantize;

/// How the matrices of a folder are stored.
///
/// # Errors
/// For ways that cannot be read.
pub(crate) fn stored_as(settings: &Value) -> Result<Quantize, String> {
    let text = |key: &str| settings.get(key).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| settings.get(key).and_then(Value::as_bool).unwrap_or_default();
    let refuse = |what: String| {
        Err(format!(
            "the weights are quantised as {what} (quantization_config); what is read is NF4 as bitsandbytes \
             stores it, with double quantisation, and what `sft-infer --quantize_to` writes: use the model's \
             f32, bf16 or f16 files, with --quantize nf4 if memory is short"
        ))
    };
    match text("quant_method") {
        "bitsandbytes" | "" if flag("load_in_4bit") || flag("_load_in_4bit") => {
            let (kind, storage) = (text("bnb_4bit_quant_type"), text("bnb_4bit_quant_storage"));
            if kind != "nf4" {
                refuse(format!("`{kind:.20}`"))
            } else if !flag("bnb_4bit_use_double_quant") {
                refuse("nf4 without double quantisation".into())
            } else if !["", "uint8"].contains(&storage) {
                refuse(format!("nf4 in numbers of type `{storage:.20}`"))
            } else {
                Ok(Quantize::Nf4)
            }
        }
        "sft" if text("format") == "int8" => Ok(Quantize::Int8),
        "" => refuse("something that names no quant_method".into()),
        method => refuse(format!("`{method:.40}`")),
    }
}

/// What tells transformers, and [`stored_as`], how to read the matrices.
pub(super) fn settings_of(quantize: Quantize) -> Value {
    match quantize {
        Quantize::Nf4 => json!({
            "quant_method": "bitsandbytes",
            "load_in_4bit": true,
            "load_in_8bit": false,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": true,
            "bnb_4bit_quant_storage": "uint8",
            "bnb_4bit_compute_dtype": "bfloat16",
        }),
        Quantize::Int8 => json!({ "quant_method": "sft", "format": "int8", "block_size": 64 }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for quantize in [Quantize::Nf4, Quantize::Int8] {
            assert_eq!(stored_as(&settings_of(quantize)).unwrap(), quantize);
        }
    }

    #[test]
    fn other_ways_are_refused_by_name() {
        let nf4 = |key: &str, value: Value| {
            let mut settings = settings_of(Quantize::Nf4);
            settings[key] = value;
            settings
        };
        for (settings, word) in [
            (json!({ "bits": 4 }), "no quant_method"),
            (json!({ "quant_method": "gptq", "bits": 4 }), "`gptq`"),
            (json!({ "quant_method": "bitsandbytes", "load_in_8bit": true }), "`bitsandbytes`"),
            (nf4("bnb_4bit_quant_type", json!("fp4")), "`fp4`"),
            (nf4("bnb_4bit_use_double_quant", json!(false)), "without double quantisation"),
            (nf4("bnb_4bit_quant_storage", json!("bfloat16")), "type `bfloat16`"),
            (json!({ "quant_method": "sft", "format": "int4" }), "`sft`"),
        ] {
            let problem = stored_as(&settings).unwrap_err();
            assert!(problem.contains(word) && problem.contains("--quantize nf4"), "{problem}");
        }
    }
}
