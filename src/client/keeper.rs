//! The task that keeps a client's session alive, whatever the client itself does.
//!
//! Owns: the stream of signs of life, and where calls go.
//! At all times: while the session is attached, an answer came of late; as soon as that is not so, calls go
//! nowhere until a member has said that the session lives. A session that may have ended by this process' own
//! clock is never taken up again.
//!
//! ```text
//!          answers come            no answer for a third of the timeout, or the stream broke
//!   ┌──── CONNECTED / RECONNECTED ─────────────────────────▶ SUSPENDED ──┐ next member, and the next …
//!   │              ▲                 a member answers          │         │
//!   │              └───────────────────────────────────────────┤◀────────┘
//!   │ SESSION_EXPIRED                  SESSION_EXPIRED, or the timeout has gone by
//!   └────────────────────▶ LOST ◀──────────────────────────────┘
//! ```

use super::backoff::Backoff;
use super::error::{Error, Tried};
use super::options::ClientOptions;
use super::session::{Link, Session};
use super::shared::{At, Shared};
use super::state::ConnectionState;
use crate::api::session_service_client::SessionServiceClient;
use crate::api::{KeepAliveRequest, KeepAliveResponse, OpenRequest};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};

/// How long one member is given to take a connection, and then to take a session: a part of the timeout
/// within these bounds.
const ATTEMPTS_PER_TIMEOUT: u32 = 6;
const ATTEMPT_MIN: Duration = Duration::from_millis(250);
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// Signs of life that are under way.
const SIGNS_MAX: usize = 16;

/// A session at a member.
pub struct Kept {
    pub session: Arc<Session>,
    pub link: Arc<Link>,
    signs: mpsc::Sender<KeepAliveRequest>,
    answers: Streaming<KeepAliveResponse>,
    /// When the signs were sent that are not answered yet, the oldest first.
    sent: VecDeque<(u64, Instant)>,
    sequence: u64,
}

/// Why a stream of signs of life is over.
enum End {
    Broken(Error),
    Expired,
}

/// Keeps the session, and those after it, until the client stops.
pub async fn run(shared: Arc<Shared>, kept: Kept) {
    let stop = shared.stop.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = keep_on(&shared, kept) => {}
    }
}

async fn keep_on(shared: &Arc<Shared>, mut kept: Kept) {
    loop {
        let end = kept.keep(shared).await;
        let session = kept.session.clone();
        if matches!(end, End::Broken(_)) {
            kept.link.distrust();
        }
        drop(kept);
        let again = match end {
            End::Broken(why) => {
                tracing::debug!(session = session.reference.id, %why, "session suspended");
                shared.suspended(session.clone());
                reattach(shared, &session).await
            }
            End::Expired => None,
        };
        kept = match again {
            Some(kept) => {
                shared.attached(
                    kept.session.clone(),
                    kept.link.clone(),
                    ConnectionState::Reconnected,
                );
                kept
            }
            None if shared.closing.load(Ordering::SeqCst) => {
                shared.lost(&session, At::Over(Error::Closed));
                return;
            }
            None => {
                let reopen = shared.options.reopen;
                let then = if reopen {
                    At::Lost
                } else {
                    At::Over(Error::SessionLost)
                };
                tracing::warn!(session = session.reference.id, reopen, "session lost");
                shared.lost(&session, then);
                if !reopen {
                    return;
                }
                let kept = open_at_last(shared).await;
                shared.attached(
                    kept.session.clone(),
                    kept.link.clone(),
                    ConnectionState::Connected,
                );
                kept
            }
        };
    }
}

impl Kept {
    async fn keep(&mut self, shared: &Shared) -> End {
        let heartbeat = shared.options.heartbeat_for(self.session.timeout);
        let mut next = Instant::now() + heartbeat;
        loop {
            tokio::select! {
                biased;
                answer = self.answers.message() => match answer {
                    Ok(Some(answer)) => self.answered(shared, &answer),
                    Ok(None) => return End::Broken(Error::protocol("the stream ended")),
                    Err(status) => {
                        let error = Error::from(status);
                        return if error.is_session_over() { End::Expired } else { End::Broken(error) };
                    }
                },
                () = sleep_until(self.session.vouched_until()) => {
                    return End::Broken(Error::protocol("no answer for a third of the timeout"));
                }
                () = sleep_until(next) => {
                    next = Instant::now() + heartbeat;
                    self.give_sign();
                }
            }
        }
    }

    fn give_sign(&mut self) {
        if self.sent.len() >= SIGNS_MAX {
            // Nobody answers; the silence will be noticed.
            return;
        }
        self.sequence += 1;
        let sign = KeepAliveRequest {
            session: None,
            sequence: self.sequence,
        };
        let now = Instant::now();
        if self.signs.try_send(sign).is_ok() {
            self.sent.push_back((self.sequence, now));
        }
    }

    /// Every answer is to one sign; those before it were heard too.
    fn answered(&mut self, shared: &Shared, answer: &KeepAliveResponse) {
        shared.saw(answer.zxid);
        while let Some((sequence, sent)) = self.sent.pop_front_if(|(n, _)| *n <= answer.sequence) {
            if sequence == answer.sequence {
                self.session.vouch(sent);
            }
        }
    }
}

/// The session at another member, or at the same one again; `None` when it is over.
async fn reattach(shared: &Shared, session: &Arc<Session>) -> Option<Kept> {
    let ends = session.ends();
    let mut backoff = Backoff::within(session.timeout);
    let trying = async {
        loop {
            let member = shared.next_endpoint();
            let attempt = attempt_time(session.timeout);
            let tried = async {
                let link = dial(shared, member, attempt).await?;
                let attached = attach(shared, session, &link, attempt);
                link.judged(attached).await
            };
            match tried.await {
                Ok(kept) => return Some(kept),
                Err(error) if error.is_session_over() => return None,
                Err(error) => tracing::debug!(%error, "a member did not take the session"),
            }
            sleep(backoff.next()).await;
        }
    };
    tokio::time::timeout_at(ends, trying).await.ok().flatten()
}

/// A new session, whenever there is one to be had.
async fn open_at_last(shared: &Shared) -> Kept {
    let mut backoff = Backoff::new();
    loop {
        let member = shared.next_endpoint();
        match open(shared, member).await {
            Ok(kept) => return kept,
            Err(error) => tracing::debug!(%error, "a member did not open a session"),
        }
        sleep(backoff.next()).await;
    }
}

/// A first session. Who asks is there to be told why it is not to be had.
pub async fn open_first(shared: &Shared) -> Result<Kept, Error> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut backoff = Backoff::new();
    let trying = async {
        loop {
            let (text, endpoint) = shared.next_endpoint();
            match open(shared, (text, endpoint)).await {
                Ok(kept) => return Ok(kept),
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => {
                    tried.retain(|other| other.endpoint != text);
                    tried.push(Tried {
                        endpoint: text.to_owned(),
                        why: error.to_string(),
                    });
                }
            }
            sleep(backoff.next()).await;
        }
    };
    let opened = timeout(shared.options.connect_timeout, trying).await;
    opened.unwrap_or_else(|_| Err(unreachable(shared, tried)))
}

fn unreachable(shared: &Shared, mut tried: Vec<Tried>) -> Error {
    for (text, _) in &shared.endpoints {
        if !tried.iter().any(|tried| &tried.endpoint == text) {
            tried.push(Tried {
                endpoint: text.clone(),
                why: "no answer in time".to_owned(),
            });
        }
    }
    Error::Unreachable(tried)
}

async fn open(shared: &Shared, member: (&str, &Endpoint)) -> Result<Kept, Error> {
    let attempt = attempt_time(shared.options.timeout);
    let link = dial(shared, member, attempt).await?;
    link.judged(open_over(shared, &link)).await
}

async fn open_over(shared: &Shared, link: &Arc<Link>) -> Result<Kept, Error> {
    let options = &shared.options;
    let request = link.request(OpenRequest {
        timeout_ms: ClientOptions::ms(options.timeout),
        heartbeat_interval_ms: options.heartbeat.map_or(0, ClientOptions::ms),
        client_id: options.client_id.clone(),
    });
    let mut sessions = SessionServiceClient::new(link.channel.clone());
    // An election may be going on: a session that is given up here would stay until it expires.
    let opened = in_time(ATTEMPT_MAX, async { Ok(sessions.open(request).await?) }).await?;
    let opened = opened.into_inner();
    shared.saw(opened.zxid);
    let reference = opened.session;
    let reference = reference.ok_or_else(|| Error::protocol("a session without a name"))?;
    let timeout = Duration::from_millis(opened.timeout_ms.max(1).into());
    let session = Arc::new(Session::new(reference, timeout, opened.incarnation));
    attach(shared, &session, link, ATTEMPT_MAX).await
}

async fn dial(
    shared: &Shared,
    (text, endpoint): (&str, &Endpoint),
    attempt: Duration,
) -> Result<Arc<Link>, Error> {
    let endpoint = endpoint.clone().connect_timeout(attempt).tcp_nodelay(true);
    // Also for names that nobody resolves and for members that take the connection and say nothing.
    let connect = async {
        endpoint.connect().await.map_err(|error| Error::Transport {
            code: Code::Unavailable,
            message: with_causes(&error),
        })
    };
    let (channel, place) = match &shared.options.connections {
        None => (in_time(attempt, connect).await?, None),
        Some(connections) => {
            let placed = connections.place(text, connect);
            let (channel, place) = in_time(attempt, placed).await?;
            (channel, Some(place))
        }
    };
    Ok(Arc::new(Link {
        channel,
        place,
        authorization: shared.authorization.clone(),
        broken: CancellationToken::new(),
    }))
}

/// Has the member keep the session, and waits until it says that it lives.
async fn attach(
    shared: &Shared,
    session: &Arc<Session>,
    link: &Arc<Link>,
    attempt: Duration,
) -> Result<Kept, Error> {
    let (signs, sent) = mpsc::channel(SIGNS_MAX);
    let now = Instant::now();
    let first = KeepAliveRequest {
        session: Some(session.reference.clone()),
        sequence: 1,
    };
    // The channel is empty and has its receiver.
    let _ = signs.try_send(first);
    let request = link.request(ReceiverStream::new(sent));
    let mut sessions = SessionServiceClient::new(link.channel.clone());
    let (answers, first) = in_time(attempt, async {
        let mut answers = sessions.keep_alive(request).await?.into_inner();
        let first = answers.message().await?;
        let first = first.ok_or_else(|| Error::protocol("the stream ended"))?;
        Ok((answers, first))
    })
    .await?;
    let mut kept = Kept {
        session: session.clone(),
        link: link.clone(),
        signs,
        answers,
        sent: VecDeque::from([(1, now)]),
        sequence: 1,
    };
    kept.answered(shared, &first);
    Ok(kept)
}

async fn in_time<T>(
    time: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(time, work).await.unwrap_or_else(|_| {
        Err(Error::Transport {
            code: Code::Unavailable,
            message: format!("no answer within {time:?}"),
        })
    })
}

fn attempt_time(session: Duration) -> Duration {
    (session / ATTEMPTS_PER_TIMEOUT).clamp(ATTEMPT_MIN, ATTEMPT_MAX)
}

/// "transport error" alone helps nobody.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
