//! What the handles of one client and the task that keeps its session have in common.

use super::error::Error;
use super::lock_turns::LockTurns;
use super::options::ClientOptions;
use super::session::{Link, Session};
use super::state::{ConnectionState, Told};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

/// Where calls go.
#[derive(Clone)]
pub enum At {
    Attached(Arc<Session>, Arc<Link>),
    /// Nowhere, until a member takes this session.
    Suspended(Arc<Session>),
    /// Nowhere, until there is a new session.
    Lost,
    /// Nowhere any more.
    Over(Error),
}

/// See the module's text.
pub struct Shared {
    pub options: ClientOptions,
    pub endpoints: Vec<(String, Endpoint)>,
    pub authorization: Option<MetadataValue<Ascii>>,
    /// Where the next attempt goes.
    turn: AtomicUsize,
    pub at: watch::Sender<At>,
    pub told: watch::Sender<Told>,
    /// Both change together.
    changing: Mutex<()>,
    /// The largest zxid that any answer had: no later read is answered from before it.
    seen: AtomicI64,
    pub lock_turns: LockTurns,
    /// Nobody wants the session any more: that it ends is no loss, and none follows.
    pub closing: AtomicBool,
    /// For the task that keeps the session.
    pub stop: CancellationToken,
}

impl Shared {
    pub fn new(options: ClientOptions) -> Result<Shared, Error> {
        Ok(Shared {
            endpoints: options.parsed_endpoints()?,
            authorization: options.authorization()?,
            options,
            turn: AtomicUsize::new(0),
            at: watch::Sender::new(At::Lost),
            told: watch::Sender::new(Told {
                state: ConnectionState::Suspended,
                losses: 0,
            }),
            changing: Mutex::new(()),
            seen: AtomicI64::new(0),
            lock_turns: LockTurns::new(),
            closing: AtomicBool::new(false),
            stop: CancellationToken::new(),
        })
    }

    /// The members' addresses, one after the other.
    pub fn next_endpoint(&self) -> (&str, &Endpoint) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.endpoints.len();
        let (text, endpoint) = &self.endpoints[turn];
        (text, endpoint)
    }

    pub fn saw(&self, zxid: i64) {
        self.seen.fetch_max(zxid, Ordering::Relaxed);
    }

    pub fn seen(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    pub fn attached(&self, session: Arc<Session>, link: Arc<Link>, state: ConnectionState) {
        self.change(At::Attached(session, link), state, false);
    }

    pub fn suspended(&self, session: Arc<Session>) {
        session.doubt();
        self.change(At::Suspended(session), ConnectionState::Suspended, false);
    }

    /// The session has ended, and what comes after it.
    pub fn lost(&self, session: &Session, then: At) {
        session.lost.cancel();
        self.change(then, ConnectionState::Lost, true);
    }

    /// Nothing comes after this. What was lost before is not lost again.
    pub fn over(&self) {
        let had_session = self.session().is_some();
        self.change(At::Over(Error::Closed), ConnectionState::Lost, had_session);
    }

    /// What is over stays so. A link that is left is broken: whoever waits for an answer through it is told.
    fn change(&self, at: At, state: ConnectionState, is_loss: bool) {
        let _changing = self.changing.lock();
        let changed = self.at.send_if_modified(|current| {
            let is_over = matches!(current, At::Over(_));
            if !is_over && let At::Attached(_, link) = std::mem::replace(current, at) {
                link.broken.cancel();
            }
            !is_over
        });
        if changed {
            self.told.send_modify(|told| {
                told.state = state;
                told.losses += u64::from(is_loss);
            });
        }
    }

    /// The session as it is, unless it is over.
    pub fn session(&self) -> Option<Arc<Session>> {
        match &*self.at.borrow() {
            At::Attached(session, _) | At::Suspended(session) => Some(session.clone()),
            At::Lost | At::Over(_) => None,
        }
    }
}
