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

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use crate::model::{ChangeKind, CreateMode, MultiFailure, Operation, Outcome, Refusal};

    #[test]
    fn later_operations_see_earlier_ones_and_share_their_zxid() {
        let mut f = Fixture::new();
        let outcomes = f
            .multi(&[
                create("/a"),
                create_as("/a/n-", CreateMode::PersistentSequential),
                create_as("/a/n-", CreateMode::EphemeralSequential),
                set_data("/a", None, 0),
                check("/a", 1),
                delete("/a/n-0000000000", 0),
            ])
            .unwrap();
        assert_eq!(outcomes.len(), 6);
        assert_eq!(outcomes[4..], [Outcome::Checked, Outcome::Deleted]);
        assert_eq!(
            f.changed(),
            [
                (ChangeKind::Created, "/a"),
                (ChangeKind::Created, "/a/n-0000000000"),
                (ChangeKind::Created, "/a/n-0000000001"),
                (ChangeKind::DataChanged, "/a"),
                (ChangeKind::Deleted, "/a/n-0000000000"),
            ]
        );
        let stat = f.stat("/a");
        assert_eq!(
            (stat.czxid, stat.pzxid, stat.mzxid),
            (f.zxid, f.zxid, f.zxid)
        );
        assert_eq!((stat.cversion, stat.num_children), (3, 1));
    }

    #[test]
    fn brokers_find_their_epoch_in_the_stat_of_the_second_operation() {
        let mut f = Fixture::with(&["/ids"]);
        let nothing = Operation::Create {
            path: "/ids/0".to_owned(),
            data: None,
            acl: crate::model::Acl::open(),
            mode: CreateMode::Ephemeral,
        };
        let outcomes = f
            .multi(&[nothing, set_data("/ids/0", Some("info"), 0)])
            .unwrap();
        let Outcome::DataSet { stat } = outcomes[1] else {
            panic!("{outcomes:?}");
        };
        assert_eq!((stat.czxid, stat.mzxid, stat.version), (f.zxid, f.zxid, 1));
    }

    #[test]
    fn an_empty_multi_succeeds() {
        assert_eq!(Fixture::new().multi(&[]), Ok(vec![]));
    }

    #[test]
    fn a_failed_multi_leaves_no_trace_and_names_the_first_refusal() {
        let mut f = Fixture::with(&["/a", "/a/b", "/gone"]);
        f.apply(create_as("/e", CreateMode::Ephemeral)).unwrap();
        let before = (f.records(), f.tree.digest(), f.tree.data_bytes());
        let refused = f.multi(&[
            create("/new"),
            create_as("/new/n-", CreateMode::EphemeralSequential),
            delete("/e", -1),
            delete("/gone", -1),
            create_as("/gone", CreateMode::Ephemeral),
            set_acl("/a", anyone(27), -1),
            set_data("/a", Some("other"), 0),
            delete("/a/b", 0),
            delete("/a", 1),
            create_as("/a", CreateMode::Container),
            Operation::Refuse { code: -8 },
            delete("/no", 0),
        ]);
        let failure = MultiFailure {
            index: 10,
            refusal: Refusal::BadArguments,
        };
        assert_eq!(refused, Err(failure));
        assert_eq!(f.changes, []);
        assert_eq!(before, (f.records(), f.tree.digest(), f.tree.data_bytes()));
        assert_eq!(f.tree.ephemerals_of(f.session), ["/e"]);
        assert_eq!(f.tree.ephemeral_count(), 1);
        assert_eq!(f.tree.emptied_containers(), [] as [String; 0]);
        assert_eq!(f.tree.descendants("/", &[]), Ok(7));
        f.apply(create_as("/n-", CreateMode::PersistentSequential))
            .unwrap();
        assert_eq!(f.changed(), [(ChangeKind::Created, "/n-0000000003")]);
    }

    #[test]
    fn a_failed_multi_keeps_the_changes_of_those_before_it() {
        let mut f = Fixture::new();
        let c = super::super::WriteContext {
            zxid: crate::model::Zxid(1),
            time_ms: 1,
            session: f.session,
            identities: &[],
            rules: crate::model::Rules::NONE,
            data_bytes_max: 1_000,
        };
        let mut changes = Vec::new();
        f.tree.apply(&c, &create("/a"), &mut changes).unwrap();
        let refused = f
            .tree
            .apply_multi(&c, &[create("/b"), create("/a")], &mut changes);
        assert!(refused.is_err());
        assert_eq!(changes.len(), 1);
    }
}
