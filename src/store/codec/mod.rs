//! Bytes on disk and between members.
