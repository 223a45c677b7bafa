//! From a frame to a request.

use super::super::jute::{Malformed, Reader, STRING_BYTES_MIN};
use super::super::multi::{decode_multi, decode_multi_read};
use super::super::opcode;
use super::{ClientRequest, Place, RequestHeader, WatchLists, decode_create};
use crate::model::{AddWatchMode, WatcherType, Zxid};
use bytes::Bytes;
use thiserror::Error;

/// A frame too short for a header: there is no xid to answer to, so the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a request of {bytes} bytes has no header")]
pub struct NoHeader {
    pub bytes: usize,
}

/// Decodes one request. The inner error is answered with −5 and the connection stays.
pub fn decode_request(
    frame: Bytes,
) -> Result<(RequestHeader, Result<ClientRequest, Malformed>), NoHeader> {
    let bytes = frame.len();
    let mut reader = Reader::new(frame);
    let header = decode_header(&mut reader).map_err(|_| NoHeader { bytes })?;
    Ok((header, decode_body(&mut reader, header.opcode)))
}

fn decode_header(reader: &mut Reader) -> Result<RequestHeader, Malformed> {
    Ok(RequestHeader {
        xid: reader.int()?,
        opcode: reader.int()?,
    })
}

fn decode_body(reader: &mut Reader, opcode: i32) -> Result<ClientRequest, Malformed> {
    Ok(match opcode {
        opcode::DELETE => ClientRequest::Delete {
            path: read_path(reader)?,
            version: reader.int()?,
        },
        opcode::EXISTS => ClientRequest::Exists {
            path: read_path(reader)?,
            watch: reader.boolean()?,
        },
        opcode::GET_DATA => ClientRequest::GetData {
            path: read_path(reader)?,
            watch: reader.boolean()?,
        },
        opcode::SET_DATA => ClientRequest::SetData {
            path: reader.string()?.unwrap_or_default(),
            data: reader.buffer()?,
            version: reader.int()?,
        },
        opcode::GET_ACL => ClientRequest::GetAcl {
            path: read_path(reader)?,
        },
        opcode::SET_ACL => ClientRequest::SetAcl {
            path: reader.string()?.unwrap_or_default(),
            acl: reader.acl()?.unwrap_or_default(),
            version: reader.int()?,
        },
        opcode::GET_CHILDREN => ClientRequest::GetChildren {
            path: read_path(reader)?,
            watch: reader.boolean()?,
        },
        opcode::GET_CHILDREN2 => ClientRequest::GetChildren2 {
            path: read_path(reader)?,
            watch: reader.boolean()?,
        },
        opcode::SYNC => ClientRequest::Sync {
            path: reader.string()?,
        },
        opcode::PING => ClientRequest::Ping,
        opcode::MULTI => ClientRequest::Multi(decode_multi(reader)?),
        opcode::MULTI_READ => ClientRequest::MultiRead(decode_multi_read(reader)?),
        opcode::RECONFIG => ClientRequest::Reconfig {
            joining: reader.string()?,
            leaving: reader.string()?,
            new_members: reader.string()?,
            config_id: reader.long()?,
        },
        opcode::CHECK_WATCHES => ClientRequest::CheckWatches {
            path: reader.string()?,
            kind: read_watcher_type(reader)?,
        },
        opcode::REMOVE_WATCHES => ClientRequest::RemoveWatches {
            path: reader.string()?,
            kind: read_watcher_type(reader)?,
        },
        opcode::DELETE_CONTAINER => ClientRequest::DeleteContainer {
            path: read_path(reader)?,
        },
        opcode::AUTH => ClientRequest::Auth {
            auth_type: reader.int()?,
            scheme: reader.string()?.unwrap_or_default(),
            auth: reader.buffer()?,
        },
        opcode::SET_WATCHES => read_set_watches(reader, false)?,
        opcode::SET_WATCHES2 => read_set_watches(reader, true)?,
        opcode::SASL => ClientRequest::Sasl {
            token: reader.buffer()?,
        },
        opcode::GET_EPHEMERALS => ClientRequest::GetEphemerals {
            prefix: reader.string()?.unwrap_or_default(),
        },
        opcode::GET_ALL_CHILDREN_NUMBER => ClientRequest::GetAllChildrenNumber {
            path: read_path(reader)?,
        },
        opcode::ADD_WATCH => ClientRequest::AddWatch {
            path: reader.string()?,
            mode: AddWatchMode::from_code(reader.int()?)
                .ok_or(Malformed::new("no such mode of addWatch"))?,
        },
        opcode::WHO_AM_I => ClientRequest::WhoAmI,
        opcode::CLOSE_SESSION => ClientRequest::CloseSession,
        other => match decode_create(reader, other, Place::Alone)? {
            Some(create) => ClientRequest::Create(create),
            None => ClientRequest::Unknown { opcode: other },
        },
    })
}

/// A path where null is answered with −5.
fn read_path(reader: &mut Reader) -> Result<String, Malformed> {
    reader.required_string("a path is null")
}

fn read_watcher_type(reader: &mut Reader) -> Result<WatcherType, Malformed> {
    WatcherType::from_code(reader.int()?).ok_or(Malformed::new("no such type of watch"))
}

fn read_set_watches(reader: &mut Reader, persistent: bool) -> Result<ClientRequest, Malformed> {
    let relative_zxid = Zxid(reader.long()?);
    let mut lists = WatchLists {
        data: read_list(reader)?,
        exist: read_list(reader)?,
        child: read_list(reader)?,
        ..WatchLists::default()
    };
    if persistent {
        lists.persistent = read_persistent(reader)?;
        lists.persistent_recursive = read_persistent(reader)?;
    }
    Ok(ClientRequest::SetWatches {
        relative_zxid,
        lists,
    })
}

/// A null among these paths watches nothing, and is no error.
fn read_persistent(reader: &mut Reader) -> Result<Vec<String>, Malformed> {
    let paths = reader
        .vector(STRING_BYTES_MIN, Reader::string)?
        .ok_or(Malformed::new("a list of watched paths is null"))?;
    Ok(paths.into_iter().flatten().collect())
}

fn read_list(reader: &mut Reader) -> Result<Vec<String>, Malformed> {
    reader
        .strings()?
        .ok_or(Malformed::new("a list of watched paths is null"))
}
