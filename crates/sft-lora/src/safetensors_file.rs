//! Safetensors files, written tensor by tensor.

use std::{collections::HashMap, fmt::Display, fs::File, path::Path};

use safetensors::{SafeTensorError, SafeTensors, View};

/// Most bytes of a header: that of a model with a hundred thousand tensors has as many. (The library takes 100 MB of JSON, which
/// become several times as much in memory.)
const HEADER: u64 = 16 << 20;

/// [`SafeTensors::deserialize`] for files from elsewhere: the header is of a size that is its due.
///
/// # Errors
/// When the header is too large, or offsets, sizes, types and shapes do not fit together.
pub fn open_safetensors(bytes: &[u8]) -> Result<SafeTensors<'_>, SafeTensorError> {
    let length = bytes.first_chunk().copied().map(u64::from_le_bytes);
    if length.is_some_and(|length| length > HEADER) {
        return Err(SafeTensorError::HeaderTooLarge);
    }
    SafeTensors::deserialize(bytes)
}

/// [`safetensors::serialize_to_file`], and the file has the rights that a new one has. (The library's own
/// replaces it by one that its owner alone may read.)
///
/// # Errors
/// When a name is there twice, or the file cannot be written.
#[allow(clippy::implicit_hasher)] // that is the type which the library takes
pub fn serialize_to_file<S: AsRef<str> + Ord + Display, V: View>(
    tensors: impl IntoIterator<Item = (S, V)>,
    metadata: Option<HashMap<String, String>>,
    path: &Path,
) -> Result<(), SafeTensorError> {
    let rights = File::create(path)?.metadata()?.permissions();
    safetensors::serialize_to_file(tensors, metadata, path)?;
    Ok(std::fs::set_permissions(path, rights)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn a_file_has_the_rights_of_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["a", "b"].map(|name| folder.path().join(name));
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        serialize_to_file([("x", tensor)], None, &path).unwrap();
        File::create(&other).unwrap();
        let rights = |path: &Path| std::fs::metadata(path).unwrap().permissions();
        assert_eq!(rights(&path), rights(&other));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
