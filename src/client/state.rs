//! What a client knows of its session, told to everybody who wants to know.

use std::fmt;
use tokio::sync::watch;

/// What may be relied on, in the words of Apache Curator's `ConnectionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// A session was opened, and lives.
    Connected,
    /// Whether the session lives is not known: no answer came for a third of its timeout, or the connection
    /// broke. Nothing may be relied on until it is known again.
    Suspended,
    /// The same session lives: entries and locks are as they were.
    Reconnected,
    /// The session is over, with all that was bound to it.
    Lost,
}

impl ConnectionState {
    /// Whether the session is known to live.
    pub fn is_connected(self) -> bool {
        matches!(
            self,
            ConnectionState::Connected | ConnectionState::Reconnected
        )
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectionState::Connected => "CONNECTED",
            ConnectionState::Suspended => "SUSPENDED",
            ConnectionState::Reconnected => "RECONNECTED",
            ConnectionState::Lost => "LOST",
        })
    }
}

/// The state, and how many sessions were lost on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub state: ConnectionState,
    pub losses: u64,
}

/// The states of a client, as they come. Whoever is slow may miss that it was suspended and came back, but never
/// that a session was lost.
///
/// ```no_run
/// # async fn example(client: vivarium::client::Client) {
/// use vivarium::client::ConnectionState;
///
/// let mut states = client.states();
/// while let Some(state) = states.next().await {
///     if state == ConnectionState::Lost {
///         // Stop whatever relied on locks and entries of the session.
///     }
/// }
/// # }
/// ```
pub struct States {
    told: watch::Receiver<Told>,
    /// What was given out last, or will be first.
    seen: Told,
    is_begun: bool,
}

impl States {
    pub(super) fn new(told: watch::Receiver<Told>) -> States {
        let seen = *told.borrow();
        States {
            told,
            seen,
            is_begun: false,
        }
    }

    /// The state as it was when it was asked for, at first; then each other one. `None` once the client is gone or closed and
    /// [`ConnectionState::Lost`] was told.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(self.seen.state);
        }
        loop {
            let mut now = *self.told.borrow_and_update();
            if self.seen.losses < now.losses {
                // A new session may be there already: first it is told that the old one is not.
                now.state = ConnectionState::Lost;
            } else if self.seen.state == now.state {
                self.told.changed().await.ok()?;
                continue;
            }
            self.seen = now;
            return Some(now.state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loss_is_told_also_to_who_is_slow() {
        use ConnectionState::*;
        let (tell, told) = watch::channel(Told {
            state: Connected,
            losses: 0,
        });
        let mut states = States::new(told);
        assert_eq!(states.next().await, Some(Connected));
        for (state, losses) in [(Suspended, 0), (Lost, 1), (Connected, 1)] {
            tell.send_replace(Told { state, losses });
        }
        assert_eq!(states.next().await, Some(Lost));
        assert_eq!(states.next().await, Some(Connected));
        tell.send_replace(Told {
            state: Lost,
            losses: 2,
        });
        drop(tell);
        assert_eq!(states.next().await, Some(Lost));
        assert_eq!(states.next().await, None);
    }
}
