//! The create family: four operations, one record, and the meaning of its flags.
//!
//! | flags | create, create2 | createContainer | createTTL |
//! |---|---|---|---|
//! | 0, 1 | persistent, ephemeral | container | −8 |
//! | 2, 3 | the same, sequential | the same, sequential | −8 |
//! | 4 | persistent | container | −8 |
//! | 5, 6 | −8, or −6 | −8, or −6 | with time to live, sequential; −8 for a ttl out of range; or −6 |
//! | other | −8 | −8 | −8 |
//!
//! −6 as long as znodes with a time to live are disabled. A createTTL with other flags and a negative
//! ttl ends a ZooKeeper server; here it is −8.
//!
//! Inside a multi (observed on ZooKeeper 3.9.5):
//!
//! | flags | create, create2 | createContainer | createTTL |
//! |---|---|---|---|
//! | 0 to 3 | as alone | as alone | as create, whatever the ttl |
//! | 4 | container | container | container |
//! | 5, 6 | the multi is malformed | the multi is malformed | as alone |
//! | other | the multi is malformed | the multi is malformed | −8 |
//!
//! Rules from: ZooKeeper 3.9 `CreateMode#fromFlag`, `PrepRequestProcessor#validateCreateRequest`,
//! `EphemeralType#validateTTL`, `MultiOperationRecord#deserialize`, `Op#create`.

use super::super::jute::{Malformed, Reader, put_acl, put_buffer, put_int, put_long, put_string};
use super::super::opcode;
use crate::model::{Acl, CreateMode, Operation, Refusal, TTL_MS_MAX};
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
    /// What the flags mean, or why they are refused. `ttl_enabled` is whether znodes with a time to live
    /// may be made at all.
    pub(in super::super) fn mode(
        &self,
        place: Place,
        ttl_enabled: bool,
    ) -> Result<CreateMode, Refusal> {
        match (self.flags, self.kind, place) {
            (5 | 6, ..) if !ttl_enabled => Err(Refusal::Unimplemented),
            (5, CreateKind::Ttl { ttl_ms }, _) => {
                in_range(ttl_ms).map(|ttl_ms| CreateMode::PersistentWithTtl { ttl_ms })
            }
            (6, CreateKind::Ttl { ttl_ms }, _) => {
                in_range(ttl_ms).map(|ttl_ms| CreateMode::PersistentSequentialWithTtl { ttl_ms })
            }
            (_, CreateKind::Ttl { .. }, Place::Alone) => Err(Refusal::BadArguments),
            (0 | 1 | 4, CreateKind::Container, _) => Ok(CreateMode::Container),
            (2 | 3, CreateKind::Container, _) => Ok(CreateMode::ContainerSequential),
            (_, CreateKind::Container, _) => Err(Refusal::BadArguments),
            (0, ..) => Ok(CreateMode::Persistent),
            (1, ..) => Ok(CreateMode::Ephemeral),
            (2, ..) => Ok(CreateMode::PersistentSequential),
            (3, ..) => Ok(CreateMode::EphemeralSequential),
            (4, _, Place::Alone) => Ok(CreateMode::Persistent),
            (4, _, Place::InMulti) => Ok(CreateMode::Container),
            _ => Err(Refusal::BadArguments),
        }
    }

    /// The operation to propose. Refused flags travel as a refusal, so that it is given at its place
    /// in the order and takes its zxid.
    pub fn into_operation(self, ttl_enabled: bool) -> Operation {
        self.into_operation_at(Place::Alone, ttl_enabled)
    }

    pub(in super::super) fn into_operation_at(self, place: Place, ttl_enabled: bool) -> Operation {
        match self.mode(place, ttl_enabled) {
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

    /// Whether its result in a multi holds the stat: a createTTL that is none is answered as a create.
    pub(in super::super) fn answers_with_stat_in_multi(&self) -> bool {
        match self.kind {
            CreateKind::Create => self.flags == 4,
            CreateKind::Create2 | CreateKind::Container => true,
            CreateKind::Ttl { .. } => (4..=6).contains(&self.flags),
        }
    }
}

fn in_range(ttl_ms: i64) -> Result<u64, Refusal> {
    match u64::try_from(ttl_ms) {
        Ok(ttl_ms) if (1..=TTL_MS_MAX).contains(&ttl_ms) => Ok(ttl_ms),
        _ => Err(Refusal::BadArguments),
    }
}

/// Where a create stands, which decides what of it is malformed and what is refused by apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Place {
    /// Unknown flags and a null access list are refused at apply.
    Alone,
    /// The multi as a whole is malformed by either, except by those of a createTTL.
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
    let path = reader.string()?;
    let is_without_path = path.is_none();
    let mut create = CreateRequest {
        kind,
        path: path.unwrap_or_default(),
        data: reader.buffer()?,
        acl: match reader.acl()? {
            Some(acl) => acl,
            None if place == Place::Alone || opcode == opcode::CREATE_TTL => Vec::new(),
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
    // Flags that are refused are refused first, and nobody looks at the path.
    if is_without_path && (place == Place::InMulti || create.mode(place, true).is_ok()) {
        return Err(Malformed::new("the path of a create is null"));
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
