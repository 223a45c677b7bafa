//! Who is told what, how often, and in which order.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, burst, connect, fence, reattach};
use vivarium::wire::opcode;

fn make(path: &str) -> Step {
    ask(0, create(opcode::CREATE, below(path), None, 0))
}

fn set(path: &str) -> Step {
    ask(0, set_data(below(path), Some(b"x"), VersionArg::Is(-1)))
}

fn remove(path: &str) -> Step {
    ask(0, delete(below(path), VersionArg::Is(-1)))
}

fn look(slot: usize, op: i32, path: &str) -> Step {
    ask(slot, read(op, below(path), true))
}

/// All that can happen to a path and its children, and the watcher's events after each.
fn a_life_of(path: &str) -> Vec<Step> {
    let child = format!("{path}/child");
    let grandchild = format!("{child}/deep");
    let steps = [
        make(path),
        set(path),
        make(&child),
        make(&grandchild),
        set(&grandchild),
        remove(&grandchild),
        set(&child),
        ask(0, set_acl(below(path), open_acl(), VersionArg::Is(-1))),
        remove(&child),
        remove(path),
        make(path),
        remove(path),
    ];
    steps
        .into_iter()
        .flat_map(|step| [step, fence(1)])
        .collect()
}

#[test]
fn one_shot_watches_tell_once() {
    let mut steps = vec![connect(0, 0), connect(1, 1)];
    for first in [opcode::EXISTS, opcode::GET_DATA, opcode::GET_CHILDREN2] {
        steps.push(look(1, first, "/a"));
        steps.extend(a_life_of("/a"));
        steps.push(make("/a"));
        steps.push(look(1, first, "/a"));
        steps.push(remove("/a"));
        steps.push(fence(1));
        steps.extend(a_life_of("/a"));
        steps.push(make("/a"));
        steps.push(make("/a/c"));
        for op in [
            opcode::EXISTS,
            opcode::GET_CHILDREN,
            opcode::GET_DATA,
            first,
        ] {
            steps.push(look(1, op, "/a"));
        }
        steps.push(remove("/a/c"));
        steps.push(fence(1));
        steps.push(remove("/a"));
        steps.push(fence(1));
    }
    same(steps);
}

#[test]
fn persistent_watches_tell_for_ever() {
    for modes in [&[0][..], &[1], &[0, 1], &[1, 0, 0]] {
        let mut steps = vec![connect(0, 0), connect(1, 2)];
        for mode in modes {
            steps.push(ask(1, watch(opcode::ADD_WATCH, below("/a"), *mode)));
            steps.push(ask(1, watch(opcode::ADD_WATCH, below("/a/child"), *mode)));
        }
        steps.extend(a_life_of("/a"));
        // Standard watches beside them.
        steps.push(make("/a"));
        steps.push(make("/a/child"));
        for op in [opcode::EXISTS, opcode::GET_DATA, opcode::GET_CHILDREN] {
            steps.push(look(1, op, "/a"));
            steps.push(look(1, op, "/a/child"));
        }
        steps.push(remove("/a/child"));
        steps.push(remove("/a"));
        steps.extend(a_life_of("/a"));
        same(steps);
    }
}

#[test]
fn a_watch_on_the_root_of_all_sees_all() {
    let mut steps = vec![
        connect(0, 0),
        connect(1, 1),
        ask(1, watch(opcode::ADD_WATCH, exactly("/"), 1)),
    ];
    steps.extend(a_life_of("/a"));
    steps.push(ask(1, watch(opcode::REMOVE_WATCHES, exactly("/"), 5)));
    steps.extend(a_life_of("/a"));
    same(steps);
}

#[test]
fn watches_are_checked_and_removed_by_their_kind() {
    let set_all = |kinds: &[usize]| -> Vec<Request> {
        let all = [
            read(opcode::EXISTS, below("/a"), true),
            read(opcode::GET_CHILDREN, below("/a"), true),
            watch(opcode::ADD_WATCH, below("/a"), 0),
            watch(opcode::ADD_WATCH, below("/a"), 1),
        ];
        kinds.iter().map(|kind| all[*kind].clone()).collect()
    };
    let checks = || -> Vec<Request> {
        (-1..=7)
            .map(|kind| watch(opcode::CHECK_WATCHES, below("/a"), kind))
            .collect()
    };
    let mut steps = vec![connect(0, 0), make("/a")];
    for kinds in [&[0][..], &[1], &[2], &[3], &[0, 1], &[2, 3], &[0, 1, 2, 3]] {
        for removed in 1..=5 {
            steps.push(burst(0, set_all(kinds)));
            steps.push(burst(0, checks()));
            steps.push(ask(0, watch(opcode::REMOVE_WATCHES, below("/a"), removed)));
            steps.push(burst(0, checks()));
            steps.push(set("/a"));
            steps.push(make("/a/c"));
            steps.push(remove("/a/c"));
            for kind in [3, 4, 5] {
                steps.push(ask(0, watch(opcode::REMOVE_WATCHES, below("/a"), kind)));
            }
        }
    }
    same(steps);
}

#[test]
fn watches_that_come_back_are_told_what_they_missed() {
    let mut steps = vec![connect(0, 0), connect(1, 1)];
    for path in [
        "/same",
        "/set",
        "/grown",
        "/shrunk",
        "/shrunk/x",
        "/gone",
        "/remade",
    ] {
        steps.push(make(path));
    }
    steps.extend([
        fence(1),
        reattach(1, 2),
        set("/set"),
        make("/grown/x"),
        remove("/shrunk/x"),
        remove("/gone"),
        make("/made"),
        remove("/remade"),
        make("/remade"),
    ]);
    let paths = [
        "/same", "/set", "/grown", "/shrunk", "/gone", "/remade", "/made", "/never",
    ];
    let all = || paths.map(below).to_vec();
    for zxid in [
        ZxidArg::Seen(0),
        ZxidArg::Seen(9),
        ZxidArg::Is(0),
        ZxidArg::Is(-1),
        ZxidArg::Is(i64::MAX),
    ] {
        for list in 0..5 {
            let mut lists = vec![Vec::new(); if list < 3 { 3 } else { 5 }];
            lists[list] = all();
            steps.push(ask(1, set_watches(zxid, lists)));
            let checks = paths.iter().flat_map(|path| {
                [1, 2, 4, 5].map(|kind| watch(opcode::CHECK_WATCHES, below(path), kind))
            });
            steps.push(burst(1, checks.collect()));
            let removes = paths.iter().flat_map(|path| {
                [3, 4, 5].map(|kind| watch(opcode::REMOVE_WATCHES, below(path), kind))
            });
            steps.push(burst(1, removes.collect()));
        }
        steps.push(ask(1, set_watches(zxid, vec![all(), all(), all()])));
        steps.push(ask(
            1,
            set_watches(zxid, vec![all(), all(), all(), all(), all()]),
        ));
        steps.extend(paths.map(set));
        steps.extend(paths.map(|path| make(&format!("{path}/y"))));
        steps.extend(paths.map(|path| remove(&format!("{path}/y"))));
        steps.push(fence(1));
        let member = if zxid == ZxidArg::Is(0) { 0 } else { 1 };
        steps.push(reattach(1, member));
    }
    same(steps);
}

#[test]
fn the_event_comes_before_the_reply_of_whoever_caused_it() {
    let p = || below("/p");
    same(vec![
        connect(0, 1),
        burst(
            0,
            vec![
                read(opcode::EXISTS, p(), true),
                read(opcode::GET_CHILDREN, below(""), true),
                create(opcode::CREATE, p(), None, 0),
                read(opcode::GET_DATA, p(), true),
                read(opcode::GET_CHILDREN, below(""), true),
                set_data(p(), Some(b"x"), VersionArg::Is(-1)),
                read(opcode::GET_DATA, p(), true),
                read(opcode::GET_CHILDREN, p(), true),
                delete(p(), VersionArg::Is(-1)),
                read(opcode::EXISTS, p(), false),
            ],
        ),
    ]);
}

#[test]
fn a_watch_on_no_path_that_could_exist_is_taken() {
    let mut steps = vec![connect(0, 1)];
    for path in ["", "a", "//", "/a/", "/nothing//here", "/\0"] {
        for mode in [0, 1, 2, -1, i32::MAX] {
            steps.push(ask(0, watch(opcode::ADD_WATCH, exactly(path), mode)));
        }
        for op in [opcode::CHECK_WATCHES, opcode::REMOVE_WATCHES] {
            for kind in 1..=5 {
                steps.push(ask(0, watch(op, exactly(path), kind)));
            }
        }
        let lists = vec![vec![exactly(path)]; 5];
        steps.push(ask(0, set_watches(ZxidArg::Is(0), lists)));
        steps.push(ask(0, read(opcode::EXISTS, exactly(path), true)));
    }
    same(steps);
}
