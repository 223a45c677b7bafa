//! What a command found, for people and for programs.

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
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
    fn what_others_wrote_does_nothing_to_a_terminal() {
        let text = table(["a"], [["\u{1b}[2Jx".to_owned()]]);
        assert!(!text.contains('\u{1b}') && text.contains("[2Jx"), "{text}");
    }
}
