//! The handshake: the first frame of each direction, which has no header.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#processConnectRequest`, `ConnectRequest`,
//! `ConnectResponse`. Old clients leave the last byte of the request out and are answered without it.

use super::frame::{FrameError, put_frame};
use super::jute::{Malformed, Reader, put_boolean, put_buffer, put_int, put_long};
use crate::model::{Password, SessionId, Zxid};
use bytes::{Bytes, BytesMut};

/// The only version of the handshake there has been.
const PROTOCOL_VERSION: i32 = 0;

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    pub protocol_version: i32,
    /// The largest zxid the client has seen; a member that is behind it must not serve.
    pub last_zxid_seen: Zxid,
    /// Wished for, in milliseconds; any number, also negative.
    pub timeout_ms: i32,
    /// `SessionId::NONE` for a new session.
    pub session: SessionId,
    /// `None` for anything but 16 bytes, which is then nobody's password.
    pub password: Option<Password>,
    /// `None` if the client is too old to say.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    pub fn decode(frame: Bytes) -> Result<ConnectRequest, Malformed> {
        let mut reader = Reader::new(frame);
        Ok(ConnectRequest {
            protocol_version: reader.int()?,
            last_zxid_seen: Zxid(reader.long()?),
            timeout_ms: reader.int()?,
            session: SessionId(reader.long()?),
            password: read_password(&mut reader)?,
            read_only: read_last_byte(&mut reader)?,
        })
    }

    pub fn encode(&self, out: &mut BytesMut) -> Result<(), FrameError> {
        put_frame(out, |out| {
            put_int(out, self.protocol_version);
            put_long(out, self.last_zxid_seen.0);
            put_int(out, self.timeout_ms);
            put_long(out, self.session.0);
            put_buffer(out, self.password.as_ref().map(|password| &password.0[..]));
            if let Some(read_only) = self.read_only {
                put_boolean(out, read_only);
            }
        })
    }
}

/// What a server answers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Negotiated, in milliseconds; 0 tells the client that its session is gone.
    pub timeout_ms: i32,
    pub session: SessionId,
    pub password: Password,
    /// `Some` only towards a client that sent the byte itself.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that is unknown, expired, or claimed with a wrong password.
    pub fn expired(read_only: Option<bool>) -> ConnectResponse {
        ConnectResponse {
            timeout_ms: 0,
            session: SessionId::NONE,
            password: Password::default(),
            read_only,
        }
    }

    pub fn encode(&self, out: &mut BytesMut) {
        put_frame(out, |out| {
            put_int(out, PROTOCOL_VERSION);
            put_int(out, self.timeout_ms);
            put_long(out, self.session.0);
            put_buffer(out, Some(&self.password.0));
            if let Some(read_only) = self.read_only {
                put_boolean(out, read_only);
            }
        })
        .expect("37 bytes fit into a frame");
    }

    pub fn decode(frame: Bytes) -> Result<ConnectResponse, Malformed> {
        let mut reader = Reader::new(frame);
        let _protocol_version = reader.int()?;
        Ok(ConnectResponse {
            timeout_ms: reader.int()?,
            session: SessionId(reader.long()?),
            password: read_password(&mut reader)?
                .ok_or(Malformed::new("the password of a session has 16 bytes"))?,
            read_only: read_last_byte(&mut reader)?,
        })
    }
}

fn read_password(reader: &mut Reader) -> Result<Option<Password>, Malformed> {
    let bytes = reader.buffer()?;
    Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok().map(Password)))
}

fn read_last_byte(reader: &mut Reader) -> Result<Option<bool>, Malformed> {
    if reader.remaining() == 0 {
        return Ok(None);
    }
    reader.boolean().map(Some)
}
