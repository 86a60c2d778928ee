//! The files of `torch.save`: a zip archive with a pickle in it, read and written without executing
//! anything.
//!
//! Only a dictionary of tensors is understood, which is what a state dict is. A pickle is a program;
//! like `torch.load(weights_only=True)`, the reader knows the few calls that rebuild a tensor and
//! refuses every other.

mod pickle;
mod unpickle;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use candle_core::{Device, Tensor};
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    LoraError,
    atomic::{self, Failure},
};
use unpickle::StoredTensor;

/// The folder inside the archive.
const ROOT: &str = "archive";

/// Tensors begin at multiples of this, as in files of newer versions of PyTorch, so that they can be
/// mapped.
const ALIGNMENT: u16 = 64;

/// A state dict on disk: what is in it is known, and each tensor is read when it is asked for.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    archive: Mutex<ZipArchive<BufReader<File>>>,
    /// What the names of the archive's entries begin with.
    root: String,
    tensors: BTreeMap<String, StoredTensor<String>>,
}

impl TorchFile {
    /// Opens a file and runs its pickle.
    ///
    /// # Errors
    /// [`LoraError::TorchFile`] when the file is damaged, was written before PyTorch 1.6, or holds
    /// anything but tensors; [`LoraError::Io`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LoraError> {
        let file = File::open(path).map_err(|source| LoraError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let damaged = |reason: String| LoraError::TorchFile { path: path.to_owned(), reason };
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            damaged(format!("{error} (files from before PyTorch 1.6 are no archives)"))
        })?;
        let root = archive
            .file_names()
            .filter_map(Result::ok)
            .find_map(|name| name.strip_suffix("data.pkl").map(str::to_owned))
            .ok_or_else(|| damaged("it has no entry data.pkl".to_owned()))?;
        let byteorder = format!("{root}byteorder");
        if archive.index_for_name(&byteorder).is_some()
            && entry(&mut archive, &byteorder, None).map_err(damaged)? != b"little"
        {
            return Err(damaged("its numbers are big endian".to_owned()));
        }
        let program = entry(&mut archive, &format!("{root}data.pkl"), None).map_err(damaged)?;
        let tensors = unpickle::state_dict(&program).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), archive: Mutex::new(archive), root, tensors })
    }

    /// Names of the tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Size of a tensor in bytes; 0 for a name that is not there.
    pub fn size(&self, name: &str) -> usize {
        self.tensors.get(name).map_or(0, |stored| {
            let count = stored.extent().map_or(0, |(count, _)| count);
            count.saturating_mul(stored.storage.dtype.size_in_bytes())
        })
    }

    /// Reads one tensor, in the type it has in the file.
    ///
    /// # Errors
    /// [`LoraError::TorchFile`] when it is not there or its data is damaged.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor, LoraError> {
        let damaged = |reason: String| LoraError::TorchFile {
            path: self.path.clone(),
            reason: format!("tensor {name}: {reason}"),
        };
        let stored =
            self.tensors.get(name).ok_or_else(|| damaged("it is not in this file".to_owned()))?;
        let key = format!("{}data/{}", self.root, stored.storage.key);
        let size = stored.storage.bytes().map_err(damaged)?;
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        let storage = entry(&mut archive, &key, Some(size)).map_err(damaged)?;
        let bytes = elements(stored, storage).map_err(damaged)?;
        Ok(Tensor::from_raw_buffer(&bytes, stored.storage.dtype, &stored.shape, device)?)
    }
}

/// How much more than a file its tensors may take: tied weights are stored once.
const COPIES: usize = 4;
/// What they may take in any case.
const SMALL: usize = 64 << 20;

/// Reads every tensor of a state dict, in the types of the file, by name.
///
/// # Errors
/// As [`TorchFile::open`] and [`TorchFile::tensor`].
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, LoraError> {
    let file = TorchFile::open(path)?;
    // Many tensors may share one storage, and each becomes a copy of its own.
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len() as usize);
    let total = file.names().fold(0usize, |sum, name| sum.saturating_add(file.size(name)));
    if total > length.saturating_mul(COPIES).max(SMALL) {
        let reason = format!("its tensors take {total} bytes, the file has {length}");
        return Err(LoraError::TorchFile { path: path.into(), reason });
    }
    file.names().map(|name| Ok((name.to_owned(), file.tensor(name, device)?))).collect()
}

/// Writes tensors as f32, as `torch.save(dict)` would. The same tensors give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), LoraError> {
    let shapes = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims()));
    // Nothing of the clock or the system enters the file.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .with_alignment(ALIGNMENT);
    atomic::write_with(path, |sibling| {
        let failed = |error: zip::result::ZipError| Failure::from(std::io::Error::from(error));
        let mut failure = None;
        let file = Remembering {
            file: BufWriter::new(File::create(sibling)?),
            failure: &mut failure,
            position: 0,
            end: 0,
        };
        let mut archive = ZipWriter::new(file);
        let mut add = |name: &str, bytes: &[u8]| {
            archive.start_file(format!("{ROOT}/{name}"), options).map_err(failed)?;
            Ok::<_, Failure>(archive.write_all(bytes)?)
        };
        add("data.pkl", &pickle::state_dict(shapes))?;
        add("byteorder", b"little")?;
        for (key, tensor) in tensors.values().enumerate() {
            add(&format!("data/{key}"), &f32_bytes(tensor)?)?;
        }
        add("version", b"3\n")?;
        archive.finish().map_err(failed)?.flush()?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    })
}

/// Remembers the first failure and goes on as if nothing had happened: an archive that is dropped after
/// one would try again, and say so on standard error.
struct Remembering<'a, W> {
    file: W,
    failure: &'a mut Option<std::io::Error>,
    position: u64,
    end: u64,
}

impl<W: Write> Write for Remembering<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.failure.is_none() {
            *self.failure = self.file.write_all(bytes).err();
        }
        self.position += bytes.len() as u64;
        self.end = self.end.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.failure.is_none() {
            *self.failure = self.file.flush().err();
        }
        Ok(())
    }
}

impl<W: Seek> Seek for Remembering<'_, W> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        self.position = position.ok_or(std::io::ErrorKind::InvalidInput)?;
        if self.failure.is_none() {
            *self.failure = self.file.seek(SeekFrom::Start(self.position)).err();
        }
        Ok(self.position)
    }
}

/// The elements of a tensor as f32, in row order, little endian.
pub(crate) fn f32_bytes(tensor: &Tensor) -> Result<Vec<u8>, LoraError> {
    let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// One entry of the archive, of the size that is expected of it. The archive's checksum is verified.
fn entry(
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
    size: Option<u64>,
) -> Result<Vec<u8>, String> {
    let mut entry = archive.by_name(name).map_err(|error| format!("entry {name}: {error}"))?;
    if let Some(size) = size.filter(|&size| size != entry.size()) {
        return Err(format!("entry {name} has {} bytes instead of {size}", entry.size()));
    }
    // Not allocated by the declared size, which may be a lie.
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| format!("entry {name}: {error}"))?;
    match size {
        Some(size) if size != bytes.len() as u64 => Err(format!("entry {name} is cut short")),
        _ => Ok(bytes),
    }
}

/// The elements of a tensor in row order, out of its storage.
fn elements(tensor: &StoredTensor<String>, storage: Vec<u8>) -> Result<Vec<u8>, String> {
    let (count, last) = tensor.extent().ok_or("its shape is out of range")?;
    let width = tensor.storage.dtype.size_in_bytes();
    let stored = storage.len() / width;
    if count > stored || (count > 0 && last >= stored) {
        return Err("it reaches beyond its storage".to_owned());
    }
    if tensor.is_contiguous() {
        let start = tensor.offset.min(stored) * width;
        return Ok(storage[start..start + count * width].to_vec());
    }
    let mut bytes = Vec::with_capacity(count * width);
    for element in 0..count {
        let (mut rest, mut at) = (element, tensor.offset);
        for (size, stride) in tensor.shape.iter().zip(&tensor.stride).rev() {
            at += rest % size * stride;
            rest /= size;
        }
        bytes.extend_from_slice(&storage[at * width..(at + 1) * width]);
    }
    Ok(bytes)
}
