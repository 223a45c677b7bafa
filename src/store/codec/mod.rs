//! Bytes on disk and between members: the one place where a value becomes a record and back.
//!
//! Owns: the envelope of every record, and one frozen layout per kind and version. bincode writes
//! what is inside an envelope, and no other module names it.
//!
//! ```text
//! | kind u8 | version u8 | payload length u32 BE | crc32c u32 BE | payload |
//! ```
//!
//! At all times
//! 1. The checksum covers everything but itself, so a record whose kind or length was hit is refused
//!    like one whose payload was.
//! 2. bincode is positional. A released `…V1` type never changes: a field is added by a `…V2` with
//!    `From<…V1>`, a variant by appending it. `tests/format/` keeps bytes of every version.
//! 3. Decoding never allocates more than the decoded values take, whatever lengths the bytes claim,
//!    and never panics.
//! 4. Bytes left over are an error: a record says exactly one thing.
//!
//! Decision: `docs/adr/2026-11-22-record-encoding.md`.

mod acl;
mod batch;
mod changes;
mod entry;
mod envelope;
mod error;
mod format;
mod list;
mod membership;
mod rows;

pub use batch::{decode_batch, encode_batch};
pub use changes::{
    decode_through, decode_transaction, decode_transaction_where, encode_through,
    encode_transaction, transaction_bytes_guess,
};
pub use entry::{
    LogEntry, VoteRecord, decode_batches, decode_entry, decode_vote, encode_entry, encode_vote,
};
pub use envelope::{
    ENVELOPE_BYTES, RECORD_PAYLOAD_BYTES_MAX, RecordKind, record_kind, record_length, split_record,
};
pub use error::CodecError;
pub use format::{
    FORMAT, FORMAT_FIRST, FORMAT_LOCAL_SESSIONS, format_of_command, format_of_operation,
    format_of_rules,
};
pub use membership::{decode_membership, encode_membership};
pub use rows::{
    decode_header, decode_session, decode_znode, encode_header, encode_session, encode_znode,
};
