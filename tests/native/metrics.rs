//! What the native API is doing, as an operator sees it.

use super::caller::{Caller, eventually, reason};
use super::cluster;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use vivarium::api::change_log_service_client::ChangeLogServiceClient;
use vivarium::api::ring_service_client::RingServiceClient;
use vivarium::api::task_service_client::TaskServiceClient;
use vivarium::api::{
    CloseRequest, CountsRequest, EnqueueRequest, KeepAliveRequest, OwnersRequest, ReleaseRequest,
    SubscribeRequest, Task,
};
use vivarium::metrics::METRICS;

pub fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a line that begins with this name and these labels, in the page's order.
pub fn value(page: &str, name: &str) -> Option<f64> {
    let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_sessions_locks_rings_and_streams_are_counted() {
    let cluster = cluster(1);
    let admin = cluster.member(1).admin_address();
    let caller = Caller::of(&cluster, 1).await;
    let shown = |name: &'static str, expected: f64| async move {
        eventually(name, || async move {
            let found = value(&scrape(admin), name);
            (found == Some(expected)).then_some(())
        })
        .await;
    };

    let mut first = caller.open("").await;
    let second = caller.open("").await;
    let expiring = caller.open_with("", 3_000).await;
    shown("vivarium_native_sessions", 3.0).await;
    let sign = KeepAliveRequest {
        session: None,
        sequence: 2,
    };
    first.signs.send(sign).await.unwrap();
    first.answers.message().await.unwrap().unwrap();
    shown("vivarium_native_heartbeats_total", 4.0).await;
    shown("vivarium_native_heartbeat_lateness_seconds_count", 1.0).await;
    shown("vivarium_native_heartbeat_duration_seconds_count", 4.0).await;
    drop(expiring);
    shown(
        "vivarium_native_sessions_ended_total{reason=\"expired\"}",
        1.0,
    )
    .await;

    // One has it at once, one waits and gets it, one gives up, one does not want to wait.
    let lock = "/lock";
    let held = caller.acquire(&first, lock, "a", None).await.unwrap();
    assert!(held.acquired);
    let late = caller.acquire(&second, lock, "b", Some(1)).await.unwrap();
    assert!(!late.acquired);
    let at_once = caller.acquire(&second, lock, "b", Some(0)).await.unwrap();
    assert!(!at_once.acquired);
    let waiting = {
        let (caller, header) = (caller.clone(), second.header());
        tokio::spawn(async move {
            let request = vivarium::api::AcquireRequest {
                header: Some(header),
                lock: lock.to_owned(),
                owner: "b".to_owned(),
                ..Default::default()
            };
            caller.locks().acquire(request).await
        })
    };
    shown("vivarium_native_lock_waiters", 1.0).await;
    shown("vivarium_lock_places{state=\"waits\"}", 1.0).await;
    shown("vivarium_lock_places{state=\"holds\"}", 1.0).await;
    let release = ReleaseRequest {
        header: Some(first.header()),
        lock: lock.to_owned(),
        owner: "a".to_owned(),
    };
    caller.locks().release(release).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().into_inner().acquired);
    shown("vivarium_native_lock_waiters", 0.0).await;
    shown("vivarium_lock_places{state=\"waits\"}", 0.0).await;
    shown("vivarium_lock_places{state=\"holds\"}", 1.0).await;
    for (name, expected) in [
        (
            "vivarium_native_lock_requests_total{result=\"at_once\"}",
            1.0,
        ),
        (
            "vivarium_native_lock_requests_total{result=\"waited\"}",
            1.0,
        ),
        (
            "vivarium_native_lock_requests_total{result=\"given_up\"}",
            2.0,
        ),
        (
            "vivarium_native_lock_wait_duration_seconds_count{result=\"waited\"}",
            1.0,
        ),
    ] {
        shown(name, expected).await;
    }

    let mut changes = ChangeLogServiceClient::new(caller.channel.clone());
    let subscribe = SubscribeRequest {
        prefixes: vec!["/ring".to_owned()],
        ..Default::default()
    };
    let mut stream = changes.subscribe(subscribe).await.unwrap().into_inner();
    shown("vivarium_native_streams{stream=\"subscribe\"}", 1.0).await;
    caller.register(&first, "/ring/a", "x").await.unwrap();
    stream.message().await.unwrap().unwrap();
    let sent = value(
        &scrape(admin),
        "vivarium_native_messages_total{stream=\"subscribe\"}",
    );
    assert!(sent >= Some(1.0), "{sent:?}");
    drop(stream);
    shown("vivarium_native_streams{stream=\"subscribe\"}", 0.0).await;

    let owners = OwnersRequest {
        path: "/ring".to_owned(),
        keys: vec!["key".to_owned()],
        ..Default::default()
    };
    let mut rings = RingServiceClient::new(caller.channel.clone());
    for _ in 0..2 {
        rings.owners(owners.clone()).await.unwrap();
    }
    shown("vivarium_native_ring_builds_total", 1.0).await;

    // Half of them go to whoever comes.
    caller.register(&first, "/ring/b", "x").await.unwrap();
    rings.owners(owners).await.unwrap();
    shown("vivarium_native_ring_builds_total", 2.0).await;
    shown("vivarium_native_ring_moved_keys_count", 1.0).await;
    let moved = value(&scrape(admin), "vivarium_native_ring_moved_keys_sum").unwrap();
    assert!(moved > 256.0 && moved < 768.0, "{moved}");

    let mut tasks = TaskServiceClient::new(caller.channel.clone());
    for delay_ms in [0, 3_600_000] {
        let enqueue = EnqueueRequest {
            header: Some(first.header()),
            queue: "/queue".to_owned(),
            task: Some(Task {
                key: "k".to_owned(),
                ..Task::default()
            }),
            delay_ms,
        };
        tasks.enqueue(enqueue).await.unwrap();
    }
    let counts = CountsRequest {
        queue: "/queue".to_owned(),
    };
    tasks.counts(counts).await.unwrap();
    shown("vivarium_native_tasks{state=\"pending\"}", 1.0).await;
    shown("vivarium_native_tasks{state=\"delayed\"}", 1.0).await;
    shown("vivarium_native_tasks{state=\"dead\"}", 0.0).await;
    eventually("it grows old", || async {
        let age = value(&scrape(admin), "vivarium_native_task_age_seconds")?;
        (age > 0.0).then_some(())
    })
    .await;

    let close = CloseRequest {
        session: Some(first.session.clone()),
    };
    caller.sessions().close(close).await.unwrap();
    shown(
        "vivarium_native_sessions_ended_total{reason=\"closed\"}",
        1.0,
    )
    .await;
    shown("vivarium_native_sessions", 1.0).await;

    assert_eq!(reason(caller.value("/none").await).1, "NO_ENTRY");
    for name in [
        "vivarium_native_calls_total{service=\"RingService\",method=\"Owners\",reason=\"OK\"}",
        "vivarium_native_call_duration_seconds_count{service=\"RingService\",method=\"Owners\"}",
    ] {
        shown(name, 3.0).await;
    }
    let failed = "vivarium_native_calls_total{service=\"RegistryService\",method=\"Get\",reason=\"NO_ENTRY\"}";
    shown(failed, 1.0).await;
    let page = scrape(admin);
    for metric in METRICS {
        let native = metric.name.starts_with("vivarium_native_");
        let told = page.contains(&format!("# TYPE {} ", metric.name));
        assert!(!native || told, "{}", metric.name);
    }
}

/// Whatever somebody calls, the labels are those of methods that there are.
#[tokio::test(flavor = "multi_thread")]
async fn methods_that_there_are_not_have_no_name() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    for path in ["/vivarium.v1.LockService/Steal", "/vivarium.v1.Nothing/At"] {
        let mut client = tonic::client::Grpc::new(caller.channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ReleaseRequest, ReleaseRequest>::default();
        let request = tonic::Request::new(ReleaseRequest::default());
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        let answer = client.unary(request, path, codec).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    let page = scrape(cluster.member(1).admin_address());
    assert!(
        !page.contains("Steal") && !page.contains("Nothing"),
        "{page}"
    );
    let unknown = "vivarium_native_calls_total{service=\"unknown\",method=\"unknown\",reason=\"Unimplemented\"}";
    assert!(value(&page, unknown) >= Some(1.0));
}
