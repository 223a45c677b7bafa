//! Places in the order, taken or about to be, that are given up unless they come to something.
//!
//! A client that lost its connection asks again, and waits at the same place, while the call that it made
//! before may not have ended yet: the end of an earlier call takes nothing away from a later one, and a call that
//! comes while its place is given up takes another one.

use super::super::caller::Written;
use super::super::failure::Failure;
use super::super::parents::below;
use super::super::sessions::{Session, Sessions};
use super::super::writing::Writer;
use super::places;
use crate::model::{Id, Operation, Refusal};
use rand::Rng;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a place is tried to be given up whose session has too many calls without an answer.
const ATTEMPTS_MAX: usize = 100;
const RETRY: Duration = Duration::from_millis(100);

/// The calls of a session that ask for locks. A place goes by its path without the number that it gets.
#[derive(Default)]
pub struct Calls {
    /// The latest call for each place, told from others by chance.
    latest: HashMap<String, u64>,
    /// Places that are being given up.
    leaving: HashSet<String>,
}

/// A call's place, from before it is taken.
pub struct Waiting {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    identities: Arc<[Id]>,
    lock: String,
    prefix: String,
    /// Once it is known.
    path: Option<String>,
    call: u64,
    is_over: bool,
}

impl Waiting {
    /// `None` while this place is being given up.
    pub fn begin(
        sessions: &Arc<Sessions>,
        writer: &Writer,
        lock: &str,
        prefix: &str,
    ) -> Option<Waiting> {
        let call = rand::rng().random();
        let place = below(lock, prefix);
        let mut calls = writer.session.waiting.lock();
        if calls.leaving.contains(&place) {
            return None;
        }
        calls.latest.insert(place, call);
        drop(calls);
        Some(Waiting {
            sessions: sessions.clone(),
            session: writer.session.clone(),
            identities: writer.identities.clone(),
            lock: lock.to_owned(),
            prefix: prefix.to_owned(),
            path: None,
            call,
            is_over: false,
        })
    }

    /// The place is taken, and this is its path.
    pub fn took(&mut self, path: String) {
        self.path = Some(path);
    }

    /// Empty before it is taken.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// The lock is held: no call gives the place up any more.
    pub fn succeed(&mut self) {
        self.is_over = true;
        let place = below(&self.lock, &self.prefix);
        self.session.waiting.lock().latest.remove(&place);
    }

    /// No place was taken that this call would give up.
    pub fn leave_alone(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.forget(false);
        }
    }

    pub async fn give_up(&mut self) -> Result<(), Failure> {
        let Some(leaving) = self.end() else {
            return Ok(());
        };
        // It goes on when whoever waits for it leaves.
        let left = tokio::spawn(leaving).await;
        left.unwrap_or_else(|error| Err(Failure::Internal(error.to_string())))
    }

    /// Whether this call was the latest for its place, which is forgotten then.
    fn forget(&self, is_left: bool) -> bool {
        let place = below(&self.lock, &self.prefix);
        let mut calls = self.session.waiting.lock();
        let is_latest = calls.latest.get(&place) == Some(&self.call);
        if is_latest {
            calls.latest.remove(&place);
            if is_left {
                calls.leaving.insert(place);
            }
        }
        is_latest
    }

    /// What gives the place up, if it is this call's to give up.
    fn end(&mut self) -> Option<impl Future<Output = Result<(), Failure>> + Send + 'static> {
        if std::mem::replace(&mut self.is_over, true) || !self.forget(true) {
            return None;
        }
        let (sessions, session) = (self.sessions.clone(), self.session.clone());
        let (identities, path) = (self.identities.clone(), self.path.take());
        let (lock, prefix) = (self.lock.clone(), self.prefix.clone());
        Some(async move {
            let leave = || async {
                let path = match &path {
                    Some(path) => Some(path.clone()),
                    None => {
                        // What was submitted before this is applied when this is answered.
                        session.caller.sync().await?;
                        find(&sessions, &lock, &prefix)
                    }
                };
                match path {
                    Some(path) => remove(&session, &identities, path).await,
                    None => Ok(()),
                }
            };
            let mut left = leave().await;
            for _ in 1..ATTEMPTS_MAX {
                if !matches!(left, Err(Failure::LimitReached { .. })) {
                    break;
                }
                tokio::time::sleep(RETRY).await;
                left = leave().await;
            }
            let place = below(&lock, &prefix);
            session.waiting.lock().leaving.remove(&place);
            left
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(leaving) = self.end() else { return };
        // Whoever asked has gone and hears nothing of it. A session that is not attached here any more
        // either has ended, or asks for its place elsewhere.
        tokio::spawn(async move {
            if let Err(failure) = leaving.await {
                tracing::debug!(%failure, "a place in a lock was not given up");
            }
        });
    }
}

/// The path of the place whose name begins so.
pub fn find(sessions: &Sessions, lock: &str, prefix: &str) -> Option<String> {
    let view = sessions.handle().read();
    let mut places = places::of(view.state().tree(), lock).into_iter();
    let found = places.find(|place| place.name.starts_with(prefix))?;
    Some(found.path)
}

async fn remove(session: &Session, identities: &Arc<[Id]>, path: String) -> Result<(), Failure> {
    let delete = Operation::Delete {
        path: path.clone(),
        version: -1,
    };
    match session.caller.write(identities, 0, vec![delete]).await? {
        Written::Refused(failure) if failure.refusal != Refusal::NoNode => {
            Err(Failure::of(failure.refusal, &path))
        }
        _ => Ok(()),
    }
}
