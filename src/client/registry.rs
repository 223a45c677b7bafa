//! Entries: registered, kept up to date, found.

use super::Client;
use super::children::ChildrenWatch;
use super::error::Error;
use crate::api::registry_service_client::RegistryServiceClient;
use crate::api::{
    ChildrenRequest, Entry, ExistsRequest, GetRequest, JobInfo, Lifetime, ListRequest, NodeInfo,
    OnConflict, RegisterRequest, UnregisterRequest, UpdateRequest, register_request,
    update_request,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use std::time::Duration;
use tonic::transport::Channel;

/// Bytes of an answer: a page of entries, or one large value.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bytes(Bytes),
    /// Kept as a JSON object, so that every client reads it.
    Node(NodeInfo),
    /// Kept as a JSON object.
    Job(JobInfo),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Bytes(text.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes.into())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<NodeInfo> for Value {
    fn from(node: NodeInfo) -> Value {
        Value::Node(node)
    }
}

impl From<JobInfo> for Value {
    fn from(job: JobInfo) -> Value {
        Value::Job(job)
    }
}

/// How an entry is registered. Begin with [`Registration::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub path: String,
    pub value: Value,
    /// With the session, unless it is to be [`Lifetime::Persistent`].
    pub lifetime: Lifetime,
    /// Taken over from an earlier run of this client, unless something else is asked for.
    pub on_conflict: OnConflict,
    /// Only who has proven the same identity may read, change or remove it.
    pub private: bool,
}

impl Registration {
    pub fn new(path: impl Into<String>, value: impl Into<Value>) -> Registration {
        Registration {
            path: path.into(),
            value: value.into(),
            lifetime: Lifetime::Session,
            on_conflict: OnConflict::Unspecified,
            private: false,
        }
    }
}

/// What a registration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub zxid: i64,
    /// False where it was there and has a new value now, and where `replayed`.
    pub created: bool,
    /// Whether another session had it.
    pub taken_over: bool,
    /// Whether it had been done by an earlier attempt, whose answer was lost.
    pub replayed: bool,
}

/// See the module's text.
#[derive(Clone)]
pub struct Registry {
    pub(super) client: Client,
}

impl Registry {
    pub(super) fn new(client: Client) -> Registry {
        Registry { client }
    }

    pub(super) fn service(channel: Channel) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Makes an entry be there with this value, for as long as the session lives. Missing parents are made.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use vivarium::client::NodeInfo;
    ///
    /// let node = NodeInfo {
    ///     hostname: Some("worker-7".to_owned()),
    ///     port: Some(1234),
    ///     ..NodeInfo::default()
    /// };
    /// client.registry().register("/nodes/worker-7:1234", node).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ALREADY_REGISTERED` where another session has it; `KIND_MISMATCH` where it is persistent.
    pub async fn register(&self, path: &str, value: impl Into<Value>) -> Result<Registered, Error> {
        self.register_as(Registration::new(path, value)).await
    }

    /// As [`Registry::register`], in every detail as asked for.
    pub async fn register_as(&self, wanted: Registration) -> Result<Registered, Error> {
        let payload = match wanted.value {
            Value::Bytes(bytes) => register_request::Payload::Value(bytes),
            Value::Node(node) => register_request::Payload::Node(node),
            Value::Job(job) => register_request::Payload::Job(job),
        };
        let request = RegisterRequest {
            header: None,
            path: wanted.path,
            payload: Some(payload),
            lifetime: wanted.lifetime.into(),
            on_conflict: wanted.on_conflict.into(),
            private: wanted.private,
        };
        let answer = self.client.write(
            |header| RegisterRequest {
                header: Some(header),
                ..request.clone()
            },
            |channel, request| async move { Self::service(channel).register(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        Ok(Registered {
            zxid: answer.zxid,
            created: answer.created,
            taken_over: answer.taken_over,
            replayed: answer.replayed,
        })
    }

    /// Removes an entry; how many are gone, or 0 where an earlier attempt whose answer was lost had removed
    /// them. That there is none is no error.
    ///
    /// # Errors
    /// `VERSION_MISMATCH` where it has another version than is demanded.
    pub async fn unregister(&self, path: &str, version: Option<i32>) -> Result<u32, Error> {
        self.remove(path, false, version).await
    }

    /// As [`Registry::unregister`], with everything below it, 10,000 entries at most.
    pub async fn unregister_all(&self, path: &str) -> Result<u32, Error> {
        self.remove(path, true, None).await
    }

    async fn remove(
        &self,
        path: &str,
        recursive: bool,
        version: Option<i32>,
    ) -> Result<u32, Error> {
        let answer = self.client.write(
            |header| UnregisterRequest {
                header: Some(header),
                path: path.to_owned(),
                recursive,
                version,
            },
            |channel, request| async move { Self::service(channel).unregister(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        Ok(answer.removed)
    }

    /// Sets the value of an entry that is there; the version that it has now, or `None` where an earlier
    /// attempt whose answer was lost had set it.
    ///
    /// # Errors
    /// `NO_ENTRY`; `VERSION_MISMATCH` where it has another version than is demanded.
    pub async fn update(
        &self,
        path: &str,
        value: impl Into<Value>,
        version: Option<i32>,
    ) -> Result<Option<i32>, Error> {
        let payload = match value.into() {
            Value::Bytes(bytes) => update_request::Payload::Value(bytes),
            Value::Node(node) => update_request::Payload::Node(node),
            Value::Job(job) => update_request::Payload::Job(job),
        };
        let answer = self.client.write(
            |header| UpdateRequest {
                header: Some(header),
                path: path.to_owned(),
                payload: Some(payload.clone()),
                version,
            },
            |channel, request| async move { Self::service(channel).update(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        Ok((!answer.replayed).then_some(answer.version))
    }

    /// # Errors
    /// `NO_ENTRY`; `ACCESS_DENIED`.
    pub async fn get(&self, path: &str) -> Result<Entry, Error> {
        let answer = self.client.call(
            None,
            || GetRequest {
                path: path.to_owned(),
                read: Some(self.client.read_options()),
            },
            |channel, request| async move { Self::service(channel).get(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        let entry = answer.entry;
        entry.ok_or_else(|| Error::protocol("an answer without its entry"))
    }

    pub async fn exists(&self, path: &str) -> Result<bool, Error> {
        let answer = self.client.call(
            None,
            || ExistsRequest {
                path: path.to_owned(),
                read: Some(self.client.read_options()),
            },
            |channel, request| async move { Self::service(channel).exists(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.zxid);
        Ok(answer.exists)
    }

    /// The names of the entries right below a path, ascending by their bytes, page by page as they are taken.
    pub fn children(&self, path: &str) -> BoxStream<'static, Result<String, Error>> {
        let (registry, path) = (self.clone(), path.to_owned());
        let pages = try_unfold(Some(String::new()), move |token| {
            let (registry, path) = (registry.clone(), path.clone());
            async move {
                let Some(page_token) = token else {
                    return Ok::<_, Error>(None);
                };
                let answer = registry.client.call(None, || ChildrenRequest {
                        path: path.clone(),
                        read: Some(registry.client.read_options()),
                        page_size: 0,
                        page_token: page_token.clone(),
                    }, |channel, request| async move { Self::service(channel).children(request).await });
                let page = answer.await?;
                registry.client.saw(page.zxid);
                Ok(Some((page.names, following(page.next_page_token))))
            }
        });
        flat(pages)
    }

    /// Follows the names of the entries right below a path. It is told of changes every `interval` at most (60
    /// seconds at most), and then of what they came to: of the many that come and go at the same time a watch
    /// costs members and clients far less than the change log.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use std::time::Duration;
    ///
    /// let registry = client.registry();
    /// let mut workers = registry.watch_children("/workers", Duration::from_millis(50)).await?;
    /// println!("{:?}", workers.names());
    /// loop {
    ///     let change = workers.changed().await?;
    ///     println!("+ {:?} - {:?}: {:?}", change.added, change.removed, workers.names());
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// `INVALID_PATH`, `INVALID_ARGUMENT` for a longer interval, `PERMISSION_DENIED`; `LIMIT_REACHED` for more
    /// than 100,000 children.
    pub async fn watch_children(
        &self,
        path: &str,
        interval: Duration,
    ) -> Result<ChildrenWatch, Error> {
        let mut watch = ChildrenWatch::new(self.clone(), path, interval);
        let late = || Error::TimedOut {
            sent: false,
            last: None,
        };
        let deadline = self.client.deadline();
        deadline.of(watch.begin(), late).await?;
        Ok(watch)
    }

    /// The entries below a path with their values, as deep as `depth` says (1: its children; 0: all), page by
    /// page as they are taken.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use futures::TryStreamExt;
    ///
    /// let mut nodes = client.registry().list("/nodes", 1);
    /// while let Some(entry) = nodes.try_next().await? {
    ///     println!("{} {:?}", entry.path, entry.node);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, path: &str, depth: u32) -> BoxStream<'static, Result<Entry, Error>> {
        let (registry, path) = (self.clone(), path.to_owned());
        let pages = try_unfold(Some(String::new()), move |token| {
            let (registry, path) = (registry.clone(), path.clone());
            async move {
                let Some(page_token) = token else {
                    return Ok::<_, Error>(None);
                };
                let answer = registry.client.call(
                    None,
                    || ListRequest {
                        path: path.clone(),
                        read: Some(registry.client.read_options()),
                        depth,
                        page_size: 0,
                        page_token: page_token.clone(),
                    },
                    |channel, request| async move { Self::service(channel).list(request).await },
                );
                let page = answer.await?;
                registry.client.saw(page.zxid);
                Ok(Some((page.entries, following(page.next_page_token))))
            }
        });
        flat(pages)
    }
}

/// Where the next page begins, if there is one.
pub(super) fn following(token: String) -> Option<String> {
    (!token.is_empty()).then_some(token)
}

pub(super) fn flat<T: Send + 'static>(
    pages: impl futures::Stream<Item = Result<Vec<T>, Error>> + Send + 'static,
) -> BoxStream<'static, Result<T, Error>> {
    let items = pages.map(|page| match page {
        Ok(items) => futures::stream::iter(items.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => futures::stream::iter(vec![Err(error)]),
    });
    items.flatten().boxed()
}
