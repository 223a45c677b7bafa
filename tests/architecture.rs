//! The house keeps its rules: who may use whom, which word may stand where, how long a file may be,
//! and that no file is forgotten.
//!
//! Reads `src/` as text. Tests inside `src/` may use what they like: what is checked ends where a file's
//! tests begin.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and the rooms it may name. `cli` and `testing` may name all.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("api", &[]),
    ("runtime", &[]),
    ("wire", &["model"]),
    ("session", &["model"]),
    ("watch", &["model"]),
    ("config", &["model"]),
    ("metrics", &["model"]),
    ("tls", &["metrics", "runtime"]),
    ("store", &["model", "session"]),
    (
        "raft",
        &["store", "session", "model", "metrics", "runtime", "proto"],
    ),
    (
        "member",
        &[
            "raft", "store", "session", "watch", "model", "config", "metrics", "runtime",
        ],
    ),
    ("ring", &[]),
    ("client", &["api", "model", "ring"]),
    ("import", &["store", "model"]),
    ("compat", &["member", "metrics", "model", "ring"]),
    ("console", &["member", "model"]),
    (
        "server",
        &[
            "api", "compat", "console", "member", "wire", "model", "config", "metrics", "runtime",
            "tls", "proto",
        ],
    ),
];

const ROOMS_THAT_MAY_USE_ALL: &[&str] = &["cli", "testing"];

/// A word, the places where it may stand, and the places it is about (all of `src/` if empty).
struct Word {
    text: &'static str,
    allowed_in: &'static [&'static str],
    about: &'static [&'static str],
}

const WORDS: &[Word] = &[
    Word {
        text: "sled::",
        allowed_in: &["store/disk"],
        about: &[],
    },
    Word {
        text: "bincode::",
        allowed_in: &["store/codec"],
        about: &[],
    },
    Word {
        text: "openraft::",
        allowed_in: &["raft", "testing"],
        about: &[],
    },
    Word {
        text: "tokio::",
        allowed_in: &[],
        about: &["model", "wire", "session", "watch", "store"],
    },
    Word {
        text: "SystemTime::now",
        allowed_in: &["runtime"],
        about: &[],
    },
    Word {
        text: "tokio::net",
        allowed_in: &["runtime", "testing"],
        about: &[],
    },
    Word {
        text: "Instant::now",
        allowed_in: &[],
        about: &["model", "wire", "session", "watch", "store"],
    },
    Word {
        text: "rand::",
        allowed_in: &[],
        about: &["model", "wire", "session", "watch", "store"],
    },
    Word {
        text: "todo!(",
        allowed_in: &[],
        about: &[],
    },
    Word {
        text: "unimplemented!(",
        allowed_in: &[],
        about: &[],
    },
    Word {
        text: "allow(dead_code)",
        allowed_in: &[],
        about: &[],
    },
    Word {
        text: ".unwrap()",
        allowed_in: &["testing"],
        about: &[],
    },
];

/// A longer file says in its header why: `Longer than … because …`.
const LINES_MAX: usize = 800;

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// One file below `src/`.
struct Source {
    /// With `/` between its parts, whatever the system.
    path: String,
    text: String,
    /// Whether the whole file is tests.
    is_tests: bool,
}

impl Source {
    /// `None` for files that belong to the package itself (`lib.rs`, `main.rs`).
    fn room(&self) -> Option<&str> {
        match self.path.split_once('/') {
            Some((room, _)) => Some(room),
            None => self
                .path
                .strip_suffix(".rs")
                .filter(|room| !["lib", "main"].contains(room)),
        }
    }

    /// What is compiled into the product, line by line, without comments. An item under
    /// `#[cfg(test)]` ends at its semicolon or at the brace in the first column.
    fn product_lines(&self) -> Vec<(usize, &str)> {
        let mut lines = self.text.lines().enumerate();
        let mut product = Vec::new();
        while let Some((at, line)) = lines.next() {
            if self.is_tests {
                break;
            }
            if line == "#[cfg(test)]" {
                let ends =
                    |line: &str| line == "}" || (line.ends_with(';') && !line.starts_with(' '));
                lines.find(|(_, line)| ends(line));
                continue;
            }
            product.push((at + 1, line.split("//").next().unwrap_or_default()));
        }
        product
    }

    /// The modules that are declared for tests only, as the beginnings of their files' paths.
    fn test_modules(&self) -> Vec<String> {
        let home = self.path.strip_suffix("mod.rs").map_or_else(
            || format!("{}/", self.path.trim_end_matches(".rs")),
            str::to_owned,
        );
        let lines: Vec<&str> = self.text.lines().collect();
        lines
            .windows(2)
            .filter(|pair| pair[0] == "#[cfg(test)]")
            .filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'))
            .map(|name| format!("{home}{name}"))
            .collect()
    }
}

fn sources() -> Vec<Source> {
    fn gather(directory: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, root, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(root).unwrap();
                let parts: Vec<_> = below.iter().map(|part| part.to_str().unwrap()).collect();
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source {
                    path: parts.join("/"),
                    text,
                    is_tests: false,
                });
            }
        }
    }
    let mut found = Vec::new();
    gather(&source_root(), &source_root(), &mut found);
    assert!(found.len() > 20, "src/ was not read");
    let tests: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
    for source in &mut found {
        source.is_tests = stands_in(&source.path, &tests);
    }
    found
}

/// The rooms that a line names as `crate::room`, also within braces.
fn rooms_named(line: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect()
    };
    let mut named = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let rest = &line[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(list) => named.extend(list.split(',').map(|item| word(item.trim()))),
            None => named.push(word(rest)),
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn stands_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        path.strip_prefix(place)
            .is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
    })
}

fn assert_none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}\n  {}", problems.join("\n  "));
}

#[test]
fn arrows_point_down_only() {
    let mut problems = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        if ROOMS_THAT_MAY_USE_ALL.contains(&room) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            problems.push(format!("{}: {room} is no room of the house", source.path));
            continue;
        };
        for (at, line) in source.product_lines() {
            for named in rooms_named(line) {
                if named != room && !allowed.contains(&named.as_str()) {
                    problems.push(format!("{}:{at}: {room} may not use {named}", source.path));
                }
            }
        }
    }
    assert_none(&problems, "the table is in docs/architecture.md");
}

#[test]
fn no_arrow_makes_a_circle() {
    fn below<'a>(room: &'a str, seen: &mut BTreeSet<&'a str>) {
        let arrows = ARROWS.iter().find(|(name, _)| *name == room);
        for next in arrows.map_or(&[][..], |(_, allowed)| allowed) {
            if seen.insert(next) {
                below(next, seen);
            }
        }
    }
    for (room, _) in ARROWS {
        let mut seen = BTreeSet::new();
        below(room, &mut seen);
        assert!(
            !seen.contains(room),
            "{room} uses itself by way of {seen:?}"
        );
    }
}

#[test]
fn words_stay_where_they_belong() {
    let mut problems = Vec::new();
    for source in sources() {
        for (at, line) in source.product_lines() {
            for word in WORDS {
                let concerned = word.about.is_empty() || stands_in(&source.path, word.about);
                if concerned
                    && line.contains(word.text)
                    && !stands_in(&source.path, word.allowed_in)
                {
                    problems.push(format!("{}:{at}: {}", source.path, word.text));
                }
            }
        }
    }
    assert_none(&problems, "words where they may not stand");
}

#[test]
fn a_long_file_explains_itself() {
    let long = |source: &Source| {
        let header = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"));
        let explained = header.into_iter().any(|line| line.contains("Longer than"));
        source.text.lines().count() > LINES_MAX && !explained
    };
    let problems: Vec<String> = sources()
        .into_iter()
        .filter(long)
        .map(|source| source.path)
        .collect();
    assert_none(
        &problems,
        "look for the seam, or say in the header why there is none",
    );
}

#[test]
fn every_module_opens_with_what_it_is() {
    let silent = |source: &Source| !source.is_tests && !source.text.starts_with("//!");
    let problems: Vec<String> = sources()
        .into_iter()
        .filter(silent)
        .map(|source| source.path)
        .collect();
    assert_none(
        &problems,
        "a module opens with one sentence that says what it is",
    );
}

/// The files that `mod` lines reach from `file`.
fn reach(file: &Path, found: &mut BTreeSet<PathBuf>) {
    if !found.insert(file.to_owned()) {
        return;
    }
    let text = fs::read_to_string(file).unwrap();
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let parent = file.parent().unwrap();
    let home = if ["mod", "lib", "main"].contains(&stem) {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    for line in text.lines() {
        let line = line.trim();
        let line = line.rsplit_once(") ").map_or(line, |(_, rest)| rest);
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let Some(name) = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        for candidate in [
            home.join(format!("{name}.rs")),
            home.join(name).join("mod.rs"),
        ] {
            if candidate.exists() {
                reach(&candidate, found);
            }
        }
    }
}

#[test]
fn no_file_is_forgotten() {
    let root = source_root();
    let mut reached = BTreeSet::new();
    for start in ["lib.rs", "main.rs"] {
        reach(&root.join(start), &mut reached);
    }
    let forgotten: Vec<String> = sources()
        .into_iter()
        .filter(|source| !reached.contains(&root.join(&source.path)))
        .map(|source| source.path)
        .collect();
    assert_none(&forgotten, "no `mod` line reaches these files");
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(rooms_named("use crate::store::tree::Tree;"), ["store"]);
    assert_eq!(
        rooms_named("use crate::{model::Zxid, raft};"),
        ["model", "raft"]
    );
    assert!(stands_in("store/disk/files.rs", &["store/disk"]));
    assert!(stands_in("store/disk.rs", &["store/disk"]));
    assert!(!stands_in("store/disks.rs", &["store/disk"]));
    let source = Source {
        path: "store/x.rs".to_owned(),
        text: "a // sled::\n#[cfg(test)]\nmod y;\nb\n#[cfg(test)]\nmod tests {\n sled::\n}\n"
            .to_owned(),
        is_tests: false,
    };
    assert_eq!(source.product_lines(), [(1, "a "), (4, "b")]);
    assert_eq!(source.test_modules(), ["store/x/y"]);
}
