//! What the leader does besides proposing: asks all members to compare digests.
//!
//! At all times: chores only propose; what comes of it is decided at apply, on every member.

use super::handle::Shared;
use super::session_clock::internal;
use crate::model::{Command, Zxid};
use crate::raft::Consensus;
use std::sync::Arc;
use std::time::Duration;

/// How often members compare digests, while there are writes.
const DIGEST_INTERVAL: Duration = Duration::from_secs(10);

/// Runs until the member stops.
pub(super) async fn run(shared: Arc<Shared>, consensus: Consensus) {
    let leadership = consensus.leadership();
    let mut compared = Zxid::ZERO;
    loop {
        tokio::time::sleep(DIGEST_INTERVAL).await;
        if !leadership.borrow().leads {
            continue;
        }
        let (zxid, position, digest) = {
            let state = shared.state.read();
            (state.zxid(), state.last_applied(), state.digest())
        };
        // An idle cluster writes nothing for it.
        if let Some(position) = position.filter(|_| zxid != compared) {
            compared = zxid;
            let command = Command::VerifyDigest { index: position.index, digest };
            shared.submit(std::iter::once((internal(command), None)));
        }
    }
}
