//! A session as its client knows it, and the member through which it is used.

use super::claimed::Finishing;
use super::claims::Claims;
use super::connections::Place;
use super::error::Error;
use super::tasks::Enqueuing;
use super::together::Together;
use super::window::Window;
use crate::api::SessionRef;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// A connection to a member.
pub struct Link {
    pub channel: Channel,
    /// On a connection that others share.
    pub place: Option<Place>,
    pub authorization: Option<MetadataValue<Ascii>>,
    /// Cancelled once it is given up: whoever waits for an answer through it asks again elsewhere.
    pub broken: CancellationToken,
}

impl Link {
    /// What comes of it over this connection, which nobody else is put on if the member did not answer.
    pub async fn judged<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = work.await;
        if done.as_ref().is_err_and(Error::is_passing) {
            self.distrust();
        }
        done
    }

    pub fn distrust(&self) {
        if let Some(place) = &self.place {
            place.give_up();
        }
    }

    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    /// What the call comes to, unless the link is given up first.
    pub async fn unless_broken<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = call => Ok(answer?.into_inner()),
            () = self.broken.cancelled() => Err(Error::Transport {
                code: Code::Unavailable,
                message: "the connection was given up".to_owned(),
            }),
        }
    }
}

/// Until when a session is known to live.
#[derive(Clone, Copy, Debug)]
struct Vouched {
    /// When the last sign of life was sent that was answered.
    sent: Instant,
    /// Past it nothing is known; `None` when that is so already.
    until: Option<Instant>,
}

/// See the module's text.
pub struct Session {
    pub reference: SessionRef,
    pub timeout: Duration,
    pub incarnation: i64,
    pub window: Window,
    pub claims: Claims,
    pub enqueuing: Together<Enqueuing>,
    pub finishing: Together<Finishing>,
    /// Cancelled when it is over.
    pub lost: CancellationToken,
    vouched: Mutex<Vouched>,
}

impl Session {
    pub fn new(reference: SessionRef, timeout: Duration, incarnation: i64) -> Session {
        Session {
            reference,
            timeout,
            incarnation,
            window: Window::new(),
            claims: Claims::default(),
            enqueuing: Together::new(),
            finishing: Together::new(),
            lost: CancellationToken::new(),
            vouched: Mutex::new(Vouched {
                sent: Instant::now(),
                until: None,
            }),
        }
    }

    /// A sign of life that was sent at `sent` has been answered just now.
    ///
    /// What is known holds for a third of the timeout from the answer, and for half of it from the sign: an
    /// answer that lay unread while this process was stopped is no news.
    pub fn vouch(&self, sent: Instant) {
        let until = (Instant::now() + self.timeout / 3).min(sent + self.timeout / 2);
        *self.vouched.lock() = Vouched {
            sent,
            until: Some(until),
        };
    }

    /// Nothing is known until the next answer.
    pub fn doubt(&self) {
        self.vouched.lock().until = None;
    }

    /// When it is suspended unless an answer comes.
    pub fn vouched_until(&self) -> Instant {
        let vouched = *self.vouched.lock();
        vouched.until.unwrap_or(vouched.sent)
    }

    /// When it has ended, whatever the ensemble knows, unless an answer comes.
    pub fn ends(&self) -> Instant {
        self.vouched.lock().sent + self.timeout
    }

    /// By this process' own clock, also when its tasks have not run for a while.
    pub fn is_known_to_live(&self) -> bool {
        let until = self.vouched.lock().until;
        !self.lost.is_cancelled() && until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_a_session_grows_old() {
        let timeout = Duration::from_secs(9);
        let session = Session::new(SessionRef::default(), timeout, 0);
        assert!(!session.is_known_to_live(), "nothing was answered yet");
        session.vouch(Instant::now());
        assert!(session.is_known_to_live());
        tokio::time::advance(timeout / 3).await;
        assert!(!session.is_known_to_live(), "a third went by");
        session.vouch(Instant::now() - Duration::from_millis(1));
        assert!(session.is_known_to_live());
        // The answer to a sign of long ago.
        session.vouch(Instant::now() - timeout / 2);
        assert!(!session.is_known_to_live());
        session.vouch(Instant::now());
        session.doubt();
        assert!(!session.is_known_to_live());
        assert_eq!(session.ends(), Instant::now() + timeout);
        session.vouch(Instant::now());
        session.lost.cancel();
        assert!(!session.is_known_to_live());
    }
}
