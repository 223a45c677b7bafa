//! Four-letter words: not the same figures, but the same lines with the same names.

use crate::pair::hold;
use std::collections::BTreeSet;
use vivarium::testing::processes::{Member, Mode, ProcessCluster};

/// How far the answer to a word must be the original's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// To the letter.
    Exact,
    /// The names in front of the colons, equals signs or tabs, in their order.
    Names,
    /// The original has all of our names, and ours are not few.
    SomeNames(usize),
}

const WORDS: &[(&str, Likeness)] = &[
    ("ruok", Likeness::Exact),
    ("isro", Likeness::Exact),
    ("srvr", Likeness::Names),
    ("mntr", Likeness::SomeNames(20)),
    ("conf", Likeness::SomeNames(10)),
    ("envi", Likeness::SomeNames(7)),
];

#[test]
fn four_letter_words_are_answered_in_the_same_form() {
    let pair = hold();
    let [theirs, ours] = pair.clusters();
    for mode in [Mode::Leader, Mode::Follower] {
        let [theirs, ours] = [theirs, ours].map(|cluster| one_with(cluster, mode));
        for (word, likeness) in WORDS {
            let [there, here] = [theirs, ours].map(|member| {
                let answer = member.four_letter_word(word);
                answer.unwrap_or_else(|| panic!("{word} is not answered"))
            });
            let both = format!("{word} of a {mode:?}\nthere: {there}\nhere: {here}");
            match likeness {
                Likeness::Exact => assert_eq!(there, here, "{both}"),
                Likeness::Names => assert_eq!(names(&there), names(&here), "{both}"),
                Likeness::SomeNames(count) => {
                    let there: BTreeSet<String> = names(&there).into_iter().collect();
                    let here = names(&here);
                    assert!(here.len() >= *count, "{both}");
                    for name in here {
                        assert!(there.contains(&name), "{name} is not known there\n{both}");
                    }
                }
            }
        }
    }
}

fn one_with(cluster: &ProcessCluster, mode: Mode) -> &Member {
    let number = match mode {
        Mode::Leader => cluster.leader(),
        _ => cluster.follower(),
    };
    cluster.member(number)
}

/// Without what is ours alone, and says so by its name, and without what the original alone has
/// (`docs/protocol.md`).
fn names(answer: &str) -> Vec<String> {
    let name = |line: &str| {
        let end = line.find([':', '=', '\t']).unwrap_or(line.len());
        line[..end].trim().to_owned()
    };
    answer
        .lines()
        .map(name)
        .filter(|name| !name.is_empty() && !name.contains("vivarium"))
        .filter(|name| name != "Proposal sizes last/min/max")
        .collect()
}
