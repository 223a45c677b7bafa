//! `--merge`: beside clients that use the ensemble.

use super::{
    import, imported, kinds_of, original, plant, refused, show, show_all, super_client, told,
};
use crate::pair::{options, ours};
use crate::run::SUPER_PROOF;
use serde_json::Value;
use std::collections::BTreeMap;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Bytes, flags, op};

#[test]
fn what_is_missing_is_created_and_nothing_else_happens() {
    let there = original(1);
    let mut source = super_client(&there, 1);
    plant(&mut source);
    let theirs = show_all(&mut source);

    let here = ProcessCluster::start(options(ours(), 3));
    let mut client = super_client(&here, 1);
    client.create("/plain", b"mine", flags::PERSISTENT).unwrap();
    client
        .create("/plain/299", b"mine too", flags::PERSISTENT)
        .unwrap();
    client.create("/lock", b"", flags::PERSISTENT).unwrap();
    client.create("/lock/held", b"", flags::EPHEMERAL).unwrap();
    client.create("/empty", b"not", flags::EPHEMERAL).unwrap();
    let before = show_all(&mut client);
    let watched = Bytes::new().text("/lock").flag(true);
    client.ask(op::GET_CHILDREN, watched).unwrap();
    let watched = Bytes::new().text("/plain/299").flag(true);
    client.ask(op::GET_DATA, watched).unwrap();

    let proof = format!("digest:{SUPER_PROOF}");
    let (from, to) = (there.connect_string(), here.connect_string());
    let merge = [
        "zookeeper",
        &*from,
        "--merge",
        &*to,
        "--target-auth",
        &proof,
    ];
    let dry = imported(&[&merge[..], &["--dry-run"]].concat());
    let expected = dry["outcome"]["would_merge"]["missing"].as_u64().unwrap();
    assert_eq!(dry["outcome"]["would_merge"]["existing"], 3, "{dry:#}");
    assert_same_but_for(&show_all(&mut client), &before, &[]);

    let report = imported(&merge);
    let merged = &report["outcome"]["merged"];
    assert_eq!(merged["created"], expected, "{report:#}");
    assert_eq!(
        (&merged["existing"], &merged["refused"]),
        (&3.into(), &0.into()),
        "{report:#}"
    );

    let after = show_all(&mut client);
    // Whoever got children says so, and is otherwise as before.
    assert_same_but_for(&after, &before, &["/", "/plain"]);
    assert_eq!(after["/plain"].data.as_deref(), Some(&b"mine"[..]));
    assert_eq!(after["/plain"].mzxid, before["/plain"].mzxid);
    for (path, shown) in theirs
        .iter()
        .filter(|(path, _)| !before.contains_key(*path))
    {
        let of_system = path.starts_with("/zookeeper/");
        if shown.owner != 0 || of_system {
            assert!(!after.contains_key(path), "{path}");
            continue;
        }
        let created = &after[path];
        assert_eq!(
            (&created.data, &created.acl),
            (&shown.data, &shown.acl),
            "{path}"
        );
        assert_eq!((created.version, created.owner), (0, 0), "{path}");
    }
    assert_eq!(client.take_events(), []);
    assert_eq!(show(&mut client, "/lock/held").owner, client.session());

    let again = imported(&merge);
    let merged = &again["outcome"]["merged"];
    assert_eq!(merged["created"], 0, "{again:#}");
    assert_eq!(merged["existing"], expected + 3, "{again:#}");

    // What somebody else has forbidden is told.
    let closed = Bytes::new()
        .text("/plain")
        .int(1)
        .int(1)
        .text("world")
        .text("anyone");
    assert_eq!(client.code_of(op::SET_ACL, closed.int(-1)), 0);
    let gone = 100..250;
    for number in gone.clone() {
        client.delete(&format!("/plain/{number}"), -1).unwrap();
    }
    let output = import(&["zookeeper", &*from, "--merge", &*to]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let merged = &report["outcome"]["merged"];
    assert_eq!(merged["refused"], gone.len(), "{report:#}");
    assert_eq!(
        merged["existing"],
        expected + 3 - gone.len() as u64,
        "{report:#}"
    );
    assert_eq!(report["problems_count"], gone.len());
    let named = report["problems"].as_array().unwrap();
    assert_eq!(named.len(), 100);
    assert_eq!(named[0]["path"], "/plain/100");

    let (code, why) = refused(&["zookeeper", &from, "--merge", "127.0.0.1:1"]);
    assert!(code == 8, "{why}");
}

#[test]
fn kinds_are_kept_where_they_are_known() {
    let mut there = original(1);
    let mut source = super_client(&there, 1);
    plant(&mut source);
    there.kill(1);
    let here = ProcessCluster::start(options(ours(), 1).commands());
    let directory = there.member(1).data_directory();
    let to = here.connect_string();
    let report = imported(&["data-dir", directory.to_str().unwrap(), "--merge", &to]);
    assert_eq!(report["outcome"]["merged"]["refused"], 0, "{report:#}");
    assert_eq!(
        (&report["containers"], &report["with_ttl"]),
        (&1.into(), &1.into())
    );
    assert_eq!(kinds_of(&here, 1), (1, 1));
}

fn assert_same_but_for(
    after: &BTreeMap<String, super::Shown>,
    before: &BTreeMap<String, super::Shown>,
    but: &[&str],
) {
    for (path, shown) in before
        .iter()
        .filter(|(path, _)| !but.contains(&path.as_str()))
    {
        assert_eq!(after.get(path), Some(shown), "{path}");
    }
}
