//! Writing the pickle of a state dict.

/// The program that `torch.save` writes for a dictionary of contiguous f32 tensors, protocol 2, in
/// the order given; the storage of the n-th tensor is the entry `data/n`.
pub(super) fn state_dict<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Vec<u8> {
    let mut program = Program(b"\x80\x02}(".to_vec()); // PROTO 2, EMPTY_DICT, MARK
    for (key, (name, shape)) in tensors.enumerate() {
        program.text(name);
        program.global("torch._utils", "_rebuild_tensor_v2");
        program.raw(b"("); // MARK: arguments
        program.raw(b"("); // MARK: the storage's persistent id
        program.text("storage");
        program.global("torch", "FloatStorage");
        program.text(&key.to_string());
        program.text("cpu");
        program.int(shape.iter().product());
        program.raw(b"tQ"); // TUPLE, BINPERSID
        program.int(0); // offset
        program.ints(shape);
        program.ints(&super::unpickle::row_strides(shape));
        program.raw(b"\x89"); // NEWFALSE: requires_grad
        program.global("collections", "OrderedDict"); // backward hooks: none
        program.raw(b")R"); // EMPTY_TUPLE, REDUCE
        program.raw(b"tR"); // TUPLE, REDUCE
    }
    program.raw(b"u."); // SETITEMS, STOP
    program.0
}

struct Program(Vec<u8>);

impl Program {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.raw(format!("c{module}\n{name}\n").as_bytes());
    }

    fn int(&mut self, value: usize) {
        if let Ok(value) = i32::try_from(value) {
            self.raw(b"J");
            self.raw(&value.to_le_bytes());
        } else {
            self.raw(b"\x8a\x08"); // LONG1, eight bytes
            self.raw(&(value as u64).to_le_bytes());
        }
    }

    fn ints(&mut self, values: &[usize]) {
        self.raw(b"(");
        for &value in values {
            self.int(value);
        }
        self.raw(b"t");
    }
}
