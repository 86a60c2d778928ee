//! A slice of the model against the reference: the first and the last adapted block, and the head.

use candle_core::Tensor;
use sft_kernels::random;
use sft_lora::LoraConfig;
use sft_model::{Decoder, ModelConfig, ModelDir, Probe, StoredTensors};

use crate::adapters::{Adapters, SEED};
use crate::differences;
use crate::piece::Piece;
use crate::reference::{Block, Head, Rows, SUSPECTS, Sequence};
use crate::tolerance::Tolerance;
use crate::{Check, CheckResult, Result, SelfTestError};

/// What is in common to the checks of all blocks.
struct Slice<'a> {
    config: &'a ModelConfig,
    adapters: &'a Adapters,
    lora: &'a LoraConfig,
    tensors: StoredTensors,
    probe: Probe<'a>,
    sequences: Vec<Sequence>,
    tolerance: Tolerance,
    /// The first problem that was found, of each check.
    reference: Option<String>,
    differences: Option<String>,
    merged: Option<String>,
    entries: usize,
}

/// [`Check::Reference`], [`Check::FiniteDifferences`] and [`Check::Merged`]. Leaves random numbers in the adapters.
pub(crate) fn check(
    decoder: &Decoder,
    folder: &ModelDir,
    adapters: &Adapters,
    piece: &Piece,
) -> Result<[CheckResult; 3]> {
    adapters.randomise()?;
    let mut slice = Slice {
        config: folder.config(),
        adapters,
        lora: decoder.lora_config().ok_or(SelfTestError::NoAdapter)?,
        tensors: folder.stored_tensors()?,
        probe: decoder.probe(piece.packed())?,
        sequences: piece.sequences(),
        tolerance: Tolerance::of(decoder.dtype()),
        reference: None,
        differences: None,
        merged: None,
        entries: 0,
    };
    let adapted = adapters.blocks();
    let (first, last) = (adapted.first(), adapted.last());
    let mut x = slice.probe.embeddings()?;
    for index in 0..decoder.config().num_hidden_layers {
        let y = slice.probe.block(index, &x)?;
        if adapted.contains(&index) {
            slice.check_merged(index, &x, &y)?;
        }
        if Some(&index) == first || Some(&index) == last {
            slice.check_block(index, &x)?;
        }
        x = y;
    }
    slice.check_head(&x, &piece.targets())?;

    let blocks = match (first, last) {
        (Some(first), Some(last)) if first != last => format!("blocks {first} and {last}"),
        (first, _) => format!("block {}", first.copied().unwrap_or_default()),
    };
    let merged = format!("{} blocks", adapted.len());
    Ok([
        CheckResult::of(
            Check::Reference,
            slice.reference,
            format!("{blocks} and the head, {} tokens", piece.tokens()),
        ),
        CheckResult::of(
            Check::FiniteDifferences,
            slice.differences,
            format!("{} entries of {blocks} and the head", slice.entries),
        ),
        CheckResult::of(Check::Merged, slice.merged, merged),
    ])
}

impl Slice<'_> {
    fn check_merged(&mut self, index: usize, x: &Tensor, y: &Tensor) -> Result<()> {
        let merged = Rows::from_tensor(&self.probe.merged_block(index, x)?)?;
        let worst =
            self.tolerance.worst_row(&merged, &Rows::from_tensor(y)?, &Rows::from_tensor(x)?);
        if let Some((row, error)) = worst {
            self.merged.get_or_insert_with(|| {
                format!(
                    "block {index} adds something else when its adapters are merged, off by {error:.1e} of it in token \
                     {row}: an adapter is W + (alpha / r) B A, merged or not; do not train, and report this"
                )
            });
        }
        Ok(())
    }

    fn check_block(&mut self, index: usize, x: &Tensor) -> Result<()> {
        let mut block = self.load(index)?;
        let dy = direction(x)?;
        let pass = self.probe.block_backward(index, x, &dy)?;
        let (x, dy, y) =
            (Rows::from_tensor(x)?, Rows::from_tensor(&dy)?, Rows::from_tensor(&pass.y)?);
        let expected = block.forward(&x, &self.sequences)?;
        if let Some((row, error)) = self.tolerance.worst_row(&y, &expected, &x) {
            let cause = self.suspect(index, &x, &y)?.unwrap_or(
                "the weights are not those of the files, or the block is computed wrongly",
            );
            self.reference.get_or_insert_with(|| {
                format!(
                    "block {index} is off by {error:.1e} of what it adds in token {row}: {cause}; do not train, and report \
                     this"
                )
            });
            self.differences.get_or_insert_with(|| {
                format!("block {index} computes something else than the reference, so that its gradients cannot be compared")
            });
            return Ok(());
        }
        let names = self.adapters.vars.iter().filter(|(name, _)| block.parameter(name).is_some());
        let names: Vec<_> = names.map(|(name, var)| (name.as_str(), var)).collect();
        let checked = differences::of_block(
            &mut block,
            &names,
            &x,
            &dy,
            &pass,
            &self.sequences,
            &self.tolerance,
        )?;
        self.entries += checked.entries;
        if let Some(problem) = checked.problem {
            self.differences.get_or_insert(format!("block {index}: {problem}"));
        }
        Ok(())
    }

    fn check_head(&mut self, hidden: &Tensor, targets: &[(u32, u32)]) -> Result<()> {
        let (loss, dhidden) = self.probe.loss(hidden, targets)?;
        let head = Head::load(&self.tensors, self.config)?;
        let (hidden, dhidden) = (Rows::from_tensor(hidden)?, Rows::from_tensor(&dhidden)?);
        let picked = Rows {
            values: targets
                .iter()
                .flat_map(|&(row, _)| hidden.row(row as usize))
                .copied()
                .collect(),
            width: hidden.width,
        };
        let labels: Vec<u32> = targets.iter().map(|&(_, label)| label).collect();
        let expected: f64 = head.nll(&picked, &labels)?.iter().sum();
        if Tolerance::is_off(loss.nll, expected, self.tolerance.forward * expected) {
            self.reference.get_or_insert_with(|| {
                format!(
                    "the loss of {} tokens is {} and should be {expected}: the final normalisation or the head is computed \
                     wrongly, or is not that of the files; do not train, and report this",
                    labels.len(),
                    loss.nll
                )
            });
        }
        let checked = differences::of_head(&head, &hidden, targets, &dhidden, &self.tolerance)?;
        self.entries += checked.entries;
        if let Some(problem) = checked.problem {
            self.differences.get_or_insert(format!("the head: {problem}"));
        }
        Ok(())
    }

    /// The block as the files and the adapters have it.
    fn load(&self, index: usize) -> Result<Block> {
        Block::load(&self.tensors, self.config, index, &self.adapters.vars, self.lora)
    }

    /// A fault that explains the block's output `y`.
    fn suspect(&self, index: usize, x: &Rows, y: &Rows) -> Result<Option<&'static str>> {
        for (cause, change) in SUSPECTS {
            let mut block = self.load(index)?;
            change(&mut block);
            if self.tolerance.worst_row(y, &block.forward(x, &self.sequences)?, x).is_none() {
                return Ok(Some(cause));
            }
        }
        Ok(None)
    }
}

/// A random gradient of the block's output, in ±1.
fn direction(like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> =
        random::uniform(SEED, random::module_key("direction"), like.elem_count())
            .into_iter()
            .map(|u| 2.0 * u - 1.0)
            .collect();
    Ok(Tensor::from_vec(values, like.shape(), like.device())?.to_dtype(like.dtype())?)
}
