//! `vivarium.v1.RegistryService`.

use super::counted::OpenStream;
use super::{Native, entry, freshness, page, status, unknown};
use crate::api::registry_service_server::RegistryService;
use crate::api::{
    self, ChildrenRequest, ChildrenResponse, ExistsRequest, ExistsResponse, FollowRequest,
    FollowResponse, GetRequest, GetResponse, ListRequest, ListResponse, RegisterRequest,
    RegisterResponse, UnregisterRequest, UnregisterResponse, UpdateRequest, UpdateResponse,
    WatchChildrenRequest, WatchChildrenResponse,
};
use crate::compat::children::Children;
use crate::compat::{Failure, Lifetime, OnConflict, Registration};
use crate::metrics::NATIVE_MESSAGES;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::time::Duration;
use tonic::{Request, Response, Status};

const ANY_VERSION: i32 = -1;
const CHILDREN_DEFAULT: usize = 1_000;
const CHILDREN_MAX: usize = 10_000;
const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1_000;
const WATCH_INTERVAL_MS: u32 = 100;

#[tonic::async_trait]
impl RegistryService for Native {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let lifetime = match api::Lifetime::try_from(asked.lifetime) {
            Ok(api::Lifetime::Unspecified | api::Lifetime::Session) => Lifetime::Session,
            Ok(api::Lifetime::Persistent) => Lifetime::Persistent,
            Err(_) => return Err(unknown("lifetime")),
        };
        let on_conflict = match api::OnConflict::try_from(asked.on_conflict) {
            Ok(api::OnConflict::Unspecified) => OnConflict::TakeOverOwn,
            Ok(api::OnConflict::Fail) => OnConflict::Fail,
            Ok(api::OnConflict::TakeOver) => OnConflict::TakeOver,
            Err(_) => return Err(unknown("on_conflict")),
        };
        use api::register_request::Payload;
        let value = match asked.payload {
            None => Ok(Bytes::new()),
            Some(Payload::Value(value)) => Ok(value),
            Some(Payload::Node(node)) => entry::node_value(node),
            Some(Payload::Job(job)) => entry::job_value(job),
        };
        let wanted = Registration {
            path: asked.path,
            value: value.map_err(status::of)?,
            lifetime,
            on_conflict,
            private: asked.private,
        };
        let registered = self.registry.register(&writer, wanted).await;
        let registered = registered.map_err(status::of)?;
        Ok(Response::new(RegisterResponse {
            zxid: registered.zxid.0,
            created: registered.created,
            taken_over: registered.taken_over,
            replayed: registered.replayed,
        }))
    }

    async fn unregister(
        &self,
        request: Request<UnregisterRequest>,
    ) -> Result<Response<UnregisterResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let version = demanded(asked.version)?;
        let unregistered = self
            .registry
            .unregister(&writer, &asked.path, asked.recursive, version)
            .await
            .map_err(status::of)?;
        Ok(Response::new(UnregisterResponse {
            zxid: unregistered.zxid.0,
            removed: unregistered.removed as u32,
            replayed: unregistered.replayed,
        }))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        use api::update_request::Payload;
        let value = match asked.payload {
            None => Ok(Bytes::new()),
            Some(Payload::Value(value)) => Ok(value),
            Some(Payload::Node(node)) => entry::node_value(node),
            Some(Payload::Job(job)) => entry::job_value(job),
        };
        let version = demanded(asked.version)?;
        let value = value.map_err(status::of)?;
        let updated = self
            .registry
            .update(&writer, &asked.path, value, version)
            .await
            .map_err(status::of)?;
        Ok(Response::new(UpdateResponse {
            zxid: updated.zxid.0,
            version: updated.version.unwrap_or_default(),
            replayed: updated.version.is_none(),
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let (zxid, entry) = self
            .registry
            .get(&identities, &asked.path, freshness(asked.read.as_ref()))
            .await
            .map_err(status::of)?;
        Ok(Response::new(GetResponse {
            zxid: zxid.0,
            entry: Some(entry::message(entry)),
        }))
    }

    async fn exists(
        &self,
        request: Request<ExistsRequest>,
    ) -> Result<Response<ExistsResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let (zxid, exists) = self
            .registry
            .exists(&asked.path, freshness(asked.read.as_ref()))
            .await
            .map_err(status::of)?;
        Ok(Response::new(ExistsResponse {
            zxid: zxid.0,
            exists,
        }))
    }

    async fn children(
        &self,
        request: Request<ChildrenRequest>,
    ) -> Result<Response<ChildrenResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let page = self
            .registry
            .children(
                &identities,
                &asked.path,
                freshness(asked.read.as_ref()),
                page(asked.page_size, CHILDREN_DEFAULT, CHILDREN_MAX),
                &asked.page_token,
            )
            .await
            .map_err(status::of)?;
        Ok(Response::new(ChildrenResponse {
            zxid: page.zxid.0,
            names: page.items,
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    type FollowStream = BoxStream<'static, Result<FollowResponse, Status>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let identities = self.caller(&request)?;
        let following = self.follow_entries(identities, request.into_inner());
        Ok(Response::new(following.await?))
    }

    type WatchChildrenStream = BoxStream<'static, Result<WatchChildrenResponse, Status>>;

    async fn watch_children(
        &self,
        request: Request<WatchChildrenRequest>,
    ) -> Result<Response<Self::WatchChildrenStream>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let interval_ms = asked.interval_ms.unwrap_or(WATCH_INTERVAL_MS);
        let joined = asked.joined;
        let children = self
            .events
            .children(
                identities,
                asked.path,
                freshness(asked.read.as_ref()),
                Duration::from_millis(interval_ms.into()),
            )
            .await
            .map_err(status::of)?;
        Ok(Response::new(watched(children, joined)))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let page = self
            .registry
            .list(
                &identities,
                &asked.path,
                asked.depth as usize,
                freshness(asked.read.as_ref()),
                page(asked.page_size, LIST_DEFAULT, LIST_MAX),
                &asked.page_token,
            )
            .await
            .map_err(status::of)?;
        Ok(Response::new(ListResponse {
            zxid: page.zxid.0,
            entries: page.items.into_iter().map(entry::message).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }
}

/// What becomes of the children, until it ends with why.
fn watched(
    children: Children,
    joined: bool,
) -> BoxStream<'static, Result<WatchChildrenResponse, Status>> {
    let open = OpenStream::new("children");
    let sent = metrics::counter!(NATIVE_MESSAGES, "stream" => "children");
    futures::stream::unfold(Some(children), move |children| async move {
        let mut children = children?;
        Some(match children.next().await {
            Ok(came) => {
                let mut message = WatchChildrenResponse {
                    zxid: came.zxid.0,
                    reset: came.reset,
                    partial: came.partial,
                    ..WatchChildrenResponse::default()
                };
                if joined {
                    message.added_joined = came.added.text().to_owned();
                    message.removed_joined = came.removed.text().to_owned();
                } else {
                    message.added = came.added.iter().map(str::to_owned).collect();
                    message.removed = came.removed.iter().map(str::to_owned).collect();
                }
                (Ok(message), Some(children))
            }
            Err(failure) => (Err(status::of(failure)), None),
        })
    })
    .inspect(move |message| {
        // For as long as there is the stream.
        let _ = &open;
        sent.increment(message.is_ok().into());
    })
    .boxed()
}

fn demanded(version: Option<i32>) -> Result<i32, Status> {
    match version {
        None => Ok(ANY_VERSION),
        Some(version) if version >= 0 => Ok(version),
        Some(_) => Err(status::of(Failure::InvalidArgument(
            "`version` is 0 or more".to_owned(),
        ))),
    }
}
