//! The tree.

/// A consistent view.
#[derive(Clone)]
pub struct FrozenTree;
