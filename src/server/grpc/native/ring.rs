//! `vivarium.v1.RingService`.

use super::counted::OpenStream;
use super::{Native, freshness, status, unknown};
use crate::api::ring_service_server::RingService;
use crate::api::{
    AcknowledgeRingRequest, AcknowledgeRingResponse, DescribeRingRequest, GrantedRequest,
    GrantedResponse, KeyGrant, MovedKey, MovedRequest, MovedResponse, OwnersRequest,
    OwnersResponse, PickRequest, PickResponse, PickStrategy, RingMode, RingServer, RingState,
    SlotRequest, SlotResponse,
};
use crate::compat::rings::{Bound, Membership, Mode, Question, Strategy};
use crate::metrics::NATIVE_MESSAGES;
use crate::model::Zxid;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl RingService for Arc<Native> {
    async fn describe(
        &self,
        request: Request<DescribeRingRequest>,
    ) -> Result<Response<RingState>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let mode = mode(asked.mode)?;
        let read = freshness(asked.read.as_ref());
        let membership = self
            .rings
            .describe(&identities, &asked.path, mode, read)
            .await
            .map_err(status::of)?;
        Ok(Response::new(state(asked.path, membership)))
    }

    async fn owners(
        &self,
        request: Request<OwnersRequest>,
    ) -> Result<Response<OwnersResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let bound = asked.load_factor.map(|factor| Bound {
            factor,
            loads: asked.loads,
        });
        let question = Question {
            mode: mode(asked.mode)?,
            path: asked.path,
            keys: asked.keys,
            epoch: asked.epoch.map(Zxid),
            bound,
            freshness: freshness(asked.read.as_ref()),
        };
        let owners = self.rings.owners(&identities, question).await;
        let (epoch, owners) = owners.map_err(status::of)?;
        Ok(Response::new(OwnersResponse {
            epoch: epoch.0,
            owners,
        }))
    }

    async fn moved(
        &self,
        request: Request<MovedRequest>,
    ) -> Result<Response<MovedResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let (to, moved) = self
            .rings
            .moved(
                &identities,
                &asked.path,
                mode(asked.mode)?,
                Zxid(asked.from_epoch),
                asked.to_epoch.map(Zxid),
                &asked.keys,
            )
            .await
            .map_err(status::of)?;
        let moved = moved.into_iter().map(|moved| MovedKey {
            key: moved.key,
            from: moved.from.unwrap_or_default(),
            to: moved.to.unwrap_or_default(),
        });
        Ok(Response::new(MovedResponse {
            from_epoch: asked.from_epoch,
            to_epoch: to.0,
            moved: moved.collect(),
        }))
    }

    type WatchStream = BoxStream<'static, Result<RingState, Status>>;

    async fn watch(
        &self,
        request: Request<DescribeRingRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let mode = mode(asked.mode)?;
        self.rings
            .describe(
                &identities,
                &asked.path,
                mode,
                freshness(asked.read.as_ref()),
            )
            .await
            .map_err(status::of)?;
        let open = OpenStream::new("watch");
        let sent = metrics::counter!(NATIVE_MESSAGES, "stream" => "watch");
        let following = (Arc::clone(self), None, false);
        let states = futures::stream::unfold(following, move |(native, known, ended)| {
            let (identities, path) = (identities.clone(), asked.path.clone());
            async move {
                if ended {
                    return None;
                }
                let changed = native.rings.changed(&identities, &path, mode, known).await;
                Some(match changed {
                    Ok(membership) => {
                        let epoch = membership.epoch;
                        (Ok(state(path, membership)), (native, Some(epoch), false))
                    }
                    Err(failure) => (Err(status::of(failure)), (native, known, true)),
                })
            }
        });
        let states = states.inspect(move |state: &Result<RingState, Status>| {
            // For as long as there is the stream.
            let _ = &open;
            sent.increment(state.is_ok().into());
        });
        Ok(Response::new(states.boxed()))
    }

    async fn pick(&self, request: Request<PickRequest>) -> Result<Response<PickResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let strategy = match PickStrategy::try_from(asked.strategy) {
            Ok(PickStrategy::Unspecified | PickStrategy::SmoothRoundRobin) => {
                Strategy::SmoothRoundRobin
            }
            Ok(PickStrategy::Random) => Strategy::Random,
            Ok(PickStrategy::LowerWeight) => Strategy::LowerWeight,
            Err(_) => return Err(unknown("strategy")),
        };
        let picked = self.rings.pick(&identities, &asked.path, strategy);
        let (epoch, server) = picked.map_err(status::of)?;
        Ok(Response::new(PickResponse {
            epoch: epoch.0,
            server,
        }))
    }

    async fn slot(&self, request: Request<SlotRequest>) -> Result<Response<SlotResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let read = freshness(asked.read.as_ref());
        let (epoch, slot) = self
            .rings
            .slot(&identities, &asked.path, &asked.server, read)
            .await
            .map_err(status::of)?;
        Ok(Response::new(SlotResponse {
            epoch: epoch.0,
            slot: slot.slot as u32,
            total: slot.total as u32,
        }))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRingRequest>,
    ) -> Result<Response<AcknowledgeRingResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let acknowledged = self
            .grants
            .acknowledge(&writer, &asked.path, &asked.server, Zxid(asked.epoch))
            .await;
        let zxid = acknowledged.map_err(status::of)?.0;
        Ok(Response::new(AcknowledgeRingResponse { zxid }))
    }

    async fn granted(
        &self,
        request: Request<GrantedRequest>,
    ) -> Result<Response<GrantedResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        let acknowledged = Zxid(asked.acknowledged);
        let granted = self
            .grants
            .granted(
                &identities,
                &asked.path,
                &asked.server,
                acknowledged,
                &asked.keys,
            )
            .await
            .map_err(status::of)?;
        let grants = granted.into_iter().map(|grant| {
            let (holder, epoch) = grant.holder.unwrap_or((String::new(), Zxid::ZERO));
            KeyGrant {
                granted: grant.is_granted,
                owner: grant.owner.unwrap_or_default(),
                holder,
                holder_epoch: epoch.0,
            }
        });
        Ok(Response::new(GrantedResponse {
            grants: grants.collect(),
        }))
    }
}

fn mode(asked: i32) -> Result<Mode, Status> {
    match RingMode::try_from(asked) {
        Ok(RingMode::Unspecified | RingMode::Equal) => Ok(Mode::Equal),
        Ok(RingMode::Weighted) => Ok(Mode::Weighted),
        Err(_) => Err(unknown("mode")),
    }
}

fn state(path: String, membership: Membership) -> RingState {
    let servers = membership.servers.into_iter().map(|server| RingServer {
        name: server.name,
        weight: server.weight,
        session_id: server.session.0,
    });
    RingState {
        path,
        epoch: membership.epoch.0,
        servers: servers.collect(),
    }
}
