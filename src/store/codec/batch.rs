//! Member batches: the hot path, once per batch for every write.
//!
//! Encoding borrows everything from the batch; decoding borrows everything from the input and hands
//! data out as slices of it, so a payload is copied into the tree and nowhere before.
//!
//! Requests of one connection share one list of identities. So do they here: each list is written
//! once, a request carries its number, and the decoded requests share it again.

use super::CodecError;
use super::acl::{AclV1, IdV1, acl_bytes_guess, acl_from_v1, acl_v1};
use super::envelope::{RecordKind, open, record_version, seal};
use super::list::{List, encode_list};
use crate::model::{
    Command, CreateMode, Id, MemberBatch, MemberId, Operation, Password, Request, RestoreAnnounced,
    Rules, SessionId, Zxid,
};
use bincode::enc::Encoder;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;
use std::sync::Arc;

const VERSION: u8 = 2;

/// A list of identities is looked for among this many lists before it. Keeps a batch of a thousand
/// different clients linear; a list missed by this is written twice and means the same.
const IDENTITY_LISTS_SEARCHED: usize = 16;

#[derive(Debug, BorrowDecode)]
#[cfg_attr(test, derive(Encode))]
struct BatchV1<'a> {
    origin: u64,
    incarnation: u64,
    sequence: u64,
    identities: List<List<IdV1<'a>>>,
    requests: List<RequestV1<'a>>,
}

/// Written for a batch with rules alone: all others are version 1 still.
#[derive(Debug, BorrowDecode)]
#[cfg_attr(test, derive(Encode))]
struct BatchV2<'a> {
    v1: BatchV1<'a>,
    rules: u8,
}

impl<'a> From<BatchV1<'a>> for BatchV2<'a> {
    fn from(v1: BatchV1<'a>) -> BatchV2<'a> {
        BatchV2 {
            v1,
            rules: Rules::NONE.bits(),
        }
    }
}

#[derive(Debug, Encode, BorrowDecode)]
struct RequestV1<'a> {
    session: i64,
    generation: u32,
    /// Which of the batch's lists.
    identities: u32,
    command: CommandV1<'a>,
}

#[derive(Debug, Encode, BorrowDecode)]
enum CommandV1<'a> {
    CreateSession {
        password: [u8; 16],
        timeout_ms: u32,
    },
    AttachSession {
        session: i64,
        password: [u8; 16],
        timeout_ms: u32,
    },
    CloseSession,
    ExpireSession {
        session: i64,
        generation: u32,
    },
    Sync,
    Operation(OperationV1<'a>),
    Multi(List<OperationV1<'a>>),
    VerifyDigest {
        index: u64,
        digest: u64,
    },
    RemoveContainer {
        path: &'a str,
    },
    RemoveUnusedContainer {
        path: &'a str,
        unused_ms_max: u64,
    },
    RemoveExpired {
        path: &'a str,
    },
    AgreeOnFormat {
        format: u32,
    },
    Once {
        number: u64,
        operations: List<OperationV1<'a>>,
    },
    UpgradeSession {
        session: i64,
        generation: u32,
        password: [u8; 16],
        timeout_ms: u32,
    },
    BeginRestore {
        zxid: i64,
        next_session: i64,
        znodes: u64,
        digest: u64,
    },
    RestoreRows {
        restore: u64,
        rows: &'a [u8],
    },
    FinishRestore {
        restore: u64,
    },
    AbortRestore {
        restore: u64,
    },
}

#[derive(Debug, Encode, BorrowDecode)]
enum OperationV1<'a> {
    Create {
        path: &'a str,
        data: Option<&'a [u8]>,
        acl: List<AclV1<'a>>,
        mode: CreateModeV1,
    },
    Delete {
        path: &'a str,
        version: i32,
    },
    SetData {
        path: &'a str,
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetAcl {
        path: &'a str,
        acl: List<AclV1<'a>>,
        version: i32,
    },
    Check {
        path: &'a str,
        version: i32,
    },
    Refuse {
        code: i32,
    },
    DeleteContainer {
        path: &'a str,
    },
    CheckCreated {
        path: &'a str,
        czxid: i64,
    },
}

#[derive(Clone, Copy, Debug, Encode, BorrowDecode)]
enum CreateModeV1 {
    Persistent,
    PersistentSequential,
    Ephemeral,
    EphemeralSequential,
    Container,
    ContainerSequential,
    PersistentWithTtl { ttl_ms: u64 },
    PersistentSequentialWithTtl { ttl_ms: u64 },
}

/// The record of a batch.
pub fn encode_batch(batch: &MemberBatch) -> Bytes {
    let (identities, numbers) = share_identities(&batch.requests);
    let guess = batch.requests.iter().map(bytes_guess).sum::<usize>()
        + identities.iter().map(|list| 48 * list.len()).sum::<usize>()
        + 32;
    let v1 = Batch {
        batch,
        identities: &identities,
        numbers: &numbers,
    };
    match batch.rules {
        Rules::NONE => seal(RecordKind::Batch, 1, &v1, guess).into(),
        rules => seal(RecordKind::Batch, VERSION, &(v1, rules.bits()), guess).into(),
    }
}

/// In bytes the same as `BatchV1`, without lists of its requests and identities in memory.
struct Batch<'a> {
    batch: &'a MemberBatch,
    identities: &'a [&'a Arc<[Id]>],
    /// For each request, that of its list of identities.
    numbers: &'a [u32],
}

impl Encode for Batch<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let MemberBatch {
            origin,
            incarnation,
            sequence,
            requests,
            ..
        } = self.batch;
        (origin.0, incarnation, sequence).encode(encoder)?;
        encode_list(encoder, self.identities, |encoder, list| {
            encode_list(encoder, list, |encoder, id| IdV1::from(id).encode(encoder))
        })?;
        let mut numbers = self.numbers.iter();
        encode_list(encoder, requests, |encoder, request| {
            let request = RequestV1 {
                session: request.session.0,
                generation: request.generation,
                identities: *numbers.next().expect("there is one for each request"),
                command: CommandV1::from(&request.command),
            };
            request.encode(encoder)
        })
    }
}

/// The batch that exactly these bytes are. Its data are slices of `bytes` and keep all of them
/// alive: whoever stores data for long copies them.
pub fn decode_batch(bytes: &Bytes) -> Result<MemberBatch, CodecError> {
    let BatchV2 { v1, rules } = match record_version(bytes) {
        Some(1) => open::<BatchV1<'_>>(RecordKind::Batch, 1, bytes)?.into(),
        _ => open(RecordKind::Batch, VERSION, bytes)?,
    };
    let rules = Rules::from_bits(rules).ok_or_else(|| CodecError::Malformed {
        kind: RecordKind::Batch,
        what: format!("rules {rules:#x} are not all known"),
    })?;
    let identities: Vec<Arc<[Id]>> = v1
        .identities
        .0
        .into_iter()
        .map(|list| list.0.into_iter().map(Id::from).collect())
        .collect();
    let requests = v1
        .requests
        .0
        .into_iter()
        .map(|request| {
            let shared = identities.get(request.identities as usize).ok_or_else(|| {
                CodecError::Malformed {
                    kind: RecordKind::Batch,
                    what: format!(
                        "a request names identities {} of {}",
                        request.identities,
                        identities.len()
                    ),
                }
            })?;
            Ok(Request {
                session: SessionId(request.session),
                generation: request.generation,
                identities: Arc::clone(shared),
                command: request.command.into_model(bytes),
            })
        })
        .collect::<Result<_, CodecError>>()?;
    Ok(MemberBatch {
        origin: MemberId(v1.origin),
        incarnation: v1.incarnation,
        sequence: v1.sequence,
        rules,
        requests,
    })
}

/// The different lists of identities, and for each request the number of its own.
fn share_identities(requests: &[Request]) -> (Vec<&Arc<[Id]>>, Vec<u32>) {
    let mut lists: Vec<&Arc<[Id]>> = Vec::new();
    let numbers = requests
        .iter()
        .map(|request| {
            let searched = lists.len().saturating_sub(IDENTITY_LISTS_SEARCHED);
            let found = lists[searched..].iter().rposition(|list| {
                Arc::ptr_eq(list, &request.identities) || **list == request.identities
            });
            let number = found.map_or(lists.len(), |at| searched + at);
            if found.is_none() {
                lists.push(&request.identities);
            }
            number as u32
        })
        .collect();
    (lists, numbers)
}

/// About how many bytes a request takes, so that encoding reserves once.
fn bytes_guess(request: &Request) -> usize {
    let command = match &request.command {
        Command::Operation(operation) => operation_bytes_guess(operation),
        Command::Multi(operations) | Command::Once { operations, .. } => {
            operations.iter().map(operation_bytes_guess).sum()
        }
        Command::RemoveContainer { path }
        | Command::RemoveUnusedContainer { path, .. }
        | Command::RemoveExpired { path } => path.len(),
        Command::RestoreRows { rows, .. } => rows.len(),
        _ => 32,
    };
    24 + command
}

fn operation_bytes_guess(operation: &Operation) -> usize {
    16 + match operation {
        Operation::Create {
            path, data, acl, ..
        } => path.len() + data.as_ref().map_or(0, Bytes::len) + acl_bytes_guess(acl),
        Operation::SetData { path, data, .. } => path.len() + data.as_ref().map_or(0, Bytes::len),
        Operation::SetAcl { path, acl, .. } => path.len() + acl_bytes_guess(acl),
        Operation::Delete { path, .. }
        | Operation::Check { path, .. }
        | Operation::DeleteContainer { path }
        | Operation::CheckCreated { path, .. } => path.len(),
        Operation::Refuse { .. } => 0,
    }
}

impl<'a> From<&'a Command> for CommandV1<'a> {
    fn from(command: &'a Command) -> Self {
        match command {
            Command::CreateSession {
                password,
                timeout_ms,
            } => CommandV1::CreateSession {
                password: password.0,
                timeout_ms: *timeout_ms,
            },
            Command::AttachSession {
                session,
                password,
                timeout_ms,
            } => CommandV1::AttachSession {
                session: session.0,
                password: password.0,
                timeout_ms: *timeout_ms,
            },
            Command::CloseSession => CommandV1::CloseSession,
            Command::ExpireSession {
                session,
                generation,
            } => CommandV1::ExpireSession {
                session: session.0,
                generation: *generation,
            },
            Command::Sync => CommandV1::Sync,
            Command::Operation(operation) => CommandV1::Operation(operation.into()),
            Command::Multi(operations) => {
                CommandV1::Multi(operations.iter().map(OperationV1::from).collect())
            }
            Command::VerifyDigest { index, digest } => CommandV1::VerifyDigest {
                index: *index,
                digest: *digest,
            },
            Command::RemoveContainer { path } => CommandV1::RemoveContainer { path },
            Command::RemoveUnusedContainer {
                path,
                unused_ms_max,
            } => CommandV1::RemoveUnusedContainer {
                path,
                unused_ms_max: *unused_ms_max,
            },
            Command::RemoveExpired { path } => CommandV1::RemoveExpired { path },
            Command::AgreeOnFormat { format } => CommandV1::AgreeOnFormat { format: *format },
            Command::Once { number, operations } => CommandV1::Once {
                number: *number,
                operations: operations.iter().map(OperationV1::from).collect(),
            },
            Command::UpgradeSession {
                session,
                generation,
                password,
                timeout_ms,
            } => CommandV1::UpgradeSession {
                session: session.0,
                generation: *generation,
                password: password.0,
                timeout_ms: *timeout_ms,
            },
            Command::BeginRestore(announced) => CommandV1::BeginRestore {
                zxid: announced.zxid.0,
                next_session: announced.next_session,
                znodes: announced.znodes,
                digest: announced.digest,
            },
            Command::RestoreRows { restore, rows } => CommandV1::RestoreRows {
                restore: *restore,
                rows,
            },
            Command::FinishRestore { restore } => CommandV1::FinishRestore { restore: *restore },
            Command::AbortRestore { restore } => CommandV1::AbortRestore { restore: *restore },
        }
    }
}

impl CommandV1<'_> {
    fn into_model(self, input: &Bytes) -> Command {
        match self {
            CommandV1::CreateSession {
                password,
                timeout_ms,
            } => Command::CreateSession {
                password: Password(password),
                timeout_ms,
            },
            CommandV1::AttachSession {
                session,
                password,
                timeout_ms,
            } => Command::AttachSession {
                session: SessionId(session),
                password: Password(password),
                timeout_ms,
            },
            CommandV1::CloseSession => Command::CloseSession,
            CommandV1::ExpireSession {
                session,
                generation,
            } => Command::ExpireSession {
                session: SessionId(session),
                generation,
            },
            CommandV1::Sync => Command::Sync,
            CommandV1::Operation(operation) => Command::Operation(operation.into_model(input)),
            CommandV1::Multi(operations) => Command::Multi(
                operations
                    .0
                    .into_iter()
                    .map(|operation| operation.into_model(input))
                    .collect(),
            ),
            CommandV1::VerifyDigest { index, digest } => Command::VerifyDigest { index, digest },
            CommandV1::RemoveContainer { path } => Command::RemoveContainer {
                path: path.to_owned(),
            },
            CommandV1::RemoveUnusedContainer {
                path,
                unused_ms_max,
            } => Command::RemoveUnusedContainer {
                path: path.to_owned(),
                unused_ms_max,
            },
            CommandV1::RemoveExpired { path } => Command::RemoveExpired {
                path: path.to_owned(),
            },
            CommandV1::AgreeOnFormat { format } => Command::AgreeOnFormat { format },
            CommandV1::Once { number, operations } => Command::Once {
                number,
                operations: operations
                    .0
                    .into_iter()
                    .map(|operation| operation.into_model(input))
                    .collect(),
            },
            CommandV1::UpgradeSession {
                session,
                generation,
                password,
                timeout_ms,
            } => Command::UpgradeSession {
                session: SessionId(session),
                generation,
                password: Password(password),
                timeout_ms,
            },
            CommandV1::BeginRestore {
                zxid,
                next_session,
                znodes,
                digest,
            } => Command::BeginRestore(RestoreAnnounced {
                zxid: Zxid(zxid),
                next_session,
                znodes,
                digest,
            }),
            CommandV1::RestoreRows { restore, rows } => Command::RestoreRows {
                restore,
                rows: input.slice_ref(rows),
            },
            CommandV1::FinishRestore { restore } => Command::FinishRestore { restore },
            CommandV1::AbortRestore { restore } => Command::AbortRestore { restore },
        }
    }
}

impl<'a> From<&'a Operation> for OperationV1<'a> {
    fn from(operation: &'a Operation) -> Self {
        match operation {
            Operation::Create {
                path,
                data,
                acl,
                mode,
            } => OperationV1::Create {
                path,
                data: data.as_deref(),
                acl: acl_v1(acl),
                mode: (*mode).into(),
            },
            Operation::Delete { path, version } => OperationV1::Delete {
                path,
                version: *version,
            },
            Operation::SetData {
                path,
                data,
                version,
            } => OperationV1::SetData {
                path,
                data: data.as_deref(),
                version: *version,
            },
            Operation::SetAcl { path, acl, version } => OperationV1::SetAcl {
                path,
                acl: acl_v1(acl),
                version: *version,
            },
            Operation::Check { path, version } => OperationV1::Check {
                path,
                version: *version,
            },
            Operation::Refuse { code } => OperationV1::Refuse { code: *code },
            Operation::DeleteContainer { path } => OperationV1::DeleteContainer { path },
            Operation::CheckCreated { path, czxid } => OperationV1::CheckCreated {
                path,
                czxid: czxid.0,
            },
        }
    }
}

impl OperationV1<'_> {
    fn into_model(self, input: &Bytes) -> Operation {
        match self {
            OperationV1::Create {
                path,
                data,
                acl,
                mode,
            } => Operation::Create {
                path: path.to_owned(),
                data: data.map(|data| input.slice_ref(data)),
                acl: acl_from_v1(acl),
                mode: mode.into(),
            },
            OperationV1::Delete { path, version } => Operation::Delete {
                path: path.to_owned(),
                version,
            },
            OperationV1::SetData {
                path,
                data,
                version,
            } => Operation::SetData {
                path: path.to_owned(),
                data: data.map(|data| input.slice_ref(data)),
                version,
            },
            OperationV1::SetAcl { path, acl, version } => Operation::SetAcl {
                path: path.to_owned(),
                acl: acl_from_v1(acl),
                version,
            },
            OperationV1::Check { path, version } => Operation::Check {
                path: path.to_owned(),
                version,
            },
            OperationV1::Refuse { code } => Operation::Refuse { code },
            OperationV1::DeleteContainer { path } => Operation::DeleteContainer {
                path: path.to_owned(),
            },
            OperationV1::CheckCreated { path, czxid } => Operation::CheckCreated {
                path: path.to_owned(),
                czxid: Zxid(czxid),
            },
        }
    }
}

impl From<CreateMode> for CreateModeV1 {
    fn from(mode: CreateMode) -> Self {
        match mode {
            CreateMode::Persistent => CreateModeV1::Persistent,
            CreateMode::PersistentSequential => CreateModeV1::PersistentSequential,
            CreateMode::Ephemeral => CreateModeV1::Ephemeral,
            CreateMode::EphemeralSequential => CreateModeV1::EphemeralSequential,
            CreateMode::Container => CreateModeV1::Container,
            CreateMode::ContainerSequential => CreateModeV1::ContainerSequential,
            CreateMode::PersistentWithTtl { ttl_ms } => CreateModeV1::PersistentWithTtl { ttl_ms },
            CreateMode::PersistentSequentialWithTtl { ttl_ms } => {
                CreateModeV1::PersistentSequentialWithTtl { ttl_ms }
            }
        }
    }
}

impl From<CreateModeV1> for CreateMode {
    fn from(mode: CreateModeV1) -> Self {
        match mode {
            CreateModeV1::Persistent => CreateMode::Persistent,
            CreateModeV1::PersistentSequential => CreateMode::PersistentSequential,
            CreateModeV1::Ephemeral => CreateMode::Ephemeral,
            CreateModeV1::EphemeralSequential => CreateMode::EphemeralSequential,
            CreateModeV1::Container => CreateMode::Container,
            CreateModeV1::ContainerSequential => CreateMode::ContainerSequential,
            CreateModeV1::PersistentWithTtl { ttl_ms } => CreateMode::PersistentWithTtl { ttl_ms },
            CreateModeV1::PersistentSequentialWithTtl { ttl_ms } => {
                CreateMode::PersistentSequentialWithTtl { ttl_ms }
            }
        }
    }
}

#[cfg(test)]
mod tests;
