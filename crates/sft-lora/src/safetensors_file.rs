//! Safetensors files, written tensor by tensor.

use std::{collections::HashMap, fmt::Display, fs::File, path::Path};

use safetensors::{SafeTensorError, View};

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
