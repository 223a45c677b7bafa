//! Clients by name: which sessions were runs of the same client.
//!
//! | entry | lives | holds |
//! |---|---|---|
//! | `/vivarium/clients/NAME` | for good | the sessions of its latest runs, newest first; its version counts the runs |
//! | `/vivarium/sessions/ID` | with the session | the client's name and the number of the run |
//!
//! A name is what the client says. Whoever may open a session may open one under any name, so that names are no
//! protection; access lists are.

use super::caller::{Caller, Written};
use super::failure::Failure;
use super::json::to_json;
use super::parents::{below, missing_above, segment};
use crate::member::{Handle, Tree};
use crate::model::{Acl, CreateMode, Id, Operation, Outcome, SessionId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

pub const CLIENT_ID_CHARS_MAX: usize = 256;
/// Runs of a client that are remembered.
const RUNS_MAX: usize = 16;
/// Tries to be the next run of a client while others are.
const ATTEMPTS_MAX: usize = 16;

const CLIENTS: &str = "/vivarium/clients";
const SESSIONS: &str = "/vivarium/sessions";

/// What a client was before this session.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Counts its runs, from 1; 0 for a client without a name.
    pub incarnation: i64,
    pub earlier_runs: BTreeSet<SessionId>,
}

#[derive(Serialize, Deserialize)]
struct Runs {
    sessions: Vec<i64>,
}

#[derive(Serialize, Deserialize)]
struct Run {
    client_id: String,
    incarnation: i64,
}

fn runs(tree: &Tree, path: &str) -> Option<(Vec<SessionId>, i32)> {
    let (data, stat) = tree.data(path, Id::passing_all()).ok()?;
    let runs: Option<Runs> = serde_json::from_slice(data.unwrap_or_default()).ok();
    // What somebody else wrote there tells of no run.
    let sessions = runs.map_or(Vec::new(), |runs| runs.sessions);
    Some((sessions.into_iter().map(SessionId).collect(), stat.version))
}

fn run_path(session: SessionId) -> String {
    below(SESSIONS, &session.to_string())
}

/// Makes the caller's session the next run of a client.
pub async fn enrol(
    handle: &Handle,
    caller: &Caller,
    identities: &Arc<[Id]>,
    client_id: &str,
) -> Result<Client, Failure> {
    let path = below(CLIENTS, &segment(client_id));
    let session = caller.session();
    for _ in 0..ATTEMPTS_MAX {
        let (client, operations) = {
            let view = handle.read();
            let tree = view.state().tree();
            let known = runs(tree, &path);
            let incarnation = known
                .as_ref()
                .map_or(1, |(_, version)| i64::from(*version) + 2);
            let earlier = known.iter().flat_map(|(sessions, _)| sessions.iter());
            let latest: Vec<SessionId> = earlier.copied().take(RUNS_MAX).collect();
            let now = std::iter::once(session).chain(latest.iter().copied());
            let data = to_json(&Runs {
                sessions: now.take(RUNS_MAX).map(|session| session.0).collect(),
            })?;
            let mut operations = missing_above(tree, &path);
            operations.extend(
                missing_above(tree, &run_path(session))
                    .into_iter()
                    .filter(|operation| !operations.contains(operation))
                    .collect::<Vec<_>>(),
            );
            operations.push(match known {
                Some((_, version)) => Operation::SetData {
                    path: path.clone(),
                    data: Some(data),
                    version,
                },
                None => create(&path, data, CreateMode::Persistent),
            });
            operations.push(create(
                &run_path(session),
                to_json(&Run {
                    client_id: client_id.to_owned(),
                    incarnation,
                })?,
                CreateMode::Ephemeral,
            ));
            let client = Client {
                incarnation,
                earlier_runs: latest.into_iter().collect(),
            };
            (client, operations)
        };
        match caller.write(identities, 0, operations).await? {
            Written::Done { outcomes, .. } => {
                debug_assert!(matches!(outcomes.last(), Some(Outcome::Created { .. })));
                return Ok(client);
            }
            Written::Refused(failure) => match Failure::of(failure.refusal, &path) {
                Failure::Contended(_) | Failure::NoEntry(_) => {}
                other => return Err(other),
            },
            Written::Replayed { .. } => {
                return Err(Failure::Internal("a number that was not given".to_owned()));
            }
        }
    }
    Err(Failure::Contended(path))
}

/// The name of a session's client and the number of its run, if it has told one.
pub fn client_of(tree: &Tree, session: SessionId) -> Option<(String, i64)> {
    let (data, _) = tree.data(&run_path(session), Id::passing_all()).ok()?;
    let run: Run = serde_json::from_slice(data?).ok()?;
    Some((run.client_id, run.incarnation))
}

/// The sessions of the runs before this session's.
pub fn earlier_runs_of(handle: &Handle, session: SessionId) -> BTreeSet<SessionId> {
    let view = handle.read();
    let tree = view.state().tree();
    let client = client_of(tree, session);
    let runs = client.and_then(|(id, _)| runs(tree, &below(CLIENTS, &segment(&id))));
    let sessions = runs.into_iter().flat_map(|(sessions, _)| sessions);
    sessions.skip_while(|run| *run != session).skip(1).collect()
}

fn create(path: &str, data: Bytes, mode: CreateMode) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: Some(data),
        acl: Acl::open(),
        mode,
    }
}
