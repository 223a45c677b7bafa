//! What requests promise.
