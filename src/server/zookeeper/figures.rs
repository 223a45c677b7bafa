//! Per-connection and per-door figures, for `cons`, `stat` and `mntr`.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// One open connection's figures.
#[derive(Debug)]
pub struct ConnectionFigures {
    pub peer: SocketAddr,
    pub established_ms: i64,
    pub received: AtomicU64,
    pub sent: AtomicU64,
    pub queued: AtomicU64,
    pub session: AtomicI64,
    pub timeout_ms: AtomicU32,
    pub last_xid: AtomicI32,
    pub last_zxid: AtomicI64,
    pub last_opcode: AtomicI32,
}

impl ConnectionFigures {
    pub fn new(peer: SocketAddr, established_ms: i64) -> ConnectionFigures {
        ConnectionFigures {
            peer,
            established_ms,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            session: AtomicI64::new(0),
            timeout_ms: AtomicU32::new(0),
            last_xid: AtomicI32::new(0),
            last_zxid: AtomicI64::new(0),
            last_opcode: AtomicI32::new(0),
        }
    }

    /// The short form of `stat`, or the long one of `cons` (ZooKeeper 3.9
    /// `ServerCnxn#dumpConnectionInfo`). Figures that are not kept per connection read 0.
    pub fn line(&self, brief: bool) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let session = self.session.load(Ordering::Relaxed);
        let mut line = format!(
            " /{}[{}](queued={},recved={},sent={}",
            self.peer,
            u8::from(session != 0),
            get(&self.queued),
            get(&self.received),
            get(&self.sent)
        );
        if !brief && session != 0 {
            line += &format!(
                ",sid=0x{:x},lop={},est={},to={},lcxid=0x{:x},lzxid=0x{:x},lresp=0,llat=0,minlat=0,avglat=0,maxlat=0",
                session,
                operation_name(self.last_opcode.load(Ordering::Relaxed)),
                self.established_ms,
                self.timeout_ms.load(Ordering::Relaxed),
                self.last_xid.load(Ordering::Relaxed),
                self.last_zxid.load(Ordering::Relaxed)
            );
        }
        line + ")"
    }
}

/// ZooKeeper's four letters for an operation (`Request#op2String`, shortened as in `cons`).
fn operation_name(opcode: i32) -> &'static str {
    use crate::wire::opcode as op;
    match opcode {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER => "CREA",
        op::DELETE => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::SYNC => "SYNC",
        op::PING => "PING",
        op::MULTI => "MULT",
        op::SET_WATCHES | op::SET_WATCHES2 => "SETW",
        op::CLOSE_SESSION => "CLOS",
        0 => "SESS",
        _ => "OTHR",
    }
}

/// The open connections of a door, and those it turned away.
#[derive(Default)]
pub struct Figures {
    open: Mutex<BTreeMap<u64, Arc<ConnectionFigures>>>,
    rejected: AtomicU64,
}

impl Figures {
    pub fn opened(&self, id: u64, figures: Arc<ConnectionFigures>) {
        self.open.lock().insert(id, figures);
    }

    pub fn closed(&self, id: u64) {
        self.open.lock().remove(&id);
    }

    pub fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected_count(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub fn lines(&self, brief: bool) -> Vec<String> {
        self.open
            .lock()
            .values()
            .map(|figures| figures.line(brief))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_shows_its_session_in_the_long_form_only() {
        let figures = ConnectionFigures::new("127.0.0.1:5000".parse().expect("an address"), 7);
        assert_eq!(
            figures.line(false),
            " /127.0.0.1:5000[0](queued=0,recved=0,sent=0)"
        );
        figures.session.store(0x10, Ordering::Relaxed);
        figures.received.store(3, Ordering::Relaxed);
        assert_eq!(
            figures.line(true),
            " /127.0.0.1:5000[1](queued=0,recved=3,sent=0)"
        );
        assert!(
            figures
                .line(false)
                .contains(",sid=0x10,lop=SESS,est=7,to=0,")
        );
    }
}
