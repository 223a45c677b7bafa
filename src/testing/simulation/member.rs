//! A member as a simulated host: the product put together as `cli` does it, on a disk in memory.
//!
//! What differs from a real member: the checkpoint is a file (`FileCheckpoint`) and not sled, which
//! knows no simulated disk; the log is written by its caller, so that there is no thread to race; and
//! segments, snapshots and the log behind them are small, so that each of them is used in every run.

use crate::config::{FourLetterWords, SessionSettings, TlsAtDoor};
use crate::member::{self, ChangeOptions, Ground, Handle, HandleLimits, IdleOptions};
use crate::metrics::Recorder;
use crate::model::{ClusterId, MemberAddresses, MemberId, Rules};
use crate::raft::log::{LogOptions, Threading};
use crate::raft::{ConsensusOptions, Formation, PeerOptions, Timing, UpkeepOptions};
use crate::server::operator::{Configuration, Operator};
use crate::server::zookeeper;
use crate::session::TimeoutBounds;
use crate::store::disk::changes::ChangeLimits;
use crate::store::disk::{DataDirectory, Disk, FileCheckpoint, Identity};
use crate::testing::{MemoryDisk, simulated};
use crate::watch::WatchLimits;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const CLUSTER: ClusterId = ClusterId(0x5135);
const CLIENT_PORT: u16 = 2181;
const PEER_PORT: u16 = 2192;
const ROOT: &str = "/data";

/// The shortest and the longest session of a simulation.
pub const SESSION_TIMEOUT_MS_MIN: u32 = 2_000;
pub const SESSION_TIMEOUT_MS_MAX: u32 = 8_000;
const TICK_MS: u32 = 500;

const SEGMENT_BYTES: u64 = 64 << 10;
const SNAPSHOT_ENTRIES: u64 = 150;
const LOG_ENTRIES_KEPT: u64 = 40;
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(1_500);
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(700);

/// So few that subscribers of a member that was away find their place dropped now and then.
const CHANGES: ChangeLimits = ChangeLimits {
    age_ms_max: 60_000,
    transactions_max: 400,
    bytes_max: 64 << 10,
};

/// The name of a member's host.
pub fn host(member: u64) -> String {
    format!("member-{member}")
}

/// Where clients reach a member.
pub fn client_address(member: u64) -> String {
    format!("{}:{CLIENT_PORT}", host(member))
}

/// What stays when a member's software is gone: its disk, and what the simulation knows of it.
#[derive(Clone)]
pub struct Seat {
    pub member: u64,
    members: u64,
    pub disk: MemoryDisk,
    /// How far its clock is off.
    pub skew_ms: i64,
    local_sessions: bool,
    running: Arc<Mutex<Option<Handle>>>,
    stop: Arc<Notify>,
}

impl Seat {
    pub fn new(
        member: u64,
        members: u64,
        disk_seed: u64,
        skew_ms: i64,
        local_sessions: bool,
    ) -> Seat {
        Seat {
            member,
            members,
            disk: MemoryDisk::new(disk_seed),
            skew_ms,
            local_sessions,
            running: Arc::default(),
            stop: Arc::default(),
        }
    }

    /// The member's own handle, while it runs.
    pub fn handle(&self) -> Option<Handle> {
        self.running.lock().clone()
    }

    /// The software is gone: nobody may look at what it had in memory.
    pub fn forget(&self) {
        *self.running.lock() = None;
    }

    /// Asks the software to end in order.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Runs until `stop`. A start that fails, or a member that gives up, fails the simulation: no
    /// fault that is simulated allows either.
    pub async fn software(self) -> turmoil::Result {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let identity = Identity {
            cluster: CLUSTER,
            member: MemberId(self.member),
        };
        let directory = DataDirectory::open_unlocked(&*disk, Path::new(ROOT), identity)?;
        let checkpoint = FileCheckpoint::open(Arc::clone(&disk), &directory.checkpoint_dir())?;
        let environment = simulated::environment(self.skew_ms);
        let listener = environment
            .network
            .bind(&format!("0.0.0.0:{CLIENT_PORT}"))
            .await?;
        let ground = Ground {
            environment: environment.clone(),
            disk,
            checkpoint: Box::new(checkpoint),
            incarnation: directory.incarnation(),
        };
        let member = member::start(self.options(&directory), ground)
            .await
            .map_err(|error| format!("member {}: {:#}", self.member, anyhow::Error::from(error)))?;
        *self.running.lock() = Some(member.handle());
        let stop = CancellationToken::new();
        let door = tokio::spawn(zookeeper::serve(
            vec![(listener, TlsAtDoor::No)],
            Arc::new(Operator::new(
                member.handle(),
                Recorder::idle()?,
                Configuration::default(),
            )),
            environment.clock,
            door_options(self.local_sessions)?,
            stop.clone(),
        ));
        tokio::select! {
            reason = member.stopped() => Err(format!("member {} gave up: {reason}", self.member).into()),
            () = self.stop.notified() => {
                member.close_connections();
                stop.cancel();
                door.await?;
                member.stop().await;
                self.forget();
                Ok(())
            }
        }
    }

    fn options(&self, directory: &DataDirectory) -> member::Options {
        let address = |member: u64| MemberAddresses {
            client: client_address(member),
            peer: format!("{}:{PEER_PORT}", host(member)),
            ..Default::default()
        };
        let voters = (1..=self.members).map(|member| (MemberId(member), address(member)));
        member::Options {
            consensus: ConsensusOptions {
                cluster: CLUSTER,
                member: MemberId(self.member),
                listen: format!("0.0.0.0:{PEER_PORT}"),
                formation: Formation::Found(voters.collect()),
                log_directory: directory.log_dir(),
                snapshot_directory: directory.snapshot_dir(),
                log: LogOptions {
                    segment_bytes: SEGMENT_BYTES,
                    threading: Threading::Inline,
                    ..LogOptions::default()
                },
                timing: Timing::default(),
                peers: PeerOptions::default(),
                upkeep: UpkeepOptions {
                    checkpoint_interval: CHECKPOINT_INTERVAL,
                    snapshot_log_entries: SNAPSHOT_ENTRIES,
                    log_entries_kept: LOG_ENTRIES_KEPT,
                    ..UpkeepOptions::default()
                },
            },
            observers: BTreeMap::new(),
            limits: HandleLimits {
                requests_max: 1_000,
                request_bytes_max: 1 << 20,
                reply_bytes_per_connection_max: 1 << 20,
                connections_max: None,
            },
            watches: WatchLimits::default(),
            tick_ms: TICK_MS,
            session_timeout_ms_min: SESSION_TIMEOUT_MS_MIN,
            restore_directory: directory.restore_dir(),
            idle: IdleOptions {
                check_interval: IDLE_CHECK_INTERVAL,
                ..IdleOptions::default()
            },
            changes: ChangeOptions {
                enabled: true,
                directory: directory.change_dir(),
                limits: CHANGES,
                subscriptions_max: 100,
            },
            read_only: false,
            rules: Rules::NONE,
        }
    }
}

fn door_options(local_sessions: bool) -> Result<zookeeper::Options, crate::session::BoundsError> {
    Ok(zookeeper::Options {
        request_bytes_per_connection_max: 8 << 20,
        reply_bytes_max: 1 << 20,
        unread_max: Duration::from_secs(60),
        throttled_max: None,
        sessions_max: 10_000,
        sessions: SessionSettings {
            local: local_sessions,
            local_upgrading: true,
        },
        frame_bytes_max: crate::wire::FRAME_BYTES_MAX_DEFAULT,
        connections_per_address_max: None,
        requests_per_connection_max: 1_000,
        timeouts: TimeoutBounds::new(SESSION_TIMEOUT_MS_MIN, SESSION_TIMEOUT_MS_MAX)?,
        words: FourLetterWords::All,
        auth: zookeeper::AuthOptions::default(),
        tls: None,
        ttl_enabled: true,
        reconfig: false,
    })
}
