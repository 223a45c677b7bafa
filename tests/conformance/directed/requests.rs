//! Requests at the edge of what is understood.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, ask_last, burst, connect, reattach};
use vivarium::wire::opcode;

/// One of each kind that changes nothing, so that its bytes may be cut anywhere.
fn reads() -> Vec<Request> {
    let lists = |count: usize| (0..count).map(|_| vec![below("/a"), below("/b")]).collect();
    vec![
        read(opcode::EXISTS, below("/a"), false),
        read(opcode::GET_DATA, below("/a"), true),
        read(opcode::GET_CHILDREN, below("/a"), true),
        read(opcode::GET_CHILDREN2, below("/a"), false),
        on_path(opcode::GET_ACL, below("/a")),
        on_path(opcode::SYNC, below("/a")),
        on_path(opcode::GET_EPHEMERALS, below("/a")),
        watch(opcode::CHECK_WATCHES, below("/a"), 3),
        watch(opcode::REMOVE_WATCHES, below("/a"), 3),
        watch(opcode::ADD_WATCH, below("/a"), 0),
        set_watches(ZxidArg::Seen(0), lists(3)),
        set_watches(ZxidArg::Seen(0), lists(5)),
        multi(
            opcode::MULTI_READ,
            vec![
                read(opcode::GET_DATA, below("/a"), false),
                read(opcode::GET_CHILDREN, below("/b"), false),
            ],
        ),
        bare(opcode::WHO_AM_I),
        ping(),
    ]
}

#[test]
fn a_read_cut_short_anywhere_is_refused_and_the_connection_stays() {
    let mut steps = vec![
        connect(0, 1),
        ask(0, create(opcode::CREATE, below("/a"), Some(b"data"), 0)),
    ];
    for request in reads() {
        let cuts = (0..1000).step_by(37).map(Spoil::Cut);
        let cut = cuts.map(|cut| request.clone().spoilt(cut)).collect();
        steps.push(burst(0, cut));
    }
    same(steps);
}

#[test]
fn lengths_and_counts_that_lie_are_refused_and_the_connection_stays() {
    let mut steps = vec![
        connect(0, 1),
        ask(0, create(opcode::CREATE, below("/a"), Some(b"data"), 0)),
    ];
    for request in reads() {
        let is_zxid_first = [opcode::SET_WATCHES, opcode::SET_WATCHES2].contains(&request.op);
        let from = if is_zxid_first { 300 } else { 0 };
        for number in [-1, -2, i32::MIN, i32::MAX, 0, 1, 0x0010_0000] {
            let places = (from..=1000).step_by(97);
            let lies = places.map(|place| {
                let lie = Spoil::Overwrite(place, number);
                request.clone().spoilt(lie)
            });
            steps.push(burst(0, lies.collect()));
        }
    }
    same(steps);
}

/// Also when it is refused, it has its place among the changes.
#[test]
fn a_multi_cut_short_anywhere_is_refused_and_the_connection_stays() {
    let whole = multi(
        opcode::MULTI,
        vec![
            create(opcode::CREATE, below("/b"), None, 0),
            set_data(below("/a"), Some(b"new"), VersionArg::Is(-1)),
            delete(below("/a"), VersionArg::Is(-1)),
        ],
    );
    let mut steps = vec![
        connect(0, 1),
        ask(0, create(opcode::CREATE, below("/a"), Some(b"data"), 0)),
    ];
    let cuts = (0..1000).step_by(37).map(Spoil::Cut);
    steps.extend(cuts.map(|cut| ask(0, whole.clone().spoilt(cut))));
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn what_nobody_was_told_to_allow_is_refused() {
    let mut steps = vec![connect(0, 1), connect(1, 0)];
    for slot in [0, 1] {
        for token in [&b""[..], b"token"] {
            steps.push(ask(slot, sasl(Some(token))));
        }
        for (joining, leaving, new_members) in [
            (None, None, None),
            (Some("server.4=127.0.0.1:1:2;3"), None, None),
            (None, Some("3"), None),
            (Some("nonsense"), Some("nonsense"), None),
            (None, None, Some("server.1=127.0.0.1:1:2;3")),
        ] {
            steps.push(ask(slot, reconfig(joining, leaving, new_members, -1)));
        }
        steps.push(ask(slot, bare(opcode::WHO_AM_I)));
        steps.push(ask_last(slot, sasl(None)));
        steps.push(reattach(slot, slot));
    }
    same(steps);
}

#[test]
fn bytes_behind_a_request_are_ignored() {
    let more = Spoil::Trailing(vec![0xff; 11]);
    let mut requests = reads();
    requests.extend([
        create(opcode::CREATE, below("/b"), None, 0),
        create(opcode::CREATE2, below("/c"), None, 1),
        create(opcode::CREATE_CONTAINER, below("/k"), None, 4),
        set_data(below("/b"), Some(b"new"), VersionArg::Is(-1)),
        set_acl(below("/b"), open_acl(), VersionArg::Is(-1)),
        multi(opcode::MULTI, vec![check(below("/b"), VersionArg::Is(-1))]),
        delete(below("/b"), VersionArg::Is(-1)),
    ]);
    let requests = requests.into_iter();
    let asked = requests.map(|request| ask(0, request.spoilt(more.clone())));
    let mut steps = vec![connect(0, 1)];
    steps.extend(asked);
    steps.push(ask_last(
        0,
        bare(opcode::CLOSE_SESSION).spoilt(more.clone()),
    ));
    same(steps);
}

#[test]
fn any_byte_but_zero_is_true() {
    let flag =
        |op: i32, byte: u8| Request::new(op, vec![Field::Path(below("/a")), Field::Byte(byte)]);
    let mut steps = vec![
        connect(0, 0),
        ask(0, create(opcode::CREATE, below("/a"), None, 0)),
    ];
    for byte in [0, 1, 2, 0x80, 0xff] {
        for op in [opcode::EXISTS, opcode::GET_DATA, opcode::GET_CHILDREN] {
            steps.push(ask(0, flag(op, byte)));
            steps.push(ask(0, watch(opcode::CHECK_WATCHES, below("/a"), 3)));
            steps.push(ask(0, watch(opcode::REMOVE_WATCHES, below("/a"), 3)));
        }
    }
    same(steps);
}

#[test]
fn operations_that_nobody_knows_end_the_connection() {
    let mut steps = vec![connect(0, 0)];
    for op in [
        10,
        23,
        24,
        50,
        99,
        108,
        1000,
        -1,
        -2,
        -3,
        -12,
        i32::MAX,
        i32::MIN,
        0,
    ] {
        steps.push(ask_last(0, bare(op)));
        steps.push(reattach(0, 0));
    }
    same(steps);
}

#[test]
fn a_check_alone_is_no_operation() {
    same(vec![
        connect(0, 0),
        ask_last(0, check(below(""), VersionArg::Is(-1))),
        reattach(0, 1),
        ask_last(0, check(below("/none"), VersionArg::Is(3))),
        reattach(0, 2),
        ask(0, ping()),
    ]);
}

#[test]
fn numbers_of_requests_are_repeated_whatever_they_are() {
    let mut steps = vec![connect(0, 0)];
    for xid in [0, 1, 1, 1000, i32::MAX, i32::MIN, -3, -4, -8, -2] {
        steps.push(ask(0, read(opcode::EXISTS, below(""), false).xid(xid)));
        steps.push(ask(
            0,
            create(opcode::CREATE, below("/n-"), None, 2).xid(xid),
        ));
    }
    for xid in [0, 7, -2, -4, -8] {
        steps.push(ask(0, ping().xid(xid)));
        steps.push(ask(0, auth("digest", "ann:secret").xid(xid)));
        let lists = vec![vec![below("")], vec![], vec![]];
        steps.push(ask(0, set_watches(ZxidArg::Is(0), lists).xid(xid)));
    }
    same(steps);
}

#[test]
fn null_is_no_path_for_most() {
    let null = || PathArg::Null;
    let mut steps = vec![connect(0, 2)];
    for op in [
        opcode::EXISTS,
        opcode::GET_DATA,
        opcode::GET_CHILDREN,
        opcode::GET_CHILDREN2,
    ] {
        steps.push(ask(0, read(op, null(), false)));
        steps.push(ask(0, read(op, null(), true)));
    }
    for op in [opcode::GET_ACL, opcode::SYNC, opcode::GET_EPHEMERALS] {
        steps.push(ask(0, on_path(op, null())));
    }
    for op in [
        opcode::CHECK_WATCHES,
        opcode::REMOVE_WATCHES,
        opcode::ADD_WATCH,
    ] {
        for kind in 0..=6 {
            steps.push(ask(0, watch(op, null(), kind)));
        }
    }
    let in_list = |lists: Vec<Vec<PathArg>>| ask(0, set_watches(ZxidArg::Is(0), lists));
    steps.push(in_list(vec![vec![null()], vec![], vec![]]));
    steps.push(in_list(vec![vec![], vec![null()], vec![]]));
    steps.push(in_list(vec![vec![], vec![], vec![null()]]));
    steps.push(in_list(vec![
        vec![],
        vec![],
        vec![],
        vec![null()],
        vec![null()],
    ]));
    for place in 1..=3 {
        let mut request = set_watches(ZxidArg::Is(0), vec![vec![], vec![], vec![]]);
        request.fields[place] = Field::Paths(None);
        steps.push(ask(0, request));
    }
    steps.extend(null_writes());
    same(steps);
}

fn null_writes() -> Vec<Step> {
    let null = || PathArg::Null;
    vec![
        ask(0, delete(null(), VersionArg::Is(-1))),
        ask(0, set_data(null(), Some(b"x"), VersionArg::Is(-1))),
        ask(0, set_acl(null(), open_acl(), VersionArg::Is(-1))),
        ask(0, create(opcode::CREATE, null(), Some(b"x"), 0)),
        ask(0, create(opcode::CREATE2, null(), Some(b"x"), 3)),
        ask(0, create(opcode::CREATE_CONTAINER, null(), Some(b"x"), 4)),
        ask(0, create(opcode::CREATE, null(), Some(b"x"), 7)),
        ask(0, create(opcode::CREATE2, null(), Some(b"x"), -1)),
        ask(0, create(opcode::CREATE_CONTAINER, null(), Some(b"x"), 7)),
        ask(0, create_ttl(null(), 0, 1_000)),
        ask(0, create_ttl(null(), 5, 0)),
        ask(0, create_ttl(null(), 5, 1_000)),
        ask(0, ping()),
        ask(0, create(opcode::CREATE, below("/a"), None, 0)),
        ask(0, read(opcode::GET_DATA, below("/a"), false)),
        ask(0, set_data(below("/a"), Some(b""), VersionArg::Is(0))),
        ask(0, read(opcode::GET_DATA, below("/a"), false)),
        ask(0, set_data(below("/a"), None, VersionArg::Is(1))),
        ask(0, read(opcode::GET_DATA, below("/a"), false)),
    ]
}

#[test]
fn ephemerals_are_listed_by_the_beginning_of_their_path() {
    let mut steps = vec![connect(0, 1), connect(1, 0)];
    for path in ["/a", "/ab", "/b"] {
        steps.push(ask(0, create(opcode::CREATE, below(path), None, 1)));
    }
    steps.push(ask(0, create(opcode::CREATE, below("/d"), None, 0)));
    steps.push(ask(0, create(opcode::CREATE, below("/d/x-"), None, 3)));
    steps.push(ask(0, create(opcode::CREATE, below("/a/child"), None, 0)));
    for prefix in ["", "/", "/a", "/a/", "/ab", "/d", "/d/", "/d/x", "/e", "//"] {
        for slot in [0, 1] {
            steps.push(ask(slot, on_path(opcode::GET_EPHEMERALS, below(prefix))));
        }
    }
    for prefix in ["", "/", "a", "//", "/r"] {
        steps.push(ask(0, on_path(opcode::GET_EPHEMERALS, exactly(prefix))));
    }
    same(steps);
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let mut steps = vec![connect(0, 0)];
    for flags in [-1, 4, 7, 8, 100, i32::MAX, i32::MIN] {
        for op in [opcode::CREATE, opcode::CREATE2] {
            steps.push(ask(0, create(op, below("/n-"), None, flags)));
        }
    }
    for flags in [-1, 0, 1, 4, 7, 100] {
        let path = below(&format!("/k{flags}"));
        steps.push(ask(0, create(opcode::CREATE_CONTAINER, path, None, flags)));
    }
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn many_requests_in_one_write_are_answered_in_their_order() {
    let mut requests = Vec::new();
    for round in 0..20 {
        requests.push(create(opcode::CREATE, below("/n-"), Some(b"x"), 2));
        requests.push(read(opcode::GET_CHILDREN2, below(""), true));
        requests.push(set_data(below(""), Some(b"y"), VersionArg::Is(round)));
        requests.push(read(opcode::EXISTS, below(""), true));
        requests.push(ping());
        requests.push(on_path(opcode::SYNC, below("")));
        requests.push(delete(below("/none"), VersionArg::Is(-1)));
    }
    same(vec![
        connect(0, 1),
        burst(0, requests.clone()),
        connect(1, 2),
        burst(1, requests),
    ]);
}
