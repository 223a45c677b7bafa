//! Names of znodes below one parent, as a text that is made once for all who are told of them.

use std::cmp::Ordering;
use std::fmt;

/// Behind each name, and in none (ZooKeeper 3.9 `PathUtils`).
const END: char = '/';

/// Names, ascending by their bytes and each once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NameList {
    /// One after the other, each with [`END`] behind it.
    text: String,
    len: usize,
}

impl NameList {
    /// `None` for a text that is none of such a list.
    pub fn from_text(text: String) -> Option<NameList> {
        if !text.is_empty() && !text.ends_with(END) {
            return None;
        }
        let mut len = 0;
        let mut before = "";
        for name in split(&text) {
            // An empty name is not above what comes before it.
            if name <= before {
                return None;
            }
            before = name;
            len += 1;
        }
        Some(NameList { text, len })
    }

    /// Of names in any order.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> NameList {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().collect()
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        split(&self.text)
    }

    pub fn contains(&self, name: &str) -> bool {
        let bytes = self.text.as_bytes();
        let (mut from, mut to) = (0, bytes.len());
        while from < to {
            let middle = from + (to - from) / 2;
            let begins = bytes[from..middle]
                .iter()
                .rposition(|byte| *byte == END as u8);
            let begins = begins.map_or(from, |at| from + at + 1);
            let ends = bytes[begins..].iter().position(|byte| *byte == END as u8);
            let ends = begins + ends.expect("each name has its end");
            match bytes[begins..ends].cmp(name.as_bytes()) {
                Ordering::Less => from = ends + 1,
                Ordering::Equal => return true,
                Ordering::Greater => to = begins,
            }
        }
        false
    }

    /// These, with others and without others again.
    pub fn changed_by(&self, added: &NameList, removed: &NameList) -> NameList {
        match (self.is_empty(), added.is_empty(), removed.is_empty()) {
            (_, true, true) => return self.clone(),
            (true, _, true) => return added.clone(),
            _ => {}
        }
        let mut text = String::with_capacity(self.text.len() + added.text.len());
        let mut len = 0;
        let mut ours = self.iter().peekable();
        let mut added = added.iter().peekable();
        let mut removed = removed.iter().peekable();
        loop {
            let next = match (ours.peek(), added.peek()) {
                (None, None) => return NameList { text, len },
                (Some(one), Some(other)) => match one.cmp(other) {
                    Ordering::Less => ours.next(),
                    Ordering::Greater => added.next(),
                    Ordering::Equal => {
                        ours.next();
                        added.next()
                    }
                },
                (Some(_), None) => ours.next(),
                (None, Some(_)) => added.next(),
            };
            let Some(name) = next else { continue };
            while removed.next_if(|gone| *gone < name).is_some() {}
            if removed.next_if(|gone| *gone == name).is_none() {
                text.push_str(name);
                text.push(END);
                len += 1;
            }
        }
    }

    /// Those that are not among `others`.
    pub fn without(&self, others: &NameList) -> NameList {
        self.changed_by(&NameList::default(), others)
    }

    /// Leaves the first `count` here and returns those that come after them.
    pub fn split_off(&mut self, count: usize) -> NameList {
        if count >= self.len {
            return NameList::default();
        }
        let begins = match count.checked_sub(1) {
            None => 0,
            Some(last) => {
                let mut ends = self.text.match_indices(END);
                ends.nth(last).map_or(self.text.len(), |(at, _)| at + 1)
            }
        };
        let rest = NameList {
            text: self.text.split_off(begins),
            len: self.len - count,
        };
        self.len = count;
        rest
    }
}

/// Names are short: looking at byte after byte takes a fraction of what a search for a pattern does.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.bytes().position(|byte| byte == END as u8)?;
        let name = &rest[..end];
        rest = &rest[end + 1..];
        Some(name)
    })
}

/// Of names that ascend.
impl<'a> FromIterator<&'a str> for NameList {
    fn from_iter<T: IntoIterator<Item = &'a str>>(names: T) -> NameList {
        let mut list = NameList::default();
        for name in names {
            list.text.push_str(name);
            list.text.push(END);
            list.len += 1;
        }
        debug_assert!(NameList::from_text(list.text.clone()).is_some());
        list
    }
}

impl fmt::Debug for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn list(names: &[&str]) -> NameList {
        names.iter().copied().collect()
    }

    #[test]
    fn a_list_is_a_text_and_back() {
        let names = list(&["a", "a-1", "b", "ä"]);
        assert_eq!((names.text(), names.len()), ("a/a-1/b/ä/", 4));
        assert_eq!(
            NameList::from_text(names.text().to_owned()),
            Some(names.clone())
        );
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "a-1", "b", "ä"]);
        assert_eq!(NameList::of(["b", "a", "ä", "a-1", "b"]), names);
        assert_eq!(
            NameList::from_text(String::new()),
            Some(NameList::default())
        );
        for wrong in ["a", "/", "a//", "b/a/", "a/a/", "/a/", "a/b"] {
            assert_eq!(NameList::from_text(wrong.to_owned()), None, "{wrong}");
        }
    }

    #[test]
    fn lists_are_what_sets_are() {
        // All sets of five names, one against the other.
        let all = ["a", "ab", "b", "c/".trim_end_matches('/'), "ä"];
        let subset = |bits: u32| -> BTreeSet<&str> {
            let names = all.iter().enumerate();
            let names = names.filter(|(at, _)| bits >> at & 1 == 1);
            names.map(|(_, name)| *name).collect()
        };
        let as_list = |set: &BTreeSet<&str>| -> NameList { set.iter().copied().collect() };
        for (one, other) in (0..1024).map(|n| (subset(n / 32), subset(n % 32))) {
            let (a, b) = (as_list(&one), as_list(&other));
            let union = one.union(&other).copied().collect();
            let rest = one.difference(&other).copied().collect();
            assert_eq!(a.changed_by(&b, &NameList::default()), as_list(&union));
            assert_eq!(a.without(&b), as_list(&rest));
            assert_eq!(NameList::default().changed_by(&a, &b), as_list(&rest));
            for name in all.iter().chain(&["", "0", "aa", "z", "ää"]) {
                assert_eq!(a.contains(name), one.contains(name), "{name} in {a:?}");
            }
            for count in 0..=one.len() + 1 {
                let mut first = a.clone();
                let later = first.split_off(count);
                assert_eq!(
                    (first.len(), later.len()),
                    (count.min(a.len()), a.len().saturating_sub(count))
                );
                assert_eq!(first.changed_by(&later, &NameList::default()), a);
            }
        }
    }
}
