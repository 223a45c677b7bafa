//! What the watch table promises.

use super::*;
use crate::model::SessionId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const ANNA: WatcherId = WatcherId(1);
const BERT: WatcherId = WatcherId(2);

type Told = Vec<(WatcherId, EventKind, String)>;

fn table() -> WatchTable {
    WatchTable::new(WatchLimits::default())
}

fn fire(table: &mut WatchTable, kind: ChangeKind, path: &str) -> Told {
    let mut told = Told::new();
    let change = Change {
        kind,
        path: Arc::from(path),
        zxid: Zxid(7),
        acl: None,
        parent_acl: None,
        data: None,
        version: 0,
        owner: SessionId::NONE,
    };
    table.fire(&change, &mut |event, watchers| {
        assert_eq!(event.zxid, Zxid(7));
        let one = |watcher: &WatcherId| (*watcher, event.kind, event.path.to_owned());
        told.extend(watchers.iter().map(one));
    });
    told
}

fn event(watcher: WatcherId, kind: EventKind, path: &str) -> (WatcherId, EventKind, String) {
    (watcher, kind, path.to_owned())
}

#[test]
fn a_data_watch_is_told_of_creation_data_and_deletion_once() {
    for (change, kind) in [
        (ChangeKind::Created, EventKind::Created),
        (ChangeKind::DataChanged, EventKind::DataChanged),
        (ChangeKind::Deleted, EventKind::Deleted),
    ] {
        let mut table = table();
        table.add(ANNA, WatchKind::Data, "/a").unwrap();
        assert_eq!(fire(&mut table, change, "/a"), [event(ANNA, kind, "/a")]);
        assert_eq!(fire(&mut table, change, "/a"), []);
        assert_eq!(
            (
                table.watch_count(),
                table.path_count(),
                table.watcher_count()
            ),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_child_watch_is_told_of_children_and_of_its_own_deletion() {
    for change in [ChangeKind::Created, ChangeKind::Deleted] {
        let mut table = table();
        table.add(ANNA, WatchKind::Child, "/a").unwrap();
        assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a"), []);
        assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a/b"), []);
        assert_eq!(fire(&mut table, change, "/a/b/c"), []);
        assert_eq!(
            fire(&mut table, change, "/a/b"),
            [event(ANNA, EventKind::ChildrenChanged, "/a")]
        );
        assert_eq!(fire(&mut table, change, "/a/c"), []);
    }
    let mut table = table();
    table.add(ANNA, WatchKind::Child, "/a").unwrap();
    assert_eq!(
        fire(&mut table, ChangeKind::Deleted, "/a"),
        [event(ANNA, EventKind::Deleted, "/a")]
    );
}

#[test]
fn a_changed_access_list_is_told_to_nobody() {
    let mut table = table();
    for kind in WatchKind::ALL {
        table.add(ANNA, kind, "/a").unwrap();
    }
    assert_eq!(fire(&mut table, ChangeKind::AclChanged, "/a"), []);
    assert_eq!(table.watch_count(), 4);
}

#[test]
fn a_deletion_is_told_once_to_a_connection_that_watches_data_and_children() {
    let mut table = table();
    table.add(ANNA, WatchKind::Data, "/a").unwrap();
    table.add(ANNA, WatchKind::Child, "/a").unwrap();
    table.add(BERT, WatchKind::Child, "/a").unwrap();
    assert_eq!(
        fire(&mut table, ChangeKind::Deleted, "/a"),
        [
            event(ANNA, EventKind::Deleted, "/a"),
            event(BERT, EventKind::Deleted, "/a"),
        ]
    );
    assert_eq!(table.watch_count(), 0);
}

#[test]
fn a_connection_is_told_of_the_path_before_its_parent() {
    let mut table = table();
    table.add(ANNA, WatchKind::Child, "/").unwrap();
    table.add(ANNA, WatchKind::Data, "/a").unwrap();
    assert_eq!(
        fire(&mut table, ChangeKind::Created, "/a"),
        [
            event(ANNA, EventKind::Created, "/a"),
            event(ANNA, EventKind::ChildrenChanged, "/"),
        ]
    );
}

#[test]
fn a_persistent_watch_is_told_of_everything_and_stays() {
    let mut table = table();
    table.add(ANNA, WatchKind::Persistent, "/a").unwrap();
    for _ in 0..2 {
        for (change, path, kind) in [
            (ChangeKind::Created, "/a", EventKind::Created),
            (ChangeKind::DataChanged, "/a", EventKind::DataChanged),
            (ChangeKind::Created, "/a/b", EventKind::ChildrenChanged),
            (ChangeKind::Deleted, "/a/b", EventKind::ChildrenChanged),
            (ChangeKind::Deleted, "/a", EventKind::Deleted),
        ] {
            assert_eq!(fire(&mut table, change, path), [event(ANNA, kind, "/a")]);
        }
    }
    assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a/b"), []);
}

#[test]
fn a_recursive_watch_is_told_of_every_znode_below_and_never_of_lists_of_children() {
    let mut table = table();
    table
        .add(ANNA, WatchKind::PersistentRecursive, "/a")
        .unwrap();
    for (change, kind) in [
        (ChangeKind::Created, EventKind::Created),
        (ChangeKind::DataChanged, EventKind::DataChanged),
        (ChangeKind::Deleted, EventKind::Deleted),
    ] {
        for path in ["/a", "/a/b", "/a/b/c"] {
            assert_eq!(fire(&mut table, change, path), [event(ANNA, kind, path)]);
        }
        for path in ["/", "/ab", "/b/a"] {
            assert_eq!(fire(&mut table, change, path), []);
        }
    }
    table
        .add(BERT, WatchKind::PersistentRecursive, "/")
        .unwrap();
    assert_eq!(
        fire(&mut table, ChangeKind::Created, "/ab"),
        [event(BERT, EventKind::Created, "/ab")]
    );
}

#[test]
fn all_kinds_on_one_path_coexist_and_tell_once() {
    let mut table = table();
    for kind in WatchKind::ALL {
        table.add(ANNA, kind, "/a").unwrap();
    }
    assert_eq!(
        fire(&mut table, ChangeKind::Deleted, "/a"),
        [event(ANNA, EventKind::Deleted, "/a")]
    );
    assert_eq!(table.watch_count(), 2);
    assert!(table.has(ANNA, "/a", WatcherType::Persistent));
    assert!(table.has(ANNA, "/a", WatcherType::PersistentRecursive));
    assert!(!table.has(ANNA, "/a", WatcherType::Data));
}

#[test]
fn setting_a_watch_twice_is_setting_it_once() {
    let mut table = table();
    table.add(ANNA, WatchKind::Data, "/a").unwrap();
    table.add(ANNA, WatchKind::Data, "/a").unwrap();
    assert_eq!(table.watch_count(), 1);
    assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a").len(), 1);
}

#[test]
fn each_type_removes_its_own_kind_and_any_removes_all() {
    for (wanted, gone) in [
        (WatcherType::Data, &[WatchKind::Data][..]),
        (WatcherType::Children, &[WatchKind::Child]),
        (WatcherType::Persistent, &[WatchKind::Persistent]),
        (
            WatcherType::PersistentRecursive,
            &[WatchKind::PersistentRecursive],
        ),
        (WatcherType::Any, &WatchKind::ALL),
    ] {
        let mut table = table();
        assert!(!table.has(ANNA, "/a", wanted));
        assert!(!table.remove(ANNA, "/a", wanted));
        for kind in WatchKind::ALL {
            table.add(ANNA, kind, "/a").unwrap();
        }
        table.add(BERT, WatchKind::Data, "/a").unwrap();
        assert!(table.has(ANNA, "/a", wanted));
        assert!(!table.has(ANNA, "/a/b", wanted), "only its very path");
        assert!(table.remove(ANNA, "/a", wanted));
        assert!(!table.has(ANNA, "/a", wanted));
        assert!(!table.remove(ANNA, "/a", wanted));
        assert_eq!(table.watch_count_of(ANNA), 4 - gone.len());
        assert_eq!(table.watch_count_of(BERT), 1);
    }
}

#[test]
fn a_connection_that_ended_is_told_nothing_and_costs_nothing() {
    let mut table = table();
    for kind in WatchKind::ALL {
        table.add(ANNA, kind, "/a").unwrap();
        table.add(ANNA, kind, "/b").unwrap();
    }
    table.add(BERT, WatchKind::Data, "/a").unwrap();
    assert!(table.forget(ANNA, 3), "five are left");
    assert!(!table.forget(ANNA, 5));
    assert!(!table.forget(ANNA, 1));
    assert_eq!(
        (
            table.watch_count(),
            table.path_count(),
            table.watcher_count()
        ),
        (1, 1, 1)
    );
    assert_eq!(
        fire(&mut table, ChangeKind::Deleted, "/a"),
        [event(BERT, EventKind::Deleted, "/a")]
    );
}

#[test]
fn a_connection_at_its_limit_is_refused_and_others_are_not() {
    let mut table = WatchTable::new(WatchLimits {
        watches_per_connection_max: 2,
        watches_total_max: 3,
    });
    table.add(ANNA, WatchKind::Data, "/a").unwrap();
    table.add(ANNA, WatchKind::Child, "/a").unwrap();
    assert_eq!(
        table.add(ANNA, WatchKind::Data, "/b"),
        Err(LimitReached::PerConnection { max: 2 })
    );
    assert_eq!(table.add(ANNA, WatchKind::Data, "/a"), Ok(()));
    table.add(BERT, WatchKind::Data, "/a").unwrap();
    assert_eq!(
        table.add(BERT, WatchKind::Data, "/b"),
        Err(LimitReached::Total { max: 3 })
    );
    assert_eq!((table.watch_count(), table.path_count()), (3, 1));
    fire(&mut table, ChangeKind::DataChanged, "/a");
    assert_eq!(table.add(BERT, WatchKind::Data, "/b"), Ok(()));
}

#[test]
fn a_deep_or_long_path_counts_more_and_is_counted_back() {
    let deep = "/a".repeat(NAMES_PER_WATCH * 3);
    let long = format!("/{}", "a".repeat(PATH_BYTES_PER_WATCH * 3));
    for path in [deep.as_str(), long.as_str()] {
        let limits = |max| WatchLimits {
            watches_per_connection_max: max,
            watches_total_max: max,
        };
        let mut table = WatchTable::new(limits(3));
        let refused = Err(LimitReached::PerConnection { max: 3 });
        assert_eq!(table.add(ANNA, WatchKind::Data, path), refused);
        let mut table = WatchTable::new(limits(4));
        for round in 0..3 {
            assert_eq!(table.add(ANNA, WatchKind::Data, path), Ok(()));
            assert_eq!(table.watch_count(), 1);
            assert!(table.add(ANNA, WatchKind::Data, "/").is_err());
            assert!(table.add(BERT, WatchKind::Data, "/").is_err());
            match round {
                0 => assert_eq!(fire(&mut table, ChangeKind::Created, path).len(), 1),
                1 => assert!(table.remove(ANNA, path, WatcherType::Any)),
                _ => assert!(!table.forget(ANNA, 1)),
            }
        }
        assert_eq!((table.weight, table.watcher_count()), (0, 0));
    }
}

/// The lookups of names that one change costs.
fn lookups(table: &mut WatchTable, kind: ChangeKind, path: &str) -> usize {
    let before = table.names.lookups.get();
    fire(table, kind, path);
    table.names.lookups.get() - before
}

#[test]
fn firing_costs_a_lookup_for_each_name_however_many_watch_elsewhere() {
    let mut costs = BTreeSet::new();
    for elsewhere in [1, 1_000, 100_000] {
        let mut table = table();
        for number in 0..elsewhere {
            let watcher = WatcherId(number % 100);
            let path = format!("/caches/{}/{number}", number % 1_000);
            table
                .add(watcher, WatchKind::PersistentRecursive, &path)
                .unwrap();
        }
        let unwatched = lookups(&mut table, ChangeKind::Created, "/other/a/b/c");
        let beside = lookups(&mut table, ChangeKind::Created, "/caches/x/a/b");
        table
            .add(ANNA, WatchKind::PersistentRecursive, "/watched")
            .unwrap();
        let above = lookups(&mut table, ChangeKind::Created, "/watched/a/b/c");
        table.add(ANNA, WatchKind::Data, "/watched/a/b/c").unwrap();
        let own = lookups(&mut table, ChangeKind::DataChanged, "/watched/a/b/c");
        costs.insert([unwatched, beside, above, own]);
    }
    // Where nobody watches further down, nothing more is looked up.
    assert_eq!(costs, BTreeSet::from([[1, 2, 2, 4]]));
}

#[test]
fn a_crowd_on_the_path_of_a_recursive_watch_does_not_make_other_changes_dear() {
    let mut table = table();
    table
        .add(ANNA, WatchKind::PersistentRecursive, "/")
        .unwrap();
    for number in 10..10_000 {
        table.add(WatcherId(number), WatchKind::Child, "/").unwrap();
    }
    assert_eq!(
        fire(&mut table, ChangeKind::DataChanged, "/a/b"),
        [event(ANNA, EventKind::DataChanged, "/a/b")]
    );
    assert_eq!(table.watch_count(), 9_991);
    assert_eq!(fire(&mut table, ChangeKind::Created, "/b").len(), 9_991);
    assert_eq!(table.watch_count(), 1);
}

#[test]
fn paths_that_no_znode_can_have_are_watched_apart() {
    let mut table = table();
    for path in ["", "a", "//", "/a/", "a/b"] {
        table
            .add(ANNA, WatchKind::PersistentRecursive, path)
            .unwrap();
        assert!(table.has(ANNA, path, WatcherType::Any));
    }
    assert_eq!(fire(&mut table, ChangeKind::Created, "/a"), []);
    assert_eq!(fire(&mut table, ChangeKind::Created, "/"), []);
    assert_eq!(table.path_count(), 5);
}

#[test]
fn the_listing_has_what_zookeeper_lists_and_says_how_much_that_is() {
    let mut table = table();
    table.add(BERT, WatchKind::Data, "/b").unwrap();
    table.add(BERT, WatchKind::Child, "/c").unwrap();
    table.add(BERT, WatchKind::Data, "/a").unwrap();
    table.add(BERT, WatchKind::Persistent, "/a").unwrap();
    table
        .add(ANNA, WatchKind::PersistentRecursive, "/a")
        .unwrap();
    let path = |path: &str| Arc::<str>::from(path);
    assert_eq!(
        table.paths_by_watcher(usize::MAX),
        BTreeMap::from([
            (ANNA, vec![path("/a")]),
            (BERT, vec![path("/a"), path("/b")])
        ])
    );
    assert_eq!(
        table.summary(),
        WatchSummary {
            watchers: 2,
            paths: 2,
            pairs: 3
        }
    );
    let short = table.paths_by_watcher(2);
    assert_eq!(short.values().map(Vec::len).sum::<usize>(), 2);
}

/// The rules as the reference tells them, without any regard for cost.
#[derive(Default)]
struct Slow(BTreeSet<(WatcherId, WatchKind, String)>);

impl Slow {
    fn fire(&mut self, change: ChangeKind, changed: &str) -> Told {
        let (kind, in_parent) = match change {
            ChangeKind::Created => (EventKind::Created, true),
            ChangeKind::Deleted => (EventKind::Deleted, true),
            ChangeKind::DataChanged => (EventKind::DataChanged, false),
            ChangeKind::AclChanged => return Told::new(),
        };
        let above =
            |path: &str| path == "/" || changed == path || changed.starts_with(&format!("{path}/"));
        let own = |(_, watch, path): &(WatcherId, WatchKind, String)| match watch {
            WatchKind::Data | WatchKind::Persistent => path == changed,
            WatchKind::Child => path == changed && change == ChangeKind::Deleted,
            WatchKind::PersistentRecursive => above(path),
        };
        let parents = |(_, watch, path): &(WatcherId, WatchKind, String)| {
            in_parent
                && matches!(watch, WatchKind::Child | WatchKind::Persistent)
                && parent(changed) == Some(path.as_str())
        };
        let mut told = Told::new();
        let first: BTreeSet<WatcherId> = self.0.iter().filter(|w| own(w)).map(|w| w.0).collect();
        told.extend(first.iter().map(|w| event(*w, kind, changed)));
        let then: BTreeSet<WatcherId> = self.0.iter().filter(|w| parents(w)).map(|w| w.0).collect();
        told.extend(then.iter().map(|w| {
            let parent = parent(changed).unwrap();
            event(*w, EventKind::ChildrenChanged, parent)
        }));
        self.0.retain(|watch| {
            !(own(watch) || parents(watch))
                || matches!(
                    watch.1,
                    WatchKind::Persistent | WatchKind::PersistentRecursive
                )
        });
        told
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(WatcherId, WatchKind, &'static str),
    Remove(WatcherId, WatcherType, &'static str),
    Forget(WatcherId),
    Fire(ChangeKind, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let watcher = || (0u64..4).prop_map(WatcherId);
    let path = || prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/b"]);
    let change = prop::sample::select(vec![
        ChangeKind::Created,
        ChangeKind::Deleted,
        ChangeKind::DataChanged,
        ChangeKind::AclChanged,
    ]);
    prop_oneof![
        4 => (watcher(), prop::sample::select(WatchKind::ALL.to_vec()), path())
            .prop_map(|(watcher, kind, path)| Step::Add(watcher, kind, path)),
        1 => (watcher(), 1..=5, path()).prop_map(|(watcher, code, path)| {
            Step::Remove(watcher, WatcherType::from_code(code).unwrap(), path)
        }),
        1 => watcher().prop_map(Step::Forget),
        3 => (change, path()).prop_map(|(kind, path)| Step::Fire(kind, path)),
    ]
}

proptest! {
    #[test]
    fn the_table_tells_what_the_rules_say(steps in prop::collection::vec(step(), 0..80)) {
        let mut table = table();
        let mut slow = Slow::default();
        for step in steps {
            match step {
                Step::Add(watcher, kind, path) => {
                    table.add(watcher, kind, path).unwrap();
                    slow.0.insert((watcher, kind, path.to_owned()));
                }
                Step::Remove(watcher, wanted, path) => {
                    let before = slow.0.len();
                    let kinds = WatchKind::named_by(wanted);
                    slow.0.retain(|w| !(w.0 == watcher && kinds.contains(&w.1) && w.2 == path));
                    let had = slow.0.len() < before;
                    prop_assert_eq!(table.has(watcher, path, wanted), had);
                    prop_assert_eq!(table.remove(watcher, path, wanted), had);
                }
                Step::Forget(watcher) => {
                    while table.forget(watcher, 2) {}
                    slow.0.retain(|w| w.0 != watcher);
                }
                Step::Fire(kind, path) => {
                    prop_assert_eq!(fire(&mut table, kind, path), slow.fire(kind, path));
                }
            }
            let paths: BTreeSet<&str> = slow.0.iter().map(|w| w.2.as_str()).collect();
            let watchers: BTreeSet<WatcherId> = slow.0.iter().map(|w| w.0).collect();
            prop_assert_eq!(table.watch_count(), slow.0.len());
            prop_assert_eq!(table.weight, slow.0.len());
            prop_assert_eq!(table.path_count(), paths.len());
            prop_assert_eq!(table.watcher_count(), watchers.len());
            for watcher in watchers {
                let own = slow.0.iter().filter(|w| w.0 == watcher);
                prop_assert_eq!(table.watch_count_of(watcher), own.count());
            }
            let mut listed: BTreeMap<WatcherId, BTreeSet<&str>> = BTreeMap::new();
            for (watcher, _, path) in slow.0.iter().filter(|w| w.1 != WatchKind::Child) {
                listed.entry(*watcher).or_default().insert(path);
            }
            let paths: BTreeSet<&str> = listed.values().flatten().copied().collect();
            let summary = WatchSummary {
                watchers: listed.len(),
                paths: paths.len(),
                pairs: listed.values().map(BTreeSet::len).sum(),
            };
            prop_assert_eq!(table.summary(), summary);
            let found = table.paths_by_watcher(usize::MAX);
            let found: BTreeMap<WatcherId, BTreeSet<&str>> =
                found.iter().map(|(watcher, paths)| (*watcher, paths.iter().map(|p| &**p).collect())).collect();
            prop_assert_eq!(found, listed);
        }
    }
}

/// ZooKeeper 3.9 judges an event of a path by that znode's list, one of children by the parent's.
#[test]
fn an_event_is_judged_by_the_list_of_the_znode_that_it_names() {
    let list = |id: &str| -> Arc<[Acl]> {
        let perms = crate::model::Permissions::READ;
        let id = crate::model::Id::new("digest", id);
        Arc::from([Acl { perms, id }])
    };
    let (own, parents) = (list("own"), list("parent's"));
    for kind in [ChangeKind::Created, ChangeKind::Deleted] {
        let mut table = table();
        table.add(ANNA, WatchKind::Data, "/a/b").unwrap();
        table.add(ANNA, WatchKind::Child, "/a").unwrap();
        table
            .add(BERT, WatchKind::PersistentRecursive, "/")
            .unwrap();
        let change = Change {
            kind,
            path: Arc::from("/a/b"),
            zxid: Zxid(7),
            acl: Some(own.clone()),
            parent_acl: Some(parents.clone()),
            data: None,
            version: 0,
            owner: SessionId::NONE,
        };
        let mut told = Vec::new();
        table.fire(&change, &mut |event, watchers| {
            let acl = event.acl.map(<[Acl]>::to_vec);
            let one = |watcher: &WatcherId| (*watcher, event.path.to_owned(), acl.clone());
            told.extend(watchers.iter().map(one));
        });
        let (own, parents) = (Some(own.to_vec()), Some(parents.to_vec()));
        assert_eq!(
            told,
            [
                (ANNA, "/a/b".to_owned(), own.clone()),
                (BERT, "/a/b".to_owned(), own),
                (ANNA, "/a".to_owned(), parents),
            ]
        );
    }
}
