//! What a client is told: where the members are, who it is, how patient it is.

use super::connections::Connections;
use super::error::Error;
use std::fmt;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

/// Members that a client may know.
pub const ENDPOINTS_MAX: usize = 64;
/// A heartbeat is this part of the session's timeout, where nothing else is asked for.
const HEARTBEATS_PER_TIMEOUT: u32 = 5;
/// A sign of life is given so often at least, so that an answer may be late before a third of the timeout
/// is over.
const HEARTBEATS_PER_TIMEOUT_MIN: u32 = 4;

/// Bytes of one stream that came and that nobody has taken yet: the member sends no more of it until then. So much
/// memory does a subscription cost that is not read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same of a whole connection: as much as HTTP/2 has words for (RFC 9113, 6.9.1), so that it is always a stream's
/// own window that stops it. Were it less, a few streams that nobody reads would fill it, and the answers to signs of
/// life could not pass them.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// A name and a password, which prove the `digest` identity that a ZooKeeper client gets for `user:password`.
/// Sent as they are, so for networks that are trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, …)", self.user)
    }
}

/// How a client behaves. Begin with [`ClientOptions::new`] and change what is to be different:
///
/// ```
/// use std::time::Duration;
/// use vivarium::client::ClientOptions;
///
/// let options = ClientOptions {
///     client_id: "worker-7:1234".to_owned(),
///     timeout: Duration::from_secs(30),
///     ..ClientOptions::new(["10.0.0.1:2191", "10.0.0.2:2191", "10.0.0.3:2191"])
/// };
/// assert_eq!(options.endpoints.len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// The gRPC ports of members, `host:port` each, 1 to 64. They are tried in turn, from the first on.
    pub endpoints: Vec<String>,
    /// Without a sign of life for so long, the session ends. The ensemble brings it within its bounds.
    pub timeout: Duration,
    /// How often a sign of life is given: a third of the timeout at most, else the ensemble refuses. `None`: a
    /// fifth. Never rarer than a quarter, so that a late answer does not suspend the client.
    pub heartbeat: Option<Duration>,
    /// Who this is, over all its runs. Empty: nobody in particular. 256 characters at most.
    pub client_id: String,
    pub credentials: Option<Credentials>,
    /// How long a call is tried, over all its attempts, and however often the member changes meanwhile.
    pub request_timeout: Duration,
    /// How long [`Client::connect`](super::Client::connect) looks for a member that serves.
    pub connect_timeout: Duration,
    /// Whether a session that is over is followed by a new one. Without, every later call fails with
    /// [`Error::SessionLost`].
    pub reopen: bool,
    /// `None`: connections of its own.
    pub connections: Option<Connections>,
}

impl ClientOptions {
    /// A session of ten seconds, calls of fifteen; a session that is over is followed by a new one.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> ClientOptions {
        ClientOptions {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            timeout: Duration::from_secs(10),
            heartbeat: None,
            client_id: String::new(),
            credentials: None,
            request_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(15),
            reopen: true,
            connections: None,
        }
    }

    /// The interval of signs of life for a session that has this timeout.
    pub(super) fn heartbeat_for(&self, timeout: Duration) -> Duration {
        let wanted = self.heartbeat.unwrap_or(timeout / HEARTBEATS_PER_TIMEOUT);
        wanted.clamp(
            Duration::from_millis(1),
            timeout / HEARTBEATS_PER_TIMEOUT_MIN,
        )
    }

    /// The addresses as tonic takes them, with the text that the user gave.
    pub(super) fn parsed_endpoints(&self) -> Result<Vec<(String, Endpoint)>, Error> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            return Err(Error::InvalidOptions(format!(
                "a client is told 1 to {ENDPOINTS_MAX} endpoints, and not {}",
                self.endpoints.len()
            )));
        }
        self.endpoints.iter().map(|text| parsed(text)).collect()
    }

    /// The value of the `authorization` header.
    pub(super) fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        use base64::Engine;
        let Some(Credentials { user, password }) = &self.credentials else {
            return Ok(None);
        };
        if user.contains(':') {
            return Err(Error::InvalidOptions(
                "a user's name has no `:` in it".to_owned(),
            ));
        }
        let proof = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let value = MetadataValue::try_from(format!("Basic {proof}"));
        let mut value = value.map_err(|error| Error::InvalidOptions(error.to_string()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Milliseconds for the protocol: at least one, so that nothing that was asked for becomes "unset".
    pub(super) fn ms(duration: Duration) -> u32 {
        u32::try_from(duration.as_millis())
            .unwrap_or(u32::MAX)
            .max(1)
    }
}

fn parsed(text: &str) -> Result<(String, Endpoint), Error> {
    let wrong = |why: &dyn fmt::Display| {
        Error::InvalidOptions(format!("the endpoint {text:?} is not HOST:PORT: {why}"))
    };
    let text = text.trim();
    let address = text.strip_prefix("http://").unwrap_or(text);
    let address = address.strip_suffix('/').unwrap_or(address);
    let port = address.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(wrong(&"a port from 1 to 65535 is missing"));
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| wrong(&error))?;
    if endpoint.uri().host().is_none_or(str::is_empty) || endpoint.uri().path() != "/" {
        return Err(wrong(&"it is a host and a port, and nothing else"));
    }
    let endpoint = endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    Ok((address.to_owned(), endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port() {
        for good in ["a:1", "10.0.0.1:2191", "[::1]:2191", "http://a:1", "a:1/"] {
            let options = ClientOptions::new([good]);
            assert!(options.parsed_endpoints().is_ok(), "{good}");
        }
        for bad in [
            "", "a", "a:", "a:0", "a:x", ":1", "a:1/x", "a:70000", "a b:1",
        ] {
            let refused = ClientOptions::new([bad]).parsed_endpoints();
            assert!(
                matches!(refused, Err(Error::InvalidOptions(why)) if why.contains(&format!("{bad:?}"))),
                "{bad}"
            );
        }
        let none: [&str; 0] = [];
        assert!(ClientOptions::new(none).parsed_endpoints().is_err());
        let many = (1..=65).map(|port| format!("a:{port}"));
        assert!(ClientOptions::new(many).parsed_endpoints().is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Some(Credentials {
            user: "u".to_owned(),
            password: "secret".to_owned(),
        });
        let options = ClientOptions {
            credentials,
            ..ClientOptions::new(["a:1"])
        };
        assert!(!format!("{options:?}").contains("secret"));
        let header = options.authorization().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dTpzZWNyZXQ=");
        assert!(!format!("{header:?}").contains("dTpz"));
    }

    #[test]
    fn signs_of_life_leave_room_for_a_late_answer() {
        let second = Duration::from_secs(1);
        let mut options = ClientOptions::new(["a:1"]);
        assert_eq!(options.heartbeat_for(10 * second), 2 * second);
        options.heartbeat = Some(3 * second);
        assert_eq!(options.heartbeat_for(9 * second), 9 * second / 4);
        options.heartbeat = Some(Duration::ZERO);
        assert!(options.heartbeat_for(9 * second) > Duration::ZERO);
    }
}
