//! Faults that tests plant to see that they are caught.

/// A defect in the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The rotary embedding returns a tensor without history: queries and keys get no gradient.
    DetachRope,
    /// The scale of an adapter multiplies its base's output, too: `s (W x + b + B A x)`. Not while it
    /// is merged.
    ScaledBase,
}
