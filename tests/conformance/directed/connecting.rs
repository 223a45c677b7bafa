//! From the first frame to a session, or to none; and to its end.

use super::same;
use crate::request::*;
use crate::step::{
    Greeting, GreetingPassword, GreetingSession, GreetingZxid, Step, ask, ask_last, connect, fence,
    reattach,
};
use vivarium::wire::opcode;

fn greet(greeting: Greeting) -> Step {
    Step::Greet {
        member: 0,
        greeting,
    }
}

#[test]
fn a_session_is_granted_as_it_is_asked_for() {
    let mut steps = Vec::new();
    for read_only in [None, Some(0), Some(1), Some(7)] {
        steps.push(greet(Greeting {
            read_only,
            ..Greeting::default()
        }));
    }
    for timeout_ms in [
        i32::MIN,
        -5,
        0,
        1,
        999,
        1000,
        1001,
        59_999,
        60_001,
        i32::MAX,
    ] {
        steps.push(greet(Greeting {
            timeout_ms,
            ..Greeting::default()
        }));
    }
    for version in [1, -1, i32::MAX] {
        steps.push(greet(Greeting {
            version,
            ..Greeting::default()
        }));
    }
    for password in [None, Some(vec![]), Some(vec![1; 15]), Some(vec![1; 40])] {
        steps.push(greet(Greeting {
            password: GreetingPassword::Is(password),
            ..Greeting::default()
        }));
    }
    steps.push(greet(Greeting {
        zxid: GreetingZxid::Is(-1),
        ..Greeting::default()
    }));
    same(steps);
}

#[test]
fn a_client_that_has_seen_more_is_sent_away() {
    let mut steps = vec![connect(0, 0)];
    for (zxid, session) in [
        (GreetingZxid::Ahead(1_000_000), GreetingSession::New),
        (GreetingZxid::Is(i64::MAX), GreetingSession::New),
        (GreetingZxid::Ahead(1_000_000), GreetingSession::Of(0)),
        (GreetingZxid::Ahead(1_000_000), GreetingSession::Unknown),
    ] {
        steps.push(greet(Greeting {
            zxid,
            session,
            password: GreetingPassword::Right,
            ends: true,
            ..Greeting::default()
        }));
    }
    steps.push(ask(0, create(opcode::CREATE, below("/a"), None, 1)));
    same(steps);
}

#[test]
fn a_session_that_is_not_ones_own_is_refused_and_goes_on() {
    let mut steps = vec![connect(0, 0), ask(0, ping())];
    for member in 0..3 {
        for (session, password) in [
            (GreetingSession::Unknown, Some(vec![0; 16])),
            (GreetingSession::Of(0), Some(vec![0; 16])),
            (GreetingSession::Of(0), Some(vec![7; 16])),
            (GreetingSession::Of(0), Some(vec![0; 15])),
            (GreetingSession::Of(0), Some(vec![])),
        ] {
            for read_only in [None, Some(0)] {
                steps.push(Step::Greet {
                    member,
                    greeting: Greeting {
                        session,
                        read_only,
                        password: GreetingPassword::Is(password.clone()),
                        ends: true,
                        ..Greeting::default()
                    },
                });
                // ZooKeeper ends the session's connection before it looks at the password.
                steps.push(reattach(0, 0));
            }
        }
    }
    steps.push(ask(0, create(opcode::CREATE, below("/a"), None, 1)));
    same(steps);
}

#[test]
fn a_session_that_has_ended_is_refused_on_every_member() {
    let mut steps = vec![
        connect(0, 1),
        connect(1, 0),
        ask(0, create(opcode::CREATE, below("/a"), None, 1)),
        ask(1, read(opcode::EXISTS, below("/a"), true)),
    ];
    // Its number is kept by the one who knew it.
    steps.push(Step::Greet {
        member: 1,
        greeting: Greeting {
            session: GreetingSession::Of(0),
            password: GreetingPassword::Right,
            ..Greeting::default()
        },
    });
    steps.push(fence(1));
    for member in 0..3 {
        steps.push(Step::Greet {
            member,
            greeting: Greeting {
                session: GreetingSession::Of(0),
                password: GreetingPassword::Right,
                ends: true,
                ..Greeting::default()
            },
        });
    }
    same(steps);
}

#[test]
fn a_session_left_alone_expires_with_its_ephemerals() {
    same(vec![
        connect(0, 1),
        connect(1, 2),
        ask(0, create(opcode::CREATE, below("/a"), None, 0)),
        ask(0, create(opcode::CREATE, below("/a/x"), None, 1)),
        ask(0, create(opcode::CREATE, below("/a/y"), None, 3)),
        ask(1, read(opcode::EXISTS, below("/a/x"), true)),
        ask(1, read(opcode::GET_CHILDREN, below("/a"), true)),
        ask(1, watch(opcode::ADD_WATCH, below(""), 1)),
        Step::Expire { slot: 0 },
        fence(1),
        ask(1, read(opcode::GET_CHILDREN2, below("/a"), false)),
    ]);
}

#[test]
fn a_session_moves_with_its_ephemerals_and_without_its_watches() {
    let mut steps = vec![
        connect(0, 0),
        connect(1, 1),
        ask(0, create(opcode::CREATE, below("/a"), None, 1)),
        ask(0, auth("digest", "ann:secret")),
    ];
    for member in [1, 2, 0, 0] {
        steps.extend([
            ask(0, read(opcode::GET_DATA, below("/a"), true)),
            reattach(0, member),
            ask(1, set_data(below("/a"), Some(b"new"), VersionArg::Is(-1))),
            ask(0, read(opcode::GET_DATA, below("/a"), false)),
            ask(0, on_path(opcode::GET_EPHEMERALS, exactly("/"))),
            ask(0, bare(opcode::WHO_AM_I)),
        ]);
    }
    same(steps);
}

#[test]
fn closing_a_session_is_told_before_its_reply() {
    same(vec![
        connect(0, 0),
        connect(1, 1),
        ask(0, create(opcode::CREATE, below("/a"), None, 1)),
        ask(0, read(opcode::EXISTS, below("/a"), true)),
        ask(0, watch(opcode::ADD_WATCH, below(""), 0)),
        ask(1, read(opcode::EXISTS, below("/a"), true)),
        ask_last(0, bare(opcode::CLOSE_SESSION)),
        fence(1),
    ]);
}

#[test]
fn frames_that_are_no_requests_end_the_connection() {
    let mut steps = vec![connect(0, 0), connect(1, 1)];
    let number = |number: i32| number.to_be_bytes().to_vec();
    for bytes in [
        number(-1),
        number(i32::MIN),
        number(0),
        number(0x0100_0000),
        [number(4), number(1)].concat(),
        [number(7), vec![0; 7]].concat(),
    ] {
        steps.push(Step::Send { slot: 0, bytes });
        steps.push(ask(1, ping()));
        steps.push(reattach(0, 0));
    }
    same(steps);
}
