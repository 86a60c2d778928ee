//! The matrices of an adapter: their names, shapes and the safetensors file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensorError;

use crate::{
    LoraConfig, LoraError, atomic, limited::read_regular, open_safetensors, serialize_to_file,
};

/// What PEFT's wrapper modules put in front of a module's path.
const PREFIX: &str = "base_model.model.";

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// The names and types that files have: with PEFT's prefix, f32.
pub(super) fn to_file(
    tensors: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>, LoraError> {
    tensors
        .iter()
        .map(|(name, tensor)| {
            let tensor = tensor.detach().to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
            Ok((format!("{PREFIX}{name}"), tensor))
        })
        .collect()
}

/// The inverse of [`to_file`]. A name without the prefix is left as it is; [`check`] decides.
pub(super) fn from_file(
    tensors: BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>, LoraError> {
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            let name = name.strip_prefix(PREFIX).map(str::to_owned).unwrap_or(name);
            Ok((name, tensor.to_dtype(DType::F32)?))
        })
        .collect()
}

/// Checks that `tensors` are an A and a B for every module, each of its module's rank.
pub(super) fn check(
    config: &LoraConfig,
    tensors: &BTreeMap<String, Tensor>,
    path: &Path,
) -> Result<(), LoraError> {
    let mut problems = Vec::new();
    let mut modules = BTreeSet::new();
    for (name, tensor) in tensors {
        let (module, rank_dim) = match (name.strip_suffix(A), name.strip_suffix(B)) {
            (Some(module), _) => (module, 0),
            (_, Some(module)) => (module, 1),
            _ => {
                problems.push(format!(
                    "unexpected tensor {name}; an adapter holds lora_A and lora_B matrices alone"
                ));
                continue;
            }
        };
        modules.insert(module);
        if !config.targets(module, false)? {
            problems
                .push(format!("unexpected tensor {name}; target_modules does not name {module}"));
        }
        let r = config.rank_for(module);
        if tensor.dims().len() != 2 || tensor.dims()[rank_dim] != r {
            let expected = if rank_dim == 0 { format!("[{r}, in]") } else { format!("[out, {r}]") };
            problems.push(format!("{name} has shape {:?}, not {expected}", tensor.dims()));
        }
    }
    for module in &modules {
        for name in [format!("{module}{A}"), format!("{module}{B}")] {
            if !tensors.contains_key(&name) {
                problems.push(format!("missing tensor {name}"));
            }
        }
    }
    if tensors.is_empty() {
        problems.push("it holds no tensor".to_owned());
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(LoraError::Names { path: path.to_owned(), problems })
    }
}

/// Writes f32 tensors with the metadata that transformers asks for.
pub(super) fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), LoraError> {
    let on_cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32);
    let tensors: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), on_cpu(tensor)?)))
        .collect::<Result<_, LoraError>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    atomic::write_with(path, |sibling| {
        serialize_to_file(tensors, Some(metadata), sibling).map_err(|error| match error {
            SafeTensorError::IoError(error) => error.into(),
            source => LoraError::Safetensors { path: path.to_owned(), source }.into(),
        })
    })
}

/// Reads every tensor of a safetensors file.
pub(super) fn read_safetensors(
    path: &Path,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, LoraError> {
    let bytes = read_regular(path).map_err(|source| LoraError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let file = open_safetensors(&bytes)
        .map_err(|source| LoraError::Safetensors { path: path.to_owned(), source })?;
    file.iter()
        .map(|(name, view)| {
            let tensor = DType::try_from(view.dtype()).and_then(|dtype| {
                Tensor::from_raw_buffer(view.data(), dtype, view.shape(), device)
            });
            Ok((name.to_owned(), tensor.map_err(|error| LoraError::from(error).in_file(path))?))
        })
        .collect()
}
