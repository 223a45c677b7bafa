//! What holds across operations. Each operation's own rules are tested beside it.

mod hostile;
mod model;
mod promises;

use super::fixture::*;
use super::*;
use crate::model::CreateMode;

#[test]
fn a_new_tree_shows_what_a_new_zookeeper_shows() {
    let mut tree = Tree::new();
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
    assert_eq!(acl, anyone(1));
    assert_eq!(tree.take_dirty(), [0, 1, 2, 3]);
}

#[test]
fn the_digest_is_the_same_in_every_build() {
    assert_eq!(Tree::new().digest(), 0x8e1d_8fb3_7057_4cd1);
    let mut f = Fixture::new();
    f.multi(&[
        create_as("/a-", CreateMode::EphemeralSequential),
        create_as("/c", CreateMode::Container),
        create_with_acl("/null", anyone(9)),
        set_data("/c", Some("x"), 0),
    ])
    .unwrap();
    assert_eq!(f.tree.digest(), 0xe7b9_5ac1_9574_05cb);
}

#[test]
fn a_refusal_by_code_comes_at_its_place() {
    let mut f = Fixture::new();
    let refuse = |code| Operation::Refuse { code };
    assert_eq!(f.apply(refuse(-8)), Err(Refusal::BadArguments));
    assert_eq!(f.apply(refuse(-6)), Err(Refusal::Unimplemented));
    assert_eq!(f.apply(refuse(0)), Err(Refusal::SystemError));
}

#[test]
fn touched_slots_are_listed_once_and_refused_operations_touch_none() {
    let mut f = Fixture::with(&["/a"]);
    f.tree.take_dirty();
    f.apply(create("/a/b")).unwrap();
    f.apply(set_data("/a/b", None, -1)).unwrap();
    f.apply(set_acl("/a/b", anyone(31), -1)).unwrap();
    assert_eq!(f.tree.take_dirty(), [5, 4]);
    f.apply(create("/a/b")).unwrap_err();
    f.apply(check("/a/b", 1)).unwrap();
    assert_eq!(f.tree.take_dirty(), [] as [u32; 0]);
    f.apply(delete("/a/b", -1)).unwrap();
    f.apply(create("/x")).unwrap();
    let mut dirty = f.tree.take_dirty();
    dirty.sort_unstable();
    assert_eq!(dirty, [0, 4, 5], "slot 5 was freed and used again");
    assert_eq!(&*f.tree.freeze().record(5).unwrap().name, "x");
}

#[test]
fn a_directory_that_is_gone_takes_no_more_children() {
    let mut f = Fixture::with(&["/a", "/a/b"]);
    f.apply(delete("/a/b", -1)).unwrap();
    f.apply(delete("/a", -1)).unwrap();
    // It has the slot of the directory of the last write, and then of one that never came to be.
    f.apply(create("/x")).unwrap();
    assert_eq!(f.apply(create("/a/c")), Err(Refusal::NoNode));
    let refused = f.multi(&[create("/d"), create("/d/e"), create("/no/e")]);
    assert_eq!(refused.unwrap_err().index, 2);
    f.apply(create("/y")).unwrap();
    assert_eq!(f.apply(create("/d/f")), Err(Refusal::NoNode));
    assert_eq!(f.apply(set_data("/d/e", None, -1)), Err(Refusal::NoNode));
    f.apply(create("/d")).unwrap();
    f.apply(create("/d/f")).unwrap();
    assert_eq!(f.tree.exists("/d/f").unwrap().data_length, 4);
    assert_eq!(f.tree.exists("/y").unwrap().num_children, 0);
}

#[test]
fn a_frozen_tree_can_be_read_elsewhere_while_writes_go_on() {
    let mut f = Fixture::with(&["/a", "/b"]);
    let frozen = f.tree.freeze();
    let reader = std::thread::spawn({
        let frozen = frozen.clone();
        move || frozen.records().count()
    });
    f.apply(delete("/a", -1)).unwrap();
    f.apply(set_acl("/b", anyone(31), -1)).unwrap();
    f.apply(set_data("/b", Some("new"), -1)).unwrap();
    assert_eq!(reader.join().unwrap(), 6);
    assert_eq!(frozen.znode_count(), 6);
    assert_eq!(&*frozen.record(4).unwrap().name, "a");
    assert_eq!(frozen.record(5).unwrap().data, Some("data".into()));
    assert_eq!(frozen.record(6), None);
    assert_eq!(frozen.record(u32::MAX), None);
    assert_ne!(frozen.digest(), f.tree.digest());
}
