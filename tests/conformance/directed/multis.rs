//! Several operations as one, and the shapes of their results.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, connect};
use vivarium::wire::opcode;

fn anyway() -> VersionArg {
    VersionArg::Is(-1)
}

fn all_kinds(tag: &str) -> Vec<Request> {
    let path = |name: &str| below(&format!("/{name}{tag}"));
    vec![
        create(opcode::CREATE, path("a"), Some(b"a"), 0),
        create(opcode::CREATE2, path("b"), None, 1),
        create(opcode::CREATE_CONTAINER, path("k"), Some(b""), 4),
        create(opcode::CREATE, path("n-"), None, 2),
        create(opcode::CREATE2, path("n-"), None, 3),
        set_data(path("a"), Some(b"aa"), VersionArg::Is(0)),
        check(path("a"), VersionArg::Is(1)),
        delete(path("b"), VersionArg::Is(0)),
    ]
}

#[test]
fn results_have_the_shapes_of_their_operations() {
    same(vec![
        connect(0, 1),
        ask(0, multi(opcode::MULTI, vec![])),
        ask(0, multi(opcode::MULTI, all_kinds("1"))),
        ask(0, multi(opcode::MULTI, all_kinds("1"))),
        Step::Census,
    ]);
}

#[test]
fn the_first_failure_is_named_wherever_it_stands() {
    let failures = [
        check(below("/none"), anyway()),
        check(below(""), VersionArg::Is(99)),
        delete(below("/none"), anyway()),
        delete(below(""), VersionArg::Is(3)),
        delete(exactly("/"), anyway()),
        set_data(below("/none"), None, anyway()),
        set_data(below("/bad//path"), None, anyway()),
        set_data(exactly("/zookeeper/config"), None, anyway()),
        create(opcode::CREATE, below(""), None, 0),
        create(opcode::CREATE, below("/none/x"), None, 0),
        create_with(opcode::CREATE, below("/x"), None, Some(vec![]), 0),
        create(opcode::CREATE2, below("/."), None, 1),
    ];
    let mut steps = vec![connect(0, 1)];
    for (at, failure) in failures.into_iter().enumerate() {
        let mut operations = all_kinds(&at.to_string());
        operations.insert(at % 9, failure.clone());
        steps.push(ask(0, multi(opcode::MULTI, operations)));
        steps.push(ask(0, multi(opcode::MULTI, vec![failure])));
    }
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn a_multi_sees_what_it_has_done_itself() {
    let p = || below("/p");
    same(vec![
        connect(0, 2),
        ask(
            0,
            multi(
                opcode::MULTI,
                vec![
                    create(opcode::CREATE, p(), None, 0),
                    create(opcode::CREATE, below("/p/c"), None, 1),
                    create(opcode::CREATE, below("/p/c/x"), None, 0),
                ],
            ),
        ),
        ask(
            0,
            multi(
                opcode::MULTI,
                vec![
                    create(opcode::CREATE, p(), None, 0),
                    create(opcode::CREATE, below("/p/c"), None, 1),
                    set_data(below("/p/c"), Some(b"1"), VersionArg::Is(0)),
                    set_data(below("/p/c"), Some(b"2"), VersionArg::Is(1)),
                    check(below("/p/c"), VersionArg::Is(2)),
                    delete(p(), anyway()),
                ],
            ),
        ),
        ask(
            0,
            multi(
                opcode::MULTI,
                vec![
                    create(opcode::CREATE, p(), None, 0),
                    delete(p(), VersionArg::Is(0)),
                    create(opcode::CREATE2, p(), None, 1),
                    delete(p(), VersionArg::Is(0)),
                ],
            ),
        ),
        Step::Census,
    ]);
}

#[test]
fn every_operation_of_a_multi_is_told_of_in_its_order() {
    same(vec![
        connect(0, 1),
        connect(1, 2),
        ask(0, create(opcode::CREATE, below("/p"), None, 0)),
        ask(0, read(opcode::GET_CHILDREN, below("/p"), true)),
        ask(0, read(opcode::EXISTS, below("/p/a"), true)),
        ask(1, watch(opcode::ADD_WATCH, below("/p"), 1)),
        ask(1, watch(opcode::ADD_WATCH, below("/p"), 0)),
        ask(1, watch(opcode::ADD_WATCH, below(""), 1)),
        ask(
            0,
            multi(
                opcode::MULTI,
                vec![
                    create(opcode::CREATE, below("/p/a"), None, 0),
                    set_data(below("/p/a"), Some(b"x"), anyway()),
                    delete(below("/p/a"), anyway()),
                    create(opcode::CREATE, below("/p/b"), None, 0),
                    set_data(below("/p"), Some(b"x"), anyway()),
                ],
            ),
        ),
        crate::step::fence(1),
    ]);
}

#[test]
fn reads_in_a_list_answer_each_for_itself() {
    let mut steps = vec![
        connect(0, 1),
        connect(1, 0),
        ask(0, create(opcode::CREATE, below("/a"), Some(b"a"), 0)),
        ask(0, create(opcode::CREATE, below("/n"), None, 1)),
    ];
    let secret = Some(vec![acl_line(0, "world", "anyone")]);
    steps.push(ask(
        0,
        create_with(opcode::CREATE, below("/s"), None, secret, 0),
    ));
    let reads: Vec<Request> = ["/a", "/n", "/s", "/none", ""]
        .iter()
        .flat_map(|path| {
            [opcode::GET_DATA, opcode::GET_CHILDREN].map(|op| read(op, below(path), true))
        })
        .collect();
    steps.push(ask(0, multi(opcode::MULTI_READ, vec![])));
    steps.push(ask(0, multi(opcode::MULTI_READ, reads)));
    // No watch was set by any of them.
    steps.push(ask(0, watch(opcode::CHECK_WATCHES, below("/a"), 3)));
    steps.push(ask(1, set_data(below("/a"), Some(b"b"), anyway())));
    steps.push(ask(1, create(opcode::CREATE, below("/a/c"), Some(b"b"), 0)));
    steps.push(crate::step::fence(0));
    // What does not belong there.
    for operation in [
        read(opcode::EXISTS, below("/a"), false),
        read(opcode::GET_CHILDREN2, below("/a"), false),
        delete(below("/a"), anyway()),
        on_path(opcode::GET_ACL, below("/a")),
        bare(77),
    ] {
        let fine = read(opcode::GET_DATA, below("/a"), false);
        steps.push(ask(0, multi(opcode::MULTI_READ, vec![operation.clone()])));
        steps.push(ask(0, multi(opcode::MULTI_READ, vec![fine, operation])));
    }
    same(steps);
}
