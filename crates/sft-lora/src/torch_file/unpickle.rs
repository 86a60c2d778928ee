//! Reading the pickle of a state dict.
//!
//! A stack machine over values that borrow from the program. Compound values live in arenas and are
//! named by index, so that nothing here recurses and memory grows with the program's length alone,
//! whatever the program says.

use std::collections::{BTreeMap, HashMap};

use candle_core::DType;

/// One tuple may serve many tensors: without a limit, copies of it could fill the memory.
const MAX_DIMS: usize = 16;

/// A tensor as its pickle describes it; `K` is the text of its entry's name.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor<K> {
    pub(super) storage: Storage<K>,
    /// In elements, as the strides are.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// A run of elements in an entry of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<K> {
    pub(super) dtype: DType,
    pub(super) key: K,
    len: usize,
}

impl<K> Storage<K> {
    pub(super) fn bytes(&self) -> Result<u64, String> {
        self.len
            .checked_mul(self.dtype.size_in_bytes())
            .map(|bytes| bytes as u64)
            .ok_or_else(|| "its storage is larger than memory".to_owned())
    }
}

impl StoredTensor<&str> {
    /// The same, independent of the program it was read from.
    fn owned(&self) -> StoredTensor<String> {
        let Storage { dtype, key, len } = self.storage;
        StoredTensor {
            storage: Storage { dtype, key: key.to_owned(), len },
            offset: self.offset,
            shape: self.shape.clone(),
            stride: self.stride.clone(),
        }
    }
}

impl<K> StoredTensor<K> {
    /// Number of elements, and index of the last one in the storage.
    pub(super) fn extent(&self) -> Option<(usize, usize)> {
        let mut count = 1usize;
        let mut last = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.stride) {
            count = count.checked_mul(size)?;
            last = last.checked_add(size.saturating_sub(1).checked_mul(stride)?)?;
        }
        Some((count, last))
    }

    pub(super) fn is_contiguous(&self) -> bool {
        self.stride == row_strides(&self.shape)
    }
}

/// Strides of a contiguous tensor in row order. Meant for shapes whose element count is in range.
pub(super) fn row_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim].saturating_mul(shape[dim]);
    }
    strides
}

/// Runs the program and returns the dictionary of tensors that it leaves.
pub(super) fn state_dict(program: &[u8]) -> Result<BTreeMap<String, StoredTensor<String>>, String> {
    let mut machine = Machine { program, ..Machine::default() };
    while machine.step().map_err(|reason| format!("data.pkl, byte {}: {reason}", machine.at))? {}
    let Some(Value::Dict(dict)) = machine.stack.pop() else {
        return Err("it holds no dictionary of tensors".to_owned());
    };
    machine.dicts[dict]
        .iter()
        .map(|entry| match *entry {
            (Value::Text(name), Value::Tensor(tensor)) => {
                Ok((name.to_owned(), machine.tensors[tensor].owned()))
            }
            (Value::Text(name), _) => Err(format!("{name} is not a tensor")),
            _ => Err("a key of its dictionary is not a text".to_owned()),
        })
        .collect()
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Mark,
    None,
    Bool,
    Float,
    Int(i64),
    Text(&'a str),
    Global(&'a str, &'a str),
    Tuple(usize),
    Dict(usize),
    Storage(Storage<&'a str>),
    Tensor(usize),
}

#[derive(Default)]
struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    tensors: Vec<StoredTensor<&'a str>>,
}

impl<'a> Machine<'a> {
    /// Executes one instruction; false at the last. Op-codes: CPython's `Lib/pickletools.py`.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            0x80 => {
                self.byte()?; // PROTO
            }
            b'.' => return Ok(false),
            b'(' => self.stack.push(Value::Mark),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => {
                let value = i64::from(self.byte()?);
                self.stack.push(Value::Int(value));
            }
            b'M' => {
                let value = i64::from(u16::from_le_bytes(self.array()?));
                self.stack.push(Value::Int(value));
            }
            b'J' => {
                let value = i64::from(i32::from_le_bytes(self.array()?));
                self.stack.push(Value::Int(value));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Float);
            }
            b'X' => {
                let len = u32::from_le_bytes(self.array()?);
                let text = self.text(len as usize)?;
                self.stack.push(Value::Text(text));
            }
            b'c' => {
                let global = Value::Global(self.line()?, self.line()?);
                self.stack.push(global);
            }
            b')' => self.push_tuple(Vec::new()),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.since_mark()?;
                self.push_tuple(items);
            }
            b'}' => self.push_dict(),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                let dict = self.top_dict()?;
                dict.push((key, value));
            }
            b'u' => {
                let items = self.since_mark()?;
                let (pairs, []) = items.as_chunks::<2>() else {
                    return Err("a dictionary entry without a value".to_owned());
                };
                let dict = self.top_dict()?;
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            b'q' => {
                let slot = u32::from(self.byte()?);
                self.remember(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            b'h' => {
                let slot = u32::from(self.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'Q' => self.persistent_load()?,
            b'R' => self.reduce()?,
            b'b' => {
                // BUILD sets attributes, here the `_metadata` of a module's state dict.
                self.pop()?;
                self.top_dict()?;
            }
            code => {
                return Err(format!("op-code {code:#04x} is not part of a dictionary of tensors"));
            }
        }
        Ok(true)
    }

    fn long(&mut self) -> Result<(), String> {
        let len = usize::from(self.byte()?);
        let digits = self.take(len)?;
        if len > 8 {
            return Err("an integer does not fit 64 bits".to_owned());
        }
        let fill = if digits.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
        let mut bytes = [fill; 8];
        bytes[..len].copy_from_slice(digits);
        self.stack.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    /// A storage: `("storage", torch.FloatStorage, key, device, length)`.
    fn persistent_load(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let &[Value::Text("storage"), Value::Global("torch", class), Value::Text(key), _, len] =
            self.tuple_items(id)?
        else {
            return Err("a persistent id that is no storage".to_owned());
        };
        let dtype = match class {
            "FloatStorage" => DType::F32,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            "DoubleStorage" => DType::F64,
            "LongStorage" => DType::I64,
            "ByteStorage" => DType::U8,
            _ => return Err(format!("tensors of torch.{class} are not supported")),
        };
        self.stack.push(Value::Storage(Storage { dtype, key, len: size(len)? }));
        Ok(())
    }

    /// A call. Only those that rebuild a tensor or make an empty dictionary are known.
    fn reduce(&mut self) -> Result<(), String> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let Value::Global(module, name) = callable else {
            return Err("a call of something that is no function".to_owned());
        };
        let args = self.tuple_items(args)?;
        match (module, name, args) {
            ("collections", "OrderedDict", []) => self.push_dict(),
            ("torch._utils", "_rebuild_parameter", &[tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor);
            }
            (
                "torch._utils",
                "_rebuild_tensor_v2",
                &[Value::Storage(storage), offset, shape, stride, ..],
            ) => {
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                if shape.len() != stride.len() {
                    return Err("a tensor with another number of strides than sizes".to_owned());
                }
                let tensor = StoredTensor { storage, offset: size(offset)?, shape, stride };
                self.tensors.push(tensor);
                self.stack.push(Value::Tensor(self.tensors.len() - 1));
            }
            _ => {
                return Err(format!(
                    "it calls {module}.{name}, which no dictionary of tensors needs; nothing of it was executed"
                ));
            }
        }
        Ok(())
    }

    fn sizes(&self, tuple: Value<'a>) -> Result<Vec<usize>, String> {
        let items = self.tuple_items(tuple)?;
        if items.len() > MAX_DIMS {
            return Err(format!("a tensor of {} dimensions", items.len()));
        }
        items.iter().map(|&value| size(value)).collect()
    }

    fn tuple_items(&self, tuple: Value<'a>) -> Result<&[Value<'a>], String> {
        match tuple {
            Value::Tuple(index) => Ok(&self.tuples[index]),
            other => Err(format!("{other:?} where a tuple belongs")),
        }
    }

    fn tuple(&mut self, len: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(len).ok_or("the stack is empty")?;
        let items = self.stack.split_off(start);
        self.push_tuple(items);
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value<'a>>) {
        self.tuples.push(items);
        self.stack.push(Value::Tuple(self.tuples.len() - 1));
    }

    fn push_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    fn top_dict(&mut self) -> Result<&mut Vec<(Value<'a>, Value<'a>)>, String> {
        match self.stack.last() {
            Some(&Value::Dict(index)) => Ok(&mut self.dicts[index]),
            _ => Err("an entry for something that is no dictionary".to_owned()),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or("no mark on the stack")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        self.stack.pop().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        let &value = self.stack.last().ok_or("the stack is empty")?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let &value = self.memo.get(&slot).ok_or("a memo that was never set")?;
        self.stack.push(value);
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let taken = self.program[self.at..].get(..len).ok_or("it is cut short")?;
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let &bytes = self.take(N)?.first_chunk().ok_or("it is cut short")?;
        Ok(bytes)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, String> {
        str::from_utf8(self.take(len)?).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.program[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.text(len.ok_or("it is cut short")?)?;
        self.at += 1;
        Ok(line)
    }
}

/// A size, stride or offset.
fn size(value: Value<'_>) -> Result<usize, String> {
    match value {
        Value::Int(value) => {
            usize::try_from(value).map_err(|_| format!("{value} where a size belongs"))
        }
        other => Err(format!("{other:?} where a size belongs")),
    }
}
