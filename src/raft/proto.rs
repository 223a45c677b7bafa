//! What `build.rs` makes of `proto/vivarium/peer/v1`.

tonic::include_proto!("vivarium.peer.v1");
