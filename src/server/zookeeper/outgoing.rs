//! What leaves on a connection.

use crate::member::SizeFigures;
use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// What was sent and not yet told to those who count it.
#[derive(Default)]
pub struct Outgoing {
    pub packets: u64,
    /// Of the replies, without their length.
    pub replies: SizeFigures,
}

/// Writes what the stream takes of `out`, or flushes once nothing is left of it.
pub async fn write_some(
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut BytesMut,
) -> std::io::Result<Option<usize>> {
    if out.is_empty() {
        writer.flush().await.map(|()| None)
    } else {
        writer.write_buf(out).await.map(Some)
    }
}
