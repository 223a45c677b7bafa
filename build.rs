//! Compiles `proto/` without a system `protoc`: protox parses, tonic generates.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/vivarium/peer/v1/peer.proto",
        "proto/vivarium/peer/v1/cluster.proto",
    ];
    tonic_prost_build::configure()
        // Log entries and snapshot parts are passed on without being copied.
        .bytes(".vivarium.peer.v1")
        .compile_fds(protox::compile(files, ["proto"])?)?;
    // What the comparison with etcd speaks.
    tonic_prost_build::configure()
        .bytes(".etcdserverpb")
        .compile_fds(protox::compile(["proto/etcd/v3/rpc.proto"], ["proto"])?)?;
    let api = protox::compile(
        [
            "proto/vivarium/v1/common.proto",
            "proto/vivarium/v1/session.proto",
            "proto/vivarium/v1/registry.proto",
            "proto/vivarium/v1/lock.proto",
            "proto/vivarium/v1/ring.proto",
            "proto/vivarium/v1/task.proto",
            "proto/vivarium/v1/change_log.proto",
        ],
        ["proto"],
    )?;
    // For reflection.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("vivarium.v1.bin"), api.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".vivarium.v1")
        .compile_fds(api)?;
    Ok(())
}
