//! What peers say to each other beside consensus.

use super::harness::{CLUSTER, Cluster, Writer, address, within_deadline};
use crate::model::{ClusterId, MemberId, SessionId};
use crate::raft::Formation;
use crate::raft::network::frames::{Frames, Kind, MAGIC, OPENING_BYTES_MAX};
use crate::raft::network::introduction::Introduction;
use crate::raft::network::{frames, links};
use crate::raft::proto::{self, opening::Purpose};
use crate::raft::{PeerError, PeerOptions};
use crate::runtime::{BoxedStream, Network};
use crate::store::codec::{FORMAT, FORMAT_FIRST};
use bytes::{BufMut, BytesMut};
use links::{Lane, Links};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

fn stranger(cluster: &Cluster, id: ClusterId, from: u64) -> Arc<Links> {
    Arc::new(Links::new(
        id,
        MemberId(from),
        Arc::new(cluster.names.clone()),
        PeerOptions::default(),
        CancellationToken::new(),
    ))
}

async fn ask(links: &Arc<Links>, to: u64, at: u64) -> Result<bool, PeerError> {
    let link = links.link(MemberId(to), &address(at), Lane::Control);
    let mut client = link.client();
    let call = client.leads(link.introduction.introduce(proto::LeadsRequest { term: 1 }));
    let answer = link.within(link.options().call, call).await?;
    Ok(answer.into_inner().leads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_other_clusters_and_those_who_mean_another_member_are_refused() {
    let cluster = Cluster::founded(1).await;
    let other = stranger(&cluster, ClusterId(0xbad), 2);
    let refused = ask(&other, 1, 1).await;
    assert!(matches!(&refused, Err(PeerError::WrongPeer { reason, .. }) if reason.contains("bad")));
    let known = stranger(&cluster, CLUSTER, 2);
    let refused = ask(&known, 3, 1).await;
    assert!(matches!(refused, Err(PeerError::WrongPeer { .. })));
    let double = stranger(&cluster, CLUSTER, 1);
    let refused = ask(&double, 1, 1).await;
    assert!(matches!(refused, Err(PeerError::WrongPeer { .. })));
    assert!(ask(&known, 1, 1).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_must_speak_for_itself() {
    let cluster = Cluster::founded(1).await;
    let links = stranger(&cluster, CLUSTER, 2);
    let link = links.link(MemberId(1), &address(1), Lane::Control);
    let mut client = link.client();
    let vote = proto::VoteRequest {
        vote: Some(proto::Vote {
            term: 99,
            member: 3,
            committed: false,
        }),
        last: None,
        leadership_transfer: true,
    };
    let refused = client.vote(link.introduction.introduce(vote)).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_forwarded_to_the_leader_are_applied_in_order() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let follower = &cluster.member(cluster.followers().await[0]).consensus;
    let writer = Writer::default();
    within_deadline("forwarding", async {
        let mut stream = follower.forward(MemberId(leader)).await.unwrap();
        for _ in 0..200 {
            stream.send(writer.batch()).await.unwrap();
        }
        cluster.agree(200).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_who_does_not_lead_ends_and_says_so() {
    let cluster = Cluster::founded(3).await;
    let followers = cluster.followers().await;
    let (from, to) = (followers[0], MemberId(followers[1]));
    within_deadline("the end of the stream", async {
        let mut stream = cluster.member(from).consensus.forward(to).await.unwrap();
        // The refusal may be there before it.
        let _ = stream.send(Writer::default().batch()).await;
        stream.closed().await;
        let refused = stream.send(Writer::default().batch()).await;
        assert_eq!(refused, Err(PeerError::NotLeader(to)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_a_leader_that_dies_ends() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.followers().await[0];
    let stream = cluster.member(follower).consensus.forward(MemberId(leader));
    let mut stream = within_deadline("a stream", stream).await.unwrap();
    cluster.kill(leader).await;
    within_deadline("the end of the stream", stream.closed()).await;
    assert!(stream.send(Writer::default().batch()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touches_reach_the_leader_of_the_term_and_nobody_else() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let followers = cluster.followers().await;
    let from = &cluster.member(followers[0]).consensus;
    let term = cluster.member(leader).consensus.leadership().borrow().term;
    let sessions = [SessionId(7), SessionId(-1)];
    from.report(MemberId(leader), term, &sessions)
        .await
        .unwrap();
    let touched = cluster.member(leader).desk.touched.lock().clone();
    let expected = sessions.map(|session| (MemberId(followers[0]), session));
    assert_eq!(touched, expected);
    let late = from.report(MemberId(leader), term + 1, &sessions).await;
    assert_eq!(late, Err(PeerError::NotLeader(MemberId(leader))));
    let to = MemberId(followers[1]);
    assert_eq!(
        from.report(to, term, &[]).await,
        Err(PeerError::NotLeader(to))
    );
    let nobody = MemberId(77);
    let unknown = from.report(nobody, term, &[]).await;
    assert_eq!(unknown, Err(PeerError::UnknownMember(nobody)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_hears_which_formats_its_peers_know_and_takes_the_silent_for_old() {
    let mut cluster = Cluster::founded(3).await;
    let known_to = async |cluster: &Cluster, id: u64, format: u32| {
        let consensus = &cluster.member(id).consensus;
        within_deadline("news of all formats", async {
            while consensus.format_known_to_all() != format {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    let leader = cluster.leader().await;
    known_to(&cluster, leader, FORMAT).await;

    // One that has never led leads while another is away.
    let [away, next] = cluster.followers().await[..] else {
        panic!("three members have two followers");
    };
    cluster.kill(next).await;
    cluster.restart(next).await;
    cluster.kill(away).await;
    let (from, to) = (cluster.member(leader), cluster.member(next));
    within_deadline("transfer", async {
        // One that was restarted may have to be found first.
        while !to.consensus.leadership().borrow().leads {
            let _ = from.consensus.transfer_leader(MemberId(next)).await;
        }
    })
    .await;
    within_deadline("the next leader", async {
        let mut leadership = cluster.member(next).consensus.leadership();
        leadership.wait_for(|now| now.leads).await.unwrap();
    })
    .await;
    known_to(&cluster, next, FORMAT_FIRST).await;
    cluster.restart(away).await;
    known_to(&cluster, next, FORMAT).await;
}

/// A connection of frames to member 1, with its first frames in it but not sent.
async fn framed(cluster: &Cluster, opening: &proto::Opening) -> Frames<BoxedStream> {
    let stream = cluster.names.connect(&address(1).peer).await.unwrap();
    let mut frames = Frames::new(stream, BytesMut::new(), &PeerOptions::default());
    frames.put_magic();
    frames.put(Kind::Opening, opening);
    frames
}

fn opening(purpose: Purpose, cluster: ClusterId, from: u64, to: u64) -> proto::Opening {
    let introduction = Introduction::new(cluster, MemberId(from), MemberId(to)).introduce(());
    proto::Opening {
        purpose: purpose.into(),
        metadata: frames::texts(introduction.metadata()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_frames_begin_with_an_introduction() {
    let cluster = Cluster::founded(1).await;
    within_deadline("answers", async {
        for (wrong, code) in [
            (
                opening(Purpose::Append, ClusterId(0xbad), 2, 1),
                tonic::Code::FailedPrecondition,
            ),
            (
                opening(Purpose::Forward, CLUSTER, 2, 3),
                tonic::Code::FailedPrecondition,
            ),
            (
                opening(Purpose::Append, CLUSTER, 1, 1),
                tonic::Code::FailedPrecondition,
            ),
            (
                opening(Purpose::None, CLUSTER, 2, 1),
                tonic::Code::Unimplemented,
            ),
        ] {
            let mut frames = framed(&cluster, &wrong).await;
            let head: proto::Head = frames.next().await.unwrap().message(Kind::Head).unwrap();
            assert_eq!(frames::opened(&head).unwrap_err().code(), code);
            assert!(frames.next().await.is_err());
        }
        let mut frames = framed(&cluster, &opening(Purpose::Append, CLUSTER, 2, 1)).await;
        let head: proto::Head = frames.next().await.unwrap().message(Kind::Head).unwrap();
        let said = frames::opened(&head).unwrap();
        assert_eq!(
            said.get("vivarium-format").unwrap(),
            FORMAT.to_string().as_str()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_speaks_with_the_vote_of_another_is_not_heard_on_frames_either() {
    let cluster = Cluster::founded(1).await;
    let known = cluster.member(1).consensus.leadership().borrow().clone();
    within_deadline("the end of the stream", async {
        let mut frames = framed(&cluster, &opening(Purpose::Append, CLUSTER, 2, 1)).await;
        let append = proto::AppendRequest {
            vote: Some(proto::Vote {
                term: 99,
                member: 3,
                committed: true,
            }),
            ..proto::AppendRequest::default()
        };
        assert_eq!(frames.next().await.unwrap().kind, Kind::Head);
        frames.put(Kind::Message, &append);
        assert_eq!(frames.next().await.unwrap().kind, Kind::End);
    })
    .await;
    assert_eq!(*cluster.member(1).consensus.leadership().borrow(), known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_frame_ends_its_connection_and_no_other() {
    let cluster = Cluster::founded(3).await;
    let writer = Writer::default();
    let mut long = BytesMut::from(MAGIC.as_slice());
    long.put_u32(0);
    long.put_u32(OPENING_BYTES_MAX as u32 + 1);
    long.put_u8(Kind::Opening as u8);
    let mut unsound = BytesMut::from(MAGIC.as_slice());
    frames::put(
        &mut unsound,
        Kind::Opening,
        &opening(Purpose::Append, CLUSTER, 2, 1),
    );
    let last = unsound.len() - 1;
    unsound[last] ^= 1;
    let mut early = BytesMut::from(MAGIC.as_slice());
    frames::put(&mut early, Kind::Message, &proto::ForwardRequest::default());
    within_deadline("the end of connections", async {
        for hostile in [long, unsound, early] {
            let mut stream = cluster.names.connect(&address(1).peer).await.unwrap();
            stream.write_all(&hostile).await.unwrap();
            let mut answer = Vec::new();
            // Whether it is closed or reset: bytes that were not read may be left.
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty());
        }
    })
    .await;
    cluster.write(&writer, 10).await;
    cluster.agree(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_and_without_frames_replicate_and_forward_to_each_other() {
    let mut cluster = Cluster::new();
    for id in 1..=3 {
        // What an older program is to its peers.
        cluster.peers.frames = id != 3;
        let formation = Formation::Found(super::harness::addresses(1..=3));
        cluster.start(id, formation).await.unwrap();
    }
    let mut written = 0;
    let writer = Writer::default();
    for wanted in [3, 1, 3, 2] {
        within_deadline("transfer", async {
            loop {
                let leader = cluster.leader().await;
                if leader == wanted {
                    break;
                }
                let leader = &cluster.member(leader).consensus;
                let _ = leader.transfer_leader(MemberId(wanted)).await;
            }
        })
        .await;
        cluster.write(&writer, 20).await;
        written += 20;
        for from in (1..=3).filter(|from| *from != wanted) {
            within_deadline("forwarding", async {
                let from = &cluster.member(from).consensus;
                let mut stream = from.forward(MemberId(wanted)).await.unwrap();
                for _ in 0..20 {
                    stream.send(writer.batch()).await.unwrap();
                }
                written += 20;
                cluster.agree(written).await;
            })
            .await;
        }
        let links = &cluster.member(wanted).consensus.0.links;
        for other in (1..=3).filter(|other| *other != wanted) {
            let both_know = wanted != 3 && other != 3;
            assert_eq!(
                links.take_frames(MemberId(other)),
                both_know,
                "{wanted} to {other}"
            );
        }
    }
    // The last old one is upgraded: nobody else is restarted.
    cluster.kill(3).await;
    cluster.peers.frames = true;
    cluster.restart(3).await;
    cluster.write(&writer, 20).await;
    cluster.agree(written + 20).await;
    let leader = cluster.leader().await;
    let links = &cluster.member(leader).consensus.0.links;
    assert!(links.take_frames(MemberId(if leader == 3 { 1 } else { 3 })));
    // And one is put back, whom the others know to take frames.
    cluster.kill(2).await;
    cluster.peers.frames = false;
    cluster.restart(2).await;
    cluster.write(&writer, 20).await;
    cluster.agree(written + 40).await;
}
