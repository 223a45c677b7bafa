//! What the leader does besides proposing: asks all members to compare digests, and takes in the
//! observers that the cluster was founded with.
//!
//! At all times: chores only propose; what comes of it is decided at apply, on every member.

use super::handle::Shared;
use super::session_clock::internal;
use crate::model::{Command, MemberAddresses, MemberId, Zxid};
use crate::raft::Consensus;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often members compare digests, while there are writes.
const DIGEST_INTERVAL: Duration = Duration::from_secs(10);

/// Pause before an observer that could not be added is tried again.
const OBSERVER_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the member stops.
pub(super) async fn compare_digests(shared: Arc<Shared>, consensus: Consensus) {
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
            let command = Command::VerifyDigest {
                index: position.index,
                digest,
            };
            shared.submit(std::iter::once((internal(command), None)));
        }
    }
}

/// Adds the founding observers that the membership does not have, once this member leads. Ends when
/// there is nothing left to add.
pub(super) async fn add_observers(
    observers: BTreeMap<MemberId, MemberAddresses>,
    consensus: Consensus,
) {
    let mut leadership = consensus.leadership();
    for (id, addresses) in observers {
        loop {
            if leadership
                .wait_for(|now| now.leader.is_some())
                .await
                .is_err()
            {
                return;
            }
            if consensus.status().membership.members.contains_key(&id) {
                break;
            }
            if leadership.borrow().leads {
                match consensus.add_observer(id, addresses.clone()).await {
                    Ok(_) => break,
                    Err(error) => tracing::warn!(member = %id, %error, "observer not added yet"),
                }
            }
            tokio::time::sleep(OBSERVER_PAUSE).await;
        }
    }
}
