//! openraft on top of our store.

pub mod log;
