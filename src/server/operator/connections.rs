//! The open connections of the client doors and the figures of each, for `cons`, `stat` and `dump`.
//!
//! At all times: a connection is listed from its first byte to its last, also one that only asks a
//! four-letter word. Rules from: ZooKeeper 3.9 `ServerCnxn#dumpConnectionInfo`,
//! `#updateStatsForResponse`, `#resetStats`, `FinalRequestProcessor`.

use crate::wire::opcode as op;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The bits of `interest_ops`: it waits for the client's bytes, or for the client to take some.
const READS: u8 = 1;
const WRITES: u8 = 4;

/// One open connection's figures.
#[derive(Debug)]
pub struct Connection {
    peer: SocketAddr,
    established_ms: i64,
    secure: AtomicBool,
    session: AtomicI64,
    timeout_ms: AtomicU32,
    queued: AtomicU64,
    interest: AtomicU8,
    received: AtomicU64,
    sent: AtomicU64,
    responses: Mutex<Responses>,
}

/// What `crst` resets beside the packets.
#[derive(Clone, Copy, Debug, Default)]
struct Responses {
    last_opcode: Option<i32>,
    last_xid: Option<i32>,
    last_zxid: Option<i64>,
    last_response_ms: u64,
    last_latency_ms: u64,
    min_latency_ms: Option<u64>,
    max_latency_ms: u64,
    count: u64,
    latency_sum_ms: u64,
}

/// One reply, or several of the same kind and age.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    pub opcode: i32,
    pub xid: i32,
    pub zxid: i64,
    /// On the member's own clock.
    pub at_ms: u64,
    pub latency_ms: u64,
}

impl Connection {
    fn new(peer: SocketAddr, established_ms: i64) -> Connection {
        Connection {
            peer,
            established_ms,
            secure: AtomicBool::new(false),
            session: AtomicI64::new(0),
            timeout_ms: AtomicU32::new(0),
            queued: AtomicU64::new(0),
            interest: AtomicU8::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            responses: Mutex::default(),
        }
    }

    /// TLS is spoken.
    pub fn secured(&self) {
        self.secure.store(true, Ordering::Relaxed);
    }

    pub fn is_secure(&self) -> bool {
        self.secure.load(Ordering::Relaxed)
    }

    pub fn attached(&self, session: i64, timeout_ms: u32) {
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        self.session.store(session, Ordering::Relaxed);
    }

    /// What the connection is waiting for.
    pub fn waits(&self, unanswered: usize, to_read: bool, to_write: bool) {
        let interest = if to_read { READS } else { 0 } | if to_write { WRITES } else { 0 };
        self.queued.store(unanswered as u64, Ordering::Relaxed);
        self.interest.store(interest, Ordering::Relaxed);
    }

    pub fn received(&self, packets: u64) {
        self.received.fetch_add(packets, Ordering::Relaxed);
    }

    pub fn sent(&self, packets: u64) {
        self.sent.fetch_add(packets, Ordering::Relaxed);
    }

    /// `requests` were answered like this one.
    pub fn responded(&self, response: Response, requests: u64) {
        let mut responses = self.responses.lock();
        responses.last_opcode = Some(response.opcode);
        // Pings and the like have no number of their own.
        if response.xid >= 0 {
            responses.last_xid = Some(response.xid);
        }
        responses.last_zxid = Some(response.zxid);
        responses.last_response_ms = response.at_ms;
        let latency_ms = response.latency_ms;
        responses.last_latency_ms = latency_ms;
        let min = responses.min_latency_ms.unwrap_or(latency_ms);
        responses.min_latency_ms = Some(min.min(latency_ms));
        responses.max_latency_ms = responses.max_latency_ms.max(latency_ms);
        responses.count += requests;
        responses.latency_sum_ms += latency_ms * requests;
    }

    fn reset(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.sent.store(0, Ordering::Relaxed);
        *self.responses.lock() = Responses::default();
    }

    pub fn session(&self) -> i64 {
        self.session.load(Ordering::Relaxed)
    }

    /// The short form of `stat`, or the long one of `cons`.
    pub fn line(&self, brief: bool) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut line = format!(
            " /{}[{:x}](queued={},recved={},sent={}",
            self.peer,
            self.interest.load(Ordering::Relaxed),
            get(&self.queued),
            get(&self.received),
            get(&self.sent)
        );
        let session = self.session();
        if !brief && session != 0 {
            let responses = *self.responses.lock();
            line += &format!(
                ",sid=0x{session:x},lop={},est={},to={}",
                responses.last_operation(),
                self.established_ms,
                self.timeout_ms.load(Ordering::Relaxed),
            );
            if let Some(xid) = responses.last_xid {
                line += &format!(",lcxid=0x{xid:x}");
            }
            line += &format!(
                ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
                responses.last_zxid.unwrap_or(-1),
                responses.last_response_ms,
                responses.last_latency_ms,
                responses.min_latency_ms.unwrap_or(0),
                responses.average_ms(),
                responses.max_latency_ms,
            );
        }
        line + ")"
    }

    /// The same as a JSON object.
    pub fn json(&self, brief: bool) -> Value {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut object = json!({
            "remote_socket_address": self.peer.to_string(),
            "interest_ops": self.interest.load(Ordering::Relaxed),
            "outstanding_requests": get(&self.queued),
            "packets_received": get(&self.received),
            "packets_sent": get(&self.sent),
        });
        if !brief {
            let responses = *self.responses.lock();
            for (key, value) in [
                ("session_id", json!(self.session())),
                ("last_operation", json!(responses.last_operation())),
                ("established", json!(self.established_ms)),
                (
                    "session_timeout",
                    json!(self.timeout_ms.load(Ordering::Relaxed)),
                ),
                ("last_cxid", json!(responses.last_xid.unwrap_or(-1))),
                ("last_zxid", json!(responses.last_zxid.unwrap_or(-1))),
                ("last_response_time", json!(responses.last_response_ms)),
                ("last_latency", json!(responses.last_latency_ms)),
                ("min_latency", json!(responses.min_latency_ms.unwrap_or(0))),
                ("avg_latency", json!(responses.average_ms())),
                ("max_latency", json!(responses.max_latency_ms)),
            ] {
                object[key] = value;
            }
        }
        object
    }
}

impl Responses {
    fn last_operation(&self) -> &'static str {
        self.last_opcode.map_or("NA", operation_name)
    }

    fn average_ms(&self) -> u64 {
        self.latency_sum_ms.checked_div(self.count).unwrap_or(0)
    }
}

/// ZooKeeper's letters for an operation.
fn operation_name(opcode: i32) -> &'static str {
    match opcode {
        op::CREATE_SESSION => "SESS",
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "CREA",
        op::DELETE | op::DELETE_CONTAINER => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_ACL => "GETA",
        op::SET_ACL => "SETA",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::GET_ALL_CHILDREN_NUMBER => "GETACN",
        op::GET_EPHEMERALS => "GETE",
        op::SYNC => "SYNC",
        op::PING => "PING",
        op::CHECK => "CHEC",
        op::MULTI => "MULT",
        op::MULTI_READ => "MLTR",
        op::RECONFIG => "RECO",
        op::SET_WATCHES => "SETW",
        op::SET_WATCHES2 => "STW2",
        op::ADD_WATCH => "ADDW",
        op::CHECK_WATCHES => "CHKW",
        op::REMOVE_WATCHES => "REMW",
        op::WHO_AM_I => "HOMI",
        op::CLOSE_SESSION => "CLOS",
        _ => "NA",
    }
}

/// The open connections.
#[derive(Default)]
pub struct Connections {
    open: Mutex<Open>,
    pending_syncs: Arc<AtomicU64>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
}

/// A place in the list, given up when dropped.
pub struct Listed<'a> {
    connections: &'a Connections,
    number: u64,
    connection: Arc<Connection>,
}

impl std::ops::Deref for Listed<'_> {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.connections
            .open
            .lock()
            .connections
            .remove(&self.number);
    }
}

/// A `sync` that was not answered yet; answered, or given up, when dropped.
#[derive(Debug)]
pub struct Pending(Arc<AtomicU64>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    pub fn list(&self, peer: SocketAddr, established_ms: i64) -> Listed<'_> {
        let connection = Arc::new(Connection::new(peer, established_ms));
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, connection.clone());
        Listed {
            connections: self,
            number,
            connection,
        }
    }

    pub fn count(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// A copy, oldest first.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.open.lock().connections.values().cloned().collect()
    }

    pub fn reset_statistics(&self) {
        for connection in self.all() {
            connection.reset();
        }
    }

    pub fn sync_began(&self) -> Pending {
        self.pending_syncs.fetch_add(1, Ordering::Relaxed);
        Pending(self.pending_syncs.clone())
    }

    pub fn pending_syncs(&self) -> u64 {
        self.pending_syncs.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new("127.0.0.1:5000".parse().expect("an address"), 7)
    }

    fn response(opcode: i32, xid: i32, latency_ms: u64) -> Response {
        Response {
            opcode,
            xid,
            zxid: 0x20,
            at_ms: 900,
            latency_ms,
        }
    }

    #[test]
    fn a_connection_shows_its_session_in_the_long_form_only() {
        let one = connection();
        assert_eq!(
            one.line(false),
            " /127.0.0.1:5000[0](queued=0,recved=0,sent=0)"
        );
        one.attached(0x10, 4000);
        one.received(3);
        one.waits(2, true, true);
        assert_eq!(
            one.line(true),
            " /127.0.0.1:5000[5](queued=2,recved=3,sent=0)"
        );
        assert_eq!(
            one.line(false),
            " /127.0.0.1:5000[5](queued=2,recved=3,sent=0,sid=0x10,lop=NA,est=7,to=4000,\
             lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)"
        );
    }

    #[test]
    fn latencies_are_the_connections_own_until_they_are_reset() {
        let one = connection();
        one.attached(0x10, 4000);
        one.responded(response(op::CREATE, 1, 9), 1);
        one.responded(response(op::GET_DATA, 4, 2), 3);
        one.responded(response(op::PING, -2, 4), 1);
        let line = one.line(false);
        let tail = ",lop=PING,est=7,to=4000,lcxid=0x4,lzxid=0x20,lresp=900,llat=4,minlat=2,avglat=3,maxlat=9)";
        assert!(line.ends_with(tail), "{line}");
        assert_eq!(one.json(false)["avg_latency"], 3);
        one.reset();
        assert!(one.line(false).contains(",lop=NA,"));
        assert_eq!(one.json(false)["last_cxid"], -1);
    }

    #[test]
    fn a_connection_is_listed_for_as_long_as_it_is_open() {
        let connections = Connections::default();
        let peer = "127.0.0.1:5000".parse().expect("an address");
        let first = connections.list(peer, 1);
        let second = connections.list(peer, 2);
        assert_eq!(connections.count(), 2);
        second.received(1);
        drop(first);
        let lines: Vec<String> = connections
            .all()
            .iter()
            .map(|connection| connection.line(true))
            .collect();
        assert_eq!(lines, [" /127.0.0.1:5000[0](queued=0,recved=1,sent=0)"]);
        connections.reset_statistics();
        assert!(second.line(true).contains("recved=0"));
        drop(second);
        assert_eq!(connections.count(), 0);
    }

    #[test]
    fn a_sync_is_pending_until_it_is_answered_or_given_up() {
        let connections = Connections::default();
        let pending = connections.sync_began();
        assert_eq!(connections.pending_syncs(), 1);
        drop(pending);
        assert_eq!(connections.pending_syncs(), 0);
    }
}
