//! The comparison is seen to fail: two members that do the same, and one word of one of them changed
//! on its way.

use crate::compare::{Parting, compare_runs};
use crate::pair::{fresh_root, options, ours};
use crate::request::*;
use crate::run::{Mutation, Run};
use crate::step::{Step, ask, ask_last, burst, connect, fence};
use vivarium::testing::processes::ProcessCluster;
use vivarium::wire::opcode;

/// Where a frame has its numbers: xid, zxid and code, then the body.
const XID: usize = 0;
const ZXID: usize = 4;
const ERR: usize = 12;
const BODY: usize = 16;
const STAT_BYTES: usize = 68;

/// The fields of a stat, and where they begin.
const STAT: &[(&str, usize)] = &[
    ("czxid", 0),
    ("mzxid", 8),
    ("ctime", 16),
    ("mtime", 24),
    ("version", 32),
    ("cversion", 36),
    ("aversion", 40),
    ("owner", 44),
    ("data_length", 52),
    ("num_children", 56),
    ("pzxid", 60),
];

fn scenario() -> Vec<Step> {
    let anyway = VersionArg::Is(-1);
    vec![
        connect(0, 0),
        connect(1, 0),
        ask(0, create(opcode::CREATE2, below("/a"), Some(b"data"), 0)),
        ask(0, create(opcode::CREATE, below("/null"), None, 1)),
        ask(1, read(opcode::EXISTS, below("/a"), true)),
        ask(1, read(opcode::GET_DATA, below("/null"), true)),
        ask(1, read(opcode::GET_CHILDREN, below(""), true)),
        ask(0, set_data(below("/a"), Some(b"new"), anyway)),
        ask(0, create(opcode::CREATE, below("/n-"), None, 2)),
        fence(1),
        ask(1, read(opcode::GET_DATA, below("/a"), false)),
        ask(1, on_path(opcode::GET_ACL, below("/a"))),
        ask(1, delete(below("/none"), anyway)),
        burst(
            1,
            vec![
                read(opcode::EXISTS, below("/a"), true),
                set_data(below("/a"), Some(b"newer"), anyway),
                ping(),
            ],
        ),
        ask(
            1,
            multi(
                opcode::MULTI,
                vec![check(below("/a"), anyway), delete(below("/none"), anyway)],
            ),
        ),
        ask_last(0, bare(opcode::CLOSE_SESSION)),
        fence(1),
    ]
}

/// What one of the two members seems to say; `None` for nothing changed.
struct Case {
    name: String,
    mutation: Option<Mutation>,
    /// Part of the kind of difference that must be found.
    noticed_as: &'static str,
}

fn case(
    name: &str,
    noticed_as: &'static str,
    mutation: impl FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> Case {
    Case {
        name: name.to_owned(),
        mutation: Some(Box::new(mutation)),
        noticed_as,
    }
}

/// Changes frames of one sort, leaves the others.
fn change(
    concerns: impl Fn(&[u8]) -> bool + Send + 'static,
    mut change: impl FnMut(&mut Vec<u8>) + Send + 'static,
) -> impl FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static {
    move |mut frame| {
        if concerns(&frame) {
            change(&mut frame);
        }
        vec![frame]
    }
}

fn int(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"))
}

fn is_event(frame: &[u8]) -> bool {
    int(frame, XID) == -1
}

/// The answer to exists, setData and setACL.
fn is_stat(frame: &[u8]) -> bool {
    frame.len() == BODY + STAT_BYTES && !is_event(frame)
}

fn holds(frame: &[u8], bytes: &[u8]) -> bool {
    frame.windows(bytes.len()).any(|window| window == bytes)
}

fn cases() -> Vec<Case> {
    let refused = |frame: &[u8]| int(frame, ERR) == -101;
    let null_data = |frame: &[u8]| {
        frame.len() == BODY + 4 + STAT_BYTES && int(frame, BODY) == -1 && int(frame, ERR) == 0
    };
    let has_names = |frame: &[u8]| holds(frame, b"\0\0\0\x04null");
    let mut held = Vec::new();
    let mut cases = vec![
        case(
            "a code",
            "err",
            change(refused, |frame| frame[ERR + 3] ^= 1),
        ),
        case("a code of a multi", "results", {
            let failed = |frame: &[u8]| holds(&frame[BODY..], &(-101i32).to_be_bytes());
            change(failed, |frame| frame[BODY + 8] ^= 1)
        }),
        case(
            "an xid",
            "xid",
            change(refused, |frame| frame[XID + 3] ^= 1),
        ),
        case(
            "a zxid",
            "zxid",
            change(refused, |frame| frame[ZXID + 7] ^= 1),
        ),
        case("an event that is lost", "event against", |frame| {
            if is_event(&frame) {
                vec![]
            } else {
                vec![frame]
            }
        }),
        case(
            "an event that comes twice",
            "event",
            |frame| match is_event(&frame) {
                true => vec![frame.clone(), frame],
                false => vec![frame],
            },
        ),
        case(
            "an event behind the reply",
            "event against",
            move |frame| match is_event(&frame) {
                true => {
                    held.push(frame);
                    vec![]
                }
                false => [vec![frame], std::mem::take(&mut held)].concat(),
            },
        ),
        case(
            "the kind of an event",
            "event.kind",
            change(is_event, |frame| frame[BODY + 3] ^= 1),
        ),
        case(
            "the state of an event",
            "event.state",
            change(is_event, |frame| frame[BODY + 7] ^= 1),
        ),
        case(
            "the path of an event",
            "event.path",
            change(is_event, |frame| {
                *frame.last_mut().expect("it has a path") ^= 1
            }),
        ),
        case(
            "the zxid of an event",
            "event zxid",
            change(is_event, |frame| frame[ZXID + 7] ^= 1),
        ),
        case("a byte of data", "data", {
            let has_data =
                |frame: &[u8]| frame.len() > BODY + 7 && &frame[BODY + 4..BODY + 7] == b"new";
            change(has_data, |frame| frame[BODY + 5] ^= 1)
        }),
        case(
            "empty data for null",
            "data",
            change(null_data, |frame| {
                frame[BODY..BODY + 4].fill(0);
            }),
        ),
        case(
            "a name",
            "names",
            change(has_names, |frame| {
                let at = frame.windows(4).position(|window| window == b"null");
                frame[at.expect("it is there")] ^= 1;
            }),
        ),
        case("rights", "acl", {
            let has_acl = |frame: &[u8]| holds(frame, b"anyone");
            change(has_acl, |frame| frame[BODY + 7] ^= 1)
        }),
        case(
            "bytes behind a reply",
            "body",
            change(refused, |frame| frame.push(0)),
        ),
        case(
            "a reply cut short",
            "body",
            change(is_stat, |frame| {
                frame.pop();
            }),
        ),
    ];
    for (field, at) in STAT {
        // Times are judged by whether they can be; one in the far future cannot.
        let place = BODY + at + if field.ends_with("time") { 1 } else { 3 };
        cases.push(Case {
            name: format!("the {field} of a stat"),
            mutation: Some(Box::new(change(is_stat, move |frame| frame[place] ^= 1))),
            noticed_as: field,
        });
    }
    cases
}

#[test]
fn whatever_is_changed_in_what_a_member_says_is_noticed() {
    let members = [(); 2].map(|()| ProcessCluster::start(options(ours(), 1)));
    let parting = |mutation: Option<Mutation>| -> Option<Parting> {
        let root = fresh_root();
        let [one, other] = [&members[0], &members[1]].map(|member| {
            let addresses = [member.client_address(1); 3];
            Run::begin(&addresses, &root)
        });
        let other = match mutation {
            Some(mutation) => other.mutated(mutation),
            None => other,
        };
        compare_runs([one, other], &scenario())
    };
    if let Some(parting) = parting(None) {
        panic!("two members that do the same differ: {parting}");
    }
    let mut missed = Vec::new();
    for case in cases() {
        match parting(case.mutation) {
            None => missed.push(format!("{}: nobody noticed", case.name)),
            Some(found) if !found.kind.contains(case.noticed_as) => {
                missed.push(format!("{}: noticed as {:?}", case.name, found.kind));
            }
            Some(_) => {}
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
