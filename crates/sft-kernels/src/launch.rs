//! How the CUDA kernels of `cuda/` are called: grids, shared memory and the order of arguments, whatever a buffer is.
//!
//! Plain data, so that the same calls run on a GPU and, in the tests of machines without one, in an emulator.

use candle_core::DType;

use crate::cpu::AttentionShape;

/// One argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg<B> {
    /// A buffer, of numbers of the kernel's type or of f32, f64 or u32, as the kernel says.
    Buffer(B),
    /// No buffer.
    Null,
    /// `uint32_t`
    U32(u32),
    /// `size_t`
    Size(u64),
    /// `float`
    F32(f32),
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct Call<B> {
    /// Name of the entry point.
    pub kernel: String,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block: whole warps.
    pub block: u32,
    /// Bytes of shared memory that the launch adds.
    pub shared: u32,
    /// In the kernel's order.
    pub args: Vec<Arg<B>>,
}

/// How the numbers of a tensor are stored; the kernels compute in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Single precision.
    F32,
    /// Brain float.
    BF16,
    /// Half precision.
    F16,
}

impl Kind {
    /// `None` for types that no kernel takes.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            DType::BF16 => Some(Self::BF16),
            DType::F16 => Some(Self::F16),
            _ => None,
        }
    }

    fn size(self) -> u32 {
        if self == Self::F32 { 4 } else { 2 }
    }

    fn entry(self, name: &str) -> String {
        let suffix = match self {
            Self::F32 => "f32",
            Self::BF16 => "bf16",
            Self::F16 => "f16",
        };
        format!("{name}_{suffix}")
    }
}

/// Threads for a row of `width` numbers, four at a time.
fn threads_of_row(width: usize) -> u32 {
    (width.div_ceil(4) as u32).next_multiple_of(32).min(256)
}

/// Blocks of 256 threads for `count` pieces of work.
const THREADS: u32 = 256;

fn blocks(count: usize) -> [u32; 3] {
    [count.div_ceil(THREADS as usize) as u32, 1, 1]
}

fn call<B>(kernel: String, grid: [u32; 3], block: u32, args: Vec<Arg<B>>) -> Call<B> {
    Call { kernel, grid, block, shared: 0, args }
}

/// Buffers first, then the rest.
fn args<B, const N: usize>(buffers: [B; N], rest: impl IntoIterator<Item = Arg<B>>) -> Vec<Arg<B>> {
    buffers.into_iter().map(Arg::Buffer).chain(rest).collect()
}

/// Buffers: x, weight, y.
pub fn rms_norm<B>(kind: Kind, buffers: [B; 3], rows: usize, width: usize, eps: f64) -> Call<B> {
    let args = args(buffers, [Arg::U32(width as u32), Arg::F32(eps as f32)]);
    call(kind.entry("rms_norm"), [rows as u32, 1, 1], threads_of_row(width), args)
}

/// Buffers: x, weight, dy, dx.
pub fn rms_norm_backward<B>(
    kind: Kind,
    buffers: [B; 4],
    rows: usize,
    width: usize,
    eps: f64,
) -> Call<B> {
    let args = args(buffers, [Arg::U32(width as u32), Arg::F32(eps as f32)]);
    call(kind.entry("rms_norm_backward"), [rows as u32, 1, 1], threads_of_row(width), args)
}

/// Buffers: x `[tokens, heads, 2 * half]`, cos, sin `[tokens, half]`, y. `turn` is 1 forward and -1 back.
pub fn rope<B>(
    kind: Kind,
    buffers: [B; 4],
    tokens: usize,
    heads: usize,
    half: usize,
    turn: f32,
) -> Call<B> {
    let pairs = tokens * heads * half;
    let sizes = [heads, half, pairs].map(|size| Arg::U32(size as u32));
    let args = args(buffers, sizes.into_iter().chain([Arg::F32(turn)]));
    call(kind.entry("rope"), blocks(pairs), THREADS, args)
}

/// Buffers: gate, up, y.
pub fn swiglu<B>(kind: Kind, buffers: [B; 3], count: usize) -> Call<B> {
    let args = args(buffers, [Arg::Size(count as u64)]);
    call(kind.entry("swiglu"), blocks(count.div_ceil(4)), THREADS, args)
}

/// Buffers: gate, up, dy, dgate, dup.
pub fn swiglu_backward<B>(kind: Kind, buffers: [B; 5], count: usize) -> Call<B> {
    let args = args(buffers, [Arg::Size(count as u64)]);
    call(kind.entry("swiglu_backward"), blocks(count.div_ceil(4)), THREADS, args)
}

/// Buffers: logits `[rows, vocab]` (which become their gradient, if asked for), labels u32, nll f32.
pub fn cross_entropy<B>(
    kind: Kind,
    buffers: [B; 3],
    rows: usize,
    vocab: usize,
    with_gradient: bool,
) -> Call<B> {
    let args = args(buffers, [Arg::U32(vocab as u32), Arg::U32(u32::from(with_gradient))]);
    call(kind.entry("cross_entropy"), [rows as u32, 1, 1], 1024, args)
}

/// The scalars of one step of AdamW.
#[derive(Clone, Copy, Debug)]
pub struct AdamWScalars {
    /// What gradients are multiplied with first.
    pub factor: f32,
    /// What parameters are multiplied with: `1 - lr * weight_decay`.
    pub decay: f32,
    /// `lr / (1 - beta1^step)`
    pub step_size: f32,
    /// `sqrt(1 - beta2^step)`
    pub root_correction: f32,
    /// `1 - beta1`
    pub rest1: f32,
    /// `beta2`
    pub beta2: f32,
    /// `1 - beta2`
    pub rest2: f32,
    /// Added to the root.
    pub eps: f32,
}

/// Buffers, flat and in f32: a parameter, its gradient, the running means of the gradient and of its square.
pub fn adamw<B>(buffers: [B; 4], count: usize, scalars: &AdamWScalars) -> Call<B> {
    let AdamWScalars { factor, decay, step_size, root_correction, .. } = *scalars;
    let AdamWScalars { rest1, beta2, rest2, eps, .. } = *scalars;
    let floats = [factor, decay, step_size, root_correction, rest1, beta2, rest2, eps];
    let rest = [Arg::Size(count as u64)].into_iter().chain(floats.map(Arg::F32));
    call("adamw".into(), blocks(count), THREADS, args(buffers, rest))
}

/// Numbers whose squares one block sums.
const SQUARES: usize = 4096;

/// Parts whose sums [`sum_of_squares`] leaves one after another.
pub fn parts_of_squares(count: usize) -> usize {
    count.div_ceil(SQUARES)
}

/// Buffers: x f32, and for each of [`parts_of_squares`] the sum of its squares, f64.
pub fn sum_of_squares<B>(buffers: [B; 2], count: usize) -> Call<B> {
    let args = args(buffers, [Arg::Size(count as u64), Arg::U32(SQUARES as u32)]);
    call("sum_of_squares".into(), [parts_of_squares(count) as u32, 1, 1], THREADS, args)
}

/// The dropout of a LoRA layer's input.
#[derive(Clone, Copy, Debug)]
pub struct DropoutArgs<B> {
    /// Position, low and high half of the example's number of each row, u32 `[T, 3]`.
    pub rows: B,
    /// Key of the module and the step.
    pub key: [u32; 2],
    /// Bits below it are dropped.
    pub threshold: u32,
    /// What the others are multiplied with.
    pub keep: f32,
}

/// The sizes of a small product.
#[derive(Clone, Copy, Debug)]
pub struct Low {
    /// Rows of the activations.
    pub tokens: usize,
    /// Their width.
    pub width: usize,
    /// The adapter's rank.
    pub r: usize,
    /// Whether the small matrix is `[width, r]` (`B`) and not `[r, width]` (`A`).
    pub transposed: bool,
}

impl Low {
    fn args<B>(
        self,
        buffers: [B; 3],
        last: Option<Arg<B>>,
        drop: Option<DropoutArgs<B>>,
    ) -> Vec<Arg<B>> {
        let sizes = [self.tokens, self.width, self.r, usize::from(self.transposed)];
        let mut args = args(buffers, sizes.map(|size| Arg::U32(size as u32)));
        args.extend(last);
        args.extend(match drop {
            Some(DropoutArgs { rows, key: [key0, key1], threshold, keep }) => [
                Arg::Buffer(rows),
                Arg::U32(key0),
                Arg::U32(key1),
                Arg::U32(threshold),
                Arg::F32(keep),
            ],
            None => [Arg::Null, Arg::U32(0), Arg::U32(0), Arg::U32(0), Arg::F32(1.0)],
        });
        args
    }

    /// Parts of the tokens whose sums [`lora_gradient`] leaves one after another.
    pub fn shares(self) -> usize {
        self.tokens.div_ceil(SHARE)
    }
}

/// Ranks of a tile of the LoRA kernels.
const RANKS: usize = 16;
/// Features of a block of the LoRA kernels.
const COLUMNS: usize = 512;
/// Tokens that one block sums: few, so that there are blocks for a large GPU.
const SHARE: usize = 64;

/// Buffers: x `[T, width]`, the small matrix, u `[T, r]`. `u = scale * drop(x)` times the small matrix.
pub fn lora_down<B>(
    kind: Kind,
    buffers: [B; 3],
    low: Low,
    scale: f64,
    drop: Option<DropoutArgs<B>>,
) -> Call<B> {
    let grid = [low.tokens.div_ceil(16) as u32, low.r.div_ceil(RANKS) as u32, 1];
    let args = low.args(buffers, Some(Arg::F32(scale as f32)), drop);
    call(kind.entry("lora_down"), grid, 256, args)
}

/// Buffers: u `[T, r]`, the small matrix, y `[T, width]`, to which `drop(u` times the small matrix`)` is added.
pub fn lora_up<B>(kind: Kind, buffers: [B; 3], low: Low, drop: Option<DropoutArgs<B>>) -> Call<B> {
    let grid = [low.tokens.div_ceil(16) as u32, low.width.div_ceil(COLUMNS) as u32, 1];
    call(kind.entry("lora_up"), grid, 128, low.args(buffers, None, drop))
}

/// Buffers: s `[T, r]`, x `[T, width]`, parts: for each of [`Low::shares`] the sum of `s^T drop(x)`, laid out as the
/// small matrix is.
pub fn lora_gradient<B>(
    kind: Kind,
    buffers: [B; 3],
    low: Low,
    drop: Option<DropoutArgs<B>>,
) -> Call<B> {
    let (columns, ranks) = (low.width.div_ceil(COLUMNS), low.r.div_ceil(RANKS));
    let grid = [columns as u32, low.shares() as u32, ranks as u32];
    let args = low.args(buffers, Some(Arg::U32(SHARE as u32)), drop);
    call(kind.entry("lora_gradient"), grid, 128, args)
}

/// Buffers: parts `[shares, count]` and their sum, f32.
pub fn sum_of_parts<B>(buffers: [B; 2], count: usize, shares: usize) -> Call<B> {
    let args = args(buffers, [Arg::U32(count as u32), Arg::U32(shares as u32)]);
    call("sum_of_parts".into(), blocks(count), THREADS, args)
}

/// The largest head that the attention kernels take; it must be a multiple of 4.
pub const MOST_HEAD_DIM: usize = 128;

/// What every call of the attention kernels gives: the borders of the queries and of the keys, u32.
#[derive(Clone, Copy, Debug)]
pub struct Borders<B> {
    /// `cu_seqlens` of the queries.
    pub q: B,
    /// `cu_seqlens` of the keys.
    pub k: B,
}

/// Rows of a tile.
fn tile(kind: Kind) -> u32 {
    if kind == Kind::F32 { 32 } else { 64 }
}

fn attention_call<B, const N: usize>(
    kind: Kind,
    name: &str,
    buffers: [B; N],
    borders: Borders<B>,
    shape: &AttentionShape,
    (longest, heads, tiles): (usize, usize, u32),
) -> Call<B> {
    let [all_heads, kv_heads, head_dim] = shape.widths();
    let window = shape.window().map_or(u32::MAX, |window| window.try_into().unwrap_or(u32::MAX));
    let sizes = [all_heads, kv_heads, head_dim].map(|size| Arg::U32(size as u32));
    let last = [Arg::U32(window), Arg::F32(shape.scale())];
    let rest = [borders.q, borders.k].map(Arg::Buffer).into_iter().chain(sizes).chain(last);
    let (rows, warps) = (tile(kind), tile(kind) / 16);
    let leading = head_dim.next_multiple_of(16) as u32 + 16;
    let scratch = 2 * 16 * 20 * 4 + 16 * 24 * kind.size();
    Call {
        kernel: kind.entry(name),
        grid: [(longest as u32).div_ceil(rows), heads as u32, shape.sequences() as u32],
        block: 32 * warps,
        shared: tiles * rows * leading * kind.size() + warps * scratch,
        args: args(buffers, rest),
    }
}

/// Buffers: q, k, v, out, lse f32 `[Tq, heads]`.
pub fn attention<B>(
    kind: Kind,
    buffers: [B; 5],
    borders: Borders<B>,
    shape: &AttentionShape,
) -> Call<B> {
    let grid = (shape.most_queries(), shape.widths()[0], 3);
    attention_call(kind, "attention", buffers, borders, shape, grid)
}

/// Buffers: out, dout, delta f32 `[Tq, heads]`; `rows` is `Tq * heads`.
pub fn attention_delta<B>(kind: Kind, buffers: [B; 3], rows: usize, head_dim: usize) -> Call<B> {
    let args = args(buffers, [Arg::U32(rows as u32), Arg::U32(head_dim as u32)]);
    call(kind.entry("attention_delta"), blocks(32 * rows), THREADS, args)
}

/// Buffers: q, k, v, dout, lse, delta, dq.
pub fn attention_dq<B>(
    kind: Kind,
    buffers: [B; 7],
    borders: Borders<B>,
    shape: &AttentionShape,
) -> Call<B> {
    let grid = (shape.most_queries(), shape.widths()[0], 4);
    attention_call(kind, "attention_dq", buffers, borders, shape, grid)
}

/// Buffers: q, k, v, dout, lse, delta, dk, dv.
pub fn attention_dkv<B>(
    kind: Kind,
    buffers: [B; 8],
    borders: Borders<B>,
    shape: &AttentionShape,
) -> Call<B> {
    let grid = (shape.most_keys(), shape.widths()[1], 4);
    attention_call(kind, "attention_dkv", buffers, borders, shape, grid)
}
