//! Memory that is used again.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use half::{bf16, vec::HalfBitsVecExt};

use super::{
    reduce::{clear, copy},
    round::{round, widen},
};

/// Hands out matrices and takes them back: what a step of training needs, the next one finds. Fresh
/// memory costs a page fault every 4 KiB, which on the sizes of activations is as dear as the
/// arithmetic.
///
/// Matrices of one width serve each other, and are made for the most rows that were asked for: a
/// batch of another length finds them, too. Rows that nobody touches take no memory.
///
/// Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Shelves>>);

/// Free matrices, by type and width.
#[derive(Debug, Default)]
pub struct Shelves {
    whole: BTreeMap<usize, Shelf<f32>>,
    half: BTreeMap<usize, Shelf<bf16>>,
}

/// The free matrices of one width.
#[derive(Debug)]
pub struct Shelf<T> {
    /// The most numbers that were asked for at a time.
    largest: usize,
    free: Vec<Vec<T>>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { largest: 0, free: Vec::new() }
    }
}

/// A type of numbers that buffers have.
pub trait Number: Copy + Sized {
    /// Where its free matrices are.
    fn shelves(shelves: &mut Shelves) -> &mut BTreeMap<usize, Shelf<Self>>;
    /// So many zeros, in memory that nobody has touched.
    fn zeros(len: usize) -> Vec<Self>;
}

impl Number for f32 {
    fn shelves(shelves: &mut Shelves) -> &mut BTreeMap<usize, Shelf<Self>> {
        &mut shelves.whole
    }

    fn zeros(len: usize) -> Vec<Self> {
        vec![0.0; len]
    }
}

impl Number for bf16 {
    fn shelves(shelves: &mut Shelves) -> &mut BTreeMap<usize, Shelf<Self>> {
        &mut shelves.half
    }

    fn zeros(len: usize) -> Vec<Self> {
        vec![0u16; len].reinterpret_into()
    }
}

impl Buffers {
    /// `rows` of `width` numbers of unknown value.
    pub fn take<T: Number>(&self, rows: usize, width: usize) -> Buffer<T> {
        let len = rows * width;
        let mut shelves = self.shelves();
        let shelf = T::shelves(&mut shelves).entry(width).or_default();
        if len > shelf.largest {
            shelf.largest = len;
            shelf.free.clear(); // too small from now on
        }
        let values = match shelf.free.pop() {
            Some(values) if values.len() >= len => values,
            _ => T::zeros(shelf.largest),
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

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers that go back to their [`Buffers`] when they are dropped.
#[derive(Debug)]
pub struct Buffer<T: Number = f32> {
    values: Vec<T>,
    len: usize,
    width: usize,
    home: Buffers,
}

impl Buffer {
    /// The same numbers rounded to bf16, to nearest even, in half of the memory.
    pub fn rounded(self) -> Buffer<bf16> {
        let mut rounded = self.home.take(self.len / self.width.max(1), self.width);
        round(&self, &mut rounded);
        rounded
    }
}

impl Buffer<bf16> {
    /// The same numbers.
    pub fn widened(self) -> Buffer {
        let mut widened = self.home.take(self.len / self.width.max(1), self.width);
        widen(&self, &mut widened);
        widened
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

impl<T: Number> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut shelves = self.home.shelves();
        let shelf = T::shelves(&mut shelves).entry(self.width).or_default();
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
        let (wide, narrow): (Buffer, Buffer) = (buffers.take(10, 10), buffers.take(10, 2));
        let addresses = (wide.as_ptr(), narrow.as_ptr());
        drop((wide, narrow));
        let (narrow, wide): (Buffer, Buffer) = (buffers.take(9, 2), buffers.take(3, 10));
        assert_eq!((wide.as_ptr(), narrow.as_ptr()), addresses);
        assert_eq!((narrow.len(), wide.len()), (18, 30));
    }

    #[test]
    fn growing_requests_do_not_pile_up() {
        let buffers = Buffers::default();
        for rows in 1..100 {
            drop((buffers.take::<f32>(rows, 3), buffers.copy(&vec![1.0; 3 * rows], 3)));
        }
        let held: usize = buffers.shelves().whole[&3].free.iter().map(Vec::len).sum();
        assert!(held <= 2 * 297, "{held}");
        assert!(buffers.zeros(20, 3).iter().all(|&x| x == 0.0));
    }

    #[test]
    fn halves_have_shelves_of_their_own() {
        let buffers = Buffers::default();
        let values: Vec<f32> = (0..12).map(|i| 1.0 + i as f32 / 256.0).collect();
        let whole = buffers.copy(&values, 4);
        let address = whole.as_ptr();
        let half = whole.rounded();
        assert_eq!((half.len(), half[1].to_f32(), half[3].to_f32()), (12, 1.0, 1.015_625));
        let expected: Vec<f32> = half.iter().map(|x| x.to_f32()).collect();
        let whole = half.widened();
        assert_eq!((whole.as_ptr(), &whole[..]), (address, &expected[..]));
    }
}
