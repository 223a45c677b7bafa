//! Containers and znodes with a time to live, and the operations about them, as a client meets them.

use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, Reader, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NOT_EMPTY: i32 = -111;
const TTL_MS_MAX: i64 = (1 << 40) - 1;

/// Quick to look, so that nobody waits for a minute.
fn one_member() -> (ProcessCluster, RawClient) {
    let with_ttl = options(1)
        .zoo_cfg("extendedTypesEnabled=true")
        .zoo_cfg("znode.container.checkIntervalMs=100");
    let cluster = ProcessCluster::start(with_ttl);
    let client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    (cluster, client)
}

fn ttl_body(path: &str, flags: i32, ttl_ms: i64) -> Bytes {
    create_body(path, b"data", flags).long(ttl_ms)
}

fn is_gone(client: &mut RawClient, path: &str) -> Option<()> {
    client.exists(path).unwrap().is_none().then_some(())
}

#[test]
fn znodes_with_a_time_to_live_are_made_when_enabled_and_look_persistent() {
    let (_cluster, mut client) = one_member();
    let reply = client
        .ask(
            op::CREATE_TTL,
            ttl_body("/t", flags::PERSISTENT_WITH_TTL, TTL_MS_MAX),
        )
        .unwrap();
    let mut reader = Reader(&reply.body);
    assert_eq!(reader.string(), "/t");
    assert_eq!(reader.stat().ephemeral_owner, 0);
    let sequential = flags::PERSISTENT_SEQUENTIAL_WITH_TTL;
    let reply = client.ask(op::CREATE_TTL, ttl_body("/t-", sequential, 60_000));
    assert_eq!(Reader(&reply.unwrap().body).string(), "/t-0000000001");
    // It may have children, unlike an ephemeral.
    client.create("/t/x", b"", flags::PERSISTENT).unwrap();

    for (opcode, flags, ttl_ms) in [
        (op::CREATE_TTL, 5, Some(0)),
        (op::CREATE_TTL, 5, Some(-1)),
        (op::CREATE_TTL, 6, Some(TTL_MS_MAX + 1)),
        (op::CREATE_TTL, 0, Some(1)),
        (op::CREATE_TTL, 4, Some(1)),
        (op::CREATE_TTL, 7, Some(1)),
        (op::CREATE, 5, None),
        (op::CREATE2, 6, None),
        (op::CREATE_CONTAINER, 5, None),
    ] {
        let body = create_body("/no", b"", flags);
        let body = ttl_ms.map_or(body.clone(), |ttl_ms| body.long(ttl_ms));
        let what = format!("operation {opcode}, flags {flags}, {ttl_ms:?}");
        assert_eq!(client.code_of(opcode, body), BAD_ARGUMENTS, "{what}");
    }
    assert_eq!(client.exists("/no").unwrap(), None);
}

/// Observed on ZooKeeper 3.9.5: a createTTL that is none is a create there, and a create with the flags
/// of a container makes one.
#[test]
fn a_multi_takes_times_to_live_and_answers_each_by_what_it_made() {
    let (_cluster, mut client) = one_member();
    let results = client
        .multi(&[
            (op::CREATE_TTL, ttl_body("/t", 5, 60_000)),
            (op::CREATE_TTL, ttl_body("/plain", 0, -1)),
            (op::CREATE_TTL, ttl_body("/c1", 4, 0)),
            (op::CREATE, create_body("/c2", b"", flags::CONTAINER)),
            (op::CREATE_CONTAINER, create_body("/c-", b"", 2)),
        ])
        .unwrap();
    assert_eq!(results, [(15, 0), (1, 0), (15, 0), (15, 0), (15, 0)]);
    assert!(client.exists("/c-0000000004").unwrap().is_some());
    let refused = client.multi(&[
        (op::CREATE, create_body("/not", b"", 0)),
        (op::CREATE_TTL, ttl_body("/t2", 5, 0)),
        (op::CREATE, create_body("/nor", b"", 0)),
    ]);
    assert_eq!(refused.unwrap(), [(-1, 0), (-1, BAD_ARGUMENTS), (-1, -2)]);
    assert_eq!(client.exists("/not").unwrap(), None);
}

#[test]
fn what_has_outlived_its_time_goes_and_what_has_children_stays() {
    let (_cluster, mut client) = one_member();
    for path in ["/short", "/parent"] {
        client.ask(op::CREATE_TTL, ttl_body(path, 5, 1)).unwrap();
    }
    // The leader may be quicker than this client, which then begins again.
    eventually("a child below one with a short life", PATIENCE, || {
        let _ = client.ask(op::CREATE_TTL, ttl_body("/parent", 5, 1));
        client.create("/parent/x", b"", flags::PERSISTENT).ok()
    });
    client
        .ask(op::CREATE_TTL, ttl_body("/long", 5, TTL_MS_MAX))
        .unwrap();
    eventually("the end of a time to live", PATIENCE, || {
        is_gone(&mut client, "/short")
    });
    assert!(client.exists("/parent").unwrap().is_some());
    assert!(client.exists("/long").unwrap().is_some());
    client.delete("/parent/x", -1).unwrap();
    eventually("the end of one that lost its child", PATIENCE, || {
        is_gone(&mut client, "/parent")
    });
}

#[test]
fn a_container_goes_after_its_last_child_and_not_before_its_first() {
    let (_cluster, mut client) = one_member();
    for path in ["/used", "/unused"] {
        let body = create_body(path, b"", flags::CONTAINER);
        client.ask(op::CREATE_CONTAINER, body).unwrap();
    }
    client.create("/used/x", b"", flags::PERSISTENT).unwrap();
    client.delete("/used/x", -1).unwrap();
    eventually("the end of an emptied container", PATIENCE, || {
        is_gone(&mut client, "/used")
    });
    assert!(client.exists("/unused").unwrap().is_some());
}

#[test]
fn delete_container_takes_what_no_session_owns_in_the_order_of_zookeeper() {
    let (cluster, mut client) = one_member();
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    client.create("/a/b", b"", flags::PERSISTENT).unwrap();
    client.set_data("/a/b", b"", -1).unwrap();
    client.create("/e", b"", flags::EPHEMERAL).unwrap();
    for (path, code) in [
        ("", BAD_ARGUMENTS),
        ("/", BAD_ARGUMENTS),
        ("/zookeeper/quota", BAD_ARGUMENTS),
        ("zz", BAD_ARGUMENTS),
        ("/no", NO_NODE),
        ("/no/no", NO_NODE),
        ("/a", NOT_EMPTY),
        ("/e", BAD_VERSION),
        ("/a/b", 0),
        ("/a", 0),
    ] {
        let body = Bytes::new().text(path);
        assert_eq!(client.code_of(op::DELETE_CONTAINER, body), code, "{path:?}");
    }
    if !cluster.subject().is_vivarium() {
        // It asks no access list, so that anybody may delete any znode without children.
        return;
    }
    client.create("/closed", b"", flags::PERSISTENT).unwrap();
    client.create("/closed/x", b"", flags::PERSISTENT).unwrap();
    let read_only = Bytes::new().text("/closed").int(1).int(1);
    let read_only = read_only.text("world").text("anyone").int(-1);
    assert_eq!(client.code_of(op::SET_ACL, read_only), 0);
    let body = Bytes::new().text("/closed/x");
    assert_eq!(client.code_of(op::DELETE_CONTAINER, body), NO_AUTH);
}

#[test]
fn descendants_and_own_ephemerals_are_counted_and_listed_as_in_zookeeper() {
    let (_cluster, mut client) = one_member();
    let mut number = |path: &str| {
        let body = Bytes::new().text(path);
        match client.ask(op::GET_ALL_CHILDREN_NUMBER, body) {
            Ok(reply) => Ok(Reader(&reply.body).int()),
            Err(error) => Err(format!("{error:?}")),
        }
    };
    assert_eq!(number("/zookeeper"), Ok(2));
    let below_root = number("/").unwrap();
    // The root counts itself below the empty path.
    assert_eq!(number(""), Ok(below_root + 1));
    assert_eq!(number("/no"), Err(format!("Code({NO_NODE})")));
    assert_eq!(number("/zookeeper/quota"), Ok(0));

    for path in ["/e1", "/e1b", "/f"] {
        client.create(path, b"", flags::EPHEMERAL).unwrap();
    }
    let all = ["/e1", "/e1b", "/f"];
    for (prefix, found) in [
        ("", &all[..]),
        ("/", &all),
        (" / ", &all),
        ("\t", &all),
        ("/e1", &all[..2]),
        ("e1", &[]),
        (" /e1", &[]),
    ] {
        let reply = client.ask(op::GET_EPHEMERALS, Bytes::new().text(prefix));
        let body = reply.unwrap().body;
        let mut reader = Reader(&body);
        let mut paths: Vec<String> = (0..reader.int()).map(|_| reader.string()).collect();
        paths.sort();
        assert_eq!(paths, found, "{prefix:?}");
    }
}

/// Since ZooKeeper 3.9.2.
#[test]
fn whether_a_znode_exists_is_told_only_to_who_may_read_it() {
    let (cluster, mut owner) = one_member();
    owner.authenticate("digest", "owner:secret").unwrap();
    let own_acl = Bytes::new().text("/own").text("").int(1);
    let own_acl = own_acl.int(31).text("auth").text("").int(flags::PERSISTENT);
    assert_eq!(owner.code_of(op::CREATE, own_acl), 0);
    let mut other = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    let watch = |path: &str| Bytes::new().text(path).flag(true);
    assert_eq!(other.code_of(op::EXISTS, watch("/own")), NO_AUTH);
    assert_eq!(other.code_of(op::EXISTS, watch("/absent")), NO_NODE);
    assert_eq!(owner.code_of(op::EXISTS, watch("/own")), 0);
}
