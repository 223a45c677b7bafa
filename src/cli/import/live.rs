//! Reading a live ensemble: every znode with data, stat and access list, as a client may.
//!
//! ```text
//!  walk: data, access list and children of each znode ─▶ look again at every stat ─▶ nothing changed: done
//!                                                          ▲        │ read what has changed anew
//!                                                          └────────┘ LOOKS_MAX times at most
//! ```
//! At all times: where the last look has found nothing changed, all was there at one moment: each znode
//! stood still from before that look began until after it was read. A stat never comes back to what it was.
//!
//! What a client is not shown does not come: whether a znode is a container or has a time to live
//! (ZooKeeper 3.9 `DataNode#copyStat` gives 0 as the owner of both).

use super::ensemble::{CallFailed, Ensemble};
use super::progress::Progress;
use crate::import::{Kind, Problems, Znode, Znodes};
use crate::model::{Acl, Refusal, Stat, parent};
use crate::wire::{ClientRequest, Malformed};
use bytes::Bytes;
use futures::future::try_join3;
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Znodes that are read at the same time, each by three requests.
const READS_IN_FLIGHT: usize = 64;
/// Stats that are asked for at the same time.
const LOOKS_IN_FLIGHT: usize = 256;
/// How often a tree that does not stand still is looked at.
const LOOKS_MAX: u32 = 5;
/// How often one znode is read that is deleted and made anew meanwhile.
const TRIES_MAX: u32 = 5;
/// How many znodes go by before it is told how far it is.
const TOLD_EVERY: usize = 1024;

/// What the reading was like.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// Whether all of it was there at one moment.
    pub consistent: bool,
    /// How often all stats were looked at.
    pub passes: u32,
    /// Znodes that had changed when they were looked at again.
    pub changed: u64,
    pub reconnects: u32,
    pub zxid_before: String,
    pub zxid_after: String,
}

pub struct Read {
    pub znodes: Znodes,
    pub facts: Facts,
    pub problems: Problems,
    pub notes: Vec<String>,
}

/// Reads `top`, all below it and what is above it up to the chroot.
///
/// # Errors
/// An ensemble that does not answer, or has more than `bytes_max` bytes of data.
pub async fn read(
    ensemble: &Ensemble,
    top: &str,
    bytes_max: u64,
    progress: &Progress,
) -> anyhow::Result<Read> {
    let mut reader = Reader {
        ensemble,
        progress,
        found: BTreeMap::new(),
        unreadable: BTreeSet::new(),
        bytes: 0,
        bytes_max,
        acls: BTreeSet::new(),
    };
    let mut above = Vec::new();
    let mut path = top;
    while path != ensemble.chroot
        && let Some(next) = parent(path)
    {
        above.push(next.to_owned());
        path = next;
    }
    ensemble
        .call(ClientRequest::Sync {
            path: Some("/".to_owned()),
        })
        .await?;
    let before = ensemble.zxid();
    reader.walk(vec![top.to_owned()], true).await?;
    reader.walk(above, false).await?;
    if !reader.found.contains_key(top) && !reader.unreadable.contains(top) {
        anyhow::bail!("there is no znode {top}");
    }
    let mut facts = Facts::default();
    while !facts.consistent && facts.passes < LOOKS_MAX {
        let changed = reader.look_again(top).await?;
        facts.passes += 1;
        facts.changed += changed;
        facts.consistent = changed == 0;
    }
    facts.reconnects = ensemble.reconnects().await;
    facts.zxid_before = before.to_string();
    facts.zxid_after = ensemble.zxid().to_string();
    Ok(reader.end(facts))
}

struct Found {
    znode: Znode,
    children: BTreeSet<String>,
    /// Whether what is below it is read too.
    with_children: bool,
}

struct Reader<'e> {
    ensemble: &'e Ensemble,
    progress: &'e Progress,
    found: BTreeMap<String, Found>,
    unreadable: BTreeSet<String>,
    bytes: u64,
    bytes_max: u64,
    /// Each list once, however many znodes have it.
    acls: BTreeSet<Arc<[Acl]>>,
}

enum One {
    Read(Box<(Znode, BTreeSet<String>)>),
    Gone,
    Unreadable,
}

impl Reader<'_> {
    /// Reads these znodes, and what is below them.
    async fn walk(&mut self, mut open: Vec<String>, with_children: bool) -> anyhow::Result<()> {
        let ensemble = self.ensemble;
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < READS_IN_FLIGHT
                && let Some(path) = open.pop()
            {
                running.push(async move {
                    let one = read_one(ensemble, &path).await;
                    (path, one)
                });
            }
            let Some((path, one)) = running.next().await else {
                return Ok(());
            };
            if let Some(below) = self.take(path, one?, with_children)?
                && with_children
            {
                open.extend(below);
            }
        }
    }

    /// Notes what was read of a znode; the paths of its children.
    fn take(
        &mut self,
        path: String,
        one: One,
        with_children: bool,
    ) -> anyhow::Result<Option<Vec<String>>> {
        let (mut znode, children) = match one {
            One::Read(read) => *read,
            One::Gone => return Ok(None),
            One::Unreadable => {
                self.unreadable.insert(path);
                return Ok(None);
            }
        };
        if let Some(acl) = znode.acl.take() {
            let acl = self.acls.get(&acl).cloned().unwrap_or(acl);
            self.acls.insert(Arc::clone(&acl));
            znode.acl = Some(acl);
        }
        self.bytes += znode.data_bytes() as u64;
        anyhow::ensure!(
            self.bytes <= self.bytes_max,
            "there are more than {} bytes of data (--bytes-max)",
            self.bytes_max
        );
        let below = children.iter().map(|name| child(&path, name)).collect();
        let found = Found {
            znode,
            children,
            with_children,
        };
        if let Some(replaced) = self.found.insert(path, found) {
            self.bytes -= replaced.znode.data_bytes() as u64;
        }
        if self.found.len().is_multiple_of(TOLD_EVERY) {
            let (znodes, bytes) = (self.found.len(), self.bytes);
            self.progress
                .tell(format!("{znodes} znodes, {bytes} bytes"));
        }
        Ok(Some(below))
    }

    /// Looks at every stat again, and reads what has changed; how many have.
    async fn look_again(&mut self, top: &str) -> anyhow::Result<u64> {
        let ensemble = self.ensemble;
        let mut changed = Vec::new();
        let mut seen = 0;
        {
            let mut paths = self.found.iter();
            let mut running = FuturesUnordered::new();
            loop {
                while running.len() < LOOKS_IN_FLIGHT
                    && let Some((path, found)) = paths.next()
                {
                    running.push(async move {
                        let now = look(ensemble, path).await;
                        (path, found, now)
                    });
                }
                let Some((path, found, now)) = running.next().await else {
                    break;
                };
                if !now?.is_some_and(|now| is_same(&found.znode, &now)) {
                    changed.push(path.clone());
                }
                seen += 1;
                if seen % TOLD_EVERY == 0 {
                    let all = self.found.len();
                    self.progress
                        .tell(format!("looking again, {seen} of {all} znodes"));
                }
            }
        }
        changed.sort();
        for path in &changed {
            let Some(before) = self.found.get(path) else {
                continue;
            };
            let with_children = before.with_children;
            let children = before.children.clone();
            let one = read_one(ensemble, path).await?;
            if matches!(one, One::Gone | One::Unreadable) {
                self.forget(path);
            }
            let below = self.take(path.clone(), one, with_children)?;
            if !with_children {
                continue;
            }
            let now = self.found.get(path).map(|found| found.children.clone());
            let now = now.unwrap_or_default();
            for gone in children.difference(&now) {
                self.forget(&child(path, gone));
            }
            let new = below.into_iter().flatten();
            let new = new
                .filter(|below| !self.found.contains_key(below))
                .collect();
            self.walk(new, true).await?;
        }
        anyhow::ensure!(
            self.found.contains_key(top) || self.unreadable.contains(top),
            "{top} was deleted while it was read"
        );
        Ok(changed.len() as u64)
    }

    fn forget(&mut self, path: &str) {
        let below = format!("{path}/");
        let gone = self.found.range(below.clone()..);
        let gone = gone.take_while(|(other, _)| other.starts_with(&below));
        let mut gone: Vec<String> = gone.map(|(path, _)| path.clone()).collect();
        gone.push(path.to_owned());
        for path in gone {
            if let Some(found) = self.found.remove(&path) {
                self.bytes -= found.znode.data_bytes() as u64;
            }
        }
    }

    fn end(self, facts: Facts) -> Read {
        let mut problems = Problems::default();
        for path in &self.unreadable {
            let what = "it may not be read: --auth proves who may";
            problems.add(path, what);
        }
        let mut notes = vec![
            "a client is not told whether a znode is a container or has a time to live: such znodes come as persistent ones (`import data-dir` keeps them)".to_owned(),
        ];
        if !facts.consistent {
            notes.push(format!(
                "the tree did not stand still: each znode came as it was at some moment between zxid {} and {}",
                facts.zxid_before, facts.zxid_after
            ));
        }
        let last = |found: &Found| found.znode.mzxid.max(found.znode.pzxid);
        let last = self.found.values().map(last).max().unwrap_or_default();
        let znodes = Znodes {
            zxid: self.ensemble.zxid().max(last),
            by_path: self
                .found
                .into_iter()
                .map(|(path, found)| (path, found.znode))
                .collect(),
        };
        Read {
            znodes,
            facts,
            problems,
            notes,
        }
    }
}

fn child(path: &str, name: &str) -> String {
    match path {
        "/" => format!("/{name}"),
        _ => format!("{path}/{name}"),
    }
}

/// Of an ephemeral only whether it is the same one: it does not come.
fn is_same(znode: &Znode, now: &Stat) -> bool {
    if let Kind::Ephemeral(owner) = znode.kind {
        return (owner, znode.czxid) == (now.ephemeral_owner, now.czxid);
    }
    (znode.czxid, znode.mzxid, znode.pzxid) == (now.czxid, now.mzxid, now.pzxid)
        && (znode.version, znode.aversion) == (now.version, now.aversion)
        && now.ephemeral_owner.is_none()
}

async fn look(ensemble: &Ensemble, path: &str) -> Result<Option<Stat>, CallFailed> {
    let exists = ClientRequest::Exists {
        path: path.to_owned(),
        watch: false,
    };
    match ensemble.call(exists).await {
        Ok(reply) => Ok(Some(reply.stat().map_err(malformed)?)),
        Err(CallFailed::Refused(Refusal::NoNode | Refusal::NoAuth)) => Ok(None),
        Err(failed) => Err(failed),
    }
}

async fn read_one(ensemble: &Ensemble, path: &str) -> Result<One, CallFailed> {
    for _ in 0..TRIES_MAX {
        let path = || path.to_owned();
        let asked = try_join3(
            ensemble.call(ClientRequest::GetData {
                path: path(),
                watch: false,
            }),
            ensemble.call(ClientRequest::GetAcl { path: path() }),
            ensemble.call(ClientRequest::GetChildren2 {
                path: path(),
                watch: false,
            }),
        );
        let (data, acl, children) = match asked.await {
            Ok(replies) => replies,
            Err(CallFailed::Refused(Refusal::NoNode)) => return Ok(One::Gone),
            Err(CallFailed::Refused(Refusal::NoAuth)) => return Ok(One::Unreadable),
            Err(failed) => return Err(failed),
        };
        let (data, of_data) = data.data().map_err(malformed)?;
        let (acl, of_acl) = acl.acl().map_err(malformed)?;
        let (children, of_children) = children.children_and_stat().map_err(malformed)?;
        // Three answers about one znode, or about its successors.
        if of_data.czxid == of_acl.czxid && of_data.czxid == of_children.czxid {
            let znode = znode(data, &of_data, acl, &of_acl, &of_children);
            return Ok(One::Read(Box::new((znode, children.into_iter().collect()))));
        }
    }
    let why = format!("{path} is deleted and made anew without end");
    Err(CallFailed::Protocol(why))
}

/// Each answer is right about what it has.
fn znode(
    data: Option<Bytes>,
    of_data: &Stat,
    acl: Vec<Acl>,
    of_acl: &Stat,
    of_children: &Stat,
) -> Znode {
    let owner = of_data.ephemeral_owner;
    Znode {
        // A slice would keep all that came with it.
        data: data.map(|data| Bytes::copy_from_slice(&data)),
        acl: Some(acl.into()),
        czxid: of_data.czxid,
        mzxid: of_data.mzxid,
        pzxid: of_children.pzxid,
        ctime_ms: of_data.ctime_ms,
        mtime_ms: of_data.mtime_ms,
        version: of_data.version,
        aversion: of_acl.aversion,
        creations: creations(of_children),
        kind: match owner.is_none() {
            true => Kind::Persistent,
            false => Kind::Ephemeral(owner),
        },
    }
}

/// A client is shown creations and deletions together, of which those of the children that are there are
/// only one each. The sum wraps; of two counters that it may stand for, the lower one is meant.
fn creations(stat: &Stat) -> i32 {
    let twice = stat.cversion.wrapping_add(stat.num_children);
    ((twice as u32) >> 1) as i32
}

fn malformed(error: Malformed) -> CallFailed {
    CallFailed::Protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_in_what_a_client_is_shown() {
        for (count, children) in [(0, 0), (1, 1), (7, 2), (7, 0), (1 << 30, 5), (i32::MAX, 3)] {
            let stat = Stat {
                cversion: i32::wrapping_sub(i32::wrapping_mul(count, 2), children),
                num_children: children,
                ..Stat::default()
            };
            assert_eq!(creations(&stat), count, "{count} {children}");
        }
        // A new root was given a child that is not counted.
        let root = Stat {
            cversion: -1,
            num_children: 1,
            ..Stat::default()
        };
        assert_eq!(creations(&root), 0);
    }
}
