//! What there is for calls to be about, and every call that is about it.

use crate::caller::{Caller, Kept, reason};
use futures::FutureExt;
use futures::future::BoxFuture;
use tonic::transport::Channel;
use tonic::{Code, Status};
use vivarium::api::change_log_service_client::ChangeLogServiceClient;
use vivarium::api::lock_service_client::LockServiceClient;
use vivarium::api::registry_service_client::RegistryServiceClient;
use vivarium::api::ring_service_client::RingServiceClient;
use vivarium::api::session_service_client::SessionServiceClient;
use vivarium::api::subscribe_request::Start;
use vivarium::api::task_service_client::TaskServiceClient;
use vivarium::api::{
    AcknowledgeRequest, AcknowledgeRingRequest, AcquireRequest, CloseRequest, CompleteRequest,
    DeleteCursorRequest, DescribeRingRequest, EnqueueRequest, FailRequest, FetchRequest,
    GrantedRequest, ListTasksRequest, OwnersRequest, ReadOptions, ReceiveRequest, RegisterRequest,
    ReleaseRequest, SessionRef, SubscribeRequest, Task, TaskRequest, UnregisterRequest,
    UpdateRequest, WriteHeader,
};

pub const LOCK: &str = "/lock";
pub const QUEUE: &str = "/queue";
pub const RING: &str = "/ring";
pub const SERVER: &str = "host:1";
pub const ENTRY: &str = "/entry";

pub type Call = (&'static str, BoxFuture<'static, Result<(), Status>>);

/// One call, which is made when it is awaited.
macro_rules! call {
    ($channel:expr, $client:ident . $method:ident ($request:expr)) => {{
        let mut client = $client::new(Channel::clone(&$channel));
        let request = $request;
        let answer = async move { client.$method(request).await.map(drop) };
        (stringify!($method), answer.boxed())
    }};
}

/// The same of a stream, up to its first message.
macro_rules! stream {
    ($channel:expr, $client:ident . $method:ident ($request:expr)) => {{
        let mut client = $client::new(Channel::clone(&$channel));
        let request = $request;
        let answer = async move {
            let mut stream = client.$method(request).await?.into_inner();
            stream.message().await.map(drop)
        };
        (stringify!($method), answer.boxed())
    }};
}

pub async fn all_are(calls: Vec<Call>, code: Code, wanted: &str) {
    for (name, call) in calls {
        let told = match call.await {
            Err(status) => reason(Err::<(), _>(status)),
            Ok(()) => panic!("{name} is not refused, where it is to be {wanted}"),
        };
        assert_eq!(told, (code, wanted.to_owned()), "{name}");
    }
}

/// What there is for the calls to be about.
pub struct Ground {
    pub caller: Caller,
    pub kept: Kept,
    pub lock_token: i64,
    pub task_id: i64,
    pub task_token: i64,
    pub epoch: i64,
}

impl Ground {
    pub async fn lay(caller: Caller) -> Ground {
        let kept = caller.open("").await;
        caller.register(&kept, ENTRY, "x").await.unwrap();
        let path = format!("{RING}/{SERVER}");
        caller.register(&kept, &path, "").await.unwrap();
        let held = caller.acquire(&kept, LOCK, "t", None).await.unwrap();
        let mut tasks = TaskServiceClient::new(caller.channel.clone());
        let enqueued = tasks.enqueue(enqueuing(Some(kept.header()), QUEUE)).await;
        let task_id = enqueued.unwrap().into_inner().id;
        let fetching = FetchRequest {
            wait_ms: 60_000,
            ..fetching(Some(kept.session.clone()), QUEUE)
        };
        let claimed = tasks.fetch(fetching).await.unwrap().into_inner().tasks;
        let mut rings = RingServiceClient::new(caller.channel.clone());
        let ring = rings.describe(the_ring(RING, None)).await.unwrap();
        let epoch = ring.into_inner().epoch;
        let header = Some(kept.header());
        let acknowledged = rings.acknowledge(acknowledging(header, RING, epoch)).await;
        acknowledged.unwrap();
        let mut log = ChangeLogServiceClient::new(caller.channel.clone());
        let cursor = AcknowledgeRequest {
            header: Some(kept.header()),
            subscriber: "s".to_owned(),
            zxid: 1,
        };
        log.acknowledge(cursor).await.unwrap();
        Ground {
            caller,
            kept,
            lock_token: held.token,
            task_id,
            task_token: claimed[0].token,
            epoch,
        }
    }

    /// Everything there is, and who is there.
    pub async fn all(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        self.caller.everything().await
    }

    /// Every call that carries a header.
    pub fn writes(&self, header: Option<WriteHeader>) -> Vec<Call> {
        let channel = &self.caller.channel;
        let header = || header.clone();
        let about = || TaskRequest {
            header: header(),
            queue: QUEUE.to_owned(),
            id: self.task_id,
        };
        vec![
            call!(
                channel,
                RegistryServiceClient.register(registering(header(), "/new"))
            ),
            call!(
                channel,
                RegistryServiceClient.update(updating(header(), ENTRY))
            ),
            call!(
                channel,
                RegistryServiceClient.unregister(unregistering(header(), ENTRY))
            ),
            call!(
                channel,
                LockServiceClient.acquire(acquiring(header(), "/other"))
            ),
            call!(
                channel,
                LockServiceClient.release(releasing(header(), LOCK))
            ),
            call!(
                channel,
                ChangeLogServiceClient.acknowledge(AcknowledgeRequest {
                    header: header(),
                    subscriber: "s".to_owned(),
                    zxid: 2,
                })
            ),
            call!(
                channel,
                ChangeLogServiceClient.delete_cursor(DeleteCursorRequest {
                    header: header(),
                    subscriber: "s".to_owned(),
                })
            ),
            call!(
                channel,
                RingServiceClient.acknowledge(acknowledging(header(), RING, self.epoch))
            ),
            call!(
                channel,
                TaskServiceClient.enqueue(enqueuing(header(), QUEUE))
            ),
            call!(
                channel,
                TaskServiceClient.complete(self.completing(header(), QUEUE))
            ),
            call!(
                channel,
                TaskServiceClient.fail(self.failing(header(), QUEUE))
            ),
            call!(channel, TaskServiceClient.cancel(about())),
            call!(channel, TaskServiceClient.redrive(about())),
            call!(channel, TaskServiceClient.discard(about())),
        ]
    }

    /// Every call that is made for a session but needs no header.
    pub fn claims(&self, session: Option<SessionRef>) -> Vec<Call> {
        let channel = &self.caller.channel;
        vec![
            call!(
                channel,
                TaskServiceClient.fetch(fetching(session.clone(), QUEUE))
            ),
            stream!(
                channel,
                TaskServiceClient.receive(receiving(session, QUEUE))
            ),
        ]
    }

    pub fn close(&self, session: Option<SessionRef>) -> Call {
        call!(
            self.caller.channel,
            SessionServiceClient.close(CloseRequest { session })
        )
    }

    pub fn completing(&self, header: Option<WriteHeader>, queue: &str) -> CompleteRequest {
        CompleteRequest {
            header,
            queue: queue.to_owned(),
            id: self.task_id,
            token: self.task_token,
        }
    }

    pub fn failing(&self, header: Option<WriteHeader>, queue: &str) -> FailRequest {
        FailRequest {
            header,
            queue: queue.to_owned(),
            id: self.task_id,
            token: self.task_token,
            error: "x".to_owned(),
            retry_after_ms: 0,
            not_begun: false,
        }
    }

    pub fn granted(&self, path: &str, acknowledged: i64) -> GrantedRequest {
        GrantedRequest {
            path: path.to_owned(),
            server: SERVER.to_owned(),
            acknowledged,
            keys: vec!["1".to_owned()],
        }
    }
}

pub fn registering(header: Option<WriteHeader>, path: &str) -> RegisterRequest {
    RegisterRequest {
        header,
        path: path.to_owned(),
        ..Default::default()
    }
}

pub fn updating(header: Option<WriteHeader>, path: &str) -> UpdateRequest {
    UpdateRequest {
        header,
        path: path.to_owned(),
        ..Default::default()
    }
}

pub fn unregistering(header: Option<WriteHeader>, path: &str) -> UnregisterRequest {
    UnregisterRequest {
        header,
        path: path.to_owned(),
        ..Default::default()
    }
}

pub fn acquiring(header: Option<WriteHeader>, lock: &str) -> AcquireRequest {
    AcquireRequest {
        header,
        lock: lock.to_owned(),
        owner: "t".to_owned(),
        wait_ms: Some(0),
        ..Default::default()
    }
}

pub fn releasing(header: Option<WriteHeader>, lock: &str) -> ReleaseRequest {
    ReleaseRequest {
        header,
        lock: lock.to_owned(),
        owner: "t".to_owned(),
    }
}

pub fn enqueuing(header: Option<WriteHeader>, queue: &str) -> EnqueueRequest {
    EnqueueRequest {
        header,
        queue: queue.to_owned(),
        task: Some(Task {
            key: "1".to_owned(),
            ..Default::default()
        }),
        delay_ms: 0,
    }
}

pub fn fetching(session: Option<SessionRef>, queue: &str) -> FetchRequest {
    FetchRequest {
        session,
        queue: queue.to_owned(),
        server: SERVER.to_owned(),
        limit: 1,
        ..Default::default()
    }
}

pub fn receiving(session: Option<SessionRef>, queue: &str) -> ReceiveRequest {
    ReceiveRequest {
        session,
        queue: queue.to_owned(),
        server: SERVER.to_owned(),
        window: 1,
        ..Default::default()
    }
}

pub fn acknowledging(
    header: Option<WriteHeader>,
    path: &str,
    epoch: i64,
) -> AcknowledgeRingRequest {
    AcknowledgeRingRequest {
        header,
        path: path.to_owned(),
        server: SERVER.to_owned(),
        epoch,
    }
}

pub fn the_ring(path: &str, read: Option<ReadOptions>) -> DescribeRingRequest {
    DescribeRingRequest {
        path: path.to_owned(),
        mode: 0,
        read,
    }
}

pub fn owners(path: &str) -> OwnersRequest {
    OwnersRequest {
        path: path.to_owned(),
        keys: vec!["1".to_owned()],
        ..Default::default()
    }
}

pub fn listing(queue: &str) -> ListTasksRequest {
    ListTasksRequest {
        queue: queue.to_owned(),
        ..Default::default()
    }
}

pub fn subscription(prefix: &str, start: Option<Start>) -> SubscribeRequest {
    SubscribeRequest {
        prefixes: vec![prefix.to_owned()],
        start,
        on_compacted: 0,
    }
}

pub(super) use {call, stream};
