//! How much memory a training run takes, before any weight is read: the program's on the CPU, a CUDA device's on it.
//!
//! The activations are found by walking through a pass as the decoder does, with sizes in place of
//! numbers. What is computed again changes no byte of the result, so the plan is free to choose it.

mod device;
mod pass;
mod shelves;

use candle_core::{DType, Device};
use sft_kernels::matmul::{packs_activations, reference};
use sft_lora::LoraConfig;

use crate::{ModelConfig, Recompute, Result, modules::MODULES, runtime::Quantize};
use shelves::bytes;

/// Rows of logits that exist at one time.
pub(crate) const HEAD_ROWS: usize = 256;

/// Code and stacks that training is the first to touch, and memory that the allocator keeps back.
const SLACK: u64 = 16 << 20;

/// Kernels and work space of the libraries, and what a pool cannot use for its gaps. (The driver's context is there before
/// anybody asks what is free.)
const DEVICE_SLACK: u64 = 512 << 20;

/// Whether what is predicted here is what the device does with this model, its base in `dtype`: not where the passes go
/// through candle's autograd.
pub fn is_predictable(device: &Device, config: &ModelConfig, dtype: DType) -> bool {
    match device {
        Device::Cpu => !reference(),
        Device::Cuda(_) => crate::device::takes(device, config, dtype),
        Device::Metal(_) => false,
    }
}

/// The largest micro-batch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Rows of all sequences together.
    pub tokens: usize,
    /// Rows that predict a target.
    pub targets: usize,
    /// Rows of the longest sequence.
    pub longest: usize,
}

/// The base's weights, as they are held and as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// The type that computes.
    pub dtype: DType,
    /// Bytes of the weight files.
    pub file_bytes: u64,
    /// Whether a matrix that is stored in `dtype` is read where it lies.
    pub can_map: bool,
    /// How the matrices of the blocks are kept, if in few bits.
    pub quantize: Option<Quantize>,
    /// Whether they lie so in the files, and are read there.
    pub stored_quantised: bool,
}

/// Where a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the memory of the program.
    Host,
    /// In that of a CUDA device.
    Device,
}

/// Everything that the memory of a training run depends on, but for the number of blocks that are
/// computed again.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingShape {
    hidden: usize,
    queries: usize,
    keys: usize,
    inner: usize,
    vocab: usize,
    head_dim: usize,
    qk_norm: bool,
    /// Numbers in the base's matrices.
    parameters: u64,
    /// Those of them in its blocks.
    block_parameters: u64,
    /// Rank of each block's projections; 0 without an adapter.
    ranks: Vec<[usize; 7]>,
    dropout: bool,
    /// Whether activations wait for the backward pass as bf16.
    rounds: bool,
    /// Whose memory counts.
    pub place: Place,
    /// The base.
    pub weights: WeightShape,
    /// The largest micro-batch.
    pub batch: BatchShape,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes that the process takes without model and training: code, tokenizer, rows.
    pub process: u64,
}

/// Predicted memory of a training run, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The process without model and training.
    pub process: u64,
    /// The base's matrices in memory of their own.
    pub weights: u64,
    /// Those that are read in their files: resident, but the system's to take back.
    pub mapped: u64,
    /// Resident while the weights are loaded, the files' pages and the process included.
    pub loading: u64,
    /// The adapters and the optimizer's moments.
    pub adapters: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Work space of the worst moment, gradients included.
    pub temporary: u64,
}

impl MemoryEstimate {
    /// What training takes at its worst moment.
    pub fn training(&self) -> u64 {
        self.process
            + self.weights
            + self.mapped
            + self.adapters
            + self.activations
            + self.temporary
    }

    /// The highest resident size of the process: [`Self::training`], or a moment of loading.
    pub fn peak(&self) -> u64 {
        self.training().max(self.loading)
    }
}

/// What is computed again, and what the run then takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Blocks that are computed again in the backward pass.
    pub recomputed: usize,
    /// Blocks that have a backward pass.
    pub blocks: usize,
    /// Memory of the run.
    pub estimate: MemoryEstimate,
}

impl MemoryPlan {
    /// For [`crate::TrainPass`].
    pub fn recompute(&self) -> Recompute {
        Recompute::Blocks(self.recomputed)
    }
}

impl TrainingShape {
    /// A run that trains adapters as in `lora` on a model as in `config`.
    ///
    /// # Errors
    /// When the adapters' configuration has an invalid pattern.
    pub fn new(
        config: &ModelConfig,
        lora: &LoraConfig,
        weights: WeightShape,
        batch: BatchShape,
    ) -> Result<Self> {
        let ranks = (0..config.num_hidden_layers).map(|block| {
            let mut ranks = [0; 7];
            for (rank, module) in ranks.iter_mut().zip(MODULES) {
                let module = format!("model.layers.{block}.{module}");
                if lora.targets(&module, false)? {
                    *rank = lora.rank_for(&module);
                }
            }
            Result::Ok(ranks)
        });
        let mut shape = Self {
            hidden: config.hidden_size,
            queries: config.num_attention_heads * config.head_dim,
            keys: config.num_key_value_heads * config.head_dim,
            inner: config.intermediate_size,
            vocab: config.vocab_size,
            head_dim: config.head_dim,
            qk_norm: config.qk_norm,
            parameters: 0,
            block_parameters: 0,
            ranks: ranks.collect::<Result<_>>()?,
            dropout: lora.lora_dropout > 0.0,
            rounds: weights.dtype == DType::BF16 || weights.quantize.is_some(),
            place: Place::Host,
            weights,
            batch,
            threads: rayon::current_num_threads(),
            process: 0,
        };
        // A rank beyond its matrix is the adapter's to refuse.
        let most: [usize; 7] =
            std::array::from_fn(|i| shape.widths(i).into_iter().min().unwrap_or(0));
        for ranks in &mut shape.ranks {
            ranks.iter_mut().zip(most).for_each(|(rank, most)| *rank = most.min(*rank));
        }
        let of_block: usize = (0..7).map(|i| shape.widths(i).iter().product::<usize>()).sum();
        let heads = if config.tie_word_embeddings { 1 } else { 2 };
        let blocks = config.num_hidden_layers as u64 * of_block as u64;
        shape.block_parameters = blocks;
        shape.parameters = blocks + (heads * shape.vocab * shape.hidden) as u64;
        Ok(shape)
    }

    /// The plan with the fewest blocks computed again, of those that take no more than `budget`
    /// bytes; none if there is none. `all`: every block is computed again in any case.
    pub fn plan(&self, budget: u64, all: bool) -> Option<MemoryPlan> {
        if all {
            return (self.least() <= budget).then(|| self.plan_of(self.blocks()));
        }
        let mut plans = (0..=self.blocks()).map(|recomputed| self.plan_of(recomputed));
        plans.find(|plan| plan.estimate.training() <= budget)
    }

    /// The fewest bytes that any plan takes: most often those of computing all blocks again but the
    /// last, which is the first to have its backward pass.
    pub fn least(&self) -> u64 {
        let bytes = (0..=self.blocks()).map(|n| self.plan_of(n).estimate.training());
        bytes.min().unwrap_or_default()
    }

    /// The plan that computes so many blocks again.
    pub fn plan_of(&self, recomputed: usize) -> MemoryPlan {
        MemoryPlan { recomputed, blocks: self.blocks(), estimate: self.estimate(recomputed) }
    }

    /// Blocks that have a backward pass.
    pub fn blocks(&self) -> usize {
        self.ranks.len() - self.first()
    }

    /// The memory of a run that computes so many blocks again.
    fn estimate(&self, recomputed: usize) -> MemoryEstimate {
        if self.place == Place::Device {
            return self.estimate_on_device(recomputed);
        }
        let (quantised, dense) = match self.weights.quantize {
            Some(quantize) => {
                (quantize.bytes(self.block_parameters), self.parameters - self.block_parameters)
            }
            None => (0, self.parameters),
        };
        let dense = dense * self.weights.dtype.size_in_bytes() as u64;
        let (own, mapped) = match self.weights.quantize {
            Some(quantize) if self.weights.stored_quantised => {
                let scales = quantize.scale_bytes(self.block_parameters);
                (scales, self.weights.file_bytes - scales.min(self.weights.file_bytes))
            }
            _ if self.is_mapped() => (quantised, dense),
            _ => (quantised + dense, 0),
        };
        // A matrix that is quantised now is read alone, in its own type and in f32.
        let read = match self.weights.quantize {
            Some(_) if !self.weights.stored_quantised => {
                mapped + bytes(2 * self.hidden, self.inner.max(self.queries))
            }
            _ => self.weights.file_bytes,
        };
        let adapters = self.adapter_bytes();
        let pass = pass::simulate(self, recomputed);
        // Gradients grow through the backward pass.
        let temporary = adapters + self.attention_bytes() + self.packed_bytes() + SLACK;
        MemoryEstimate {
            process: self.process,
            weights: own,
            mapped,
            loading: self.process + read + own,
            adapters: 3 * adapters,
            activations: pass.kept,
            temporary: temporary + pass.held - pass.kept,
        }
    }

    /// The same on a CUDA device: nothing is mapped, nothing waits rounded, and a matrix more than the weights, while they are
    /// loaded, is less than what training takes.
    fn estimate_on_device(&self, recomputed: usize) -> MemoryEstimate {
        let (adapters, pass) = (self.adapter_bytes(), device::simulate(self, recomputed));
        let weights = self.parameters * self.weights.dtype.size_in_bytes() as u64;
        MemoryEstimate {
            process: DEVICE_SLACK,
            weights,
            mapped: 0,
            loading: 0,
            adapters: 3 * adapters,
            activations: pass.kept,
            temporary: adapters + pass.peak - pass.kept,
        }
    }

    /// Whether the matrices are read in their files: those have as many bytes as the matrices need.
    fn is_mapped(&self) -> bool {
        let stored = self.weights.file_bytes / self.parameters.max(1);
        self.weights.can_map && stored == self.weights.dtype.size_in_bytes() as u64
    }

    /// One copy of the adapters.
    fn adapter_bytes(&self) -> u64 {
        let of = |(projection, &rank): (usize, &usize)| {
            bytes(rank, self.widths(projection).iter().sum())
        };
        self.ranks.iter().flat_map(|ranks| ranks.iter().enumerate().map(of)).sum()
    }

    /// The parts that attention's backward pass puts together, and each thread's scores.
    fn attention_bytes(&self) -> u64 {
        let parts = bytes(self.batch.tokens, 2 * self.keys);
        let group = self.queries / self.keys.max(1);
        let rows = group * (96 / group.max(1)).clamp(16, 64).min(self.batch.longest);
        parts + self.threads as u64 * bytes(3 * rows, self.batch.longest + self.head_dim)
    }

    /// Activations as the products read them, where those round them: of all that are multiplied side
    /// by side.
    fn packed_bytes(&self) -> u64 {
        if !(self.rounds && packs_activations()) {
            return 0;
        }
        let widest = (2 * self.inner).max(self.queries + 2 * self.keys).max(self.hidden);
        let head = bytes(self.batch.targets.min(HEAD_ROWS), self.vocab);
        bytes(self.batch.tokens, widest).max(head) / 2
    }

    /// Features out of and into a projection.
    fn widths(&self, projection: usize) -> [usize; 2] {
        [
            [self.queries, self.hidden],
            [self.keys, self.hidden],
            [self.keys, self.hidden],
            [self.hidden, self.queries],
            [self.inner, self.hidden],
            [self.inner, self.hidden],
            [self.hidden, self.inner],
        ][projection]
    }

    /// The first adapted block.
    fn first(&self) -> usize {
        let adapted = |ranks: &[usize; 7]| ranks.iter().any(|&rank| rank > 0);
        self.ranks.iter().position(adapted).unwrap_or(self.ranks.len())
    }
}

#[cfg(test)]
mod tests;
