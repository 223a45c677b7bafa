//! Distributed locks, in the layout of Apache Curator's recipes.

mod places;

use super::failure::Failure;
use super::writing::Fence;
use crate::member::Tree;
use crate::model::Operation;

/// What has to hold where a write with this fence takes effect.
pub(super) fn demand(tree: &Tree, fence: &Fence) -> Result<Operation, Failure> {
    let place = places::of(tree, &fence.lock)
        .into_iter()
        .find(|place| place.token == fence.token && place.holds);
    let place = place.ok_or_else(|| Failure::StaleFencingToken {
        lock: fence.lock.clone(),
        token: fence.token,
    })?;
    // Whoever holds a lock holds it for as long as this entry is there.
    Ok(Operation::CheckCreated {
        path: place.path,
        czxid: fence.token,
    })
}
