//! Failures as gRPC tells them.

use crate::api::ErrorReason;
use crate::compat::Failure;
use axum::http::HeaderMap;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "vivarium";

/// The status of a failure, with its reason among the details.
pub fn of(failure: Failure) -> Status {
    let (code, reason) = kind(&failure);
    let mut facts = HashMap::new();
    match &failure {
        Failure::VersionMismatch { path, found, .. } => {
            facts.insert("path".to_owned(), path.clone());
            facts.insert("version".to_owned(), found.to_string());
        }
        Failure::AlreadyRegistered { path, session } => {
            facts.insert("path".to_owned(), path.clone());
            facts.insert("session".to_owned(), session.clone());
        }
        Failure::LimitReached { limit, .. } => {
            facts.insert("limit".to_owned(), limit.to_string());
        }
        Failure::FromTheFuture { reached, .. } => {
            facts.insert("zxid".to_owned(), reached.0.to_string());
        }
        Failure::Compacted { first, .. } => {
            facts.insert("first".to_owned(), first.0.to_string());
        }
        Failure::StaleEpoch { current, .. } => {
            facts.insert("epoch".to_owned(), current.0.to_string());
        }
        _ => {}
    }
    with_reason(code, reason, failure.to_string(), facts)
}

pub fn missing(field: &'static str) -> Status {
    of(Failure::InvalidArgument(format!("`{field}` is missing")))
}

/// For who shows a proof that proves nothing, or none where one is needed.
pub fn unauthenticated(message: &str) -> Status {
    with_reason(
        Code::Unauthenticated,
        ErrorReason::BadCredentials,
        message.to_owned(),
        HashMap::new(),
    )
}

/// What gRPC by itself says of a message that it does not take, told as everything else is: it is larger than its
/// method's may be, or cannot be decoded.
pub fn explained(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    if status.get_error_details().error_info().is_some() {
        return None;
    }
    let (code, reason) = match status.code() {
        Code::OutOfRange => (Code::ResourceExhausted, ErrorReason::LimitReached),
        Code::Internal => (Code::InvalidArgument, ErrorReason::InvalidArgument),
        _ => return None,
    };
    let message = status.message().to_owned();
    Some(with_reason(code, reason, message, HashMap::new()))
}

fn with_reason(
    code: Code,
    reason: ErrorReason,
    message: String,
    facts: HashMap<String, String>,
) -> Status {
    let name = reason.as_str_name();
    let name = name.strip_prefix("ERROR_REASON_").unwrap_or(name);
    Status::with_error_details(
        code,
        message,
        ErrorDetails::with_error_info(name, DOMAIN, facts),
    )
}

fn kind(failure: &Failure) -> (Code, ErrorReason) {
    match failure {
        Failure::InvalidPath { .. } => (Code::InvalidArgument, ErrorReason::InvalidPath),
        Failure::InvalidArgument(_) => (Code::InvalidArgument, ErrorReason::InvalidArgument),
        Failure::ValueTooLarge { .. } => (Code::InvalidArgument, ErrorReason::ValueTooLarge),
        Failure::InvalidHeartbeat { .. } => (Code::InvalidArgument, ErrorReason::InvalidHeartbeat),
        Failure::AccessDenied => (Code::PermissionDenied, ErrorReason::AccessDenied),
        Failure::NoEntry(_) => (Code::NotFound, ErrorReason::NoEntry),
        Failure::SessionExpired => (Code::FailedPrecondition, ErrorReason::SessionExpired),
        Failure::SessionMoved => (Code::FailedPrecondition, ErrorReason::SessionMoved),
        Failure::NotAttachedHere => (Code::FailedPrecondition, ErrorReason::NotAttachedHere),
        Failure::VersionMismatch { .. } => (Code::FailedPrecondition, ErrorReason::VersionMismatch),
        Failure::KindMismatch(_) => (Code::FailedPrecondition, ErrorReason::KindMismatch),
        Failure::HasChildren(_) => (Code::FailedPrecondition, ErrorReason::HasChildren),
        Failure::ParentIsSessionBound(_) => {
            (Code::FailedPrecondition, ErrorReason::ParentIsSessionBound)
        }
        Failure::StaleFencingToken { .. } => {
            (Code::FailedPrecondition, ErrorReason::StaleFencingToken)
        }
        Failure::NotHolder { .. } => (Code::FailedPrecondition, ErrorReason::NotHolder),
        Failure::NotClaimedByYou { .. } => (Code::FailedPrecondition, ErrorReason::NotClaimedByYou),
        Failure::AlreadyRegistered { .. } => (Code::AlreadyExists, ErrorReason::AlreadyRegistered),
        Failure::FromTheFuture { .. } => (Code::OutOfRange, ErrorReason::FromTheFuture),
        Failure::Compacted { .. } => (Code::OutOfRange, ErrorReason::Compacted),
        Failure::StaleEpoch { .. } => (Code::FailedPrecondition, ErrorReason::StaleEpoch),
        Failure::EmptyRing(_) => (Code::FailedPrecondition, ErrorReason::EmptyRing),
        Failure::LimitReached { .. } | Failure::NoRoom => {
            (Code::ResourceExhausted, ErrorReason::LimitReached)
        }
        Failure::QuotaExceeded => (Code::ResourceExhausted, ErrorReason::QuotaExceeded),
        Failure::NoLeader => (Code::Unavailable, ErrorReason::NoLeader),
        Failure::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown),
        Failure::FormatNotAgreed => (Code::Unavailable, ErrorReason::FormatNotAgreed),
        Failure::Contended(_) => (Code::Aborted, ErrorReason::Contended),
        Failure::Internal(_) => (Code::Internal, ErrorReason::Internal),
    }
}
