//! Who calls: by address, and by what the call's `authorization` says.
//!
//! | `authorization` | identity |
//! |---|---|
//! | `Basic base64(user:password)` | the one that a ZooKeeper client gets for `digest` and the same text |
//!
//! Rules from: RFC 7617; `server::zookeeper::auth` has what the identities are.

use super::super::incoming::Peer;
use super::status;
use crate::model::Id;
use crate::server::zookeeper::{AuthOptions, Origin, authenticate};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use tonic::{Request, Status};

const BASIC: &str = "basic";

/// Fails for a proof that is none, and where a proof is required and not given.
pub fn of<T>(request: &Request<T>, options: &AuthOptions) -> Result<Arc<[Id]>, Status> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| status::unauthenticated("the caller's address is not known"))?;
    let origin = Origin {
        peer: peer.0,
        subject: None,
    };
    let mut identities = origin.identities(options);
    if let Some(authorization) = request.metadata().get("authorization") {
        let proven = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BASIC))
            .and_then(|(_, proof)| STANDARD.decode(proof.trim()).ok())
            .filter(|proof| proof.contains(&b':'))
            .and_then(|proof| authenticate("digest", &proof, &origin, options));
        identities.extend(proven.ok_or_else(|| {
            status::unauthenticated("`authorization` is to be `Basic` and base64 of user:password")
        })?);
    }
    match options.admit(&identities) {
        true => Ok(identities.into()),
        false => Err(status::unauthenticated(
            "an identity of one of the required schemes is to be proven with `authorization`",
        )),
    }
}
