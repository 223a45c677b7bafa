//! Rings over who is registered: the same owners for everybody, epoch by epoch.

use super::caller::{Caller, Kept, eventually, reason};
use super::cluster;
use std::collections::{HashMap, HashSet};
use tonic::{Code, Status, Streaming};
use vivarium::api::ring_service_client::RingServiceClient;
use vivarium::api::{
    AcknowledgeRingRequest, CloseRequest, DescribeRingRequest, GrantedRequest, MovedRequest,
    OwnersRequest, OwnersResponse, PickRequest, PickStrategy, RingMode, RingState, SlotRequest,
};
use vivarium::ring::HashRing;

type Rings = RingServiceClient<tonic::transport::Channel>;

fn rings(caller: &Caller) -> Rings {
    RingServiceClient::new(caller.channel.clone())
}

fn the_ring(mode: RingMode) -> DescribeRingRequest {
    DescribeRingRequest {
        path: "/ring".to_owned(),
        mode: mode.into(),
        read: None,
    }
}

fn keys(count: u32) -> Vec<String> {
    (100_000..100_000 + count)
        .map(|id| id.to_string())
        .collect()
}

fn asking(keys: Vec<String>) -> OwnersRequest {
    OwnersRequest {
        path: "/ring".to_owned(),
        keys,
        ..Default::default()
    }
}

async fn owners(caller: &Caller, request: OwnersRequest) -> Result<OwnersResponse, Status> {
    let answer = rings(caller).owners(request).await?;
    Ok(answer.into_inner())
}

async fn join(caller: &Caller, server: &str) -> Kept {
    let kept = caller.open("").await;
    let path = format!("/ring/{server}");
    caller.register(&kept, &path, "").await.unwrap();
    kept
}

async fn leave(caller: &Caller, kept: Kept) {
    let session = Some(kept.session);
    caller
        .sessions()
        .close(CloseRequest { session })
        .await
        .unwrap();
}

async fn next(states: &mut Streaming<RingState>) -> (i64, Vec<String>) {
    let state = states.message().await.unwrap().expect("a state");
    let names = state.servers.into_iter().map(|server| server.name);
    (state.epoch, names.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_come_and_go_with_their_sessions_and_everybody_agrees_on_them() {
    let cluster = cluster(3);
    let callers = [
        Caller::of(&cluster, 1).await,
        Caller::of(&cluster, 2).await,
        Caller::of(&cluster, 3).await,
    ];
    let empty = owners(&callers[0], asking(keys(1))).await;
    assert_eq!(
        reason(empty),
        (Code::FailedPrecondition, "EMPTY_RING".to_owned())
    );
    let mut states = rings(&callers[1])
        .watch(the_ring(RingMode::Equal))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut states).await, (0, Vec::new()));
    let servers = ["10.0.0.3:1000", "10.0.0.1:1000", "10.0.0.2:1000"];
    let mut kept = Vec::new();
    for (server, caller) in servers.iter().zip(&callers) {
        kept.push(join(caller, server).await);
    }
    let seen = loop {
        let seen = next(&mut states).await;
        if seen.1.len() == 3 {
            break seen;
        }
    };
    assert_eq!(seen.1, servers, "in the order in which they registered");
    let epoch = seen.0;
    let computed = HashRing::new(servers).unwrap();
    for caller in &callers {
        let told = eventually("the member has come to the epoch", || async {
            let told = owners(caller, asking(keys(500))).await.ok()?;
            (told.epoch == epoch).then_some(told)
        })
        .await;
        let expected: Vec<&str> = keys(500)
            .iter()
            .map(|key| computed.owner(key).unwrap())
            .collect();
        assert_eq!(told.owners, expected);
    }
    // One is gone: its keys move, and no others.
    leave(&callers[0], kept.remove(0)).await;
    let (later, left) = next(&mut states).await;
    assert!(later > epoch && left == servers[1..]);
    let request = MovedRequest {
        path: "/ring".to_owned(),
        from_epoch: epoch,
        keys: keys(500),
        ..Default::default()
    };
    let moved = rings(&callers[1])
        .moved(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((moved.from_epoch, moved.to_epoch), (epoch, later));
    let owned: HashSet<String> = keys(500)
        .into_iter()
        .filter(|key| computed.owner(key) == Some(servers[0]))
        .collect();
    assert!(
        moved
            .moved
            .iter()
            .all(|key| key.from == servers[0] && key.to != key.from)
    );
    let moved: HashSet<String> = moved.moved.into_iter().map(|key| key.key).collect();
    assert_eq!(moved, owned);

    let stale = OwnersRequest {
        epoch: Some(epoch),
        ..asking(keys(1))
    };
    assert_eq!(
        reason(owners(&callers[1], stale).await),
        (Code::FailedPrecondition, "STALE_EPOCH".to_owned())
    );
    let forgotten = MovedRequest {
        from_epoch: 1,
        ..request
    };
    assert_eq!(
        reason(rings(&callers[1]).moved(forgotten).await),
        (Code::OutOfRange, "COMPACTED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_move_keys_and_loads_are_bounded_where_that_is_asked() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    for (server, value) in [("a:1", r#"{"weight":300}"#), ("b:1", "")] {
        caller
            .register(&kept, &format!("/ring/{server}"), value)
            .await
            .unwrap();
    }
    let share = |told: &OwnersResponse, server: &str| {
        let owned = told.owners.iter().filter(|owner| *owner == server);
        owned.count()
    };
    let weighted = OwnersRequest {
        mode: RingMode::Weighted.into(),
        ..asking(keys(4_000))
    };
    let told = owners(&caller, weighted.clone()).await.unwrap();
    assert!(
        (2_800..=3_200).contains(&share(&told, "a:1")),
        "three quarters"
    );
    let equal = owners(&caller, asking(keys(4_000))).await.unwrap();
    assert!((1_800..=2_200).contains(&share(&equal, "a:1")), "a half");
    let mut states = rings(&caller)
        .watch(the_ring(RingMode::Weighted))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut states).await.0, told.epoch);
    caller
        .register(&kept, "/ring/a:1", r#"{"weight":100}"#)
        .await
        .unwrap();
    let (epoch, _) = next(&mut states).await;
    let told = owners(&caller, weighted).await.unwrap();
    assert!(told.epoch == epoch && told.owners == equal.owners);

    let bounded = OwnersRequest {
        load_factor: Some(1.25),
        loads: HashMap::from([("a:1".to_owned(), 900), ("b:1".to_owned(), 100)]),
        ..asking(keys(1_000))
    };
    let told = owners(&caller, bounded.clone()).await.unwrap();
    assert!(share(&told, "a:1") <= 350 && share(&told, "b:1") >= 650);
    for factor in [1.0, f64::NAN, -3.0] {
        let odd = OwnersRequest {
            load_factor: Some(factor),
            ..bounded.clone()
        };
        assert_eq!(reason(owners(&caller, odd).await).1, "INVALID_ARGUMENT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_picked_by_load_and_work_is_shared_by_slots() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let pick = |strategy: PickStrategy| {
        let request = PickRequest {
            path: "/ring".to_owned(),
            strategy: strategy.into(),
        };
        let mut rings = rings(&caller);
        async move {
            rings
                .pick(request)
                .await
                .map(|answer| answer.into_inner().server)
        }
    };
    assert_eq!(reason(pick(PickStrategy::Random).await).1, "EMPTY_RING");
    let kept = caller.open("").await;
    for (server, value) in [
        ("b:1", r#"{"weight":100,"loadAverage":3.0}"#),
        ("a:1", r#"{"weight":300,"loadAverage":1.0}"#),
        ("c:1", r#"{"serverStatus":"BUSY"}"#),
    ] {
        caller
            .register(&kept, &format!("/ring/{server}"), value)
            .await
            .unwrap();
    }
    let mut smooth = String::new();
    for _ in 0..8 {
        smooth += &pick(PickStrategy::SmoothRoundRobin).await.unwrap()[..1];
    }
    assert_eq!(
        smooth, "abaaabaa",
        "of equals the one that registered first"
    );
    let mut lower = String::new();
    for _ in 0..8 {
        lower += &pick(PickStrategy::LowerWeight).await.unwrap()[..1];
    }
    assert_eq!(
        lower.matches('a').count(),
        6,
        "{lower}: a third of the load"
    );
    for _ in 0..20 {
        assert_ne!(pick(PickStrategy::Random).await.unwrap(), "c:1");
    }

    let slot = |server: &str| {
        let request = SlotRequest {
            path: "/ring".to_owned(),
            server: server.to_owned(),
            read: None,
        };
        let mut rings = rings(&caller);
        async move {
            let answer = rings.slot(request).await?.into_inner();
            Ok::<_, Status>((answer.slot, answer.total))
        }
    };
    assert_eq!(slot("a:1").await.unwrap(), (0, 2));
    assert_eq!(slot("b:1").await.unwrap(), (1, 2));
    for absent in ["c:1", "d:1"] {
        assert_eq!(
            reason(slot(absent).await),
            (Code::NotFound, "NO_ENTRY".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_of_a_ring_is_refused() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = join(&caller, "host:1").await;
    // A name that is another one with digits behind it shares points with it, in everybody's ring alike.
    caller.register(&kept, "/ring/host:11", "").await.unwrap();
    let told = owners(&caller, asking(keys(1_000))).await.unwrap();
    let computed = HashRing::new(["host:1", "host:11"]).unwrap();
    let expected: Vec<&str> = keys(1_000)
        .iter()
        .map(|key| computed.owner(key).unwrap())
        .collect();
    assert_eq!(told.owners, expected);

    for (request, why) in [
        (asking(Vec::new()), "INVALID_ARGUMENT"),
        (asking(keys(10_001)), "LIMIT_REACHED"),
        (asking(vec!["x".repeat(1_025)]), "LIMIT_REACHED"),
        (
            OwnersRequest {
                path: "ring".to_owned(),
                ..asking(keys(1))
            },
            "INVALID_PATH",
        ),
        (
            OwnersRequest {
                mode: 77,
                ..asking(keys(1))
            },
            "INVALID_ARGUMENT",
        ),
    ] {
        assert_eq!(reason(owners(&caller, request).await).1, why);
    }
    for number in 0..255 {
        caller
            .register(&kept, &format!("/ring/h{number}:1"), "")
            .await
            .unwrap();
    }
    assert_eq!(
        reason(owners(&caller, asking(keys(1))).await),
        (Code::ResourceExhausted, "LIMIT_REACHED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_acknowledged_is_refused_and_changes_nothing() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = join(&caller, "host:1").await;
    let other = join(&caller, "host:11").await;
    let state = rings(&caller).describe(the_ring(RingMode::Equal)).await;
    let epoch = state.unwrap().into_inner().epoch;
    let acknowledge = |kept: &Kept, server: &str, epoch| {
        let request = AcknowledgeRingRequest {
            header: Some(kept.header()),
            path: "/ring".to_owned(),
            server: server.to_owned(),
            epoch,
        };
        let mut rings = rings(&caller);
        async move {
            let answer = rings.acknowledge(request).await?;
            Ok::<_, Status>(answer.into_inner().zxid)
        }
    };
    let granted = |server: &str, acknowledged, keys| {
        let request = GrantedRequest {
            path: "/ring".to_owned(),
            server: server.to_owned(),
            acknowledged,
            keys,
        };
        let mut rings = rings(&caller);
        async move {
            let answer = rings.granted(request).await?;
            Ok::<_, Status>(answer.into_inner().grants)
        }
    };
    // One name begins with the other: their points are not those that each would have alone, and still each key
    // is one's.
    let first = acknowledge(&kept, "host:1", epoch).await.unwrap();
    let second = acknowledge(&other, "host:11", epoch).await.unwrap();
    let computed = HashRing::new(["host:1", "host:11"]).unwrap();
    let (one, two) = (
        granted("host:1", first, keys(500)).await.unwrap(),
        granted("host:11", second, keys(500)).await.unwrap(),
    );
    for ((key, one), two) in keys(500).iter().zip(&one).zip(&two) {
        let owner = computed.owner(key).unwrap();
        assert_eq!(
            (one.granted, two.granted),
            (owner == "host:1", owner != "host:1")
        );
        assert_eq!((one.owner.as_str(), two.owner.as_str()), (owner, owner));
    }

    let before = caller.everything().await;
    let code_and_reason = |code, reason: &str| (code, reason.to_owned());
    let failed = code_and_reason(Code::FailedPrecondition, "STALE_EPOCH");
    for stale in [0, epoch - 1, epoch + 1] {
        assert_eq!(reason(acknowledge(&kept, "host:1", stale).await), failed);
    }
    let taken = code_and_reason(Code::AlreadyExists, "ALREADY_REGISTERED");
    assert_eq!(reason(acknowledge(&other, "host:1", epoch).await), taken);
    let invalid = code_and_reason(Code::InvalidArgument, "INVALID_ARGUMENT");
    let limit = code_and_reason(Code::ResourceExhausted, "LIMIT_REACHED");
    for (server, why) in [
        (String::new(), &invalid),
        ("a/b".to_owned(), &invalid),
        ("x".repeat(257), &limit),
    ] {
        assert_eq!(&reason(acknowledge(&kept, &server, epoch).await), why);
        assert_eq!(&reason(granted(&server, first, keys(1)).await), why);
    }
    assert_eq!(reason(granted("host:1", first, Vec::new()).await), invalid);
    for many in [keys(10_001), vec!["x".repeat(1_025)]] {
        assert_eq!(reason(granted("host:1", first, many).await), limit);
    }
    // An acknowledgement of another one, of before, and of whoever never made one.
    let none = code_and_reason(Code::NotFound, "NO_ENTRY");
    for (server, zxid) in [("host:1", second), ("host:1", 1), ("host:2", first)] {
        assert_eq!(reason(granted(server, zxid, keys(1)).await), none);
    }
    assert_eq!(caller.everything().await, before);

    for number in 2..256 {
        let server = format!("s{number}");
        acknowledge(&kept, &server, epoch).await.unwrap();
    }
    let before = caller.everything().await;
    assert_eq!(reason(acknowledge(&kept, "s256", epoch).await), limit);
    assert_eq!(caller.everything().await, before);
    // Those that have a place keep it.
    let again = acknowledge(&kept, "host:1", epoch).await.unwrap();
    assert_eq!(reason(granted("host:1", first, keys(1)).await), none);
    granted("host:1", again, keys(1)).await.unwrap();

    // A ring of nobody gives nothing, whoever acts by it.
    let nobodys = AcknowledgeRingRequest {
        header: Some(kept.header()),
        path: "/nowhere".to_owned(),
        server: "host:1".to_owned(),
        epoch: 0,
    };
    let answer = rings(&caller).acknowledge(nobodys).await.unwrap();
    let asked = GrantedRequest {
        path: "/nowhere".to_owned(),
        server: "host:1".to_owned(),
        acknowledged: answer.into_inner().zxid,
        keys: keys(1),
    };
    let grants = rings(&caller).granted(asked).await.unwrap().into_inner();
    assert!(!grants.grants[0].granted && grants.grants[0].owner.is_empty());
}
