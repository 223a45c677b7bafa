//! A bare ZooKeeper client: one blocking socket, one request at a time, every byte in sight.
//!
//! It reconnects only when told to, retries nothing, and can send what no proper client would. What
//! it believes of the protocol is written here a second time, apart from the room `wire`, so that a
//! mistake there is not answered by the same mistake here.
//!
//! Rules: ZooKeeper 3.9 `ClientCnxn`, and the notes in `docs/protocol.md`.

mod bytes;
mod secured;

pub use bytes::{Bytes, RawStat, Reader};
pub use secured::{SecureStream, open_secured};

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before the connection is given up. Above an election.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames longer than this are not believed.
const FRAME_BYTES_MAX: usize = 16 << 20;
const XID_NOTIFICATION: i32 = -1;
const XID_PING: i32 = -2;
const XID_AUTH: i32 = -4;

pub mod op {
    //! The operations that tests send.
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    /// Within a multi only.
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
}

pub mod flags {
    //! How a znode is created.
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const CONTAINER: i32 = 4;
    pub const PERSISTENT_WITH_TTL: i32 = 5;
    pub const PERSISTENT_SEQUENTIAL_WITH_TTL: i32 = 6;
}

/// Why there was no answer of the expected kind.
#[derive(Debug)]
pub enum RawError {
    /// The server's error code.
    Code(i32),
    /// The connection ended or kept silent: what was asked may or may not have been done.
    Connection(io::Error),
    /// The session is not known any more.
    Expired,
}

impl From<io::Error> for RawError {
    fn from(error: io::Error) -> RawError {
        RawError::Connection(error)
    }
}

/// What makes a session the same on another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub session: i64,
    pub password: Vec<u8>,
    pub timeout_ms: i32,
    /// The highest zxid seen; a member behind it must not serve this session.
    pub zxid: i64,
}

/// The head of a reply, and the rest of it.
#[derive(Clone, Debug)]
pub struct RawReply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

/// What a watch was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    pub zxid: i64,
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    pub path: String,
}

impl Credentials {
    /// Of a session that is to be made.
    fn nobody(timeout_ms: i32) -> Credentials {
        Credentials {
            session: 0,
            password: vec![0; 16],
            timeout_ms,
            zxid: 0,
        }
    }
}

/// A connected session.
#[derive(Debug)]
pub struct RawClient<S = TcpStream> {
    stream: S,
    credentials: Credentials,
    /// Whether the server said that it can be read alone.
    read_only: bool,
    last_xid: i32,
    events: Vec<RawEvent>,
}

impl RawClient {
    /// A new session; the server may grant another timeout than asked for.
    pub fn connect(address: SocketAddr, timeout_ms: i32) -> Result<RawClient, RawError> {
        RawClient::attach(address, &Credentials::nobody(timeout_ms))
    }

    /// The same session on a new connection.
    pub fn attach(address: SocketAddr, credentials: &Credentials) -> Result<RawClient, RawError> {
        RawClient::attach_over(open(address)?, credentials, false)
    }

    /// As [`RawClient::attach`], by a client that is content to read; a new session without credentials.
    pub fn attach_to_read(
        address: SocketAddr,
        timeout_ms: i32,
        credentials: Option<&Credentials>,
    ) -> Result<RawClient, RawError> {
        let nobody = Credentials::nobody(timeout_ms);
        RawClient::attach_over(open(address)?, credentials.unwrap_or(&nobody), true)
    }
}

impl<S: Read + Write> RawClient<S> {
    /// The session that the credentials name, or a new one, over a connection on which nothing was said.
    fn attach_over(
        mut stream: S,
        credentials: &Credentials,
        content_to_read: bool,
    ) -> Result<RawClient<S>, RawError> {
        let request = Bytes::new()
            .int(0)
            .long(credentials.zxid)
            .int(credentials.timeout_ms)
            .long(credentials.session)
            .text(&credentials.password)
            .flag(content_to_read);
        stream.write_all(&request.framed())?;
        let answer = read_frame(&mut stream)?;
        let mut reader = Reader(&answer);
        let _protocol_version = reader.int();
        let timeout_ms = reader.int();
        let session = reader.long();
        let password = reader.buffer().unwrap_or_default();
        if timeout_ms <= 0 {
            return Err(RawError::Expired);
        }
        let read_only = reader.byte() != 0;
        let credentials = Credentials {
            session,
            password,
            timeout_ms,
            zxid: credentials.zxid,
        };
        Ok(RawClient {
            stream,
            credentials,
            read_only,
            last_xid: 0,
            events: Vec::new(),
        })
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn session(&self) -> i64 {
        self.credentials.session
    }

    /// Whether the server said that it can be read alone.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The socket itself, for what no client should send.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends a request of any kind, without waiting; its xid.
    pub fn send(&mut self, opcode: i32, body: Bytes) -> io::Result<i32> {
        self.last_xid += 1;
        let xid = self.last_xid;
        self.send_as(xid, opcode, body)?;
        Ok(xid)
    }

    /// As [`RawClient::send`], with an xid of the caller's choice.
    pub fn send_as(&mut self, xid: i32, opcode: i32, body: Bytes) -> io::Result<()> {
        self.stream
            .write_all(&Bytes::new().int(xid).int(opcode).raw(&body.0).framed())
    }

    /// The next reply that is neither a notification, which is kept, nor a ping's.
    pub fn receive(&mut self) -> io::Result<RawReply> {
        loop {
            let frame = read_frame(&mut self.stream)?;
            let mut reader = Reader(&frame);
            let reply = RawReply {
                xid: reader.int(),
                zxid: reader.long(),
                err: reader.int(),
                body: reader.0.to_vec(),
            };
            self.credentials.zxid = self.credentials.zxid.max(reply.zxid);
            match reply.xid {
                XID_NOTIFICATION => {
                    let mut event = Reader(&reply.body);
                    let (kind, _state) = (event.int(), event.int());
                    self.events.push(RawEvent {
                        zxid: reply.zxid,
                        kind,
                        path: event.string(),
                    });
                }
                XID_PING => {}
                _ => return Ok(reply),
            }
        }
    }

    /// Asks and waits for the answer; `Err(Code)` if it is an error.
    ///
    /// # Panics
    /// If another request is answered: replies come in the order of the requests.
    pub fn ask(&mut self, opcode: i32, body: Bytes) -> Result<RawReply, RawError> {
        let xid = self.send(opcode, body)?;
        let reply = self.receive()?;
        assert_eq!(reply.xid, xid, "answers come in the order of the requests");
        match reply.err {
            0 => Ok(reply),
            code => Err(RawError::Code(code)),
        }
    }

    /// Kinds and paths of what the watches were told in front of the replies so far, oldest first; each
    /// is given once.
    pub fn take_events(&mut self) -> Vec<(i32, String)> {
        let events = std::mem::take(&mut self.events);
        let told = events.into_iter();
        told.map(|event| (event.kind, event.path)).collect()
    }

    /// One more identity of this connection.
    pub fn authenticate(&mut self, scheme: &str, proof: &str) -> Result<(), RawError> {
        let body = Bytes::new().int(0).text(scheme).text(proof);
        self.send_as(XID_AUTH, op::AUTH, body)?;
        let reply = self.receive()?;
        assert_eq!(
            reply.xid, XID_AUTH,
            "answers come in the order of the requests"
        );
        match reply.err {
            0 => Ok(()),
            code => Err(RawError::Code(code)),
        }
    }

    /// Watches a path: `kind` 0 for all that happens to it, 1 also for all below.
    pub fn add_watch(&mut self, path: &str, kind: i32) -> Result<(), RawError> {
        self.ask(op::ADD_WATCH, Bytes::new().text(path).int(kind))
            .map(drop)
    }

    /// Only the error code: 0 for success.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn code_of(&mut self, opcode: i32, body: Bytes) -> i32 {
        match self.ask(opcode, body) {
            Ok(_) => 0,
            Err(RawError::Code(code)) => code,
            Err(error) => panic!("operation {opcode} was not answered: {error:?}"),
        }
    }

    /// Each operation's number and record; of each result its number in the reply and its error.
    pub fn multi(&mut self, operations: &[(i32, Bytes)]) -> Result<Vec<(i32, i32)>, RawError> {
        let mut body = Bytes::new();
        for (opcode, record) in operations {
            body = body.int(*opcode).flag(false).int(-1).raw(&record.0);
        }
        let reply = self.ask(op::MULTI, body.int(-1).flag(true).int(-1))?;
        let mut reader = Reader(&reply.body);
        let mut results = Vec::new();
        loop {
            let (opcode, done, err) = (reader.int(), reader.byte(), reader.int());
            if done != 0 {
                return Ok(results);
            }
            match opcode {
                op::CREATE => drop(reader.string()),
                op::CREATE2 => drop((reader.string(), reader.stat())),
                op::SET_DATA => drop(reader.stat()),
                -1 => drop(reader.int()),
                _ => {}
            }
            results.push((opcode, err));
        }
    }

    /// The path made, which differs from the one asked for if it is sequential.
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Result<String, RawError> {
        let reply = self.ask(op::CREATE, create_body(path, data, flags))?;
        Ok(Reader(&reply.body).string())
    }

    pub fn delete(&mut self, path: &str, version: i32) -> Result<(), RawError> {
        self.ask(op::DELETE, Bytes::new().text(path).int(version))
            .map(drop)
    }

    pub fn exists(&mut self, path: &str) -> Result<Option<RawStat>, RawError> {
        match self.ask(op::EXISTS, Bytes::new().text(path).flag(false)) {
            Ok(reply) => Ok(Some(Reader(&reply.body).stat())),
            Err(RawError::Code(-101)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn data(&mut self, path: &str) -> Result<(Vec<u8>, RawStat), RawError> {
        let reply = self.ask(op::GET_DATA, Bytes::new().text(path).flag(false))?;
        let mut reader = Reader(&reply.body);
        Ok((reader.buffer().unwrap_or_default(), reader.stat()))
    }

    pub fn set_data(&mut self, path: &str, data: &[u8], version: i32) -> Result<RawStat, RawError> {
        let reply = self.ask(
            op::SET_DATA,
            Bytes::new().text(path).text(data).int(version),
        )?;
        Ok(Reader(&reply.body).stat())
    }

    pub fn children(&mut self, path: &str) -> Result<Vec<String>, RawError> {
        let reply = self.ask(op::GET_CHILDREN, Bytes::new().text(path).flag(false))?;
        let mut reader = Reader(&reply.body);
        Ok((0..reader.int()).map(|_| reader.string()).collect())
    }

    /// What was committed before is seen by the reads after.
    pub fn sync(&mut self) -> Result<(), RawError> {
        self.ask(op::SYNC, Bytes::new().text("/")).map(drop)
    }

    /// Ends the session, and with it its ephemerals.
    pub fn close(mut self) -> Result<(), RawError> {
        self.ask(op::CLOSE_SESSION, Bytes::new()).map(drop)
    }
}

/// The body of a create request with an open ACL.
pub fn create_body(path: &str, data: &[u8], flags: i32) -> Bytes {
    Bytes::new().text(path).text(data).open_acl().int(flags)
}

/// The body of a create request whose ACL is one line.
pub fn create_body_with_acl(path: &str, data: &[u8], acl: (i32, &str, &str), flags: i32) -> Bytes {
    let (permissions, scheme, id) = acl;
    let line = Bytes::new().int(1).int(permissions).text(scheme).text(id);
    Bytes::new().text(path).text(data).raw(&line.0).int(flags)
}

/// A connection on which nothing was said yet.
pub fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One frame, without its length.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}
