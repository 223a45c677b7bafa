//! ZooKeeper's commands over HTTP: `GET /commands/<name>` gives JSON, `/commands` a list of them.
//!
//! Owns: the names, and when the next snapshot may be taken or restored. What is told is gathered in `operator`,
//! as it is for the four-letter words; here is how ZooKeeper names and nests it.
//! At all times: an answer has the keys `command` and `error`; a command that cannot be carried out
//! without a leader says so in `error`, with status 200, as in ZooKeeper.
//!
//! Rules from: ZooKeeper 3.9 `server.admin.Commands`, `JettyAdminServer`, `JsonOutputter`,
//! `CommandResponse`. What differs, and why, is in `docs/protocol.md`.

mod ensemble;
mod permission;
mod restore;
mod server;
mod sessions;
mod snapshot;

use super::super::operator::{Operator, environment, monitor};
use super::super::zookeeper::AuthOptions;
use super::Peer;
use crate::member::{MemberStatus, Mode};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::{Map, Value, json};
use snapshot::Limiter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the operator decided for the commands.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    /// How it is proven who asks for a snapshot, or brings one.
    pub auth: AuthOptions,
    pub snapshots: bool,
    /// From one snapshot to the next, and from one restore to the next.
    pub snapshot_interval_min: Duration,
    pub restores: bool,
    /// Of a snapshot that is to be restored, as it is sent and unpacked.
    pub restore_bytes_max: u64,
}

/// A command's name, and the shorter ones it has besides.
pub struct Command {
    pub name: &'static str,
    pub short: &'static [&'static str],
    /// Whether it asks for a server that serves.
    serving: bool,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Configuration,
    ConnectionStatReset,
    Connections,
    Dirs,
    Dump,
    Environment,
    GetTraceMask,
    Hash,
    InitialConfiguration,
    IsReadOnly,
    LastSnapshot,
    Leader,
    Monitor,
    ObserverConnectionStatReset,
    Observers,
    Restore,
    Ruok,
    ServerStats,
    SetTraceMask,
    Snapshot,
    StatReset,
    Stats,
    SystemProperties,
    VotingView,
    WatchSummary,
    Watches,
    WatchesByPath,
    ZabState,
}

const fn command(
    name: &'static str,
    short: &'static [&'static str],
    serving: bool,
    what: What,
) -> Command {
    Command {
        name,
        short,
        serving,
        what,
    }
}

/// Every command of ZooKeeper 3.9, by name.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    command("configuration", &["conf", "config"], true, What::Configuration),
    command("connection_stat_reset", &["crst"], true, What::ConnectionStatReset),
    command("connections", &["cons"], true, What::Connections),
    command("dirs", &[], true, What::Dirs),
    command("dump", &[], true, What::Dump),
    command("environment", &["env", "envi"], false, What::Environment),
    command("get_trace_mask", &["gtmk"], false, What::GetTraceMask),
    command("hash", &[], true, What::Hash),
    command("initial_configuration", &["icfg"], true, What::InitialConfiguration),
    command("is_read_only", &["isro"], true, What::IsReadOnly),
    command("last_snapshot", &["lsnp"], true, What::LastSnapshot),
    command("leader", &["lead"], true, What::Leader),
    command("monitor", &["mntr"], false, What::Monitor),
    command("observer_connection_stat_reset", &["orst"], true, What::ObserverConnectionStatReset),
    command("observers", &["obsr"], true, What::Observers),
    command("restore", &["rest"], true, What::Restore),
    command("ruok", &[], true, What::Ruok),
    command("server_stats", &["srvr"], true, What::ServerStats),
    command("set_trace_mask", &["stmk"], false, What::SetTraceMask),
    command("snapshot", &["snap"], true, What::Snapshot),
    command("stat_reset", &["srst"], true, What::StatReset),
    command("stats", &["stat"], true, What::Stats),
    command("system_properties", &["sysp"], false, What::SystemProperties),
    command("voting_view", &[], true, What::VotingView),
    command("watch_summary", &["wchs"], true, What::WatchSummary),
    command("watches", &["wchc"], true, What::Watches),
    command("watches_by_path", &["wchp"], true, What::WatchesByPath),
    command("zabstate", &[], false, What::ZabState),
];

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// What the answers are made from.
pub struct Commands {
    operator: Arc<Operator>,
    options: CommandOptions,
    limiter: Limiter,
    restore_limiter: Limiter,
}

impl Commands {
    pub fn new(operator: Arc<Operator>, options: CommandOptions) -> Arc<Commands> {
        Arc::new(Commands {
            limiter: Limiter::new(options.snapshot_interval_min),
            restore_limiter: Limiter::new(options.snapshot_interval_min),
            operator,
            options,
        })
    }
}

pub fn router(commands: Arc<Commands>) -> Router {
    let index = get(async || index()).post(async || index());
    Router::new()
        .route("/commands", index.clone())
        .route("/commands/", index)
        .route("/commands/{*name}", get(asked).post(posted))
        .with_state(commands)
}

fn index() -> Html<String> {
    let link = |command: &Command| {
        let name = command.name;
        format!("<a href=\"/commands/{name}\">{name}</a>\n<br/>\n")
    };
    Html(COMMANDS.iter().map(link).collect())
}

fn find(name: &str) -> Option<&'static Command> {
    let named = |command: &&Command| command.name == name || command.short.contains(&name);
    COMMANDS.iter().find(named)
}

type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn asked(
    State(commands): State<Arc<Commands>>,
    Path(name): Path<String>,
    parameters: Parameters,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let (command, status) = match commands.admit(&name, peer, &headers) {
        Ok(admitted) => admitted,
        Err(refused) => return refused.answer(&name),
    };
    let parameters = parameters.map(|Query(pairs)| pairs).unwrap_or_default();
    // The first of several counts.
    let parameter = |key: &str| {
        let mut pairs = parameters.iter();
        pairs
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
    };
    match command.what {
        What::Snapshot => commands.snapshot(parameter("streaming")).await,
        What::Restore => Refused::method().answer(command.name),
        what => {
            let data = commands.tell(what, &status, parameter("traceMask")).await;
            answer(StatusCode::OK, command.name, None, data)
        }
    }
}

/// Of ZooKeeper's commands `restore` alone is posted.
async fn posted(
    State(commands): State<Arc<Commands>>,
    Path(name): Path<String>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match commands.admit(&name, peer, &headers) {
        Err(refused) => refused.answer(&name),
        Ok((command, _)) if command.what == What::Restore => commands.restore(body).await,
        Ok((command, _)) => Refused::method().answer(command.name),
    }
}

/// Why a command is not carried out.
struct Refused {
    status: StatusCode,
    error: String,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Refused {
        let error = error.into();
        Refused { status, error }
    }

    fn method() -> Refused {
        let error = "restore is asked with POST, every other command with GET";
        Refused::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    fn answer(&self, command: &str) -> Response {
        answer(self.status, command, Some(&self.error), Map::new())
    }
}

impl Commands {
    /// The command of this name, if it may be carried out now.
    fn admit(
        &self,
        name: &str,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<(&'static Command, MemberStatus), Refused> {
        let command = find(name)
            .ok_or_else(|| Refused::new(StatusCode::OK, format!("Unknown command: {name}")))?;
        let status = self.operator.handle.status();
        let serves = match command.what {
            What::Restore => status.mode.has_quorum(),
            _ => status.mode.serves(),
        };
        if command.serving && !serves {
            return Err(Refused::new(StatusCode::OK, NOT_SERVING));
        }
        if matches!(command.what, What::Snapshot | What::Restore) {
            let authorization = headers.get(header::AUTHORIZATION);
            permission::prove(authorization, peer, &self.options.auth)
                .and_then(|ids| {
                    permission::permit(self.operator.handle.read().state().tree(), &ids)
                })
                .map_err(|lacking| Refused::new(lacking.status(), lacking.as_str()))?;
        }
        Ok((command, status))
    }

    /// What there is to tell, without `command` and `error`.
    async fn tell(
        &self,
        what: What,
        status: &MemberStatus,
        trace_mask: Option<&str>,
    ) -> Map<String, Value> {
        let operator = &*self.operator;
        match what {
            What::Configuration => operator.configuration.json(),
            What::ConnectionStatReset => {
                operator.connections.reset_statistics();
                Map::new()
            }
            What::Connections => server::connections(operator, false),
            What::Dirs => server::directories(operator).await,
            What::Dump => sessions::dump(&operator.handle),
            What::Environment => {
                let pairs = environment().into_iter();
                pairs
                    .map(|(key, value)| (key.to_owned(), value.into()))
                    .collect()
            }
            What::GetTraceMask => object([("tracemask", json!(operator.trace_mask()))]),
            What::Hash => sessions::digests(&operator.handle),
            What::InitialConfiguration => object([("initial_configuration", Value::Null)]),
            What::IsReadOnly => object([("read_only", json!(status.mode == Mode::ReadOnly))]),
            What::LastSnapshot => snapshot::last(operator).await,
            What::Leader => ensemble::leader(status),
            What::Monitor => monitor(operator, status).into_iter().collect(),
            What::Observers => ensemble::observers(status),
            What::ServerStats => server::stats(operator, status).await,
            What::SetTraceMask => set_trace_mask(operator, trace_mask),
            What::StatReset => {
                operator.reset_statistics();
                Map::new()
            }
            What::Stats => {
                let mut stats = server::stats(operator, status).await;
                stats.append(&mut server::connections(operator, true));
                stats
            }
            What::SystemProperties => {
                let settings = operator.configuration.settings.iter();
                settings
                    .map(|(key, value)| (key.clone(), json!(value)))
                    .collect()
            }
            What::VotingView => ensemble::voting_view(status),
            What::WatchSummary => sessions::watch_summary(operator.handle.watch_summary()),
            What::Watches => sessions::watches(&operator.handle.watching()),
            What::WatchesByPath => sessions::watches_by_path(&operator.handle.watching()),
            What::ZabState => ensemble::zab_state(operator, status),
            // That it is answered is all: no connection of an observer has figures of its own, and the
            // last two have answers of their own.
            What::Ruok | What::ObserverConnectionStatReset | What::Snapshot | What::Restore => {
                Map::new()
            }
        }
    }
}

fn set_trace_mask(operator: &Operator, given: Option<&str>) -> Map<String, Value> {
    let wrong = "setTraceMask requires long traceMask argument";
    match given.map(|text| (text, text.parse::<i64>())) {
        Some((_, Ok(mask))) => {
            operator.set_trace_mask(mask);
            object([("tracemask", json!(mask))])
        }
        Some((text, Err(_))) => object([("error", json!(format!("{wrong}, got {text}")))]),
        None => object([("error", json!(wrong))]),
    }
}

fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the data say themselves goes before what is said of them.
fn answer(
    status: StatusCode,
    command: &str,
    error: Option<&str>,
    data: Map<String, Value>,
) -> Response {
    let mut all = object([("command", json!(command)), ("error", json!(error))]);
    all.extend(data);
    // Texts and numbers only: there is nothing in it that JSON cannot hold.
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_is_one_commands_and_they_are_listed_in_order() {
        let mut all = BTreeSet::new();
        for command in COMMANDS {
            for name in command.short.iter().chain([&command.name]) {
                assert!(all.insert(*name), "{name}");
                assert_eq!(find(name).map(|found| found.name), Some(command.name));
            }
        }
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        assert!(find("stat/x").is_none() && find("").is_none());
        let Html(listed) = index();
        assert!(
            listed.starts_with("<a href=\"/commands/configuration\">configuration</a>\n<br/>\n")
        );
    }
}
