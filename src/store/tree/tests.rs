//! What holds across operations. Each operation's own rules are tested beside it.

use super::*;
use crate::model::CreateMode;

fn context(zxid: i64) -> WriteContext<'static> {
    WriteContext {
        zxid: Zxid(zxid),
        time_ms: 1_000 + zxid,
        session: SessionId(7),
        identities: &[],
        data_bytes_max: 1_000,
    }
}

#[test]
fn a_new_tree_shows_what_a_new_zookeeper_shows() {
    let tree = Tree::new();
    assert_eq!(tree.znode_count(), 4);
    assert_eq!(tree.data_bytes(), 44);
    let root = tree.exists("/").unwrap();
    assert_eq!((root.cversion, root.num_children, root.version), (-1, 1, 0));
    assert_eq!(tree.exists("").unwrap(), root);
    let system = tree.exists("/zookeeper").unwrap();
    assert_eq!((system.cversion, system.num_children), (-2, 2));
    let config = tree.exists("/zookeeper/config").unwrap();
    assert_eq!((config.version, config.aversion), (-1, -1));
    let (acl, _) = tree.acl("/zookeeper/config", &[]).unwrap();
    assert_eq!(acl[0].perms, Permissions::READ);
}

#[test]
fn what_is_created_can_be_read() {
    let mut tree = Tree::new();
    let mut changes = Vec::new();
    let operation = Operation::Create {
        path: "/a".to_owned(),
        data: Some("x".into()),
        acl: Acl::open(),
        mode: CreateMode::EphemeralSequential,
    };
    let outcome = tree.apply(&context(5), &operation, &mut changes).unwrap();
    let stat = tree.exists("/a0000000000").unwrap();
    assert_eq!(
        outcome,
        Outcome::Created {
            path: "/a0000000000".to_owned(),
            stat
        }
    );
    assert_eq!(stat.ephemeral_owner, SessionId(7));
    assert_eq!(
        tree.remove_ephemerals(SessionId(7), Zxid(6), 0, &mut changes),
        1
    );
    assert_eq!(changes.len(), 2);
    assert_eq!(tree.exists("/").unwrap().pzxid, Zxid(6));
}
