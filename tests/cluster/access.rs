//! Who may be told what: access lists where watches fire, and what becomes of them when they are skipped.

use crate::options;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Bytes, RawClient, create_body_with_acl, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const NO_AUTH: i32 = -102;
const CREATED: i32 = 1;
const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

fn connect(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

/// For those who have proved to be the owner alone.
fn create_own(client: &mut RawClient, path: &str) {
    let body = create_body_with_acl(path, b"", (31, "auth", ""), flags::PERSISTENT);
    assert_eq!(client.code_of(op::CREATE, body), 0, "{path}");
}

/// What the watches were told by now: asks something, so that all that was sent before is there.
fn told(client: &mut RawClient) -> Vec<(i32, String)> {
    client.sync().unwrap();
    client.take_events()
}

fn event(kind: i32, path: &str) -> (i32, String) {
    (kind, path.to_owned())
}

/// Every step of it was observed on ZooKeeper 3.9.5.
#[test]
fn a_watch_tells_nothing_of_what_its_owner_may_not_read_and_is_used_up() {
    let cluster = ProcessCluster::start(options(3));
    let (mut owner, mut other) = (connect(&cluster, 1), connect(&cluster, 2));
    owner.authenticate("digest", "owner:secret").unwrap();
    create_own(&mut owner, "/own");
    other.sync().unwrap();
    other.add_watch("/own", 0).unwrap();
    let exists = |path: &str| Bytes::new().text(path).flag(true);
    // A znode that is not there may be waited for. Its own list decides, not the parent's.
    assert_eq!(other.code_of(op::EXISTS, exists("/own/open")), -101);
    owner.create("/own/open", b"", flags::PERSISTENT).unwrap();
    owner.set_data("/own", b"1", -1).unwrap();
    owner.delete("/own/open", -1).unwrap();
    assert_eq!(told(&mut other), [event(CREATED, "/own/open")]);

    // One that may not be read when it appears uses the watch up.
    assert_eq!(other.code_of(op::EXISTS, exists("/own/x")), -101);
    create_own(&mut owner, "/own/x");
    owner.delete("/own/x", -1).unwrap();
    owner.create("/own/x", b"", flags::PERSISTENT).unwrap();
    assert_eq!(told(&mut other), []);

    // Who proves more later is told more from then on.
    other.authenticate("digest", "owner:secret").unwrap();
    owner.set_data("/own", b"2", -1).unwrap();
    owner.delete("/own/x", -1).unwrap();
    let (data, children) = (DATA_CHANGED, CHILDREN_CHANGED);
    let expected = [event(data, "/own"), event(children, "/own")];
    assert_eq!(told(&mut other), expected);
}

#[test]
fn a_recursive_watch_tells_of_each_znode_by_that_znodes_own_list() {
    let cluster = ProcessCluster::start(options(3));
    let (mut owner, mut other) = (connect(&cluster, 1), connect(&cluster, 2));
    owner.authenticate("digest", "owner:secret").unwrap();
    other.add_watch("/", 1).unwrap();
    create_own(&mut owner, "/own");
    owner.create("/own/open", b"", flags::PERSISTENT).unwrap();
    create_own(&mut owner, "/own/closed");
    owner.set_data("/own/open", b"1", -1).unwrap();
    owner.delete("/own/closed", -1).unwrap();
    owner.delete("/own/open", -1).unwrap();
    let kinds = [CREATED, DATA_CHANGED, DELETED];
    assert_eq!(told(&mut other), kinds.map(|kind| event(kind, "/own/open")));
}

/// What setWatches tells is not judged: the client knows the paths, and hears only that it should look.
#[test]
fn watches_set_again_tell_without_asking_the_list() {
    let cluster = ProcessCluster::start(options(1));
    let (mut owner, mut other) = (connect(&cluster, 1), connect(&cluster, 1));
    owner.authenticate("digest", "owner:secret").unwrap();
    create_own(&mut owner, "/own");
    let paths = |path: &str| Bytes::new().int(1).text(path);
    let again = Bytes::new().long(0).raw(&paths("/own").0).int(0);
    let again = again.raw(&paths("/own").0);
    other.send_as(-8, op::SET_WATCHES, again).unwrap();
    assert_eq!(other.receive().unwrap().err, 0);
    let (data, children) = (DATA_CHANGED, CHILDREN_CHANGED);
    let expected = [event(data, "/own"), event(children, "/own")];
    assert_eq!(other.take_events(), expected);
}

#[test]
fn access_lists_are_kept_and_forbid_nothing_when_they_are_skipped() {
    let cluster = ProcessCluster::start(options(3).zoo_cfg("skipACL=yes"));
    let (mut owner, mut other) = (connect(&cluster, 1), connect(&cluster, 2));
    owner.authenticate("digest", "owner:secret").unwrap();
    create_own(&mut owner, "/own");
    other.sync().unwrap();
    other.add_watch("/own", 0).unwrap();
    assert_eq!(other.data("/own").unwrap().0, b"");
    other.set_data("/own", b"1", 0).unwrap();
    other.create("/own/x", b"", flags::PERSISTENT).unwrap();
    other.delete("/own/x", 0).unwrap();
    owner.sync().unwrap();
    let told = told(&mut other);
    let kinds: Vec<i32> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [DATA_CHANGED, CHILDREN_CHANGED, CHILDREN_CHANGED]);
    // Whoever asks sees the list, with its hash.
    let acl = other.ask(op::GET_ACL, Bytes::new().text("/own")).unwrap();
    let hash = b"owner:";
    assert!(acl.body.windows(hash.len()).any(|part| part == hash));
    assert!(!acl.body.windows(3).any(|part| part == b"r:x"));
}

#[test]
fn access_lists_forbid_again_once_they_are_no_longer_skipped() {
    let cluster = ProcessCluster::start(options(1).zoo_cfg("skipACL=no"));
    let (mut owner, mut other) = (connect(&cluster, 1), connect(&cluster, 1));
    owner.authenticate("digest", "owner:secret").unwrap();
    create_own(&mut owner, "/own");
    let read = Bytes::new().text("/own").flag(false);
    assert_eq!(other.code_of(op::GET_DATA, read), NO_AUTH);
}
