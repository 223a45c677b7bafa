//! The proof that we answer as ZooKeeper 3.9 does.
//!
//! Three servers of ZooKeeper 3.9.5 and three members of ours are driven through the same scenarios,
//! with bytes and not with a client library, and everything they say is compared: replies with their
//! codes, bodies and stats, events with their place among the replies, the ends of connections. What
//! may differ is taken out before (`value`), what differs on purpose has a name (`differences`).
//!
//! ```text
//! cargo test --test conformance                                       # what the whole suite runs
//! VIVARIUM_CONFORMANCE_SEED=7 cargo test --test conformance random    # one seed
//! VIVARIUM_CONFORMANCE_SEEDS=100 VIVARIUM_CONFORMANCE_OPS=5000 cargo test --test conformance random
//! ```

mod compare;
mod configuration;
mod decode;
mod differences;
mod directed;
mod generate;
mod import;
mod knowledge;
mod mutated;
mod pair;
mod random;
mod request;
mod run;
mod sasl;
mod shrink;
mod step;
mod value;
mod words;
