//! Transactions: what an entry of a log says was done.
//!
//! ```text
//! | session i64 | cxid i32 | zxid i64 | time i64 | type i32 | record of that type | digest, 12 bytes, or none |
//! ```
//! Rules from: ZooKeeper 3.9 `SerializeUtils#deserializeTxn`, `zookeeper.jute` (module `txn`).

use super::input::{Decoded, Fault, Input};
use super::tree::Owner;
use crate::model::Acl;
use bytes::Bytes;
use std::sync::Arc;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const SET_ACL: i32 = 7;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const RECONFIG: i32 = 16;
const CREATE_CONTAINER: i32 = 19;
const DELETE_CONTAINER: i32 = 20;
const CREATE_TTL: i32 = 21;
const CREATE_SESSION: i32 = -10;
const CLOSE_SESSION: i32 = -11;
const ERROR: i32 = -1;

const DIGEST_BYTES: usize = 12;

/// The digest of the tree as it was after a transaction, in the version that it was reckoned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeDigest {
    pub version: i32,
    pub value: u64,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub session: i64,
    pub zxid: i64,
    pub time_ms: i64,
    pub transaction: Transaction,
    pub digest: Option<TreeDigest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    OpenSession {
        timeout_ms: i32,
    },
    /// With the ephemerals that went with it, if the server was one that says so.
    CloseSession {
        ephemerals: Option<Vec<String>>,
    },
    Create {
        path: String,
        data: Option<Bytes>,
        acl: Arc<[Acl]>,
        owner: Owner,
        /// What the parent's counter is afterwards; −1 from servers that did not say.
        parent_creations: i32,
        /// Only the first of the operations that create sets a parent right whose child is there.
        adjusts_parent: bool,
    },
    Delete {
        path: String,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Arc<[Acl]>,
        version: i32,
    },
    Multi(Vec<Transaction>),
    /// Refused, or a check: it took its zxid and did nothing.
    Nothing,
}

impl Entry {
    pub fn decode(bytes: &[u8]) -> Result<Entry, Fault> {
        let mut input = Input::new(bytes);
        let session = input.long()?;
        let _cxid = input.int()?;
        let zxid = input.long()?;
        let time_ms = input.long()?;
        let kind = input.int()?;
        let record = &bytes[bytes.len() - input.remaining()..];
        let mut input = Input::new(record);
        let decoded = match kind {
            MULTI => multi(&mut input, session),
            CREATE_SESSION => input
                .int()
                .map(|timeout_ms| Transaction::OpenSession { timeout_ms }),
            CLOSE_SESSION => input
                .vector(Input::text)
                .map(|ephemerals| Transaction::CloseSession { ephemerals }),
            kind => operation(kind, &mut input, session),
        };
        let transaction = match (decoded, kind) {
            (Ok(transaction), _) => transaction,
            // A server before 3.4 said less of a create, and one before 3.6 less of a session's end.
            (Err(Fault::End), CREATE) => {
                input = Input::new(record);
                create_of_old(&mut input, session)?
            }
            (Err(Fault::End), CLOSE_SESSION) => {
                input = Input::new(record);
                Transaction::CloseSession { ephemerals: None }
            }
            (Err(fault), _) => return Err(fault),
        };
        let digest = match input.remaining() {
            0..DIGEST_BYTES => None,
            _ => Some(TreeDigest {
                version: input.int()?,
                value: input.long()? as u64,
            }),
        };
        Ok(Entry {
            session,
            zxid,
            time_ms,
            transaction,
            digest,
        })
    }
}

fn list(input: &mut Input<&[u8]>) -> Decoded<Arc<[Acl]>> {
    Ok(input.acl()?.unwrap_or_default())
}

fn operation(kind: i32, input: &mut Input<&[u8]>, session: i64) -> Decoded<Transaction> {
    Ok(match kind {
        CREATE | CREATE2 => Transaction::Create {
            path: input.text()?,
            data: input.data()?,
            acl: list(input)?,
            owner: ephemeral(input.byte()?, session),
            parent_creations: input.int()?,
            adjusts_parent: kind == CREATE,
        },
        CREATE_TTL => {
            let (path, data, acl) = (input.text()?, input.data()?, list(input)?);
            let parent_creations = input.int()?;
            let owner = Owner::of_ttl(input.long()?)?;
            Transaction::Create {
                path,
                data,
                acl,
                owner,
                parent_creations,
                adjusts_parent: false,
            }
        }
        CREATE_CONTAINER => Transaction::Create {
            path: input.text()?,
            data: input.data()?,
            acl: list(input)?,
            owner: Owner::CONTAINER,
            parent_creations: input.int()?,
            adjusts_parent: false,
        },
        DELETE | DELETE_CONTAINER => Transaction::Delete {
            path: input.text()?,
        },
        RECONFIG | SET_DATA => Transaction::SetData {
            path: input.text()?,
            data: input.data()?,
            version: input.int()?,
        },
        SET_ACL => Transaction::SetAcl {
            path: input.text()?,
            acl: list(input)?,
            version: input.int()?,
        },
        ERROR => {
            input.int()?;
            Transaction::Nothing
        }
        CHECK => {
            input.text()?;
            input.int()?;
            Transaction::Nothing
        }
        _ => return Err(Fault::Damaged("a transaction of an unknown type")),
    })
}

fn create_of_old(input: &mut Input<&[u8]>, session: i64) -> Decoded<Transaction> {
    Ok(Transaction::Create {
        path: input.text()?,
        data: input.data()?,
        acl: list(input)?,
        owner: ephemeral(input.byte()?, session),
        parent_creations: -1,
        adjusts_parent: true,
    })
}

fn ephemeral(flag: u8, session: i64) -> Owner {
    match flag {
        0 => Owner::NOBODY,
        _ => Owner::of_session(session),
    }
}

/// All of it, or, if one of its operations was refused, nothing.
fn multi(input: &mut Input<&[u8]>, session: i64) -> Decoded<Transaction> {
    let parts = input.vector(|input| {
        let kind = input.int()?;
        let record = input
            .data()?
            .ok_or(Fault::Damaged("a part of a multi is null"))?;
        Ok((kind, record))
    })?;
    let parts = parts.unwrap_or_default();
    if parts.iter().any(|(kind, _)| *kind == ERROR) {
        return Ok(Transaction::Nothing);
    }
    let mut transactions = Vec::new();
    for (kind, record) in parts {
        let is_allowed = matches!(
            kind,
            CREATE
                | CREATE2
                | CREATE_TTL
                | CREATE_CONTAINER
                | DELETE
                | DELETE_CONTAINER
                | SET_DATA
                | CHECK
        );
        if !is_allowed {
            return Err(Fault::Damaged("a multi has a part of an unknown type"));
        }
        transactions.push(operation(kind, &mut Input::new(&record[..]), session)?);
    }
    Ok(Transaction::Multi(transactions))
}
