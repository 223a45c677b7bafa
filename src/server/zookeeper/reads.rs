//! Reads and watches: answered from the state as this member has applied it.
//!
//! Runs under a view of the state (or inside apply, for reads parked behind a write), so that what
//! is read and the watch that is set for it are one step.
//!
//! Rules from: ZooKeeper 3.9 `FinalRequestProcessor`, `DataTree#setWatches`.

use crate::member::{Connection, Delivery, Parked, State, Tree, WatchKind, WatchTable, WatcherId};
use crate::metrics::NOTIFICATIONS;
use crate::model::{EventKind, Id, Refusal, Zxid};
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::{ClientRequest, ReadKind, WatchLists, XID_PING, encode_watch_event};
use bytes::BytesMut;
use std::sync::Arc;

/// One read, with all that its answer depends on besides the state.
pub struct Asked {
    pub xid: i32,
    /// What could not be decoded is refused in its turn.
    pub request: Result<ClientRequest, Refusal>,
    pub identities: Arc<[Id]>,
    /// Access lists forbid nothing.
    pub skip_acl: bool,
    pub connection: Arc<Connection>,
    /// Of a reply that holds several reads.
    pub reply_bytes_max: usize,
}

/// What a reply will take, as far as the state tells now: it may change before the read is run.
pub fn reply_bytes_guess(request: &ClientRequest, tree: &Tree) -> usize {
    /// A child's name with its length, about.
    const NAME_BYTES: usize = 32;
    let data = |path: &str| {
        tree.exists(path)
            .map_or(0, |stat| stat.data_length.max(0) as usize)
    };
    let children = |path: &str| {
        tree.exists(path)
            .map_or(0, |stat| NAME_BYTES * stat.num_children.max(0) as usize)
    };
    match request {
        ClientRequest::GetData { path, .. } => data(path),
        ClientRequest::GetChildren { path, .. } | ClientRequest::GetChildren2 { path, .. } => {
            children(path)
        }
        ClientRequest::MultiRead(reads) => reads
            .iter()
            .map(|read| match read.kind {
                ReadKind::Data => data(&read.path),
                ReadKind::Children => children(&read.path),
            })
            .sum(),
        _ => 0,
    }
}

impl Parked for Asked {
    fn run(self: Box<Self>, state: &State, watches: &mut WatchTable) -> Delivery {
        let mut out = BytesMut::new();
        answer(*self, state, watches, &mut out);
        Delivery::Reply {
            zxid: state.zxid(),
            bytes: out.freeze(),
        }
    }
}

/// Appends the reply.
pub fn answer(asked: Asked, state: &State, watches: &mut WatchTable, out: &mut BytesMut) {
    let Asked {
        xid,
        request,
        identities,
        skip_acl,
        connection,
        reply_bytes_max,
    } = asked;
    let judged_as: &[Id] = match skip_acl {
        true => Id::passing_all(),
        false => &identities,
    };
    let tree = state.tree();
    let ok = ReplyHeader::ok(xid, state.zxid());
    let watcher = connection.watcher();
    let answered = request.and_then(|request| match request {
        ClientRequest::Exists { path, watch } => match tree.stat(&path, judged_as) {
            Ok(stat) => set(watches, watcher, watch, WatchKind::Data, &path)
                .map(|()| reply::stat(out, ok, &stat)),
            // The watch waits for the znode to be created.
            Err(Refusal::NoNode) => {
                set(watches, watcher, watch, WatchKind::Data, &path).and(Err(Refusal::NoNode))
            }
            Err(refusal) => Err(refusal),
        },
        ClientRequest::GetData { path, watch } => {
            tree.data(&path, judged_as).and_then(|(data, stat)| {
                set(watches, watcher, watch, WatchKind::Data, &path)?;
                reply::data(out, ok, data, &stat);
                Ok(())
            })
        }
        ClientRequest::GetChildren { path, watch } => tree
            .children_as_bytes(&path, judged_as)
            .and_then(|(names, _)| {
                set(watches, watcher, watch, WatchKind::Child, &path)?;
                reply::children(out, ok, names);
                Ok(())
            }),
        ClientRequest::GetChildren2 { path, watch } => tree
            .children_as_bytes(&path, judged_as)
            .and_then(|(names, stat)| {
                set(watches, watcher, watch, WatchKind::Child, &path)?;
                reply::children_and_stat(out, ok, names, &stat);
                Ok(())
            }),
        ClientRequest::GetAcl { path } => tree
            .acl(&path, judged_as)
            .map(|(acl, stat)| reply::acl(out, ok, &acl, &stat)),
        ClientRequest::GetEphemerals { prefix } => {
            let mut paths = tree.ephemerals_of(connection.session());
            // As Java trims: blanks and control characters alone ask for all.
            if !matches!(prefix.trim_matches(|c| c <= ' '), "" | "/") {
                paths.retain(|path| path.starts_with(&prefix));
            }
            reply::children(out, ok, paths);
            Ok(())
        }
        ClientRequest::GetAllChildrenNumber { path } => tree
            .descendants(&path, judged_as)
            .map(|number| reply::number(out, ok, number as i32)),
        ClientRequest::MultiRead(reads) => {
            // Each of them may be as large as a znode can be, and a frame holds many thousands.
            let mut bytes = 0;
            reply::multi_read(out, ok, |results| {
                // Their watch flags have no effect (ZooKeeper 3.9 `Op.GetData#toRequestRecord`).
                for read in reads {
                    let path = &read.path;
                    match read.kind {
                        _ if bytes >= reply_bytes_max => results.refused(Refusal::SystemError),
                        ReadKind::Data => match tree.data(path, judged_as) {
                            Ok((data, stat)) => {
                                bytes += data.map_or(0, <[u8]>::len);
                                results.data(data, &stat);
                            }
                            Err(refusal) => results.refused(refusal),
                        },
                        ReadKind::Children => match tree.children_as_bytes(path, judged_as) {
                            Ok((names, _)) => {
                                let names: Vec<_> = names.into_iter().collect();
                                bytes += names.iter().map(|name| name.len()).sum::<usize>();
                                results.children(names);
                            }
                            Err(refusal) => results.refused(refusal),
                        },
                    }
                }
            });
            Ok(())
        }
        ClientRequest::WhoAmI => {
            reply::who_am_i(out, ok, &shown(&identities));
            Ok(())
        }
        ClientRequest::AddWatch { path, mode } => {
            // A null path is answered with success and watches nothing, as in the original.
            path.map_or(Ok(()), |path| add(watches, watcher, mode.into(), &path))
                .map(|()| reply::number(out, ok, 0))
        }
        ClientRequest::CheckWatches { path, kind } => {
            let watched = path.is_some_and(|path| watches.has(watcher, &path, kind));
            if watched {
                header(out, ok)
            } else {
                Err(Refusal::NoWatcher)
            }
        }
        ClientRequest::RemoveWatches { path, kind } => {
            let removed = path.is_some_and(|path| watches.remove(watcher, &path, kind));
            if removed {
                header(out, ok)
            } else {
                Err(Refusal::NoWatcher)
            }
        }
        ClientRequest::SetWatches {
            relative_zxid,
            lists,
        } => set_watches(tree, watches, watcher, relative_zxid, &lists, out).map(|()| {
            reply::header_only(out, ok);
        }),
        ClientRequest::Ping => header(out, ReplyHeader::ok(XID_PING, state.zxid())),
        // What is decoded and not offered yet. `docs/protocol.md` lists it.
        _ => Err(Refusal::Unimplemented),
    });
    if let Err(refusal) = answered {
        reply::header_only(out, ReplyHeader::refused(xid, state.zxid(), refusal));
    }
}

fn header(out: &mut BytesMut, header: ReplyHeader) -> Result<(), Refusal> {
    reply::header_only(out, header);
    Ok(())
}

/// Sets the watch that a read asked for, if it did.
fn set(
    watches: &mut WatchTable,
    watcher: WatcherId,
    wanted: bool,
    kind: WatchKind,
    path: &str,
) -> Result<(), Refusal> {
    if wanted {
        add(watches, watcher, kind, path)
    } else {
        Ok(())
    }
}

fn add(
    watches: &mut WatchTable,
    watcher: WatcherId,
    kind: WatchKind,
    path: &str,
) -> Result<(), Refusal> {
    watches.add(watcher, kind, path).map_err(|limit| {
        tracing::warn!(%limit, path, "a watch was refused");
        Refusal::SystemError
    })
}

/// Digest hashes are for the server's eyes only: `whoAmI` shows the user. The scheme `super` has none.
fn shown(identities: &[Id]) -> Vec<Id> {
    let show = |id: &Id| match (id.scheme.as_str(), id.id.split_once(':')) {
        ("digest", Some((user, _))) => Id::new("digest", user),
        ("super", _) => Id::new("super", ""),
        _ => id.clone(),
    };
    identities.iter().map(show).collect()
}

/// After a reconnect: tells what changed since `seen`, and watches on for the rest.
///
/// | list | znode absent | changed after `seen` | else |
/// |---|---|---|---|
/// | data | Deleted | DataChanged | watch |
/// | exist | watch | Created (it is there) | – |
/// | child | Deleted | ChildrenChanged | watch |
/// | persistent kinds | watch | watch | watch |
fn set_watches(
    tree: &Tree,
    watches: &mut WatchTable,
    watcher: WatcherId,
    seen: Zxid,
    lists: &WatchLists,
    out: &mut BytesMut,
) -> Result<(), Refusal> {
    let mut told = 0;
    let mut tell = |kind: EventKind, path: &str| {
        told += 1;
        encode_watch_event(out, Zxid(-1), kind, path);
    };
    for path in &lists.data {
        match tree.exists(path) {
            Err(_) => tell(EventKind::Deleted, path),
            Ok(stat) if stat.mzxid > seen => tell(EventKind::DataChanged, path),
            Ok(_) => add(watches, watcher, WatchKind::Data, path)?,
        }
    }
    for path in &lists.exist {
        match tree.exists(path) {
            Ok(_) => tell(EventKind::Created, path),
            Err(_) => add(watches, watcher, WatchKind::Data, path)?,
        }
    }
    for path in &lists.child {
        match tree.exists(path) {
            Err(_) => tell(EventKind::Deleted, path),
            Ok(stat) if stat.pzxid > seen => tell(EventKind::ChildrenChanged, path),
            Ok(_) => add(watches, watcher, WatchKind::Child, path)?,
        }
    }
    metrics::counter!(NOTIFICATIONS).increment(told);
    for path in &lists.persistent {
        add(watches, watcher, WatchKind::Persistent, path)?;
    }
    for path in &lists.persistent_recursive {
        add(watches, watcher, WatchKind::PersistentRecursive, path)?;
    }
    Ok(())
}
