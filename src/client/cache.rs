//! A copy of a path and all below it, kept up to date.
//!
//! Owns: the entries, and who is told of their changes.
//! At all times: whoever is told of a change finds it in the cache, with all of its transaction; nobody finds
//! anything older than they found before. What is cached is what the ensemble had at some moment, or comes to be:
//! while the first state is read, entries of it are as new as they may be.
//!
//! It follows the change log and not `Follow`, which tells events and not transactions: a stream that breaks
//! between two events of one write cannot go on between them.
//!
//! | the cache says | when | what it has |
//! |---|---|---|
//! | CONNECTED | a session lives, and a member tells what happens | what happened of late |
//! | SUSPENDED | neither is known | what was told until then |
//! | RECONNECTED | the same session lives, and a member goes on | what happened meanwhile follows |
//! | LOST | the session is over | what was told until then: it is *stale* until it says CONNECTED again |

use super::error::Error;
use super::events::{Event, Interest, Start, Subscription};
use super::state::ConnectionState;
use super::{Change, ChangeKind, Client, Entry};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Events that a listener may be behind before it is told everything anew.
pub const CACHE_EVENTS_MAX: usize = 1024;

/// How much a cache may hold, and as much again while it is read anew; one that needs more ends with
/// [`Error::CacheFull`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    pub entries_max: usize,
    /// Bytes of paths and values.
    pub bytes_max: usize,
}

impl Default for CacheOptions {
    /// A hundred thousand entries, 256 MiB.
    fn default() -> CacheOptions {
        CacheOptions {
            entries_max: 100_000,
            bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// An entry as it was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedEntry {
    pub path: String,
    pub value: Bytes,
    pub version: i32,
    /// The session that it ends with; 0 for a persistent one.
    pub session_id: i64,
    /// Of the change that set it.
    pub zxid: i64,
}

impl CachedEntry {
    fn bytes(&self) -> usize {
        self.path.len() + self.value.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheChange {
    Added,
    /// With the new value.
    Updated,
    /// With the last value.
    Removed,
}

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheEvent {
    Changed {
        change: CacheChange,
        entry: Arc<CachedEntry>,
        zxid: i64,
    },
    /// All entries that there were have been told as ADDED. `missed`: because the listener was too slow, and what
    /// it knew before and was not told again is gone.
    Initial { zxid: i64, missed: bool },
    /// See the table of the module.
    State(ConnectionState),
}

#[derive(Default)]
struct Tree {
    entries: BTreeMap<String, Arc<CachedEntry>>,
    bytes: usize,
    zxid: i64,
}

impl Tree {
    fn put(&mut self, entry: Arc<CachedEntry>) {
        self.bytes += entry.bytes();
        let before = self.entries.insert(entry.path.clone(), entry);
        self.bytes -= before.map_or(0, |before| before.bytes());
    }

    fn remove(&mut self, path: &str) {
        if let Some(before) = self.entries.remove(path) {
            self.bytes -= before.bytes();
        }
    }

    fn check(&self, options: &CacheOptions) -> Result<(), Error> {
        let (what, limit) = if self.entries.len() > options.entries_max {
            ("entries", options.entries_max)
        } else if self.bytes > options.bytes_max {
            ("bytes", options.bytes_max)
        } else {
            return Ok(());
        };
        Err(Error::CacheFull { what, limit })
    }

    /// Takes all changes of one transaction or, if they are too much, none; and tells what they come to: an entry
    /// that was taken over was never away.
    fn take(
        &mut self,
        zxid: i64,
        changes: Vec<Change>,
        options: &CacheOptions,
    ) -> Result<Vec<CacheEvent>, Error> {
        let mut before: BTreeMap<String, Option<Arc<CachedEntry>>> = BTreeMap::new();
        let mut order = Vec::new();
        for change in changes {
            let kind = change.kind();
            if let btree_map::Entry::Vacant(place) = before.entry(change.path.clone()) {
                place.insert(self.entries.get(&change.path).cloned());
                order.push(change.path.clone());
            }
            match kind {
                ChangeKind::Removed => self.remove(&change.path),
                ChangeKind::Added | ChangeKind::Updated => self.put(Arc::new(CachedEntry {
                    path: change.path,
                    value: change.value,
                    version: change.version,
                    session_id: change.session_id,
                    zxid,
                })),
                ChangeKind::AccessChanged | ChangeKind::Unspecified => {}
            }
        }
        if let Err(full) = self.check(options) {
            for (path, entry) in before {
                self.remove(&path);
                entry.into_iter().for_each(|entry| self.put(entry));
            }
            return Err(full);
        }
        self.zxid = zxid;
        let net = |path: &String| difference(before[path].as_ref(), self.entries.get(path), zxid);
        Ok(order.iter().filter_map(net).collect())
    }

    /// How `next`, which is told in one go, is another tree.
    fn differences(&self, next: &Tree) -> Vec<CacheEvent> {
        let gone = self.entries.iter().rev().filter_map(|(path, before)| {
            let is_gone = !next.entries.contains_key(path);
            is_gone.then(|| changed(CacheChange::Removed, before, next.zxid))
        });
        let news = next
            .entries
            .iter()
            .filter_map(|(path, entry)| difference(self.entries.get(path), Some(entry), next.zxid));
        gone.chain(news).collect()
    }
}

fn changed(change: CacheChange, entry: &Arc<CachedEntry>, zxid: i64) -> CacheEvent {
    CacheEvent::Changed {
        change,
        entry: entry.clone(),
        zxid,
    }
}

fn difference(
    before: Option<&Arc<CachedEntry>>,
    after: Option<&Arc<CachedEntry>>,
    zxid: i64,
) -> Option<CacheEvent> {
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some(changed(CacheChange::Added, after, zxid)),
        (Some(before), Some(after)) if before == after => None,
        (Some(_), Some(after)) => Some(changed(CacheChange::Updated, after, zxid)),
        (Some(before), None) => Some(changed(CacheChange::Removed, before, zxid)),
    }
}

struct Content {
    tree: Tree,
    state: ConnectionState,
    error: Option<Error>,
    /// `None` once nothing is told any more.
    listeners: Option<broadcast::Sender<CacheEvent>>,
}

struct Inner {
    /// Changed and told of under one lock, so that who is told finds it changed.
    content: RwLock<Content>,
    reached: watch::Sender<i64>,
    options: CacheOptions,
}

impl Inner {
    /// Changes what there is, and then tells of it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<(Vec<CacheEvent>, T), Error>,
    ) -> Result<T, Error> {
        let mut content = self.content.write();
        let (events, done) = change(&mut content)?;
        if let Some(listeners) = &content.listeners {
            for event in events {
                // That nobody listens is no error.
                let _ = listeners.send(event);
            }
        }
        let zxid = content.tree.zxid;
        drop(content);
        self.reached
            .send_if_modified(|reached| std::mem::replace(reached, zxid.max(*reached)) < zxid);
        Ok(done)
    }

    fn tell(&self, state: ConnectionState) {
        let told = self.change(|content| {
            let is_news = content.state != state;
            content.state = state;
            let event = is_news.then_some(CacheEvent::State(state));
            Ok((event.into_iter().collect(), ()))
        });
        told.expect("nothing is put into the tree");
    }

    fn end(&self, error: Error) {
        if matches!(error, Error::Closed | Error::SessionLost) {
            self.tell(ConnectionState::Lost);
        }
        let mut content = self.content.write();
        content.error = Some(error);
        content.listeners = None;
        drop(content);
        self.reached.send_modify(|_| {});
    }
}

/// See the module's text. Handles are cheap to clone; the cache is kept until the last of them is dropped.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    client: Client,
    _stop: Arc<DropGuard>,
}

impl Client {
    /// A copy of a path, which need not be there yet, and of all below it that this client may read. Returns once
    /// it has what there is.
    ///
    /// ```no_run
    /// # async fn example(client: vivarium::client::Client) -> Result<(), vivarium::client::Error> {
    /// use vivarium::client::{CacheEvent, CacheOptions};
    ///
    /// let cache = client.cache("/nodes", CacheOptions::default()).await?;
    /// let mut listener = cache.listen();
    /// while let Some(event) = listener.next().await {
    ///     if let CacheEvent::Changed { change, entry, .. } = event {
    ///         println!("{change:?} {}; now {} of them", entry.path, cache.children("/nodes").len());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Changes::subscribe`](super::Changes::subscribe), and [`Error::CacheFull`].
    pub async fn cache(&self, path: &str, options: CacheOptions) -> Result<Cache, Error> {
        let deadline = self.deadline();
        let states = self.states();
        let mut subscription = self
            .changes()
            .subscribe(Interest {
                start: Start::Snapshot,
                ..Interest::new([path])
            })
            .await?;
        let mut reading = Tree::default();
        let inner = Arc::new(Inner {
            content: RwLock::new(Content {
                tree: Tree::default(),
                state: ConnectionState::Connected,
                error: None,
                listeners: Some(broadcast::Sender::new(CACHE_EVENTS_MAX)),
            }),
            reached: watch::Sender::new(0),
            options,
        });
        let first = async {
            while inner.content.read().tree.zxid == 0 {
                take(&inner, &mut reading, subscription.next().await?)?;
            }
            Ok(())
        };
        let late = || Error::TimedOut {
            sent: true,
            last: None,
        };
        deadline.of(first, late).await?;
        let stop = CancellationToken::new();
        let guard = Arc::new(stop.clone().drop_guard());
        tokio::spawn({
            let (inner, client) = (inner.clone(), self.clone());
            async move {
                let kept = keep(&inner, &client, states, subscription, reading);
                let why = tokio::select! {
                    biased;
                    () = stop.cancelled() => Error::Closed,
                    why = kept => why,
                };
                inner.end(why);
            }
        });
        Ok(Cache {
            inner,
            client: self.clone(),
            _stop: guard,
        })
    }
}

/// Goes on until there is no sense in it.
async fn keep(
    inner: &Inner,
    client: &Client,
    mut states: super::States,
    mut subscription: Subscription,
    mut reading: Tree,
) -> Error {
    let mut is_watched = true;
    loop {
        let event = tokio::select! {
            biased;
            state = states.next(), if is_watched => {
                match state {
                    Some(state) if !state.is_connected() => inner.tell(state),
                    Some(_) => {}
                    None => is_watched = false,
                }
                None
            }
            event = subscription.next() => Some(event),
        };
        let taken = event.map_or(Ok(()), |event| take(inner, &mut reading, event?));
        if let Err(error) = taken {
            return error;
        }
        if subscription.is_open() && client.state().is_connected() {
            let state = inner.content.read().state;
            match state {
                ConnectionState::Suspended => inner.tell(ConnectionState::Reconnected),
                ConnectionState::Lost => inner.tell(ConnectionState::Connected),
                ConnectionState::Connected | ConnectionState::Reconnected => {}
            }
        }
    }
}

/// `reading` is what a snapshot has told so far.
fn take(inner: &Inner, reading: &mut Tree, event: Event) -> Result<(), Error> {
    match event {
        Event::SnapshotBegin { .. } => *reading = Tree::default(),
        Event::Entry(entry) => {
            reading.put(Arc::new(cached(*entry)));
            reading.check(&inner.options)?;
        }
        Event::SnapshotEnd { zxid } => {
            let mut next = std::mem::take(reading);
            next.zxid = zxid;
            inner.change(|content| {
                let events = content.tree.differences(&next);
                content.tree = next;
                Ok((events, ()))
            })?;
        }
        Event::Transaction(told) => inner.change(|content| {
            let events = content.tree.take(told.zxid, told.changes, &inner.options)?;
            Ok((events, ()))
        })?,
        Event::Progress { zxid } => inner.change(|content| {
            content.tree.zxid = zxid.max(content.tree.zxid);
            Ok((Vec::new(), ()))
        })?,
    }
    Ok(())
}

fn cached(entry: Entry) -> CachedEntry {
    CachedEntry {
        path: entry.path,
        value: entry.value,
        version: entry.version,
        session_id: entry.session_id,
        zxid: entry.modified_zxid,
    }
}

impl Cache {
    pub fn get(&self, path: &str) -> Option<Arc<CachedEntry>> {
        self.inner.content.read().tree.entries.get(path).cloned()
    }

    /// The entries right below a path, ascending by their bytes.
    pub fn children(&self, path: &str) -> Vec<Arc<CachedEntry>> {
        let prefix = match path {
            "/" => "/".to_owned(),
            path => format!("{path}/"),
        };
        let content = self.inner.content.read();
        let below = content.tree.entries.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        let children = below.filter(|(path, _)| {
            let name = &path[prefix.len()..];
            !name.is_empty() && !name.contains('/')
        });
        children.map(|(_, entry)| entry.clone()).collect()
    }

    /// All entries as they were at one moment, parents before what is below them, and the zxid of that.
    pub fn entries(&self) -> (i64, Vec<Arc<CachedEntry>>) {
        let content = self.inner.content.read();
        let entries = content.tree.entries.values().cloned().collect();
        (content.tree.zxid, entries)
    }

    /// Everything up to here is in the cache. Never goes back.
    pub fn zxid(&self) -> i64 {
        self.inner.content.read().tree.zxid
    }

    /// Returns once the cache has everything up to a zxid, as that of a write of this client.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the client's request timeout; why the cache has ended.
    pub async fn reached(&self, zxid: i64) -> Result<(), Error> {
        let mut reached = self.inner.reached.subscribe();
        let reach = async {
            loop {
                if *reached.borrow_and_update() >= zxid {
                    return Ok(());
                }
                if let Some(error) = self.error() {
                    return Err(error);
                }
                // The sender lives as long as this handle.
                let _ = reached.changed().await;
            }
        };
        let late = || Error::TimedOut {
            sent: false,
            last: None,
        };
        self.client.deadline().of(reach, late).await
    }

    /// By this process' own clock, as [`Client::state`].
    pub fn state(&self) -> ConnectionState {
        let told = self.inner.content.read().state;
        let known = self.client.state();
        match told.is_connected() && !known.is_connected() {
            true => known,
            false => told,
        }
    }

    /// Whether the session was lost, or the cache has ended: what it has may be as old as one likes.
    pub fn is_stale(&self) -> bool {
        self.state() == ConnectionState::Lost || self.error().is_some()
    }

    /// Why it is not kept up to date any more.
    pub fn error(&self) -> Option<Error> {
        self.inner.content.read().error.clone()
    }

    /// What there is now, as ADDED, and then every change.
    pub fn listen(&self) -> CacheListener {
        let mut listener = CacheListener {
            inner: self.inner.clone(),
            initial: Vec::new().into_iter(),
            initial_end: None,
            events: None,
        };
        listener.begin(false);
        listener
    }
}

/// Someone who is told of each change, after the cache has it. It does not keep the cache.
pub struct CacheListener {
    inner: Arc<Inner>,
    initial: std::vec::IntoIter<Arc<CachedEntry>>,
    /// The zxid of that, and whether something was missed.
    initial_end: Option<(i64, bool)>,
    events: Option<broadcast::Receiver<CacheEvent>>,
}

impl CacheListener {
    fn begin(&mut self, missed: bool) {
        let content = self.inner.content.read();
        let entries: Vec<_> = content.tree.entries.values().cloned().collect();
        self.initial = entries.into_iter();
        self.initial_end = Some((content.tree.zxid, missed));
        self.events = content.listeners.as_ref().map(|tell| tell.subscribe());
    }

    /// What comes next; `None` once the cache has ended ([`Cache::error`]). A call that is given up loses nothing.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        loop {
            if let Some((zxid, missed)) = self.initial_end {
                if let Some(entry) = self.initial.next() {
                    return Some(changed(CacheChange::Added, &entry, zxid));
                }
                self.initial_end = None;
                return Some(CacheEvent::Initial { zxid, missed });
            }
            match self.events.as_mut()?.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => self.begin(true),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: CacheOptions = CacheOptions {
        entries_max: 3,
        bytes_max: 100,
    };

    fn change(kind: ChangeKind, path: &str, value: &str) -> Change {
        Change {
            kind: kind.into(),
            path: path.to_owned(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..Change::default()
        }
    }

    fn told(events: Vec<CacheEvent>) -> Vec<(CacheChange, String, String)> {
        let one = |event| match event {
            CacheEvent::Changed { change, entry, .. } => {
                let value = String::from_utf8(entry.value.to_vec()).unwrap();
                (change, entry.path.clone(), value)
            }
            other => panic!("{other:?}"),
        };
        events.into_iter().map(one).collect()
    }

    fn of(change: CacheChange, path: &str, value: &str) -> (CacheChange, String, String) {
        (change, path.to_owned(), value.to_owned())
    }

    #[test]
    fn a_transaction_is_told_as_what_it_comes_to() {
        use ChangeKind::{Added, Removed, Updated};
        let mut tree = Tree::default();
        let mut take = |zxid, changes| told(tree.take(zxid, changes, &OPTIONS).unwrap());
        let first = take(
            1,
            vec![change(Added, "/a", "1"), change(Added, "/a/b", "2")],
        );
        let added = CacheChange::Added;
        assert_eq!(first, [of(added, "/a", "1"), of(added, "/a/b", "2")]);
        // Taken over, and something that came and went.
        let second = take(
            2,
            vec![
                change(Removed, "/a/b", "2"),
                change(Added, "/a/b", "3"),
                change(Added, "/a/c", ""),
                change(Removed, "/a/c", ""),
            ],
        );
        assert_eq!(second, [of(CacheChange::Updated, "/a/b", "3")]);
        let third = take(
            3,
            vec![
                change(Updated, "/a/b", "4"),
                change(Removed, "/a/b", "4"),
                change(ChangeKind::AccessChanged, "/a", ""),
            ],
        );
        assert_eq!(third, [of(CacheChange::Removed, "/a/b", "3")]);
        assert_eq!((tree.zxid, tree.bytes), (3, 3));
    }

    #[test]
    fn what_is_too_much_is_not_taken_in_parts() {
        use ChangeKind::{Added, Removed, Updated};
        let mut tree = Tree::default();
        let two = vec![change(Added, "/a", "1"), change(Added, "/b", "2")];
        tree.take(1, two, &OPTIONS).unwrap();
        let (before, bytes) = (tree.entries.clone(), tree.bytes);
        let many = vec![
            change(Removed, "/a", "1"),
            change(Updated, "/b", "3"),
            change(Added, "/c", ""),
            change(Added, "/d", ""),
            change(Added, "/e", ""),
        ];
        let large = vec![change(Updated, "/a", &"x".repeat(100))];
        for (changes, what, limit) in [(many, "entries", 3), (large, "bytes", 100)] {
            let full = tree.take(2, changes, &OPTIONS).unwrap_err();
            assert_eq!(full, Error::CacheFull { what, limit });
            assert_eq!((&tree.entries, tree.bytes), (&before, bytes));
            assert_eq!(tree.zxid, 1);
        }
    }

    #[test]
    fn what_a_gap_has_changed_is_told() {
        use ChangeKind::Added;
        let tree = |zxid, values: &[(&str, &str)]| {
            let changes = values
                .iter()
                .map(|(path, value)| change(Added, path, value));
            let mut tree = Tree::default();
            tree.take(zxid, changes.collect(), &OPTIONS).unwrap();
            tree
        };
        let before = tree(5, &[("/a", "1"), ("/a/b", "2"), ("/c", "3")]);
        let mut after = tree(5, &[("/c", "3")]);
        let newer = vec![
            change(ChangeKind::Updated, "/c", "4"),
            change(Added, "/d", "5"),
        ];
        after.take(9, newer, &OPTIONS).unwrap();
        assert_eq!(
            told(before.differences(&after)),
            [
                of(CacheChange::Removed, "/a/b", "2"),
                of(CacheChange::Removed, "/a", "1"),
                of(CacheChange::Updated, "/c", "4"),
                of(CacheChange::Added, "/d", "5"),
            ]
        );
    }
}
