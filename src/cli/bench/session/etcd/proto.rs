//! What `build.rs` makes of `proto/etcd`.

// What is generated is not ours to mend.
#![allow(clippy::all)]

tonic::include_proto!("etcdserverpb");
