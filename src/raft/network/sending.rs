//! A snapshot on its way out: a header, then the file piece by piece, each with its checksum.
//!
//! No limit to the whole: a part is read when flow control asks for it. When the receiver stops
//! taking parts its idle time-out ends the call, and the transfer begins again.

use super::links::Link;
use super::messages::{self, MalformedMessage};
use crate::metrics::SNAPSHOTS_SENT;
use crate::raft::PeerError;
use crate::raft::proto::{self, snapshot_part::Part};
use crate::raft::snapshot::RaftSnapshot;
use crate::raft::types::{TypeConfig, Vote};
use crate::runtime;
use crate::store::disk::DiskFile;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use openraft::raft::SnapshotResponse;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sends one snapshot and waits until it is installed.
pub async fn send(
    link: &Link,
    vote: Vote,
    snapshot: RaftSnapshot,
) -> Result<SnapshotResponse<TypeConfig>, PeerError> {
    let handle = snapshot.snapshot;
    let unreadable = |error: io::Error| PeerError::Unreachable {
        member: link.to,
        reason: format!("the snapshot cannot be read: {error}"),
    };
    let file = handle.open().map_err(unreadable)?;
    let header = proto::SnapshotHeader {
        vote: Some(messages::vote(&vote)),
        last: handle.known.position.map(messages::position),
        file_bytes: handle.known.bytes,
    };
    tracing::info!(
        peer = %link.to,
        log_index = handle.known.position.map(|position| position.index),
        bytes = handle.known.bytes,
        "sending a snapshot"
    );
    metrics::counter!(SNAPSHOTS_SENT).increment(1);
    let sent = Arc::new(AtomicU64::new(0));
    let parts = parts(
        header,
        Arc::from(file),
        link.options().snapshot_part_bytes,
        Arc::clone(&sent),
    );
    let mut client = link.client();
    let call = client.snapshot(link.introduction.introduce(parts));
    let answer = tokio::select! {
        answer = call => answer.map_err(|status| link.error(&status))?,
        () = stalled(link, &sent, handle.known.bytes) => {
            link.reset();
            return Err(PeerError::TimedOut { member: link.to });
        }
    };
    let vote = messages::to_vote(answer.into_inner().vote.as_ref()).map_err(
        |error: MalformedMessage| PeerError::Unreachable {
            member: link.to,
            reason: error.to_string(),
        },
    )?;
    Ok(SnapshotResponse::new(vote))
}

/// Returns when no part was taken for `snapshot_idle`, or the whole was and is not installed within
/// `snapshot_install`.
async fn stalled(link: &Link, sent: &AtomicU64, file_bytes: u64) {
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        let patience = match before >= file_bytes {
            true => link.options().snapshot_install,
            false => link.options().snapshot_idle,
        };
        tokio::time::sleep(patience).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

fn parts(
    header: proto::SnapshotHeader,
    file: Arc<dyn DiskFile>,
    part_bytes: usize,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = proto::SnapshotPart> + Send + 'static {
    let file_bytes = header.file_bytes;
    let first = stream::iter([proto::SnapshotPart {
        part: Some(Part::Header(header)),
    }]);
    let rest = stream::unfold(0, move |offset| {
        let (file, sent) = (Arc::clone(&file), Arc::clone(&sent));
        async move {
            if offset >= file_bytes {
                return None;
            }
            let bytes = part_bytes.min((file_bytes - offset) as usize);
            let read = runtime::blocking(move || read(file.as_ref(), offset, bytes));
            // A file that cannot be read to its end sends less than was announced, which the
            // receiver refuses.
            let data = match read.await {
                Ok(Ok(data)) => data,
                Ok(Err(error)) => {
                    tracing::error!(%error, offset, "the snapshot being sent cannot be read");
                    return None;
                }
                Err(_) => return None,
            };
            let next = offset + data.len() as u64;
            sent.store(next, Ordering::Relaxed);
            let part = proto::SnapshotPart {
                part: Some(Part::Data(proto::SnapshotData {
                    offset,
                    crc32c: crc32c::crc32c(&data),
                    data,
                })),
            };
            Some((part, next))
        }
    });
    stream::StreamExt::chain(first, rest)
}

fn read(file: &dyn DiskFile, offset: u64, bytes: usize) -> io::Result<Bytes> {
    let mut data = BytesMut::zeroed(bytes);
    match file.read_at(&mut data, offset)? {
        read if read == bytes => Ok(data.freeze()),
        read => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{read} bytes where {bytes} were expected"),
        )),
    }
}
