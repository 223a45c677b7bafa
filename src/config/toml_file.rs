//! `vivarium.toml`: tables are sections, and every value knows its line.

use super::layers::Entry;
use super::problem::{Origin, Problem};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The entries of `text`. A file that is not TOML is one problem.
pub fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut reader = Reader {
        path,
        text,
        entries: Vec::new(),
        problems,
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let what = format!("this is not TOML: {}", error.message());
            let origin = reader.origin(at);
            reader.problems.push(Problem::new(&origin, "", what));
        }
    }
    reader.entries
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, at: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: super::value::line_of(self.text, at),
        }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&key, inner),
                _ => self.value(key, name.span().start, value),
            }
        }
    }

    fn value(&mut self, key: String, at: usize, value: &Spanned<DeValue<'_>>) {
        let origin = self.origin(at);
        let text = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| scalar(item.get_ref()))
                .collect::<Option<Vec<_>>>()
                .map(|items| items.join(",")),
            single => scalar(single),
        };
        match text {
            Some(text) => self.entries.push(Entry::text(key, text, &origin)),
            None => {
                let what = "expected a text, a whole number, true or false, or a list of texts";
                self.problems.push(Problem::new(&origin, key, what));
            }
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Vec<Entry>, Vec<Problem>) {
        let mut problems = Vec::new();
        let entries = read(Path::new("v.toml"), text, &mut problems);
        (entries, problems)
    }

    #[test]
    fn tables_are_sections_and_values_know_their_line() {
        let text = "[timing]\ntick_ms = 500\n\n[limits]\nframe_bytes_max = 0xfffff\n[cluster]\nmembers = [\"1=a\", \"2=b\"]\n";
        let (entries, problems) = read_text(text);
        assert!(problems.is_empty());
        let origin = |line| Origin::File {
            path: "v.toml".into(),
            line,
        };
        assert!(entries.contains(&Entry::text("timing.tick_ms", "500", &origin(2))));
        assert!(entries.contains(&Entry::text(
            "limits.frame_bytes_max",
            "0xfffff",
            &origin(5)
        )));
        assert!(entries.contains(&Entry::text("cluster.members", "1=a,2=b", &origin(7))));
    }

    #[test]
    fn what_is_no_value_of_ours_is_refused_at_its_line() {
        for bad in ["a.b = 1.5", "a.b = 1979-05-27", "a.b = [[1]]"] {
            let (entries, problems) = read_text(&format!("# why\n{bad}\n"));
            assert!(entries.is_empty(), "{bad}");
            assert!(
                problems[0]
                    .to_string()
                    .starts_with("v.toml:2: a.b: expected"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_at_its_line() {
        for bad in ["x = \n", "[a\n", "x = 1\nx = 2\n", "\u{0}"] {
            let (_, problems) = read_text(bad);
            assert_eq!(problems.len(), 1, "{bad}");
            assert!(problems[0].what.starts_with("this is not TOML"), "{bad}");
        }
    }
}
