//! Weight files: safetensors (whole or sharded) and `pytorch_model.bin`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};
use safetensors::{SafeTensors, tensor::TensorInfo};
use serde::Deserialize;
use sft_kernels::{FrozenWeight, MappedFile, matmul::Quantised};
use sft_lora::{
    limited::{SETTINGS, read_limited},
    open_safetensors,
    torch_file::TorchFile,
};

use crate::{ModelError, Result, decoder::Types, quantised::is_companion, runtime::Quantize};

/// Every tensor of a model folder, read on demand.
pub(crate) struct WeightFiles {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Which file has which tensor.
    index: BTreeMap<String, usize>,
    /// What [`WeightFiles::load`] has handed out.
    loaded: RefCell<BTreeSet<String>>,
    /// No files: every tensor is made up.
    random: bool,
    /// How the matrices of the blocks are stored, if in few bits.
    quantised: Option<Quantize>,
}

enum WeightFile {
    Safetensors {
        path: PathBuf,
        bytes: Arc<MappedFile>,
        /// Where the tensors' data begins.
        start: usize,
        tensors: BTreeMap<String, TensorInfo>,
    },
    Torch(TorchFile),
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, in order.
///
/// # Errors
/// When the index cannot be read, or a name in it leads out of the index's folder.
pub(crate) fn shard_names(index: &Path) -> Result<BTreeSet<String>> {
    let text = read_limited(index, SETTINGS)
        .map_err(|source| ModelError::io(index, "read this file", source))?;
    let shards: ShardIndex = serde_json::from_slice(&text)
        .map_err(|source| ModelError::Json { path: index.into(), source })?;
    let shards: BTreeSet<String> = shards.weight_map.into_values().collect();
    let inside = |name: &str| {
        let normal = |part| matches!(part, Component::Normal(_));
        let strange = |c: char| c.is_control() || c == ':' || c == '\\';
        !name.is_empty() && !name.contains(strange) && Path::new(name).components().all(normal)
    };
    match shards.iter().find(|name| !inside(name)) {
        None => Ok(shards),
        Some(name) => Err(ModelError::Weights {
            path: index.into(),
            problem: format!(
                "the shard {name:?} is not inside the model's folder; do not use this model"
            ),
        }),
    }
}

impl WeightFiles {
    /// Opens the files of a folder and checks them as far as their headers go.
    pub(crate) fn open(dir: &Path, quantised: Option<Quantize>) -> Result<Self> {
        let mut files = Vec::new();
        for path in Self::paths(dir)? {
            files.push(WeightFile::open(&path)?);
        }
        let mut index = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for name in file.names() {
                if index.insert(name.clone(), i).is_some() {
                    let problem = format!("the tensor `{name}` is in two files; fetch them again");
                    return Err(ModelError::Weights { path: dir.into(), problem });
                }
            }
        }
        let loaded = RefCell::default();
        Ok(Self { dir: dir.into(), files, index, loaded, random: false, quantised })
    }

    /// No files, but random matrices and norms of 1, of any name and shape, made where they are used.
    pub(crate) fn random() -> Self {
        Self {
            dir: PathBuf::from("random weights"),
            files: Vec::new(),
            index: BTreeMap::new(),
            loaded: RefCell::default(),
            random: true,
            quantised: None,
        }
    }

    /// The weight files of a folder; a shard that its index names must exist.
    pub(crate) fn paths(dir: &Path) -> Result<Vec<PathBuf>> {
        for name in ["model.safetensors", "pytorch_model.bin"] {
            let index = dir.join(format!("{name}.index.json"));
            if index.is_file() {
                let shards = shard_names(&index)?;
                let paths: Vec<PathBuf> = shards.iter().map(|shard| dir.join(shard)).collect();
                if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
                    return Err(ModelError::Weights {
                        path: missing.clone(),
                        problem: format!(
                            "this shard is missing; {} names {} of them: fetch the folder again",
                            index.display(),
                            paths.len()
                        ),
                    });
                }
                return Ok(paths);
            }
            let whole = dir.join(name);
            if whole.is_file() {
                return Ok(vec![whole]);
            }
        }
        Err(ModelError::NotAModel {
            path: dir.into(),
            reason: "no weights here: neither model.safetensors, nor its shards, nor \
                     pytorch_model.bin; give the folder of a whole model"
                .into(),
        })
    }

    /// Names of all tensors, in order; a quantised matrix is one.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let whole = |name: &&str| self.quantised.is_none() || !is_companion(name);
        self.index.keys().map(String::as_str).filter(whole)
    }

    /// One tensor as it is stored; a quantised matrix as the bf16 that it stands for.
    pub(crate) fn stored(&self, name: &str) -> Result<Tensor> {
        match self.quantised_shape(name)? {
            None => self.file_of(name)?.tensor(name, &Device::Cpu),
            Some(shape) => self.dequantised(name, shape, DType::BF16),
        }
    }

    /// The type of [`stored`](Self::stored).
    pub(crate) fn stored_dtype(&self, name: &str) -> Result<DType> {
        if self.quantised_shape(name)?.is_some() {
            return Ok(DType::BF16);
        }
        match self.in_safetensors(name).and_then(|(_, _, info)| stored_type(info)) {
            Some(dtype) => Ok(dtype),
            None => Ok(self.stored(name)?.dtype()),
        }
    }

    /// Size of one tensor in its file; of a quantised matrix, as bf16.
    pub(crate) fn stored_bytes(&self, name: &str) -> Result<usize> {
        if let Some([rows, cols]) = self.quantised_shape(name)? {
            return Ok(rows.saturating_mul(cols).saturating_mul(2));
        }
        Ok(match self.file_of(name)? {
            WeightFile::Safetensors { tensors, .. } => {
                tensors.get(name).map_or(0, |info| info.data_offsets.1 - info.data_offsets.0)
            }
            WeightFile::Torch(file) => file.size(name),
        })
    }

    /// How the matrices of the blocks are stored, if in few bits.
    pub(crate) fn quantised(&self) -> Option<Quantize> {
        self.quantised
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The file that has a tensor, for messages; the folder where none has it.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        match self.index.get(name).map(|&i| &self.files[i]) {
            Some(WeightFile::Safetensors { path, .. }) => path.clone(),
            _ => self.dir.clone(),
        }
    }

    /// A tensor of a safetensors file: the file, where its data begins, and what its header says.
    pub(crate) fn in_safetensors(
        &self,
        name: &str,
    ) -> Option<(&Arc<MappedFile>, usize, &TensorInfo)> {
        match &self.files[*self.index.get(name)?] {
            WeightFile::Safetensors { bytes, start, tensors, .. } => {
                Some((bytes, *start, tensors.get(name)?))
            }
            WeightFile::Torch(_) => None,
        }
    }

    fn file_of(&self, name: &str) -> Result<&WeightFile> {
        let file = self.index.get(name).map(|&i| &self.files[i]);
        file.ok_or_else(|| ModelError::Weights {
            path: self.dir.clone(),
            problem: format!(
                "the weights have no tensor `{name}`; the files do not belong to this config.json"
            ),
        })
    }

    /// One tensor of a known shape, in the type and on the device that computes.
    pub(crate) fn load(
        &self,
        name: &str,
        shape: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        if self.random {
            let made = match shape {
                [_] => Tensor::ones(shape, DType::F32, device)?,
                _ => Tensor::randn(0f32, 0.02, shape, device)?,
            };
            return Ok(made.to_dtype(dtype)?);
        }
        let tensor = self.file_of(name)?.tensor(name, device)?;
        self.accept(name, tensor.dims(), shape)?;
        Ok(tensor.to_dtype(dtype)?)
    }

    /// A normalisation or a bias, in the type of the activations; beside matrices in few bits it is rounded to bf16.
    pub(crate) fn load_vector(
        &self,
        name: &str,
        len: usize,
        types: Types,
        device: &Device,
    ) -> Result<Tensor> {
        let vector = self.load(name, &[len], types.activations, device)?;
        match types.quantize {
            None => Ok(vector),
            Some(_) => Ok(vector.to_dtype(DType::BF16)?.to_dtype(types.activations)?),
        }
    }

    /// One matrix as [`WeightFiles::load`] gives it; where it is stored as it computes, for the CPU,
    /// it is no copy but lies in the mapped file.
    pub(crate) fn load_matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> Result<FrozenWeight> {
        if device.is_cpu()
            && !self.random
            && let WeightFile::Safetensors { bytes, start, tensors, .. } = self.file_of(name)?
            && let Some(info) = tensors.get(name)
            && let Some(stored) = stored_type(info)
            && (stored == dtype || (stored, dtype) == (DType::F32, DType::BF16))
        {
            self.accept(name, &info.shape, &shape)?;
            let begin = start + info.data_offsets.0;
            if let Some(weight) = FrozenWeight::from_map(bytes, begin, stored, shape) {
                if stored == dtype {
                    return Ok(weight);
                }
                if let Some(rounded) = weight.lock().matrix()?.rounded() {
                    let tensor = Tensor::from_vec(rounded, shape.as_slice(), device)?;
                    return Ok(FrozenWeight::from_tensor(&tensor)?);
                }
            }
        }
        Ok(FrozenWeight::from_tensor(&self.load(name, &shape, dtype, device)?)?)
    }

    /// A matrix of a block: as [`WeightFiles::load_matrix`] gives it, or quantised.
    pub(crate) fn load_block_matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        types: Types,
        device: &Device,
    ) -> Result<FrozenWeight> {
        if self.quantised.is_some()
            && let Some(stored) = self.in_few_bits(name, shape)?
        {
            self.accept(name, &shape, &shape)?;
            if types.quantize.is_some() {
                return Ok(FrozenWeight::from_quantised(stored));
            }
            let dense = FrozenWeight::from_quantised(stored).to_tensor_in(types.weights)?;
            return Ok(FrozenWeight::from_tensor(&dense.to_device(device)?)?);
        }
        match types.quantize {
            // What a quantised folder has dense was left so on purpose.
            Some(quantize) if self.quantised.is_none() => {
                let matrix = self.quantised_now(name, shape, quantize, device)?;
                Ok(FrozenWeight::from_quantised(matrix))
            }
            _ => self.load_matrix(name, shape, types.weights, device),
        }
    }

    /// A dense matrix, quantised.
    pub(crate) fn quantised_now(
        &self,
        name: &str,
        shape: [usize; 2],
        quantize: Quantize,
        device: &Device,
    ) -> Result<Quantised> {
        let stored = self.in_safetensors(name);
        let dtype = stored.and_then(|(_, _, info)| stored_type(info));
        let in_place = dtype.filter(|dtype| *dtype == DType::BF16).unwrap_or(DType::F32);
        let dense = self.load_matrix(name, shape, in_place, device)?;
        let quantised = {
            let (dense, quantised) = (
                dense.lock(),
                match quantize {
                    Quantize::Nf4 => Quantised::nf4_of,
                    Quantize::Int8 => Quantised::int8_of,
                },
            );
            quantised(&dense.matrix()?)?
        };
        drop(dense);
        if let Some((file, start, info)) = stored {
            file.forget(start + info.data_offsets.0..start + info.data_offsets.1);
        }
        Ok(quantised)
    }

    /// Notes that a tensor is handed out, which must have the shape that is asked for.
    fn accept(&self, name: &str, found: &[usize], expected: &[usize]) -> Result<()> {
        if found != expected {
            return Err(ModelError::Weights {
                path: self.dir.clone(),
                problem: format!(
                    "tensor `{name}` is {found:?} where config.json asks for {expected:?}; the \
                     files do not belong together"
                ),
            });
        }
        self.loaded.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    /// Refuses files that somebody has written to since they were opened.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        for file in &self.files {
            if let WeightFile::Safetensors { path, bytes, .. } = file
                && !bytes.is_unchanged().map_err(|source| {
                    ModelError::io(path, "look at the length of this file", source)
                })?
            {
                return Err(ModelError::Weights {
                    path: path.clone(),
                    problem: "the file was written to while it was read; start again when it is \
                              complete"
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// Refuses files whose blocks have parameters that nobody has loaded: a bias or a normalisation
    /// that the configuration does not know of would be left out of the computation.
    pub(crate) fn check_blocks_are_read(&self, blocks: usize) -> Result<()> {
        let loaded = self.loaded.borrow();
        let is_left = |name: &&str| {
            let rest = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
            rest.is_some_and(|(block, parameter)| {
                block.parse().is_ok_and(|block: usize| block < blocks)
                    && !parameter.ends_with("rotary_emb.inv_freq") // old files keep the frequencies
            }) && !loaded.contains(*name)
        };
        match self.names().find(is_left) {
            None => Ok(()),
            Some(name) => Err(ModelError::Weights {
                path: self.dir.clone(),
                problem: format!(
                    "the weights have a tensor `{name}` that a model as in config.json does not \
                     have; the files do not belong together, or model_type is not the model's own"
                ),
            }),
        }
    }
}

impl WeightFile {
    fn open(path: &Path) -> Result<Self> {
        let broken = |why: String| ModelError::Weights {
            path: path.into(),
            problem: format!("the file is truncated or broken ({why}); fetch it again"),
        };
        if path.extension().is_some_and(|extension| extension == "bin") {
            return Ok(Self::Torch(TorchFile::open(path)?));
        }
        let bytes = MappedFile::open(path)
            .map_err(|source| ModelError::io(path, "map this file", source))?;
        let bytes = Arc::new(bytes);
        open_safetensors(&bytes).map_err(|error| broken(error.to_string()))?;
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| broken(error.to_string()))?;
        let tensors =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        // 8 bytes of length stand before the header.
        Ok(Self::Safetensors { path: path.into(), bytes, start: header + 8, tensors })
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Safetensors { tensors, .. } => tensors.keys().cloned().collect(),
            Self::Torch(file) => file.names().map(str::to_owned).collect(),
        }
    }

    /// As it is stored, from the file to the device.
    fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let refuse =
            |path: &Path, problem: String| ModelError::Weights { path: path.into(), problem };
        match self {
            Self::Torch(file) => Ok(file.tensor(name, device)?),
            Self::Safetensors { path, bytes, start, tensors } => {
                let info =
                    tensors.get(name).ok_or_else(|| refuse(path, format!("no tensor `{name}`")))?;
                let dtype = stored_type(info).ok_or_else(|| {
                    let found = info.dtype;
                    let problem = format!(
                        "tensor `{name}` has type {found:?}; f32, bf16 and f16 weights are read"
                    );
                    refuse(path, problem)
                })?;
                let (from, to) = info.data_offsets;
                let data = &bytes[start + from..start + to];
                Ok(Tensor::from_raw_buffer(data, dtype, &info.shape, device)?)
            }
        }
    }
}

/// The type of a stored tensor, if it is one of numbers that are read.
fn stored_type(info: &TensorInfo) -> Option<DType> {
    match info.dtype {
        safetensors::Dtype::F64 => Some(DType::F64),
        safetensors::Dtype::F32 => Some(DType::F32),
        safetensors::Dtype::BF16 => Some(DType::BF16),
        safetensors::Dtype::F16 => Some(DType::F16),
        _ => None,
    }
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
