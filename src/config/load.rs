//! From sources to `Settings`: reads each once, lays them over each other, checks the whole.

use super::layers::{Entry, Layers};
use super::problem::{ConfigError, Origin, Problem};
use super::resolver::Values;
use super::settings::{
    AdminSettings, ChangeSettings, LimitSettings, SessionSettings, Settings, StorageSettings,
    TimingSettings, ZnodeSettings,
};
use super::{environment, identity, security, toml_file, yaml_file, zoo_cfg};
use std::path::{Path, PathBuf};

/// A configuration file longer than this is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A follower that calls an election after fewer silent heartbeats would do so for one lost packet.
const HEARTBEATS_PER_ELECTION_MIN: u64 = 3;

/// Where settings come from. Later fields override earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `vivarium.toml`, or an `application.yaml` with the same keys under `registry:`.
    pub config: Option<PathBuf>,
    pub zoo_cfg: Option<PathBuf>,
    /// All variables of the process; those that do not begin with `VIVARIUM_` are not looked at.
    pub environment: Vec<(String, String)>,
    /// Keys of the catalogue and their texts.
    pub flags: Vec<(String, String)>,
}

/// What a segment, an entry and a request have beside the frame.
const SEGMENT_BYTES_BESIDE_FRAME: u64 = 128 * 1024;

/// What one connection may have unanswered unless somebody says otherwise.
const REQUEST_BYTES_PER_CONNECTION: u64 = 8 << 20;

/// Reads every source and checks the whole.
///
/// # Errors
/// All that is wrong, each with its place and what is allowed there.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut layers = Layers::default();
    if let Some(path) = &sources.config {
        let entries = read_file(path, &Origin::Flag, &mut problems).map(|text| {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("yaml" | "yml") => yaml_file::read(path, &text, &mut problems),
                _ => toml_file::read(path, &text, &mut problems),
            }
        });
        layers.lay(entries.unwrap_or_default(), &mut problems);
    }
    if let Some(path) = &sources.zoo_cfg {
        let entries = read_zoo_cfg(path, &mut warnings, &mut problems);
        layers.lay(entries, &mut problems);
    }
    let variables = environment::read(&sources.environment, &mut problems);
    layers.lay(variables, &mut problems);
    let flags = sources.flags.iter();
    let flags = flags.map(|(key, text)| Entry::text(key, text, &Origin::Flag));
    layers.lay(flags.collect(), &mut problems);

    let mut values = Values::new(&layers, problems);
    let Resolved {
        timing,
        limits,
        sessions,
        storage,
        changes,
        znodes,
    } = resolve(&mut values);
    if sources.zoo_cfg.is_some() && layers.get("storage.data_dir").is_none() {
        values.refuse("storage.data_dir", "say where the data are (dataDir)");
    }
    check_segment(&mut values, &storage, &limits);
    let admin = admin(&mut values);
    let access = security::access(&mut values);
    if access.skip_acl {
        let origin = values.origin("access.skip_acl");
        warnings.push(format!("{origin}: access lists forbid nothing"));
    }
    let (member, doors) = identity::resolve(&mut values, &storage, sources.zoo_cfg.is_some());
    let tls = security::tls(&mut values, doors.as_ref(), &mut warnings);
    if access.tokens.is_some() && doors.as_ref().is_some_and(|doors| !doors.grpc_tls) {
        let origin = values.origin("access.tokens_file");
        warnings.push(format!(
            "{origin}: bearer tokens can be read on their way, because doors.grpc.tls is no"
        ));
    }
    match (member, doors) {
        (Some(member), Some(doors)) if values.problems.is_empty() => Ok(Settings {
            member,
            doors,
            limits,
            sessions,
            timing,
            storage,
            changes,
            znodes,
            admin,
            access,
            tls,
            warnings,
            effective: values.lines(),
        }),
        _ => Err(ConfigError {
            problems: values.problems,
        }),
    }
}

/// What is settled without looking at any file.
pub(super) struct Resolved {
    timing: TimingSettings,
    limits: LimitSettings,
    sessions: SessionSettings,
    storage: StorageSettings,
    changes: ChangeSettings,
    znodes: ZnodeSettings,
}

pub(super) fn resolve(values: &mut Values<'_>) -> Resolved {
    Resolved {
        timing: timing(values),
        limits: limits(values),
        sessions: sessions(values),
        storage: storage(values),
        changes: changes(values),
        znodes: znodes(values),
    }
}

fn read_zoo_cfg(
    path: &Path,
    warnings: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let Some(text) = read_file(path, &Origin::Flag, problems) else {
        return Vec::new();
    };
    let mut found = zoo_cfg::read(path, &text, problems);
    warnings.append(&mut found.warnings);
    if let Some((path, origin)) = found.dynamic_config
        && let Some(text) = read_file(&path, &origin, problems)
    {
        let mut more = zoo_cfg::read(&path, &text, problems);
        warnings.append(&mut more.warnings);
        found.entries.append(&mut more.entries);
    }
    found.entries
}

pub(super) fn read_file(
    path: &Path,
    named_at: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let read = std::fs::metadata(path).and_then(|found| {
        if found.len() > FILE_BYTES_MAX {
            let what = format!("longer than {FILE_BYTES_MAX} bytes");
            return Err(std::io::Error::other(what));
        }
        std::fs::read_to_string(path)
    });
    match read {
        Ok(text) => Some(text),
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            problems.push(Problem::new(named_at, "", what));
            None
        }
    }
}

fn timing(values: &mut Values<'_>) -> TimingSettings {
    let tick_ms = values.integer("timing.tick_ms");
    let session_timeout_ms_min = values.integer_or("timing.session_timeout_ms_min", 2 * tick_ms);
    let session_timeout_ms_max = values.integer_or("timing.session_timeout_ms_max", 20 * tick_ms);
    if session_timeout_ms_min > session_timeout_ms_max {
        let what = format!(
            "{session_timeout_ms_min} is above the longest session timeout, {session_timeout_ms_max}"
        );
        values.refuse("timing.session_timeout_ms_min", what);
    }
    let heartbeat_ms = values.integer("timing.heartbeat_ms");
    let election_timeout_ms_min = values.integer("timing.election_timeout_ms_min");
    let election_timeout_ms_max = values.integer("timing.election_timeout_ms_max");
    if election_timeout_ms_min < HEARTBEATS_PER_ELECTION_MIN * heartbeat_ms {
        let what = format!(
            "{election_timeout_ms_min} is below {HEARTBEATS_PER_ELECTION_MIN} heartbeats of {heartbeat_ms} ms"
        );
        values.refuse("timing.election_timeout_ms_min", what);
    }
    if election_timeout_ms_min >= election_timeout_ms_max {
        let what = format!(
            "{election_timeout_ms_max} is not above timing.election_timeout_ms_min, {election_timeout_ms_min}"
        );
        values.refuse("timing.election_timeout_ms_max", what);
    }
    TimingSettings {
        tick_ms,
        // Both are bounded by the catalogue, or twenty ticks of at most ten minutes.
        session_timeout_ms_min: session_timeout_ms_min as u32,
        session_timeout_ms_max: session_timeout_ms_max as u32,
        heartbeat_ms,
        election_timeout_ms_min,
        election_timeout_ms_max,
    }
}

fn limits(values: &mut Values<'_>) -> LimitSettings {
    let none_if_zero = |number: usize| (number > 0).then_some(number);
    let frame_bytes_max = values.size("limits.frame_bytes_max");
    let request_bytes_per_connection_max = values.integer_or(
        "limits.request_bytes_per_connection_max",
        REQUEST_BYTES_PER_CONNECTION.max(frame_bytes_max as u64),
    );
    let limits = LimitSettings {
        frame_bytes_max,
        connections_per_address_max: none_if_zero(
            values.size("limits.connections_per_address_max"),
        ),
        connections_max: none_if_zero(values.size("limits.connections_max")),
        native_connections_per_address_max: none_if_zero(
            values.size("limits.native_connections_per_address_max"),
        ),
        native_connections_max: none_if_zero(values.size("limits.native_connections_max")),
        requests_per_connection_max: values.size("limits.requests_per_connection_max"),
        request_bytes_per_connection_max: usize::try_from(request_bytes_per_connection_max)
            .unwrap_or(usize::MAX),
        requests_max: values.size("limits.requests_max"),
        request_bytes_max: values.size("limits.request_bytes_max"),
        throttled_ms_max: Some(values.integer("limits.throttled_ms_max")).filter(|ms| *ms > 0),
        reply_bytes_per_connection_max: values.size("limits.reply_bytes_per_connection_max"),
        unread_ms_max: values.integer("limits.unread_ms_max"),
        watches_per_connection_max: values.size("limits.watches_per_connection_max"),
        watches_max: values.size("limits.watches_max"),
        sessions_max: values.size("limits.sessions_max"),
    };
    for (key, number, least_key, least) in [
        (
            "limits.request_bytes_per_connection_max",
            limits.request_bytes_per_connection_max,
            "limits.frame_bytes_max",
            limits.frame_bytes_max,
        ),
        (
            "limits.request_bytes_max",
            limits.request_bytes_max,
            "limits.request_bytes_per_connection_max",
            limits.request_bytes_per_connection_max,
        ),
        (
            "limits.watches_max",
            limits.watches_max,
            "limits.watches_per_connection_max",
            limits.watches_per_connection_max,
        ),
    ] {
        if number < least {
            values.refuse(key, format!("{number} is below {least_key}, {least}"));
        }
    }
    limits
}

fn sessions(values: &mut Values<'_>) -> SessionSettings {
    SessionSettings {
        local: values.flag("sessions.local").unwrap_or(false),
        local_upgrading: values.flag("sessions.local_upgrading").unwrap_or(false),
    }
}

fn storage(values: &mut Values<'_>) -> StorageSettings {
    let data_dir = PathBuf::from(values.text("storage.data_dir").unwrap_or_default());
    let log_dir = match values.text("storage.log_dir") {
        Some(text) => PathBuf::from(text),
        None => {
            let derived = data_dir.join("log");
            values.note_derived("storage.log_dir", &derived.display().to_string());
            derived
        }
    };
    StorageSettings {
        data_dir,
        log_dir,
        log_segment_bytes: values.integer("storage.log_segment_bytes"),
        snapshot_entries: values.integer("storage.snapshot_entries"),
        snapshot_bytes: values.integer("storage.snapshot_bytes"),
        free_bytes_min: values.integer("storage.free_bytes_min"),
        log_entries_kept: values.integer("storage.log_entries_kept"),
        slow_sync_ms: values.integer("storage.slow_sync_ms"),
        checkpoint_interval_ms: values.integer("storage.checkpoint_interval_ms"),
        checkpoint_operations: values.integer("storage.checkpoint_operations"),
    }
}

/// A request goes into the log as one entry, and an entry into one segment.
fn check_segment(values: &mut Values<'_>, storage: &StorageSettings, limits: &LimitSettings) {
    let least = limits.frame_bytes_max as u64 + SEGMENT_BYTES_BESIDE_FRAME;
    if storage.log_segment_bytes < least {
        let what = format!(
            "{} is too little for the largest request: {least} at least, which is limits.frame_bytes_max and {SEGMENT_BYTES_BESIDE_FRAME}",
            storage.log_segment_bytes
        );
        values.refuse("storage.log_segment_bytes", what);
    }
}

fn changes(values: &mut Values<'_>) -> ChangeSettings {
    ChangeSettings {
        enabled: values.flag("changes.enabled").unwrap_or(true),
        retention_ms: values.integer("changes.retention_ms"),
        transactions_max: values.integer("changes.transactions_max"),
        bytes_max: values.integer("changes.bytes_max"),
        subscriptions_max: values.size("changes.subscriptions_max"),
    }
}

fn znodes(values: &mut Values<'_>) -> ZnodeSettings {
    let unused_ms_max = values.integer("znodes.unused_container_ms_max");
    ZnodeSettings {
        ttl_enabled: values.flag("znodes.ttl_enabled").unwrap_or(false),
        quota_enforced: values.flag("znodes.quota_enforced").unwrap_or(false),
        idle_check_interval_ms: values.integer("znodes.idle_check_interval_ms"),
        idle_removals_per_minute_max: values.integer("znodes.idle_removals_per_minute_max"),
        unused_container_ms_max: (unused_ms_max > 0).then_some(unused_ms_max),
    }
}

fn admin(values: &mut Values<'_>) -> AdminSettings {
    AdminSettings {
        commands_enabled: values.flag("admin.commands_enabled").unwrap_or(true),
        idle_ms_max: values.integer("admin.idle_ms_max"),
        snapshots_enabled: values.flag("admin.snapshots_enabled").unwrap_or(true),
        snapshot_interval_ms_min: values.integer("admin.snapshot_interval_ms_min"),
        restores_enabled: values.flag("admin.restores_enabled").unwrap_or(true),
        restore_bytes_max: values.integer("admin.restore_bytes_max"),
    }
}

#[cfg(test)]
mod tests;
