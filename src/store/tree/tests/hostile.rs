//! What somebody might send who means harm, or records that a disk made up.

use super::super::fixture::*;
use crate::model::*;
use crate::store::tree::{Tree, ZNODES_MAX};
use crate::store::{StorageFault, ZnodeRecord};

#[test]
fn a_path_of_a_million_bytes_is_judged_and_not_feared() {
    let mut f = Fixture::new();
    let deep = "/a".repeat(500_000);
    assert_eq!(f.apply(create(&deep)), Err(Refusal::NoNode));
    assert_eq!(f.tree.exists(&deep), Err(Refusal::NoNode));
    let long = format!("/{}", "x".repeat(1_000_000));
    f.apply(create(&long)).unwrap();
    assert!(f.tree.exists(&long).is_ok());
    assert_eq!(
        f.apply(create(&format!("{long}/"))),
        Err(Refusal::BadArguments)
    );
    f.apply(delete(&long, 0)).unwrap();
}

#[test]
fn a_deep_tree_needs_no_deep_stack() {
    let mut f = Fixture::new();
    let mut path = String::new();
    for _ in 0..5_000 {
        path.push_str("/d");
        f.apply(create(&path)).unwrap();
    }
    path.push_str("/e");
    f.apply(create_as(&path, CreateMode::Ephemeral)).unwrap();
    assert_eq!(f.tree.ephemerals_of(f.session), [path.clone()]);
    assert_eq!(f.tree.descendants("/", &[]), Ok(5_004));

    let mut records = f.records();
    records.reverse();
    let restored = Tree::from_records(records.into_iter().map(Ok)).unwrap();
    assert_eq!(restored.digest(), f.tree.digest());
    assert_eq!(restored.exists(&path), f.tree.exists(&path));
}

#[test]
fn a_hundred_thousand_children_come_and_go_and_the_books_are_right() {
    let mut f = Fixture::with(&["/p"]);
    let digest = f.tree.digest();
    for i in 0..100_000 {
        f.apply(create_as(
            "/p/",
            if i % 2 == 0 {
                CreateMode::PersistentSequential
            } else {
                CreateMode::EphemeralSequential
            },
        ))
        .unwrap();
    }
    assert_eq!(f.stat("/p").num_children, 100_000);
    let mut changes = Vec::new();
    f.zxid = f.zxid.next();
    let removed = f.tree.remove_ephemerals(f.session, f.zxid, 1, &mut changes);
    assert_eq!(removed, 50_000);
    for i in (0..100_000).step_by(2) {
        f.apply(delete(&format!("/p/{i:010}"), 0)).unwrap();
    }
    let stat = f.stat("/p");
    assert_eq!((stat.num_children, stat.cversion), (0, 200_000));
    assert_eq!(f.tree.znode_count(), 5);
    assert_ne!(f.tree.digest(), digest, "the parent remembers");
    f.apply(delete("/p", 0)).unwrap();
    assert_eq!(f.records().len(), 4);
}

#[test]
fn the_counter_of_creations_wraps_as_in_java() {
    let mut records = Fixture::with(&["/q"]).records();
    records[4].creations = i32::MAX;
    let mut f = Fixture::new();
    f.tree = Tree::from_records(records.into_iter().map(Ok)).unwrap();
    let before = f.stat("/q").cversion;
    assert_eq!(before, -2);
    for name in ["n-2147483647", "n--2147483648", "n--2147483647"] {
        f.apply(create_as("/q/n-", CreateMode::PersistentSequential))
            .unwrap();
        assert_eq!(*f.changes[0].path, format!("/q/{name}"));
    }
    assert_eq!(f.stat("/q").cversion, 1);
}

/// The records of `/a`, `/a/b` and `/e`, an ephemeral; slots 4, 5, 6.
fn records() -> Vec<ZnodeRecord> {
    let mut f = Fixture::with(&["/a", "/a/b"]);
    f.apply(create_as("/e", CreateMode::Ephemeral)).unwrap();
    f.records()
}

fn fault_of(change: impl FnOnce(&mut Vec<ZnodeRecord>)) -> String {
    let mut records = records();
    change(&mut records);
    match Tree::from_records(records.into_iter().map(Ok)) {
        Ok(_) => panic!("believed"),
        Err(fault) => fault.to_string(),
    }
}

type Damage = fn(&mut Vec<ZnodeRecord>);

#[test]
fn records_that_are_no_tree_are_refused_with_the_slot_and_the_reason() {
    let cases: [(&str, Damage); 15] = [
        ("at 0: the root is missing", |r| r.clear()),
        ("at 1: its parent 0 is missing", |r| drop(r.remove(0))),
        ("at 5: its parent 4 is missing", |r| drop(r.remove(4))),
        ("at 0: /zookeeper/config is missing", |r| drop(r.remove(3))),
        ("at 4: its slot is taken", |r| r[5].slot = 4),
        ("at 4294967295: its slot is out of range", |r| {
            r[5].slot = u32::MAX
        }),
        ("at 134217728: its slot is out of range", |r| {
            r[5].slot = ZNODES_MAX as u32
        }),
        ("at 5: the root alone is its own parent", |r| {
            r[5].parent = 5
        }),
        ("at 0: the root alone is its own parent", |r| {
            r[0].parent = 4
        }),
        ("at 5: its name is no path segment", |r| {
            r[5].name = "".into()
        }),
        ("at 5: its name is no path segment", |r| {
            r[5].name = "b/c".into()
        }),
        ("at 0: its name is no path segment", |r| {
            r[0].name = "root".into()
        }),
        ("at 6: slot 4 has its path", |r| r[6].name = "a".into()),
        ("at 5: its parent 6 is ephemeral", |r| r[5].parent = 6),
        ("at 0: 2 znodes do not hang on the root", |r| {
            r[4].parent = 5
        }),
    ];
    for (expected, change) in cases {
        let told = fault_of(change);
        assert!(
            told.contains(expected),
            "{told:?} does not say {expected:?}"
        );
    }
}

#[test]
fn a_fault_among_the_records_is_passed_on() {
    let damaged = records()
        .into_iter()
        .map(Ok)
        .chain([Err(StorageFault::Refused("no more".to_owned()))]);
    let fault = Tree::from_records(damaged).err().unwrap();
    assert!(matches!(fault, StorageFault::Refused(_)));
}

#[test]
fn records_with_any_stat_at_all_make_a_tree() {
    let mut odd = records();
    odd[5].czxid = Zxid(i64::MIN);
    odd[5].mzxid = Zxid(i64::MAX);
    odd[5].ctime_ms = i64::MIN;
    odd[5].mtime_ms = i64::MAX;
    odd[5].version = i32::MIN;
    odd[5].creations = i32::MIN;
    odd[5].acl = vec![];
    odd[5].data = None;
    odd[6].owner = SessionId(-1);
    let tree = Tree::from_records(odd.clone().into_iter().map(Ok)).unwrap();
    assert!(tree.freeze().records().eq(odd));
    assert_eq!(tree.ephemerals_of(SessionId(-1)), ["/e"]);
    assert!(
        tree.data("/a/b", &[]).is_ok(),
        "a list without lines forbids nothing"
    );
}

#[test]
fn a_record_in_the_last_slot_costs_no_memory_for_those_before_it() {
    let mut far = records();
    far[6].slot = ZNODES_MAX as u32 - 1;
    let tree = Tree::from_records(far.into_iter().map(Ok)).unwrap();
    assert_eq!(tree.freeze().records().count(), 7);
}

/// The list of every znode is long, and there is one of it: before a restart, after it, and in the
/// changes that are handed out.
#[test]
fn a_hundred_thousand_znodes_with_one_access_list_keep_it_once() {
    let list: Vec<Acl> = (0..20)
        .map(|n| Acl {
            perms: Permissions::ALL,
            id: Id::new("digest", format!("user-{n}:{}", "hash".repeat(10))),
        })
        .collect();
    let mut f = Fixture::new();
    f.identities.push(list[0].id.clone());
    let mut lists = std::collections::HashSet::new();
    for n in 0..100_000 {
        f.apply(create_with_acl(&format!("/{n}"), list.clone()))
            .unwrap();
        let change = &f.changes[0];
        lists.insert(change.acl.as_ref().unwrap().as_ptr());
        assert_eq!(change.parent_acl, None, "the root's list is the open one");
    }
    assert_eq!(lists.len(), 1);
    let kept = |tree: &Tree| (tree.acls.len(), tree.acls.holders(&list));
    // Beside the open one and that of the configuration.
    assert_eq!(kept(&f.tree), (3, 100_000));
    let records = f.records().into_iter().map(Ok);
    let restored = Tree::from_records(records).unwrap();
    assert_eq!(kept(&restored), (3, 100_000));
    assert_eq!(restored.digest(), f.tree.digest());
}
