//! Identifiers. Newtypes, because nobody may pass an xid for a zxid.

use std::fmt;

/// The number of a committed write: epoch in the high 32 bits, counter in the low.
///
/// A counter of the replicated state, not the Raft log index: one Raft entry carries many requests
/// and each takes one. Failed writes take one too, as in ZooKeeper. It never decreases; at overflow
/// of the low half the epoch simply advances, and no election is forced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    pub const ZERO: Zxid = Zxid(0);

    /// The zxid that follows this one.
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }

    /// The first zxid of a leader's term, or this one if it is already past that.
    ///
    /// Only the lower 31 bits of the term are shown, so that a zxid stays positive for clients.
    pub fn at_least_term(self, term: u64) -> Zxid {
        Zxid(self.0.max(((term & 0x7fff_ffff) as i64) << 32))
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A session's number; unique for the life of an ensemble, positive, never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// "No session": what a new client sends, and what a znode without owner carries.
    pub const NONE: SessionId = SessionId(0);

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A server process, by the number the operator gave it. Never reused after its data are lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which cluster: fixed when the first members are configured, checked at start and at every
/// handshake between members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in the Raft log: the term it was proposed in and its index. Index 0 of term 0 is "nothing".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LogPosition {
    pub term: u64,
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.index)
    }
}

/// A session's secret: 16 bytes that the server drew and every member can compare.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Password(pub [u8; 16]);

impl Password {
    /// Compares all bytes whatever they are, so that the time taken tells nothing of the first wrong one.
    pub fn is_same(&self, other: &Password) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |difference, (a, b)| {
            std::hint::black_box(difference | (a ^ b))
        });
        difference == 0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(16 bytes)")
    }
}
