//! A connection's `reconfig`: it waits until nothing of the session is unanswered, and while it is under
//! way nothing more is read, so that everything is answered in the order sent.
//!
//! A refusal goes through the log like any refused write, and so takes its zxid; a change of the
//! membership has taken its own.
//!
//! Rules from: ZooKeeper 3.9 `PrepRequestProcessor`, `FinalRequestProcessor` (reconfig).

use crate::member::{Connection, Handle, NotReconfigured, Share};
use crate::model::{Configuration, Id, Reconfiguration};
use futures::future::BoxFuture;
use tokio::time::Instant;

pub type Outcome = Result<Configuration, NotReconfigured>;

pub struct Reconfiguring {
    pub xid: i32,
    pub arrived: Instant,
    wanted: Option<Reconfiguration>,
    running: Option<BoxFuture<'static, Outcome>>,
    /// What it takes of the member's room.
    _held: Share,
}

impl Reconfiguring {
    pub fn new(xid: i32, wanted: Reconfiguration, held: Share) -> Reconfiguring {
        Reconfiguring {
            xid,
            arrived: Instant::now(),
            wanted: Some(wanted),
            running: None,
            _held: held,
        }
    }

    /// Hands it on, if everything before it is answered. Once.
    pub fn begin(&mut self, handle: &Handle, connection: &Connection, identities: &[Id]) {
        if connection.backlog().requests == 0
            && let Some(wanted) = self.wanted.take()
        {
            let running = handle.reconfigure(connection, identities, wanted);
            self.running = Some(Box::pin(running));
        }
    }
}

/// Returns when it is done, if there is one and it has begun.
pub async fn outcome(reconfiguring: Option<&mut Reconfiguring>) -> Outcome {
    match reconfiguring.and_then(|one| one.running.as_mut()) {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}
