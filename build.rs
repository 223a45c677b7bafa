//! Compiles `proto/` without a system `protoc`: protox parses, tonic generates.

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
    Ok(())
}
