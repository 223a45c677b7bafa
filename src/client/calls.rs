//! Calls that outlive the member they were sent to.
//!
//! At all times: a call goes through the link of the moment; when that breaks, or its member cannot answer, it
//! is sent again as it was, until the time of the call is over.

use super::backoff::Backoff;
use super::error::Error;
use super::session::{Link, Session};
use super::shared::At;
use super::{Client, Reason};
use crate::api::{ReadOptions, WriteHeader};
use std::sync::Arc;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The end of a call's time; `None` for one that has as much as its session.
#[derive(Clone, Copy)]
pub struct Deadline(pub Option<Instant>);

impl Deadline {
    /// What `work` comes to in time; the error of one that is late otherwise.
    pub async fn of<T>(
        self,
        work: impl Future<Output = Result<T, Error>>,
        late: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        let Some(at) = self.0 else { return work.await };
        let done = tokio::time::timeout_at(at, work).await;
        done.unwrap_or_else(|_| Err(late()))
    }
}

pub(super) fn not_sent() -> Error {
    Error::TimedOut {
        sent: false,
        last: None,
    }
}

impl Client {
    pub(super) fn deadline(&self) -> Deadline {
        Deadline(Instant::now().checked_add(self.request_timeout))
    }

    pub(super) fn read_options(&self) -> ReadOptions {
        ReadOptions {
            linearizable: self.is_linearizable,
            not_before_zxid: self.shared.seen(),
        }
    }

    pub(super) fn saw(&self, zxid: i64) {
        self.shared.saw(zxid);
    }

    pub(super) fn without_fences(&self) -> Client {
        Client {
            fences: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn header(&self, session: &Session, number: u64) -> WriteHeader {
        WriteHeader {
            session: Some(session.reference.clone()),
            request_id: number,
            fences: self.fences.clone(),
        }
    }

    /// A call that may be made as often as it takes. With a session: only while that lives.
    pub(super) async fn call<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        session: Option<&Arc<Session>>,
        message: impl Fn() -> M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Error> {
        self.call_until(self.deadline(), session, message, send)
            .await
    }

    pub(super) async fn call_until<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        deadline: Deadline,
        session: Option<&Arc<Session>>,
        message: impl Fn() -> M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Error> {
        let mut backoff = Backoff::new();
        let mut last: Option<Box<Error>> = None;
        let mut sent = false;
        loop {
            let late = || Error::TimedOut {
                sent,
                last: last.clone(),
            };
            let (_, link) = deadline.of(self.link(session), late).await?;
            sent = true;
            let late = || Error::TimedOut {
                sent,
                last: last.clone(),
            };
            let answer = link.unless_broken(send(link.channel.clone(), link.request(message())));
            let error = match deadline.of(answer, late).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_session_over() => return Err(Error::SessionLost),
                Err(error) if error.is_passing() || self.is_behind(&error) => error,
                Err(error) => return Err(error),
            };
            let pause = async {
                tokio::time::sleep(backoff.next()).await;
                Ok(())
            };
            last = Some(Box::new(error));
            let late = || Error::TimedOut {
                sent,
                last: last.clone(),
            };
            deadline.of(pause, late).await?;
        }
    }

    /// A member that has not come to what this client has seen elsewhere: it will, or another one has. One that
    /// has is right to refuse a zxid that is none yet.
    pub(super) fn is_behind(&self, error: &Error) -> bool {
        let Error::Refused(refusal) = error else {
            return false;
        };
        let reached = refusal.details.get("zxid");
        let reached = reached.and_then(|zxid| zxid.parse().ok());
        refusal.reason == Reason::FromTheFuture
            && reached.is_none_or(|reached: i64| reached < self.shared.seen())
    }

    /// A write, which takes effect once however often it is sent.
    pub(super) async fn write<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        message: impl Fn(WriteHeader) -> M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Error> {
        let deadline = self.deadline();
        let session = self.session_until(deadline).await?;
        self.write_for(&session, deadline, message, send).await
    }

    /// A write of this session and of no later one.
    pub(super) async fn write_for<M, T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        session: &Arc<Session>,
        deadline: Deadline,
        message: impl Fn(WriteHeader) -> M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Error> {
        let number = async { Ok(session.window.number().await) };
        let number = deadline.of(number, not_sent).await?;
        let header = self.header(session, number.value);
        let message = || message(header.clone());
        self.call_until(deadline, Some(session), message, send)
            .await
    }

    /// The session, once there is one that is known to live.
    pub(super) async fn session_until(&self, deadline: Deadline) -> Result<Arc<Session>, Error> {
        let (session, _) = deadline.of(self.link(None), not_sent).await?;
        Ok(session)
    }

    /// Where calls go, once they go anywhere.
    pub(super) async fn link(
        &self,
        wanted: Option<&Arc<Session>>,
    ) -> Result<(Arc<Session>, Arc<Link>), Error> {
        let mut at = self.shared.at.subscribe();
        loop {
            match &*at.borrow_and_update() {
                At::Over(error) => return Err(error.clone()),
                At::Lost if wanted.is_some() => return Err(Error::SessionLost),
                At::Lost => {}
                At::Attached(session, _) | At::Suspended(session)
                    if wanted.is_some_and(|wanted| !Arc::ptr_eq(wanted, session)) =>
                {
                    return Err(Error::SessionLost);
                }
                At::Attached(session, link) => return Ok((session.clone(), link.clone())),
                At::Suspended(_) => {}
            }
            at.changed().await.map_err(|_| Error::Closed)?;
        }
    }
}
