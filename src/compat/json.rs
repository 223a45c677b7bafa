//! What this room keeps in entries is JSON, so that every client can read it.

use super::failure::Failure;
use bytes::Bytes;
use serde::Serialize;

pub fn to_json(value: &impl Serialize) -> Result<Bytes, Failure> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Failure::Internal(error.to_string()))
}
