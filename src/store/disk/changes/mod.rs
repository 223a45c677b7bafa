//! The files of a member's change log.
//!
//! ```text
//! changes/0000000500000000.log     | mark 0x500000000 | transaction | transaction | mark | …
//! changes/00000005000002a7.log     | mark 0x5000002a7 | transaction | …
//! ```
//! A file is a *segment*. It is named after the mark that it begins with: its first transaction comes
//! after that zxid. Each segment begins where the one before it ends, and only the last is written to.
//!
//! At all times
//! 1. What the segments hold is all changes after the first one's mark, through the last one's end,
//!    each once and in order. Where that cannot be had, the log begins anew; it never has a gap.
//! 2. A segment was synced before the next one is begun, so a crash takes away an end and no middle.
//! 3. No file is written again under a name that it had before: what a crash brings back of an older
//!    file cannot be taken for a part of a newer one.
//!
//! Decision: `docs/adr/2026-11-28-change-log.md`.

mod reader;
mod scan;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{ChangeReader, Chunk, ReadFault};
pub use segment::ChangeFigures;
pub use writer::{ChangeFiles, ChangeLimits, ChangeRecord};
