//! Limits of a subtree. All members are up to date before each write, as the leader of ZooKeeper judges
//! it by what it has applied.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, ask_last, connect, fence};
use vivarium::wire::opcode;

fn one_at_a_time(requests: Vec<(usize, Request)>) -> Vec<Step> {
    requests
        .into_iter()
        .flat_map(|(slot, request)| [fence(0), fence(1), fence(2), ask(slot, request)])
        .collect()
}

fn set_quota(of: &str, limits: &str) -> Vec<(usize, Request)> {
    let place = |name: &str| quota(&format!("{of}/zookeeper_{name}"));
    let limits = Some(limits.as_bytes());
    vec![
        (0, create(opcode::CREATE, quota(of), None, 0)),
        (1, create(opcode::CREATE, place("limits"), limits, 0)),
        (
            2,
            create(opcode::CREATE, place("stats"), Some(b"count=0,bytes=0"), 0),
        ),
    ]
}

#[test]
fn hard_limits_of_count_and_bytes_are_kept_alike() {
    let anyway = VersionArg::Is(-1);
    let make = |slot, path: &str, data: &[u8], flags| {
        (
            slot,
            create(opcode::CREATE2, below(path), Some(data), flags),
        )
    };
    let mut requests = set_quota("", "count=9,bytes=999");
    requests.push(make(0, "/q", b"12345", 0));
    requests.extend(set_quota(
        "/q",
        "count=2,bytes=5=;byteHardLimit=20;countHardLimit=4",
    ));
    requests.extend([
        make(0, "/q/a", b"123", 0),
        make(1, "/q/e-", b"123", 3),
        make(2, "/q/t", b"1234567890", 0),
        make(2, "/q/t", b"123456789", 0),
        make(2, "/q/one-more", b"", 0),
        make(2, "/q/t", b"", 0),
        (0, set_data(below("/q/a"), Some(b"1234"), anyway)),
        (0, set_data(below("/q/a"), Some(b"12"), anyway)),
        (1, set_data(below("/q/a"), Some(b"123"), anyway)),
        (1, set_data(below("/q/a"), Some(b"123"), VersionArg::Is(7))),
        (2, delete(below("/q/t"), anyway)),
        (1, create(opcode::CREATE_CONTAINER, below("/q/k"), None, 4)),
        (1, create_ttl(below("/q/l"), 5, 1_000_000_000)),
        make(1, "/outside", &[b'x'; 100], 0),
    ]);
    let mut steps = vec![connect(0, 0), connect(1, 1), connect(2, 2)];
    steps.extend(one_at_a_time(requests));
    steps.push(Step::Census);
    steps.push(ask_last(1, bare(opcode::CLOSE_SESSION)));
    steps.push(connect(1, 1));
    steps.extend(one_at_a_time(vec![
        (1, create_ttl(below("/q/l"), 5, 1_000_000_000)),
        (0, delete(quota("/q/zookeeper_limits"), anyway)),
        make(0, "/q/free", &[b'x'; 100], 0),
    ]));
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn limits_that_nobody_can_read_stop_writes_below_them_alike() {
    let mut steps = vec![connect(0, 0), connect(1, 1), connect(2, 2)];
    for (at, text) in [
        "",
        "nonsense",
        "count",
        "count=",
        "count=x",
        "count=1,bytes=1,",
        ",count=5",
        "count=5,,bytes=100",
        "count=5;bytes=100",
        "count=5,bytes=100==;countHardLimit=7",
        "count=99999999999999999999",
        "other=1",
        "count= 5",
    ]
    .into_iter()
    .enumerate()
    {
        let of = format!("/q{at}");
        let mut requests = vec![(0, create(opcode::CREATE, below(&of), None, 0))];
        requests.extend(set_quota(&of, text));
        for child in ["/a", "/b"] {
            let path = below(&format!("{of}{child}"));
            requests.push((1, create(opcode::CREATE, path, Some(b"x"), 0)));
        }
        requests.push((2, set_data(below(&of), Some(b"data"), VersionArg::Is(-1))));
        steps.extend(one_at_a_time(requests));
    }
    steps.push(Step::Census);
    same(steps);
}
