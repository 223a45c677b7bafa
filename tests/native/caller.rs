//! A client of one member, made of nothing but what is generated from the `.proto` files.

use std::future::Future;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use vivarium::api::lock_service_client::LockServiceClient;
use vivarium::api::registry_service_client::RegistryServiceClient;
use vivarium::api::session_service_client::SessionServiceClient;
use vivarium::api::{
    AcquireRequest, AcquireResponse, Entry, Fence, GetRequest, KeepAliveRequest, KeepAliveResponse,
    ListRequest, ListSessionsRequest, OpenRequest, ReadOptions, RegisterRequest, RegisterResponse,
    SessionInfo, SessionRef, WriteHeader,
};
use vivarium::testing::eventually_async;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

/// Of sessions that must survive whatever a test does to the members.
pub const TIMEOUT_MS: u32 = 60_000;

#[derive(Clone)]
pub struct Caller {
    pub channel: Channel,
}

/// A session that is kept alive until it is dropped.
pub struct Kept {
    pub session: SessionRef,
    pub incarnation: i64,
    pub signs: mpsc::Sender<KeepAliveRequest>,
    pub answers: Streaming<KeepAliveResponse>,
}

impl Caller {
    pub async fn of(cluster: &ProcessCluster, number: usize) -> Caller {
        let address = cluster.member(number).grpc_address();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = eventually("a channel to the member", || async {
            endpoint.connect().await.ok()
        })
        .await;
        Caller { channel }
    }

    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    pub fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel.clone())
    }

    pub fn locks(&self) -> LockServiceClient<Channel> {
        LockServiceClient::new(self.channel.clone())
    }

    pub async fn open(&self, client_id: &str) -> Kept {
        self.open_with(client_id, TIMEOUT_MS).await
    }

    pub async fn open_with(&self, client_id: &str, timeout_ms: u32) -> Kept {
        let request = OpenRequest {
            timeout_ms,
            heartbeat_interval_ms: 0,
            client_id: client_id.to_owned(),
        };
        let opened = self.sessions().open(request).await.expect("a session");
        let opened = opened.into_inner();
        let session = opened.session.expect("its name");
        let kept = self.keep_alive(&session).await.expect("it lives");
        Kept {
            incarnation: opened.incarnation,
            ..kept
        }
    }

    /// Attaches a session to this member, and waits until it is told that it lives.
    pub async fn keep_alive(&self, session: &SessionRef) -> Result<Kept, Status> {
        let (signs, sent) = mpsc::channel(16);
        let first = KeepAliveRequest {
            session: Some(session.clone()),
            sequence: 1,
        };
        signs.send(first).await.expect("it is listened to");
        let answers = self
            .sessions()
            .keep_alive(ReceiverStream::new(sent))
            .await?;
        let mut answers = answers.into_inner();
        let answer = answers.message().await?.expect("an answer");
        assert_eq!(answer.sequence, 1);
        Ok(Kept {
            session: session.clone(),
            incarnation: 0,
            signs,
            answers,
        })
    }

    pub async fn register(
        &self,
        kept: &Kept,
        path: &str,
        value: &str,
    ) -> Result<RegisterResponse, Status> {
        let request = RegisterRequest {
            header: Some(kept.header()),
            path: path.to_owned(),
            payload: Some(value_of(value)),
            ..Default::default()
        };
        let answer = self.registry().register(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn value(&self, path: &str) -> Result<String, Status> {
        let request = GetRequest {
            path: path.to_owned(),
            read: None,
        };
        let answer = self.registry().get(request).await?.into_inner();
        let value = answer.entry.expect("an entry").value;
        Ok(String::from_utf8(value.to_vec()).expect("a text"))
    }

    /// Every entry that anybody may read, and every session.
    pub async fn everything(&self) -> (Vec<Entry>, Vec<SessionInfo>) {
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListRequest {
                path: "/".to_owned(),
                read: Some(ReadOptions {
                    linearizable: true,
                    ..Default::default()
                }),
                page_size: 1_000,
                page_token,
                ..Default::default()
            };
            let page = self.registry().list(request).await.expect("a page");
            let page = page.into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let request = ListSessionsRequest {
            page_size: 1_000,
            page_token: String::new(),
        };
        let listed = self.sessions().list(request).await.expect("a page");
        (entries, listed.into_inner().sessions)
    }

    pub async fn acquire(
        &self,
        kept: &Kept,
        lock: &str,
        owner: &str,
        wait_ms: Option<u64>,
    ) -> Result<AcquireResponse, Status> {
        let request = AcquireRequest {
            header: Some(kept.header()),
            lock: lock.to_owned(),
            owner: owner.to_owned(),
            wait_ms,
            ..Default::default()
        };
        let answer = self.locks().acquire(request).await?;
        Ok(answer.into_inner())
    }
}

impl Kept {
    pub fn header(&self) -> WriteHeader {
        WriteHeader {
            session: Some(self.session.clone()),
            request_id: 0,
            fences: Vec::new(),
        }
    }

    pub fn fenced(&self, lock: &str, token: i64) -> WriteHeader {
        let lock = lock.to_owned();
        WriteHeader {
            fences: vec![Fence { lock, token }],
            ..self.header()
        }
    }
}

pub fn value_of(value: &str) -> vivarium::api::register_request::Payload {
    vivarium::api::register_request::Payload::Value(value.to_owned().into())
}

/// The code and the reason of a refusal.
#[track_caller]
pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("a refusal");
    let details = status.get_error_details();
    let info = details.error_info().expect("every refusal has a reason");
    assert_eq!(info.domain, "vivarium");
    assert!(!status.message().is_empty());
    (status.code(), info.reason.clone())
}

/// Looks until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    probe: impl FnMut() -> F,
) -> T {
    eventually_async(what, PATIENCE, probe).await
}
