//! The tree as one would write it without a thought for memory or speed: a map of whole paths.
//! The real one must be indistinguishable from it.

use super::super::{Idle, Measure, QuotaExceeded, WriteContext};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Znode {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    stat: Stat,
    creations: i32,
    container: bool,
    ttl_ms: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    /// The root is "".
    znodes: BTreeMap<String, Znode>,
    pub exceeded: Vec<QuotaExceeded>,
}

fn parent_of(path: &str) -> &str {
    &path[..path.rfind('/').unwrap()]
}

fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

fn may(acl: &[Acl], bit: i32, c: &WriteContext) -> Result<(), Refusal> {
    let ids = c.identities;
    let is_super = c.rules.has(Rules::SKIP_ACL) || ids.iter().any(|id| id.scheme == "super");
    let anyone = Id::anyone();
    let granted = acl
        .iter()
        .any(|a| a.perms.0 & bit != 0 && (a.id == anyone || ids.contains(&a.id)));
    (is_super || granted).then_some(()).ok_or(Refusal::NoAuth)
}

/// `key=number` pairs as Java's `split` cuts them.
fn numbers(data: &Option<Vec<u8>>) -> Option<BTreeMap<String, i64>> {
    let mut text = String::from_utf8(data.clone()?).ok()?.replace(';', ",");
    if text.is_empty() {
        return Some(BTreeMap::new());
    }
    while text.contains(",,") {
        text = text.replace(",,", ",");
    }
    let mut pairs: Vec<&str> = text.split(',').collect();
    while pairs.last() == Some(&"") {
        pairs.pop();
    }
    let mut found = BTreeMap::new();
    for pair in pairs {
        let mut parts: Vec<&str> = pair.split('=').collect();
        while parts.last() == Some(&"") {
            parts.pop();
        }
        let number = match *parts.get(1)? {
            "" => -1,
            number => number.parse().ok()?,
        };
        found.insert(parts[0].to_owned(), number);
    }
    Some(found)
}

fn number(numbers: &BTreeMap<String, i64>, key: &str) -> i64 {
    *numbers.get(key).unwrap_or(&-1)
}

fn shared(acl: &[Acl]) -> Option<Arc<[Acl]>> {
    (acl != Acl::open()).then(|| acl.into())
}

/// For the lists that the tests send: `world`, `digest` with a hash, `auth`, nonsense.
fn stored(sent: &[Acl], ids: &[Id]) -> Result<Vec<Acl>, Refusal> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for a in sent.iter().filter(|a| seen.insert((*a).clone())) {
        match a.id.scheme.as_str() {
            "auth" => {
                let mine = ids.iter().filter(|id| id.scheme == "digest");
                let lines: Vec<Acl> = mine
                    .map(|id| Acl {
                        perms: a.perms,
                        id: id.clone(),
                    })
                    .collect();
                if lines.is_empty() {
                    return Err(Refusal::InvalidAcl);
                }
                out.extend(lines);
            }
            "world" | "digest" => out.push(a.clone()),
            _ => return Err(Refusal::InvalidAcl),
        }
    }
    if out.is_empty() {
        Err(Refusal::InvalidAcl)
    } else {
        Ok(out)
    }
}

fn versioned(current: i32, demanded: i32) -> Result<(), Refusal> {
    if demanded == -1 || demanded == current {
        Ok(())
    } else {
        Err(Refusal::BadVersion)
    }
}

impl Model {
    pub fn new() -> Model {
        let mut model = Model {
            znodes: BTreeMap::new(),
            exceeded: Vec::new(),
        };
        for path in ["", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            let znode = Znode {
                data: Some(vec![]),
                acl: Acl::open(),
                stat: Stat::default(),
                creations: 0,
                container: false,
                ttl_ms: 0,
            };
            model.znodes.insert(path.to_owned(), znode);
        }
        let config = model.znodes.get_mut("/zookeeper/config").unwrap();
        config.acl[0].perms = Permissions::READ;
        config.stat.version = -1;
        config.stat.aversion = -1;
        model
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.znodes.keys().map(String::as_str)
    }

    fn get(&self, path: &str) -> Result<&Znode, Refusal> {
        self.znodes.get(key(path)).ok_or(Refusal::NoNode)
    }

    pub fn children(&self, path: &str) -> BTreeSet<&str> {
        let prefix = format!("{}/", key(path));
        self.paths()
            .filter_map(|p| p.strip_prefix(&prefix))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect()
    }

    pub fn stat(&self, path: &str) -> Result<Stat, Refusal> {
        let znode = self.get(path)?;
        let num_children = self.children(path).len() as i32;
        Ok(Stat {
            num_children,
            cversion: 2 * znode.creations - num_children,
            data_length: znode.data.as_ref().map_or(0, Vec::len) as i32,
            ..znode.stat
        })
    }

    pub fn data(&self, path: &str) -> Option<&[u8]> {
        self.get(path).unwrap().data.as_deref()
    }

    pub fn acl(&self, path: &str) -> &[Acl] {
        &self.get(path).unwrap().acl
    }

    pub fn data_bytes(&self) -> u64 {
        let bytes = |(path, znode): (&String, &Znode)| {
            path.len().max(1) + znode.data.as_ref().map_or(0, Vec::len)
        };
        self.znodes.iter().map(bytes).sum::<usize>() as u64
    }

    pub fn ephemerals_of(&self, session: SessionId) -> Vec<String> {
        let mine = |(_, znode): &(&String, &Znode)| znode.stat.ephemeral_owner == session;
        self.znodes
            .iter()
            .filter(mine)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The paths of what is idle now, in whichever sense.
    pub fn idle(&self, idle: Idle, now_ms: i64) -> Vec<String> {
        let is_idle = |(path, _): &(&String, &Znode)| self.is_idle(path, idle, now_ms);
        self.znodes
            .iter()
            .filter(is_idle)
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn is_idle(&self, path: &str, idle: Idle, now_ms: i64) -> bool {
        let znode = self.get(path).unwrap();
        let age_ms = now_ms - znode.stat.mtime_ms;
        let fits = match idle {
            Idle::Emptied => znode.container && znode.creations > 0,
            Idle::Unused { ms_max } => {
                znode.container && znode.creations == 0 && age_ms > ms_max as i64
            }
            Idle::Expired => znode.ttl_ms > 0 && age_ms > znode.ttl_ms as i64,
        };
        fits && self.children(path).is_empty()
    }

    /// As the tree, but for the code of a refusal.
    pub fn remove_idle(
        &mut self,
        path: &str,
        idle: Idle,
        c: &WriteContext,
        changes: &mut Vec<Change>,
    ) -> bool {
        let removed = self.get(path).is_ok() && self.is_idle(path, idle, c.time_ms);
        if removed {
            self.remove(path, c.zxid, changes);
        }
        removed
    }

    pub fn set_config(&mut self, data: &[u8], zxid: Zxid, time_ms: i64) {
        let bytes = data.len() as i64 - length(&self.get("/zookeeper/config").unwrap().data);
        let config = self.znodes.get_mut("/zookeeper/config").unwrap();
        config.stat.version = -1;
        config.data = Some(data.to_vec());
        config.stat.mzxid = zxid;
        config.stat.mtime_ms = time_ms;
        self.charge("/zookeeper/config", 0, bytes);
    }

    pub fn remove_ephemerals(&mut self, session: SessionId, zxid: Zxid, changes: &mut Vec<Change>) {
        for path in self.ephemerals_of(session) {
            self.remove(&path, zxid, changes);
        }
    }

    fn remove(&mut self, path: &str, zxid: Zxid, changes: &mut Vec<Change>) {
        changes.push(self.changed(ChangeKind::Deleted, path, zxid));
        let gone = self.znodes.remove(path).unwrap();
        self.znodes.get_mut(parent_of(path)).unwrap().stat.pzxid = zxid;
        self.charge(path, -1, -length(&gone.data));
    }

    fn changed(&self, kind: ChangeKind, path: &str, zxid: Zxid) -> Change {
        let family = matches!(kind, ChangeKind::Created | ChangeKind::Deleted);
        let parent_acl = family.then(|| shared(&self.get(parent_of(path)).unwrap().acl));
        let znode = self.get(path).unwrap();
        let data = match kind {
            ChangeKind::AclChanged => None,
            _ => znode.data.clone().map(bytes::Bytes::from),
        };
        Change {
            kind,
            path: path.into(),
            zxid,
            acl: shared(&znode.acl),
            parent_acl: parent_acl.flatten(),
            data,
            version: znode.stat.version,
            owner: znode.stat.ephemeral_owner,
        }
    }

    /// The nearest path at or above that has limits.
    fn quota_of(&self, path: &str) -> Option<String> {
        let mut at = key(path).to_owned();
        while !at.is_empty() {
            if self.quota(&at, "limits").is_some() {
                return Some(at);
            }
            at.truncate(at.rfind('/').unwrap());
        }
        None
    }

    fn quota(&self, of: &str, what: &str) -> Option<&Znode> {
        self.znodes
            .get(&format!("/zookeeper/quota{of}/zookeeper_{what}"))
    }

    fn check_quota(
        &mut self,
        c: &WriteContext,
        path: &str,
        znodes: i64,
        bytes: i64,
    ) -> Result<(), Refusal> {
        let Some(of) = self.quota_of(path) else {
            return Ok(());
        };
        let enforced = c.rules.has(Rules::ENFORCE_QUOTA);
        let malformed = if enforced {
            Err(Refusal::MarshallingError)
        } else {
            Ok(())
        };
        let Some(limits) = numbers(&self.quota(&of, "limits").unwrap().data) else {
            return malformed;
        };
        let rows = [
            (Measure::Count, znodes, "count", "countHardLimit"),
            (Measure::Bytes, bytes, "bytes", "byteHardLimit"),
        ];
        let asked = |(_, more, soft, hard): &(Measure, i64, &str, &str)| {
            *more != 0 && (number(&limits, soft) > -1 || number(&limits, hard) > -1)
        };
        if !rows.iter().any(asked) {
            return Ok(());
        }
        let Some(stats) = self.quota(&of, "stats") else {
            return Ok(());
        };
        let Some(stats) = numbers(&stats.data) else {
            return malformed;
        };
        for (measure, more, soft, hard) in rows.into_iter().filter(asked) {
            let is_hard = number(&limits, hard) > -1;
            let limit = number(&limits, if is_hard { hard } else { soft });
            let used = number(&stats, soft) + more;
            if used > limit {
                let path = of.clone();
                self.exceeded.push(QuotaExceeded {
                    path,
                    measure,
                    is_hard,
                    limit,
                    used,
                });
                if is_hard && enforced {
                    return Err(Refusal::QuotaExceeded);
                }
            }
        }
        Ok(())
    }

    fn charge(&mut self, path: &str, znodes: i64, bytes: i64) {
        let Some(of) = self.quota_of(path) else {
            return;
        };
        let Some(mut stats) = self
            .quota(&of, "stats")
            .and_then(|stats| numbers(&stats.data))
        else {
            return;
        };
        if znodes != 0 || bytes != 0 {
            for (key, more) in [("count", znodes), ("bytes", bytes)] {
                stats.insert(key.to_owned(), number(&stats, key) + more);
            }
            self.write_stats(&of, &stats);
        }
    }

    fn write_stats(&mut self, of: &str, stats: &BTreeMap<String, i64>) {
        let (count, bytes) = (number(stats, "count"), number(stats, "bytes"));
        let mut text = format!("count={count},bytes={bytes}");
        let more: Vec<String> = stats
            .iter()
            .filter(|(key, _)| *key != "count" && *key != "bytes")
            .map(|(key, number)| format!(";{key}={number}"))
            .collect();
        if !more.is_empty() {
            text = format!("{text}={}", more.concat());
        }
        let path = format!("/zookeeper/quota{of}/zookeeper_stats");
        self.znodes.get_mut(&path).unwrap().data = Some(text.into_bytes());
    }

    /// What a subtree uses, counted whole when its stats are created.
    fn count_whole(&mut self, created: &str) {
        let of = created
            .strip_prefix("/zookeeper/quota")
            .and_then(|rest| rest.strip_suffix("/zookeeper_stats"));
        if let Some(of) = of.filter(|of| of.starts_with('/')) {
            let below = format!("{of}/");
            let inside = |(path, _): &(&String, &Znode)| *path == of || path.starts_with(&below);
            let lengths: Vec<i64> = self
                .znodes
                .iter()
                .filter(inside)
                .map(|(_, znode)| length(&znode.data))
                .collect();
            let counts = [
                ("count", lengths.len() as i64),
                ("bytes", lengths.iter().sum()),
            ];
            let counts = counts.map(|(key, number)| (key.to_owned(), number));
            self.write_stats(of, &counts.into());
        }
    }

    pub fn multi(
        &mut self,
        c: &WriteContext,
        ops: &[Operation],
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Outcome>, MultiFailure> {
        let before = self.clone();
        let mut outcomes = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            match self.apply(c, op, changes) {
                Ok(outcome) => outcomes.push(outcome),
                Err(refusal) => {
                    let exceeded = std::mem::take(&mut self.exceeded);
                    *self = Model { exceeded, ..before };
                    changes.clear();
                    return Err(MultiFailure { index, refusal });
                }
            }
        }
        Ok(outcomes)
    }

    pub fn apply(
        &mut self,
        c: &WriteContext,
        op: &Operation,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        let data_fits = |data: &Option<bytes::Bytes>| match data {
            Some(data) if data.len() > c.data_bytes_max => Err(Refusal::DataTooLarge),
            _ => Ok(()),
        };
        let valid = |path: &str| validate_path(path).map_err(|_| Refusal::BadArguments);
        match op {
            Operation::Create {
                path,
                data,
                acl,
                mode,
            } => {
                data_fits(data)?;
                if !path.contains('/') || path.contains('\0') {
                    return Err(Refusal::BadArguments);
                }
                let acl = stored(acl, c.identities)?;
                let parent_path = parent_of(path).to_owned();
                let parent = self.get(&parent_path)?.clone();
                may(&parent.acl, 4, c)?;
                let path = if mode.is_sequential() {
                    format!("{path}{:010}", parent.creations)
                } else {
                    path.clone()
                };
                valid(&path)?;
                if self.get(&path).is_ok() {
                    return Err(Refusal::NodeExists);
                }
                if parent.stat.ephemeral_owner != SessionId::NONE {
                    return Err(Refusal::NoChildrenForEphemerals);
                }
                let bytes = length(data);
                self.check_quota(c, &path, 1, bytes)?;
                let stat = Stat {
                    czxid: c.zxid,
                    mzxid: c.zxid,
                    pzxid: c.zxid,
                    ctime_ms: c.time_ms,
                    mtime_ms: c.time_ms,
                    ephemeral_owner: if mode.is_ephemeral() {
                        c.session
                    } else {
                        SessionId::NONE
                    },
                    ..Stat::default()
                };
                let container = mode.is_container();
                let data = data.as_ref().map(|data| data.to_vec());
                self.znodes.insert(
                    path.clone(),
                    Znode {
                        data,
                        acl,
                        stat,
                        creations: 0,
                        container,
                        ttl_ms: mode.ttl_ms(),
                    },
                );
                let parent = self.znodes.get_mut(key(&parent_path)).unwrap();
                parent.creations += 1;
                parent.stat.pzxid = c.zxid;
                changes.push(self.changed(ChangeKind::Created, &path, c.zxid));
                let stat = self.stat(&path).unwrap();
                self.charge(&path, 1, bytes);
                self.count_whole(&path);
                Ok(Outcome::Created { path, stat })
            }
            Operation::Delete { path, version } => {
                let system = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
                if !path.contains('/') || path.contains('\0') || system.contains(&path.as_str()) {
                    return Err(Refusal::BadArguments);
                }
                may(&self.get(parent_of(path))?.acl, 8, c)?;
                versioned(self.get(path)?.stat.version, *version)?;
                if !self.children(path).is_empty() {
                    return Err(Refusal::NotEmpty);
                }
                self.remove(path, c.zxid, changes);
                Ok(Outcome::Deleted)
            }
            Operation::SetData {
                path,
                data,
                version,
            } => {
                data_fits(data)?;
                valid(path)?;
                may(&self.get(path)?.acl, 2, c)?;
                let bytes = length(data) - length(&self.get(path)?.data);
                self.check_quota(c, path, 0, bytes)?;
                versioned(self.get(path)?.stat.version, *version)?;
                let znode = self.znodes.get_mut(key(path)).unwrap();
                znode.data = data.as_ref().map(|data| data.to_vec());
                znode.stat.version += 1;
                znode.stat.mzxid = c.zxid;
                znode.stat.mtime_ms = c.time_ms;
                changes.push(self.changed(ChangeKind::DataChanged, path, c.zxid));
                let stat = self.stat(path).unwrap();
                self.charge(path, 0, bytes);
                Ok(Outcome::DataSet { stat })
            }
            Operation::SetAcl { path, acl, version } => {
                valid(path)?;
                let acl = stored(acl, c.identities)?;
                may(&self.get(path)?.acl, 16, c)?;
                versioned(self.get(path)?.stat.aversion, *version)?;
                let znode = self.znodes.get_mut(key(path)).unwrap();
                znode.acl = acl;
                znode.stat.aversion += 1;
                changes.push(self.changed(ChangeKind::AclChanged, path, c.zxid));
                Ok(Outcome::AclSet {
                    stat: self.stat(path).unwrap(),
                })
            }
            Operation::Check { path, version } => {
                valid(path)?;
                may(&self.get(path)?.acl, 1, c)?;
                versioned(self.get(path)?.stat.version, *version)?;
                Ok(Outcome::Checked)
            }
            Operation::CheckCreated { path, czxid } => {
                valid(path)?;
                may(&self.get(path)?.acl, 1, c)?;
                match self.get(path)?.stat.czxid == *czxid {
                    true => Ok(Outcome::Checked),
                    false => Err(Refusal::BadVersion),
                }
            }
            Operation::Refuse { code } => Err(Refusal::from_code(*code)),
            Operation::DeleteContainer { path } => {
                let system = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
                if !path.contains('/') || path.contains('\0') || system.contains(&path.as_str()) {
                    return Err(Refusal::BadArguments);
                }
                let owner = self.get(path)?.stat.ephemeral_owner;
                if !self.children(path).is_empty() {
                    return Err(Refusal::NotEmpty);
                }
                if owner != SessionId::NONE {
                    return Err(Refusal::BadVersion);
                }
                may(&self.get(parent_of(path))?.acl, 8, c)?;
                self.remove(path, c.zxid, changes);
                Ok(Outcome::Deleted)
            }
        }
    }
}

fn length<T: AsRef<[u8]>>(data: &Option<T>) -> i64 {
    data.as_ref().map_or(0, |data| data.as_ref().len() as i64)
}
