//! The logits of given token ids: what another implementation must agree with.
//!
//! ```sh
//! cargo run --release --example logits -- MODEL_DIR 1,5,9,12 [ADAPTER_DIR] > logits.json
//! ```
//!
//! Sequences are separated by semicolons (`1,5,9;1,7`) and go through the model together, padding-free: `cu_seqlens` marks
//! their borders, positions begin anew at each. Prints JSON: of each sequence a list of rows, of each row a list of `vocab_size`
//! numbers; row t is what the model expects to follow token t. With PyTorch:
//!
//! ```python
//! model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(MODEL_DIR), ADAPTER_DIR).eval()
//! model(torch.tensor([[1, 5, 9, 12]])).logits[0].tolist()
//! ```
#![allow(clippy::print_stdout)]

use std::{error::Error, path::Path};

use candle_core::{DType, Device};
use sft::{
    lora::peft::load_adapter,
    model::{Decoder, ModelDir, Packed},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model_dir, sequences, adapter_dir) = match arguments.as_slice() {
        [model, sequences] => (model, sequences, None),
        [model, sequences, adapter] => (model, sequences, Some(adapter)),
        _ => {
            return Err(
                "usage: logits MODEL_DIR IDS[;IDS...] [ADAPTER_DIR], with IDS as 1,5,9".into()
            );
        }
    };

    let mut decoder =
        Decoder::load(&ModelDir::open(Path::new(model_dir))?, DType::F32, &Device::Cpu)?;
    if let Some(dir) = adapter_dir {
        decoder.load_lora(&load_adapter(Path::new(dir), &Device::Cpu)?)?;
    }

    let (mut ids, mut positions, mut cu_seqlens) = (vec![], vec![], vec![0]);
    for sequence in sequences.split(';') {
        for (position, id) in (0..).zip(sequence.split(',')) {
            ids.push(id.trim().parse::<u32>().map_err(|e| format!("`{id}` is no token id: {e}"))?);
            positions.push(position);
        }
        cu_seqlens.push(ids.len() as u32);
    }
    let example: Vec<u64> = (1..cu_seqlens.len() as u64).collect(); // numbers of the sequences: only dropout asks for them
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &example };

    let rows = decoder.logits(&input, None)?.to_vec2::<f32>()?; // [T, vocab]
    let each: Vec<_> =
        cu_seqlens.windows(2).map(|border| &rows[border[0] as usize..border[1] as usize]).collect();
    println!("{}", serde_json::to_string(&each)?);
    Ok(())
}
