//! A snapshot on its way in.
//!
//! It is written under a name of its own, verified by loading it, and only then given its name, made
//! durable, and handed to consensus. A transfer that breaks leaves a file that the next one
//! overwrites.

use super::messages;
use crate::model::LogPosition;
use crate::raft::proto::{SnapshotData, SnapshotHeader, SnapshotPart, snapshot_part::Part};
use crate::raft::snapshot::{RaftSnapshot, Snapshots};
use crate::raft::types::{self, Vote};
use crate::runtime;
use crate::store::disk::DiskFile;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Status, Streaming};

/// Receives one snapshot. `idle` bounds the wait for each part.
pub async fn receive(
    mut parts: Streaming<SnapshotPart>,
    snapshots: Arc<Snapshots>,
    idle: Duration,
) -> Result<(Vote, RaftSnapshot), Status> {
    let header = match next(&mut parts, idle).await? {
        Some(Part::Header(header)) => header,
        _ => {
            return Err(Status::invalid_argument(
                "a snapshot begins with its header",
            ));
        }
    };
    let (vote, position) = announced(&header)?;
    tracing::info!(
        log_index = position.index,
        bytes = header.file_bytes,
        "receiving a snapshot"
    );
    let receiving = snapshots.begin_receiving().await;
    let mut incoming = {
        let (snapshots, path) = (Arc::clone(&snapshots), receiving.path.clone());
        joined(
            runtime::blocking(move || Incoming::create(&snapshots, &path, header.file_bytes)).await,
        )?
    };
    while let Some(part) = next(&mut parts, idle).await? {
        let Part::Data(data) = part else {
            return Err(Status::invalid_argument("a snapshot has one header"));
        };
        // Meanwhile the stream's window takes what comes next.
        incoming = joined(runtime::blocking(move || incoming.take(data)).await)?;
    }
    incoming.end()?;
    let accepted = {
        let (snapshots, path) = (Arc::clone(&snapshots), receiving.path.clone());
        runtime::blocking(move || snapshots.accept(&path, position)).await
    };
    match accepted {
        Ok(Ok(snapshot)) => Ok((vote, snapshot)),
        Ok(Err(fault)) => {
            tracing::error!(%fault, "a received snapshot was refused");
            Err(Status::data_loss(fault.to_string()))
        }
        Err(error) => Err(Status::internal(error.to_string())),
    }
}

pub fn announced(header: &SnapshotHeader) -> Result<(Vote, LogPosition), Status> {
    let vote = messages::to_vote(header.vote.as_ref())?;
    let last = header
        .last
        .as_ref()
        .ok_or(messages::MalformedMessage::Missing("last"))?;
    let position = types::position(&messages::log_id(last));
    if !vote.committed || position.term > vote.leader_id.term {
        return Err(Status::invalid_argument(format!(
            "a leader of term {} has no snapshot of {position}",
            vote.leader_id.term
        )));
    }
    Ok((vote, position))
}

async fn next(parts: &mut Streaming<SnapshotPart>, idle: Duration) -> Result<Option<Part>, Status> {
    match tokio::time::timeout(idle, parts.message()).await {
        Ok(Ok(Some(part))) => match part.part {
            Some(part) => Ok(Some(part)),
            None => Err(Status::invalid_argument("an empty part")),
        },
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no part of the snapshot came for {idle:?}"
        ))),
    }
}

fn joined<T>(result: Result<Result<T, Status>, tokio::task::JoinError>) -> Result<T, Status> {
    result.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
}

/// The file that parts are written to.
struct Incoming {
    file: Box<dyn DiskFile>,
    file_bytes: u64,
    written: u64,
}

impl Incoming {
    fn create(snapshots: &Snapshots, path: &Path, file_bytes: u64) -> Result<Incoming, Status> {
        let directory = path.parent().unwrap_or(path);
        let free = snapshots.disk().free_bytes(directory);
        if free.as_ref().is_ok_and(|free| *free < file_bytes) {
            return Err(Status::resource_exhausted(format!(
                "a snapshot of {file_bytes} bytes does not fit on the disk"
            )));
        }
        let file = snapshots
            .disk()
            .open(path, true)
            .and_then(|file| file.set_len(0).map(|()| file))
            .map_err(|error| failed("created", &error))?;
        Ok(Incoming {
            file,
            file_bytes,
            written: 0,
        })
    }

    /// Writes the next part.
    fn take(mut self, part: SnapshotData) -> Result<Incoming, Status> {
        let written = self.written;
        let end = written + part.data.len() as u64;
        if part.offset != written || end > self.file_bytes {
            return Err(Status::invalid_argument(format!(
                "a part of {} bytes at {} where {written} of {} bytes were received",
                part.data.len(),
                part.offset,
                self.file_bytes
            )));
        }
        if crc32c::crc32c(&part.data) != part.crc32c {
            return Err(Status::data_loss(format!(
                "the checksum of the part at {written} does not match"
            )));
        }
        self.file
            .write_at(&part.data, written)
            .map_err(|error| failed("written", &error))?;
        self.written = end;
        Ok(self)
    }

    /// No more parts come.
    fn end(&self) -> Result<(), Status> {
        if self.written != self.file_bytes {
            return Err(Status::data_loss(format!(
                "{} of {} bytes came",
                self.written, self.file_bytes
            )));
        }
        Ok(())
    }
}

fn failed(what: &str, error: &std::io::Error) -> Status {
    tracing::error!(%error, "a received snapshot cannot be {what}");
    Status::internal(format!("the snapshot cannot be {what}: {error}"))
}
