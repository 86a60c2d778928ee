//! The decoder on slices of the CPU, with its backward written by hand.
//!
//! The same functions as candle's autograd computes over [`crate::block`], which is what they are
//! tested against; but nothing is kept that the backward pass does not read, memory is used again
//! instead of being asked for, and the last block computes the rows of targets alone.

mod block;
mod cached;
mod chain;
mod linear;
mod span;

pub(crate) use cached::Slot;
