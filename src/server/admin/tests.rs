//! The door as a client meets it: bytes on a loopback port.

use super::report::tests::figures;
use super::*;
use crate::member::Mode;
use crate::runtime::{Network, TcpNetwork};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// Far above anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: String,
    leaderless: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(options: Options) -> Running {
        let listener = TcpNetwork.bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let leaderless = Arc::new(AtomicBool::new(false));
        let flag = leaderless.clone();
        let look = move || match flag.load(Ordering::Relaxed) {
            true => figures(Mode::Looking, None),
            false => figures(Mode::Follower, Some(1)),
        };
        let router = routes::router(Source::new(look, || "counted 1\n".to_owned()));
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(listener, router, options, stop.clone()));
        Running {
            address,
            leaderless,
            stop,
            task,
        }
    }

    async fn connect(&self) -> BoxedStream {
        TcpNetwork
            .connect(&self.address)
            .await
            .expect("a connection")
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        ask(&mut stream, path, "close").await;
        rest(&mut stream).await
    }
}

async fn ask(stream: &mut BoxedStream, path: &str, connection: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: {connection}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
}

/// All that comes until the door closes the connection, however it does.
async fn rest(stream: &mut BoxedStream) -> String {
    let mut bytes = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end, too.
    drop(closed.expect("the door closes the connection"));
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn every_path_of_the_table_answers() {
    let door = Running::start(Options::default()).await;
    for (path, status, text) in [
        ("/healthz", "200 OK", "alive"),
        (
            "/readyz",
            "200 OK",
            "ready: follower in term 7, the leader is member 1",
        ),
        ("/metrics", "200 OK", "counted 1"),
        ("/status", "200 OK", "\"zxid\":\"0x700000123\""),
        ("/", "404 Not Found", "/readyz"),
    ] {
        let answer = door.get(path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{path}: {answer}"
        );
        assert!(answer.contains(text), "{path}: {answer}");
    }
    assert!(
        door.get("/metrics")
            .await
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert!(
        door.get("/status")
            .await
            .contains("content-type: application/json")
    );
}

#[tokio::test]
async fn a_member_without_a_leader_is_alive_but_not_ready() {
    let door = Running::start(Options::default()).await;
    door.leaderless.store(true, Ordering::Relaxed);
    assert!(door.get("/healthz").await.starts_with("HTTP/1.1 200 OK"));
    let answer = door.get("/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable"),
        "{answer}"
    );
    assert!(answer.contains("no leader is known"), "{answer}");
}

#[tokio::test]
async fn nothing_can_be_written_through_this_door() {
    let door = Running::start(Options::default()).await;
    let mut stream = door.connect().await;
    let post =
        b"POST /status HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(post).await.expect("sent");
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_closed_after_the_head_timeout() {
    let options = Options {
        head_timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let door = Running::start(options).await;
    let mut silent = door.connect().await;
    let mut slow = door.connect().await;
    slow.write_all(b"GET /healthz HT").await.expect("sent");
    rest(&mut silent).await;
    assert!(!rest(&mut slow).await.contains("200 OK"));
}

#[tokio::test]
async fn an_old_connection_is_closed_between_two_requests() {
    let options = Options {
        connection_age_max: Duration::from_millis(50),
        ..Options::default()
    };
    let door = Running::start(options).await;
    let mut stream = door.connect().await;
    ask(&mut stream, "/healthz", "keep-alive").await;
    assert!(rest(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_head_past_its_limit_is_refused_and_others_are_served() {
    let door = Running::start(Options::default()).await;
    let mut stream = door.connect().await;
    let head = format!(
        "GET /{} HTTP/1.1\r\nhost: admin\r\n\r\n",
        "a".repeat(BUFFER_BYTES_MAX)
    );
    // The door may stop reading before all is sent.
    drop(stream.write_all(head.as_bytes()).await);
    assert!(!rest(&mut stream).await.contains("200 OK"));
    let mut garbage = door.connect().await;
    drop(garbage.write_all(&[0xff; 64]).await);
    assert!(!rest(&mut garbage).await.contains("200 OK"));
    assert!(door.get("/healthz").await.contains("200 OK"));
}

#[tokio::test]
async fn a_connection_past_the_limit_is_closed_at_once() {
    let limits = AdmissionLimits {
        connections_max: 8,
        connections_per_address_max: 1,
    };
    let door = Running::start(Options {
        admission: limits,
        ..Options::default()
    })
    .await;
    let mut first = door.connect().await;
    ask(&mut first, "/healthz", "keep-alive").await;
    let mut byte = [0];
    first.read_exact(&mut byte).await.expect("it was let in");
    let mut second = door.connect().await;
    assert_eq!(rest(&mut second).await, "");
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_the_port_is_free_again() {
    let door = Running::start(Options::default()).await;
    let mut idle = door.connect().await;
    ask(&mut idle, "/healthz", "keep-alive").await;
    let mut byte = [0];
    idle.read_exact(&mut byte).await.expect("an answer");
    door.stop.cancel();
    timeout(PATIENCE, door.task)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(TcpNetwork.connect(&door.address).await.is_err());
}
