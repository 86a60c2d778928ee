//! Causal attention over packed sequences, in blocks of queries: no `n x n` matrix exists.
#![allow(unsafe_code)]

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::vector::{LANES, exp, largest, sum_of, total, vectorised};
use crate::{
    AttentionSpec,
    matmul::{Part, part_nn, part_nt},
};

/// Rows of scores that are at work at one time, about: the queries of a block in all the heads that
/// read the same keys.
const ROWS: usize = 96;

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

    /// Heads, key/value heads, width of a head.
    pub(crate) fn widths(&self) -> [usize; 3] {
        [self.heads, self.kv_heads, self.head_dim]
    }

    pub(crate) fn window(&self) -> Option<usize> {
        self.window
    }

    pub(crate) fn sequences(&self) -> usize {
        self.cu_seqlens_q.len().saturating_sub(1)
    }

    /// Queries of the longest sequence.
    pub(crate) fn most_queries(&self) -> usize {
        longest(&self.cu_seqlens_q)
    }

    /// Keys of the longest sequence.
    pub(crate) fn most_keys(&self) -> usize {
        longest(&self.cu_seqlens_k)
    }

    /// Borders of the queries and of the keys.
    #[cfg(feature = "cuda")]
    pub(crate) fn borders(&self) -> [&[u32]; 2] {
        [&self.cu_seqlens_q, &self.cu_seqlens_k]
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

    /// Queries of a block.
    fn block(&self) -> usize {
        (ROWS / self.group()).clamp(16, 64)
    }

    pub(crate) fn scale(&self) -> f32 {
        (1.0 / (self.head_dim as f64).sqrt()) as f32
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

fn longest(borders: &[u32]) -> usize {
    borders.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
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
        let block = self.shape.block();
        (0..n).step_by(block).map(move |query| {
            let queries = block.min(n - query);
            let first = m - n + query;
            let key = (first + 1).saturating_sub(window);
            Block { query, queries, key, keys: first + queries - key }
        })
    }

    fn keys<'a>(&self, x: &'a [f32], block: &Block) -> Part<'a> {
        let ([_, (start, _)], dim) = (self.spans(), self.shape.head_dim);
        let width = self.shape.kv_heads * dim;
        let from = (start + block.key) * width + self.kv_head * dim;
        Part::new(&x[from..], block.keys, dim, width)
    }

    /// The block's rows in all heads of the group, `[group, queries, head_dim]`, out of a tensor
    /// like the queries.
    fn gather(&self, x: &[f32], block: &Block, to: &mut [f32]) {
        let ([(start, _), _], dim) = (self.spans(), self.shape.head_dim);
        let (group, width) = (self.shape.group(), self.shape.heads * dim);
        for (member, to) in to.chunks_exact_mut(block.queries * dim).take(group).enumerate() {
            let head = (self.kv_head * group + member) * dim;
            for (i, to) in to.chunks_exact_mut(dim).enumerate() {
                to.copy_from_slice(&x[(start + block.query + i) * width + head..][..dim]);
            }
        }
    }

    /// Puts `[group, queries, head_dim]` into the block's rows of a tensor like the queries.
    fn scatter(&self, x: &[f32], block: &Block, to: &Heads) {
        let ([(start, _), _], dim) = (self.spans(), self.shape.head_dim);
        let (group, width) = (self.shape.group(), self.shape.heads * dim);
        for (member, x) in x.chunks_exact(block.queries * dim).enumerate() {
            let head = (self.kv_head * group + member) * dim;
            for (i, x) in x.chunks_exact(dim).enumerate() {
                let at = (start + block.query + i) * width + head;
                assert!(at + dim <= to.len, "a row outside");
                // SAFETY: just asserted; these rows of these heads are this task's alone.
                unsafe { to.at.add(at).copy_from_nonoverlapping(x.as_ptr(), dim) };
            }
        }
    }

    /// The probabilities of a block's queries, `[group, queries, keys]`.
    fn probabilities(&self, q: Part<'_>, k: &[f32], block: &Block, p: &mut [f32]) -> Result<()> {
        part_nt(q, self.keys(k, block), p, block.keys, false)?;
        let window = self.shape.window.unwrap_or(usize::MAX);
        for (i, row) in p.chunks_exact_mut(block.keys).enumerate() {
            // The last query sees the last key, each one before it one less.
            let end = block.keys - (block.queries - 1 - i % block.queries);
            softmax(row, end.saturating_sub(window), end, self.shape.scale());
        }
        Ok(())
    }

    /// Writes its heads' rows of `out`.
    fn forward(&self, [q, k, v]: Inputs<'_>, out: &Heads) -> Result<()> {
        let ([(_, n), (_, m)], group) = (self.spans(), self.shape.group());
        let (dim, most) = (self.shape.head_dim, group * self.shape.block().min(n));
        let (mut scores, mut rows) = (vec![0.0; most * m], vec![0.0; 2 * most * dim]);
        let (queries, result) = rows.split_at_mut(most * dim);
        for block in self.blocks() {
            let count = group * block.queries;
            let (queries, p) = (&mut queries[..count * dim], &mut scores[..count * block.keys]);
            let result = &mut result[..count * dim];
            self.gather(q, &block, queries);
            self.probabilities(Part::new(queries, count, dim, dim), k, &block, p)?;
            let p = Part::new(p, count, block.keys, block.keys);
            part_nn(p, self.keys(v, &block), result, dim, false)?;
            self.scatter(result, &block, out);
        }
        Ok(())
    }

    /// Writes its heads' rows of `dq`, and of the forward pass's result where that is wanted again; the
    /// gradients of keys and values, `[m, head_dim]`.
    fn backward(
        &self,
        [q, k, v]: Inputs<'_>,
        dy: &[f32],
        dq: &Heads,
        out: Option<&Heads>,
    ) -> Result<[Vec<f32>; 2]> {
        let ([(_, n), (_, m)], group) = (self.spans(), self.shape.group());
        let (dim, most) = (self.shape.head_dim, group * self.shape.block().min(n));
        let (mut dk, mut dv) = (vec![0.0; m * dim], vec![0.0; m * dim]);
        let (mut scores, mut rows) = (vec![0.0; 2 * most * m], vec![0.0; 3 * most * dim]);
        for block in self.blocks() {
            let (count, keys) = (group * block.queries, block.keys);
            let (p, ds) = scores.split_at_mut(most * m);
            let (p, ds) = (&mut p[..count * keys], &mut ds[..count * keys]);
            let [queries, dout, result] = three(&mut rows, count * dim);
            self.gather(q, &block, queries);
            self.gather(dy, &block, dout);
            let (queries, dout) =
                (Part::new(queries, count, dim, dim), Part::new(dout, count, dim, dim));
            self.probabilities(queries, k, &block, p)?;
            if let Some(out) = out {
                let p = Part::new(p, count, keys, keys);
                part_nn(p, self.keys(v, &block), result, dim, false)?;
                self.scatter(result, &block, out);
            }
            part_nt(dout, self.keys(v, &block), ds, keys, false)?;
            part_nn(
                Part::new(p, count, keys, keys).t(),
                dout,
                &mut dv[block.key * dim..],
                dim,
                true,
            )?;
            for (ds, p) in ds.chunks_exact_mut(keys).zip(p.chunks_exact(keys)) {
                softmax_backward(p, ds, self.shape.scale());
            }
            let ds_part = Part::new(ds, count, keys, keys);
            part_nn(ds_part, self.keys(k, &block), result, dim, false)?;
            self.scatter(result, &block, dq);
            part_nn(ds_part.t(), queries, &mut dk[block.key * dim..], dim, true)?;
        }
        Ok([dk, dv])
    }
}

/// Three slices of `len` numbers.
fn three(x: &mut [f32], len: usize) -> [&mut [f32]; 3] {
    let (a, rest) = x.split_at_mut(len);
    let (b, rest) = rest.split_at_mut(len);
    [a, b, &mut rest[..len]]
}

/// Softmax attention of queries, keys and values: `out` is `[Tq, heads, head_dim]`.
///
/// # Errors
/// When a slice has another length than the shape says.
pub fn attention(shape: &AttentionShape, inputs: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
    shape.check(inputs, out)?;
    let tasks = shape.tasks();
    let out = Heads::new(out);
    tasks.par_iter().with_max_len(1).try_for_each(|task| task.forward(inputs, &out))
}

/// The gradients of queries, keys and values for the gradient `dy` of the result; the scores are
/// computed again, and with them the result, where there is room for it: `out`.
///
/// # Errors
/// When a slice has another length than the shape says.
pub fn attention_backward(
    shape: &AttentionShape,
    inputs: [&[f32]; 3],
    dy: &[f32],
    gradients: [&mut [f32]; 3],
    out: Option<&mut [f32]>,
) -> Result<()> {
    shape.check(inputs, dy)?;
    shape.check(inputs, out.as_deref().unwrap_or(dy))?;
    shape.check([&*gradients[0], &*gradients[1], &*gradients[2]], dy)?;
    let tasks = shape.tasks();
    let [dq, dk, dv] = gradients;
    let (dq, out) = (Heads::new(dq), out.map(Heads::new));
    let task = |task: &Task<'_>| task.backward(inputs, dy, &dq, out.as_ref());
    let parts: Vec<[Vec<f32>; 2]> =
        tasks.par_iter().with_max_len(1).map(task).collect::<Result<_>>()?;
    for (i, out) in [dk, dv].into_iter().enumerate() {
        let parts: Vec<&[f32]> = parts.iter().map(|part| part[i].as_slice()).collect();
        join(&parts, &shape.cu_seqlens_k, shape.kv_heads, out);
    }
    Ok(())
}

/// A tensor like the queries, of which each task writes the rows of its sequence in its heads.
struct Heads {
    at: *mut f32,
    len: usize,
}

// SAFETY: tasks write to parts of their own.
unsafe impl Sync for Heads {}

impl Heads {
    fn new(x: &mut [f32]) -> Self {
        Self { at: x.as_mut_ptr(), len: x.len() }
    }
}

/// Puts the key/value heads of each sequence side by side.
fn join(parts: &[&[f32]], borders: &[u32], kv_heads: usize, out: &mut [f32]) {
    let width = out.len() / borders.last().map_or(1, |&end| (end as usize).max(1));
    let mut rest = out;
    let mut sequences = Vec::with_capacity(borders.len());
    for (parts, span) in parts.chunks_exact(kv_heads).zip(borders.windows(2)) {
        let (here, left) = rest.split_at_mut((span[1] - span[0]) as usize * width);
        sequences.push((parts, here));
        rest = left;
    }
    sequences.into_par_iter().for_each(|(parts, out)| {
        let part_width = width / kv_heads;
        for (row, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
            for (part, out) in parts.iter().zip(out.chunks_exact_mut(part_width)) {
                out.copy_from_slice(&part[row * part_width..][..part_width]);
            }
        }
    });
}

vectorised! {
    /// The softmax of `factor row[start..end]`, and 0 outside.
    fn softmax(row: &mut [f32], start: usize, end: usize, factor: f32) {
        row[..start].fill(0.0);
        row[end..].fill(0.0);
        let row = &mut row[start..end];
        let max = largest(row);
        let mut lanes = [0.0; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for x in chunks.by_ref() {
            for i in 0..LANES {
                x[i] = exp((x[i] - max) * factor);
                lanes[i] += x[i];
            }
        }
        // The rest as a whole vector: an exponential costs the same for one number as for all.
        let rest = chunks.into_remainder();
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for i in 0..LANES {
            last[i] = exp((last[i] - max) * factor);
            lanes[i] += last[i];
        }
        rest.copy_from_slice(&last[..rest.len()]);
        let scale = 1.0 / total(lanes);
        for x in row {
            *x *= scale;
        }
    }
}

vectorised! {
    /// From the gradient of the probabilities to that of the products of queries and keys:
    /// `factor p (dp - sum(p dp))`.
    fn softmax_backward(p: &[f32], dp: &mut [f32], factor: f32) {
        let sum = sum_of(p, dp, |p, dp| p * dp);
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - sum) * factor;
        }
    }
}
