//! Who calls, whom it means, and of which cluster: the first thing checked of every call.
//!
//! A member whose address was given to another one, and a member of another cluster that got hold of
//! an address, must never be taken for who was meant: either could vote twice.

use crate::model::{ClusterId, LogPosition, MemberId};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

const CLUSTER: &str = "vivarium-cluster";
const FROM: &str = "vivarium-from";
const TO: &str = "vivarium-to";
const ACKNOWLEDGED: &str = "vivarium-acknowledged";

/// The code of a refused introduction; no other refusal of ours has it.
const REFUSED: Code = Code::FailedPrecondition;

/// What one member says to another before anything else. Made once for each peer.
#[derive(Clone, Debug)]
pub struct Introduction {
    cluster: MetadataValue<Ascii>,
    from: MetadataValue<Ascii>,
    to: MetadataValue<Ascii>,
}

impl Introduction {
    pub fn new(cluster: ClusterId, from: MemberId, to: MemberId) -> Introduction {
        let text = |text: String| text.try_into().expect("digits are ASCII");
        Introduction {
            cluster: text(cluster.to_string()),
            from: text(from.to_string()),
            to: text(to.to_string()),
        }
    }

    pub fn introduce<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster.clone());
        metadata.insert(FROM, self.from.clone());
        metadata.insert(TO, self.to.clone());
        request
    }
}

/// Checks that the caller means this member of this cluster, and says who it is.
pub fn check(
    metadata: &MetadataMap,
    cluster: ClusterId,
    member: MemberId,
) -> Result<MemberId, Status> {
    let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
    let number = |key| text(key).and_then(|text| text.parse().ok()).map(MemberId);
    let refuse = |why: String| Err(Status::new(REFUSED, why));
    let Some(theirs) = text(CLUSTER) else {
        return refuse(format!(
            "{CLUSTER} is missing: the caller is no vivarium member"
        ));
    };
    if theirs != cluster.to_string() {
        return refuse(format!(
            "this is member {member} of cluster {cluster}, the caller is of cluster {theirs}: \
             check the addresses of both"
        ));
    }
    match (number(FROM), number(TO)) {
        (Some(from), Some(to)) if to == member && from != member => Ok(from),
        (Some(from), Some(to)) if to == member => refuse(format!(
            "the caller says that it is member {from}, and so is this one: two members have one number"
        )),
        (Some(from), Some(to)) => refuse(format!(
            "this is member {member}, and member {from} means member {to}: check the address of {to}"
        )),
        _ => refuse(format!("{FROM} or {TO} is missing or is no number")),
    }
}

/// Adds what the called member has acknowledged to the caller, which leads that term.
pub fn remind<T>(request: &mut Request<T>, acknowledged: LogPosition) {
    let text = acknowledged.to_string();
    let text = text.try_into().expect("digits are ASCII");
    request.metadata_mut().insert(ACKNOWLEDGED, text);
}

/// What the caller says that this member has acknowledged to it.
pub fn acknowledged(metadata: &MetadataMap) -> Result<Option<LogPosition>, Status> {
    let Some(text) = metadata.get(ACKNOWLEDGED) else {
        return Ok(None);
    };
    let parts = text.to_str().ok().and_then(|text| text.split_once('-'));
    let position = parts.and_then(|(term, index)| {
        let (term, index) = (term.parse().ok()?, index.parse().ok()?);
        Some(LogPosition { term, index })
    });
    match position {
        Some(position) => Ok(Some(position)),
        None => Err(Status::invalid_argument(format!(
            "{ACKNOWLEDGED} is no position"
        ))),
    }
}

/// Whether a call failed because somebody else answered.
pub fn was_refused(status: &Status) -> bool {
    status.code() == REFUSED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduce(cluster: u64, from: u64, to: u64) -> Request<()> {
        Introduction::new(ClusterId(cluster), MemberId(from), MemberId(to)).introduce(())
    }

    fn checked(request: &Request<()>) -> Result<MemberId, Status> {
        check(request.metadata(), ClusterId(0xabc), MemberId(2))
    }

    #[test]
    fn a_member_of_this_cluster_that_means_this_member_is_let_in() {
        assert_eq!(checked(&introduce(0xabc, 3, 2)).unwrap(), MemberId(3));
    }

    #[test]
    fn another_cluster_another_recipient_and_a_double_are_refused() {
        for (request, what) in [
            (introduce(0xabd, 3, 2), "cluster 0000000000000abd"),
            (introduce(0xabc, 3, 1), "means member 1"),
            (introduce(0xabc, 2, 2), "two members have one number"),
            (Request::new(()), "is missing"),
        ] {
            let refusal = checked(&request).unwrap_err();
            assert!(was_refused(&refusal));
            assert!(refusal.message().contains(what), "{}", refusal.message());
        }
    }

    #[test]
    fn a_reminder_comes_back_as_it_was_and_one_that_is_none_is_refused() {
        let mut request = introduce(0xabc, 3, 2);
        assert_eq!(acknowledged(request.metadata()).unwrap(), None);
        let position = LogPosition { term: 7, index: 99 };
        remind(&mut request, position);
        assert_eq!(acknowledged(request.metadata()).unwrap(), Some(position));
        for wrong in ["", "7", "7-", "-9", "7-x", "99999999999999999999-1"] {
            let wrong = wrong.parse().unwrap();
            request.metadata_mut().insert(ACKNOWLEDGED, wrong);
            assert!(acknowledged(request.metadata()).is_err());
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let mut request = introduce(0xabc, 3, 2);
        request
            .metadata_mut()
            .insert(FROM, "three".parse().unwrap());
        assert!(was_refused(&checked(&request).unwrap_err()));
    }
}
