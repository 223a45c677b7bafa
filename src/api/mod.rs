//! The messages and services of the native API, as `build.rs` makes them of `proto/vivarium/v1`.

// What is generated is not ours to mend.
#![allow(clippy::all, missing_docs)]

tonic::include_proto!("vivarium.v1");

/// What describes them, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vivarium.v1.bin"));
