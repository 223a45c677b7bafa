//! Task hash rings over those who are registered below a path.
//!
//! Owns: the rings that were asked for of late, and which servers made them at which epoch; what the load
//! strategies remember of their picks.
//! At all times: a ring is a function of its servers in the order in which they registered, and of their weights
//! where these count, so that the same epoch means the same owners on every member. What is remembered here only
//! spares work: an epoch that is forgotten is said to be.
//!
//! Rules from: Apache StreamPark `ConsistentHash`, Apache DolphinScheduler's host selectors and master slots.

use super::failure::Failure;
use super::parents::below;
use super::recent::Recent;
use super::registry::{Freshness, Registry, check_path};
use super::selector::{
    Candidate, Load, LowerWeight, Reported, Slot, SmoothRoundRobin, slot_of, weighted_random,
};
use super::sessions::Sessions;
use crate::member::{ReadView, WatchKind};
use crate::metrics::{NATIVE_RING_BUILD_SECONDS, NATIVE_RING_BUILDS, NATIVE_RING_MOVED_KEYS};
use crate::model::{Id, Refusal, SessionId, Zxid};
use crate::ring::{HashRing, LoadFactor, SERVERS_MAX, WEIGHT_MAX, WEIGHT_NORMAL};
use metrics::{counter, histogram};
use parking_lot::Mutex;
use rand::Rng;
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Keys of one call.
pub const KEYS_MAX: usize = 10_000;
pub const KEY_BYTES_MAX: usize = 1_024;
/// Rings that a member remembers; the one that was not asked for longest is forgotten.
pub const RINGS_MAX: usize = 64;
/// Epochs of one ring whose servers are remembered.
pub const EPOCHS_MAX: usize = 64;
/// Rings of one path that are kept built: the newest, and the one before, for what moved between them.
const BUILT_MAX: usize = 2;
/// Keys by which it is told how much an epoch has moved.
const SAMPLE: i64 = 1_024;

/// What the points of a ring go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Equal,
    Weighted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub weight: u32,
    pub session: SessionId,
}

/// Who is there, and since which change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub epoch: Zxid,
    pub servers: Vec<Server>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Random,
    SmoothRoundRobin,
    LowerWeight,
}

/// How far above the average an owner may be loaded, and what each has.
#[derive(Clone, Debug)]
pub struct Bound {
    pub factor: f64,
    pub loads: HashMap<String, u64>,
}

/// Whose keys are these?
#[derive(Clone, Debug)]
pub struct Question {
    pub path: String,
    pub mode: Mode,
    pub keys: Vec<String>,
    /// By no other epoch than this.
    pub epoch: Option<Zxid>,
    pub bound: Option<Bound>,
    pub freshness: Freshness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub key: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// What an entry says of its server, by the names of our `NodeInfo` and of DolphinScheduler's heartbeats.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Heartbeat {
    #[serde(alias = "workerHostWeight")]
    weight: Option<u32>,
    #[serde(alias = "serverStatus")]
    status: Option<String>,
    #[serde(alias = "startupTime")]
    startup_time_ms: Option<i64>,
    #[serde(rename = "cpuUsage")]
    cpu: f64,
    #[serde(rename = "memoryUsage")]
    memory: f64,
    #[serde(rename = "loadAverage")]
    load_average: f64,
}

impl Heartbeat {
    fn of(data: Option<&[u8]>) -> Heartbeat {
        let data = data.unwrap_or_default();
        serde_json::from_slice(data).unwrap_or_default()
    }

    fn is_normal(&self) -> bool {
        !matches!(self.status.as_deref(), Some("BUSY" | "ABNORMAL"))
    }

    fn weight(&self) -> u32 {
        self.weight.unwrap_or(WEIGHT_NORMAL).min(WEIGHT_MAX)
    }
}

type Servers = Arc<[(String, u32)]>;

#[derive(Default)]
struct Remembered {
    epochs: VecDeque<(Zxid, Servers)>,
    built: VecDeque<(Zxid, Arc<HashRing>)>,
}

#[derive(Default)]
struct Pickers {
    smooth: SmoothRoundRobin,
    lower: LowerWeight,
}

/// See the module's text.
pub struct Rings {
    sessions: Arc<Sessions>,
    registry: Arc<Registry>,
    remembered: Mutex<Recent<(String, Mode), Remembered>>,
    pickers: Mutex<Recent<String, Pickers>>,
}

impl Rings {
    pub fn new(sessions: Arc<Sessions>, registry: Arc<Registry>) -> Rings {
        Rings {
            sessions,
            registry,
            remembered: Mutex::new(Recent::new(RINGS_MAX)),
            pickers: Mutex::new(Recent::new(RINGS_MAX)),
        }
    }

    pub async fn describe(
        &self,
        identities: &[Id],
        path: &str,
        mode: Mode,
        freshness: Freshness,
    ) -> Result<Membership, Failure> {
        check_path(path)?;
        self.registry.freshen(freshness).await?;
        let membership = self.membership(&self.sessions.handle().read(), identities, path, mode)?;
        self.remember(path, mode, &membership);
        Ok(membership)
    }

    /// Returns once the ring is of another epoch than `known`.
    pub async fn changed(
        &self,
        identities: &[Id],
        path: &str,
        mode: Mode,
        known: Option<Zxid>,
    ) -> Result<Membership, Failure> {
        check_path(path)?;
        let caller = self.sessions.own_caller()?;
        loop {
            let mut changes = Vec::new();
            {
                let view = self.sessions.handle().read();
                let membership = self.membership(&view, identities, path, mode)?;
                if known != Some(membership.epoch) {
                    self.remember(path, mode, &membership);
                    return Ok(membership);
                }
                // What is not there yet is watched for its creation.
                for kind in [WatchKind::Data, WatchKind::Child] {
                    changes.push(caller.watch(&view, kind, path)?);
                }
                if mode == Mode::Weighted {
                    for server in &membership.servers {
                        let entry = below(path, &server.name);
                        changes.push(caller.watch(&view, WatchKind::Data, &entry)?);
                    }
                }
            }
            let (change, ..) = futures::future::select_all(changes).await;
            // The connection that watched has ended: changes may have been missed, and this member is
            // not the one to wait at.
            change.map_err(|_| Failure::NoLeader)?;
        }
    }

    /// The epoch, and one owner for each key.
    pub async fn owners(
        &self,
        identities: &[Id],
        question: Question,
    ) -> Result<(Zxid, Vec<String>), Failure> {
        let Question {
            path,
            mode,
            keys,
            epoch,
            bound,
            freshness,
        } = question;
        check_keys(&keys)?;
        let membership = self.describe(identities, &path, mode, freshness).await?;
        if let Some(wanted) = epoch.filter(|wanted| *wanted != membership.epoch) {
            return Err(Failure::StaleEpoch {
                wanted,
                current: membership.epoch,
            });
        }
        let ring = self.ring(&path, mode, membership.epoch).await?;
        let empty = || Failure::EmptyRing(path.clone());
        let owners = match bound {
            None => {
                let owner = |key: &String| ring.owner(key).map(str::to_owned).ok_or_else(empty);
                keys.iter().map(owner).collect::<Result<Vec<_>, _>>()?
            }
            Some(Bound { factor, mut loads }) => {
                let factor = LoadFactor::new(factor)
                    .map_err(|error| Failure::InvalidArgument(error.to_string()))?;
                let mut owners = Vec::with_capacity(keys.len());
                for key in &keys {
                    let load_of = |server: &str| loads.get(server).copied().unwrap_or(0);
                    let owner = ring.owner_with_room(key, factor, load_of);
                    let owner = owner.ok_or_else(empty)?.to_owned();
                    let load = loads.entry(owner.clone()).or_default();
                    *load = load.saturating_add(1);
                    owners.push(owner);
                }
                owners
            }
        };
        Ok((membership.epoch, owners))
    }

    /// The later epoch, and the keys that have another owner by it.
    pub async fn moved(
        &self,
        identities: &[Id],
        path: &str,
        mode: Mode,
        from: Zxid,
        to: Option<Zxid>,
        keys: &[String],
    ) -> Result<(Zxid, Vec<Moved>), Failure> {
        check_keys(keys)?;
        let now = self
            .describe(identities, path, mode, Freshness::default())
            .await?;
        let to = to.unwrap_or(now.epoch);
        let (before, after) = (
            self.ring(path, mode, from).await?,
            self.ring(path, mode, to).await?,
        );
        let moved = keys.iter().filter_map(|key| {
            let (from, to) = (before.owner(key), after.owner(key));
            (from != to).then(|| Moved {
                key: key.clone(),
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            })
        });
        Ok((to, moved.collect()))
    }

    /// The epoch, and one server.
    pub fn pick(
        &self,
        identities: &[Id],
        path: &str,
        strategy: Strategy,
    ) -> Result<(Zxid, String), Failure> {
        check_path(path)?;
        let view = self.sessions.handle().read();
        let now_ms = view.state().time_ms();
        let membership = self.membership(&view, identities, path, Mode::Weighted)?;
        let beats: Vec<(&str, Heartbeat)> = membership
            .servers
            .iter()
            .map(|server| {
                let entry = view
                    .state()
                    .tree()
                    .data(&below(path, &server.name), Id::passing_all());
                let data = entry.ok().and_then(|(data, _)| data);
                (server.name.as_str(), Heartbeat::of(data))
            })
            .collect();
        drop(view);
        let candidates: Vec<Candidate<'_>> = beats
            .iter()
            .filter(|(_, beat)| beat.is_normal())
            .map(|(server, beat)| Candidate {
                server,
                weight: i64::from(beat.weight()),
            })
            .collect();
        let mut pickers = self.pickers.lock();
        let picker = pickers.get(&path.to_owned(), Pickers::default);
        let picked = match strategy {
            Strategy::Random => weighted_random(&candidates, rand::rng().random()),
            Strategy::SmoothRoundRobin => picker.smooth.pick(&candidates, now_ms),
            Strategy::LowerWeight => {
                let reported: Vec<Reported<'_>> = beats
                    .iter()
                    .map(|(server, beat)| Reported {
                        server,
                        load: Load {
                            cpu: beat.cpu,
                            memory: beat.memory,
                            load_average: beat.load_average,
                            uptime_ms: now_ms.saturating_sub(beat.startup_time_ms.unwrap_or(0)),
                            is_normal: beat.is_normal(),
                        },
                    })
                    .collect();
                picker.lower.pick(&reported)
            }
        };
        let picked = picked.ok_or_else(|| Failure::EmptyRing(path.to_owned()))?;
        Ok((membership.epoch, picked.to_owned()))
    }

    /// The epoch, and the share of work of a server.
    pub async fn slot(
        &self,
        identities: &[Id],
        path: &str,
        server: &str,
        freshness: Freshness,
    ) -> Result<(Zxid, Slot), Failure> {
        check_path(path)?;
        self.registry.freshen(freshness).await?;
        let view = self.sessions.handle().read();
        let membership = self.membership(&view, identities, path, Mode::Weighted)?;
        let normal = membership.servers.iter().filter(|server| {
            let entry = view
                .state()
                .tree()
                .data(&below(path, &server.name), Id::passing_all());
            entry.is_ok_and(|(data, _)| Heartbeat::of(data).is_normal())
        });
        let slot = slot_of(server, normal.map(|server| server.name.as_str()));
        let slot = slot.ok_or_else(|| Failure::NoEntry(below(path, server)))?;
        Ok((membership.epoch, slot))
    }

    fn membership(
        &self,
        view: &ReadView<'_>,
        identities: &[Id],
        path: &str,
        mode: Mode,
    ) -> Result<Membership, Failure> {
        let tree = view.state().tree();
        let judged = self.sessions.handle().judged_as(identities);
        let (names, stat) = match tree.children(path, judged) {
            Ok(found) => found,
            Err(Refusal::NoNode) => {
                return Ok(Membership {
                    epoch: Zxid::ZERO,
                    servers: Vec::new(),
                });
            }
            Err(refusal) => return Err(Failure::of(refusal, path)),
        };
        if names.len() > SERVERS_MAX {
            return Err(Failure::LimitReached {
                what: "servers of a ring",
                limit: SERVERS_MAX,
            });
        }
        let mut epoch = stat.pzxid;
        let mut servers: Vec<(Zxid, Server)> = names
            .filter_map(|name| {
                let (data, stat) = tree.data(&below(path, name), Id::passing_all()).ok()?;
                let weight = match mode {
                    Mode::Equal => WEIGHT_NORMAL,
                    Mode::Weighted => {
                        epoch = epoch.max(stat.mzxid);
                        Heartbeat::of(data).weight()
                    }
                };
                let server = Server {
                    name: name.to_owned(),
                    weight,
                    session: stat.ephemeral_owner,
                };
                Some((stat.czxid, server))
            })
            .collect();
        servers.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        Ok(Membership {
            epoch,
            servers: servers.into_iter().map(|(_, server)| server).collect(),
        })
    }

    fn remember(&self, path: &str, mode: Mode, membership: &Membership) {
        let mut remembered = self.remembered.lock();
        let ring = remembered.get(&(path.to_owned(), mode), Remembered::default);
        if ring
            .epochs
            .iter()
            .any(|(epoch, _)| *epoch == membership.epoch)
        {
            return;
        }
        let servers = membership.servers.iter();
        let servers = servers.map(|server| (server.name.clone(), server.weight));
        let later = ring
            .epochs
            .partition_point(|(epoch, _)| *epoch < membership.epoch);
        ring.epochs
            .insert(later, (membership.epoch, servers.collect()));
        if ring.epochs.len() > EPOCHS_MAX {
            ring.epochs.pop_front();
        }
    }

    /// The ring of an epoch that is remembered.
    pub(super) async fn ring(
        &self,
        path: &str,
        mode: Mode,
        epoch: Zxid,
    ) -> Result<Arc<HashRing>, Failure> {
        let key = (path.to_owned(), mode);
        let (servers, before) = {
            let mut remembered = self.remembered.lock();
            let ring = remembered.get(&key, Remembered::default);
            if let Some((_, built)) = ring.built.iter().find(|(built, _)| *built == epoch) {
                return Ok(built.clone());
            }
            let known = ring.epochs.iter().find(|(known, _)| *known == epoch);
            let (_, servers) = known.ok_or(Failure::Compacted {
                what: "an epoch of a ring",
                wanted: epoch,
                first: ring.epochs.front().map_or(Zxid::ZERO, |(first, _)| *first),
            })?;
            let before = ring.built.iter().filter(|(built, _)| *built < epoch);
            let before = before.max_by_key(|(built, _)| *built);
            (servers.clone(), before.map(|(_, built)| built.clone()))
        };
        let begun = Instant::now();
        // A hundred thousand hashes a server.
        let building = tokio::task::spawn_blocking(move || match mode {
            Mode::Equal => HashRing::new(servers.iter().map(|(name, _)| name)),
            Mode::Weighted => {
                HashRing::weighted(servers.iter().map(|(name, weight)| (name, *weight)))
            }
        });
        let built = building
            .await
            .map_err(|error| Failure::Internal(error.to_string()))?
            .map_err(|full| Failure::Internal(full.to_string()))?;
        let built = Arc::new(built);
        counter!(NATIVE_RING_BUILDS).increment(1);
        histogram!(NATIVE_RING_BUILD_SECONDS).record(begun.elapsed());
        if let Some(before) = before {
            histogram!(NATIVE_RING_MOVED_KEYS).record(moved(&before, &built) as f64);
        }
        let mut remembered = self.remembered.lock();
        let ring = remembered.get(&key, Remembered::default);
        if ring.built.len() == BUILT_MAX {
            ring.built.pop_front();
        }
        ring.built.push_back((epoch, built.clone()));
        Ok(built)
    }
}

pub(super) fn check_keys(keys: &[String]) -> Result<(), Failure> {
    if keys.is_empty() {
        return Err(Failure::InvalidArgument("`keys` is empty".to_owned()));
    }
    if keys.len() > KEYS_MAX {
        return Err(Failure::LimitReached {
            what: "keys of one call",
            limit: KEYS_MAX,
        });
    }
    if keys.iter().any(|key| key.len() > KEY_BYTES_MAX) {
        return Err(Failure::LimitReached {
            what: "bytes of a key",
            limit: KEY_BYTES_MAX,
        });
    }
    Ok(())
}

/// Of `SAMPLE` keys, those that have another owner.
fn moved(before: &HashRing, after: &HashRing) -> usize {
    let has_moved = |id: &i64| before.owner_of_task(*id) != after.owner_of_task(*id);
    (0..SAMPLE).filter(has_moved).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_of_every_host_are_understood() {
        let ours = Heartbeat::of(Some(br#"{"weight":50,"status":"BUSY"}"#));
        assert!(!ours.is_normal() && ours.weight() == 50);
        let theirs = br#"{"processId":1,"startupTime":5,"cpuUsage":0.5,"memoryUsage":0.25,
            "serverStatus":"NORMAL","host":"h","port":1,"workerHostWeight":1000}"#;
        let theirs = Heartbeat::of(Some(theirs));
        assert!(theirs.is_normal() && theirs.weight() == WEIGHT_MAX && theirs.cpu == 0.5);
        for nothing in [None, Some(&b""[..]), Some(b"x"), Some(b"[]")] {
            let beat = Heartbeat::of(nothing);
            assert!(beat.is_normal() && beat.weight() == WEIGHT_NORMAL);
        }
    }
}
