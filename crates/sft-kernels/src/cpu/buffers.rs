//! Memory that is used again.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::reduce::{clear, copy};

/// Hands out matrices and takes them back: what a step of training needs, the next one finds. Fresh
/// memory costs a page fault every 4 KiB, which on the sizes of activations is as dear as the
/// arithmetic.
///
/// Matrices of one width serve each other, and are made for the most rows that were asked for: a
/// batch of another length finds them, too. Rows that nobody touches take no memory.
///
/// Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<BTreeMap<usize, Shelf>>>);

/// The free matrices of one width.
#[derive(Debug, Default)]
struct Shelf {
    /// The most numbers that were asked for at a time.
    largest: usize,
    free: Vec<Vec<f32>>,
}

impl Buffers {
    /// `rows` of `width` numbers of unknown value.
    pub fn take(&self, rows: usize, width: usize) -> Buffer {
        let len = rows * width;
        let mut shelves = self.shelves();
        let shelf = shelves.entry(width).or_default();
        if len > shelf.largest {
            shelf.largest = len;
            shelf.free.clear(); // too small from now on
        }
        let values = match shelf.free.pop() {
            Some(values) if values.len() >= len => values,
            _ => vec![0.0; shelf.largest],
        };
        Buffer { values, len, width, home: self.clone() }
    }

    /// `rows` of `width` zeros.
    pub fn zeros(&self, rows: usize, width: usize) -> Buffer {
        let mut buffer = self.take(rows, width);
        clear(&mut buffer);
        buffer
    }

    /// A copy of `values`, rows of `width` numbers.
    pub fn copy(&self, values: &[f32], width: usize) -> Buffer {
        let mut buffer = self.take(values.len() / width.max(1), width);
        copy(values, &mut buffer);
        buffer
    }

    fn shelves(&self) -> MutexGuard<'_, BTreeMap<usize, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers that go back to their [`Buffers`] when they are dropped.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    len: usize,
    width: usize,
    home: Buffers,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut shelves = self.home.shelves();
        let shelf = shelves.entry(self.width).or_default();
        if values.len() >= shelf.largest {
            shelf.free.push(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back() {
        let buffers = Buffers::default();
        let (wide, narrow) = (buffers.take(10, 10), buffers.take(10, 2));
        let addresses = (wide.as_ptr(), narrow.as_ptr());
        drop((wide, narrow));
        let (narrow, wide) = (buffers.take(9, 2), buffers.take(3, 10));
        assert_eq!((wide.as_ptr(), narrow.as_ptr()), addresses);
        assert_eq!((narrow.len(), wide.len()), (18, 30));
    }

    #[test]
    fn growing_requests_do_not_pile_up() {
        let buffers = Buffers::default();
        for rows in 1..100 {
            drop((buffers.take(rows, 3), buffers.copy(&vec![1.0; 3 * rows], 3)));
        }
        let held: usize = buffers.shelves()[&3].free.iter().map(Vec::len).sum();
        assert!(held <= 2 * 297, "{held}");
        assert!(buffers.zeros(20, 3).iter().all(|&x| x == 0.0));
    }
}
