//! One member and its doors, from start to stop.
//!
//! Doors are bound before the member starts, so that a port in use is told before anything is
//! recovered, and are served once it has started. At the end the doors close first: nobody is
//! accepted by a member that is about to go.

use super::exit::Exit;
use crate::config::{
    AccessSettings, Door, LimitSettings, Settings, StoreSettings, TlsAtDoor, TlsSettings,
};
use crate::member::{self, Member, TimeoutBounds};
use crate::metrics::Recorder;
use crate::raft::StartError;
use crate::runtime::{self, BoxedListener, Clock, Network};
use crate::server::operator::{Configuration, Operator};
use crate::server::{AdmissionLimits, admin, grpc, zookeeper};
use crate::store::StorageFault;
use crate::tls::{self, Acceptor, TlsError};
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a member has open besides clients: its log, its data, other members, other doors.
const FILES_BESIDE_CONNECTIONS: usize = 256;

/// A door's address cannot be listened on.
#[derive(Debug, Error)]
#[error(
    "cannot listen for {door} on {address}; is another process there? `{key}` chooses another address"
)]
pub struct DoorFailed {
    door: &'static str,
    key: &'static str,
    address: String,
    #[source]
    source: std::io::Error,
}

/// Its storage failed, or its state is not its leader's.
#[derive(Debug, Error)]
#[error("consensus has stopped on this member: {0}")]
pub struct ConsensusStopped(String);

struct Doors {
    client: Vec<(BoxedListener, TlsAtDoor)>,
    grpc: BoxedListener,
    grpc_tls: bool,
    grpc_options: grpc::Options,
    admin: BoxedListener,
}

/// Runs one member until SIGTERM or SIGINT, until standard input is at its end if `stop_with_stdin`,
/// or until it can go on no longer.
pub async fn serve(settings: &Settings, stop_with_stdin: bool) -> anyhow::Result<Exit> {
    for line in settings.lines() {
        tracing::info!(setting = line, "configuration");
    }
    for warning in &settings.warnings {
        tracing::warn!(warning, "configuration");
    }
    let recorder = Recorder::install()?;
    let (options, ground, directory) = member::real(settings)?;
    let (clock, network) = (
        ground.environment.clock.clone(),
        ground.environment.network.clone(),
    );
    let doors = Doors::bind(settings, network.as_ref()).await?;
    make_room_for_connections(settings);
    let tls = settings.tls.as_ref();
    let tls = tls
        .map(|tls| Acceptor::new(tls_options(tls), clock.clone()))
        .transpose()?;
    let zookeeper = zookeeper_options(settings, tls)?;
    let configuration = configuration(settings);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let starter_gone = CancellationToken::new();
    if stop_with_stdin {
        watch_standard_input(starter_gone.clone())?;
    }
    let member = member::start(options, ground).await?;
    tracing::info!(member = %settings.member.id, incarnation = directory.incarnation(), "member started");

    let stop = CancellationToken::new();
    let operator = Arc::new(Operator::new(member.handle(), recorder, configuration));
    let native = native_options(settings, zookeeper.timeouts);
    let admin = admin_options(settings);
    let mut tasks = doors.open(operator, clock, zookeeper, admin, native, &stop);
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(Exit::Success),
        _ = interrupt.recv() => Ok(Exit::Success),
        () = starter_gone.cancelled() => Ok(Exit::Success),
        reason = member.stopped() => Err(ConsensusStopped(reason).into()),
    };
    tracing::info!("stopping");
    close(member, &mut tasks, stop).await;
    // The directory stays locked until the log is closed.
    drop(directory);
    ended
}

/// Cancels `ended` once nobody can write to standard input any more: the system closes a pipe for a
/// program that was killed, too. A thread of its own, which the process does not wait for: tokio would
/// wait for a read of its own that never returns.
fn watch_standard_input(ended: CancellationToken) -> std::io::Result<()> {
    let watch = move || {
        // What is written there means nothing, and one that cannot be read has ended for us.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.cancel();
    };
    let thread = std::thread::Builder::new().name("standard-input".to_owned());
    thread.spawn(watch).map(drop)
}

/// Each connection is an open file.
fn make_room_for_connections(settings: &Settings) {
    let files = runtime::raise_open_files();
    let connections = settings.limits.connections_max;
    if let (Some(files), Some(connections)) = (files, connections)
        && files < connections.saturating_add(FILES_BESIDE_CONNECTIONS)
    {
        tracing::warn!(
            files,
            connections,
            "fewer files may be open than there may be connections (limits.connections_max): raise `ulimit -Hn`"
        );
    }
}

async fn close(member: Member, tasks: &mut JoinSet<()>, stop: CancellationToken) {
    member.close_connections();
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    member.stop().await;
}

impl Doors {
    async fn bind(settings: &Settings, network: &dyn Network) -> Result<Doors, DoorFailed> {
        let bind = async |door: &'static str, key: &'static str, at: &Door| {
            network.bind(&at.bind).await.map_err(|source| DoorFailed {
                door,
                key,
                address: at.bind.clone(),
                source,
            })
        };
        let doors = &settings.doors;
        let client = bind("the ZooKeeper protocol", "doors.client.bind", &doors.client).await?;
        let mut client = vec![(client, doors.client_tls)];
        if let Some(address) = &doors.client_tls_bind {
            let door = Door {
                bind: address.clone(),
                advertise: String::new(),
            };
            let what = "the ZooKeeper protocol over TLS";
            let listener = bind(what, "doors.client_tls.bind", &door).await?;
            client.push((listener, TlsAtDoor::Only));
        }
        Ok(Doors {
            client,
            grpc: bind("gRPC", "doors.grpc.bind", &doors.grpc).await?,
            grpc_tls: doors.grpc_tls,
            grpc_options: grpc_options(&settings.limits),
            admin: bind("admin HTTP", "doors.admin.bind", &doors.admin).await?,
        })
    }

    fn open(
        self,
        operator: Arc<Operator>,
        clock: Arc<dyn Clock>,
        zookeeper_options: zookeeper::Options,
        admin_options: admin::Options,
        native_options: grpc::NativeOptions,
        stop: &CancellationToken,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(tls) = &zookeeper_options.tls {
            tasks.spawn(tls.clone().watch_files(stop.clone()));
        }
        if let Some(tokens) = &native_options.tokens {
            tasks.spawn(tokens.clone().watch_file(stop.clone()));
        }
        let grpc_tls = zookeeper_options.tls.clone().filter(|_| self.grpc_tls);
        tasks.spawn(zookeeper::serve(
            self.client,
            operator.clone(),
            clock,
            zookeeper_options,
            stop.clone(),
        ));
        tasks.spawn(admin::serve(
            self.admin,
            operator.clone(),
            admin_options,
            stop.clone(),
        ));
        let (listener, options) = (self.grpc, self.grpc_options);
        let (handle, stop) = (operator.handle.clone(), stop.clone());
        tasks.spawn(async move {
            let served =
                grpc::serve(listener, grpc_tls, handle, options, &native_options, stop).await;
            if let Err(error) = served {
                tracing::error!(%error, "the gRPC door has closed; the other doors go on");
            }
        });
        tasks
    }
}

fn zookeeper_options(
    settings: &Settings,
    tls: Option<Arc<Acceptor>>,
) -> anyhow::Result<zookeeper::Options> {
    let (limits, timing) = (&settings.limits, &settings.timing);
    Ok(zookeeper::Options {
        frame_bytes_max: limits.frame_bytes_max,
        connections_per_address_max: limits.connections_per_address_max,
        requests_per_connection_max: limits.requests_per_connection_max,
        request_bytes_per_connection_max: limits.request_bytes_per_connection_max,
        reply_bytes_max: limits.reply_bytes_per_connection_max,
        unread_max: Duration::from_millis(limits.unread_ms_max),
        throttled_max: limits.throttled_ms_max.map(Duration::from_millis),
        sessions_max: limits.sessions_max,
        sessions: settings.sessions,
        timeouts: TimeoutBounds::new(timing.session_timeout_ms_min, timing.session_timeout_ms_max)
            .context("session timeouts")?,
        words: settings.access.four_letter_words.clone(),
        auth: auth_options(&settings.access),
        tls,
        ttl_enabled: settings.znodes.ttl_enabled,
        reconfig: settings.access.reconfig,
    })
}

fn grpc_options(limits: &LimitSettings) -> grpc::Options {
    grpc::Options {
        admission: AdmissionLimits {
            connections_max: limits.native_connections_max.unwrap_or(usize::MAX),
            connections_per_address_max: limits
                .native_connections_per_address_max
                .unwrap_or(usize::MAX),
        },
        ..grpc::Options::default()
    }
}

fn auth_options(access: &AccessSettings) -> zookeeper::AuthOptions {
    zookeeper::AuthOptions {
        digest: access
            .digest_algorithm
            .as_deref()
            .and_then(zookeeper::DigestAlgorithm::from_name),
        super_digest: access
            .super_digest
            .as_ref()
            .map(|secret| secret.reveal().to_owned()),
        x509_super_user: access.x509_super_user.clone(),
        sasl: access.sasl.clone().map(Arc::new),
        required_schemes: access.required_schemes.clone(),
    }
}

fn native_options(settings: &Settings, timeouts: TimeoutBounds) -> grpc::NativeOptions {
    grpc::NativeOptions {
        timeouts,
        sessions_max: settings.limits.sessions_max,
        value_bytes_max: settings.limits.frame_bytes_max,
        auth: auth_options(&settings.access),
        tokens: settings.access.tokens.clone().map(grpc::Tokens::new),
    }
}

fn tls_options(settings: &TlsSettings) -> tls::Options {
    tls::Options {
        key_store: store_file(&settings.key_store),
        trust_store: settings.trust_store.as_ref().map(store_file),
        client_auth: match settings.client_auth.as_str() {
            "none" => tls::ClientAuth::None,
            "want" => tls::ClientAuth::Want,
            _ => tls::ClientAuth::Need,
        },
        protocols: settings
            .protocols
            .iter()
            .map(|name| match name.as_str() {
                "TLSv1.2" => tls::Protocol::Tls12,
                _ => tls::Protocol::Tls13,
            })
            .collect(),
        cipher_suites: settings.cipher_suites.clone(),
        verify_client_address: settings.verify_client_address,
        handshakes_max: settings.handshakes_max,
        reload_interval: settings.reload_interval_ms.map(Duration::from_millis),
    }
}

fn store_file(settings: &StoreSettings) -> tls::StoreFile {
    let kind = settings.kind.as_deref().map(|kind| match kind {
        "PEM" => tls::StoreKind::Pem,
        "JKS" => tls::StoreKind::Jks,
        _ => tls::StoreKind::Pkcs12,
    });
    let password = match (&settings.password_file, &settings.password) {
        (Some(path), _) => tls::Password::InFile(path.clone()),
        (None, Some(password)) => tls::Password::Given(password.reveal().to_owned()),
        (None, None) => tls::Password::Given(String::new()),
    };
    tls::StoreFile {
        path: settings.path.clone(),
        kind,
        password,
    }
}

fn admin_options(settings: &Settings) -> admin::Options {
    let admin = &settings.admin;
    admin::Options {
        commands: admin.commands_enabled.then(|| admin::CommandOptions {
            auth: auth_options(&settings.access),
            snapshots: admin.snapshots_enabled,
            snapshot_interval_min: Duration::from_millis(admin.snapshot_interval_ms_min),
            restores: admin.restores_enabled,
            restore_bytes_max: admin.restore_bytes_max,
        }),
        head_timeout: Duration::from_millis(admin.idle_ms_max),
        ..admin::Options::default()
    }
}

/// What an operator is told of the settings.
fn configuration(settings: &Settings) -> Configuration {
    let port = |address: &str| {
        let port = address.rsplit_once(':');
        port.and_then(|(_, port)| port.parse::<u16>().ok())
            .map(i32::from)
    };
    let doors = &settings.doors;
    let client = port(&doors.client.bind);
    let (plain, secure) = match doors.client_tls {
        TlsAtDoor::Only => (None, client),
        TlsAtDoor::No | TlsAtDoor::Also => (client, None),
    };
    let secure = doors.client_tls_bind.as_deref().and_then(port).or(secure);
    let limits = &settings.limits;
    Configuration {
        client_port: plain.unwrap_or(Configuration::NO_PORT),
        secure_client_port: secure.unwrap_or(Configuration::NO_PORT),
        client_bind: doors.client.bind.clone(),
        peer_port: port(&doors.peer.bind).unwrap_or_default(),
        data_dir: settings.storage.data_dir.clone(),
        log_dir: settings.storage.log_dir.clone(),
        tick_ms: settings.timing.tick_ms,
        connections_per_address_max: limits.connections_per_address_max.unwrap_or(0),
        session_timeout_ms_min: settings.timing.session_timeout_ms_min,
        session_timeout_ms_max: settings.timing.session_timeout_ms_max,
        listen_backlog: -1,
        member: settings.member.id.0,
        settings: settings
            .lines()
            .iter()
            .filter_map(|line| setting(line))
            .collect(),
    }
}

/// A line of `Settings::lines`, without where the value came from.
fn setting(line: &str) -> Option<(String, String)> {
    let (key, rest) = line.split_once(" = ")?;
    let value = rest.rsplit_once("  # ").map_or(rest, |(value, _)| value);
    Some((key.to_owned(), value.to_owned()))
}

/// The exit code of a start that failed, by the type of its cause.
pub fn exit_of(error: &anyhow::Error) -> Option<Exit> {
    if error.is::<TlsError>() {
        return Some(Exit::Configuration);
    }
    if error.is::<DoorFailed>() {
        return Some(Exit::Door);
    }
    if error.is::<ConsensusStopped>() {
        return Some(Exit::ConsensusStopped);
    }
    let storage = |fault: &StorageFault| match fault {
        StorageFault::NotOurs { .. } => Exit::NotOurs,
        _ => Exit::Storage,
    };
    if let Some(fault) = error.downcast_ref::<StorageFault>() {
        return Some(storage(fault));
    }
    match error.downcast_ref::<StartError>()? {
        StartError::Storage(fault) => Some(storage(fault)),
        StartError::DataLost(_) => Some(Exit::Storage),
        StartError::Listen { .. } => Some(Exit::Door),
        _ => None,
    }
}
