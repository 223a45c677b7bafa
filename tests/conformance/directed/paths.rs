//! The rules of a path, one character class after the other.

use super::same;
use crate::request::*;
use crate::step::{Step, ask, connect};
use vivarium::wire::opcode;

/// Both sides of every border that the rules name.
const CHARACTERS: &[char] = &[
    '\u{0}',
    '\u{1}',
    '\u{1f}',
    ' ',
    '.',
    ':',
    '\\',
    '%',
    '~',
    '\u{7f}',
    '\u{80}',
    '\u{9f}',
    '\u{a0}',
    '\u{ff}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{f8ff}',
    '\u{f900}',
    '\u{ffef}',
    '\u{fff0}',
    '\u{fffd}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1f980}',
];

const SEGMENTS: &[&str] = &[
    "", "/", "/.", "/..", "/...", "/./x", "/../x", "/x/.", "/x/..", "/.x", "/..x", "/x.", "/x//y",
    "//x", "/x/", "/x//",
];

/// Every operation that takes a path, with this one; what it made is taken away again.
fn all_with(path: PathArg) -> Vec<Step> {
    let p = || path.clone();
    [
        read(opcode::EXISTS, p(), false),
        create(opcode::CREATE, p(), None, 0),
        create(opcode::CREATE2, p(), None, 2),
        read(opcode::EXISTS, p(), true),
        read(opcode::GET_DATA, p(), false),
        read(opcode::GET_CHILDREN, p(), false),
        read(opcode::GET_CHILDREN2, p(), false),
        on_path(opcode::GET_ACL, p()),
        set_data(p(), Some(b"x"), VersionArg::Is(-1)),
        set_acl(p(), open_acl(), VersionArg::Is(-1)),
        on_path(opcode::SYNC, p()),
        watch(opcode::ADD_WATCH, p(), 1),
        watch(opcode::CHECK_WATCHES, p(), 3),
        watch(opcode::REMOVE_WATCHES, p(), 3),
        multi(opcode::MULTI, vec![check(p(), VersionArg::Is(-1))]),
        multi(
            opcode::MULTI,
            vec![set_data(p(), Some(b"y"), VersionArg::Is(-1))],
        ),
        delete(p(), VersionArg::Is(-1)),
        multi(opcode::MULTI, vec![delete(p(), VersionArg::Is(-1))]),
        multi(opcode::MULTI, vec![create(opcode::CREATE, p(), None, 0)]),
        delete(p(), VersionArg::Is(-1)),
    ]
    .into_iter()
    .map(|request| ask(0, request))
    .collect()
}

#[test]
fn every_character_is_judged_alike() {
    let mut steps = vec![connect(0, 1)];
    for character in CHARACTERS {
        steps.extend(all_with(below(&format!("/x{character}y"))));
    }
    same(steps);
}

#[test]
fn every_form_of_a_path_is_judged_alike() {
    let mut steps = vec![
        connect(0, 1),
        ask(0, create(opcode::CREATE, below("/x"), None, 0)),
    ];
    for segments in SEGMENTS {
        steps.extend(all_with(below(segments)));
    }
    same(steps);
}

#[test]
fn paths_that_do_not_begin_at_the_root_are_judged_alike() {
    let mut steps = vec![connect(0, 1)];
    for path in ["a", "a/b", "", " /a", "\0", ".", "..", "a/", "//"] {
        steps.extend(all_with(exactly(path)));
    }
    same(steps);
}

#[test]
fn the_systems_own_paths_are_guarded_alike() {
    let mut steps = vec![connect(0, 1)];
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        let p = || exactly(path);
        for request in [
            create(opcode::CREATE, p(), None, 0),
            create(opcode::CREATE, p(), None, 1),
            delete(p(), VersionArg::Is(-1)),
            delete(p(), VersionArg::Is(5)),
            read(opcode::EXISTS, p(), false),
            read(opcode::GET_DATA, p(), false),
            read(opcode::GET_CHILDREN2, p(), false),
            on_path(opcode::GET_ACL, p()),
            multi(opcode::MULTI, vec![delete(p(), VersionArg::Is(-1))]),
            multi(opcode::MULTI, vec![check(p(), VersionArg::Is(77))]),
        ] {
            steps.push(ask(0, request));
        }
    }
    let config = || exactly("/zookeeper/config");
    steps.push(ask(0, set_data(config(), Some(b"x"), VersionArg::Is(-1))));
    steps.push(ask(0, set_acl(config(), open_acl(), VersionArg::Is(-1))));
    let below_config = exactly("/zookeeper/config/x");
    steps.push(ask(0, create(opcode::CREATE, below_config, None, 0)));
    same(steps);
}

/// Strings are decoded before they are judged.
#[test]
fn bytes_that_are_no_text_are_read_alike() {
    let raw = |bytes: &[u8]| Field::Bytes(Some(bytes.to_vec()));
    let mut steps = vec![connect(0, 1)];
    for bytes in [
        &b"/\xff"[..],
        b"/\xc3",
        b"/\xc3(",
        b"/\xe2\x82",
        b"/\xe2\x82(",
        b"/\xf0\x9f\xa6",
        b"/\xed\xa0\x80",
        b"/\xed\xa0\xbd\xed\xb8\x80",
        b"/\xc0\x80",
        b"/\xf8\x88\x80\x80\x80",
        b"/a\x80b\x80",
    ] {
        steps.push(ask(0, Request::new(opcode::SYNC, vec![raw(bytes)])));
        let exists = Request::new(opcode::EXISTS, vec![raw(bytes), Field::Byte(0)]);
        steps.push(ask(0, exists));
        let set = vec![raw(bytes), Field::Bytes(None), Field::Int(-1)];
        steps.push(ask(0, Request::new(opcode::SET_DATA, set)));
    }
    same(steps);
}
