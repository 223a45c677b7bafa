//! Access lists, and who proves to be whom.

use super::same;
use crate::pair::digest_id;
use crate::request::*;
use crate::run::SUPER_PROOF;
use crate::step::{Step, ask, ask_last, connect, reattach};
use vivarium::wire::opcode;

const ANN: &str = "ann:secret";
const BOB: &str = "bob:secret";

fn lines() -> Vec<AclLine> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        acl_line(31, "world", "anyone"),
        acl_line(31, "world", "Anyone"),
        acl_line(31, "world", ""),
        acl_line(0, "world", "anyone"),
        acl_line(-1, "world", "anyone"),
        acl_line(64, "world", "anyone"),
        acl_line(31, "auth", ""),
        acl_line(31, "auth", "x"),
        acl_line(31, "digest", &digest_id(ANN)),
        acl_line(31, "digest", "ann"),
        acl_line(31, "digest", "ann:"),
        acl_line(31, "digest", ":hash"),
        acl_line(31, "digest", ":"),
        acl_line(31, "digest", "a:b:c"),
        acl_line(31, "digest", "a:b::"),
        acl_line(31, "digest", ""),
        acl_line(31, "ip", "127.0.0.1"),
        acl_line(31, "ip", "127.0.0.1/32"),
        acl_line(31, "ip", "127.0.0.1/0"),
        acl_line(31, "ip", "127.0.0.1/33"),
        acl_line(31, "ip", "127.0.0.1/-1"),
        acl_line(31, "ip", "127.0.0.1/"),
        acl_line(31, "ip", "127.0.0"),
        acl_line(31, "ip", "127.0.0.256"),
        acl_line(31, "ip", "10.0.0.0/8"),
        acl_line(31, "ip", "::1"),
        acl_line(31, "ip", "::1/64"),
        acl_line(31, "ip", "::1/129"),
        acl_line(31, "ip", "localhost"),
        acl_line(31, "ip", ""),
        acl_line(31, "super", ""),
        acl_line(31, "super", "x"),
        acl_line(31, "kerberos", "x"),
        acl_line(31, "", ""),
        acl_line(31, "sasl", "ann"),
        acl_line(31, "sasl", ""),
        acl_line(31, "x509", "CN=ann,O=Example"),
        acl_line(31, "x509", "ann"),
        acl_line(31, "x509", ""),
        acl_line(31, "WORLD", "anyone"),
        (31, None, text("anyone")),
        (31, text("digest"), None),
        (31, text("ip"), None),
        (31, text("auth"), None),
        (31, None, None),
    ]
}

#[test]
fn every_line_of_an_access_list_is_judged_alike() {
    let mut steps = vec![
        connect(0, 1),
        connect(1, 0),
        ask(1, auth("digest", ANN)),
        ask(0, create(opcode::CREATE, below("/set"), None, 0)),
    ];
    for (at, line) in lines().into_iter().enumerate() {
        for slot in [0, 1] {
            let path = || below(&format!("/{at}-{slot}"));
            let acl = || Some(vec![line.clone()]);
            steps.push(ask(
                slot,
                create_with(opcode::CREATE2, path(), None, acl(), 0),
            ));
            steps.push(ask(slot, read(opcode::GET_DATA, path(), false)));
            steps.push(ask(slot, on_path(opcode::GET_ACL, path())));
            steps.push(ask(slot, set_acl(path(), acl(), VersionArg::Seen(0))));
            let after_good = Some(vec![acl_line(1, "world", "anyone"), line.clone()]);
            steps.push(ask(
                slot,
                set_acl(below("/set"), after_good, VersionArg::Is(-1)),
            ));
        }
    }
    steps.push(Step::Census);
    same(steps);
}

#[test]
fn lists_are_kept_in_their_order_and_without_what_is_twice() {
    let world = |perms: i32| acl_line(perms, "world", "anyone");
    let ann = || acl_line(31, "digest", &digest_id(ANN));
    let own = || acl_line(31, "auth", "");
    let mut steps = vec![connect(0, 1), ask(0, auth("digest", ANN))];
    for (at, acl) in [
        Some(vec![world(1), world(2), world(1), world(31)]),
        Some(vec![ann(), world(1), ann()]),
        Some(vec![own(), ann(), world(1)]),
        Some(vec![ann(), own(), world(1)]),
        Some(vec![own(), own()]),
        Some(vec![own(), acl_line(1, "auth", "")]),
        Some(vec![]),
        None,
    ]
    .into_iter()
    .enumerate()
    {
        let path = || below(&format!("/{at}"));
        steps.push(ask(
            0,
            create_with(opcode::CREATE, path(), None, acl.clone(), 0),
        ));
        steps.push(ask(0, on_path(opcode::GET_ACL, path())));
        steps.push(ask(0, set_acl(path(), acl, VersionArg::Is(-1))));
        steps.push(ask(0, on_path(opcode::GET_ACL, path())));
    }
    same(steps);
}

#[test]
fn each_right_allows_what_it_names() {
    let mut steps = vec![
        connect(0, 0),
        connect(1, 1),
        connect(2, 2),
        ask(0, auth("digest", ANN)),
        ask(2, auth("digest", BOB)),
        ask(2, auth("digest", SUPER_PROOF)),
    ];
    for perms in [0, 1, 2, 4, 8, 16, 3, 12, 17, 31] {
        let path = |rest: &str| below(&format!("/{perms}{rest}"));
        let acl = Some(vec![
            acl_line(perms, "world", "anyone"),
            acl_line(31, "digest", &digest_id(ANN)),
        ]);
        steps.push(ask(0, create(opcode::CREATE, path(""), Some(b"x"), 0)));
        steps.push(ask(0, create(opcode::CREATE, path("/a"), Some(b"x"), 0)));
        steps.push(ask(0, set_acl(path(""), acl.clone(), VersionArg::Is(-1))));
        for slot in [1, 0, 2] {
            for request in [
                read(opcode::EXISTS, path(""), false),
                read(opcode::GET_DATA, path(""), false),
                read(opcode::GET_CHILDREN, path(""), false),
                read(opcode::GET_CHILDREN2, path(""), false),
                on_path(opcode::GET_ACL, path("")),
                set_data(path(""), Some(b"y"), VersionArg::Is(-1)),
                set_data(path(""), Some(b"y"), VersionArg::Is(77)),
                create(opcode::CREATE, path("/b"), None, 0),
                create(opcode::CREATE, path("/a"), None, 0),
                create(opcode::CREATE, path("/n-"), None, 2),
                delete(path("/none"), VersionArg::Is(-1)),
                delete(path("/b"), VersionArg::Is(77)),
                delete(path("/b"), VersionArg::Is(-1)),
                multi(opcode::MULTI, vec![check(path(""), VersionArg::Is(77))]),
                multi(opcode::MULTI, vec![check(path(""), VersionArg::Is(-1))]),
                set_acl(path(""), acl.clone(), VersionArg::Is(77)),
                set_acl(path(""), acl.clone(), VersionArg::Is(-1)),
            ] {
                steps.push(ask(slot, request));
            }
        }
    }
    same(steps);
}

#[test]
fn whoever_proves_something_is_that_until_the_connection_ends() {
    let who = || ask(0, bare(opcode::WHO_AM_I));
    let mut steps = vec![connect(0, 0), who()];
    for proof in [
        ANN,
        ANN,
        BOB,
        "",
        ":",
        "ann",
        "a:b:c",
        "ann:",
        ":secret",
        "\u{e9}:\u{e9}",
    ] {
        steps.push(ask(0, auth("digest", proof)));
        steps.push(who());
    }
    steps.push(ask(0, auth("ip", "anything")));
    steps.push(who());
    let own = Some(vec![acl_line(31, "auth", "")]);
    steps.push(ask(
        0,
        create_with(opcode::CREATE, below("/own"), None, own, 0),
    ));
    steps.push(reattach(0, 0));
    steps.push(who());
    steps.push(ask(0, on_path(opcode::GET_ACL, below("/own"))));
    steps.push(ask(0, read(opcode::GET_DATA, below("/own"), false)));
    steps.push(ask(0, auth("digest", ANN)));
    steps.push(ask(0, read(opcode::GET_DATA, below("/own"), false)));
    same(steps);
}

#[test]
fn what_cannot_be_proved_ends_the_connection() {
    let mut steps = vec![connect(0, 0)];
    let mut odd_type = auth("digest", ANN);
    odd_type.fields[0] = Field::Int(7);
    let mut null_scheme = auth("digest", ANN);
    null_scheme.fields[1] = Field::Text(None);
    let mut null_proof = auth("digest", ANN);
    null_proof.fields[2] = Field::Bytes(None);
    steps.push(ask(0, odd_type));
    for request in [
        auth("kerberos", "ann"),
        auth("world", "anyone"),
        auth("super", ""),
        auth("auth", ""),
        auth("", ""),
        auth("DIGEST", ANN),
        null_scheme,
        null_proof,
        auth("digest", ANN).spoilt(Spoil::Cut(0)),
        auth("digest", ANN).spoilt(Spoil::Cut(500)),
        auth("digest", ANN).spoilt(Spoil::Cut(900)),
        auth("digest", ANN).spoilt(Spoil::Overwrite(160, -5)),
    ] {
        steps.push(ask_last(0, request));
        steps.push(reattach(0, 0));
    }
    steps.push(ask(0, ping()));
    same(steps);
}
