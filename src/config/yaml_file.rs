//! The keys under `registry:` of an `application.yaml`, as a host application keeps them.
//!
//! Everything else in the file is the host's, and so are its own keys under `registry:` (which
//! registry to use, and how to reach the others). What Spring would fill in (`${…}`), and aliases,
//! are refused below `registry:`: this program would read something else than the host does.

use super::layers::Entry;
use super::problem::{Origin, Problem};
use saphyr_parser::{Event, Parser};
use std::path::Path;

const SECTION: &str = "registry.";

/// Keys under `registry:` that belong to the host and its plugins.
const HOST_KEYS: &[&str] = &[
    "type",
    "embedded",
    "etcd",
    "jdbc",
    "mysql",
    "raft",
    "zookeeper",
];

/// The entries of `text`. A file that is not YAML is one problem.
pub fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut reader = Reader {
        path,
        open: Vec::new(),
        entries: Vec::new(),
        problems,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => reader.take(&event, span.start.line()),
            Err(error) => {
                let origin = reader.origin(error.marker().line());
                let what = format!("this is not YAML: {}", error.info());
                reader.problems.push(Problem::new(&origin, "", what));
                return Vec::new();
            }
        }
    }
    reader.entries
}

/// A collection whose end is still to come.
enum Open {
    /// `key` is set between a key and its value.
    Mapping {
        prefix: String,
        key: Option<(String, usize)>,
    },
    /// `items` is lost once one of them is no scalar.
    Sequence {
        key: String,
        line: usize,
        items: Option<Vec<String>>,
    },
}

struct Reader<'a> {
    path: &'a Path,
    open: Vec<Open>,
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, line: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn take(&mut self, event: &Event<'_>, line: usize) {
        match event {
            Event::MappingStart(..) => {
                let prefix = match self.value_key() {
                    Some((key, _)) => format!("{key}."),
                    None => String::new(),
                };
                self.open.push(Open::Mapping { prefix, key: None });
            }
            Event::SequenceStart(..) => {
                let (key, line) = self.value_key().unwrap_or_default();
                self.open.push(Open::Sequence {
                    key,
                    line,
                    items: Some(Vec::new()),
                });
            }
            Event::MappingEnd => {
                self.open.pop();
            }
            Event::SequenceEnd => {
                if let Some(Open::Sequence { key, line, items }) = self.open.pop() {
                    self.value(key, line, items.map(|items| items.join(",")));
                }
            }
            Event::Scalar(text, ..) => self.scalar(text, line),
            Event::Alias(_) => {
                if let Some((key, line)) = self.value_key() {
                    self.value(key, line, None);
                }
            }
            _ => {}
        }
    }

    fn scalar(&mut self, text: &str, line: usize) {
        match self.open.last_mut() {
            Some(Open::Mapping {
                prefix,
                key: key @ None,
            }) => {
                *key = Some((format!("{prefix}{text}"), line));
            }
            Some(Open::Sequence {
                items: Some(items), ..
            }) => items.push(text.to_owned()),
            _ => {
                if let Some((key, line)) = self.value_key() {
                    self.value(key, line, Some(text.to_owned()));
                }
            }
        }
    }

    /// The key whose value begins here. A sequence has no keys of its own: what is nested in it is
    /// not ours, and the sequence as a whole no value of ours.
    fn value_key(&mut self) -> Option<(String, usize)> {
        match self.open.last_mut()? {
            Open::Mapping { key, .. } => key.take(),
            Open::Sequence { key, line, items } => {
                *items = None;
                Some((format!("{key}[]"), *line))
            }
        }
    }

    fn value(&mut self, key: String, line: usize, text: Option<String>) {
        let Some(ours) = key.strip_prefix(SECTION) else {
            return;
        };
        let section = ours.split(['.', '[']).next().unwrap_or_default();
        if HOST_KEYS.contains(&section) || ours.contains("[]") {
            return;
        }
        let origin = self.origin(line);
        match text {
            Some(text) if text.contains("${") => {
                let what = "${…} is filled in by the host application, not here";
                self.problems.push(Problem::new(&origin, key, what));
            }
            Some(text) => {
                self.entries
                    .push(Entry::text(ours, text, &origin).written_as(&key));
            }
            None => {
                let what = "expected a text, a whole number, true or false, or a list of texts";
                self.problems.push(Problem::new(&origin, key, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Vec<Entry>, Vec<Problem>) {
        let mut problems = Vec::new();
        let entries = read(Path::new("application.yaml"), text, &mut problems);
        (entries, problems)
    }

    #[test]
    fn only_what_stands_under_registry_and_is_not_the_hosts_is_read() {
        let (entries, problems) = read_text(
            "server:\n  port: ${PORT:80}\nregistry:\n  type: embedded\n  zookeeper:\n    \
             servers: localhost:2181\n  timing:\n    tick_ms: 500\n  cluster:\n    members:\n      \
             - 1=a\n      - 2=b\n---\nspring: {a: [1, {b: *x}]}\n"
                .replace("*x", "x")
                .as_str(),
        );
        assert!(problems.is_empty(), "{problems:?}");
        let at = |line| Origin::File {
            path: "application.yaml".into(),
            line,
        };
        let expected = [
            Entry::text("timing.tick_ms", "500", &at(8)).written_as("registry.timing.tick_ms"),
            Entry::text("cluster.members", "1=a,2=b", &at(10))
                .written_as("registry.cluster.members"),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn keys_may_be_written_with_dots() {
        let (entries, _) =
            read_text("registry.timing.tick_ms: 7\nregistry:\n  cluster.token: \"x\"\n");
        assert_eq!(entries[0].key, "timing.tick_ms");
        assert_eq!(entries[1].key, "cluster.token");
    }

    #[test]
    fn what_the_host_would_read_otherwise_is_refused() {
        for bad in [
            "registry: {timing: {tick_ms: '${TICK}'}}",
            "a: &x 5\nregistry: {timing: {tick_ms: *x}}",
            "registry: {cluster: {members: [[1]]}}",
            "registry: {cluster: {members: [{a: b}]}}",
        ] {
            let (entries, problems) = read_text(bad);
            assert!(entries.is_empty(), "{bad}: {entries:?}");
            assert_eq!(problems.len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_not_yaml_is_refused_at_its_line() {
        for bad in ["a: 1\nb: [\n", "a: 1\n\tb: 2\n", "a: 'x\n"] {
            let (entries, problems) = read_text(bad);
            assert!(entries.is_empty(), "{bad}");
            assert!(problems[0].what.starts_with("this is not YAML"), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_ends_in_an_answer() {
        let (entries, _) = read_text(&"[".repeat(100_000));
        assert!(entries.is_empty());
    }
}
