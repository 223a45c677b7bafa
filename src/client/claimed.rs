//! A task that is claimed: what is done with it, and what becomes of it when nothing is.
//!
//! At all times: a claim that is dropped, or of which it is not known what it came to, is given up by a task of its
//! own.

use super::calls::Deadline;
use super::error::Error;
use super::session::Session;
use super::tasks::Tasks;
use super::together::{self, Part, Together};
use super::{Client, Reason, Task};
use crate::api::{FailedAttempt, FinishRequest, FinishedTask};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A task that this client's session has claimed: to be done, and then completed or failed. Dropped before, its
/// attempt has failed, which a task of its own says, as well as that goes.
///
/// While the client is cut off its session may end, and the next one may begin with the task: what must not be
/// done twice is fenced ([`Client::fenced`]), or stops when [`Claimed::lost`] returns.
#[must_use = "a claimed task that is dropped has failed"]
pub struct Claimed {
    pub(super) client: Client,
    pub(super) session: Arc<Session>,
    pub(super) queue: String,
    pub(super) id: i64,
    pub(super) token: i64,
    pub(super) task: Task,
    pub(super) attempts: u32,
    pub(super) epoch: i64,
    pub(super) last_error: String,
    pub(super) is_begun: bool,
    pub(super) is_open: bool,
    /// In the window of an [`Incoming`].
    pub(super) place: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Claimed {
    pub(super) fn begun(mut self) -> Claimed {
        self.is_begun = true;
        self
    }

    pub fn queue(&self) -> &str {
        &self.queue
    }

    pub fn id(&self) -> i64 {
        self.id
    }

    /// Of the claim; larger than that of every earlier claim of this task.
    pub fn token(&self) -> i64 {
        self.token
    }

    pub fn task(&self) -> &Task {
        &self.task
    }

    /// This one included.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Of the ring, by which the server is the owner; 0 without a ring.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// What the attempt before failed of; empty if there was none.
    pub fn last_error(&self) -> &str {
        &self.last_error
    }

    /// Whether the session that claimed it is known to live, by this process' own clock.
    pub fn is_held(&self) -> bool {
        self.is_open && self.session.is_known_to_live()
    }

    /// Returns once the session is lost, and the claim with it.
    pub async fn lost(&self) {
        self.session.lost.cancelled().await;
    }

    /// The task is done: it is gone with its claim, in one step.
    ///
    /// # Errors
    /// `NOT_CLAIMED_BY_YOU` or [`Error::SessionLost`] where it was not claimed any more.
    pub async fn complete(mut self) -> Result<(), Error> {
        let completing = self.finishing(None);
        let completed = finish(&self.client, &self.session, completing);
        let completed = completed.await.map(|finished| finished.zxid);
        self.ended(completed)
    }

    /// The attempt failed: the task is tried again once `retry_after` has passed (30 days at most), or is dead
    /// after its last attempt, which is answered. 4 KiB of `error` are kept.
    ///
    /// # Errors
    /// As [`Claimed::complete`].
    pub async fn fail(mut self, error: &str, retry_after: Duration) -> Result<bool, Error> {
        let failing = self.failing(shortened(error), retry_after, false);
        let failed = finish(&self.client.without_fences(), &self.session, failing).await;
        let dead = failed.as_ref().is_ok_and(|failed| failed.dead);
        self.ended(failed.map(|failed| failed.zxid))?;
        Ok(dead)
    }

    /// Nothing was begun: the attempt does not count, and the task is offered again at once.
    ///
    /// # Errors
    /// As [`Claimed::complete`].
    pub async fn give_back(mut self) -> Result<(), Error> {
        self.is_begun = false;
        let failing = self.failing("", Duration::ZERO, true);
        let failed = finish(&self.client.without_fences(), &self.session, failing).await;
        self.ended(failed.map(|failed| failed.zxid))
    }

    fn finishing(&self, failed: Option<FailedAttempt>) -> Finishing {
        Finishing {
            queue: self.queue.clone(),
            task: FinishedTask {
                id: self.id,
                token: self.token,
                failed,
            },
        }
    }

    /// That a lock is not held any more is no reason to keep a task: not to be sent with fences.
    fn failing(&self, error: &str, retry_after: Duration, not_begun: bool) -> Finishing {
        self.finishing(Some(FailedAttempt {
            error: error.to_owned(),
            retry_after_ms: millis(retry_after),
            not_begun,
        }))
    }

    /// A claim of which nothing is known is given up as it is dropped.
    fn ended(&mut self, outcome: Result<i64, Error>) -> Result<(), Error> {
        self.is_open = match &outcome {
            Ok(_) => false,
            Err(error) => error.reason() != Some(Reason::NotClaimedByYou),
        };
        if !self.is_open {
            self.session.claims.remove(self.id, self.token);
        }
        self.client.saw(outcome?);
        Ok(())
    }
}

/// As much of an error as a task keeps.
fn shortened(error: &str) -> &str {
    let mut end = error.len().min(4 * 1024);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    &error[..end]
}

/// What became of a claimed task.
#[derive(Clone)]
pub struct Finishing {
    queue: String,
    task: FinishedTask,
}

/// That it is known.
pub struct Finished {
    zxid: i64,
    dead: bool,
}

impl Part for Finishing {
    type Answer = Finished;

    fn queue(&self) -> &str {
        &self.queue
    }

    fn bytes(&self) -> usize {
        self.task.encoded_len()
    }

    fn together(session: &Session) -> &Together<Self> {
        &session.finishing
    }

    async fn send(
        client: &Client,
        session: &Arc<Session>,
        deadline: Deadline,
        parts: &[Self],
    ) -> Result<Vec<Finished>, Error> {
        let finished = client.write_for(
            session,
            deadline,
            |header| FinishRequest {
                header: Some(header),
                queue: parts[0].queue.clone(),
                tasks: parts.iter().map(|part| part.task.clone()).collect(),
            },
            |channel, request| async move { Tasks::service(channel).finish(request).await },
        );
        let finished = finished.await?;
        let zxid = finished.zxid;
        let each = finished.dead.into_iter();
        Ok(each.map(|dead| Finished { zxid, dead }).collect())
    }
}

async fn finish(
    client: &Client,
    session: &Arc<Session>,
    finishing: Finishing,
) -> Result<Finished, Error> {
    together::send(client, session, client.deadline(), finishing).await
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.is_open || self.session.lost.is_cancelled() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (client, session) = (self.client.without_fences(), self.session.clone());
        let failing = match self.is_begun {
            true => self.failing("dropped before it was finished", Duration::ZERO, false),
            false => self.failing("", Duration::ZERO, true),
        };
        let place = self.place.take();
        runtime.spawn(async move {
            loop {
                match finish(&client, &session, failing.clone()).await {
                    // As long as the session lives, nobody else would ever have it.
                    Err(Error::TimedOut { .. }) => {}
                    Err(error) => {
                        let id = failing.task.id;
                        tracing::debug!(id, %error, "a claimed task is not given up");
                        break;
                    }
                    Ok(_) => break,
                }
            }
            session.claims.remove(failing.task.id, failing.task.token);
            drop(place);
        });
    }
}

impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimed")
            .field("queue", &self.queue)
            .field("id", &self.id)
            .field("token", &self.token)
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn an_error_is_shortened_between_characters() {
        assert_eq!(shortened("no room"), "no room");
        let long = format!("{}\u{e4}\u{e4}", "x".repeat(4_095));
        assert_eq!(shortened(&long).len(), 4_095);
    }
}
