//! What the clients know: the oracle that the members' last state is held against.
//!
//! At all times: what was not answered is *unknown* and may have happened or not, until a later answer
//! says which; nothing that was answered is forgotten. Each key is written by one session alone, so
//! its possible values are a list in the order of the requests.

use crate::model::{SessionId, Zxid};
use std::collections::BTreeMap;

/// One value that a key may have: `None` is "no such znode".
type Possible = (u64, Option<String>);

/// What a key can be, oldest first: the last that is certain, then everything unknown after it.
#[derive(Clone, Debug)]
pub struct Register {
    possible: Vec<Possible>,
    next_ticket: u64,
    /// The znode's version, while it is certain.
    version: Option<i32>,
    pub ephemeral: bool,
}

impl Register {
    pub fn new(ephemeral: bool) -> Register {
        Register {
            possible: vec![(0, None)],
            next_ticket: 1,
            version: None,
            ephemeral,
        }
    }

    /// A write is about to be sent.
    pub fn begin(&mut self, value: Option<String>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.possible.push((ticket, value));
        ticket
    }

    /// The write was done. `version` as its reply said.
    pub fn acknowledged(&mut self, ticket: u64, version: Option<i32>) -> Result<(), String> {
        let at = self.position(ticket)?;
        let follows = match (self.version, version) {
            (Some(before), Some(now)) if at == 1 => now == before + 1,
            _ => true,
        };
        self.possible.drain(..at);
        let before = std::mem::replace(&mut self.version, version);
        match follows {
            true => Ok(()),
            false => Err(format!(
                "version {before:?} was followed by {version:?}: done twice"
            )),
        }
    }

    /// The write was refused, because the znode was there (`exists`) or was not.
    pub fn refused(&mut self, ticket: u64, exists: bool) -> Result<(), String> {
        let at = self.position(ticket)?;
        self.possible.remove(at);
        let before = &self.possible[..at];
        match before
            .iter()
            .position(|(_, value)| value.is_some() == exists)
        {
            Some(first) => {
                self.narrow(first);
                Ok(())
            }
            None => Err(format!(
                "refused as if the znode's existence were {exists}, but {before:?}"
            )),
        }
    }

    /// A read was answered that was sent after everything in this register.
    pub fn observed(&mut self, value: Option<&str>) -> Result<(), String> {
        match self
            .possible
            .iter()
            .position(|(_, known)| known.as_deref() == value)
        {
            Some(at) => {
                self.narrow(at);
                Ok(())
            }
            None => Err(format!(
                "read {value:?}, where only {:?} are possible",
                self.possible
            )),
        }
    }

    /// Whether the key may have this value at the end.
    pub fn allows(&self, value: Option<&str>) -> bool {
        self.possible
            .iter()
            .any(|(_, known)| known.as_deref() == value)
    }

    /// Whether the znode exists, as far as the last request is believed.
    pub fn expected(&self) -> Option<&str> {
        self.possible.last().and_then(|(_, value)| value.as_deref())
    }

    pub fn possible(&self) -> impl Iterator<Item = Option<&str>> {
        self.possible.iter().map(|(_, value)| value.as_deref())
    }

    fn narrow(&mut self, first: usize) {
        if first > 0 {
            self.possible.drain(..first);
            self.version = None;
        }
    }

    fn position(&self, ticket: u64) -> Result<usize, String> {
        self.possible
            .iter()
            .position(|(known, _)| *known == ticket)
            .ok_or_else(|| format!("an answer to write {ticket}, which was superseded"))
    }
}

/// How a session ended, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Live,
    /// The goodbye was sent and not answered yet.
    Closing,
    Closed,
    /// A member said so.
    Expired,
    /// The client went away without a word.
    Abandoned,
}

/// A request that was answered, in simulated milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    pub sent_ms: u64,
    pub answered_ms: u64,
}

/// One session of one client.
#[derive(Clone, Debug)]
pub struct Life {
    pub client: usize,
    pub session: SessionId,
    pub timeout_ms: u32,
    /// Whether it is known to be one of the ensemble: a local one is a member's own until it has written.
    pub of_ensemble: bool,
    pub end: End,
    pub keys: BTreeMap<String, Register>,
    /// The requests that were answered, the handshakes among them.
    pub contacts: Vec<Contact>,
    /// The highest zxid in its answers.
    pub zxid: Zxid,
}

impl Life {
    /// The earliest moment at which the session may be gone.
    ///
    /// A member may hold back what it heard for a third of the timeout, and for as long as one report
    /// and its deadline take: that much may be lost with it. What it heard before was reported, and
    /// from there a full timeout is granted.
    pub fn earliest_end_ms(&self) -> u64 {
        let unreported_ms = u64::from(self.timeout_ms / 3) + REPORT_MS;
        let last_ms = self.contacts.last().map_or(0, |last| last.answered_ms);
        let reported = |contact: &&Contact| contact.answered_ms + unreported_ms <= last_ms;
        let heard = self.contacts.iter().rev().find(reported);
        heard.map_or(0, |heard| heard.sent_ms + u64::from(self.timeout_ms))
    }
}

/// A report in every 200 ms, each with a deadline of 500 ms (`member::liveness`).
const REPORT_MS: u64 = 800;

/// Everything that the clients of one simulation know.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub lives: Vec<Life>,
    /// The versions that acknowledged conditional writes of the shared znode gave it.
    pub shared_versions: Vec<i32>,
    /// Conditional writes without an answer.
    pub shared_unknown: usize,
    /// (client, zxid before, zxid after) where it went down.
    pub zxid_regressions: Vec<(usize, Zxid, Zxid)>,
    /// Answers that no history explains, in words.
    pub unexplained: Vec<String>,
    pub acknowledged: u64,
    pub unknown: u64,
    /// The highest in any answer to anybody.
    pub zxid: Zxid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_unknown_write_stays_possible_until_a_later_answer() {
        let mut register = Register::new(false);
        let one = register.begin(value("1"));
        register.acknowledged(one, Some(0)).unwrap();
        register.begin(value("2"));
        assert!(register.allows(Some("1")) && register.allows(Some("2")));
        let three = register.begin(value("3"));
        register.acknowledged(three, None).unwrap();
        assert!(!register.allows(Some("2")) && register.allows(Some("3")));
        register.observed(Some("1")).unwrap_err();
    }

    #[test]
    fn what_was_read_once_does_not_go_back() {
        let mut register = Register::new(false);
        register.begin(value("1"));
        register.observed(Some("1")).unwrap();
        register.observed(None).unwrap_err();
    }

    #[test]
    fn a_refusal_needs_a_reason_in_the_history() {
        let mut register = Register::new(false);
        let set = register.begin(value("1"));
        register.refused(set, false).unwrap();
        let create = register.begin(value("1"));
        register.refused(create, true).unwrap_err();
    }

    #[test]
    fn a_write_done_twice_shows_in_the_version() {
        let mut register = Register::new(false);
        let create = register.begin(value("1"));
        register.acknowledged(create, Some(0)).unwrap();
        let set = register.begin(value("2"));
        register.acknowledged(set, Some(1)).unwrap();
        let set = register.begin(value("3"));
        register.acknowledged(set, Some(3)).unwrap_err();
    }

    #[test]
    fn a_full_timeout_counts_from_what_was_reported() {
        let life = Life {
            client: 0,
            session: SessionId(1),
            timeout_ms: 3_000,
            of_ensemble: true,
            end: End::Live,
            keys: BTreeMap::new(),
            contacts: [1_000, 5_000]
                .map(|sent_ms| Contact {
                    sent_ms,
                    answered_ms: sent_ms + 10,
                })
                .into(),
            zxid: Zxid::ZERO,
        };
        assert_eq!(life.earliest_end_ms(), 4_000);
    }
}
