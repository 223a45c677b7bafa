//! The change log: what happened under some paths, each transaction once and in order, through whatever member
//! answers.
//!
//! Owns: how far a subscriber has come, and what a snapshot that it was told has already.
//! At all times: a subscriber goes on after the last thing it was given and nothing else, so what lay unread in a
//! stream that broke is told by the next one. Nothing is fetched ahead of who takes it, but for what the
//! HTTP/2 window of its stream holds (256 KiB): a slow subscriber costs the member a place in its log, this process
//! that much memory, and neither the session nor other calls anything.
//!
//! ```text
//!   snapshot_begin 40 · entries, read one after the other while writes go on · snapshot_end 40, through 43
//!   41 42 43   where an entry may have it already: left out here, because another member's stream does not
//!   44 …       told as they are
//! ```
//!
//! Rules from: docs/native-api.md.

use super::backoff::Backoff;
use super::error::{Error, Reason};
use super::seen::Seen;
use super::session::Link;
use super::{Client, Entry};
use crate::api::change_log_service_client::ChangeLogServiceClient;
use crate::api::subscribe_response::Message;
use crate::api::{
    AcknowledgeRequest, ChangeLogStatusRequest, ChangeLogStatusResponse, DeleteCursorRequest,
    GetCursorRequest, OnCompacted, QueryRequest, SubscribeRequest, SubscribeResponse, Transaction,
    subscribe_request,
};
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold, unfold};
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use tonic::transport::Channel;

/// Bytes of one message: a transaction of the largest writes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// From where on a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// What happens from now on; it may begin with what happened just before.
    Now,
    /// All that happened after this zxid.
    After(i64),
    /// After what was acknowledged under this name ([`Changes::acknowledge`]); what is there now, where nothing
    /// ever was.
    Subscriber(String),
    /// What is there now, and then what happens.
    Snapshot,
}

/// What somebody wants to be told. Begin with [`Interest::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// 1 to 64 paths; each stands for itself and for all below it.
    pub prefixes: Vec<String>,
    pub start: Start,
    /// Whether a start that is not kept any more is made up for with what is there now. Without, it is
    /// `COMPACTED`, and so is the end of a stream that is left too far behind.
    pub or_snapshot: bool,
}

impl Interest {
    /// In what happens from now on.
    pub fn new<P: Into<String>>(prefixes: impl IntoIterator<Item = P>) -> Interest {
        Interest {
            prefixes: prefixes.into_iter().map(Into::into).collect(),
            start: Start::Now,
            or_snapshot: true,
        }
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// One write with all its changes under the prefixes.
    Transaction(Transaction),
    /// What is there now follows. `compacted`: what happened since the start, or since the last event, is not
    /// kept any more, and what the subscriber knows and is not told again is gone. Where another one comes
    /// before the end, it begins anew, because its member failed.
    SnapshotBegin {
        zxid: i64,
        compacted: bool,
    },
    Entry(Box<Entry>),
    SnapshotEnd {
        zxid: i64,
    },
    /// Nothing happened under the prefixes up to here. Comes every few seconds, and whenever another member goes
    /// on.
    Progress {
        zxid: i64,
    },
}

/// What happened, by path and time. Begin with [`Query::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// 1 to 64 paths; each stands for itself and for all below it.
    pub prefixes: Vec<String>,
    /// Both included, in milliseconds since 1970, by the leaders' clocks.
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Transactions of one page, 1 to 1,000; 0: 100.
    pub page_size: u32,
}

impl Query {
    pub fn new<P: Into<String>>(prefixes: impl IntoIterator<Item = P>) -> Query {
        Query {
            prefixes: prefixes.into_iter().map(Into::into).collect(),
            from_ms: None,
            to_ms: None,
            page_size: 0,
        }
    }
}

/// A part of what a query finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub transactions: Vec<Transaction>,
    /// Where the next one begins; `None` on the last one. A page may be empty and not the last.
    pub next: Option<String>,
    /// The member that answered keeps everything from this zxid on, and nothing before it.
    pub first_zxid: i64,
}

/// See the module's text.
#[derive(Clone)]
pub struct Changes {
    client: Client,
}

impl Changes {
    pub(super) fn new(client: Client) -> Changes {
        Changes { client }
    }

    fn service(channel: Channel) -> ChangeLogServiceClient<Channel> {
        ChangeLogServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Subscribes, and goes on through other members when one fails, until it is dropped.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use vivarium::client::{Event, Interest, Start};
    ///
    /// let changes = client.changes();
    /// let mut subscription = changes
    ///     .subscribe(Interest {
    ///         start: Start::Subscriber("billing".to_owned()),
    ///         ..Interest::new(["/jobs"])
    ///     })
    ///     .await?;
    /// loop {
    ///     match subscription.next().await? {
    ///         Event::Transaction(told) => {
    ///             for change in &told.changes {
    ///                 println!("{:#x} {:?} {}", told.zxid, change.kind(), change.path);
    ///             }
    ///             changes.acknowledge("billing", told.zxid).await?;
    ///         }
    ///         Event::SnapshotBegin { compacted, .. } => println!("anew, a gap: {compacted}"),
    ///         Event::Entry(entry) => println!("there is {}", entry.path),
    ///         Event::SnapshotEnd { zxid } => {
    ///             changes.acknowledge("billing", zxid).await?;
    ///         }
    ///         Event::Progress { .. } => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// `INVALID_PATH`, `INVALID_ARGUMENT`; `FROM_THE_FUTURE` for a start that the ensemble has not come to;
    /// `COMPACTED` without `or_snapshot`; `LIMIT_REACHED` where the member has as many subscriptions as it may.
    pub async fn subscribe(&self, interest: Interest) -> Result<Subscription, Error> {
        let start = match interest.start {
            Start::Now => {
                // A start with a name: whoever loses the first stream knows where it was.
                let last = self.status().await?.last_zxid;
                From::After(last.max(self.client.shared.seen()))
            }
            Start::After(zxid) => From::After(zxid),
            Start::Subscriber(name) => From::Subscriber(name),
            Start::Snapshot => From::Snapshot { compacted: false },
        };
        let mut subscription = Subscription {
            client: self.client.clone(),
            prefixes: interest.prefixes,
            or_snapshot: interest.or_snapshot,
            from: start,
            told: 0,
            seen: Seen::default(),
            open: None,
            backoff: Backoff::new(),
            retry_at: None,
            refused_since: None,
            ended: None,
        };
        let deadline = self.client.deadline();
        let mut last: Option<Box<Error>> = None;
        loop {
            let late = || Error::TimedOut {
                sent: false,
                last: last.clone(),
            };
            match deadline.of(subscription.open(), late).await {
                Ok(()) => return Ok(subscription),
                Err(error) if error.is_passing() || self.client.is_behind(&error) => {
                    subscription.try_later();
                    last = Some(Box::new(error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Notes that a named subscriber has dealt with everything up to a zxid, and tells what is noted now: never
    /// less than before.
    ///
    /// # Errors
    /// `FROM_THE_FUTURE`; `INVALID_ARGUMENT` for a name that is empty or has more than 256 characters.
    pub async fn acknowledge(&self, subscriber: &str, zxid: i64) -> Result<i64, Error> {
        let answer = self.client.write(
            |header| AcknowledgeRequest {
                header: Some(header),
                subscriber: subscriber.to_owned(),
                zxid,
            },
            |channel, request| async move { Self::service(channel).acknowledge(request).await },
        );
        Ok(answer.await?.zxid)
    }

    /// What a named subscriber acknowledged last; 0 if it never did.
    pub async fn acknowledged(&self, subscriber: &str) -> Result<i64, Error> {
        let answer = self.client.call(
            None,
            || GetCursorRequest {
                subscriber: subscriber.to_owned(),
            },
            |channel, request| async move { Self::service(channel).get_cursor(request).await },
        );
        Ok(answer.await?.zxid)
    }

    /// Forgets a named subscriber. That there is none is no error.
    pub async fn forget(&self, subscriber: &str) -> Result<(), Error> {
        let answer = self.client.write(
            |header| DeleteCursorRequest {
                header: Some(header),
                subscriber: subscriber.to_owned(),
            },
            |channel, request| async move { Self::service(channel).delete_cursor(request).await },
        );
        answer.await.map(drop)
    }

    /// What the query finds, the oldest first, page by page as it is taken. It reaches as far back as the members
    /// that answer do, which [`Changes::page`] tells.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use futures::TryStreamExt;
    /// use vivarium::client::Query;
    ///
    /// let mut found = client.changes().query(Query::new(["/nodes/worker-7:1234"]));
    /// while let Some(transaction) = found.try_next().await? {
    ///     println!("{} by {:#x}", transaction.time_ms, transaction.session_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn query(&self, query: Query) -> BoxStream<'static, Result<Transaction, Error>> {
        let changes = self.clone();
        let pages = try_unfold(Some(None::<String>), move |token| {
            let (changes, query) = (changes.clone(), query.clone());
            async move {
                let Some(token) = token else {
                    return Ok::<_, Error>(None);
                };
                let page = changes.page(&query, token.as_deref()).await?;
                Ok(Some((page.transactions, page.next.map(Some))))
            }
        });
        super::registry::flat(pages)
    }

    /// One page of it: the first, or the one that a page before it told of.
    ///
    /// # Errors
    /// `INVALID_PATH`, `INVALID_ARGUMENT`.
    pub async fn page(&self, query: &Query, token: Option<&str>) -> Result<Page, Error> {
        let answer = self.client.call(
            None,
            || QueryRequest {
                prefixes: query.prefixes.clone(),
                from_ms: query.from_ms,
                to_ms: query.to_ms,
                page_size: query.page_size,
                page_token: token.unwrap_or_default().to_owned(),
            },
            |channel, request| async move { Self::service(channel).query(request).await },
        );
        let answer = answer.await?;
        Ok(Page {
            transactions: answer.transactions,
            next: super::registry::following(answer.next_page_token),
            first_zxid: answer.first_zxid,
        })
    }

    /// What is kept at the member that answers.
    pub async fn status(&self) -> Result<ChangeLogStatusResponse, Error> {
        let answer = self.client.call(
            None,
            || ChangeLogStatusRequest {},
            |channel, request| async move { Self::service(channel).status(request).await },
        );
        answer.await
    }
}

/// Where the next stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    After(i64),
    Subscriber(String),
    Snapshot { compacted: bool },
}

struct Open {
    link: Arc<Link>,
    messages: Streaming<SubscribeResponse>,
    /// No snapshot may be older than what this client had seen before it asked for it.
    floor: i64,
}

/// What one subscriber is told, until this is dropped.
pub struct Subscription {
    client: Client,
    prefixes: Vec<String>,
    or_snapshot: bool,
    from: From,
    /// The last zxid up to which everything was told.
    told: i64,
    seen: Seen,
    open: Option<Open>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Since when members refuse to go on.
    refused_since: Option<Instant>,
    ended: Option<Error>,
}

impl Subscription {
    /// What comes next. Waits while no member serves. A call that is given up loses nothing: `select!` may drop
    /// it. After an error there is only that error.
    ///
    /// # Errors
    /// `COMPACTED` without `or_snapshot`; [`Error::Closed`], and [`Error::SessionLost`] for a client that opens no
    /// new session; whatever else does not pass within the client's request timeout, as `FROM_THE_FUTURE` from an
    /// ensemble that was set back, or `LIMIT_REACHED`.
    pub async fn next(&mut self) -> Result<Event, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        loop {
            let happened = match &mut self.open {
                Some(open) => match open.message().await {
                    Ok(message) => self.take(message),
                    Err(error) => Err(error),
                },
                None => {
                    let opened = self.open().await;
                    opened.map(|()| self.position().map(|zxid| Event::Progress { zxid }))
                }
            };
            match happened {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) if self.goes_on_after(&error) => {
                    tracing::debug!(%error, "the changes are subscribed to anew");
                    self.try_later();
                }
                Err(error) => {
                    self.open = None;
                    self.ended = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// All that happened up to here was told; `None` within a snapshot.
    pub fn position(&self) -> Option<i64> {
        matches!(self.from, From::After(_)).then_some(self.told)
    }

    /// As a stream that ends with its first error.
    pub fn into_stream(self) -> BoxStream<'static, Result<Event, Error>> {
        unfold(Some(self), |subscription| async move {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(event) => Some((Ok(event), Some(subscription))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// Whether a member tells what happens, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| !open.link.broken.is_cancelled())
    }

    fn try_later(&mut self) {
        self.open = None;
        self.retry_at = Some(Instant::now() + self.backoff.next());
    }

    /// What becomes of a stream that broke, or could not be had again.
    fn goes_on_after(&mut self, error: &Error) -> bool {
        match error.reason() {
            // It was too slow: the next stream begins with what there is.
            Some(Reason::Compacted) => self.or_snapshot,
            Some(Reason::FromTheFuture | Reason::LimitReached) => {
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                since.elapsed() < self.client.request_timeout
            }
            _ => error.is_passing(),
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
            self.retry_at = None;
        }
        let (_, link) = self.client.link(None).await?;
        let floor = match self.from {
            From::Snapshot { .. } => self.client.shared.seen().max(self.told),
            From::After(zxid) => zxid,
            From::Subscriber(_) => 0,
        };
        let request = link.request(SubscribeRequest {
            prefixes: self.prefixes.clone(),
            start: Some(match &self.from {
                From::After(zxid) => subscribe_request::Start::After(*zxid),
                From::Subscriber(name) => subscribe_request::Start::Subscriber(name.clone()),
                From::Snapshot { .. } => subscribe_request::Start::Snapshot(true),
            }),
            on_compacted: match self.or_snapshot {
                true => OnCompacted::Snapshot.into(),
                false => OnCompacted::Fail.into(),
            },
        });
        let mut service = Changes::service(link.channel.clone());
        let messages = link.unless_broken(service.subscribe(request)).await?;
        if let From::After(zxid) = self.from {
            self.told = zxid;
        }
        self.open = Some(Open {
            link,
            messages,
            floor,
        });
        Ok(())
    }

    /// What a message means, and where the next stream begins from now on.
    fn take(&mut self, message: Message) -> Result<Option<Event>, Error> {
        let event = match message {
            Message::SnapshotBegin(begin) => {
                let floor = self.open.as_ref().map_or(0, |open| open.floor);
                if begin.zxid < floor {
                    return Err(Error::protocol("the member is behind"));
                }
                let again = matches!(self.from, From::Snapshot { compacted: true });
                let compacted = begin.compacted || again;
                self.from = From::Snapshot { compacted };
                self.seen = Seen::default();
                let zxid = begin.zxid;
                Some(Event::SnapshotBegin { zxid, compacted })
            }
            Message::Entry(entry) => {
                self.seen.insert(&entry.path, entry.modified_zxid);
                Some(Event::Entry(Box::new(entry)))
            }
            Message::SnapshotEnd(end) => {
                self.seen.is_through(end.through_zxid);
                self.came_to(end.zxid);
                Some(Event::SnapshotEnd { zxid: end.zxid })
            }
            _ if matches!(self.from, From::Snapshot { .. }) => {
                return Err(Error::protocol("a snapshot without its end"));
            }
            Message::Progress(progress) => {
                self.came_to(progress.zxid.max(self.told));
                self.seen.came_to(self.told);
                let zxid = self.told;
                Some(Event::Progress { zxid })
            }
            Message::Transaction(told) if told.zxid <= self.told => None,
            Message::Transaction(mut told) => {
                self.seen.leave_out(&mut told);
                self.came_to(told.zxid);
                (!told.changes.is_empty()).then_some(Event::Transaction(told))
            }
        };
        self.backoff = Backoff::new();
        self.refused_since = None;
        Ok(event)
    }

    fn came_to(&mut self, zxid: i64) {
        self.told = zxid;
        self.from = From::After(zxid);
        self.client.saw(zxid);
    }
}

impl Open {
    async fn message(&mut self) -> Result<Message, Error> {
        let message = async { self.messages.message().await.map(tonic::Response::new) };
        let message = self.link.unless_broken(message).await?;
        message
            .and_then(|message| message.message)
            .ok_or_else(|| Error::protocol("the stream ended"))
    }
}
