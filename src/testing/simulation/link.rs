//! One connection of a simulated client: the real protocol, no retries, every loss told.

use crate::model::{Password, SessionId, Zxid};
use crate::runtime::{BoxedStream, Network};
use crate::wire::reply::Reply;
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, XID_NOTIFICATION, XID_PING, encode_request,
    next_frame,
};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const FRAME_BYTES_MAX: usize = 1 << 20;
/// A dial and a handshake that take longer are given up; whether they did anything is unknown.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(2);

/// What makes a session the same on another connection.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub session: SessionId,
    pub password: Password,
    pub timeout_ms: u32,
}

/// What came of a handshake.
pub enum Attached {
    Done(Link, Credentials),
    /// The session is gone.
    Expired,
    /// No answer: a session may have been made or attached, or not.
    Lost,
}

pub struct Link {
    stream: BoxedStream,
    received: BytesMut,
    xid: i32,
}

/// Why a connection is of no more use.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// It ended, or nothing came in time.
    Lost,
    /// The server did what the protocol forbids.
    Protocol(String),
}

impl Link {
    /// A new session, or `known` again on this connection.
    pub async fn attach(
        network: &dyn Network,
        address: &str,
        known: Option<&Credentials>,
        timeout_ms: u32,
        seen: Zxid,
    ) -> Attached {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: seen,
            timeout_ms: timeout_ms as i32,
            session: known.map_or(SessionId::NONE, |known| known.session),
            password: Some(known.map_or_else(Password::default, |known| known.password)),
            read_only: Some(false),
        };
        let handshake = async {
            let stream = network.connect(address).await.ok()?;
            let mut link = Link {
                stream,
                received: BytesMut::new(),
                xid: 0,
            };
            let mut out = BytesMut::new();
            request.encode(&mut out).ok()?;
            link.stream.write_all(&out).await.ok()?;
            let response = ConnectResponse::decode(link.frame().await?).ok()?;
            Some((link, response))
        };
        match timeout(ATTACH_TIMEOUT, handshake).await {
            Ok(Some((_, response))) if response.timeout_ms == 0 => Attached::Expired,
            Ok(Some((link, response))) => Attached::Done(
                link,
                Credentials {
                    session: response.session,
                    password: response.password,
                    timeout_ms: response.timeout_ms as u32,
                },
            ),
            Ok(None) | Err(_) => Attached::Lost,
        }
    }

    /// Sends requests in one go and hands each reply to `answer` as it comes, in order.
    pub async fn ask(
        &mut self,
        requests: &[ClientRequest],
        within: Duration,
        mut answer: impl FnMut(usize, Reply),
    ) -> Result<(), Broken> {
        let mut out = BytesMut::new();
        let mut due = Vec::new();
        for request in requests {
            let xid = match request {
                ClientRequest::Ping => XID_PING,
                _ => {
                    self.xid += 1;
                    self.xid
                }
            };
            due.push(xid);
            encode_request(&mut out, xid, request)
                .map_err(|error| Broken::Protocol(error.to_string()))?;
        }
        let talk = async {
            self.stream
                .write_all(&out)
                .await
                .map_err(|_| Broken::Lost)?;
            for (index, expected) in due.into_iter().enumerate() {
                let reply = loop {
                    let frame = self.frame().await.ok_or(Broken::Lost)?;
                    let reply = Reply::decode(frame)
                        .map_err(|_| Broken::Protocol("a reply cannot be decoded".to_owned()))?;
                    if reply.header.xid != XID_NOTIFICATION {
                        break reply;
                    }
                };
                if reply.header.xid != expected {
                    return Err(Broken::Protocol(format!(
                        "xid {} was answered where {expected} was due",
                        reply.header.xid
                    )));
                }
                answer(index, reply);
            }
            Ok(())
        };
        timeout(within, talk).await.unwrap_or(Err(Broken::Lost))
    }

    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = next_frame(&mut self.received, FRAME_BYTES_MAX).ok()? {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }
}
