//! From what the operator wrote to what a member is started with.

use super::changes::ChangeOptions;
use super::chores::IdleOptions;
use super::load::HandleLimits;
use super::start::{Ground, Options};
use crate::config::{Settings, Start};
use crate::model::{ClusterId, MemberAddresses, MemberId, Role, Rules};
use crate::raft::log::LogOptions;
use crate::raft::{ConsensusOptions, Formation, PeerOptions, Timing, UpkeepOptions};
use crate::runtime::Environment;
use crate::store::StorageFault;
use crate::store::disk::changes::ChangeLimits;
use crate::store::disk::{DataDirectory, Identity, RealDisk, SledCheckpoint, SledOptions};
use crate::watch::WatchLimits;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

/// The cluster that a token names. Members with another token have another id, so two clusters whose
/// addresses were mixed up do not talk to each other.
pub fn cluster_id(token: &str) -> ClusterId {
    const SEED: u64 = 0x7669_7661_7269_756d;
    let mut hasher = twox_hash::XxHash64::with_seed(SEED);
    hasher.write(token.as_bytes());
    ClusterId(hasher.finish())
}

/// A member on this machine: its directory is locked for as long as the second part lives.
pub fn real(settings: &Settings) -> Result<(Options, Ground, DataDirectory), StorageFault> {
    let identity = Identity {
        cluster: cluster_id(&settings.member.cluster_token),
        member: settings.member.id,
    };
    let directory = DataDirectory::open(&settings.storage.data_dir, identity)?;
    let checkpoint = SledCheckpoint::open(&directory.checkpoint_dir(), SledOptions::default())?;
    let ground = Ground {
        environment: Environment::real(),
        disk: Arc::new(RealDisk),
        checkpoint: Box::new(checkpoint),
        incarnation: directory.incarnation(),
    };
    Ok((options(settings, identity, &directory), ground, directory))
}

fn options(settings: &Settings, identity: Identity, directory: &DataDirectory) -> Options {
    let (formation, observers) = match &settings.member.start {
        Start::Join => (Formation::Join, BTreeMap::new()),
        Start::Form(members) => {
            let with_role = |role: Role| -> BTreeMap<MemberId, MemberAddresses> {
                members
                    .iter()
                    .filter(|(_, member)| member.role == role)
                    .map(|(id, member)| (*id, member.addresses.clone()))
                    .collect()
            };
            let voters = with_role(Role::Voter);
            let observers = with_role(Role::Observer);
            if observers.contains_key(&settings.member.id) {
                (Formation::Join, BTreeMap::new())
            } else {
                (Formation::Found(voters), observers)
            }
        }
    };
    let (timing, storage, limits) = (&settings.timing, &settings.storage, &settings.limits);
    Options {
        consensus: ConsensusOptions {
            cluster: identity.cluster,
            member: identity.member,
            listen: settings.doors.peer.bind.clone(),
            formation,
            log_directory: storage.log_dir.clone(),
            snapshot_directory: directory.snapshot_dir(),
            log: LogOptions {
                segment_bytes: storage.log_segment_bytes,
                slow_sync: Duration::from_millis(storage.slow_sync_ms),
                ..LogOptions::default()
            },
            timing: Timing {
                heartbeat_ms: timing.heartbeat_ms,
                election_ms_min: timing.election_timeout_ms_min,
                election_ms_max: timing.election_timeout_ms_max,
                ..Timing::default()
            },
            peers: PeerOptions::default(),
            upkeep: UpkeepOptions {
                checkpoint_interval: Duration::from_millis(storage.checkpoint_interval_ms),
                checkpoint_operations: storage.checkpoint_operations,
                snapshot_log_bytes: storage.snapshot_bytes,
                snapshot_log_entries: storage.snapshot_entries,
                free_bytes_min: storage.free_bytes_min,
                log_entries_kept: storage.log_entries_kept,
                ..UpkeepOptions::default()
            },
        },
        observers,
        limits: HandleLimits {
            requests_max: limits.requests_max,
            request_bytes_max: limits.request_bytes_max,
            reply_bytes_per_connection_max: limits.reply_bytes_per_connection_max,
            connections_max: limits.connections_max,
        },
        watches: WatchLimits {
            watches_per_connection_max: limits.watches_per_connection_max,
            watches_total_max: limits.watches_max,
        },
        tick_ms: u32::try_from(timing.tick_ms).unwrap_or(u32::MAX),
        session_timeout_ms_min: timing.session_timeout_ms_min,
        idle: IdleOptions {
            check_interval: Duration::from_millis(settings.znodes.idle_check_interval_ms),
            removals_per_minute_max: settings.znodes.idle_removals_per_minute_max,
            unused_container_ms_max: settings.znodes.unused_container_ms_max,
        },
        changes: ChangeOptions {
            enabled: settings.changes.enabled,
            directory: directory.change_dir(),
            limits: ChangeLimits {
                age_ms_max: settings.changes.retention_ms,
                transactions_max: settings.changes.transactions_max,
                bytes_max: settings.changes.bytes_max,
            },
            subscriptions_max: settings.changes.subscriptions_max,
        },
        restore_directory: directory.restore_dir(),
        read_only: settings.access.read_only,
        rules: Rules::NONE
            .with(Rules::ENFORCE_QUOTA, settings.znodes.quota_enforced)
            .with(Rules::SKIP_ACL, settings.access.skip_acl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_token_is_another_cluster() {
        assert_eq!(cluster_id("a"), cluster_id("a"));
        assert_ne!(cluster_id("a"), cluster_id("b"));
    }
}
