//! Memory that is used again.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// Hands out slices and takes them back: what a step of training needs, the next one finds. Fresh
/// memory costs a page fault every 4 KiB, which on the sizes of activations is as dear as the
/// arithmetic.
///
/// Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<f32>>>>);

impl Buffers {
    /// `len` numbers of unknown value.
    pub fn take(&self, len: usize) -> Buffer {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(_, values): &(usize, &Vec<f32>)| values.len() >= len;
        let best = free.iter().enumerate().filter(fits).min_by_key(|(_, values)| values.len());
        let values = match best.map(|(index, _)| index) {
            Some(index) => free.swap_remove(index),
            None => {
                // The largest makes room, so that batches of growing size do not pile up memory.
                let largest = free.iter().enumerate().max_by_key(|(_, values)| values.len());
                if let Some(index) = largest.map(|(index, _)| index) {
                    drop(free.swap_remove(index));
                }
                vec![0.0; len]
            }
        };
        Buffer { values, len, home: Arc::clone(&self.0) }
    }

    /// `len` zeros.
    pub fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// A copy of `values`.
    pub fn copy(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

/// Numbers that go back to their [`Buffers`] when they are dropped.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    len: usize,
    home: Arc<Mutex<Vec<Vec<f32>>>>,
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
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back() {
        let buffers = Buffers::default();
        let (large, small) = (buffers.take(100), buffers.take(10));
        let addresses = (large.as_ptr(), small.as_ptr());
        drop((large, small));
        let (small, large) = (buffers.take(9), buffers.take(50));
        assert_eq!((large.as_ptr(), small.as_ptr()), addresses);
        assert_eq!((small.len(), large.len()), (9, 50));
    }

    #[test]
    fn growing_requests_do_not_pile_up() {
        let buffers = Buffers::default();
        for len in 1..100 {
            drop((buffers.take(len), buffers.copy(&vec![1.0; 2 * len])));
        }
        let held: usize =
            buffers.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).sum();
        assert!(held <= 4 * 99, "{held}");
        assert!(buffers.zeros(20).iter().all(|&x| x == 0.0));
    }
}
