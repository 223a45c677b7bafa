//! A state that is not the leader's (guarantee G8). Nothing but a fault makes one, so the test makes
//! it by hand.

use super::harness::{Cluster, Writer, within_deadline};
use crate::model::{Command, LogPosition, MemberBatch, MemberId, Request, Rules, SessionId};
use crate::raft::envelope;
use crate::store::{EntryContext, codec};
use std::sync::Arc;

fn batch(origin: u64, command: Command) -> MemberBatch {
    MemberBatch {
        origin: MemberId(origin),
        incarnation: 1,
        sequence: 1,
        rules: Rules::NONE,
        requests: vec![Request {
            session: SessionId::NONE,
            generation: 0,
            identities: Arc::from([]),
            command,
        }],
    }
}

/// Proposes the digest that the leader has, as its chore does.
async fn compare_digests(cluster: &Cluster, origin: u64) -> Result<(), &'static str> {
    let leader = cluster.member(cluster.leader().await);
    let (index, digest) = {
        let state = leader.state.read();
        (state.last_applied().unwrap().index, state.digest())
    };
    let batch = batch(origin, Command::VerifyDigest { index, digest });
    let entry = envelope::encode(1, &[codec::encode_batch(&batch)]);
    let applied = leader
        .consensus
        .submit(entry)
        .await
        .map_err(|_| "refused")?;
    within_deadline("the comparison", applied)
        .await
        .map_err(|_| "not applied")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g8_a_member_that_differs_from_the_leader_stops() {
    let cluster = Cluster::founded(3).await;
    let writer = Writer::default();
    cluster.write(&writer, 10).await;
    cluster.agree(10).await;
    compare_digests(&cluster, 20).await.unwrap();

    // A change that no entry made.
    let differing = cluster.followers().await[0];
    {
        let mut state = cluster.member(differing).state.write();
        let position = LogPosition { term: 1, index: 0 };
        let context = EntryContext {
            position,
            proposed_at_ms: 0,
        };
        let create = Command::CreateSession {
            password: Default::default(),
            timeout_ms: 4_000,
        };
        state.apply(&context, &batch(30, create), |_, _, _| {});
    }
    cluster.write(&writer, 10).await;
    compare_digests(&cluster, 21).await.unwrap();
    let stopped = cluster.member(differing).consensus.stopped();
    let reason = within_deadline("the member stops", stopped).await;
    assert!(reason.contains("differs from the leader's"), "{reason}");

    // The others go on, and agree.
    cluster.write(&writer, 10).await;
    compare_digests(&cluster, 22).await.unwrap();
    for (id, member) in &cluster.members {
        let diverged = member.state.read().diverged();
        assert_eq!(diverged.is_some(), *id == differing, "member {id}");
    }
}
