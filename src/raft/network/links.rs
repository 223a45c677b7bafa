//! Connections to peers: one per peer and lane, opened when first needed, opened anew when lost.
//!
//! Names are resolved at every dial, because `Network::connect` is given `host:port`.

use super::connection::Connection;
use super::formats::PeerFormats;
use super::frames;
use super::introduction::{self, Introduction};
use crate::model::{ClusterId, LogPosition, MemberAddresses, MemberId};
use crate::raft::PeerError;
use crate::raft::options::{MESSAGE_BYTES_MAX, PeerOptions};
use crate::raft::proto;
use crate::raft::proto::cluster_client::ClusterClient;
use crate::raft::proto::peer_client::PeerClient;
use crate::runtime::Network;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Uri};

/// How often a member that goes on refusing an introduction is told of in the log.
const REFUSAL_REPEAT: Duration = Duration::from_secs(60);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Append,
    /// Heartbeats, votes, touches and questions: small and urgent.
    Control,
    Forward,
    Snapshot,
}

/// All connections of this member to its peers.
pub struct Links {
    cluster: ClusterId,
    member: MemberId,
    network: Arc<dyn Network>,
    options: PeerOptions,
    closing: CancellationToken,
    channels: Mutex<HashMap<(MemberId, Lane), (String, Channel)>>,
    pub formats: PeerFormats,
    /// Which peers take frames: they said so since a stream to them broke last.
    frames: Mutex<HashSet<MemberId>>,
    /// What members are known to have on their disks, by what they said to this member as leader.
    acknowledged: Mutex<HashMap<MemberId, LogPosition>>,
    /// Why members refused an introduction last, and when that was logged.
    refusals: Mutex<HashMap<MemberId, (String, Instant)>>,
}

impl Links {
    pub fn new(
        cluster: ClusterId,
        member: MemberId,
        network: Arc<dyn Network>,
        options: PeerOptions,
        closing: CancellationToken,
    ) -> Links {
        Links {
            cluster,
            member,
            network,
            options,
            closing,
            channels: Mutex::default(),
            formats: PeerFormats::default(),
            frames: Mutex::default(),
            acknowledged: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    pub fn member(&self) -> MemberId {
        self.member
    }

    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// The way to one peer on one lane. Opens nothing yet.
    pub fn link(self: &Arc<Self>, to: MemberId, addresses: &MemberAddresses, lane: Lane) -> Link {
        Link {
            introduction: Introduction::new(self.cluster, self.member, to),
            links: Arc::clone(self),
            to,
            address: addresses.peer.clone(),
            lane,
        }
    }

    /// Takes note of what a member acknowledged to this one in a term that it led.
    pub fn note_acknowledged(&self, by: MemberId, position: LogPosition) {
        let mut acknowledged = self.acknowledged.lock();
        let known = acknowledged.entry(by).or_insert(position);
        *known = position.max(*known);
    }

    pub fn acknowledged(&self, by: MemberId) -> Option<LogPosition> {
        self.acknowledged.lock().get(&by).copied()
    }

    /// Whether a peer is known to take frames.
    pub fn take_frames(&self, peer: MemberId) -> bool {
        self.frames.lock().contains(&peer)
    }

    /// Whether a refusal is news: heartbeats go on, and each of them is refused.
    fn is_news(&self, by: MemberId, reason: &str) -> bool {
        let mut refusals = self.refusals.lock();
        let now = Instant::now();
        let old = refusals.get(&by);
        let is_news = old
            .is_none_or(|(known, at)| known != reason || now.duration_since(*at) >= REFUSAL_REPEAT);
        if is_news {
            refusals.insert(by, (reason.to_owned(), now));
        }
        is_news
    }

    fn channel(self: &Arc<Self>, to: MemberId, address: &str, lane: Lane) -> Channel {
        let mut channels = self.channels.lock();
        match channels.get(&(to, lane)) {
            Some((known, channel)) if known == address => channel.clone(),
            _ => {
                let channel = self.dial(address);
                channels.insert((to, lane), (address.to_owned(), channel.clone()));
                channel
            }
        }
    }

    /// Opens a connection of its own.
    fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Connection>> + Send + use<> {
        let (network, address) = (Arc::clone(&self.network), address.to_owned());
        let deadline = self.options.connect;
        let closing = self.closing.clone();
        async move {
            match tokio::time::timeout(deadline, network.connect(&address)).await {
                Ok(Ok(stream)) => Ok(Connection::new(stream, &closing)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{address} did not answer within {deadline:?}"),
                )),
            }
        }
    }

    fn dial(self: &Arc<Self>, address: &str) -> Channel {
        let links = Arc::downgrade(self);
        let address = address.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let connecting = links.upgrade().map(|links| links.connect(&address));
            async move {
                match connecting {
                    Some(connecting) => connecting.await.map(TokioIo::new),
                    None => Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
        });
        // The connector knows where to; this only fills the HTTP authority.
        Endpoint::from_static("http://vivarium.peer")
            .initial_stream_window_size(self.options.window_bytes)
            .initial_connection_window_size(2 * self.options.window_bytes)
            .http2_keep_alive_interval(self.options.keepalive_interval)
            .keep_alive_timeout(self.options.keepalive_timeout)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector)
    }
}

/// The way to one peer on one lane.
#[derive(Clone)]
pub struct Link {
    links: Arc<Links>,
    pub introduction: Introduction,
    pub to: MemberId,
    address: String,
    lane: Lane,
}

impl Link {
    pub fn lane(&self) -> Lane {
        self.lane
    }

    pub fn options(&self) -> &PeerOptions {
        &self.links.options
    }

    /// A client on the lane's connection, which is opened by its first call if there is none.
    pub fn client(&self) -> PeerClient<Channel> {
        PeerClient::new(self.links.channel(self.to, &self.address, self.lane))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A connection that no other call uses.
    pub async fn connect(&self) -> Result<Connection, PeerError> {
        let connection = self.links.connect(&self.address).await;
        connection.map_err(|error| self.unreachable(&error))
    }

    pub fn unreachable(&self, why: &dyn std::fmt::Display) -> PeerError {
        PeerError::Unreachable {
            member: self.to,
            reason: why.to_string(),
        }
    }

    /// Whether a stream to the peer may be frames. It is asked again when a stream to it broke, because it
    /// may have been put back to an older program, and for each stream while it takes none.
    pub async fn takes_frames(&self) -> Result<bool, PeerError> {
        if !self.options().frames {
            return Ok(false);
        }
        if self.links.take_frames(self.to) {
            return Ok(true);
        }
        let control = Link {
            lane: Lane::Control,
            ..self.clone()
        };
        let mut client = control.client();
        let question = proto::LeadsRequest { term: 0 };
        let call = client.leads(control.introduction.introduce(question));
        let answer = control.within(self.options().connect, call).await?;
        let takes = frames::announced(answer.metadata());
        if takes {
            self.links.frames.lock().insert(self.to);
        }
        Ok(takes)
    }

    /// Has the peer asked again before the next stream to it.
    pub fn forget_frames(&self) {
        self.links.frames.lock().remove(&self.to);
    }

    /// Takes note of what the peer said of itself in the head of an answer.
    pub fn heard(&self, metadata: &MetadataMap) {
        self.links.formats.heard(self.to, metadata);
    }

    /// The same connection, for the operators' service of the peer.
    pub fn cluster_client(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.links.channel(self.to, &self.address, self.lane))
    }

    /// What the peer has acknowledged to this member, and where to take note of more.
    pub fn acknowledged(&self) -> Option<LogPosition> {
        self.links.acknowledged(self.to)
    }

    pub fn note_acknowledged(&self, position: LogPosition) {
        self.links.note_acknowledged(self.to, position);
    }

    /// Forgets the connection, so that the next call opens another: a connection on which nothing
    /// comes back may be a dead one whose end was never seen.
    pub fn reset(&self) {
        self.links.channels.lock().remove(&(self.to, self.lane));
    }

    /// Makes a call within a deadline.
    pub async fn within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, PeerError> {
        match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer.map_err(|status| self.error(&status)),
            Err(_) => {
                self.reset();
                Err(PeerError::TimedOut { member: self.to })
            }
        }
    }

    /// What a failed call means.
    pub fn error(&self, status: &tonic::Status) -> PeerError {
        let (member, reason) = (self.to, reason(status));
        if introduction::was_refused(status) {
            if self.links.is_news(member, &reason) {
                tracing::error!(peer = %member, address = self.address, reason, "wrong peer");
            }
            return PeerError::WrongPeer { member, reason };
        }
        PeerError::Unreachable { member, reason }
    }
}

/// The innermost cause says what happened; those around it only that something did.
fn reason(status: &tonic::Status) -> String {
    let mut innermost = String::from(status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        innermost = error.to_string();
        cause = error.source();
    }
    innermost
}
