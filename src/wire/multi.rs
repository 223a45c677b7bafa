//! multi and multiRead: several operations in one request, their results in one reply.
//!
//! ```text
//! request   { MultiHeader{type, false, -1}  record }*          MultiHeader{-1, true, -1}
//! reply     { MultiHeader{type, false,  0}  result }*          MultiHeader{-1, true, -1}
//! failure   { MultiHeader{-1, false, code}  ErrorResponse{code} }*  MultiHeader{-1, true, -1}
//! ```
//!
//! At all times: a list that mixes writes and reads, or holds anything else, is malformed as a whole.
//! Rules from: ZooKeeper 3.9 `MultiOperationRecord`, `MultiResponse`, `MultiHeader`.

use super::jute::{
    Malformed, Reader, put_boolean, put_buffer, put_int, put_stat, put_string, put_strings,
};
use super::opcode;
use super::request::{CreateRequest, Place, decode_create, encode_create};
use crate::model::{MultiFailure, Operation, Outcome, Refusal, Stat};
use bytes::{Bytes, BytesMut};

/// One write of a multi. A null path makes the multi as a whole malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiOp {
    Create(CreateRequest),
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
}

/// What the reply to a multi needs to remember of each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiKind {
    Create,
    /// create2, createContainer and createTTL, and what makes a container: answered as create2.
    CreateWithStat,
    Delete,
    SetData,
    Check,
}

impl MultiOp {
    pub fn kind(&self) -> MultiKind {
        match self {
            MultiOp::Create(create) if create.answers_with_stat_in_multi() => {
                MultiKind::CreateWithStat
            }
            MultiOp::Create(_) => MultiKind::Create,
            MultiOp::Delete { .. } => MultiKind::Delete,
            MultiOp::SetData { .. } => MultiKind::SetData,
            MultiOp::Check { .. } => MultiKind::Check,
        }
    }

    /// The operation to propose; see [`CreateRequest::into_operation`].
    pub fn into_operation(self, ttl_enabled: bool) -> Operation {
        match self {
            MultiOp::Create(create) => create.into_operation_at(Place::InMulti, ttl_enabled),
            MultiOp::Delete { path, version } => Operation::Delete { path, version },
            MultiOp::SetData {
                path,
                data,
                version,
            } => Operation::SetData {
                path,
                data,
                version,
            },
            MultiOp::Check { path, version } => Operation::Check { path, version },
        }
    }
}

/// One read of a multiRead. Its watch flag sets no watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOp {
    pub kind: ReadKind,
    pub path: String,
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    Data,
    Children,
}

struct MultiHeader {
    opcode: i32,
    done: bool,
    err: i32,
}

impl MultiHeader {
    fn read(reader: &mut Reader) -> Result<MultiHeader, Malformed> {
        Ok(MultiHeader {
            opcode: reader.int()?,
            done: reader.boolean()?,
            err: reader.int()?,
        })
    }

    fn put(&self, out: &mut BytesMut) {
        put_int(out, self.opcode);
        put_boolean(out, self.done);
        put_int(out, self.err);
    }
}

const END: MultiHeader = MultiHeader {
    opcode: opcode::ERROR,
    done: true,
    err: -1,
};

pub(super) fn decode_multi(reader: &mut Reader) -> Result<Vec<MultiOp>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(ops);
        }
        ops.push(match header.opcode {
            opcode::DELETE => MultiOp::Delete {
                path: read_path(reader)?,
                version: reader.int()?,
            },
            opcode::SET_DATA => MultiOp::SetData {
                path: read_path(reader)?,
                data: reader.buffer()?,
                version: reader.int()?,
            },
            opcode::CHECK => MultiOp::Check {
                path: read_path(reader)?,
                version: reader.int()?,
            },
            other => MultiOp::Create(decode_create(reader, other, Place::InMulti)?.ok_or(
                Malformed::new("a multi holds an operation that is not its own"),
            )?),
        });
    }
}

pub(super) fn encode_multi(out: &mut BytesMut, ops: &[MultiOp]) {
    for op in ops {
        let opcode = match op {
            MultiOp::Create(create) => create.kind.opcode(),
            MultiOp::Delete { .. } => opcode::DELETE,
            MultiOp::SetData { .. } => opcode::SET_DATA,
            MultiOp::Check { .. } => opcode::CHECK,
        };
        put_operation_header(out, opcode);
        match op {
            MultiOp::Create(create) => encode_create(out, create),
            MultiOp::SetData {
                path,
                data,
                version,
            } => {
                put_string(out, path);
                put_buffer(out, data.as_deref());
                put_int(out, *version);
            }
            MultiOp::Delete { path, version } | MultiOp::Check { path, version } => {
                put_string(out, path);
                put_int(out, *version);
            }
        }
    }
    END.put(out);
}

pub(super) fn decode_multi_read(reader: &mut Reader) -> Result<Vec<ReadOp>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(ops);
        }
        let kind = match header.opcode {
            opcode::GET_DATA => ReadKind::Data,
            opcode::GET_CHILDREN => ReadKind::Children,
            _ => {
                return Err(Malformed::new(
                    "a multiRead holds an operation that is not its own",
                ));
            }
        };
        ops.push(ReadOp {
            kind,
            path: read_path(reader)?,
            watch: reader.boolean()?,
        });
    }
}

pub(super) fn encode_multi_read(out: &mut BytesMut, ops: &[ReadOp]) {
    for op in ops {
        let opcode = match op.kind {
            ReadKind::Data => opcode::GET_DATA,
            ReadKind::Children => opcode::GET_CHILDREN,
        };
        put_operation_header(out, opcode);
        put_string(out, &op.path);
        put_boolean(out, op.watch);
    }
    END.put(out);
}

fn read_path(reader: &mut Reader) -> Result<String, Malformed> {
    reader.required_string("the path of an operation in a multi is null")
}

fn put_operation_header(out: &mut BytesMut, opcode: i32) {
    MultiHeader {
        opcode,
        done: false,
        err: -1,
    }
    .put(out);
}

fn put_success_header(out: &mut BytesMut, opcode: i32) {
    MultiHeader {
        opcode,
        done: false,
        err: 0,
    }
    .put(out);
}

fn put_failure(out: &mut BytesMut, code: i32) {
    MultiHeader {
        opcode: opcode::ERROR,
        done: false,
        err: code,
    }
    .put(out);
    put_int(out, code);
}

/// The results of a multi. `kinds` are those of its operations, in their order.
pub(super) fn put_multi_results(
    out: &mut BytesMut,
    kinds: &[MultiKind],
    result: &Result<Vec<Outcome>, MultiFailure>,
) {
    match result {
        Ok(outcomes) => {
            assert_eq!(kinds.len(), outcomes.len(), "one outcome per operation");
            for (kind, outcome) in kinds.iter().zip(outcomes) {
                put_multi_result(out, *kind, outcome);
            }
        }
        Err(failure) => {
            for index in 0..kinds.len() {
                put_failure(
                    out,
                    match index.cmp(&failure.index) {
                        std::cmp::Ordering::Less => 0,
                        std::cmp::Ordering::Equal => failure.refusal.code(),
                        std::cmp::Ordering::Greater => Refusal::RuntimeInconsistency.code(),
                    },
                );
            }
        }
    }
    END.put(out);
}

fn put_multi_result(out: &mut BytesMut, kind: MultiKind, outcome: &Outcome) {
    match (kind, outcome) {
        (MultiKind::Create, Outcome::Created { path, .. }) => {
            put_success_header(out, opcode::CREATE);
            put_string(out, path);
        }
        (MultiKind::CreateWithStat, Outcome::Created { path, stat }) => {
            put_success_header(out, opcode::CREATE2);
            put_string(out, path);
            put_stat(out, stat);
        }
        (MultiKind::Delete, Outcome::Deleted) => put_success_header(out, opcode::DELETE),
        (MultiKind::SetData, Outcome::DataSet { stat }) => {
            put_success_header(out, opcode::SET_DATA);
            put_stat(out, stat);
        }
        (MultiKind::Check, Outcome::Checked) => put_success_header(out, opcode::CHECK),
        (kind, outcome) => unreachable!("{kind:?} never comes to {outcome:?}"),
    }
}

/// Takes the results of a multiRead one by one, in the order of its reads.
pub struct ReadResults<'a> {
    out: &'a mut BytesMut,
}

impl<'a> ReadResults<'a> {
    pub(super) fn new(out: &'a mut BytesMut) -> ReadResults<'a> {
        ReadResults { out }
    }

    pub(super) fn end(self) {
        END.put(self.out);
    }

    pub fn data(&mut self, data: Option<&[u8]>, stat: &Stat) {
        put_success_header(self.out, opcode::GET_DATA);
        put_buffer(self.out, data);
        put_stat(self.out, stat);
    }

    pub fn children<T: AsRef<[u8]>>(&mut self, names: impl IntoIterator<Item = T>) {
        put_success_header(self.out, opcode::GET_CHILDREN);
        put_strings(self.out, names);
    }

    pub fn refused(&mut self, refusal: Refusal) {
        put_failure(self.out, refusal.code());
    }
}

/// One result of a multi, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiResult {
    Created {
        path: String,
    },
    CreatedWithStat {
        path: String,
        stat: Stat,
    },
    Deleted,
    DataSet {
        stat: Stat,
    },
    Checked,
    /// 0 for an operation that would have succeeded, −2 for one that was not tried.
    Refused {
        code: i32,
    },
}

/// One result of a multiRead, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    Data { data: Option<Bytes>, stat: Stat },
    Children { names: Vec<String> },
    Refused { code: i32 },
}

pub(super) fn read_multi_results(reader: &mut Reader) -> Result<Vec<MultiResult>, Malformed> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(match header.opcode {
            opcode::CREATE => MultiResult::Created {
                path: reader.required_string("a created path is null")?,
            },
            opcode::CREATE2 => MultiResult::CreatedWithStat {
                path: reader.required_string("a created path is null")?,
                stat: reader.stat()?,
            },
            opcode::DELETE => MultiResult::Deleted,
            opcode::SET_DATA => MultiResult::DataSet {
                stat: reader.stat()?,
            },
            opcode::CHECK => MultiResult::Checked,
            opcode::ERROR => MultiResult::Refused {
                code: reader.int()?,
            },
            _ => return Err(Malformed::new("a multi's reply holds an unknown result")),
        });
    }
}

pub(super) fn read_read_results(reader: &mut Reader) -> Result<Vec<ReadResult>, Malformed> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(match header.opcode {
            opcode::GET_DATA => ReadResult::Data {
                data: reader.buffer()?,
                stat: reader.stat()?,
            },
            opcode::GET_CHILDREN => ReadResult::Children {
                names: reader.strings()?.unwrap_or_default(),
            },
            opcode::ERROR => ReadResult::Refused {
                code: reader.int()?,
            },
            _ => {
                return Err(Malformed::new(
                    "a multiRead's reply holds an unknown result",
                ));
            }
        });
    }
}
