//! Locks: one holder at a time, in the order of asking, with a number that proves it.

use super::caller::{Caller, Kept, eventually, reason, value_of};
use super::metrics::{scrape, value};
use super::{cluster, options};
use tonic::{Code, Status};
use vivarium::api::ChangeKind::{Added, Removed};
use vivarium::api::change_log_service_client::ChangeLogServiceClient;
use vivarium::api::subscribe_response::Message;
use vivarium::api::{
    AcquireRequest, AcquireResponse, CloseRequest, DescribeRequest, LockMode, LockPlace, Reentry,
    RegisterRequest, ReleaseRequest, SubscribeRequest,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, create_body_with_acl, op};

/// `CreateMode.EPHEMERAL_SEQUENTIAL`.
const EPHEMERAL_SEQUENTIAL: i32 = 3;

async fn places(caller: &Caller, lock: &str) -> Vec<LockPlace> {
    let request = DescribeRequest {
        lock: lock.to_owned(),
        read: None,
    };
    let answer = caller.locks().describe(request).await.unwrap();
    answer.into_inner().places
}

async fn wait_for_places(caller: &Caller, lock: &str, count: usize) {
    eventually("so many wait for the lock", || async {
        (places(caller, lock).await.len() == count).then_some(())
    })
    .await;
}

async fn release(caller: &Caller, kept: &Kept, lock: &str, owner: &str) -> Result<u32, Status> {
    let request = ReleaseRequest {
        header: Some(kept.header()),
        lock: lock.to_owned(),
        owner: owner.to_owned(),
    };
    let answer = caller.locks().release(request).await?;
    Ok(answer.into_inner().holds)
}

fn asking(kept: &Kept, lock: &str, owner: &str) -> AcquireRequest {
    AcquireRequest {
        header: Some(kept.header()),
        lock: lock.to_owned(),
        owner: owner.to_owned(),
        ..Default::default()
    }
}

async fn ask(caller: &Caller, request: AcquireRequest) -> Result<AcquireResponse, Status> {
    let answer = caller.locks().acquire(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_goes_from_holder_to_holder_in_the_order_of_asking() {
    let cluster = cluster(3);
    let callers = [
        Caller::of(&cluster, 1).await,
        Caller::of(&cluster, 2).await,
        Caller::of(&cluster, 3).await,
    ];
    let holder = callers[0].open("").await;
    let first = callers[0]
        .acquire(&holder, "/locks/l", "t", None)
        .await
        .unwrap();
    assert!(first.acquired && first.holds == 1);
    let mut waiting = Vec::new();
    for number in 0..6 {
        let caller = callers[number % 3].clone();
        let kept = caller.open("").await;
        let task = tokio::spawn(async move {
            let held = caller.acquire(&kept, "/locks/l", "t", None).await.unwrap();
            assert!(held.acquired);
            let value = held.token;
            assert_eq!(release(&caller, &kept, "/locks/l", "t").await.unwrap(), 0);
            value
        });
        wait_for_places(&callers[0], "/locks/l", number + 2).await;
        waiting.push(task);
    }
    wait_for_places(&callers[1], "/locks/l", 7).await;
    let seen = places(&callers[1], "/locks/l").await;
    let holds: Vec<bool> = seen.iter().map(|place| place.holds).collect();
    assert!(holds[0] && !holds[1..].contains(&true), "{seen:?}");
    assert_eq!(seen[0].token, first.token);
    assert_eq!(
        (seen[0].owner.as_str(), seen[0].session_id),
        ("t", holder.session.id)
    );
    release(&callers[0], &holder, "/locks/l", "t")
        .await
        .unwrap();
    let mut tokens = vec![first.token];
    for task in waiting {
        tokens.push(task.await.unwrap());
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    wait_for_places(&callers[0], "/locks/l", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_wait_longer_leaves_no_place_behind() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let (holder, other) = (caller.open("").await, caller.open("").await);
    caller.acquire(&holder, "/l", "t", Some(0)).await.unwrap();
    for wait_ms in [0, 1, 100] {
        let held = caller
            .acquire(&other, "/l", "t", Some(wait_ms))
            .await
            .unwrap();
        assert!(!held.acquired && held.token == 0);
        assert_eq!(places(&caller, "/l").await.len(), 1);
    }
    // For ever is a time too.
    let (waiter, session) = (caller.clone(), other.header());
    let waiting = tokio::spawn(async move {
        let request = AcquireRequest {
            header: Some(session),
            lock: "/l".to_owned(),
            owner: "t".to_owned(),
            wait_ms: Some(u64::MAX),
            ..Default::default()
        };
        ask(&waiter, request).await
    });
    wait_for_places(&caller, "/l", 2).await;
    // The caller hangs up: nobody waits any more.
    waiting.abort();
    wait_for_places(&caller, "/l", 1).await;
    // The call's own deadline is as good.
    let mut request = tonic::Request::new(asking(&other, "/l", "t"));
    request.set_timeout(std::time::Duration::from_millis(50));
    assert!(caller.locks().acquire(request).await.is_err());
    wait_for_places(&caller, "/l", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_passes_on_when_its_holder_says_goodbye_and_when_it_falls_silent() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let next = caller.open("").await;
    for goodbye in [true, false] {
        let holder = caller.open_with("", 1_000).await;
        let before = caller.acquire(&holder, "/l", "t", None).await.unwrap();
        let waiting = tokio::spawn({
            let (caller, request) = (caller.clone(), asking(&next, "/l", "t"));
            async move { ask(&caller, request).await }
        });
        wait_for_places(&caller, "/l", 2).await;
        if goodbye {
            let session = Some(holder.session.clone());
            caller
                .sessions()
                .close(CloseRequest { session })
                .await
                .unwrap();
        }
        let held = waiting.await.unwrap().unwrap();
        assert!(held.acquired && held.token > before.token);
        // Whoever held it before and does not know yet cannot do harm.
        let fenced = |token| RegisterRequest {
            header: Some(next.fenced("/l", token)),
            path: "/guarded".to_owned(),
            payload: Some(value_of("x")),
            ..Default::default()
        };
        let stale = caller.registry().register(fenced(before.token)).await;
        assert_eq!(
            reason(stale),
            (Code::FailedPrecondition, "STALE_FENCING_TOKEN".to_owned())
        );
        caller
            .registry()
            .register(fenced(held.token))
            .await
            .unwrap();
        release(&caller, &next, "/l", "t").await.unwrap();
        let released = caller.registry().register(fenced(held.token)).await;
        assert_eq!(reason(released).1, "STALE_FENCING_TOKEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_asks_again_gets_what_it_asked_for() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let again = |reentry: Reentry, wait_ms| AcquireRequest {
        reentry: reentry.into(),
        wait_ms,
        ..asking(&kept, "/l", "t")
    };
    let first = ask(&caller, again(Reentry::WithoutCounting, None))
        .await
        .unwrap();
    let second = ask(&caller, again(Reentry::WithoutCounting, None))
        .await
        .unwrap();
    assert_eq!((second.token, second.holds), (first.token, 1));
    assert!(
        !ask(&caller, again(Reentry::None, Some(50)))
            .await
            .unwrap()
            .acquired
    );
    // Another owner of the same session is somebody else.
    assert!(
        !caller
            .acquire(&kept, "/l", "other", Some(0))
            .await
            .unwrap()
            .acquired
    );
    assert_eq!(
        reason(release(&caller, &kept, "/l", "other").await),
        (Code::FailedPrecondition, "NOT_HOLDER".to_owned())
    );
    assert_eq!(release(&caller, &kept, "/l", "t").await.unwrap(), 0);
    assert_eq!(
        reason(release(&caller, &kept, "/l", "t").await).1,
        "NOT_HOLDER"
    );

    for holds in 1..=3 {
        let held = ask(&caller, again(Reentry::Counting, None)).await.unwrap();
        assert_eq!(held.holds, holds);
    }
    for left in [2, 1] {
        assert_eq!(release(&caller, &kept, "/l", "t").await.unwrap(), left);
        assert!(
            !caller
                .acquire(&kept, "/l", "other", Some(0))
                .await
                .unwrap()
                .acquired
        );
    }
    assert_eq!(release(&caller, &kept, "/l", "t").await.unwrap(), 0);
    assert!(
        caller
            .acquire(&kept, "/l", "other", Some(0))
            .await
            .unwrap()
            .acquired
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_sent_again_is_done_once() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    for _ in 0..2 {
        let request = AcquireRequest {
            reentry: Reentry::Counting.into(),
            ..asking(&kept, "/l", "t")
        };
        ask(&caller, request).await.unwrap();
    }
    let again = |number| {
        let request = ReleaseRequest {
            header: Some(vivarium::api::WriteHeader {
                request_id: number,
                ..kept.header()
            }),
            lock: "/l".to_owned(),
            owner: "t".to_owned(),
        };
        let mut locks = caller.locks();
        async move {
            locks
                .release(request)
                .await
                .map(|answer| answer.into_inner().holds)
        }
    };
    for (number, holds) in [(1, 1), (1, 1), (2, 0), (2, 0)] {
        assert_eq!(again(number).await.unwrap(), holds);
    }
    assert_eq!(reason(again(3).await).1, "NOT_HOLDER");
    // A guarded write, sent again when the lock is not held any more.
    let held = caller.acquire(&kept, "/l", "t", None).await.unwrap();
    let mut header = kept.fenced("/l", held.token);
    header.request_id = 4;
    let guarded = RegisterRequest {
        header: Some(header),
        path: "/guarded".to_owned(),
        payload: Some(value_of("x")),
        ..Default::default()
    };
    caller.registry().register(guarded.clone()).await.unwrap();
    release(&caller, &kept, "/l", "t").await.unwrap();
    let answer = caller.registry().register(guarded).await.unwrap();
    assert!(answer.into_inner().replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_a_lock_and_a_waiting_writer_is_not_overtaken() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let in_mode = |owner: &str, mode: LockMode, wait_ms| AcquireRequest {
        mode: mode.into(),
        wait_ms,
        ..asking(&kept, "/l", owner)
    };
    for reader in ["r1", "r2"] {
        let held = ask(&caller, in_mode(reader, LockMode::Read, Some(0)))
            .await
            .unwrap();
        assert!(held.acquired);
    }
    let writing = tokio::spawn({
        let (caller, request) = (caller.clone(), in_mode("w", LockMode::Write, None));
        async move { ask(&caller, request).await }
    });
    wait_for_places(&caller, "/l", 3).await;
    assert!(
        !ask(&caller, in_mode("r3", LockMode::Read, Some(0)))
            .await
            .unwrap()
            .acquired
    );
    let late = tokio::spawn({
        let (caller, request) = (caller.clone(), in_mode("r3", LockMode::Read, None));
        async move { ask(&caller, request).await }
    });
    wait_for_places(&caller, "/l", 4).await;
    release(&caller, &kept, "/l", "r1").await.unwrap();
    assert!(!writing.is_finished());
    release(&caller, &kept, "/l", "r2").await.unwrap();
    assert!(writing.await.unwrap().unwrap().acquired);
    let modes: Vec<(LockMode, bool)> = places(&caller, "/l")
        .await
        .iter()
        .map(|place| (place.mode(), place.holds))
        .collect();
    assert_eq!(modes, [(LockMode::Write, true), (LockMode::Read, false)]);
    assert!(!late.is_finished());
    release(&caller, &kept, "/l", "w").await.unwrap();
    assert!(late.await.unwrap().unwrap().acquired);
    let mutex = ask(&caller, in_mode("m", LockMode::Exclusive, Some(0))).await;
    assert_eq!(
        reason(mutex),
        (Code::FailedPrecondition, "KIND_MISMATCH".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_curator_client_and_a_native_one_exclude_each_other() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let mut curator = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    // As its recipe does: an entry of its own, and then a look at who stands before it.
    curator.create("/l", b"", 4).unwrap();
    let place = "/l/_c_0a1b2c3d-0000-4000-8000-000000000000-lock-";
    let held = curator
        .create(place, b"10.0.0.1", EPHEMERAL_SEQUENTIAL)
        .unwrap();
    assert!(
        !caller
            .acquire(&kept, "/l", "t", Some(0))
            .await
            .unwrap()
            .acquired
    );
    let waiting = tokio::spawn({
        let (caller, request) = (caller.clone(), asking(&kept, "/l", "t"));
        async move { ask(&caller, request).await }
    });
    wait_for_places(&caller, "/l", 2).await;
    assert_eq!(places(&caller, "/l").await[0].owner, "");
    curator.delete(&held, -1).unwrap();
    assert!(waiting.await.unwrap().unwrap().acquired);
    let next = curator
        .create(place, b"10.0.0.1", EPHEMERAL_SEQUENTIAL)
        .unwrap();
    let mut names = curator.children("/l").unwrap();
    names.sort_by_key(|name| name[name.len() - 10..].to_owned());
    assert!(names[0].contains("-lock-") && !next.ends_with(&names[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_kept_while_its_call_is_made_again_at_another_member() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let (here, there) = (leader % 3 + 1, leader);
    let away = Caller::of(&cluster, there).await;
    let holder = away.open("").await;
    away.acquire(&holder, "/l", "t", None).await.unwrap();
    let caller = Caller::of(&cluster, here).await;
    let kept = caller.open("").await;
    let mut request = asking(&kept, "/l", "t");
    request.header.as_mut().unwrap().request_id = 9;
    let waiting = tokio::spawn({
        let (caller, request) = (caller.clone(), request.clone());
        async move { ask(&caller, request).await }
    });
    wait_for_places(&away, "/l", 2).await;
    let place = places(&away, "/l").await[1].token;
    cluster.kill(here);
    assert!(waiting.await.unwrap().is_err());
    eventually("the session is taken over", || async {
        away.keep_alive(&kept.session).await.ok()
    })
    .await;
    let again = tokio::spawn({
        let away = away.clone();
        async move { ask(&away, request).await }
    });
    release(&away, &holder, "/l", "t").await.unwrap();
    assert_eq!(again.await.unwrap().unwrap().token, place);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_lock_or_not_ones_own_is_refused() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let (holder, stranger) = (caller.open("").await, caller.open("").await);
    caller.acquire(&holder, "/l", "t", None).await.unwrap();
    assert_eq!(
        reason(release(&caller, &stranger, "/l", "t").await),
        (Code::FailedPrecondition, "NOT_HOLDER".to_owned())
    );
    assert_eq!(
        reason(caller.acquire(&stranger, "no path", "t", None).await),
        (Code::InvalidArgument, "INVALID_PATH".to_owned())
    );
    let long = "x".repeat(257);
    let refused = caller.acquire(&stranger, "/l", &long, None).await;
    assert_eq!(reason(refused).1, "INVALID_ARGUMENT");
    let mut request = asking(&stranger, "/l", "t");
    request.mode = 77;
    assert_eq!(reason(ask(&caller, request).await).1, "INVALID_ARGUMENT");
    assert!(places(&caller, "/none").await.is_empty());
    // A waiting place is no proof of holding.
    let waiting = tokio::spawn({
        let (caller, request) = (caller.clone(), asking(&stranger, "/l", "t"));
        async move { ask(&caller, request).await }
    });
    wait_for_places(&caller, "/l", 2).await;
    let token = places(&caller, "/l").await[1].token;
    let fenced = RegisterRequest {
        header: Some(stranger.fenced("/l", token)),
        path: "/x".to_owned(),
        ..Default::default()
    };
    let refused = caller.registry().register(fenced).await;
    assert_eq!(reason(refused).1, "STALE_FENCING_TOKEN");
    // Whose entry somebody takes away is told.
    let mut breaker = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    let names = breaker.children("/l").unwrap();
    let mut names: Vec<String> = names.into_iter().map(|name| format!("/l/{name}")).collect();
    names.sort_by_key(|name| name[name.len() - 10..].to_owned());
    breaker.delete(&names[1], -1).unwrap();
    breaker.delete(&names[0], -1).unwrap();
    assert_eq!(reason(waiting.await.unwrap()).1, "NOT_HOLDER");
    // Who may not read a lock learns nothing of it.
    breaker.authenticate("digest", "user:secret").unwrap();
    let acl = (31, "auth", "");
    let made = breaker.ask(op::CREATE, create_body_with_acl("/closed", b"", acl, 0));
    made.unwrap();
    let request = DescribeRequest {
        lock: "/closed".to_owned(),
        read: None,
    };
    let refused = caller.locks().describe(request).await;
    assert_eq!(reason(refused).1, "ACCESS_DENIED");
    assert_eq!(
        reason(caller.acquire(&stranger, "/closed", "t", None).await).1,
        "ACCESS_DENIED"
    );
}

/// Held until its session ends, it would be in everybody's way.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_its_place_in_a_lock_is_made_leaves_no_place_behind() {
    const LOCK: &str = "/lock";
    // A leader that hears of nobody goes on for so long.
    let patient = options(3)
        .setting("timing.election_timeout_ms_min", 10_000)
        .setting("timing.election_timeout_ms_max", 12_000);
    let cluster = ProcessCluster::start(patient);
    let leader = cluster.leader();
    let caller = Caller::of(&cluster, leader).await;
    let kept = caller.open("").await;
    let mut log = ChangeLogServiceClient::new(caller.channel.clone());
    let subscription = SubscribeRequest {
        prefixes: vec![LOCK.to_owned()],
        ..Default::default()
    };
    let told = log.subscribe(subscription).await.unwrap();
    let mut told = told.into_inner();
    let others: Vec<usize> = (1..=3).filter(|number| *number != leader).collect();
    for number in &others {
        cluster.pause(*number);
    }
    let asking = tokio::spawn({
        let (mut locks, request) = (caller.locks(), asking(&kept, LOCK, "t"));
        async move { locks.acquire(request).await }
    });
    eventually("its place is on its way", || async {
        let told = cluster.member(leader).four_letter_word("mntr")?;
        told.contains("zk_outstanding_requests\t1").then_some(())
    })
    .await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    let admin = cluster.member(leader).admin_address();
    let given_up = "vivarium_native_lock_requests_total{result=\"given_up\"}";
    eventually("nobody asks any more", || async {
        (value(&scrape(admin), given_up) == Some(1.0)).then_some(())
    })
    .await;
    for number in &others {
        cluster.resume(*number);
    }
    let all = async {
        let mut kinds = Vec::new();
        while kinds.len() < 3 {
            let message = told.message().await.unwrap().unwrap().message;
            if let Some(Message::Transaction(transaction)) = message {
                kinds.extend(transaction.changes.iter().map(|change| change.kind()));
            }
        }
        kinds
    };
    let kinds = tokio::time::timeout(PATIENCE, all).await;
    let kinds = kinds.expect("the lock and a place are made, and the place is withdrawn");
    assert_eq!(kinds, [Added, Added, Removed]);
    let next = caller.acquire(&kept, LOCK, "next", Some(0)).await.unwrap();
    assert!(next.acquired);
}
