//! What a command found, for people and for programs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::fmt;
use std::io::{ErrorKind, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    Json,
    Yaml,
}

/// Writes to standard output. Whoever reads no more of it has read enough.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

impl Format {
    /// The same facts in each form; the table as it is given.
    pub fn show(self, facts: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        print(&match self {
            Format::Table => text(),
            Format::Json => serde_json::to_string_pretty(facts)? + "\n",
            Format::Yaml => serde_yaml_ng::to_string(facts)?,
        })
    }

    /// One of many that follow each other: a line of JSON, a document of YAML.
    pub fn show_next(
        self,
        facts: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        print(&match self {
            Format::Table => text(),
            Format::Json => serde_json::to_string(facts)? + "\n",
            Format::Yaml => format!("---\n{}", serde_yaml_ng::to_string(facts)?),
        })
    }
}

/// A value: the text that it is, or else its bytes.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Value {
    Text { value: String },
    Bytes { value_base64: String },
}

impl Value {
    pub fn of(bytes: &[u8]) -> Value {
        match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text {
                value: text.to_owned(),
            },
            Err(_) => Value::Bytes {
                value_base64: STANDARD.encode(bytes),
            },
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text { value } => f.write_str(value),
            Value::Bytes { value_base64 } => write!(f, "base64:{value_base64}"),
        }
    }
}

/// A session as ZooKeeper prints it; none where it is nobody's.
pub fn session(id: i64) -> Option<String> {
    (id != 0).then(|| format!("0x{id:x}"))
}

/// What there is, in a table.
pub fn or_none(cell: &Option<String>) -> String {
    cell.clone().unwrap_or_else(|| "-".to_owned())
}

/// Lines under headings.
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(headings);
    for row in rows {
        // What others wrote moves no cursor.
        table.add_row(row.map(|cell| printable(&cell)));
    }
    format!("{table}\n")
}

/// Without control characters, which could do things to a terminal.
pub fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_text_where_it_is_one() {
        #[derive(Serialize)]
        struct Entry {
            path: &'static str,
            #[serde(flatten)]
            value: Value,
        }
        let shown = |bytes: &[u8]| {
            let value = Value::of(bytes);
            let text = value.to_string();
            let json = serde_json::to_string(&Entry { path: "/a", value }).unwrap();
            (text, json)
        };
        let text = shown("\u{e4}".as_bytes());
        assert_eq!(text.0, "\u{e4}");
        assert_eq!(text.1, "{\"path\":\"/a\",\"value\":\"\u{e4}\"}");
        let bytes = shown(&[0xff]);
        assert_eq!(bytes.0, "base64:/w==");
        assert_eq!(bytes.1, r#"{"path":"/a","value_base64":"/w=="}"#);
    }

    #[test]
    fn what_others_wrote_does_nothing_to_a_terminal() {
        let text = table(["a"], [["\u{1b}[2Jx".to_owned()]]);
        assert!(!text.contains('\u{1b}') && text.contains("[2Jx"), "{text}");
    }
}
