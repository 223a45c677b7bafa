//! Between openraft's messages and ours.
//!
//! Entries travel as the records they are in the log: nothing is encoded again, and receiving slices
//! them from the message.

use crate::model::{
    Configuration, Id, LogPosition, MemberAddresses, Reconfiguration, Refusal, SessionId, Stat,
    Zxid,
};
use crate::raft::observer::{NotReconfigured, Reconfigure};
use crate::raft::proto;
use crate::raft::record::{self, RecordError};
use crate::raft::types::{self, Entry, LogId, TypeConfig, Vote};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use std::time::Duration;
use thiserror::Error;

/// However long a member says that its client may be kept waiting.
const RECONFIGURE_PATIENCE_MAX: Duration = Duration::from_secs(60);

/// More entries in one append than any member sends.
pub const APPEND_ENTRIES_MAX: usize = 4096;

/// A message that says nothing that could be meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MalformedMessage {
    #[error("the message has no {0}")]
    Missing(&'static str),
    #[error("{entries} entries come with {terms} terms")]
    Terms { entries: usize, terms: usize },
    #[error("{0} entries in one message are more than {APPEND_ENTRIES_MAX}")]
    TooMany(usize),
    #[error("entries run past the last index there is")]
    Overflow,
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<MalformedMessage> for tonic::Status {
    fn from(error: MalformedMessage) -> tonic::Status {
        tonic::Status::invalid_argument(error.to_string())
    }
}

pub fn position(position: LogPosition) -> proto::Position {
    proto::Position {
        term: position.term,
        index: position.index,
    }
}

fn from_log_id(log_id: &LogId) -> proto::Position {
    position(types::position(log_id))
}

pub fn log_id(position: &proto::Position) -> LogId {
    types::log_id(LogPosition {
        term: position.term,
        index: position.index,
    })
}

pub fn vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        member: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub fn to_vote(vote: Option<&proto::Vote>) -> Result<Vote, MalformedMessage> {
    let vote = vote.ok_or(MalformedMessage::Missing("vote"))?;
    Ok(match vote.committed {
        true => Vote::new_committed(vote.term, vote.member),
        false => Vote::new(vote.term, vote.member),
    })
}

pub fn append_request(request: &AppendEntriesRequest<TypeConfig>) -> proto::AppendRequest {
    let own_term = request.vote.leader_id.term;
    let term_of = |entry: &Entry| entry.log_id.leader_id.term;
    let terms = if request
        .entries
        .iter()
        .all(|entry| term_of(entry) == own_term)
    {
        Vec::new()
    } else {
        request.entries.iter().map(term_of).collect()
    };
    proto::AppendRequest {
        vote: Some(vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(from_log_id),
        committed: request.leader_commit.as_ref().map(from_log_id),
        entries: request
            .entries
            .iter()
            .map(|entry| record::encode_payload(&entry.payload))
            .collect(),
        terms,
    }
}

pub fn to_append_request(
    message: proto::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, MalformedMessage> {
    let vote = to_vote(message.vote.as_ref())?;
    let (entries, terms) = (message.entries.len(), message.terms.len());
    if entries > APPEND_ENTRIES_MAX {
        return Err(MalformedMessage::TooMany(entries));
    }
    if terms != 0 && terms != entries {
        return Err(MalformedMessage::Terms { entries, terms });
    }
    let first = match &message.previous {
        Some(previous) => previous.index.checked_add(1),
        None => Some(0),
    };
    let first = first
        .filter(|first| first.checked_add(entries as u64).is_some())
        .ok_or(MalformedMessage::Overflow)?;
    let own_term = vote.leader_id.term;
    let entries = message.entries.into_iter().enumerate().map(|(nth, entry)| {
        Ok(Entry {
            log_id: types::log_id(LogPosition {
                term: message.terms.get(nth).copied().unwrap_or(own_term),
                index: first + nth as u64,
            }),
            payload: record::decode_payload(entry)?,
        })
    });
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id: message.previous.as_ref().map(log_id),
        entries: entries.collect::<Result<_, RecordError>>()?,
        leader_commit: message.committed.as_ref().map(log_id),
    })
}

pub fn append_response(result: &StreamAppendResult<TypeConfig>) -> proto::AppendResponse {
    use proto::append_response::Result as Message;
    let result = match result {
        Ok(matched) => Message::Matched(proto::Matched {
            position: matched.as_ref().map(from_log_id),
        }),
        Err(StreamAppendError::Conflict(previous)) => Message::Conflict(from_log_id(previous)),
        Err(StreamAppendError::HigherVote(higher)) => Message::HigherVote(vote(higher)),
    };
    proto::AppendResponse {
        result: Some(result),
    }
}

pub fn to_append_result(
    message: proto::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, MalformedMessage> {
    use proto::append_response::Result as Message;
    Ok(match message.result {
        Some(Message::Matched(matched)) => Ok(matched.position.as_ref().map(log_id)),
        Some(Message::Conflict(previous)) => Err(StreamAppendError::Conflict(log_id(&previous))),
        Some(Message::HigherVote(higher)) => {
            Err(StreamAppendError::HigherVote(to_vote(Some(&higher))?))
        }
        None => return Err(MalformedMessage::Missing("result")),
    })
}

pub fn vote_request(request: &VoteRequest<TypeConfig>) -> proto::VoteRequest {
    proto::VoteRequest {
        vote: Some(vote(&request.vote)),
        last: request.last_log_id.as_ref().map(from_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub fn to_vote_request(
    message: proto::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, MalformedMessage> {
    let vote = to_vote(message.vote.as_ref())?;
    let mut request = VoteRequest::new(vote, message.last.as_ref().map(log_id));
    request.leadership_transfer = message.leadership_transfer;
    Ok(request)
}

pub fn vote_response(response: &VoteResponse<TypeConfig>) -> proto::VoteResponse {
    proto::VoteResponse {
        vote: Some(vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(from_log_id),
    }
}

pub fn to_vote_response(
    message: proto::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, MalformedMessage> {
    let vote = to_vote(message.vote.as_ref())?;
    let last = message.last.as_ref().map(log_id);
    Ok(VoteResponse::new(vote, last, message.granted))
}

pub fn transfer_request(
    request: &TransferLeaderRequest<TypeConfig>,
) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        from: Some(vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(from_log_id),
    }
}

pub fn to_transfer_request(
    message: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, MalformedMessage> {
    let from = to_vote(message.from.as_ref())?;
    let last = message.last.as_ref().map(log_id);
    Ok(TransferLeaderRequest::new(from, message.to, last))
}

pub fn addresses(addresses: &MemberAddresses) -> proto::Addresses {
    proto::Addresses {
        client: addresses.client.clone(),
        peer: addresses.peer.clone(),
        grpc: addresses.grpc.clone(),
        admin: addresses.admin.clone(),
    }
}

pub fn to_addresses(
    message: Option<proto::Addresses>,
) -> Result<MemberAddresses, MalformedMessage> {
    let message = message.ok_or(MalformedMessage::Missing("addresses"))?;
    Ok(MemberAddresses {
        client: message.client,
        peer: message.peer,
        grpc: message.grpc,
        admin: message.admin,
    })
}

pub fn reconfigure_request(request: &Reconfigure) -> proto::ReconfigureRequest {
    let Reconfiguration {
        joining,
        leaving,
        new_members,
        config_version,
    } = request.wanted.clone();
    let identities = request.identities.iter().map(|id| proto::Identity {
        scheme: id.scheme.to_string(),
        id: id.id.to_string(),
    });
    proto::ReconfigureRequest {
        joining,
        leaving,
        new_members,
        config_version,
        session: request.session.0,
        generation: request.generation,
        identities: identities.collect(),
        seen: request.seen.0,
        patience_ms: request.patience.as_millis() as u64,
    }
}

pub fn to_reconfigure_request(message: proto::ReconfigureRequest) -> Reconfigure {
    let identities = message.identities.into_iter();
    Reconfigure {
        session: SessionId(message.session),
        generation: message.generation,
        identities: identities.map(|id| Id::new(id.scheme, id.id)).collect(),
        seen: Zxid(message.seen),
        patience: Duration::from_millis(message.patience_ms).min(RECONFIGURE_PATIENCE_MAX),
        wanted: Reconfiguration {
            joining: message.joining,
            leaving: message.leaving,
            new_members: message.new_members,
            config_version: message.config_version,
        },
    }
}

pub fn reconfigure_response(
    result: Result<Configuration, NotReconfigured>,
) -> proto::ReconfigureResponse {
    use proto::reconfigure_response::Result as Message;
    let result = match result {
        Ok(made) => Message::Made(configuration(made)),
        Err(NotReconfigured::Refused(refusal)) => Message::Refusal(refusal.code()),
        Err(NotReconfigured::NotLeader) => Message::NotLeader(true),
        Err(NotReconfigured::Unknown(why)) => Message::Unknown(why),
    };
    proto::ReconfigureResponse {
        result: Some(result),
    }
}

fn configuration(made: Configuration) -> proto::Configuration {
    let Configuration { data, stat } = made;
    proto::Configuration {
        data,
        czxid: stat.czxid.0,
        mzxid: stat.mzxid.0,
        ctime_ms: stat.ctime_ms,
        mtime_ms: stat.mtime_ms,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        pzxid: stat.pzxid.0,
    }
}

fn to_configuration(message: proto::Configuration) -> Configuration {
    Configuration {
        stat: Stat {
            czxid: Zxid(message.czxid),
            mzxid: Zxid(message.mzxid),
            ctime_ms: message.ctime_ms,
            mtime_ms: message.mtime_ms,
            version: message.version,
            cversion: message.cversion,
            aversion: message.aversion,
            ephemeral_owner: SessionId::NONE,
            data_length: message.data.len() as i32,
            num_children: 0,
            pzxid: Zxid(message.pzxid),
        },
        data: message.data,
    }
}

pub fn to_reconfigure_result(
    message: proto::ReconfigureResponse,
) -> Result<Configuration, NotReconfigured> {
    use proto::reconfigure_response::Result as Message;
    Err(match message.result {
        Some(Message::Made(made)) => return Ok(to_configuration(made)),
        Some(Message::Refusal(code)) => NotReconfigured::Refused(Refusal::from_code(code)),
        Some(Message::NotLeader(_)) => NotReconfigured::NotLeader,
        Some(Message::Unknown(why)) => NotReconfigured::Unknown(why),
        None => NotReconfigured::Unknown("the leader's answer says nothing".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::envelope;
    use crate::raft::types::{Payload, Proposal};
    use prost::Message;

    fn at(term: u64, index: u64) -> LogId {
        types::log_id(LogPosition { term, index })
    }

    fn entry(term: u64, index: u64) -> Entry {
        Entry {
            log_id: at(term, index),
            payload: Payload::Normal(Proposal(envelope::encode(index as i64, &[]))),
        }
    }

    fn there_and_back(request: &AppendEntriesRequest<TypeConfig>) {
        let bytes = append_request(request).encode_to_vec();
        let message = proto::AppendRequest::decode(bytes.as_slice()).unwrap();
        let back = to_append_request(message).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn appends_come_back_as_they_were() {
        let mut request = AppendEntriesRequest {
            vote: Vote::new_committed(5, 2),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        there_and_back(&request);
        request.entries = vec![entry(5, 0), entry(5, 1)];
        there_and_back(&request);
        assert!(append_request(&request).terms.is_empty());
        request.prev_log_id = Some(at(3, 9));
        request.leader_commit = Some(at(3, 8));
        request.entries = vec![entry(4, 10), entry(5, 11)];
        there_and_back(&request);
    }

    #[test]
    fn results_come_back_as_they_were() {
        for result in [
            Ok(None),
            Ok(Some(at(1, 2))),
            Err(StreamAppendError::Conflict(at(3, 4))),
            Err(StreamAppendError::HigherVote(Vote::new(7, 1))),
        ] {
            assert_eq!(to_append_result(append_response(&result)), Ok(result));
        }
    }

    #[test]
    fn votes_and_transfers_come_back_as_they_were() {
        let mut request = VoteRequest::new(Vote::new(3, 1), Some(at(2, 8)));
        request.leadership_transfer = true;
        assert_eq!(to_vote_request(vote_request(&request)), Ok(request));
        let response = VoteResponse::new(Vote::new_committed(3, 1), None, true);
        assert_eq!(to_vote_response(vote_response(&response)), Ok(response));
        let transfer = TransferLeaderRequest::new(Vote::new_committed(3, 1), 2, Some(at(3, 3)));
        assert_eq!(
            to_transfer_request(transfer_request(&transfer)),
            Ok(transfer)
        );
    }

    #[test]
    fn wishes_to_reconfigure_and_what_became_of_them_come_back_as_they_were() {
        let request = Reconfigure {
            session: SessionId(0x0100_0000_0000_0007),
            generation: 3,
            identities: vec![Id::new("ip", "::1"), Id::new("super", "")],
            seen: Zxid(0x2_0000_0009),
            patience: Duration::from_secs(10),
            wanted: Reconfiguration {
                joining: Some("server.4=a:1:2;3".to_owned()),
                leaving: Some(String::new()),
                new_members: None,
                config_version: -1,
            },
        };
        assert_eq!(
            to_reconfigure_request(reconfigure_request(&request)),
            request
        );
        let stat = Stat {
            czxid: Zxid(1),
            mzxid: Zxid(0x3_0000_0002),
            ctime_ms: 3,
            mtime_ms: 4,
            version: -1,
            cversion: 5,
            aversion: 6,
            ephemeral_owner: SessionId::NONE,
            data_length: 7,
            num_children: 0,
            pzxid: Zxid(8),
        };
        let made = Configuration {
            data: "servers".into(),
            stat,
        };
        for result in [
            Ok(made),
            Err(NotReconfigured::NotLeader),
            Err(NotReconfigured::Unknown("why".to_owned())),
            Err(NotReconfigured::Refused(Refusal::NewConfigNoQuorum)),
            Err(NotReconfigured::Refused(Refusal::NoAuth)),
        ] {
            let message = reconfigure_response(result.clone());
            assert_eq!(to_reconfigure_result(message), result);
        }
    }

    #[test]
    fn messages_that_do_not_hold_together_are_refused() {
        let whole = append_request(&AppendEntriesRequest {
            vote: Vote::new_committed(5, 2),
            prev_log_id: Some(at(4, 1)),
            entries: vec![entry(4, 2), entry(5, 3)],
            leader_commit: None,
        });
        let refused = |change: &dyn Fn(&mut proto::AppendRequest)| {
            let mut message = whole.clone();
            change(&mut message);
            to_append_request(message).unwrap_err()
        };
        assert_eq!(
            refused(&|message| message.vote = None),
            MalformedMessage::Missing("vote")
        );
        assert_eq!(
            refused(&|message| message.terms.truncate(1)),
            MalformedMessage::Terms {
                entries: 2,
                terms: 1
            }
        );
        assert_eq!(
            refused(&|message| message.previous = Some(proto::Position {
                term: 1,
                index: u64::MAX
            })),
            MalformedMessage::Overflow
        );
        assert_eq!(
            refused(&|message| message
                .entries
                .resize(APPEND_ENTRIES_MAX + 1, Default::default())),
            MalformedMessage::TooMany(APPEND_ENTRIES_MAX + 1)
        );
        assert!(matches!(
            refused(&|message| message.entries[0] = vec![0xff].into()),
            MalformedMessage::Record(_)
        ));
        assert!(to_append_result(proto::AppendResponse { result: None }).is_err());
    }
}
