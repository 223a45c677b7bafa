//! What hostile bytes are tried on: each decoder of the product as a function that takes bytes.
//!
//! The same functions run under a fuzzer (`fuzz/`), and in `tests/fuzz.rs` on the kept seeds, on every
//! one of them cut short, and on seeded mutations of them.
//!
//! At all times: a target returns, whatever the bytes are; it takes memory in proportion to them; and
//! what it took for sound is the same value when it is written and read again. Where a checksum would
//! refuse every mutation, the bytes are tried as they are and with the checksum that they should have.

mod clients;
mod files;
mod imports;
mod peers;
mod records;
mod settings;
mod stores;

/// Bytes as the product itself writes them, and their name.
pub type Seed = (String, Vec<u8>);

/// One decoder.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Seed>,
    /// What it takes whatever its input is: buffers of a fixed size, the state that it acts upon.
    pub fixed_bytes: usize,
}

const KIB: usize = 1 << 10;

pub static TARGETS: &[Target] = &[
    Target {
        name: "opening",
        run: clients::opening,
        seeds: clients::openings,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "connect",
        run: clients::connect,
        seeds: clients::connects,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "request",
        run: clients::request,
        seeds: clients::requests,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "multi",
        run: clients::multi,
        seeds: clients::multis,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "access_list",
        run: clients::access_list,
        seeds: clients::access_lists,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "proof",
        run: clients::proof,
        seeds: clients::proofs,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "sasl",
        run: clients::sasl,
        seeds: clients::tokens,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "certificate",
        run: stores::certificate,
        seeds: stores::certificates,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "reply",
        run: clients::reply,
        seeds: clients::replies,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "batch",
        run: records::batch,
        seeds: records::batches,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "row",
        run: records::row,
        seeds: records::rows,
        fixed_bytes: 32 * KIB,
    },
    Target {
        name: "log_record",
        run: records::log_record,
        seeds: records::log_records,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "log_segment",
        run: files::log_segment,
        seeds: files::log_segments,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "snapshot",
        run: files::snapshot,
        seeds: files::snapshots,
        fixed_bytes: 2048 * KIB,
    },
    Target {
        name: "snapshot_rows",
        run: files::snapshot_rows,
        seeds: files::rows_of_snapshots,
        fixed_bytes: 2048 * KIB,
    },
    Target {
        name: "identity",
        run: files::identity,
        seeds: files::identities,
        fixed_bytes: 64 * KIB,
    },
    Target {
        name: "peer_message",
        run: peers::message,
        seeds: peers::messages,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "peer_frames",
        run: peers::frames,
        seeds: peers::frames_seeds,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "introduction",
        run: peers::introduction,
        seeds: peers::introductions,
        fixed_bytes: 16 * KIB,
    },
    Target {
        name: "settings",
        run: settings::files,
        seeds: settings::files_seeds,
        fixed_bytes: 256 * KIB,
    },
    Target {
        name: "key_store",
        run: stores::store,
        seeds: stores::stores,
        fixed_bytes: 64 * KIB,
    },
    Target {
        name: "reconfiguration",
        run: settings::reconfiguration,
        seeds: settings::reconfigurations,
        fixed_bytes: 64 * KIB,
    },
    Target {
        name: "zookeeper_snapshot",
        run: imports::zookeeper_snapshot,
        seeds: imports::zookeeper_snapshots,
        fixed_bytes: 2048 * KIB,
    },
    Target {
        name: "zookeeper_log",
        run: imports::zookeeper_log,
        seeds: imports::zookeeper_logs,
        fixed_bytes: 2048 * KIB,
    },
    Target {
        name: "registry_table",
        run: imports::registry_table,
        seeds: imports::registry_tables,
        fixed_bytes: 2048 * KIB,
    },
];

/// Runs one target.
///
/// # Panics
/// If there is none of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target
        .unwrap_or_else(|| panic!("no target has the name {name}"))
        .run)(bytes);
}

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name.to_owned(), bytes.into())
}
