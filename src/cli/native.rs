//! What the commands that use the native API have in common: where the members are, and what to do when it
//! does not work.

use super::exit::Exit;
use super::output::Format;
use crate::client::{Client, ClientOptions, Credentials, Error, Reason};
use clap::Args;
use rustix::process::Signal;
use std::fmt;
use std::time::Duration;
use tokio::signal::unix;

#[derive(Args, Debug)]
pub struct ClientArgs {
    /// gRPC ports of members; the first that answers is used, and another one when it fails
    #[arg(
        long = "endpoint",
        global = true,
        env = "VIVARIUM_ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:2191",
        value_name = "HOST:PORT"
    )]
    endpoints: Vec<String>,
    /// Prove this identity; the password is taken from VIVARIUM_PASSWORD
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// How long a call may take, and how long a member that serves is looked for
    #[arg(long, global = true, value_parser = duration, default_value = "5s", value_name = "TIME")]
    request_timeout: Duration,
    /// Without a sign of life for so long, the session of this command ends
    #[arg(long, global = true, value_parser = duration, default_value = "10s", value_name = "TIME")]
    session_timeout: Duration,
    /// Form of what is printed
    #[arg(long, short, global = true, value_enum, default_value = "table")]
    pub output: Format,
}

/// A number and its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no time: 500ms, 10s, 2m or 1h, say"))?;
    let ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text:?} has no unit: ms, s, m or h")),
    };
    let ms = number.checked_mul(ms);
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is longer than anybody waits"))
}

impl ClientArgs {
    /// Has work done by a client whose session is not followed by another one, and closes that in the end.
    pub async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let client = self.connect_within(self.request_timeout, false).await?;
        let done = work(&client).await;
        close(&client).await;
        done
    }

    /// A client whose session, where it is to `reopen`, is followed by another one.
    pub async fn connect_within(&self, patience: Duration, reopen: bool) -> Result<Client, Failed> {
        let credentials = self.user.as_ref().map(|user| Credentials {
            user: user.clone(),
            password: std::env::var("VIVARIUM_PASSWORD").unwrap_or_default(),
        });
        let options = ClientOptions {
            timeout: self.session_timeout,
            request_timeout: self.request_timeout,
            connect_timeout: patience,
            credentials,
            reopen,
            ..ClientOptions::new(self.endpoints.clone())
        };
        Ok(Client::connect(options).await?)
    }
}

/// What asks a command to end, from its start on: none that comes in between is missed.
pub struct Ending {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Ending {
    pub fn listen() -> std::io::Result<Ending> {
        Ok(Ending {
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
            terminate: unix::signal(unix::SignalKind::terminate())?,
            hang_up: unix::signal(unix::SignalKind::hangup())?,
        })
    }

    pub async fn asked(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}

/// Closes the session. Whatever the command came to stays so: the session ends by itself otherwise.
pub async fn close(client: &Client) {
    if let Err(error) = client.close().await {
        tracing::debug!(%error, "the session ends with its timeout");
    }
}

/// A call that failed, with what to do next.
#[derive(Debug)]
pub struct Failed(Error);

/// It says all that its cause says, so it has none.
impl std::error::Error for Failed {}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = super::output::printable(&self.0.to_string());
        f.write_str(&text)?;
        match self.next() {
            "" => Ok(()),
            next => write!(f, "; {next}"),
        }
    }
}

impl Failed {
    pub fn exit(&self) -> Exit {
        match &self.0 {
            Error::Unreachable(_) | Error::TimedOut { .. } => Exit::Unreachable,
            Error::InvalidOptions(_) => Exit::Usage,
            Error::SessionLost => Exit::SessionLost,
            _ => Exit::Failure,
        }
    }

    fn next(&self) -> &'static str {
        let reason = match &self.0 {
            Error::Unreachable(_) => {
                return "name the gRPC port of a member that runs with --endpoint HOST:PORT or in VIVARIUM_ENDPOINTS";
            }
            Error::TimedOut { sent: true, .. } => {
                return "a change may have been done: look before doing it again. `vivarium cluster status` tells whether there is a leader";
            }
            Error::TimedOut { sent: false, .. } => {
                return "nothing was changed. `vivarium cluster status` tells whether there is a leader";
            }
            Error::SessionLost => return "what it held is free for others",
            _ => self.0.reason(),
        };
        match reason {
            Some(Reason::BadCredentials) => {
                "give --user NAME, and the password in VIVARIUM_PASSWORD"
            }
            Some(Reason::AccessDenied) => {
                "give --user NAME of somebody who may, and the password in VIVARIUM_PASSWORD"
            }
            Some(Reason::NoEntry) => "`vivarium registry list` shows what there is",
            Some(Reason::AlreadyRegistered) => "--take-over takes it from the session that has it",
            Some(Reason::HasChildren) => "--recursive removes them too",
            Some(Reason::VersionMismatch) => {
                "`vivarium registry get` shows the version that it has now"
            }
            Some(Reason::KindMismatch) => {
                "an entry is either persistent or a session's; a lock is either a mutex or asked for with --shared and --exclusive; `vivarium task list` shows which tasks are dead"
            }
            Some(Reason::EmptyRing) => "register servers right below the path first",
            Some(Reason::Compacted) => "ask another member, or begin later",
            Some(Reason::StaleEpoch) => "the ring changed meanwhile: ask again",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "s",
            "10",
            "-1s",
            "1.5s",
            "10x",
            "18446744073709551615h",
            "1ß",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
