//! Checked values by key, out of the layers and the catalogue.

use super::catalogue::{self, Kind, SETTINGS};
use super::layers::{Entry, Layers, Raw};
use super::member_list::{self, MemberList};
use super::problem::{Origin, Problem};
use super::settings::Secret;
use super::value;
use std::collections::BTreeMap;

/// Hands out checked values by key, and notes what became effective and what was wrong.
pub struct Values<'a> {
    layers: &'a Layers,
    pub problems: Vec<Problem>,
    effective: BTreeMap<&'static str, (String, Origin)>,
}

impl<'a> Values<'a> {
    /// Goes on with the problems that reading the sources left.
    pub fn new(layers: &'a Layers, problems: Vec<Problem>) -> Values<'a> {
        Values {
            layers,
            problems,
            effective: BTreeMap::new(),
        }
    }

    /// A number that always has a value: the default's if the given one was refused.
    pub fn integer(&mut self, key: &'static str) -> u64 {
        self.number(key)
            .unwrap_or_else(|| match catalogue::find(key) {
                Some(catalogue::Setting {
                    default: catalogue::Default::Is(text),
                    ..
                }) => text.parse().unwrap_or_default(),
                _ => 0,
            })
    }

    /// A number whose default is computed.
    pub fn integer_or(&mut self, key: &'static str, derived: u64) -> u64 {
        match self.number(key) {
            Some(number) => number,
            None => {
                self.note_derived(key, &derived.to_string());
                derived
            }
        }
    }

    pub fn size(&mut self, key: &'static str) -> usize {
        usize::try_from(self.integer(key)).unwrap_or(usize::MAX)
    }

    /// The number a source gave, or a fixed default; `None` if there is none.
    pub fn number(&mut self, key: &'static str) -> Option<u64> {
        let (min, max) = match catalogue::find(key)?.kind {
            Kind::Integer { min, max } => (min, max),
            _ => return None,
        };
        self.parsed(key, |text| value::integer(text, min, max))
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.parsed(key, value::flag)
    }

    /// A text of whichever kind the catalogue says.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let kind = catalogue::find(key)?.kind;
        self.parsed(key, |text| match kind {
            Kind::Text { chars_max } => value::text(text, chars_max),
            Kind::Path => value::path(text),
            Kind::File => value::file(text),
            Kind::Line { chars_max } => value::line(text, chars_max),
            Kind::Secret { chars_max } => value::secret(text, chars_max),
            Kind::Choice(names) => value::choice(text, names),
            Kind::Address if text.is_empty() => Ok(String::new()),
            Kind::Address => value::address(text),
            Kind::Digest => value::digest(text),
            Kind::Integer { .. } | Kind::Flag | Kind::Members | Kind::Words | Kind::Choices(_) => {
                Err("this setting is not a text".to_owned())
            }
        })
    }

    /// The names of a list, each once, in the catalogue's spelling; `None` where nobody gave any.
    pub fn choices(&mut self, key: &'static str) -> Option<Vec<String>> {
        let Kind::Choices(names) = catalogue::find(key)?.kind else {
            return None;
        };
        self.parsed(key, |text| value::choices(text, names))
    }

    /// A text that is never printed.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    pub fn members(&mut self) -> MemberList {
        let key = "cluster.members";
        if let Some(Entry {
            raw: Raw::Members(members),
            origin,
            ..
        }) = self.layers.get(key)
        {
            let listed: Vec<String> = members
                .iter()
                .map(|(id, m)| format!("{id}={}", m.addresses.peer))
                .collect();
            self.effective
                .insert(key, (listed.join(","), origin.clone()));
            return members.clone();
        }
        self.parsed(key, member_list::parse_members)
            .unwrap_or_default()
    }

    /// Reads the winning text of `key`, or its fixed default. A refused one is noted as a problem
    /// and counts as absent.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = catalogue::find(key)?;
        let (text, origin, written) = match (self.layers.get(key), setting.default) {
            (
                Some(Entry {
                    raw: Raw::Text(text),
                    origin,
                    written,
                    ..
                }),
                _,
            ) => (text.clone(), origin.clone(), written.clone()),
            (_, catalogue::Default::Is(text)) => (text.to_owned(), Origin::Default, key.to_owned()),
            _ => return None,
        };
        match parse(&text) {
            Ok(parsed) => {
                let shown = if setting.is_secret() {
                    "******".to_owned()
                } else {
                    text
                };
                self.effective.insert(setting.key, (shown, origin));
                Some(parsed)
            }
            Err(what) => {
                self.problems.push(Problem::new(&origin, written, what));
                None
            }
        }
    }

    /// Where the winning value of `key` stands.
    pub fn origin(&self, key: &str) -> Origin {
        self.layers
            .get(key)
            .map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// A value that is wrong only beside others.
    pub fn refuse(&mut self, key: &'static str, what: impl Into<String>) {
        let written = self
            .layers
            .get(key)
            .map_or(key.to_owned(), |entry| entry.written.clone());
        let problem = Problem::new(&self.origin(key), written, what);
        self.problems.push(problem);
    }

    pub fn note_derived(&mut self, key: &'static str, shown: &str) {
        self.effective
            .insert(key, (shown.to_owned(), Origin::Default));
    }

    pub fn lines(&self) -> Vec<String> {
        SETTINGS
            .iter()
            .map(|setting| match self.effective.get(setting.key) {
                Some((text, origin)) => format!("{} = {text}  # {origin}", setting.key),
                None => format!("{} =  # default", setting.key),
            })
            .collect()
    }
}
