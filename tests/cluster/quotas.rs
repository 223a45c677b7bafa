//! Quotas, as a client meets them on any member.

use crate::options;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, RawError, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const QUOTA_EXCEEDED: i32 = -125;
const MARSHALLING_ERROR: i32 = -5;
const BAD_VERSION: i32 = -103;
const NOT_EMPTY: i32 = -111;
const BEHIND_THE_FAILURE: i32 = -2;

fn enforced(members: usize) -> ClusterOptions {
    options(members).zoo_cfg("enforceQuota=true")
}

fn connect(cluster: &ProcessCluster, member: usize) -> RawClient {
    RawClient::connect(cluster.client_address(member), TIMEOUT_MS).unwrap()
}

/// As the client tools set one: the places, the limits, what is used.
fn set_quota(client: &mut RawClient, of: &str, limits: &str) {
    let place = format!("/zookeeper/quota{of}");
    client.create(&place, b"", flags::PERSISTENT).unwrap();
    for (name, data) in [("limits", limits), ("stats", "count=0,bytes=0")] {
        let path = format!("{place}/zookeeper_{name}");
        client
            .create(&path, data.as_bytes(), flags::PERSISTENT)
            .unwrap();
    }
}

fn stats(client: &mut RawClient, of: &str) -> String {
    client.sync().unwrap();
    let path = format!("/zookeeper/quota{of}/zookeeper_stats");
    String::from_utf8(client.data(&path).unwrap().0).unwrap()
}

fn code<T>(result: Result<T, RawError>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(RawError::Code(code)) => code,
        Err(error) => panic!("no answer: {error:?}"),
    }
}

#[test]
fn a_hard_limit_is_one_on_every_member_and_says_what_is_used() {
    let cluster = ProcessCluster::start(enforced(3));
    let mut clients: Vec<RawClient> = (1..=3).map(|member| connect(&cluster, member)).collect();
    clients[0]
        .create("/q", b"12345", flags::PERSISTENT)
        .unwrap();
    set_quota(
        &mut clients[0],
        "/q",
        "count=4,bytes=20=;byteHardLimit=30;countHardLimit=5",
    );
    assert_eq!(stats(&mut clients[1], "/q"), "count=1,bytes=5");
    for (n, client) in clients.iter_mut().enumerate() {
        let path = format!("/q/{n}");
        client.create(&path, b"123", flags::EPHEMERAL).unwrap();
    }
    for client in &mut clients {
        assert_eq!(stats(client, "/q"), "count=4,bytes=14");
        let too_long = client.set_data("/q", &[0; 22], -1);
        assert_eq!(code(too_long), QUOTA_EXCEEDED);
    }
    clients[0]
        .create("/q/last", b"", flags::PERSISTENT)
        .unwrap();
    for client in &mut clients {
        let one_more = client.create("/q/more", b"", flags::PERSISTENT);
        assert_eq!(code(one_more), QUOTA_EXCEEDED);
    }
    let multi = clients[1].multi(&[
        (op::DELETE, Bytes::new().text("/q/last").int(-1)),
        (op::CREATE, create_body("/q/a", b"", 0)),
        (op::SET_DATA, Bytes::new().text("/q").text([0; 30]).int(-1)),
    ]);
    // The original judges each operation by what was used before the multi.
    let expected = match cluster.subject().is_vivarium() {
        true => [(-1, 0), (-1, 0), (-1, QUOTA_EXCEEDED)],
        false => [(-1, 0), (-1, QUOTA_EXCEEDED), (-1, BEHIND_THE_FAILURE)],
    };
    assert_eq!(multi.unwrap(), expected);
    // The end of a session gives back what it used.
    clients.pop().unwrap().close().unwrap();
    assert_eq!(stats(&mut clients[0], "/q"), "count=4,bytes=11");
    clients[1]
        .create("/q/more", b"", flags::PERSISTENT)
        .unwrap();
}

/// Every way in which znodes come, change and go. The figures are those of ZooKeeper 3.9.5.
#[test]
fn what_is_used_is_what_zookeeper_counts() {
    let cluster = ProcessCluster::start(options(3));
    let mut client = connect(&cluster, 1);
    for (path, data) in [
        ("/q", "12345"),
        ("/q/a", "1"),
        ("/q/a/b", "123"),
        ("/z", "9"),
    ] {
        let data = data.as_bytes();
        client.create(path, data, flags::PERSISTENT).unwrap();
    }
    set_quota(&mut client, "/q", "count=1000,bytes=1000");
    assert_eq!(stats(&mut client, "/q"), "count=3,bytes=9");
    client.create("/q/s-", b"12", 2).unwrap();
    client.create("/q/e-", b"1234", 3).unwrap();
    assert_eq!(stats(&mut client, "/q"), "count=5,bytes=15");
    client.set_data("/q", b"", -1).unwrap();
    client.set_data("/q/a/b", b"123456", -1).unwrap();
    client.set_data("/z", b"not below it", -1).unwrap();
    assert_eq!(stats(&mut client, "/q"), "count=5,bytes=13");
    let refused = client.set_data("/q/a", b"1234567", 7);
    assert_eq!(code(refused), BAD_VERSION);
    assert_eq!(code(client.delete("/q/a", -1)), NOT_EMPTY);
    let multi = |last: &str| {
        [
            (op::CREATE, create_body("/q/m", b"1234567", 0)),
            (op::SET_DATA, Bytes::new().text("/q/a").text([0; 9]).int(-1)),
            (op::DELETE, Bytes::new().text("/q/a/b").int(-1)),
            (op::DELETE, Bytes::new().text(last).int(-1)),
        ]
    };
    client.multi(&multi("/absent")).unwrap();
    assert_eq!(stats(&mut client, "/q"), "count=5,bytes=13");
    client.multi(&multi("/q/s-0000000001")).unwrap();
    assert_eq!(stats(&mut client, "/q"), "count=4,bytes=20");
    let mut other = connect(&cluster, 2);
    client.close().unwrap();
    assert_eq!(stats(&mut other, "/q"), "count=3,bytes=16");
    // A nearer quota takes over what happens below it, and begins with what is there.
    set_quota(&mut other, "/q/a", "count=1000,bytes=1000");
    other.create("/q/a/c", b"12", flags::PERSISTENT).unwrap();
    assert_eq!(stats(&mut other, "/q/a"), "count=2,bytes=11");
    assert_eq!(stats(&mut other, "/q"), "count=3,bytes=16");
}

#[test]
fn limits_that_cannot_be_read_refuse_what_they_should_judge() {
    let cluster = ProcessCluster::start(enforced(1));
    let mut client = connect(&cluster, 1);
    client.create("/q", b"", flags::PERSISTENT).unwrap();
    set_quota(&mut client, "/q", "count=many");
    let create = client.create("/q/a", b"", flags::PERSISTENT);
    assert_eq!(code(create), MARSHALLING_ERROR);
    let multi = client.multi(&[(op::CREATE, create_body("/q/a", b"", 0))]);
    assert_eq!(code(multi), MARSHALLING_ERROR);
    client.create("/other", b"", flags::PERSISTENT).unwrap();
}

#[test]
fn what_is_used_survives_a_restart() {
    let mut cluster = ProcessCluster::start(enforced(1));
    let mut client = connect(&cluster, 1);
    client.create("/q", b"", flags::PERSISTENT).unwrap();
    set_quota(&mut client, "/q", "countHardLimit=2");
    client.create("/q/a", b"123", flags::PERSISTENT).unwrap();
    cluster.kill(1);
    cluster.start_member(1);
    cluster.await_serving(1);
    let mut client = connect(&cluster, 1);
    assert_eq!(stats(&mut client, "/q"), "count=2,bytes=3");
    let one_more = client.create("/q/b", b"", flags::PERSISTENT);
    assert_eq!(code(one_more), QUOTA_EXCEEDED);
    client.delete("/q/a", -1).unwrap();
    client.create("/q/b", b"", flags::PERSISTENT).unwrap();
}

/// Ours alone: the original looks at no limit unless it enforces them.
#[test]
fn limits_that_are_not_enforced_are_logged_and_counted() {
    let cluster = ProcessCluster::start(options(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = connect(&cluster, 1);
    client.create("/q", b"", flags::PERSISTENT).unwrap();
    set_quota(&mut client, "/q", "count=1=;byteHardLimit=2");
    for n in 0..3 {
        let path = format!("/q/{n}");
        client.create(&path, b"12", flags::PERSISTENT).unwrap();
    }
    let mut lines = eventually("a line in the log", PATIENCE, || {
        let log = cluster.member(1).log();
        let lines = log.lines().filter(|line| line.contains("quota exceeded"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    });
    let line = lines.pop().unwrap();
    assert!(lines.is_empty(), "one line a minute and quota");
    assert!(line.contains("/q") && line.contains("znodes"), "{line}");
}
