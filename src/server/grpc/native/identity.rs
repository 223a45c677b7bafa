//! Who calls: by address, by the certificate of the connection, and by what the call's `authorization` says.
//!
//! | `authorization` | identity |
//! |---|---|
//! | `Basic base64(user:password)` | the one that a ZooKeeper client gets for `digest` and the same text |
//! | `Bearer TOKEN` | the one that a ZooKeeper client gets for SASL, of the user whose token it is |
//!
//! Rules from: RFC 7617, RFC 6750; `server::zookeeper::auth` has what the identities are.

use super::super::incoming::Peer;
use super::status;
use super::tokens::Tokens;
use crate::metrics::AUTH_FAILURES;
use crate::model::Id;
use crate::server::zookeeper::{AuthOptions, Origin, authenticate, may_travel};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use tonic::{Request, Status};

/// Fails for a proof that is none, and where a proof is required and not given.
pub fn of<T>(
    request: &Request<T>,
    options: &AuthOptions,
    tokens: Option<&Tokens>,
) -> Result<Arc<[Id]>, Status> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| status::unauthenticated("the caller's address is not known"))?;
    let origin = &peer.0;
    let mut identities = origin.identities(options);
    if let Some(authorization) = request.metadata().get("authorization") {
        let proven = proven(authorization.as_bytes(), origin, options, tokens);
        identities.extend(proven.map_err(|what| {
            metrics::counter!(AUTH_FAILURES).increment(1);
            status::unauthenticated(what)
        })?);
    }
    if !may_travel(&identities) {
        return Err(status::unauthenticated(
            "the proven identities are too long",
        ));
    }
    match options.admit(&identities) {
        true => Ok(identities.into()),
        false => Err(status::unauthenticated(
            "an identity of one of the required schemes is to be proven with `authorization`",
        )),
    }
}

fn proven(
    authorization: &[u8],
    origin: &Origin,
    options: &AuthOptions,
    tokens: Option<&Tokens>,
) -> Result<Vec<Id>, &'static str> {
    let mut parts = authorization.splitn(2, |byte| *byte == b' ');
    let scheme = parts.next().unwrap_or_default();
    let proof = parts.next().unwrap_or_default().trim_ascii();
    if scheme.eq_ignore_ascii_case(b"basic") {
        let proof = STANDARD.decode(proof).ok();
        let proof = proof.filter(|proof| proof.contains(&b':'));
        proof
            .and_then(|proof| authenticate("digest", &proof, origin, options))
            .ok_or("`authorization` is to be `Basic` and base64 of user:password")
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        tokens
            .and_then(|tokens| tokens.identities(proof))
            .ok_or("the bearer token is not known here")
    } else {
        Err("`authorization` is to be `Basic` or `Bearer`")
    }
}
