//! Causal attention over packed sequences, in blocks of queries: no `n x n` matrix exists.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    gemm::{View, product},
    vector::{LANES, exp, largest, sum_of, total, vectorised},
};
use crate::AttentionSpec;

/// Queries of a block.
const BLOCK: usize = 64;

/// Sizes of the tensors, borders of the sequences, and the window.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    cu_seqlens_q: Vec<u32>,
    cu_seqlens_k: Vec<u32>,
    window: Option<usize>,
}

/// Queries, keys, values.
type Inputs<'a> = [&'a [f32]; 3];

/// One sequence and one key/value head with the query heads that read it: the work of one task.
struct Task<'a> {
    shape: &'a AttentionShape,
    sequence: usize,
    kv_head: usize,
}

/// Queries of a block and the keys that they see.
struct Block {
    query: usize,
    queries: usize,
    key: usize,
    keys: usize,
}

impl AttentionShape {
    /// Queries `[Tq, heads, head_dim]`, keys and values `[Tk, kv_heads, head_dim]`, and what `spec`
    /// says of them.
    ///
    /// # Errors
    /// When sequences are not in their tensors, have more queries than keys, or a window is empty.
    pub fn new(
        heads: usize,
        kv_heads: usize,
        head_dim: usize,
        spec: &AttentionSpec<'_>,
    ) -> Result<Self> {
        let pairs = spec.cu_seqlens_q.windows(2).zip(spec.cu_seqlens_k.windows(2));
        let rises = |borders: &[u32]| borders[0] <= borders[1];
        let fits = pairs.clone().all(|(q, k)| rises(q) && rises(k) && q[1] - q[0] <= k[1] - k[0])
            && spec.cu_seqlens_q.len() == spec.cu_seqlens_k.len()
            && kv_heads > 0
            && heads.is_multiple_of(kv_heads)
            && spec.sliding_window != Some(0);
        if !fits {
            bail!(
                "attention: borders {:?} and {:?}, {heads} and {kv_heads} heads, window {:?} do \
                 not fit together",
                spec.cu_seqlens_q,
                spec.cu_seqlens_k,
                spec.sliding_window
            )
        }
        Ok(Self {
            heads,
            kv_heads,
            head_dim,
            cu_seqlens_q: spec.cu_seqlens_q.to_vec(),
            cu_seqlens_k: spec.cu_seqlens_k.to_vec(),
            window: spec.sliding_window,
        })
    }

    /// Refuses tensors that are not of these sizes.
    fn check(&self, inputs: Inputs<'_>, like_queries: &[f32]) -> Result<()> {
        let len = |borders: &[u32], heads: usize| {
            borders.last().map_or(0, |&end| end as usize) * heads * self.head_dim
        };
        let (q, k) = (len(&self.cu_seqlens_q, self.heads), len(&self.cu_seqlens_k, self.kv_heads));
        let lens = [inputs[0].len(), inputs[1].len(), inputs[2].len(), like_queries.len()];
        if lens != [q, k, k, q] {
            bail!("attention: slices of {lens:?} numbers where {q} and {k} are needed")
        }
        Ok(())
    }

    fn tasks(&self) -> Vec<Task<'_>> {
        let sequences = 0..self.cu_seqlens_q.len().saturating_sub(1);
        let task = |sequence| (0..self.kv_heads).map(move |kv_head| (sequence, kv_head));
        let task = sequences.flat_map(task);
        task.map(|(sequence, kv_head)| Task { shape: self, sequence, kv_head }).collect()
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

impl Task<'_> {
    /// Where the queries begin and how many there are; the same of the keys.
    fn spans(&self) -> [(usize, usize); 2] {
        [&self.shape.cu_seqlens_q, &self.shape.cu_seqlens_k].map(|borders| {
            let (start, end) = (borders[self.sequence], borders[self.sequence + 1]);
            (start as usize, (end - start) as usize)
        })
    }

    /// The queries are the last of the positions.
    fn blocks(&self) -> impl Iterator<Item = Block> {
        let [(_, n), (_, m)] = self.spans();
        let window = self.shape.window.unwrap_or(usize::MAX);
        (0..n).step_by(BLOCK).map(move |query| {
            let queries = BLOCK.min(n - query);
            let first = m - n + query;
            let key = (first + 1).saturating_sub(window);
            Block { query, queries, key, keys: first + queries - key }
        })
    }

    /// The rows of the sequence for one head of a tensor of `heads` heads, from row `at` on.
    fn view<'a>(
        &self,
        x: &'a [f32],
        start: usize,
        heads: usize,
        head: usize,
        at: usize,
        rows: usize,
    ) -> View<'a> {
        let (width, head_dim) = (heads * self.shape.head_dim, self.shape.head_dim);
        View::rows(&x[(start + at) * width + head * head_dim..], rows, head_dim, width)
    }

    fn keys<'a>(&self, x: &'a [f32], block: &Block) -> View<'a> {
        let [_, (start, _)] = self.spans();
        self.view(x, start, self.shape.kv_heads, self.kv_head, block.key, block.keys)
    }

    fn queries<'a>(&self, x: &'a [f32], block: &Block, member: usize) -> View<'a> {
        let [(start, _), _] = self.spans();
        let head = self.kv_head * self.shape.group() + member;
        self.view(x, start, self.shape.heads, head, block.query, block.queries)
    }

    /// The probabilities of a block's queries, `[queries, keys]`.
    fn probabilities(&self, [q, k, _]: Inputs<'_>, block: &Block, member: usize, p: &mut Vec<f32>) {
        let scale = 1.0 / (self.shape.head_dim as f64).sqrt();
        p.clear();
        p.resize(block.queries * block.keys, 0.0);
        let (q, k) = (self.queries(q, block, member), self.keys(k, block));
        product(p, block.keys, q, k.t(), scale as f32, false);
        let window = self.shape.window.unwrap_or(usize::MAX);
        for (i, row) in p.chunks_exact_mut(block.keys).enumerate() {
            // The last query sees the last key, each one before it one less.
            let end = block.keys - (block.queries - 1 - i);
            let start = end.saturating_sub(window);
            softmax(row, start, end);
        }
    }

    /// `[n, group, head_dim]`.
    fn forward(&self, inputs: Inputs<'_>) -> Vec<f32> {
        let ([(_, n), _], group, dim) = (self.spans(), self.shape.group(), self.shape.head_dim);
        let mut out = vec![0.0; n * group * dim];
        let mut p = Vec::new();
        for block in self.blocks() {
            for member in 0..group {
                self.probabilities(inputs, &block, member, &mut p);
                let p = View::rows(&p, block.queries, block.keys, block.keys);
                let out = &mut out[(block.query * group + member) * dim..];
                product(out, group * dim, p, self.keys(inputs[2], &block), 1.0, false);
            }
        }
        out
    }

    /// The gradients of the queries `[n, group, head_dim]`, keys and values `[m, head_dim]`.
    fn backward(&self, inputs: Inputs<'_>, dy: &[f32]) -> [Vec<f32>; 3] {
        let ([(_, n), (_, m)], group, dim) =
            (self.spans(), self.shape.group(), self.shape.head_dim);
        let scale = (1.0 / (dim as f64).sqrt()) as f32;
        let mut dq = vec![0.0; n * group * dim];
        let (mut dk, mut dv) = (vec![0.0; m * dim], vec![0.0; m * dim]);
        let (mut p, mut dp) = (Vec::new(), Vec::new());
        for block in self.blocks() {
            for member in 0..group {
                self.probabilities(inputs, &block, member, &mut p);
                dp.clear();
                dp.resize(p.len(), 0.0);
                let dy = self.queries(dy, &block, member);
                product(&mut dp, block.keys, dy, self.keys(inputs[2], &block).t(), 1.0, false);
                let matrix = |x| View::rows(x, block.queries, block.keys, block.keys);
                product(&mut dv[block.key * dim..], dim, matrix(&p).t(), dy, 1.0, true);
                for (dp, p) in dp.chunks_exact_mut(block.keys).zip(p.chunks_exact(block.keys)) {
                    softmax_backward(p, dp);
                }
                let ds = matrix(&dp);
                let dq = &mut dq[(block.query * group + member) * dim..];
                product(dq, group * dim, ds, self.keys(inputs[1], &block), scale, false);
                let q = self.queries(inputs[0], &block, member);
                product(&mut dk[block.key * dim..], dim, ds.t(), q, scale, true);
            }
        }
        [dq, dk, dv]
    }
}

/// Softmax attention of queries, keys and values: `out` is `[Tq, heads, head_dim]`.
///
/// # Errors
/// When a slice has another length than the shape says.
pub fn attention(shape: &AttentionShape, inputs: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
    shape.check(inputs, out)?;
    let tasks = shape.tasks();
    let parts: Vec<Vec<f32>> = tasks.par_iter().map(|task| task.forward(inputs)).collect();
    let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
    join(&parts, &shape.cu_seqlens_q, shape.kv_heads, out);
    Ok(())
}

/// The gradients of queries, keys and values for the gradient `dy` of the result; the scores are
/// computed again.
///
/// # Errors
/// When a slice has another length than the shape says.
pub fn attention_backward(
    shape: &AttentionShape,
    inputs: [&[f32]; 3],
    dy: &[f32],
    gradients: [&mut [f32]; 3],
) -> Result<()> {
    shape.check(inputs, dy)?;
    shape.check([&*gradients[0], &*gradients[1], &*gradients[2]], dy)?;
    let tasks = shape.tasks();
    let parts: Vec<[Vec<f32>; 3]> =
        tasks.par_iter().map(|task| task.backward(inputs, dy)).collect();
    let borders = [&shape.cu_seqlens_q, &shape.cu_seqlens_k, &shape.cu_seqlens_k];
    for (i, (out, borders)) in gradients.into_iter().zip(borders).enumerate() {
        let parts: Vec<&[f32]> = parts.iter().map(|part| part[i].as_slice()).collect();
        join(&parts, borders, shape.kv_heads, out);
    }
    Ok(())
}

/// Puts the key/value heads of each sequence side by side.
fn join(parts: &[&[f32]], borders: &[u32], kv_heads: usize, out: &mut [f32]) {
    let mut at = 0;
    for (parts, span) in parts.chunks_exact(kv_heads).zip(borders.windows(2)) {
        let rows = (span[1] - span[0]) as usize;
        for row in 0..rows {
            for part in parts {
                let width = part.len() / rows;
                out[at..at + width].copy_from_slice(&part[row * width..][..width]);
                at += width;
            }
        }
    }
}

vectorised! {
    /// The softmax of `row[start..end]`, and 0 outside.
    fn softmax(row: &mut [f32], start: usize, end: usize) {
        row[..start].fill(0.0);
        row[end..].fill(0.0);
        let row = &mut row[start..end];
        let max = largest(row);
        let mut lanes = [0.0; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for x in chunks.by_ref() {
            for i in 0..LANES {
                x[i] = exp(x[i] - max);
                lanes[i] += x[i];
            }
        }
        for (i, x) in chunks.into_remainder().iter_mut().enumerate() {
            *x = exp(*x - max);
            lanes[i] += *x;
        }
        let scale = 1.0 / total(lanes);
        for x in row {
            *x *= scale;
        }
    }
}

vectorised! {
    /// From the gradient of the probabilities to that of the scores: `p (dp - sum(p dp))`.
    fn softmax_backward(p: &[f32], dp: &mut [f32]) {
        let sum = sum_of(p, dp, |p, dp| p * dp);
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - sum);
        }
    }
}
