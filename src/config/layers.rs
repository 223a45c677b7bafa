//! Values by key, where each came from, and which one wins.

use super::catalogue::{self, SETTINGS};
use super::member_list::MemberList;
use super::problem::{Origin, Problem};
use std::collections::BTreeMap;

/// What a source said for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// As written; lists are joined by commas.
    Text(String),
    /// The first members, from a source that has its own way of writing them.
    Members(MemberList),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// The key as the source writes it, for messages: `tickTime` stands for `timing.tick_ms`.
    pub written: String,
    pub raw: Raw,
    pub origin: Origin,
}

impl Entry {
    pub fn text(key: impl Into<String>, text: impl Into<String>, origin: &Origin) -> Entry {
        let key = key.into();
        Entry {
            written: key.clone(),
            key,
            raw: Raw::Text(text.into()),
            origin: origin.clone(),
        }
    }

    pub fn written_as(mut self, written: &str) -> Entry {
        written.clone_into(&mut self.written);
        self
    }
}

/// The winning entry for each key that any source named.
#[derive(Debug, Default)]
pub struct Layers {
    chosen: BTreeMap<&'static str, Entry>,
}

impl Layers {
    /// Lays the entries of one source over what is there. Unknown keys are problems.
    pub fn lay(&mut self, entries: Vec<Entry>, problems: &mut Vec<Problem>) {
        for entry in entries {
            match catalogue::find(&entry.key) {
                Some(setting) => {
                    self.chosen.insert(setting.key, entry);
                }
                None => problems.push(unknown(&entry)),
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.chosen.get(key)
    }
}

fn unknown(entry: &Entry) -> Problem {
    let keys = SETTINGS.iter().map(|setting| setting.key);
    let suggestion = catalogue::suggestion(&entry.key, keys);
    Problem::new(
        &entry.origin,
        &entry.written,
        format!("there is no such setting{suggestion}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_laid_last_wins_key_by_key() {
        let mut layers = Layers::default();
        let mut problems = Vec::new();
        let entry = |key: &str, text: &str| Entry::text(key, text, &Origin::Flag);
        layers.lay(
            vec![entry("timing.tick_ms", "1000"), entry("member.id", "1")],
            &mut problems,
        );
        layers.lay(vec![entry("timing.tick_ms", "3000")], &mut problems);
        assert_eq!(
            layers.get("timing.tick_ms"),
            Some(&entry("timing.tick_ms", "3000"))
        );
        assert_eq!(layers.get("member.id"), Some(&entry("member.id", "1")));
        assert!(problems.is_empty());
    }

    #[test]
    fn an_unknown_key_is_a_problem_that_names_the_nearest() {
        let mut problems = Vec::new();
        let entry = Entry::text("timing.tik_ms", "1", &Origin::Flag);
        Layers::default().lay(vec![entry], &mut problems);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.ends_with("did you mean timing.tick_ms?"));
    }
}
