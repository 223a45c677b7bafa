//! The create family: four operations, one record, and the meaning of its flags.
//!
//! | flags | create, create2 | createContainer | createTTL |
//! |---|---|---|---|
//! | 0, 1 | persistent, ephemeral | container | −8 |
//! | 2, 3 | the same, sequential | −8 (ZooKeeper: a sequential container) | −8 |
//! | 4 | persistent | container | −8 |
//! | 5, 6 | −6 | −6 | −6 |
//! | other | −8 | −8 | −8 |
//!
//! Inside a multi, flags that are −6 or −8 here make the multi as a whole malformed (−5), except those
//! of a createTTL and of a sequential container.
//!
//! −6 is what ZooKeeper answers while its extended types are disabled, which is its default. A
//! createTTL with other flags and a negative ttl ends a ZooKeeper server; here it is −8.
//! Rules from: ZooKeeper 3.9 `CreateMode#fromFlag`, `PrepRequestProcessor#validateCreateRequest`,
//! `EphemeralType#validateTTL`.

use super::super::jute::{Malformed, Reader, put_acl, put_buffer, put_int, put_long, put_string};
use super::super::opcode;
use crate::model::{Acl, CreateMode, Operation, Refusal};
use bytes::{Bytes, BytesMut};

/// The flags that need no ttl.
const PLAIN_FLAGS: std::ops::RangeInclusive<i32> = 0..=4;

/// Which operation of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateKind {
    Create,
    Create2,
    Container,
    Ttl { ttl_ms: i64 },
}

impl CreateKind {
    pub fn opcode(self) -> i32 {
        match self {
            CreateKind::Create => opcode::CREATE,
            CreateKind::Create2 => opcode::CREATE2,
            CreateKind::Container => opcode::CREATE_CONTAINER,
            CreateKind::Ttl { .. } => opcode::CREATE_TTL,
        }
    }

    /// All but the first operation of the family are answered with the path and the stat.
    pub fn answers_with_stat(self) -> bool {
        self != CreateKind::Create
    }
}

/// A request to create a znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    pub kind: CreateKind,
    pub path: String,
    pub data: Option<Bytes>,
    pub acl: Vec<Acl>,
    pub flags: i32,
}

impl CreateRequest {
    /// What the flags mean, or why they are refused.
    pub fn mode(&self) -> Result<CreateMode, Refusal> {
        match (self.kind, self.flags) {
            (_, 5 | 6) => Err(Refusal::Unimplemented),
            (CreateKind::Ttl { .. }, _) => Err(Refusal::BadArguments),
            (CreateKind::Container, 0 | 1 | 4) => Ok(CreateMode::Container),
            (CreateKind::Container, _) => Err(Refusal::BadArguments),
            (CreateKind::Create | CreateKind::Create2, flags) => match flags {
                0 | 4 => Ok(CreateMode::Persistent),
                1 => Ok(CreateMode::Ephemeral),
                2 => Ok(CreateMode::PersistentSequential),
                3 => Ok(CreateMode::EphemeralSequential),
                _ => Err(Refusal::BadArguments),
            },
        }
    }

    /// The operation to propose. Refused flags travel as a refusal, so that it is given at its place
    /// in the order and takes its zxid.
    pub fn into_operation(self) -> Operation {
        match self.mode() {
            Ok(mode) => Operation::Create {
                path: self.path,
                data: self.data,
                acl: self.acl,
                mode,
            },
            Err(refusal) => Operation::Refuse {
                code: refusal.code(),
            },
        }
    }
}

/// Where a create stands, which decides what of it is malformed and what is refused by apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Place {
    /// Unknown flags and a null access list are refused at apply.
    Alone,
    /// The multi as a whole is malformed by either (observed on ZooKeeper 3.9.5), except for the
    /// flags of a createTTL.
    InMulti,
}

/// The record of one of the family; `None` if `opcode` is not of it.
pub(in super::super) fn decode_create(
    reader: &mut Reader,
    opcode: i32,
    place: Place,
) -> Result<Option<CreateRequest>, Malformed> {
    let kind = match opcode {
        opcode::CREATE => CreateKind::Create,
        opcode::CREATE2 => CreateKind::Create2,
        opcode::CREATE_CONTAINER => CreateKind::Container,
        opcode::CREATE_TTL => CreateKind::Ttl { ttl_ms: 0 },
        _ => return Ok(None),
    };
    let mut create = CreateRequest {
        kind,
        path: reader.required_string("the path of a create is null")?,
        data: reader.buffer()?,
        acl: match reader.acl()? {
            Some(acl) => acl,
            None if place == Place::Alone => Vec::new(),
            None => {
                return Err(Malformed::new(
                    "the access list of a multi's create is null",
                ));
            }
        },
        flags: reader.int()?,
    };
    if let CreateKind::Ttl { ttl_ms } = &mut create.kind {
        *ttl_ms = reader.long()?;
    } else if place == Place::InMulti && !PLAIN_FLAGS.contains(&create.flags) {
        return Err(Malformed::new("a multi's create has unknown flags"));
    }
    Ok(Some(create))
}

pub(in super::super) fn encode_create(out: &mut BytesMut, create: &CreateRequest) {
    put_string(out, &create.path);
    put_buffer(out, create.data.as_deref());
    put_acl(out, &create.acl);
    put_int(out, create.flags);
    if let CreateKind::Ttl { ttl_ms } = create.kind {
        put_long(out, ttl_ms);
    }
}
