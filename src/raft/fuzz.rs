//! What this room reads from disks and peers, each reader given bytes, for fuzzing.
//!
//! Feature `testing`. Each reader returns, whatever the bytes are; what it took for sound is the same
//! when it is written and read again.

use super::envelope;
use super::log::{LogOptions, LogRecord, RaftLog, SEGMENT_BYTES_MIN, Threading};
use super::network::frames::{self, Kind};
use super::network::{introduction, messages, receiving};
use super::observer::{NotReconfigured, Reconfigure};
use super::options::MESSAGE_BYTES_MAX;
use super::types::{self, Entry, Payload, TypeConfig, Vote};
use super::{proto, record};
use crate::model::{
    ClusterId, Id, LogPosition, MemberAddresses, MemberId, Reconfiguration, Refusal, SessionId,
    Zxid,
};
use crate::store::disk::Disk;
use bytes::{Bytes, BytesMut};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use prost::Message;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};

pub use super::log::resealed as resealed_segment;

/// The payload of an entry, or a vote.
pub fn log_record(bytes: &[u8]) {
    if let Ok(vote) = record::decode_vote(bytes) {
        let again = record::decode_vote(&record::encode_vote(&vote));
        assert_eq!(again, Ok(vote));
    }
    let Ok(payload) = record::decode_payload(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let encoded = record::encode_payload(&payload);
    assert_eq!(record::decode_payload(encoded).as_ref(), Ok(&payload));
    if let Payload::Normal(proposal) = payload
        && let Ok(found) = envelope::decode(proposal.0.clone())
    {
        assert_eq!(envelope::check(&proposal.0), Ok(()));
        let again = envelope::encode(found.proposed_at_ms, &found.batches);
        assert_eq!(again, proposal.0);
    }
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES_MIN,
        threading: Threading::Inline,
        ..LogOptions::default()
    }
}

/// A log as it is found at start: opened, read, and written on.
pub fn log_directory(disk: Arc<dyn Disk>, dir: &Path) {
    let Ok(log) = RaftLog::open(dir, disk, options()) else {
        return;
    };
    let last = log.last().unwrap_or_default();
    if let Some(vote) = log.vote() {
        log_record(&vote);
    }
    let (first, end) = (last.index.saturating_sub(8), last.index.saturating_add(1));
    for entry in log
        .read(first..end, SEGMENT_BYTES_MIN as usize)
        .unwrap_or_default()
    {
        log_record(&entry.payload);
    }
    if let Some(index) = last.index.checked_add(1) {
        let position = LogPosition {
            term: last.term,
            index,
        };
        let payload = Bytes::from_static(b"more");
        log.append(vec![LogRecord { position, payload }], Box::new(|_| {}));
    }
}

/// A log of these payloads, with a vote.
pub fn write_log(disk: Arc<dyn Disk>, dir: &Path, payloads: &[Vec<u8>]) {
    let Ok(log) = RaftLog::open(dir, disk, options()) else {
        return;
    };
    let vote = record::encode_vote(&Vote::new_committed(1, 2));
    log.save_vote(vote, Box::new(|_| {}));
    let entries = payloads.iter().zip(1..).map(|(payload, index)| LogRecord {
        position: LogPosition { term: 1, index },
        payload: payload.clone().into(),
    });
    log.append(entries.collect(), Box::new(|_| {}));
    log.save_committed(LogPosition { term: 1, index: 1 });
}

/// A message, read as every kind there is.
pub fn peer_message(bytes: &[u8]) {
    append(bytes);
    votes(bytes);
    reconfigurations(bytes);
    if let Ok(message) = proto::SnapshotPart::decode(bytes)
        && let Some(proto::snapshot_part::Part::Header(header)) = message.part
        && let Ok((vote, position)) = receiving::announced(&header)
    {
        assert!(vote.committed && position.term <= vote.leader_id.term);
    }
    if let Ok(message) = proto::AddObserverRequest::decode(bytes)
        && let Ok(addresses) = messages::to_addresses(message.addresses)
    {
        let _ = record::check_addresses(&addresses);
    }
    let _ = proto::TouchRequest::decode(bytes);
    let _ = proto::ForwardRequest::decode(bytes);
    let _ = proto::StatusResponse::decode(bytes);
}

fn append(bytes: &[u8]) {
    if let Ok(message) = proto::AppendRequest::decode(bytes)
        && let Ok(request) = messages::to_append_request(message)
    {
        let again = messages::to_append_request(messages::append_request(&request));
        assert_eq!(again.map(|again| again.entries), Ok(request.entries));
    }
    if let Ok(message) = proto::AppendResponse::decode(bytes)
        && let Ok(result) = messages::to_append_result(message)
    {
        let again = messages::to_append_result(messages::append_response(&result));
        assert_eq!(again, Ok(result));
    }
}

fn votes(bytes: &[u8]) {
    if let Ok(message) = proto::VoteRequest::decode(bytes)
        && let Ok(request) = messages::to_vote_request(message)
    {
        let again = messages::to_vote_request(messages::vote_request(&request));
        assert_eq!(again, Ok(request));
    }
    if let Ok(message) = proto::VoteResponse::decode(bytes) {
        let _ = messages::to_vote_response(message);
    }
    if let Ok(message) = proto::TransferLeaderRequest::decode(bytes) {
        let _ = messages::to_transfer_request(message);
    }
}

fn reconfigurations(bytes: &[u8]) {
    if let Ok(message) = proto::ReconfigureRequest::decode(bytes) {
        let request = messages::to_reconfigure_request(message);
        let again = messages::to_reconfigure_request(messages::reconfigure_request(&request));
        assert_eq!(again, request);
    }
    if let Ok(message) = proto::ReconfigureResponse::decode(bytes) {
        let result = messages::to_reconfigure_result(message);
        let again = messages::to_reconfigure_result(messages::reconfigure_response(result.clone()));
        assert_eq!(again, result);
    }
}

/// Messages as members write them, by name. `records` become the entries of an append.
pub fn peer_messages(
    records: Vec<Bytes>,
    addresses: &MemberAddresses,
) -> Vec<(&'static str, Vec<u8>)> {
    let log_id = |index| types::log_id(LogPosition { term: 1, index });
    let entries = records.into_iter().zip(5..).map(|(record, index)| Entry {
        log_id: log_id(index),
        payload: record::decode_payload(record).expect("it is a record of ours"),
    });
    let append = AppendEntriesRequest::<TypeConfig> {
        vote: Vote::new_committed(2, 1),
        prev_log_id: Some(log_id(4)),
        entries: entries.collect(),
        leader_commit: Some(log_id(3)),
    };
    let vote = VoteRequest::<TypeConfig>::new(Vote::new(2, 1), Some(log_id(4)));
    let reconfigure = Reconfigure {
        session: SessionId(0x0100_0000_0000_0001),
        generation: 1,
        identities: vec![Id::new("super", "")],
        seen: Zxid(9),
        patience: Duration::from_secs(1),
        wanted: Reconfiguration {
            leaving: Some("3".to_owned()),
            config_version: -1,
            ..Reconfiguration::default()
        },
    };
    let refused = Err(NotReconfigured::Refused(Refusal::NewConfigNoQuorum));
    let header = proto::SnapshotHeader {
        vote: Some(messages::vote(&Vote::new_committed(2, 1))),
        last: Some(messages::position(LogPosition { term: 1, index: 4 })),
        file_bytes: 1000,
    };
    let header = proto::SnapshotPart {
        part: Some(proto::snapshot_part::Part::Header(header)),
    };
    let touch = proto::TouchRequest {
        term: 2,
        sessions: vec![1, 2],
        low_on_disk: true,
    };
    let add = proto::AddObserverRequest {
        id: 4,
        addresses: Some(messages::addresses(addresses)),
    };
    vec![
        ("append", messages::append_request(&append).encode_to_vec()),
        (
            "appended",
            messages::append_response(&Ok(Some(log_id(6)))).encode_to_vec(),
        ),
        ("vote", messages::vote_request(&vote).encode_to_vec()),
        (
            "reconfigure",
            messages::reconfigure_request(&reconfigure).encode_to_vec(),
        ),
        (
            "not_reconfigured",
            messages::reconfigure_response(refused).encode_to_vec(),
        ),
        ("snapshot_header", header.encode_to_vec()),
        ("touch", touch.encode_to_vec()),
        ("add_observer", add.encode_to_vec()),
    ]
}

/// What follows the first bytes of a connection of frames, as it is and with the checksum that its first
/// frame should have.
pub fn peer_frames(bytes: &[u8]) {
    frames_in(BytesMut::from(bytes));
    let mut sealed = BytesMut::from(bytes);
    if let Some([.., a, b, c, d]) = bytes.first_chunk::<8>() {
        let body = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if let Some(covered) = bytes.get(4..body.saturating_add(9)) {
            sealed[..4].copy_from_slice(&crc32c::crc32c(covered).to_be_bytes());
        }
    }
    frames_in(sealed);
}

fn frames_in(mut input: BytesMut) {
    while let Ok(Some(frame)) = frames::take(&mut input, MESSAGE_BYTES_MAX) {
        if let Ok(opening) = frame.clone().message::<proto::Opening>(Kind::Opening) {
            let metadata = frames::metadata(&opening.metadata);
            let again = frames::metadata(&frames::texts(&metadata));
            assert_eq!(frames::texts(&again), frames::texts(&metadata));
            let _ = introduction::check(&metadata, ClusterId(0x1234), MemberId(3));
        }
        if let Ok(head) = frame.clone().message::<proto::Head>(Kind::Head) {
            let _ = frames::opened(&head);
        }
        if frame.kind == Kind::Message {
            append(&frame.body);
        }
    }
}

/// Frames as members write them, by name.
pub fn frames_written(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let metadata = introduction::Introduction::new(ClusterId(0x1234), MemberId(2), MemberId(3));
    let opening = proto::Opening {
        purpose: proto::opening::Purpose::Append.into(),
        metadata: frames::texts(metadata.introduce(()).metadata()),
    };
    let refused = tonic::Status::resource_exhausted("the disk is full");
    let append = proto::AppendRequest::decode(message).expect("it is a message of ours");
    let mut opened = BytesMut::new();
    frames::put(&mut opened, Kind::Opening, &opening);
    let mut stream = BytesMut::new();
    frames::put(&mut stream, Kind::Message, &append);
    frames::put(&mut stream, Kind::Idle, &());
    frames::put(&mut stream, Kind::End, &());
    let mut failed = BytesMut::new();
    frames::put(&mut failed, Kind::Head, &frames::failure(&refused));
    vec![
        ("opening", opened.to_vec()),
        ("stream", stream.to_vec()),
        ("failed", failed.to_vec()),
    ]
}

/// The texts in front of a message: cluster, caller, callee, and what is acknowledged.
pub fn introduction([cluster, from, to, acknowledged]: [&[u8]; 4]) {
    let mut metadata = MetadataMap::new();
    for (key, text) in [
        ("vivarium-cluster", cluster),
        ("vivarium-from", from),
        ("vivarium-to", to),
        ("vivarium-acknowledged", acknowledged),
    ] {
        if let Ok(text) = MetadataValue::try_from(text) {
            metadata.insert(key, text);
        }
    }
    let (own_cluster, own) = (ClusterId(0x1234), MemberId(3));
    if let Ok(from) = introduction::check(&metadata, own_cluster, own) {
        assert_ne!(from, own);
    }
    let _ = introduction::acknowledged(&metadata);
}
