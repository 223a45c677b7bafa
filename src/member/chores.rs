//! What the leader does besides proposing: asks all members to compare digests, removes znodes that are
//! nobody's any more, moves the ensemble on to a newer format once every member knows it, takes in the
//! observers that the cluster was founded with, and ends changes of voters that an earlier leader left half
//! done.
//!
//! At all times: chores only propose; what comes of it is decided at apply, on every member.

use super::handle::Shared;
use super::session_clock::internal;
use crate::model::{Command, MemberAddresses, MemberId, Zxid};
use crate::raft::Consensus;
use crate::runtime::Clock;
use crate::store::codec::{self, FORMAT, FORMAT_FIRST};
use crate::store::tree::Tree;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often members compare digests, while there are writes.
const DIGEST_INTERVAL: Duration = Duration::from_secs(10);

/// When emptied containers and outlived znodes are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleOptions {
    /// ZooKeeper's `znode.container.checkIntervalMs`.
    pub check_interval: Duration,
    /// ZooKeeper's `znode.container.maxPerMinute`; also the most that one look takes on.
    pub removals_per_minute_max: u64,
    /// How long a container may wait for its first child (`znode.container.maxNeverUsedIntervalMs`).
    pub unused_container_ms_max: Option<u64>,
}

impl Default for IdleOptions {
    /// ZooKeeper's defaults.
    fn default() -> IdleOptions {
        IdleOptions {
            check_interval: Duration::from_secs(60),
            removals_per_minute_max: 10_000,
            unused_container_ms_max: None,
        }
    }
}

impl IdleOptions {
    /// How many removals are proposed in one go, and the pause after them.
    fn pace(&self) -> (usize, Duration) {
        const GOES_PER_MINUTE: u64 = 60;
        match self.removals_per_minute_max {
            max @ 0..GOES_PER_MINUTE => (1, Duration::from_secs(60) / max.max(1) as u32),
            max => ((max / GOES_PER_MINUTE) as usize, Duration::from_secs(1)),
        }
    }

    /// What to propose now. Emptied containers come first, then outlived znodes.
    fn removals(&self, tree: &Tree, now_ms: i64) -> Vec<Command> {
        let emptied = tree.emptied_containers().into_iter();
        let emptied = emptied.map(|path| Command::RemoveContainer { path });
        let expired = tree.expired(now_ms).into_iter();
        let expired = expired.map(|path| Command::RemoveExpired { path });
        let unused = self.unused_container_ms_max.into_iter().flat_map(|max| {
            let paths = tree.unused_containers(max, now_ms).into_iter();
            paths.map(move |path| Command::RemoveUnusedContainer {
                path,
                unused_ms_max: max,
            })
        });
        let count = usize::try_from(self.removals_per_minute_max).unwrap_or(usize::MAX);
        emptied.chain(expired).chain(unused).take(count).collect()
    }
}

/// How often it is looked whether all members know a newer format, until the newest is agreed on.
const FORMAT_INTERVAL: Duration = Duration::from_millis(25);

/// Pause before a change of the membership that could not be made is tried again.
const CHANGE_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the member stops.
pub(super) async fn compare_digests(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    let mut compared = Zxid::ZERO;
    loop {
        tokio::time::sleep(DIGEST_INTERVAL).await;
        if !leadership.borrow().leads {
            continue;
        }
        let (zxid, position, digest) = {
            let state = shared.state.read();
            (state.zxid(), state.last_applied(), state.digest())
        };
        // An idle cluster writes nothing for it.
        if let Some(position) = position.filter(|_| zxid != compared) {
            compared = zxid;
            let command = Command::VerifyDigest {
                index: position.index,
                digest,
            };
            shared.submit(std::iter::once((internal(command), None)));
        }
    }
}

/// Proposes the removal of idle znodes while this member leads. Runs until the member stops.
///
/// Age is judged by what this leader's clock will say in the entry that removes: in an idle cluster the
/// state's own time stands still.
///
/// Rules from ZooKeeper 3.9 `ContainerManager`.
pub(super) async fn remove_idle(
    shared: Arc<Shared>,
    consensus: Consensus,
    clock: Arc<dyn Clock>,
    options: IdleOptions,
) {
    let leadership = consensus.leadership();
    let (at_once, pause) = options.pace();
    loop {
        tokio::time::sleep(options.check_interval).await;
        if !leadership.borrow().leads {
            continue;
        }
        let removals = {
            let state = shared.state.read();
            let now_ms = state.time_ms().max(clock.wall_ms());
            let removals = options.removals(state.tree(), now_ms).into_iter();
            let known = |command: &Command| codec::format_of_command(command) <= state.format();
            removals.filter(known).collect::<Vec<_>>()
        };
        if !removals.is_empty() {
            tracing::debug!(znodes = removals.len(), "removing idle znodes");
        }
        for some in removals.chunks(at_once) {
            if !leadership.borrow().leads {
                break;
            }
            let requests = some.iter().cloned();
            shared.submit(requests.map(|command| (internal(command), None)));
            tokio::time::sleep(pause).await;
        }
    }
}

/// Proposes the newest format that all members know, while this member leads. Ends when nothing newer
/// than what was agreed on is known here.
pub(super) async fn agree_on_format(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    let mut proposed = FORMAT_FIRST;
    loop {
        let agreed = shared.state.read().format();
        if agreed >= FORMAT {
            return;
        }
        let known = consensus.format_known_to_all();
        if leadership.borrow().leads && known > proposed.max(agreed) {
            let command = Command::AgreeOnFormat { format: known };
            shared.submit(std::iter::once((internal(command), None)));
            proposed = known;
        }
        tokio::time::sleep(FORMAT_INTERVAL).await;
    }
}

/// Adds the founding observers that never were members, once this member leads: one that was taken
/// out stays out. Ends when there is nothing left to add.
pub(super) async fn add_observers(
    observers: BTreeMap<MemberId, MemberAddresses>,
    consensus: Consensus,
) {
    let mut leadership = consensus.leadership();
    for (id, addresses) in observers {
        let mut told = String::new();
        loop {
            if leadership
                .wait_for(|now| now.leader.is_some())
                .await
                .is_err()
            {
                return;
            }
            if consensus.had_member(id) {
                break;
            }
            if leadership.borrow().leads {
                match consensus.add_observer(id, addresses.clone()).await {
                    Ok(()) => break,
                    Err(error) => {
                        let error = error.to_string();
                        if error != told {
                            tracing::warn!(member = %id, error, "observer not added yet");
                            told = error;
                        }
                    }
                }
            }
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }
}

/// Whenever this member begins to lead, ends what an earlier leader left half done. Runs until the
/// member stops.
pub(super) async fn end_interrupted_changes(consensus: Consensus) {
    let mut leadership = consensus.leadership();
    loop {
        while leadership.borrow_and_update().leads && !consensus.is_settled() {
            consensus.end_interrupted_change().await;
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Acl, CreateMode, LogPosition, MemberBatch, Operation, Password, Request, Rules, SessionId,
    };
    use crate::store::{EntryContext, State};

    /// A state with one session, and the entries applied to it so far.
    struct Bench {
        state: State,
        entries: u64,
        session: SessionId,
        generation: u32,
    }

    impl Bench {
        fn new() -> Bench {
            let mut bench = Bench {
                state: State::new(),
                entries: 0,
                session: SessionId::NONE,
                generation: 0,
            };
            let create_session = Command::CreateSession {
                password: Password([7; 16]),
                timeout_ms: 10_000,
            };
            bench.apply(0, vec![internal(create_session)]);
            let (session, row) = bench.state.sessions().iter().next().expect("it was made");
            (bench.session, bench.generation) = (session, row.generation);
            bench
        }

        /// Applies the requests as one batch, dated `now_ms`.
        fn apply(&mut self, now_ms: i64, requests: Vec<Request>) {
            self.entries += 1;
            let position = LogPosition {
                term: 1,
                index: self.entries,
            };
            let context = EntryContext {
                position,
                proposed_at_ms: now_ms,
            };
            let batch = MemberBatch {
                origin: MemberId(1),
                incarnation: 1,
                sequence: self.entries,
                rules: Rules::NONE,
                requests,
            };
            self.state.apply(&context, &batch, |_, _, _| {});
            self.state.advance(position);
        }

        fn write(&mut self, now_ms: i64, operations: Vec<Operation>) {
            let of_session = |operation| Request {
                session: self.session,
                generation: self.generation,
                ..internal(Command::Operation(operation))
            };
            let requests = operations.into_iter().map(of_session).collect();
            self.apply(now_ms, requests);
        }
    }

    fn create(path: String, mode: CreateMode) -> Operation {
        Operation::Create {
            path,
            data: None,
            acl: Acl::open(),
            mode,
        }
    }

    #[test]
    fn a_look_is_bounded_and_what_it_proposes_needs_no_session() {
        let options = IdleOptions {
            removals_per_minute_max: 1_000,
            ..IdleOptions::default()
        };
        let mut bench = Bench::new();
        let mut operations = Vec::new();
        for n in 0..1_001 {
            let child = format!("/{n}/x");
            operations.push(create(format!("/{n}"), CreateMode::Container));
            operations.push(create(child.clone(), CreateMode::Persistent));
            operations.push(Operation::Delete {
                path: child,
                version: -1,
            });
        }
        bench.write(0, operations);
        let before = bench.state.tree().znode_count();

        let first = options.removals(bench.state.tree(), 0);
        assert_eq!(first.len(), 1_000);
        bench.apply(0, first.into_iter().map(internal).collect());
        assert_eq!(bench.state.tree().znode_count(), before - 1_000);
        let zxid = bench.state.zxid();

        let second = options.removals(bench.state.tree(), 0);
        assert_eq!(second.len(), 1);
        let twice = [second.clone(), second].concat();
        bench.apply(0, twice.into_iter().map(internal).collect());
        assert_eq!(bench.state.tree().znode_count(), before - 1_001);
        let next = zxid.next();
        assert_eq!(bench.state.zxid(), next, "one that is gone takes no zxid");
        assert_eq!(options.removals(bench.state.tree(), 0), []);
    }

    /// The leader's clock may be ahead of what the entry is dated in the end, and the znode may be set
    /// between the look and the apply.
    #[test]
    fn age_is_judged_again_by_the_date_of_the_entry_that_removes() {
        let options = IdleOptions {
            unused_container_ms_max: Some(50),
            ..IdleOptions::default()
        };
        let mut bench = Bench::new();
        let ttl = CreateMode::PersistentWithTtl { ttl_ms: 100 };
        let operations = vec![
            create("/set".to_owned(), ttl),
            create("/t".to_owned(), ttl),
            create("/unused".to_owned(), CreateMode::Container),
        ];
        bench.write(1_000, operations);
        assert_eq!(options.removals(bench.state.tree(), 1_050), []);
        let look = options.removals(bench.state.tree(), 1_101);
        assert_eq!(look.len(), 3);
        let propose = |look: &[Command]| look.iter().cloned().map(internal).collect();

        let zxid = bench.state.zxid();
        bench.apply(1_050, propose(&look));
        assert_eq!(bench.state.zxid(), zxid, "all were void");
        let set = Operation::SetData {
            path: "/set".to_owned(),
            data: None,
            version: -1,
        };
        bench.write(1_090, vec![set]);
        bench.apply(1_101, propose(&look));
        let exists = |path| bench.state.tree().exists(path).is_ok();
        assert_eq!(["/set", "/t", "/unused"].map(exists), [true, false, false]);
    }

    #[test]
    fn no_minute_sees_more_removals_than_allowed() {
        for removals_per_minute_max in [1, 7, 59, 60, 61, 10_000, 60_000_000] {
            let options = IdleOptions {
                removals_per_minute_max,
                ..IdleOptions::default()
            };
            let (at_once, pause) = options.pace();
            assert!(at_once > 0);
            let goes = Duration::from_secs(60).as_secs_f64() / pause.as_secs_f64();
            let per_minute = at_once as f64 * goes;
            assert!(per_minute <= removals_per_minute_max as f64 * 1.000_001);
            assert!(per_minute >= removals_per_minute_max as f64 / 2.0);
        }
    }
}
