//! `vivarium.v1.LockService`.

use super::{Native, freshness, status, unknown};
use crate::api::lock_service_server::LockService;
use crate::api::{
    self, AcquireRequest, AcquireResponse, DescribeRequest, DescribeResponse, LockMode, LockPlace,
    ReleaseRequest, ReleaseResponse,
};
use crate::compat::Failure;
use crate::compat::locks::{Asking, Kind, Reentry};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Places of a lock that are shown.
const PLACES_MAX: usize = 1_000;

#[tonic::async_trait]
impl LockService for Native {
    async fn acquire(
        &self,
        request: Request<AcquireRequest>,
    ) -> Result<Response<AcquireResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let kind = match LockMode::try_from(asked.mode) {
            Ok(LockMode::Unspecified | LockMode::Exclusive) => Kind::Mutex,
            Ok(LockMode::Read) => Kind::Read,
            Ok(LockMode::Write) => Kind::Write,
            Err(_) => return Err(unknown("mode")),
        };
        let reentry = match api::Reentry::try_from(asked.reentry) {
            Ok(api::Reentry::Unspecified | api::Reentry::WithoutCounting) => {
                Reentry::WithoutCounting
            }
            Ok(api::Reentry::Counting) => Reentry::Counting,
            Ok(api::Reentry::None) => Reentry::None,
            Err(_) => return Err(unknown("reentry")),
        };
        let asking = Asking {
            lock: asked.lock,
            owner: asked.owner,
            kind,
            reentry,
            patience: asked.wait_ms.map(Duration::from_millis),
        };
        let held = self.locks.acquire(&writer, &asking).await;
        let held = held.map_err(status::of)?;
        Ok(Response::new(AcquireResponse {
            acquired: held.is_some(),
            token: held.map_or(0, |held| held.token.0),
            holds: held.map_or(0, |held| held.holds),
            zxid: self.sessions.handle().read().zxid().0,
        }))
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let writer = self
            .writer(&request, request.get_ref().header.as_ref())
            .await?;
        let asked = request.into_inner();
        let released = self.locks.release(&writer, &asked.lock, &asked.owner).await;
        let (zxid, holds) = released.map_err(status::of)?;
        Ok(Response::new(ReleaseResponse {
            holds,
            zxid: zxid.0,
        }))
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let identities = self.caller(&request)?;
        let asked = request.into_inner();
        // It is an entry, and whoever may not read it does not learn who is there.
        let read = freshness(asked.read.as_ref());
        match self.registry.get(&identities, &asked.lock, read).await {
            Ok(_) | Err(Failure::NoEntry(_)) => {}
            Err(failure) => return Err(status::of(failure)),
        }
        let view = self.sessions.handle().read();
        let places = self.locks.places(&view, &asked.lock);
        let more = places.len().saturating_sub(PLACES_MAX) as u32;
        let places = places.into_iter().take(PLACES_MAX);
        Ok(Response::new(DescribeResponse {
            zxid: view.zxid().0,
            places: places
                .map(|(place, owner)| LockPlace {
                    session_id: place.session.0,
                    owner,
                    mode: match place.kind {
                        Kind::Mutex => LockMode::Exclusive,
                        Kind::Read => LockMode::Read,
                        Kind::Write => LockMode::Write,
                    }
                    .into(),
                    holds: place.holds,
                    token: place.token.0,
                    since_ms: place.since_ms,
                })
                .collect(),
            more,
        }))
    }
}
