//! Who may act on a key while its ring changes: who had it stops before who gets it begins.
//!
//! | znode | lives | holds |
//! |---|---|---|
//! | `/vivarium/rings/RING/SERVER` | with the session of the server | by which epoch the server acts, and who were the ring's members then |
//!
//! A server **acknowledges** an epoch once it has stopped everything that is not its own by it. A key is
//! **granted** to a server when the epoch that it acknowledged gives it the key, and no other server's
//! acknowledgement gives that other server the same key. A server holds what it was granted for as long as its
//! acknowledgements go on giving it the key.
//!
//! Why no key has two holders: whoever asks is answered by a state of the tree that has its own acknowledgement as
//! it is now. Of two servers, one acknowledged later, and is answered by a state that has the other's
//! acknowledgement too. While that gives the other one the key, the answer is no; once it does not, the other one
//! has stopped, or its session has ended. Nothing of this rests on an epoch being the newest, nor on when anybody
//! hears of it.
//!
//! At all times: what is answered is a function of one state of the tree. Nothing is remembered here but rings that
//! were built.

use super::failure::Failure;
use super::json::to_json;
use super::parents::{below, missing_above, segment};
use super::recent::Recent;
use super::registry::{Freshness, Registry, check_path};
use super::rings::{Mode, Rings, check_keys};
use super::sessions::Sessions;
use super::writing::{Done, Plan, Writer, carry_out, plan_again};
use crate::member::{ReadView, Tree, WatchKind};
use crate::model::{Acl, CreateMode, Id, Operation, Zxid};
use crate::ring::{HashRing, SERVERS_MAX};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

const RINGS: &str = "/vivarium/rings";
/// Rings that are kept built: of the epochs between which servers move.
const BUILT_MAX: usize = 4;
pub const SERVER_BYTES_MAX: usize = 256;

/// What a server acts by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub server: String,
    pub epoch: i64,
    /// In the order of the ring.
    pub members: Vec<String>,
}

/// What is to be said of a key to the server that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub is_granted: bool,
    /// By the epoch that the server itself acknowledged.
    pub owner: Option<String>,
    /// Who else acts by an epoch that gives it the key, and by which; the earliest if there are several.
    pub holder: Option<(String, Zxid)>,
}

/// All acknowledgements, each with the owner of the key by its members.
fn judge<'a>(
    server: &str,
    acknowledged: impl Iterator<Item = (&'a Acknowledgement, Option<&'a str>)>,
) -> Grant {
    let mut own = None;
    let mut holder: Option<&Acknowledgement> = None;
    for (by, owner) in acknowledged {
        if by.server == server {
            own = owner;
        } else if owner == Some(&by.server) && holder.is_none_or(|known| by.epoch < known.epoch) {
            holder = Some(by);
        }
    }
    Grant {
        is_granted: own == Some(server) && holder.is_none(),
        owner: own.map(str::to_owned),
        holder: holder.map(|by| (by.server.clone(), Zxid(by.epoch))),
    }
}

/// The acknowledgements of a ring's servers, as they were at one moment.
pub struct Acknowledged {
    all: Vec<(Acknowledgement, Arc<HashRing>)>,
    own: Own,
    /// Another one whenever any of them has changed.
    pub changed: Zxid,
}

/// The znode of the server that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    server: String,
    path: String,
    czxid: Zxid,
    mzxid: Zxid,
    version: i32,
}

impl Acknowledged {
    pub fn grant(&self, key: &str) -> Grant {
        let all = self.all.iter();
        let owners = all.map(|(by, ring)| (by, ring.owner(key)));
        judge(&self.own.server, owners)
    }

    /// Demands that the server's acknowledgement is the one by which it was judged.
    pub fn demand(&self) -> [Operation; 2] {
        [
            Operation::CheckCreated {
                path: self.own.path.clone(),
                czxid: self.own.czxid,
            },
            Operation::Check {
                path: self.own.path.clone(),
                version: self.own.version,
            },
        ]
    }
}

/// See the module's text.
pub struct Grants {
    sessions: Arc<Sessions>,
    registry: Arc<Registry>,
    rings: Arc<Rings>,
    built: Mutex<Recent<Vec<String>, Arc<HashRing>>>,
}

impl Grants {
    pub fn new(sessions: Arc<Sessions>, registry: Arc<Registry>, rings: Arc<Rings>) -> Grants {
        Grants {
            sessions,
            registry,
            rings,
            built: Mutex::new(Recent::new(BUILT_MAX)),
        }
    }

    /// Says that `server`, which the writer's session stands for, acts by this epoch. The zxid is what its grants
    /// are asked for with.
    pub async fn acknowledge(
        &self,
        writer: &Writer,
        path: &str,
        server: &str,
        epoch: Zxid,
    ) -> Result<Zxid, Failure> {
        check_path(path)?;
        check_server(server)?;
        let describe = || {
            let newest = Freshness::default();
            self.rings
                .describe(&writer.identities, path, Mode::Equal, newest)
        };
        let mut membership = describe().await?;
        if membership.epoch != epoch {
            // Nobody is refused because this member is behind.
            self.registry.freshen_linearizable().await?;
            membership = describe().await?;
        }
        if membership.epoch != epoch {
            return Err(Failure::StaleEpoch {
                wanted: epoch,
                current: membership.epoch,
            });
        }
        let members = membership.servers.into_iter().map(|server| server.name);
        let data = to_json(&Acknowledgement {
            server: server.to_owned(),
            epoch: epoch.0,
            members: members.collect(),
        })?;
        let entry = entry(path, server);
        let plan = |tree: &Tree| {
            let mut operations = Vec::new();
            match tree.exists(&entry) {
                Ok(stat) if stat.ephemeral_owner != writer.session.id() => {
                    return Err(Failure::AlreadyRegistered {
                        path: below(path, server),
                        session: stat.ephemeral_owner.to_string(),
                    });
                }
                Ok(stat) => operations.push(Operation::SetData {
                    path: entry.clone(),
                    data: Some(data.clone()),
                    version: stat.version,
                }),
                Err(_) => {
                    let there = tree.exists(&directory(path));
                    if there.is_ok_and(|stat| stat.num_children as usize >= SERVERS_MAX) {
                        return Err(Failure::LimitReached {
                            what: "servers that acknowledge a ring",
                            limit: SERVERS_MAX,
                        });
                    }
                    operations.extend(missing_above(tree, &entry));
                    operations.push(Operation::Create {
                        path: entry.clone(),
                        data: Some(data.clone()),
                        acl: Acl::open(),
                        mode: CreateMode::Ephemeral,
                    });
                }
            }
            Ok(Plan {
                operations,
                then: (),
            })
        };
        let refused = |_: &Tree, (): &(), refusal| plan_again(&entry, refusal);
        match carry_out(&self.sessions, writer, &entry, plan, refused).await? {
            Done::Now { zxid, .. } | Done::Before { zxid } => Ok(zxid),
        }
    }

    /// What of these keys is granted to `server` by its acknowledgement of that zxid.
    pub async fn granted(
        &self,
        identities: &[Id],
        path: &str,
        server: &str,
        acknowledged: Zxid,
        keys: &[String],
    ) -> Result<Vec<Grant>, Failure> {
        check_path(path)?;
        check_server(server)?;
        check_keys(keys)?;
        let freshness = Freshness {
            not_before: Some(acknowledged),
            ..Freshness::default()
        };
        // Whoever may not read the ring is told nothing of it.
        self.rings
            .describe(identities, path, Mode::Equal, freshness)
            .await?;
        let found = self.acknowledged(path, server).await?;
        let found = found.filter(|found| found.own.mzxid == acknowledged);
        let found = found.ok_or_else(|| Failure::NoEntry(entry(path, server)))?;
        let keys = keys.to_vec();
        // Ten thousand keys, by hundreds of servers' rings.
        let judging =
            tokio::task::spawn_blocking(move || keys.iter().map(|key| found.grant(key)).collect());
        judging
            .await
            .map_err(|error| Failure::Internal(error.to_string()))
    }

    /// `None` where the server has acknowledged nothing.
    pub async fn acknowledged(
        &self,
        path: &str,
        server: &str,
    ) -> Result<Option<Acknowledged>, Failure> {
        let (own, all, changed) = {
            let view = self.sessions.handle().read();
            let path = entry(path, server);
            let Ok(stat) = view.state().tree().exists(&path) else {
                return Ok(None);
            };
            let own = Own {
                server: server.to_owned(),
                path,
                czxid: stat.czxid,
                mzxid: stat.mzxid,
                version: stat.version,
            };
            let (all, changed) = read(&view, path_of(&own.path));
            (own, all, changed)
        };
        let mut built: HashMap<Vec<String>, Arc<HashRing>> = HashMap::new();
        let mut with_rings = Vec::with_capacity(all.len());
        for by in all {
            let ring = match built.get(&by.members) {
                Some(ring) => ring.clone(),
                None => self.ring(&by.members).await?,
            };
            built.insert(by.members.clone(), ring.clone());
            with_rings.push((by, ring));
        }
        Ok(Some(Acknowledged {
            all: with_rings,
            own,
            changed,
        }))
    }

    /// Returns once an acknowledgement has changed since `known`; 0 is for none.
    pub async fn changed(&self, path: &str, known: Zxid) -> Result<(), Failure> {
        let caller = self.sessions.own_caller()?;
        let directory = directory(path);
        loop {
            let mut changes = Vec::new();
            {
                let view = self.sessions.handle().read();
                if read(&view, &directory).1 != known {
                    return Ok(());
                }
                for kind in [WatchKind::Data, WatchKind::Child] {
                    changes.push(caller.watch(&view, kind, &directory)?);
                }
                let names = view.state().tree().children(&directory, Id::passing_all());
                for name in names.into_iter().flat_map(|(names, _)| names) {
                    let entry = below(&directory, name);
                    changes.push(caller.watch(&view, WatchKind::Data, &entry)?);
                }
            }
            let (change, ..) = futures::future::select_all(changes).await;
            change.map_err(|_| Failure::NoLeader)?;
        }
    }

    async fn ring(&self, members: &[String]) -> Result<Arc<HashRing>, Failure> {
        let members = members.to_vec();
        let known = self.built.lock().find(&members).cloned();
        if let Some(ring) = known {
            return Ok(ring);
        }
        let names = members.clone();
        let building = tokio::task::spawn_blocking(move || HashRing::new(names));
        let built = building
            .await
            .map_err(|error| Failure::Internal(error.to_string()))?
            .map_err(|full| Failure::Internal(full.to_string()))?;
        let ring = self.built.lock().get(&members, || Arc::new(built)).clone();
        Ok(ring)
    }
}

/// What is acknowledged, and the zxid of the last change of it. What somebody else wrote there claims nothing.
fn read(view: &ReadView<'_>, directory: &str) -> (Vec<Acknowledgement>, Zxid) {
    let tree = view.state().tree();
    let Ok((names, stat)) = tree.children(directory, Id::passing_all()) else {
        return (Vec::new(), Zxid::ZERO);
    };
    let mut changed = stat.pzxid;
    let all = names.filter_map(|name| {
        let entry = tree.data(&below(directory, name), Id::passing_all());
        let (data, stat) = entry.ok()?;
        changed = changed.max(stat.mzxid);
        let by: Acknowledgement = serde_json::from_slice(data?).ok()?;
        (segment(&by.server) == name && by.members.len() <= SERVERS_MAX).then_some(by)
    });
    let all = all.collect();
    (all, changed)
}

fn directory(path: &str) -> String {
    below(RINGS, &segment(path))
}

fn entry(path: &str, server: &str) -> String {
    below(&directory(path), &segment(server))
}

/// The directory that an entry is in.
fn path_of(entry: &str) -> &str {
    crate::model::parent(entry).unwrap_or(RINGS)
}

fn check_server(server: &str) -> Result<(), Failure> {
    if server.is_empty() || server.contains('/') {
        return Err(Failure::InvalidArgument(
            "`server` is no name of a ring's server".to_owned(),
        ));
    }
    match server.len() > SERVER_BYTES_MAX {
        true => Err(Failure::LimitReached {
            what: "bytes of a server's name",
            limit: SERVER_BYTES_MAX,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
