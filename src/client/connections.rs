//! Connections to members that the clients of one process share.
//!
//! Owns: who is on which connection.
//! At all times: a connection carries `SESSIONS_PER_CONNECTION_MAX` sessions at most, and nobody joins one that has
//! been given up. It is closed when the last session has left it.

use super::error::Error;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

/// Sessions on one connection. A member answers 256 calls of a connection at once, streams among them; more of them
/// wait. So each of the sessions has room for eight.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 32;

/// What clients of one process share when each is given a clone of it in
/// [`ClientOptions::connections`](super::ClientOptions::connections): their connections, and nothing else. Worth it for a
/// process with many sessions, of which each does little: a connection of its own costs each of them, and each member,
/// memory and system calls.
///
/// ```no_run
/// use vivarium::client::{Client, ClientOptions, Connections};
///
/// # async fn example() -> Result<(), vivarium::client::Error> {
/// let connections = Connections::new();
/// let mut tenants = Vec::new();
/// for _ in 0..100 {
///     let options = ClientOptions {
///         connections: Some(connections.clone()),
///         ..ClientOptions::new(["10.0.0.1:2191", "10.0.0.2:2191", "10.0.0.3:2191"])
///     };
///     tenants.push(Client::connect(options).await?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Connections {
    /// By the member's address.
    to: Arc<Mutex<HashMap<String, Vec<Weak<Shared>>>>>,
}

/// A connection that is there, or is being made by one of those who are to be on it.
#[derive(Debug, Default)]
struct Shared {
    channel: OnceCell<Channel>,
    is_given_up: AtomicBool,
}

/// A session's place on a connection, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Shared>);

impl Connections {
    pub fn new() -> Connections {
        Connections::default()
    }

    /// A place on a connection to this member that has one left; `connect` makes the connection if nobody has.
    pub(super) async fn place(
        &self,
        member: &str,
        connect: impl Future<Output = Result<Channel, Error>>,
    ) -> Result<(Channel, Place), Error> {
        let place = Place(self.with_room(member));
        let channel = place.0.channel.get_or_try_init(|| connect).await?.clone();
        Ok((channel, place))
    }

    fn with_room(&self, member: &str) -> Arc<Shared> {
        let mut to = self.to.lock();
        let shared = to.entry(member.to_owned()).or_default();
        shared.retain(|one| one.strong_count() > 0);
        let has_room = |one: &&Weak<Shared>| one.strong_count() < SESSIONS_PER_CONNECTION_MAX;
        let mut open = shared.iter().filter(has_room).filter_map(Weak::upgrade);
        let open = open.find(|one| !one.is_given_up.load(Ordering::Relaxed));
        open.unwrap_or_else(|| {
            let one = Arc::default();
            shared.push(Arc::downgrade(&one));
            one
        })
    }
}

impl Place {
    /// Something is wrong with the connection: nobody else is put on it.
    pub fn give_up(&self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }
}

impl PartialEq for Connections {
    fn eq(&self, other: &Connections) -> bool {
        Arc::ptr_eq(&self.to, &other.to)
    }
}

impl Eq for Connections {}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// Where somebody gets, and whether the connection was made for them.
    fn place(connections: &Connections, member: &str) -> (Place, bool) {
        let mut made = false;
        let connect = async {
            made = true;
            Ok(tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy())
        };
        let placed = connections.place(member, connect).now_or_never();
        let (_, place) = placed.expect("no waiting").expect("a connection");
        (place, made)
    }

    #[tokio::test]
    async fn a_connection_is_shared_by_no_more_sessions_than_it_may_carry() {
        let connections = Connections::new();
        let mut places = Vec::new();
        let mut made = 0;
        for _ in 0..2 * SESSIONS_PER_CONNECTION_MAX {
            let (place, is_new) = place(&connections, "a:1");
            places.push(place);
            made += usize::from(is_new);
        }
        assert_eq!(made, 2);
        assert!(place(&connections, "b:1").1, "another member");
        assert!(
            place(&Connections::new(), "a:1").1,
            "clients that share nothing"
        );
        // Whoever leaves makes room.
        places.remove(0);
        let (back, is_new) = place(&connections, "a:1");
        assert!(!is_new && Arc::ptr_eq(&back.0, &places[0].0));
        assert!(place(&connections, "a:1").1, "both are full again");
    }

    #[tokio::test]
    async fn nobody_joins_a_connection_that_was_given_up() {
        let connections = Connections::new();
        let (first, _) = place(&connections, "a:1");
        let (second, is_new) = place(&connections, "a:1");
        assert!(!is_new);
        second.give_up();
        let (third, is_new) = place(&connections, "a:1");
        assert!(is_new && !Arc::ptr_eq(&third.0, &first.0));
        drop((first, second, third));
        assert!(place(&connections, "a:1").1, "the last one closes it");
        assert_eq!(
            connections.to.lock()["a:1"].len(),
            1,
            "nothing is left of it"
        );
    }

    #[tokio::test]
    async fn a_connection_that_one_failed_to_make_is_made_by_the_next() {
        let connections = Connections::new();
        let failed = connections.place("a:1", async { Err(Error::Closed) }).await;
        assert_eq!(failed.unwrap_err(), Error::Closed);
        assert!(place(&connections, "a:1").1);
    }
}
