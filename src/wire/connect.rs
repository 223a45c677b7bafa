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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::next_frame;

    const LIMIT: usize = 64;

    fn request(read_only: Option<bool>) -> ConnectRequest {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0x1_0000_0002),
            timeout_ms: 30_000,
            session: SessionId(0x1234),
            password: Some(Password([7; 16])),
            read_only,
        }
    }

    fn body(write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::new();
        write(&mut out);
        next_frame(&mut out, LIMIT).unwrap().unwrap()
    }

    /// Lengths as observed between the Java client and ZooKeeper 3.9.3.
    #[test]
    fn the_read_only_byte_is_answered_as_it_was_asked() {
        for (read_only, request_bytes, response_bytes) in
            [(Some(true), 45, 37), (Some(false), 45, 37), (None, 44, 36)]
        {
            let frame = body(|out| request(read_only).encode(out).unwrap());
            assert_eq!(frame.len(), request_bytes);
            assert_eq!(ConnectRequest::decode(frame), Ok(request(read_only)));

            let response = ConnectResponse {
                timeout_ms: 4_000,
                session: SessionId(9),
                password: Password([3; 16]),
                read_only,
            };
            let frame = body(|out| response.encode(out));
            assert_eq!(frame.len(), response_bytes);
            assert_eq!(ConnectResponse::decode(frame), Ok(response));
        }
    }

    #[test]
    fn the_bytes_of_a_handshake_are_those_of_the_java_client() {
        let frame = body(|out| {
            ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid::ZERO,
                timeout_ms: 4_000,
                session: SessionId::NONE,
                password: Some(Password::default()),
                read_only: Some(false),
            }
            .encode(out)
            .unwrap();
        });
        let mut expected = vec![0; 45];
        expected[14..16].copy_from_slice(&[0x0f, 0xa0]);
        expected[27] = 16;
        assert_eq!(frame, expected);
    }

    #[test]
    fn an_expired_session_is_told_so_by_zeroes() {
        let frame = body(|out| ConnectResponse::expired(None).encode(out));
        let mut expected = vec![0; 36];
        expected[19] = 16;
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_password_of_another_length_is_nobodys() {
        let frame = body(|out| {
            ConnectRequest {
                password: None,
                ..request(None)
            }
            .encode(out)
            .unwrap();
        });
        assert_eq!(ConnectRequest::decode(frame).unwrap().password, None);
        let mut short = vec![0; 24];
        short.extend_from_slice(&[0, 0, 0, 2, 1, 1, 0]);
        let short = ConnectRequest::decode(Bytes::from(short)).unwrap();
        assert_eq!((short.password, short.read_only), (None, Some(false)));
    }

    #[test]
    fn a_handshake_cut_short_is_malformed() {
        let frame = body(|out| request(None).encode(out).unwrap());
        for bytes in 0..frame.len() {
            assert!(
                ConnectRequest::decode(frame.slice(..bytes)).is_err(),
                "{bytes}"
            );
        }
        let frame = body(|out| ConnectResponse::expired(None).encode(out));
        for bytes in 0..frame.len() {
            assert!(
                ConnectResponse::decode(frame.slice(..bytes)).is_err(),
                "{bytes}"
            );
        }
    }
}
