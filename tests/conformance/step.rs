//! The steps of a scenario: what the clients do, one after the other.

use crate::request::Request;
use std::fmt;

/// Clients that scenarios have; one more, the janitor, belongs to the run itself.
pub const SLOTS: usize = 4;

/// Long enough that no session ends while a busy machine takes its time.
pub const TIMEOUT_MS: i32 = 60_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A new session. Skipped if the client has one.
    Connect { slot: usize, member: usize },
    /// The connection is cut, and the session goes on through a member, perhaps another one.
    Reattach { slot: usize, member: usize },
    /// Requests in one write; skipped without a connection. `ends` if the connection must end behind
    /// the last reply.
    Ask {
        slot: usize,
        requests: Vec<Request>,
        ends: bool,
    },
    /// What no client sends; the connection must end.
    Send { slot: usize, bytes: Vec<u8> },
    /// The connection is cut and the session left to expire.
    Expire { slot: usize },
    /// A greeting of any kind on a connection of its own; what it is answered, and its end.
    Greet { member: usize, greeting: Greeting },
    /// Events that are on their way to the client are awaited.
    Fence { slot: usize },
    /// All below the run's root and the quotas there are read: stats, data, access lists.
    Census,
    /// All below the run's root is deleted, and the quotas there.
    Sweep,
}

/// A connect request in its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Greeting {
    pub version: i32,
    pub zxid: GreetingZxid,
    pub timeout_ms: i32,
    pub session: GreetingSession,
    pub password: GreetingPassword,
    /// The last byte; old clients do not send it.
    pub read_only: Option<u8>,
    /// Whether the connection must end after the answer, as it does where there is no session.
    pub ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingZxid {
    Is(i64),
    /// As far as the janitor has seen, and so much more.
    Ahead(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingSession {
    New,
    /// A number that no member gives out.
    Unknown,
    /// The session that the client has, or had last.
    Of(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GreetingPassword {
    Right,
    Is(Option<Vec<u8>>),
}

impl Default for Greeting {
    fn default() -> Greeting {
        Greeting {
            version: 0,
            zxid: GreetingZxid::Is(0),
            timeout_ms: TIMEOUT_MS,
            session: GreetingSession::New,
            password: GreetingPassword::Is(Some(vec![0; 16])),
            read_only: Some(0),
            ends: false,
        }
    }
}

pub fn connect(slot: usize, member: usize) -> Step {
    Step::Connect { slot, member }
}

pub fn reattach(slot: usize, member: usize) -> Step {
    Step::Reattach { slot, member }
}

/// One request and its reply.
pub fn ask(slot: usize, request: Request) -> Step {
    burst(slot, vec![request])
}

/// Requests in one write, then their replies.
pub fn burst(slot: usize, requests: Vec<Request>) -> Step {
    Step::Ask {
        slot,
        requests,
        ends: false,
    }
}

/// A request behind whose reply the connection must end.
pub fn ask_last(slot: usize, request: Request) -> Step {
    Step::Ask {
        slot,
        requests: vec![request],
        ends: true,
    }
}

pub fn fence(slot: usize) -> Step {
    Step::Fence { slot }
}

impl Step {
    /// Those that its client sends; the run's own are not counted.
    pub fn requests(&self) -> usize {
        match self {
            Step::Ask { requests, .. } => requests.len(),
            _ => 0,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect { slot, member } => {
                write!(f, "client {slot} connects to member {member}")
            }
            Step::Reattach { slot, member } => {
                write!(f, "client {slot} comes back on member {member}")
            }
            Step::Ask {
                slot,
                requests,
                ends,
            } => {
                let requests: Vec<String> = requests.iter().map(Request::to_string).collect();
                let last = if *ends { ", its last" } else { "" };
                write!(f, "client {slot} asks{last}: {}", requests.join(" | "))
            }
            Step::Send { slot, bytes } => {
                write!(f, "client {slot} sends \"{}\"", bytes.escape_ascii())
            }
            Step::Expire { slot } => write!(f, "client {slot} is gone for good"),
            Step::Greet { member, greeting } => {
                write!(f, "member {member} is greeted: {greeting:?}")
            }
            Step::Fence { slot } => write!(f, "client {slot} awaits its events"),
            Step::Census => write!(f, "census"),
            Step::Sweep => write!(f, "sweep"),
        }
    }
}
