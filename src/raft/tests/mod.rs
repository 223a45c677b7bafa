//! Clusters in one process, over real sockets and files.

mod divergence;
mod formation;
mod harness;
mod leadership;
mod membership;
mod peers;
mod recovery;
mod replication;
mod restore;
