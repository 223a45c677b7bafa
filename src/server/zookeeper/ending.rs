//! Why connections end, as the log and the metrics name it.

use super::handshake::Failed;
use crate::member::CloseReason;
use crate::metrics::CONNECTIONS_ENDED;
use crate::tls::HandshakeFailed;
use crate::wire::FrameError;
use std::net::SocketAddr;

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("closed by the client")]
    ByClient,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{}", .0.as_str())]
    ByMember(CloseReason),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Stranger(#[from] crate::wire::Stranger),
    #[error("{0}")]
    Protocol(String),
    #[error("no session: {0:?}")]
    NoSession(Failed),
    #[error("a four-letter word was answered")]
    Word,
    #[error("nothing came of the handshake in time")]
    HandshakeTimeout,
    #[error(transparent)]
    Tls(#[from] HandshakeFailed),
    #[error("TLS is not spoken here")]
    NoTls,
    #[error("a plain client on a TLS port")]
    NotTls,
}

impl End {
    /// What the metrics call it.
    fn label(&self) -> &'static str {
        match self {
            End::ByClient => "client",
            End::Io(_) => "network",
            End::ByMember(CloseReason::SessionEnded) => "session_ended",
            End::ByMember(CloseReason::SessionMoved) => "session_moved",
            End::ByMember(CloseReason::OutOfTouch) => "out_of_touch",
            End::ByMember(CloseReason::StateReplaced) => "state_replaced",
            End::ByMember(CloseReason::ReadOnlyEnded) => "read_only_ended",
            End::ByMember(CloseReason::NotUpgraded) => "not_upgraded",
            End::ByMember(CloseReason::SlowReader) => "slow_reader",
            End::ByMember(CloseReason::ShuttingDown) => "shutting_down",
            End::Frame(_) => "frame",
            End::Stranger(_) => "stranger",
            End::Protocol(_) => "protocol",
            End::NoSession(_) => "no_session",
            End::Word => "word",
            End::HandshakeTimeout => "handshake_timeout",
            End::Tls(_) => "tls_handshake",
            End::NoTls => "no_tls",
            End::NotTls => "not_tls",
        }
    }
}

pub fn ended(peer: SocketAddr, end: &End) {
    metrics::counter!(CONNECTIONS_ENDED, "reason" => end.label()).increment(1);
    match end {
        End::ByClient | End::Word | End::ByMember(CloseReason::SessionEnded) => {
            tracing::debug!(client = %peer, reason = %end, "connection ended");
        }
        _ => tracing::info!(client = %peer, reason = %end, "connection ended"),
    }
}
