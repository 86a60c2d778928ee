//! What a dropout depends on: never on how rows are batched.

/// The randomness of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutStream {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step.
    pub step: u64,
}

/// What the rows of a `[T, ...]` tensor are.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Number of the training example that each row belongs to, `[T]`.
    pub example: &'a [u64],
    /// Position of each row in its sequence, `[T]`.
    pub position: &'a [u32],
}
