//! From the first bytes of a connection to a session, or to nothing.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#processConnectRequest`, `reopenSession`,
//! `finishSessionInit`, `ReadOnlyZooKeeperServer#validateSession`.

use super::Door;
use crate::member::{
    Connection, Delivery, LocalAttachment, NotReadable, ReadOnlyAttachment, began_local,
};
use crate::model::{Answer, Command, Outcome, Password, Refusal, Request, SessionId, Zxid};
use crate::wire::{ConnectRequest, ConnectResponse};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may take from connecting to its whole first frame, and a session to be created
/// or attached.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a member that is behind what a client has seen may take to catch up before it sends the
/// client to another member. ZooKeeper closes at once; waiting spares the client a round of dials
/// when the member lags by a moment only.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);
const CATCH_UP_CHECK: Duration = Duration::from_millis(5);

/// Why no session came of it. The connection is closed without a word in all but `Expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The session is gone, or the password is not its own: the client is told so.
    Expired,
    /// The client has seen a later state than this member has; another member may have it.
    Behind { seen: Zxid, applied: Zxid },
    /// A new session was asked for, and there are as many as this member lets there be.
    TooManySessions { limit: usize },
    /// No leader answered in time.
    Unavailable,
    /// There is no quorum, and the client is not content to read, or has a session of the ensemble.
    ReadOnly,
}

/// Creates or attaches the session and writes the response.
pub async fn establish(
    door: &Door,
    connection: &Arc<Connection>,
    request: &ConnectRequest,
    out: &mut BytesMut,
) -> Result<(), Failed> {
    if door.handle.is_read_only() {
        return establish_read_only(door, connection, request, out);
    }
    catch_up(door, request.last_zxid_seen).await?;
    let options = &door.options;
    let timeout_ms = options.timeouts.negotiate(request.timeout_ms);
    let (command, password) = if request.session.is_none() {
        room_for_a_session(door)?;
        let password = Password(rand::random());
        if options.sessions.local && door.handle.may_make_local_sessions() {
            let wanted = local(password, timeout_ms);
            return establish_local(door, connection, request, wanted, out).await;
        }
        (
            Command::CreateSession {
                password,
                timeout_ms,
            },
            password,
        )
    } else {
        // A password of another length than 16 fits no session.
        let password = request.password.ok_or(Failed::Expired)?;
        let wanted = local(password, timeout_ms);
        // One whose upgrade is under way is the log's to attach, like all others.
        if began_local(request.session) && door.handle.has_local(request.session) {
            return establish_local(door, connection, request, wanted, out).await;
        }
        (
            Command::AttachSession {
                session: request.session,
                password,
                timeout_ms,
            },
            password,
        )
    };
    match answer(door, connection, command).await {
        Some(Ok(
            Outcome::SessionCreated {
                session,
                timeout_ms,
                ..
            }
            | Outcome::SessionAttached {
                session,
                timeout_ms,
                ..
            },
        )) => {
            ConnectResponse {
                timeout_ms: timeout_ms as i32,
                session,
                password,
                read_only: request.read_only.map(|_| false),
            }
            .encode(out);
            Ok(())
        }
        Some(Err(Refusal::SessionExpired)) => Err(Failed::Expired),
        // No room for another session, or nobody who could say.
        _ => Err(Failed::Unavailable),
    }
}

/// What the log says, or `None` if nobody could ask it in time.
async fn answer(door: &Door, connection: &Arc<Connection>, command: Command) -> Option<Answer> {
    let request = Request {
        session: SessionId::NONE,
        generation: 0,
        identities: Arc::from([]),
        command,
    };
    connection.expect_answer(0);
    door.handle.submit(connection, &mut vec![request]);
    let answer = tokio::time::timeout(HANDSHAKE_MAX, first_answer(connection));
    answer.await.ok().flatten()
}

fn local(password: Password, timeout_ms: u32) -> LocalAttachment {
    LocalAttachment {
        password,
        timeout_ms,
        number: rand::random(),
        generation: rand::random::<u32>().max(1),
    }
}

/// The same for a local session, without a word to the ensemble, unless this member has to ask first
/// whether it has caught up: it must not show a new client what was true before it was cut off, or
/// before it was started.
async fn establish_local(
    door: &Door,
    connection: &Arc<Connection>,
    request: &ConnectRequest,
    wanted: LocalAttachment,
    out: &mut BytesMut,
) -> Result<(), Failed> {
    if !door.handle.is_caught_up() {
        let lapses = door.handle.lapses();
        match answer(door, connection, Command::Sync).await {
            Some(Ok(_)) => door.handle.synced(lapses),
            _ => return Err(Failed::Unavailable),
        }
    }
    let session = if request.session.is_none() {
        let limit = door.options.sessions_max;
        door.handle
            .create_local(connection, wanted, limit)
            .map_err(|_| Failed::TooManySessions { limit })?
    } else {
        match door
            .handle
            .attach_local(connection, request.session, wanted)
        {
            Some(Ok(())) => request.session,
            Some(Err(_)) => return Err(Failed::Expired),
            // It was upgraded, or has ended, meanwhile: when the client comes again, the log will say.
            None => return Err(Failed::Unavailable),
        }
    };
    ConnectResponse {
        timeout_ms: wanted.timeout_ms as i32,
        session,
        password: wanted.password,
        read_only: request.read_only.map(|_| false),
    }
    .encode(out);
    Ok(())
}

/// The same without a quorum, at once: there is nobody to wait for.
fn establish_read_only(
    door: &Door,
    connection: &Arc<Connection>,
    request: &ConnectRequest,
    out: &mut BytesMut,
) -> Result<(), Failed> {
    if request.read_only != Some(true) {
        return Err(Failed::ReadOnly);
    }
    let (seen, applied) = (request.last_zxid_seen, door.handle.read().zxid());
    if seen > applied {
        return Err(Failed::Behind { seen, applied });
    }
    let password = match request.session.is_none() {
        true => Password(rand::random()),
        false => request.password.ok_or(Failed::Expired)?,
    };
    let wanted = ReadOnlyAttachment {
        session: request.session,
        password,
        timeout_ms: door.options.timeouts.negotiate(request.timeout_ms),
        number: rand::random(),
        sessions_max: door.options.sessions_max,
    };
    let session = door
        .handle
        .attach_read_only(connection, wanted)
        .map_err(|why| match why {
            NotReadable::NotInMode => Failed::Unavailable,
            NotReadable::OfEnsemble => Failed::ReadOnly,
            NotReadable::Refused(Refusal::SessionExpired) => Failed::Expired,
            NotReadable::Refused(_) => Failed::TooManySessions {
                limit: wanted.sessions_max,
            },
        })?;
    ConnectResponse {
        timeout_ms: wanted.timeout_ms as i32,
        session,
        password,
        read_only: Some(true),
    }
    .encode(out);
    Ok(())
}

/// A hint, taken before the proposal: handshakes under way at once may go past the limit by their own
/// number. What no member may exceed is the session table's limit, which is judged at apply.
fn room_for_a_session(door: &Door) -> Result<(), Failed> {
    let limit = door.options.sessions_max;
    if door.handle.session_count() >= limit {
        return Err(Failed::TooManySessions { limit });
    }
    Ok(())
}

async fn catch_up(door: &Door, seen: Zxid) -> Result<(), Failed> {
    let deadline = tokio::time::Instant::now() + CATCH_UP_MAX;
    loop {
        let applied = door.handle.read().zxid();
        if seen <= applied {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Failed::Behind { seen, applied });
        }
        tokio::time::sleep(CATCH_UP_CHECK).await;
    }
}

/// Nothing else can be in the mailbox of a connection that has sent nothing and watches nothing but
/// the end of the connection itself.
async fn first_answer(connection: &Connection) -> Option<Answer> {
    let mut deliveries = VecDeque::new();
    loop {
        connection.woken().await;
        connection.take(&mut deliveries);
        match deliveries.pop_front() {
            Some(Delivery::Answer { answer, .. }) => return Some(answer),
            Some(Delivery::Close(_)) => return None,
            _ => {}
        }
    }
}
