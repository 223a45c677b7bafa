//! What a stat counts.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, connect};
use vivarium::wire::opcode;

fn look(path: &str) -> Step {
    ask(1, read(opcode::GET_CHILDREN2, below(path), false))
}

#[test]
fn a_parent_counts_its_children_and_the_changes_of_them() {
    let mut steps = vec![
        connect(0, 0),
        connect(1, 1),
        ask(0, create(opcode::CREATE, below("/p"), None, 0)),
    ];
    for request in [
        create(opcode::CREATE, below("/p/a"), None, 0),
        create(opcode::CREATE, below("/p/n-"), None, 2),
        create(opcode::CREATE2, below("/p/n-"), None, 3),
        create(opcode::CREATE_CONTAINER, below("/p/k"), None, 4),
        delete(below("/p/a"), VersionArg::Is(-1)),
        create(opcode::CREATE, below("/p/n-"), None, 2),
        set_data(below("/p"), Some(b"x"), VersionArg::Is(0)),
        set_data(below("/p/n-0000000001"), Some(b"x"), VersionArg::Is(0)),
        set_acl(below("/p"), open_acl(), VersionArg::Is(0)),
        set_acl(below("/p"), open_acl(), VersionArg::Is(0)),
        create(opcode::CREATE, below("/p/n-0000000001"), None, 0),
        create(opcode::CREATE, below("/p/k/deep"), None, 0),
        delete(below("/p/k"), VersionArg::Is(-1)),
        multi(
            opcode::MULTI,
            vec![
                create(opcode::CREATE, below("/p/m1"), None, 0),
                create(opcode::CREATE, below("/p/n-"), None, 2),
                delete(below("/p/m1"), VersionArg::Is(0)),
                set_data(below("/p"), None, VersionArg::Is(-1)),
                create(opcode::CREATE2, below("/p/n-"), None, 2),
            ],
        ),
        // A multi that fails leaves the numbers as they were.
        multi(
            opcode::MULTI,
            vec![
                create(opcode::CREATE, below("/p/m2"), None, 0),
                create(opcode::CREATE, below("/p/n-"), None, 2),
                check(below("/none"), VersionArg::Is(-1)),
            ],
        ),
        create(opcode::CREATE2, below("/p/n-"), None, 2),
    ] {
        steps.push(ask(0, request));
        steps.push(look("/p"));
        steps.push(look(""));
    }
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn the_end_of_a_session_counts_like_its_deletions() {
    same(vec![
        connect(0, 0),
        connect(1, 1),
        ask(0, create(opcode::CREATE, below("/p"), None, 0)),
        ask(0, create(opcode::CREATE, below("/p/a"), None, 1)),
        ask(0, create(opcode::CREATE, below("/p/b-"), None, 3)),
        ask(0, create(opcode::CREATE, below("/p/a/x"), None, 0)),
        look("/p"),
        crate::step::ask_last(0, bare(opcode::CLOSE_SESSION)),
        look("/p"),
        Step::Census,
    ]);
}

#[test]
fn versions_are_compared_and_counted() {
    let p = || below("/p");
    let mut steps = vec![connect(0, 0), ask(0, create(opcode::CREATE, p(), None, 0))];
    for version in [-1, 0, 1, 1, -2, i32::MIN, i32::MAX, 2, 3, -1] {
        let version = VersionArg::Is(version);
        steps.push(ask(0, set_data(p(), Some(b"x"), version)));
        steps.push(ask(0, set_acl(p(), open_acl(), version)));
        steps.push(ask(0, multi(opcode::MULTI, vec![check(p(), version)])));
        steps.push(ask(0, delete(below("/p/none"), version)));
    }
    for version in [-2, 0, i32::MAX, 3, -1] {
        steps.push(ask(0, delete(p(), VersionArg::Is(version))));
    }
    same(steps);
}
