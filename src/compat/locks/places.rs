//! Who holds a lock and who waits for it, as its directory tells.
//!
//! | an entry's name has | it is |
//! |---|---|
//! | `lock-` | a place in a mutex (Curator's `InterProcessMutex`) |
//! | `__READ__`, `__WRIT__` | a place in a read-write lock (Curator's `InterProcessReadWriteLock`) |
//! | anything else | no place |
//!
//! and ends with the ten digits by which places are ordered.

use super::super::parents::below;
use crate::member::Tree;
use crate::model::{Id, SessionId, Zxid};

pub const MUTEX: &str = "lock-";
pub const READ: &str = "__READ__";
pub const WRITE: &str = "__WRIT__";

const SEQUENCE_DIGITS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mutex,
    Read,
    Write,
}

impl Kind {
    fn of(name: &str) -> Option<(Kind, i64)> {
        let at = name.len().checked_sub(SEQUENCE_DIGITS)?;
        let digits = name.get(at..)?;
        let sequence = digits.parse::<i64>().ok()?;
        let rest = &name[..at];
        let kind = if rest.ends_with(MUTEX) {
            Kind::Mutex
        } else if rest.ends_with(READ) {
            Kind::Read
        } else if rest.ends_with(WRITE) {
            Kind::Write
        } else {
            return None;
        };
        Some((kind, sequence))
    }

    pub fn marker(self) -> &'static str {
        match self {
            Kind::Mutex => MUTEX,
            Kind::Read => READ,
            Kind::Write => WRITE,
        }
    }

    pub fn is_mutex(self) -> bool {
        self == Kind::Mutex
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: String,
    pub name: String,
    pub kind: Kind,
    pub sequence: i64,
    /// The zxid of its creation: the fencing token.
    pub token: Zxid,
    pub session: SessionId,
    pub since_ms: i64,
    pub holds: bool,
}

/// Whether an entry of this name is a place.
pub fn is_place(name: &str) -> bool {
    Kind::of(name).is_some()
}

/// In the order of asking. Nothing where there is no such directory.
pub fn of(tree: &Tree, lock: &str) -> Vec<Place> {
    let Ok((names, _)) = tree.children(lock, Id::passing_all()) else {
        return Vec::new();
    };
    let mut places: Vec<Place> = names
        .filter_map(|name| {
            let (kind, sequence) = Kind::of(name)?;
            let path = below(lock, name);
            let stat = tree.exists(&path).ok()?;
            Some(Place {
                name: name.to_owned(),
                path,
                kind,
                sequence,
                token: stat.czxid,
                session: stat.ephemeral_owner,
                since_ms: stat.ctime_ms,
                holds: false,
            })
        })
        .collect();
    // Numbers are given in the order of creation.
    places.sort_unstable_by_key(|place| (place.token, place.sequence));
    let mut is_free = true;
    let mut has_readers = false;
    for place in &mut places {
        place.holds = is_free && (place.kind == Kind::Read || !has_readers);
        match place.kind {
            Kind::Read => has_readers = true,
            Kind::Mutex | Kind::Write => is_free = false,
        }
    }
    places
}
