//! What differs on purpose, by name. Every entry has its row in `docs/protocol.md`.

use crate::run::Seen;
use crate::value::{Value, Zxid};
use std::path::Path;

pub struct Known {
    pub name: &'static str,
    /// The row of `docs/protocol.md` that says why.
    pub row: &'static str,
    applies: fn(theirs: &Seen, ours: &Seen) -> bool,
}

pub const KNOWN: &[Known] = &[
    Known {
        name: "the members are listed in other words",
        row: "`/zookeeper/config`",
        applies: |theirs, ours| {
            let about = |seen: &Seen| {
                seen.label.contains(" /zookeeper/config") || seen.label.starts_with("reconfig")
            };
            let same = but_for_the_list(&theirs.value) == but_for_the_list(&ours.value);
            about(theirs) && about(ours) && same
        },
    },
    Known {
        name: "auth stands for several identities, in any order there",
        row: "schemes `world`, `auth`, `digest`, `ip`, `super`",
        applies: |theirs, ours| {
            let (there, here) = (acl_lines(&theirs.value), acl_lines(&ours.value));
            let proved = |line: &&String| line.contains("scheme: \"digest\"");
            same_but_for_body(&theirs.value, &ours.value)
                && there.iter().filter(proved).count() > 1
                && there == here
        },
    },
    Known {
        name: "a refused multiRead has an empty list of results behind it there",
        row: "body that cannot be decoded",
        applies: |theirs, ours| {
            let refused = |seen: &Seen| {
                seen.label.starts_with("multiRead") && seen.value.number("err") == Some(-5)
            };
            refused(theirs) && refused(ours) && same_but_for_body(&theirs.value, &ours.value)
        },
    },
    Known {
        name: "text that is not of the basic plane is written in another way there",
        row: "text outside the basic plane, or no UTF-8",
        applies: |theirs, ours| {
            let shown = theirs.value.to_string();
            let odd = shown.contains("no UTF-8") || shown.contains('\u{fffd}');
            odd && same_but_for_body(&theirs.value, &ours.value)
        },
    },
    Known {
        name: "a null in an access list is stumbled over there",
        row: "INVALIDACL",
        applies: |theirs, ours| {
            let stumbled = theirs.value.number("err") == Some(-5);
            ours.label.contains("None") && stumbled && is_refused_with(&ours.value, -114)
        },
    },
];

pub fn known(theirs: &Seen, ours: &Seen) -> Option<&'static Known> {
    KNOWN.iter().find(|known| (known.applies)(theirs, ours))
}

fn same_but_for_body(theirs: &Value, ours: &Value) -> bool {
    ["xid", "zxid", "err"]
        .iter()
        .all(|name| theirs.field(name) == ours.field(name))
}

const OF_THE_LIST: &[&str] = &["data_length", "mtime"];

/// Without what follows from how the members are listed; from the time, which is that of the change here
/// and of each server's own copy there; and from the version of the first list, which is the zxid of its
/// making here and 0 there.
fn but_for_the_list(value: &Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.iter().map(but_for_the_list).collect()),
        Value::Record(fields) => {
            let fields = fields
                .iter()
                .filter(|(name, _)| !OF_THE_LIST.contains(name));
            let fields = fields.map(|(name, value)| match (*name, value) {
                ("mzxid", Value::Zxid(Zxid::Literal(0))) => {
                    (*name, Value::Zxid(Zxid::BeforeTheRun))
                }
                _ => (*name, but_for_the_list(value)),
            });
            Value::Record(fields.collect())
        }
        other => other.clone(),
    }
}

/// The operation itself, or one of a multi.
fn is_refused_with(reply: &Value, code: i64) -> bool {
    let results = reply.field("body").and_then(|body| body.field("results"));
    let of_a_multi = match results {
        Some(Value::List(results)) => results.iter().any(|one| one.number("code") == Some(code)),
        _ => false,
    };
    of_a_multi || reply.number("err") == Some(code)
}

/// Sorted; none if it is no answer to getACL.
fn acl_lines(seen: &Value) -> Vec<String> {
    let body = seen.field("body");
    let Some(Value::List(lines)) = body.and_then(|body| body.field("acl")) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn every_difference_has_its_row() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    for known in KNOWN {
        let is_row = |line: &str| line.starts_with('|') && line.contains(known.row);
        assert!(
            page.lines().any(is_row),
            "{}: no row {:?} in docs/protocol.md",
            known.name,
            known.row
        );
    }
}
