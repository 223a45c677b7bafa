//! SASL where there are users: proofs that are right, and proofs that are wrong in one thing.

use super::same_on;
use crate::compare::compare;
use crate::pair::{Pair, fresh_root, scratch};
use crate::request::*;
use crate::sasl::Proof;
use crate::step::{Step, ask, ask_last, connect, reattach};
use std::fs;
use vivarium::wire::opcode;

/// One member each, which knows `bob`, `super` and somebody whose name has blanks.
fn with_users(name: &str, lines: &str) -> Pair {
    let path = scratch(name);
    let users = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
                 user_super=\"admin\" user_bob=\"secret\" user_ann=\"a secret, with \\\\ in it\"; };";
    fs::create_dir_all(scratch("")).expect("the scratch directory is there");
    fs::write(&path, users).expect("the users can be written");
    let path = path.display().to_string();
    Pair::start(1, |options| {
        options
            .java_property("java.security.auth.login.config", &path)
            .zoo_cfg(lines)
    })
}

fn bob() -> Proof {
    Proof::of("bob", "secret")
}

/// Each is wrong, or odd, in one thing.
fn odd_proofs() -> Vec<Proof> {
    let changed = [
        ("{response}", "0123456789abcdef0123456789abcdef"),
        ("{response}", "\"{response}\""),
        ("response={response}", "response="),
        (",response={response}", ""),
        ("nonce=\"{nonce}\"", "nonce=\"another\""),
        ("nonce=\"{nonce}\"", "nonce={nonce}"),
        ("nonce=\"{nonce}\",", ""),
        ("nonce=\"{nonce}\"", "nonce=\"{nonce}\",nonce=\"{nonce}\""),
        ("realm=\"zk-sasl-md5\",", ""),
        ("zk-sasl-md5\",nonce", "another\",nonce"),
        ("nc=00000001,", ""),
        ("nc=00000001", "nc=00000002"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=one"),
        ("nc=00000001", "nonce-count=1"),
        ("nc=00000001", "nonce-count=00000002"),
        ("nc=00000001", "nonce-count=one"),
        ("cnonce=", "other="),
        ("digest-uri=\"zookeeper/", "digest-uri=\"other/"),
        ("digest-uri=\"zookeeper/zk-sasl-md5\",", ""),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth", "qop=nonsense"),
        (",qop=auth", ""),
        ("charset=utf-8", "charset=latin"),
        ("charset=utf-8,", ""),
        ("maxbuf=65536", "maxbuf=no"),
        ("maxbuf=65536", "maxbuf=1"),
        ("username=\"bob\"", "username=bob"),
        ("username=\"bob\"", "username=\"b\\ob\""),
        ("username=\"bob\"", "USERNAME=\"bob\""),
        ("username=\"bob\"", "username=\"\""),
        ("username=\"bob\",", ""),
        ("qop=auth", "qop=auth,"),
        ("qop=auth", "qop=auth,stranger=yes"),
        ("qop=auth", "qop=auth,stranger"),
        ("qop=auth", "qop=auth,stranger "),
        ("qop=auth", "qop=auth,stranger,"),
        ("qop=auth", "qop=auth,stranger=1,stranger=2"),
        ("qop=auth", "qop=auth,charset"),
        ("qop=auth", "qop=auth,cipher=\"none\",auth-param=7"),
        ("qop=auth", "qop=auth,authzid=\"bob\""),
        (",maxbuf", " , maxbuf"),
        (",maxbuf", ",,maxbuf"),
        (",maxbuf", " maxbuf"),
    ];
    let changed = changed.map(|(part, other)| bob().with(part, other));
    let others = [
        Proof::of("bob", "wrong"),
        Proof::of("bob", ""),
        Proof::of("nobody", "secret"),
        Proof::of("ann", "a secret, with \\ in it"),
    ];
    changed.into_iter().chain(others).collect()
}

/// Whom the member takes the client for, and what that is good for.
fn who_is(slot: usize) -> [Step; 3] {
    let bobs = Some(vec![acl_line(31, "sasl", "bob")]);
    [
        ask(slot, bare(opcode::WHO_AM_I)),
        ask(
            slot,
            create_with(opcode::CREATE, below("/bobs-"), None, bobs, 2),
        ),
        ask(
            slot,
            read(opcode::GET_DATA, PathArg::Made(0, String::new()), false),
        ),
    ]
}

fn exchange(slot: usize, proof: Proof) -> Vec<Step> {
    let asks_for_challenge = ask(slot, sasl(Some(b"")));
    let mut steps = vec![asks_for_challenge, ask(slot, sasl_proof(proof))];
    steps.extend(who_is(slot));
    steps.push(reattach(slot, 0));
    steps
}

#[test]
fn a_proof_that_is_right_or_wrong_in_one_thing_is_judged_alike() {
    let pair = with_users("users.conf", "");
    let mut steps = vec![connect(0, 0)];
    steps.extend(who_is(0));
    steps.extend(exchange(0, bob()));
    // Somebody who may do everything, and what comes after the end of an exchange.
    steps.extend(exchange(0, Proof::of("super", "admin")));
    steps.extend([ask(0, sasl(Some(b"first"))), ask(0, sasl_proof(bob()))]);
    steps.extend(who_is(0));
    steps.extend([ask_last(0, sasl(Some(b""))), reattach(0, 0)]);
    same_on(&pair, steps);
    let partings = odd_proofs().into_iter().filter_map(|proof| {
        let steps: Vec<Step> = [connect(0, 0)]
            .into_iter()
            .chain(exchange(0, proof))
            .collect();
        compare(&pair.original(), &pair.ours(), &fresh_root(), &steps)
    });
    let partings: Vec<String> = partings.map(|parting| parting.to_string()).collect();
    assert!(partings.is_empty(), "{}", partings.join("\n\n"));
}

/// Where it is required, the run's own client is not served.
#[test]
fn a_failure_that_is_tolerated_is_told_alike() {
    let pair = with_users("tolerated-users.conf", "allowSaslFailedClients=true");
    let mut steps = vec![connect(0, 0)];
    for proof in [
        bob(),
        Proof::of("bob", "wrong"),
        Proof::of("nobody", "secret"),
        bob().with("nonce=\"{nonce}\",", ""),
        bob().with("maxbuf=65536", "maxbuf=no"),
    ] {
        steps.extend(exchange(0, proof));
    }
    steps.extend([
        ask(0, sasl(Some(b"first"))),
        ask(0, sasl(Some(b"nonsense"))),
    ]);
    steps.extend([ask(0, sasl_proof(bob())), ask(0, sasl(Some(b"")))]);
    steps.extend(who_is(0));
    same_on(&pair, steps);
}
