//! The decoder: an embedding, a chain of blocks, a head; and its adapters.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor, Var};
use sft_kernels::{FrozenWeight, cpu::Buffers, matmul::reference, random::Fnv, rms_norm};
use sft_lora::{LoraConfig, LoraLinear, peft::PeftAdapter};

use crate::{
    ModelConfig, ModelDir, ModelError, Result,
    block::Block,
    device,
    projection::{Mode, Projection},
    rotary::Rotary,
    runtime::Quantize,
    weights::WeightFiles,
};

/// Number types of a model.
#[derive(Clone, Copy)]
pub(crate) struct Types {
    /// Of its matrices.
    pub(crate) weights: DType,
    /// Of activations, normalisations and biases.
    pub(crate) activations: DType,
    /// How the matrices of the blocks are kept, if not as `weights`.
    pub(crate) quantize: Option<Quantize>,
}

impl Types {
    fn of(weights: DType, quantize: Option<Quantize>, device: &Device) -> Self {
        let mixed = weights == DType::BF16 && device.is_cpu();
        Self { weights, activations: if mixed { DType::F32 } else { weights }, quantize }
    }
}

/// Rows of a matrix that its fingerprint looks at, from the first to the last: another training has moved every one.
const SAMPLED: u64 = 16;

/// A causal language model with a frozen base, and adapters when they have been added.
pub struct Decoder {
    config: ModelConfig,
    types: Types,
    device: Device,
    pub(crate) embedding: FrozenWeight,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Tensor,
    pub(crate) head: FrozenWeight,
    pub(crate) rotary: Rotary,
    /// Memory of the passes on the CPU.
    pub(crate) buffers: Buffers,
    lora: Option<LoraConfig>,
    lora_enabled: bool,
    /// What was asked for.
    passes: Passes,
}

/// How a model's passes are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// By hand on slices, where the model is on the CPU with f32 activations, else as `Tensors`.
    Fast,
    /// By hand on tensors, where every operation has a backward of its own, else as `Autograd`.
    Tensors,
    /// Through candle's autograd, operation by operation: slow, and what the others are compared with.
    Autograd,
}

impl Decoder {
    /// Loads the base of a model folder, to be held and multiplied in `dtype` on `device`.
    ///
    /// On the CPU a bf16 base has f32 activations, and only its matrices are bf16: the products round
    /// what they multiply and sum in f32.
    ///
    /// # Errors
    /// When a weight file is missing, broken, or does not fit the configuration.
    pub fn load(dir: &ModelDir, dtype: DType, device: &Device) -> Result<Self> {
        Self::load_as(dir, dtype, None, device)
    }

    /// [`load`](Self::load) with the matrices of the blocks in few bits, if that is wished for: each is
    /// read and quantised before the next is read. `dtype` is then bf16 and the device the CPU, as
    /// [`Quantize::resolve`] has them. Matrices that the folder has in few bits are read where they lie;
    /// without a wish for them they become dense.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and when a weight is not finite.
    pub fn load_as(
        dir: &ModelDir,
        dtype: DType,
        quantize: Option<Quantize>,
        device: &Device,
    ) -> Result<Self> {
        let model = Self::build(dir.config(), &dir.weights()?, dtype, quantize, device)?;
        tracing::debug!(path = %dir.path().display(), ?dtype, ?device, "base loaded");
        Ok(model)
    }

    /// A model of this shape with random weights, made on the device: for measurements.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn random(config: &ModelConfig, dtype: DType, device: &Device) -> Result<Self> {
        Self::build(config, &WeightFiles::random(), dtype, None, device)
    }

    fn build(
        config: &ModelConfig,
        weights: &WeightFiles,
        dtype: DType,
        quantize: Option<Quantize>,
        device: &Device,
    ) -> Result<Self> {
        let config = config.clone();
        let matrix = |name: &str| {
            weights.load_matrix(name, [config.vocab_size, config.hidden_size], dtype, device)
        };
        let embedding = matrix("model.embed_tokens.weight")?;
        let head =
            if config.tie_word_embeddings { embedding.clone() } else { matrix("lm_head.weight")? };
        let types = Types::of(dtype, quantize, device);
        let final_norm =
            weights.load_vector("model.norm.weight", config.hidden_size, types, device)?;
        let blocks = (0..config.num_hidden_layers)
            .map(|index| Block::load(weights, &config, index, types, device))
            .collect::<Result<_>>()?;
        weights.check_blocks_are_read(config.num_hidden_layers)?;
        weights.check_unchanged()?;
        let rotary = Rotary::new(&config);
        Ok(Self {
            config,
            types,
            device: device.clone(),
            embedding,
            blocks,
            final_norm,
            head,
            rotary,
            buffers: Buffers::default(),
            lora: None,
            lora_enabled: true,
            passes: if reference() { Passes::Autograd } else { Passes::Fast },
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the model computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of the base; adapters are f32.
    pub fn dtype(&self) -> DType {
        self.types.weights
    }

    /// How the matrices of the blocks are kept, if in few bits.
    pub fn quantize(&self) -> Option<Quantize> {
        self.types.quantize
    }

    /// The type of what passes between the layers.
    pub(crate) fn activation_dtype(&self) -> DType {
        self.types.activations
    }

    /// Refuses to go on when a file in which weights lie was written to since it was opened.
    ///
    /// # Errors
    /// [`ModelError::Weights`] with the file.
    pub fn check_unchanged(&self) -> Result<()> {
        let weights = self.projections().map(Projection::weight);
        let mut last = None;
        for file in
            weights.chain([&self.embedding, &self.head]).filter_map(FrozenWeight::mapped_file)
        {
            // Neighbours lie in the same file.
            if last.is_some_and(|last| Arc::ptr_eq(last, file)) {
                continue;
            }
            last = Some(file);
            let unchanged = file.is_unchanged().map_err(|source| {
                ModelError::io(file.path(), "look at the length of this file", source)
            })?;
            if !unchanged {
                return Err(ModelError::Weights {
                    path: file.path().into(),
                    problem:
                        "the file was written to while its weights were in use; put the old one \
                              back, or start anew"
                            .into(),
                });
            }
        }
        Ok(())
    }

    /// Numbers in the base and the adapters; a tied head counts once.
    pub fn total_parameters(&self) -> usize {
        let matrix = |weight: &FrozenWeight| weight.out_features() * weight.in_features();
        let base: usize = self
            .projections()
            .map(|projection| {
                matrix(projection.weight()) + projection.bias().map_or(0, Tensor::elem_count)
            })
            .sum();
        let norms: usize = self.blocks.iter().flat_map(Block::norms).map(Tensor::elem_count).sum();
        let head = if self.config.tie_word_embeddings { 0 } else { matrix(&self.head) };
        matrix(&self.embedding)
            + head
            + base
            + norms
            + self.final_norm.elem_count()
            + self.trainable_parameters()
    }

    /// A text that tells one base from another: a hash of rows all over every matrix, and of the
    /// norms. Meant to notice that the files have changed, not to withstand somebody who hides it.
    ///
    /// # Errors
    /// When a tensor cannot be read back from its device.
    pub fn base_fingerprint(&self) -> Result<String> {
        let matrices =
            self.projections().map(Projection::weight).chain([&self.embedding, &self.head]);
        let rows = matrices.map(|weight| {
            let count = weight.out_features() as u64;
            let mut ids: Vec<u32> = (0..SAMPLED)
                .map(|i| (count.saturating_sub(1) * i / (SAMPLED - 1)) as u32)
                .collect();
            ids.dedup();
            weight.gather_rows(&Tensor::new(ids, &self.device)?)
        });
        let norms = self.blocks.iter().flat_map(Block::norms).chain([&self.final_norm]);
        let mut hash = Fnv::default();
        for tensor in rows.chain(norms.map(|norm| Ok(norm.clone()))) {
            let values: Vec<f64> = tensor?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            for value in values {
                hash.update(&value.to_le_bytes());
            }
        }
        Ok(hash.hex())
    }

    /// Numbers in the adapters.
    pub fn trainable_parameters(&self) -> usize {
        self.lora_parameters().values().map(|var| var.elem_count()).sum()
    }

    /// Full dotted names of the linear layers that an adapter can sit on, from the first block to
    /// the last.
    pub fn linear_modules(&self) -> Vec<String> {
        self.projections().map(|projection| projection.module().to_owned()).collect()
    }

    /// Puts fresh adapters on every linear layer that `config` targets: `A` seeded by the layer's
    /// name, `B` zero.
    ///
    /// # Errors
    /// When the configuration is invalid, targets no layer, or the model has adapters already.
    pub fn add_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        config.validate()?;
        self.adapt(config, |weight, bias, module| {
            Ok(LoraLinear::from_frozen(weight, bias, module, config, seed)?)
        })
    }

    /// Puts a loaded adapter on the model.
    ///
    /// # Errors
    /// When its names or shapes do not fit, or the model has adapters already.
    pub fn load_lora(&mut self, adapter: &PeftAdapter) -> Result<()> {
        let config = &adapter.lora;
        let mut unused: BTreeSet<&str> = adapter.tensors.keys().map(String::as_str).collect();
        let modules: BTreeSet<String> = self.linear_modules().into_iter().collect();
        for name in &unused {
            let module = name.rsplit_once(".lora_").map_or(*name, |(module, _)| module);
            if !modules.contains(module) {
                return Err(ModelError::Adapter(format!(
                    "it adapts `{module}`, which is no linear layer in a block of the base; give \
                     the base that it was trained on (adapters of the head or the embedding are \
                     not supported)"
                )));
            }
        }
        self.adapt(config, |weight, bias, module| {
            let mut take = |matrix: &str| {
                let name = format!("{module}.{matrix}.weight");
                unused.remove(name.as_str());
                adapter.tensors.get(&name).cloned().ok_or_else(|| {
                    ModelError::Adapter(format!(
                        "its config targets `{module}`, but it has no tensor `{name}`"
                    ))
                })
            };
            let a = take("lora_A")?.to_device(weight.device())?;
            let b = take("lora_B")?.to_device(weight.device())?;
            Ok(LoraLinear::with_weights(weight, bias, module, config, a, b)?)
        })?;
        if let Some(name) = unused.first() {
            let problem =
                format!("tensor `{name}` is not among the modules that its config targets");
            self.remove_lora()?;
            return Err(ModelError::Adapter(problem));
        }
        Ok(())
    }

    fn adapt(
        &mut self,
        config: &LoraConfig,
        mut layer: impl FnMut(FrozenWeight, Option<Tensor>, &str) -> Result<LoraLinear>,
    ) -> Result<()> {
        if self.lora.is_some() {
            return Err(ModelError::State("the model has an adapter already; remove it first"));
        }
        // All layers are made before the first is put in place: an error leaves the model as it was.
        let mut layers = Vec::new();
        for (index, projection) in self.projections().enumerate() {
            let module = projection.module();
            if config.targets(module, false)? {
                let bias = projection.bias().cloned();
                layers.push((index, layer(projection.weight().clone(), bias, module)?));
            }
        }
        if layers.is_empty() {
            let modules = self.projections().map(|projection| leaf(projection.module()));
            let names: BTreeSet<&str> = modules.collect();
            return Err(ModelError::Adapter(format!(
                "target_modules matches no linear layer of this model; its layers are: {}",
                names.into_iter().collect::<Vec<_>>().join(", ")
            )));
        }
        for (index, layer) in layers {
            *self.blocks[index / 7].projections_mut()[index % 7] = Projection::Lora(layer);
        }
        self.lora = Some(config.clone());
        self.lora_enabled = true;
        Ok(())
    }

    /// Takes the adapters off; the base is as it was loaded, bit for bit.
    ///
    /// # Errors
    /// When a merged layer cannot be restored.
    pub fn remove_lora(&mut self) -> Result<()> {
        for projection in self.blocks.iter_mut().flat_map(Block::projections_mut) {
            if let Some(layer) = projection.lora_mut() {
                if layer.is_merged() {
                    layer.unmerge()?;
                }
                *projection = Projection::Frozen {
                    module: projection.module().to_owned(),
                    weight: projection.weight().clone(),
                    bias: projection.bias().cloned(),
                };
            }
        }
        self.lora = None;
        Ok(())
    }

    /// Switches the adapters off and on again, merged or not: off, everything but training computes
    /// what the base alone computes. Adapters that are added later are on.
    pub fn set_lora_enabled(&mut self, enabled: bool) {
        self.lora_enabled = enabled;
    }

    /// What a pass that does not train is for.
    pub(crate) fn eval_mode(&self) -> Mode<'static> {
        if self.lora_enabled { Mode::Eval } else { Mode::Base }
    }

    /// Adds every adapter to its base weight, in f32, rounded once.
    ///
    /// # Errors
    /// When there is no adapter, or it is merged already.
    pub fn merge_lora(&mut self) -> Result<()> {
        if self.lora.is_none() {
            return Err(ModelError::State("there is no adapter to merge"));
        }
        for projection in self.blocks.iter_mut().flat_map(Block::projections_mut) {
            if let Some(layer) = projection.lora_mut() {
                layer.merge()?;
            }
        }
        Ok(())
    }

    /// The configuration of the adapters, if there are any.
    pub fn lora_config(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// The trainable parameters, by name in name order. Setting a variable changes the model.
    pub fn lora_parameters(&self) -> BTreeMap<String, Var> {
        self.projections().flat_map(Projection::parameters).collect()
    }

    /// Last parts of the names of the adapted layers, sorted: what `adapter_config.json` lists.
    pub fn adapted_leaf_names(&self) -> Vec<String> {
        let adapted = self.projections().filter(|projection| projection.lora().is_some());
        let names: BTreeSet<&str> = adapted.map(|projection| leaf(projection.module())).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// How the passes are to be computed: [`Passes::Fast`] at first, and with `SFT_KERNELS=reference`
    /// [`Passes::Autograd`].
    pub fn set_passes(&mut self, passes: Passes) {
        self.passes = passes;
    }

    /// How the passes are computed.
    pub(crate) fn passes(&self) -> Passes {
        let dtype = self.activation_dtype();
        let on_slices = self.device.is_cpu() && dtype == DType::F32;
        let on_tensors = || device::takes(&self.device, &self.config, dtype);
        match self.passes {
            _ if self.has_fault() => Passes::Autograd,
            Passes::Fast if on_slices => Passes::Fast,
            Passes::Fast | Passes::Tensors if on_tensors() => Passes::Tensors,
            _ => Passes::Autograd,
        }
    }

    /// Whether a test has planted a defect: only the passes through autograd have it.
    #[cfg_attr(not(feature = "planted-faults"), expect(clippy::unused_self))]
    pub(crate) fn has_fault(&self) -> bool {
        #[cfg(feature = "planted-faults")]
        return self.blocks.iter().any(|block| block.fault.is_some());
        #[cfg(not(feature = "planted-faults"))]
        false
    }

    /// Plants a defect in every block, for tests of the checks that must notice it.
    #[cfg(feature = "planted-faults")]
    pub fn plant_fault(&mut self, fault: crate::Fault) {
        for block in &mut self.blocks {
            block.fault = Some(fault);
        }
    }

    pub(crate) fn projections(&self) -> impl Iterator<Item = &Projection> {
        self.blocks.iter().flat_map(Block::projections)
    }

    /// Embeddings of token ids, `[T, D]`.
    pub(crate) fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return Err(ModelError::Batch(format!(
                "token id {id} is not below the model's vocab_size of {}; the tokenizer does not \
                 belong to the model",
                self.config.vocab_size
            )));
        }
        let rows = self.embedding.gather_rows(&Tensor::new(ids, &self.device)?)?;
        Ok(rows.to_dtype(self.activation_dtype())?)
    }

    pub(crate) fn normed(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(hidden, &self.final_norm, self.config.rms_norm_eps)?)
    }
}

/// The last part of a dotted name.
fn leaf(module: &str) -> &str {
    module.rsplit_once('.').map_or(module, |(_, leaf)| leaf)
}
