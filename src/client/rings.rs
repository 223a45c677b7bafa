//! Rings: asked of the ensemble, or followed and computed here.

use super::backoff::Backoff;
use super::error::Error;
use super::{Client, KeyGrant, MovedKey, PickStrategy, RingMode, RingServer};
use crate::api::ring_service_client::RingServiceClient;
use crate::api::{
    AcknowledgeRingRequest, DescribeRingRequest, GrantedRequest, MovedRequest, OwnersRequest,
    PickRequest, RingState, SlotRequest,
};
use crate::ring::HashRing;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

/// Bytes of an answer with keys: ten thousand of the longest.
const ANSWER_BYTES_MAX: usize = 12 * 1024 * 1024;

/// The owners of keys by one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    pub epoch: i64,
    /// One for each key, in their order.
    pub owners: Vec<String>,
}

/// The share of work of one server: the pieces whose number modulo `total` is `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub epoch: i64,
    /// From 0.
    pub slot: u32,
    pub total: u32,
}

/// A ring of one epoch, computed here. Whoever has the same epoch finds the same owners.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ring {
    epoch: i64,
    servers: Vec<RingServer>,
    points: HashRing,
}

impl Ring {
    /// Takes about a hundred milliseconds for each ten servers.
    fn of(state: RingState, mode: RingMode) -> Result<Ring, Error> {
        let servers = state.servers.iter();
        let points = match mode {
            RingMode::Unspecified | RingMode::Equal => {
                HashRing::new(servers.map(|server| &server.name))
            }
            RingMode::Weighted => {
                HashRing::weighted(servers.map(|server| (&server.name, server.weight)))
            }
        };
        Ok(Ring {
            epoch: state.epoch,
            points: points.map_err(|error| Error::protocol(&error.to_string()))?,
            servers: state.servers,
        })
    }

    /// 0 where there is no such path.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// In the order in which they registered.
    pub fn servers(&self) -> &[RingServer] {
        &self.servers
    }

    /// Who owns a key; `None` on an empty ring.
    pub fn owner(&self, key: &str) -> Option<&str> {
        self.points.owner(key)
    }

    /// Whether `server` owns the task with this id. On an empty ring nothing is anybody's.
    pub fn is_local(&self, server: &str, id: i64) -> bool {
        self.points.owner_of_task(id) == Some(server)
    }

    /// Those of the tasks that `server` owns, in their order.
    pub fn monitored(&self, server: &str, ids: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let ids = ids.into_iter();
        ids.filter(|id| self.is_local(server, *id)).collect()
    }
}

/// See the module's text.
#[derive(Clone)]
pub struct Rings {
    client: Client,
}

impl Rings {
    pub(super) fn new(client: Client) -> Rings {
        Rings { client }
    }

    fn service(channel: Channel) -> RingServiceClient<Channel> {
        RingServiceClient::new(channel)
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The ring as it is, to be asked here.
    pub async fn describe(&self, path: &str, mode: RingMode) -> Result<Ring, Error> {
        let answer = self.client.call(
            None,
            || self.request(path, mode),
            |channel, request| async move { Self::service(channel).describe(request).await },
        );
        let state = answer.await?;
        self.client.saw(state.epoch);
        built(state, mode).await
    }

    fn request(&self, path: &str, mode: RingMode) -> DescribeRingRequest {
        DescribeRingRequest {
            path: path.to_owned(),
            mode: mode.into(),
            read: Some(self.client.read_options()),
        }
    }

    /// The owners of 1 to 10,000 keys, by one epoch: the newest, or the one that is demanded.
    ///
    /// # Errors
    /// `EMPTY_RING`; `STALE_EPOCH` where the ring is of another epoch than is demanded.
    pub async fn owners(
        &self,
        path: &str,
        mode: RingMode,
        keys: &[String],
        epoch: Option<i64>,
    ) -> Result<Owners, Error> {
        let answer = self.client.call(
            None,
            || OwnersRequest {
                path: path.to_owned(),
                mode: mode.into(),
                keys: keys.to_vec(),
                epoch,
                read: Some(self.client.read_options()),
                ..OwnersRequest::default()
            },
            |channel, request| async move { Self::service(channel).owners(request).await },
        );
        let answer = answer.await?;
        self.client.saw(answer.epoch);
        if answer.owners.len() != keys.len() {
            return Err(Error::protocol("there is not one owner for each key"));
        }
        Ok(Owners {
            epoch: answer.epoch,
            owners: answer.owners,
        })
    }

    /// The later epoch, and which of the keys have another owner by it; `to` is the newest if unset.
    ///
    /// # Errors
    /// `COMPACTED` for an epoch that the member which answers does not remember.
    pub async fn moved(
        &self,
        path: &str,
        mode: RingMode,
        keys: &[String],
        from: i64,
        to: Option<i64>,
    ) -> Result<(i64, Vec<MovedKey>), Error> {
        let answer = self.client.call(
            None,
            || MovedRequest {
                path: path.to_owned(),
                mode: mode.into(),
                from_epoch: from,
                to_epoch: to,
                keys: keys.to_vec(),
            },
            |channel, request| async move { Self::service(channel).moved(request).await },
        );
        let answer = answer.await?;
        Ok((answer.to_epoch, answer.moved))
    }

    /// One server for a piece of work. Each member counts its own picks; one whose answer was lost counts.
    ///
    /// # Errors
    /// `EMPTY_RING` where none may be picked.
    pub async fn pick(&self, path: &str, strategy: PickStrategy) -> Result<String, Error> {
        let answer = self.client.call(
            None,
            || PickRequest {
                path: path.to_owned(),
                strategy: strategy.into(),
            },
            |channel, request| async move { Self::service(channel).pick(request).await },
        );
        Ok(answer.await?.server)
    }

    /// The share of work of one server, among those that are not busy.
    ///
    /// # Errors
    /// `NO_ENTRY` where it is not among them: then it takes no work.
    pub async fn slot(&self, path: &str, server: &str) -> Result<Slot, Error> {
        let answer = self.client.call(
            None,
            || SlotRequest {
                path: path.to_owned(),
                server: server.to_owned(),
                read: Some(self.client.read_options()),
            },
            |channel, request| async move { Self::service(channel).slot(request).await },
        );
        let answer = answer.await?;
        Ok(Slot {
            epoch: answer.epoch,
            slot: answer.slot,
            total: answer.total,
        })
    }

    /// Says that `server`, for which this client's session stands, acts by this epoch (of the ring of equals), and
    /// has stopped everything that is not its own by it. The answer is what grants are asked for with. It holds
    /// until the session ends, or the next one.
    ///
    /// # Errors
    /// `STALE_EPOCH` where the ring is of another epoch; `ALREADY_REGISTERED` while another session stands for
    /// this server.
    pub async fn acknowledge(&self, path: &str, server: &str, epoch: i64) -> Result<i64, Error> {
        let answer = self.client.write(
            |header| AcknowledgeRingRequest {
                header: Some(header),
                path: path.to_owned(),
                server: server.to_owned(),
                epoch,
            },
            |channel, request| async move { Self::service(channel).acknowledge(request).await },
        );
        let zxid = answer.await?.zxid;
        self.client.saw(zxid);
        Ok(zxid)
    }

    /// On which of 1 to 10,000 keys the server may act, and who else still does. Who had a key has to stop before
    /// who gets it is granted it; once granted, it stays so for as long as the server's acknowledgements go on
    /// giving it the key.
    ///
    /// # Errors
    /// `NO_ENTRY` unless the acknowledgement that was answered with `acknowledged` is in force.
    pub async fn granted(
        &self,
        path: &str,
        server: &str,
        acknowledged: i64,
        keys: &[String],
    ) -> Result<Vec<KeyGrant>, Error> {
        let answer = self.client.call(
            None,
            || GrantedRequest {
                path: path.to_owned(),
                server: server.to_owned(),
                acknowledged,
                keys: keys.to_vec(),
            },
            |channel, request| async move { Self::service(channel).granted(request).await },
        );
        let grants = answer.await?.grants;
        match grants.len() == keys.len() {
            true => Ok(grants),
            false => Err(Error::protocol("there is not one grant for each key")),
        }
    }

    /// The ring as it is, and as it changes from now on, also through other members when one fails.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use vivarium::client::RingMode;
    ///
    /// let mut watch = client.rings().watch("/servers", RingMode::Equal).await?;
    /// while let Some(ring) = watch.changed().await {
    ///     let mine = ring.monitored("10.0.0.7:10000", [100_001, 100_002]);
    ///     println!("epoch {}: {mine:?}", ring.epoch());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Rings::describe`]. Later ones end the watch ([`RingWatch::error`]), unless they pass.
    pub async fn watch(&self, path: &str, mode: RingMode) -> Result<RingWatch, Error> {
        let ring = self.describe(path, mode).await?;
        let (told, seen) = watch::channel(Seen {
            ring: Arc::new(ring),
            error: None,
        });
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (rings, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                error = rings.follow(&path, mode, &told) => {
                    told.send_modify(|seen| seen.error = Some(error));
                }
            }
        });
        Ok(RingWatch {
            seen,
            is_begun: false,
            _stop: guard,
        })
    }

    /// Goes on until there is no sense in it.
    async fn follow(&self, path: &str, mode: RingMode, told: &watch::Sender<Seen>) -> Error {
        let mut backoff = Backoff::new();
        loop {
            let link = match self.client.link(None).await {
                Ok((_, link)) => link,
                Err(error) => return error,
            };
            let watched = async {
                let request = link.request(self.request(path, mode));
                let mut states = link
                    .unless_broken(Self::service(link.channel.clone()).watch(request))
                    .await?;
                loop {
                    let state = async { states.message().await.map(tonic::Response::new) };
                    let Some(state) = link.unless_broken(state).await? else {
                        return Err(Error::protocol("the stream ended"));
                    };
                    backoff = Backoff::new();
                    self.client.saw(state.epoch);
                    if state.epoch == told.borrow().ring.epoch {
                        continue;
                    }
                    let ring = Arc::new(built(state, mode).await?);
                    told.send_modify(|seen| seen.ring = ring);
                }
            };
            let ended: Result<(), Error> = watched.await;
            match ended {
                Ok(()) => {}
                Err(error) if error.is_passing() || self.client.is_behind(&error) => {
                    tracing::debug!(%error, "the ring is watched anew");
                }
                Err(error) => return error,
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

async fn built(state: RingState, mode: RingMode) -> Result<Ring, Error> {
    let built = tokio::task::spawn_blocking(move || Ring::of(state, mode)).await;
    built.unwrap_or_else(|error| Err(Error::protocol(&error.to_string())))
}

#[derive(Clone, Debug)]
struct Seen {
    ring: Arc<Ring>,
    error: Option<Error>,
}

/// A ring that is followed until this is dropped.
pub struct RingWatch {
    seen: watch::Receiver<Seen>,
    is_begun: bool,
    _stop: DropGuard,
}

impl RingWatch {
    /// The ring as it was seen last: while the client is suspended it may have changed.
    pub fn current(&self) -> Arc<Ring> {
        self.seen.borrow().ring.clone()
    }

    /// The ring as it is, at first; then as it is after each change, where changes that follow each other
    /// quickly may come as one. `None` once it is not followed any more.
    pub async fn changed(&mut self) -> Option<Arc<Ring>> {
        if std::mem::replace(&mut self.is_begun, true) {
            self.seen.changed().await.ok()?;
        }
        let seen = self.seen.borrow_and_update();
        seen.error.is_none().then(|| seen.ring.clone())
    }

    /// Why it is not followed any more.
    pub fn error(&self) -> Option<Error> {
        self.seen.borrow().error.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(servers: &[&str]) -> RingState {
        let server = |name: &&str| RingServer {
            name: (*name).to_owned(),
            weight: 100,
            session_id: 0,
        };
        RingState {
            path: "/ring".to_owned(),
            epoch: 7,
            servers: servers.iter().map(server).collect(),
        }
    }

    #[test]
    fn on_an_empty_ring_nothing_is_local() {
        let ring = Ring::of(state(&[]), RingMode::Equal).unwrap();
        assert_eq!(ring.owner("1"), None);
        assert!(!ring.is_local("a:1", 1));
        assert!(ring.monitored("a:1", 0..100).is_empty());
    }

    #[test]
    fn each_task_is_local_to_one_server() {
        let servers = ["10.0.0.1:1000", "10.0.0.2:1000"];
        let equal = Ring::of(state(&servers), RingMode::Equal).unwrap();
        let weighted = Ring::of(state(&servers), RingMode::Weighted).unwrap();
        let points = HashRing::new(servers).unwrap();
        for ring in [equal, weighted] {
            assert_eq!(ring.epoch(), 7);
            let [mine, theirs] = servers.map(|server| ring.monitored(server, 0..500));
            assert_eq!(mine.len() + theirs.len(), 500);
            let owned = |id: &i64| points.owner_of_task(*id) == Some(servers[0]);
            assert!(mine.iter().all(owned) && !theirs.iter().any(owned));
        }
    }
}
