//! The door as a gRPC client meets it, on a loopback port.

use super::*;
use crate::runtime::{Network, TcpNetwork};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Told;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Far above anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: String,
    serving: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    async fn start(options: Options) -> Running {
        let listener = TcpNetwork.bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (serving, receiver) = watch::channel(true);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(
            listener,
            None,
            receiver,
            Routes::default(),
            options,
            stop.clone(),
        ));
        Running {
            address,
            serving,
            stop,
            task,
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint =
            Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("a connection")
    }

    async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    async fn stopped(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("no error");
    }
}

fn whole_server() -> HealthCheckRequest {
    HealthCheckRequest {
        service: WHOLE_SERVER.to_owned(),
    }
}

#[tokio::test]
async fn health_follows_whether_the_member_serves() {
    let door = Running::start(Options::default()).await;
    let mut health = door.health().await;
    let mut watching = health
        .watch(whole_server())
        .await
        .expect("a watch")
        .into_inner();
    for serves in [true, false, true] {
        door.serving
            .send_if_modified(|told| std::mem::replace(told, serves) != serves);
        let expected = if serves {
            Told::Serving
        } else {
            Told::NotServing
        };
        let told = watching
            .message()
            .await
            .expect("a message")
            .expect("not ended")
            .status();
        assert_eq!(told, expected);
        let checked = health
            .check(whole_server())
            .await
            .expect("an answer")
            .into_inner();
        assert_eq!(checked.status(), expected);
    }
    door.stopped().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_not_found() {
    let door = Running::start(Options::default()).await;
    let request = HealthCheckRequest {
        service: "no.such.Service".to_owned(),
    };
    let refused = door
        .health()
        .await
        .check(request)
        .await
        .expect_err("no such service");
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_what_is_served() {
    let door = Running::start(Options::default()).await;
    let mut reflection = ServerReflectionClient::new(door.channel().await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::once(list))
        .await;
    let answer = answers
        .expect("an answer")
        .into_inner()
        .message()
        .await
        .expect("a message");
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answer.expect("not ended").message_response
    else {
        panic!("not a list");
    };
    let names: Vec<_> = listed
        .service
        .iter()
        .map(|service| &*service.name)
        .collect();
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    assert!(
        names.contains(&"grpc.reflection.v1.ServerReflection"),
        "{names:?}"
    );
}

#[tokio::test]
async fn stopping_tells_those_who_watch_and_ends_their_streams() {
    let door = Running::start(Options::default()).await;
    let mut watching = door
        .health()
        .await
        .watch(whole_server())
        .await
        .expect("a watch")
        .into_inner();
    let first = watching
        .message()
        .await
        .expect("a message")
        .expect("not ended");
    assert_eq!(first.status(), Told::Serving);
    door.stopped().await;
    let last = watching
        .message()
        .await
        .expect("a message")
        .expect("the news before the end");
    assert_eq!(last.status(), Told::NotServing);
    assert!(watching.message().await.expect("an orderly end").is_none());
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_the_door_from_stopping() {
    let options = Options {
        grace: Duration::from_millis(50),
        ..Options::default()
    };
    let door = Running::start(options).await;
    let mut reflection = ServerReflectionClient::new(door.channel().await);
    let endless = reflection.server_reflection_info(tokio_stream::pending());
    let _answers = endless.await.expect("a stream");
    door.stopped().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let options = Options {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let door = Running::start(options).await;
    let mut stream = TcpNetwork
        .connect(&door.address)
        .await
        .expect("a connection");
    // The preface and an empty SETTINGS frame; after that, silence.
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("sent");
    let closed = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    drop(closed.expect("the door closes the connection"));
}

#[tokio::test]
async fn bytes_that_are_not_http2_are_closed_and_others_are_served() {
    let door = Running::start(Options::default()).await;
    for garbage in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &[0xff; 64]] {
        let mut stream = TcpNetwork
            .connect(&door.address)
            .await
            .expect("a connection");
        stream.write_all(garbage).await.expect("sent");
        let closed = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        drop(closed.expect("the door closes the connection"));
    }
    door.health()
        .await
        .check(whole_server())
        .await
        .expect("an answer");
}

#[tokio::test]
async fn headers_and_messages_past_their_limits_are_refused() {
    let door = Running::start(Options::default()).await;
    let mut health = door.health().await;
    let long = "x".repeat(HEALTH_MESSAGE_BYTES_MAX);
    let refused = health
        .check(HealthCheckRequest { service: long })
        .await
        .expect_err("too long");
    assert_eq!(refused.code(), Code::OutOfRange);
    let mut request = Request::new(whole_server());
    let value = "x"
        .repeat(HEADER_BYTES_MAX as usize)
        .parse()
        .expect("ascii");
    request.metadata_mut().insert("long", value);
    health.check(request).await.expect_err("headers too long");
    door.health()
        .await
        .check(whole_server())
        .await
        .expect("an answer");
}

#[tokio::test]
async fn a_call_past_the_limit_of_a_connection_waits_for_another_to_end() {
    let door = Running::start(Options::default()).await;
    let mut health = door.health().await;
    let mut watches = Vec::new();
    for _ in 0..STREAMS_PER_CONNECTION_MAX {
        watches.push(
            health
                .watch(whole_server())
                .await
                .expect("a watch")
                .into_inner(),
        );
    }
    let mut waiting = Box::pin(health.check(whole_server()));
    // Ten answers on another connection: time enough for the one that must not come.
    let mut another = door.health().await;
    for _ in 0..10 {
        assert!(futures::poll!(&mut waiting).is_pending());
        another
            .check(whole_server())
            .await
            .expect("another connection is served");
    }
    watches.pop();
    timeout(PATIENCE, waiting)
        .await
        .expect("its turn comes")
        .expect("an answer");
}

#[tokio::test]
async fn a_connection_past_the_limit_is_closed_at_once() {
    let admission = AdmissionLimits {
        connections_max: 8,
        connections_per_address_max: 1,
    };
    let door = Running::start(Options {
        admission,
        ..Options::default()
    })
    .await;
    let mut health = door.health().await;
    health.check(whole_server()).await.expect("it was let in");
    let mut second = TcpNetwork
        .connect(&door.address)
        .await
        .expect("a connection");
    let closed = timeout(PATIENCE, second.read_to_end(&mut Vec::new())).await;
    assert_eq!(closed.expect("closed").expect("an orderly end"), 0);
}
