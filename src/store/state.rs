//! The replicated state: what every member computes from the same log.
//!
//! Owns: the tree, the session table, the zxid, how far each member's batches have been applied, a
//! restore under way.
//! At all times: `apply` is a function of the state and the entry. No clock (time comes in as
//! `proposed_at_ms`, and never runs backwards), no randomness, no configuration.
//!
//! Invariants
//! 1. Every batch of a member's incarnation takes effect at most once, and in the order of its
//!    sequence numbers, whatever leaders did with it.
//! 2. Only the current attachment of a session is obeyed.
//! 3. The end of a session and of all its ephemerals is one step with one zxid.
//!
//! Rules from ZooKeeper 3.9: `PrepRequestProcessor`, `FinalRequestProcessor`, `DataTree#processTxn`.

mod restore_rows;
mod staging;

pub use restore_rows::RestoreRows;
pub use staging::{RESTORE_BYTES_MAX, RestoreUnderWay};

use super::codec::{FORMAT, FORMAT_FIRST};
use super::tree::{Idle, QuotaExceeded, Tree, WriteContext};
use super::{CheckpointDelta, SessionRecord, StateHeader, StateImage, StorageFault, StreamRecord};
use crate::model::{
    Answer, Change, Command, LogPosition, MemberBatch, MemberId, Membership, Operation, Outcome,
    Refusal, Request, Rules, SessionId, Zxid,
};
use crate::session::{Remembered, Session, SessionIds, SessionTable, began_local};
use parking_lot::RwLock;
use staging::Staged;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// One writer (the apply task), many readers. The writer takes it once per group of entries.
pub type SharedState = Arc<RwLock<State>>;

/// No znode holds more, whatever a member's own limit says: `apply` must not depend on settings.
pub const DATA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many entries' digests are remembered, to be compared with the leader's.
const DIGESTS_KEPT: usize = 4096;

/// What `apply` needs to know of the entry that carries a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryContext {
    pub position: LogPosition,
    /// The leader's date when it proposed the entry.
    pub proposed_at_ms: i64,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The zxid it took; for requests that take none, the one reached before it.
    pub zxid: Zxid,
    pub answer: Answer,
    pub changes: Vec<Change>,
    /// Limits of quotas that it reached past, also where it was refused for that.
    pub exceeded: Vec<QuotaExceeded>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchResult {
    /// Every request was applied and told of.
    Applied,
    /// It was applied before, or comes from an earlier run of its member.
    Skipped,
    /// Something before it is missing; its member has to send again from `expected` on.
    OutOfLine { expected: u64 },
}

/// A digest that is not the leader's: this member's state cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    pub index: u64,
    pub leader: u64,
    pub own: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Stream {
    incarnation: u64,
    last_sequence: u64,
}

impl Stream {
    /// Of a member that is gone: no incarnation is later than this.
    const CLOSED: Stream = Stream {
        incarnation: u64::MAX,
        last_sequence: u64::MAX,
    };
}

pub struct State {
    tree: Tree,
    sessions: SessionTable,
    zxid: Zxid,
    time_ms: i64,
    last_applied: Option<LogPosition>,
    membership: Membership,
    session_ids: SessionIds,
    streams: BTreeMap<MemberId, Stream>,
    /// The format of records that all members have been found to know.
    format: u32,
    /// What a restore has brought so far.
    staged: Option<Box<Staged>>,
    digests: VecDeque<(u64, u64)>,
    diverged: Option<Divergence>,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    pub fn new() -> State {
        State {
            tree: Tree::new(),
            sessions: SessionTable::new(),
            zxid: Zxid::ZERO,
            time_ms: 0,
            last_applied: None,
            membership: Membership::default(),
            session_ids: SessionIds::new(),
            streams: BTreeMap::new(),
            format: FORMAT_FIRST,
            staged: None,
            digests: VecDeque::new(),
            diverged: None,
        }
    }

    /// A state that came from elsewhere: without sessions, members and a log.
    pub fn of_tree(tree: Tree, zxid: Zxid, time_ms: i64) -> State {
        State {
            tree,
            zxid,
            time_ms,
            ..State::new()
        }
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// The format of records that may be written: all members know it. Never goes back.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// The zxid of the last write applied.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The date of the last entry applied, which never runs backwards.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    pub fn last_applied(&self) -> Option<LogPosition> {
        self.last_applied
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The zxid of the change that made the membership what `/zookeeper/config` shows.
    pub fn config_version(&self) -> Zxid {
        self.tree.config_version()
    }

    /// The last batch applied of one run of a member; 0 if none.
    pub fn last_sequence(&self, origin: MemberId, incarnation: u64) -> u64 {
        self.streams
            .get(&origin)
            .filter(|stream| stream.incarnation == incarnation)
            .map_or(0, |stream| stream.last_sequence)
    }

    /// Equal on all members that have applied the same entries.
    pub fn digest(&self) -> u64 {
        let mut mixed = self.tree.digest();
        for part in [
            self.zxid.0 as u64,
            self.session_ids.next() as u64,
            self.sessions.len() as u64,
        ] {
            mixed = (mixed ^ part)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        mixed ^ u64::from(self.format - FORMAT_FIRST)
    }

    /// Set once this member's digest has differed from the leader's; never cleared.
    pub fn diverged(&self) -> Option<Divergence> {
        self.diverged
    }

    /// Applies one batch of an entry. `advance` follows once all batches of the entry are applied.
    ///
    /// `each` is told of every request right after it took effect and before the next one does, with
    /// its index in the batch: a read that a client sent between two of its writes is served there.
    pub fn apply(
        &mut self,
        context: &EntryContext,
        batch: &MemberBatch,
        mut each: impl FnMut(&State, usize, Applied),
    ) -> BatchResult {
        let stream = self.streams.entry(batch.origin).or_default();
        if batch.incarnation < stream.incarnation {
            return BatchResult::Skipped;
        }
        let expected = if batch.incarnation > stream.incarnation {
            1
        } else {
            stream.last_sequence + 1
        };
        if batch.sequence < expected {
            return BatchResult::Skipped;
        }
        if batch.sequence > expected {
            return BatchResult::OutOfLine { expected };
        }
        let is_of_new_run = batch.incarnation > stream.incarnation;
        *stream = Stream {
            incarnation: batch.incarnation,
            last_sequence: batch.sequence,
        };
        if is_of_new_run {
            self.abandon_restore_of(batch.origin);
        }
        self.zxid = self.zxid.at_least_term(context.position.term);
        self.time_ms = self.time_ms.max(context.proposed_at_ms);
        for (index, request) in batch.requests.iter().enumerate() {
            let applied = self.request(context, batch, request);
            each(self, index, applied);
        }
        BatchResult::Applied
    }

    /// Takes note of a new membership. A settled one takes a zxid and is shown in
    /// `/zookeeper/config`; the step to it, during which two sets of voters decide, is not.
    ///
    /// The line of a member that is gone is closed: nothing of it is applied from here on, and its
    /// number is spent.
    pub fn apply_membership(&mut self, membership: Membership, changes: &mut Vec<Change>) {
        let before = self.membership.members.keys();
        for gone in before.filter(|id| !membership.members.contains_key(id)) {
            self.streams.insert(*gone, Stream::CLOSED);
            self.staged.take_if(|staged| staged.is_of(*gone));
        }
        if let Some(position) = membership.position {
            self.zxid = self.zxid.at_least_term(position.term);
        }
        self.membership = membership;
        if self.membership.is_settled() {
            self.zxid = self.zxid.next();
            let text = self.membership.config_text(self.zxid);
            self.tree
                .set_config(text.as_bytes(), self.zxid, self.time_ms, changes);
        }
    }

    /// Whether a member had this number that is gone. Another one under it would go on in its line,
    /// and could vote without knowing what was promised under it.
    pub fn number_is_spent(&self, id: MemberId) -> bool {
        self.streams.contains_key(&id) && !self.membership.members.contains_key(&id)
    }

    /// The entry at `position` has been applied whole.
    pub fn advance(&mut self, position: LogPosition) {
        self.last_applied = Some(position);
        if self.digests.len() == DIGESTS_KEPT {
            self.digests.pop_front();
        }
        let digest = self.digest();
        self.digests.push_back((position.index, digest));
    }

    fn request(
        &mut self,
        context: &EntryContext,
        batch: &MemberBatch,
        request: &Request,
    ) -> Applied {
        let rules = batch.rules;
        let mut changes = Vec::new();
        let answer = match &request.command {
            Command::CreateSession {
                password,
                timeout_ms,
            } => {
                self.zxid = self.zxid.next();
                let session = self.session_ids.draw();
                self.sessions
                    .create(session, *password, *timeout_ms)
                    .map(|generation| Outcome::SessionCreated {
                        session,
                        generation,
                        timeout_ms: *timeout_ms,
                    })
            }
            Command::AttachSession {
                session,
                password,
                timeout_ms,
            } => self
                .sessions
                .attach(*session, password, *timeout_ms)
                .map(|generation| Outcome::SessionAttached {
                    session: *session,
                    generation,
                    timeout_ms: *timeout_ms,
                }),
            Command::UpgradeSession {
                session,
                generation,
                password,
                timeout_ms,
            } => {
                self.zxid = self.zxid.next();
                let row = Session {
                    password: *password,
                    timeout_ms: *timeout_ms,
                    generation: *generation,
                    remembered: Remembered::default(),
                };
                self.upgrade(*session, row)
            }
            Command::CloseSession => {
                self.zxid = self.zxid.next();
                self.sessions
                    .check(request.session, request.generation)
                    .map(|()| self.close(request.session, &mut changes))
            }
            Command::ExpireSession {
                session,
                generation,
            } => {
                if self.sessions.is_current(*session, *generation) {
                    self.zxid = self.zxid.next();
                    Ok(self.close(*session, &mut changes))
                } else {
                    Err(Refusal::UnknownSession)
                }
            }
            Command::Sync => Ok(Outcome::Synced),
            Command::Operation(operation) => {
                self.zxid = self.zxid.next();
                // It has one at most; a vector that grows by itself would take room for four.
                changes.reserve_exact(1);
                self.sessions
                    .check(request.session, request.generation)
                    .and_then(|()| {
                        let context = self.write_context(rules, request);
                        self.tree.apply(&context, operation, &mut changes)
                    })
            }
            Command::Multi(operations) => {
                self.zxid = self.zxid.next();
                self.sessions
                    .check(request.session, request.generation)
                    .map(|()| {
                        let context = self.write_context(rules, request);
                        Outcome::Multi(self.tree.apply_multi(&context, operations, &mut changes))
                    })
            }
            Command::Once { number, operations } => {
                match self.sessions.check(request.session, request.generation) {
                    Ok(()) => Ok(self.once(rules, request, *number, operations, &mut changes)),
                    Err(refusal) => {
                        self.zxid = self.zxid.next();
                        Err(refusal)
                    }
                }
            }
            Command::VerifyDigest { index, digest } => {
                self.compare(*index, *digest);
                Ok(Outcome::DigestVerified)
            }
            Command::RemoveContainer { path } => self.remove(path, Idle::Emptied, &mut changes),
            Command::RemoveUnusedContainer {
                path,
                unused_ms_max,
            } => {
                let idle = Idle::Unused {
                    ms_max: *unused_ms_max,
                };
                self.remove(path, idle, &mut changes)
            }
            Command::RemoveExpired { path } => self.remove(path, Idle::Expired, &mut changes),
            Command::AgreeOnFormat { format } => {
                self.format = self.format.max(*format);
                Ok(Outcome::FormatAgreed {
                    format: self.format,
                })
            }
            Command::BeginRestore(announced) => {
                self.begin_restore(context.position.index, batch.origin, *announced)
            }
            Command::RestoreRows { restore, rows } => self.stage_rows(*restore, rows),
            Command::FinishRestore { restore } => self.finish_restore(*restore),
            Command::AbortRestore { restore } => self.abort_restore(*restore),
        };
        Applied {
            zxid: self.zxid,
            answer,
            changes,
            exceeded: self.tree.take_exceeded(),
        }
    }

    /// Takes no zxid where there is nothing to do any more.
    fn once(
        &mut self,
        rules: Rules,
        request: &Request,
        number: u64,
        operations: &[Operation],
        changes: &mut Vec<Change>,
    ) -> Outcome {
        if let Some(zxid) = self.sessions.done(request.session, number) {
            return Outcome::Replayed { zxid };
        }
        self.zxid = self.zxid.next();
        let context = self.write_context(rules, request);
        let outcomes = self.tree.apply_multi(&context, operations, changes);
        if outcomes.is_ok() {
            self.sessions.remember(request.session, number, self.zxid);
        }
        Outcome::Multi(outcomes)
    }

    /// The leader's removal of an idle znode: takes a zxid only if there is something to remove.
    fn remove(&mut self, path: &str, idle: Idle, changes: &mut Vec<Change>) -> Answer {
        let zxid = self.zxid.next();
        let removed = self
            .tree
            .remove_idle(path, idle, zxid, self.time_ms, changes);
        if removed.is_ok() {
            self.zxid = zxid;
        }
        removed
    }

    fn write_context<'a>(&self, rules: Rules, request: &'a Request) -> WriteContext<'a> {
        WriteContext {
            zxid: self.zxid,
            time_ms: self.time_ms,
            session: request.session,
            identities: &request.identities,
            rules,
            data_bytes_max: DATA_BYTES_MAX,
        }
    }

    fn upgrade(&mut self, session: SessionId, row: Session) -> Answer {
        // No other id is free for ever: the counter would come to it.
        if !began_local(session) || row.generation == 0 {
            return Err(Refusal::BadArguments);
        }
        let created = Outcome::SessionCreated {
            session,
            generation: row.generation,
            timeout_ms: row.timeout_ms,
        };
        self.sessions.adopt(session, row)?;
        Ok(created)
    }

    fn close(&mut self, session: SessionId, changes: &mut Vec<Change>) -> Outcome {
        self.tree
            .remove_ephemerals(session, self.zxid, self.time_ms, changes);
        self.sessions.remove(session);
        Outcome::SessionClosed
    }

    fn compare(&mut self, index: u64, leader: u64) {
        let own = self
            .digests
            .iter()
            .rev()
            .find(|(at, _)| *at == index)
            .map(|(_, own)| *own);
        if let Some(own) = own.filter(|own| *own != leader) {
            self.diverged
                .get_or_insert(Divergence { index, leader, own });
        }
    }

    fn header(&self) -> StateHeader {
        StateHeader {
            zxid: self.zxid,
            time_ms: self.time_ms,
            last_applied: self.last_applied,
            membership: self.membership.clone(),
            next_session: self.session_ids.next(),
            format: self.format,
            streams: self
                .streams
                .iter()
                .map(|(origin, stream)| StreamRecord {
                    origin: *origin,
                    incarnation: stream.incarnation,
                    last_sequence: stream.last_sequence,
                })
                .collect(),
            digest: self.digest(),
            znodes: self.tree.znode_count() as u64,
            sessions: self.sessions.len() as u64,
        }
    }

    /// The whole state as it is now, but for a restore under way. Cheap for the tree (copy-on-write),
    /// linear in the sessions.
    pub fn freeze(&self) -> StateImage {
        StateImage {
            header: self.header(),
            tree: self.tree.freeze(),
            sessions: self
                .sessions
                .iter()
                .map(|(id, session)| record(id, session))
                .collect(),
        }
    }

    /// Rows that changed since the last `take_delta`.
    pub fn changed(&self) -> usize {
        self.tree.changed() + self.sessions.changed()
    }

    /// What changed since the last call.
    pub fn take_delta(&mut self) -> CheckpointDelta {
        let slots = self.tree.take_dirty();
        let sessions = self
            .sessions
            .take_dirty()
            .into_iter()
            .map(|(id, session)| (id, session.map(|session| record(id, &session))))
            .collect();
        CheckpointDelta {
            header: self.header(),
            tree: self.tree.freeze(),
            slots,
            sessions,
        }
    }

    /// Puts a state together from its rows, and refuses rows that do not add up to the header.
    pub fn restore(
        source: &Path,
        header: StateHeader,
        tree: Tree,
        sessions: Vec<SessionRecord>,
    ) -> Result<State, StorageFault> {
        let Some(session_ids) = SessionIds::resume(header.next_session) else {
            return Err(StorageFault::damaged(
                source,
                0,
                "the next session id is no session id",
            ));
        };
        if !(FORMAT_FIRST..=FORMAT).contains(&header.format) {
            return Err(StorageFault::UnknownVersion {
                path: source.to_owned(),
                what: "format",
                found: header.format,
                known: FORMAT,
            });
        }
        let sessions = SessionTable::from_rows(sessions.into_iter().map(|row| {
            let session = Session {
                password: row.password,
                timeout_ms: row.timeout_ms,
                generation: row.generation,
                remembered: Remembered::from_rows(row.remembered),
            };
            (row.id, session)
        }));
        let state = State {
            tree,
            sessions,
            zxid: header.zxid,
            time_ms: header.time_ms,
            last_applied: header.last_applied,
            membership: header.membership,
            session_ids,
            streams: header
                .streams
                .iter()
                .map(|row| {
                    let stream = Stream {
                        incarnation: row.incarnation,
                        last_sequence: row.last_sequence,
                    };
                    (row.origin, stream)
                })
                .collect(),
            format: header.format,
            staged: None,
            digests: VecDeque::new(),
            diverged: None,
        };
        let found = [
            state.tree.znode_count() as u64,
            state.sessions.len() as u64,
            state.digest(),
        ];
        let promised = [header.znodes, header.sessions, header.digest];
        for (what, (found, promised)) in ["znodes", "sessions", "digest"]
            .iter()
            .zip(found.iter().zip(promised))
        {
            if *found != promised {
                let what = format!("{what}: {found:#x} where the header says {promised:#x}");
                return Err(StorageFault::damaged(source, 0, what));
            }
        }
        Ok(state)
    }
}

fn record(id: SessionId, session: &Session) -> SessionRecord {
    SessionRecord {
        id,
        password: session.password,
        timeout_ms: session.timeout_ms,
        generation: session.generation,
        remembered: session.remembered.iter().collect(),
    }
}

#[cfg(test)]
mod tests;
