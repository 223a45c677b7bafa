//! `multi`: several operations as one.
//!
//! At all times: later operations see what earlier ones did, all share one zxid, and either all take
//! effect or none does. After a failure the tree is as before in all that anybody can see: digest,
//! counters of creations, ephemerals, access lists, slots. Only the list of dirty slots may name more.
//!
//! Rules from ZooKeeper 3.9 `PrepRequestProcessor` (multi, `rollbackPendingChanges`).

use super::{Tree, WriteContext};
use crate::model::{Change, MultiFailure, Operation, Outcome};

impl Tree {
    /// Applies all operations, or none. One outcome each, or the first refusal and whose it was.
    pub fn apply_multi(
        &mut self,
        c: &WriteContext,
        operations: &[Operation],
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Outcome>, MultiFailure> {
        let (digest, earlier_changes) = (self.digest, changes.len());
        self.begin();
        let mut outcomes = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            match self.apply(c, operation, changes) {
                Ok(outcome) => outcomes.push(outcome),
                Err(refusal) => {
                    self.rollback();
                    changes.truncate(earlier_changes);
                    assert_eq!(self.digest, digest, "a refused multi leaves no trace");
                    return Err(MultiFailure { index, refusal });
                }
            }
        }
        self.commit();
        Ok(outcomes)
    }
}
