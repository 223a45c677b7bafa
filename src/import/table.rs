//! A dump of a registry's table: what `mysql --batch` or psql's `\copy … csv header` prints of it.
//!
//! | column | in `t_ds_jdbc_registry_data` | in `t_ds_mysql_registry_data` |
//! |---|---|---|
//! | path | `data_key` | `key` |
//! | data | `data_value` | `data` |
//! | kind | `data_type`: 1 or `EPHEMERAL`, 2 or `PERSISTENT` | `type`: 1, 2 |
//! | dates | `create_time`, `last_update_time`; read as UTC, may be missing | the same |
//!
//! Other columns are passed over. A table has no zxids, versions and access lists: znodes are numbered in the
//! order of their paths and open to everybody; those that only stand in the paths of others are made.

use super::znodes::{Kind, Problems, Znode, Znodes};
use crate::model::{SessionId, Zxid, parent, validate_path};
use bytes::Bytes;
use chrono::NaiveDateTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// The largest dump that is read: a registry's table has thousands of rows.
pub const TABLE_BYTES_MAX: u64 = 256 << 20;
/// What the column has room for: 256 characters.
pub const KEY_BYTES_MAX: usize = 1024;
/// Each level may be a znode that has to be made.
pub const LEVELS_MAX: usize = 64;

/// The session of rows that die with somebody's; the table names none that would mean anything here.
const SOMEBODY: SessionId = SessionId(1);

/// Why a dump as a whole is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    #[error("it is no UTF-8 text, at byte {0}")]
    NotText(usize),
    #[error("it is empty: the first line has the names of the columns")]
    Empty,
    #[error(
        "this is SQL: take what `mysql --batch -e 'SELECT * FROM …'` or psql's `\\copy … csv header` prints"
    )]
    Sql,
    #[error("the first line names no column {0}")]
    NoColumn(&'static str),
    #[error("line {line} has {found} columns, and the first one has {expected}")]
    Columns {
        line: usize,
        found: usize,
        expected: usize,
    },
    #[error("line {0} begins a quoted text that does not end")]
    Quote(usize),
}

/// What a dump has.
#[derive(Debug, Default)]
pub struct Table {
    pub znodes: Znodes,
    pub facts: Facts,
    pub problems: Problems,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub rows: u64,
    /// Znodes that stand in the paths of rows and have none.
    pub made: u64,
}

/// Reads a dump. `time_ms` dates what has no date.
///
/// # Errors
/// A text that is no dump; single rows that cannot come are problems instead.
pub fn read_table(bytes: &[u8], time_ms: i64) -> Result<Table, TableFault> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| TableFault::NotText(error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().filter(|line| !line.is_empty());
    let first = first.ok_or(TableFault::Empty)?;
    let is_sql = ["--", "/*", "INSERT", "CREATE", "DROP", "SET ", "COPY"];
    if is_sql.iter().any(|word| first.starts_with(word)) {
        return Err(TableFault::Sql);
    }
    let mut rows = Rows {
        rest: text,
        line: 1,
        tabs: first.contains('\t'),
    };
    let header = rows.next_row()?.ok_or(TableFault::Empty)?;
    let columns = Columns::of(&header.cells)?;
    let mut table = Table::default();
    let mut found: BTreeMap<String, Znode> = BTreeMap::new();
    while let Some(row) = rows.next_row()? {
        if row.cells.len() != header.cells.len() {
            return Err(TableFault::Columns {
                line: row.line,
                found: row.cells.len(),
                expected: header.cells.len(),
            });
        }
        table.facts.rows += 1;
        let (path, znode) = columns.znode(&row.cells, time_ms);
        match judge(&path, znode, found.contains_key(&path)) {
            Ok(znode) => drop(found.insert(path, znode)),
            Err(what) => table
                .problems
                .add(&path, format!("line {}: {what}", row.line)),
        }
    }
    table.facts.made = make_parents(&mut found, time_ms);
    number(&mut found);
    table.znodes = Znodes {
        zxid: Zxid(found.len() as i64),
        by_path: found,
    };
    Ok(table)
}

/// Where in a line is what is needed.
struct Columns {
    key: usize,
    value: usize,
    kind: usize,
    created: Option<usize>,
    updated: Option<usize>,
}

impl Columns {
    fn of(names: &[Option<String>]) -> Result<Columns, TableFault> {
        let place = |known: &[&str]| {
            names.iter().position(|name| {
                let name = name.as_deref().unwrap_or_default().trim();
                known.iter().any(|known| name.eq_ignore_ascii_case(known))
            })
        };
        Ok(Columns {
            key: place(&["data_key", "key"]).ok_or(TableFault::NoColumn("data_key"))?,
            value: place(&["data_value", "data"]).ok_or(TableFault::NoColumn("data_value"))?,
            kind: place(&["data_type", "type"]).ok_or(TableFault::NoColumn("data_type"))?,
            created: place(&["create_time"]),
            updated: place(&["last_update_time"]),
        })
    }

    /// The znode, or what is wrong with its kind.
    fn znode(&self, cells: &[Option<String>], time_ms: i64) -> (String, Result<Znode, String>) {
        let cell = |at: usize| cells[at].as_deref().unwrap_or_default();
        let path = cell(self.key).to_owned();
        let date = |at: Option<usize>| at.and_then(|at| date_ms(cell(at))).unwrap_or(time_ms);
        let kind = match cell(self.kind) {
            "2" | "PERSISTENT" => Ok(Kind::Persistent),
            "1" | "EPHEMERAL" => Ok(Kind::Ephemeral(SOMEBODY)),
            other => Err(format!("{other:?} is no kind of row")),
        };
        let znode = kind.map(|kind| Znode {
            data: Some(Bytes::copy_from_slice(cell(self.value).as_bytes())),
            ctime_ms: date(self.created),
            mtime_ms: date(self.updated),
            kind,
            ..Znode::made(Zxid::ZERO, time_ms)
        });
        (path, znode)
    }
}

fn judge(path: &str, znode: Result<Znode, String>, is_taken: bool) -> Result<Znode, String> {
    let znode = znode?;
    validate_path(path).map_err(|error| error.to_string())?;
    if path.len() > KEY_BYTES_MAX {
        return Err(format!("a key of more than {KEY_BYTES_MAX} bytes"));
    }
    if path.matches('/').count() > LEVELS_MAX {
        return Err(format!("a key of more than {LEVELS_MAX} levels"));
    }
    match is_taken {
        true => Err("the key is there twice".to_owned()),
        false => Ok(znode),
    }
}

/// As `2026-11-29 12:00:00`, with or without fractions.
fn date_ms(text: &str) -> Option<i64> {
    let date = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(date.and_utc().timestamp_millis())
}

/// Whatever stands in a path is a znode; how many there were not.
fn make_parents(found: &mut BTreeMap<String, Znode>, time_ms: i64) -> u64 {
    let mut missing: BTreeMap<String, Znode> = BTreeMap::new();
    for (path, znode) in found.iter() {
        if let Kind::Ephemeral(_) = znode.kind {
            continue;
        }
        let mut path = path.as_str();
        while let Some(above) = parent(path) {
            // The root is there in every ensemble.
            if above == "/" || found.contains_key(above) || missing.contains_key(above) {
                break;
            }
            missing.insert(above.to_owned(), Znode::made(Zxid::ZERO, time_ms));
            path = above;
        }
    }
    let made = missing.len() as u64;
    found.append(&mut missing);
    made
}

/// Gives each znode a zxid of its own, and each parent the count of its children.
fn number(found: &mut BTreeMap<String, Znode>) {
    let mut children: BTreeMap<String, (i32, Zxid)> = BTreeMap::new();
    for (at, (path, znode)) in found.iter_mut().enumerate() {
        let zxid = Zxid(at as i64 + 1);
        (znode.czxid, znode.mzxid, znode.pzxid) = (zxid, zxid, zxid);
        if let (Some(above), Kind::Persistent) = (parent(path), znode.kind) {
            let counted = children.entry(above.to_owned()).or_default();
            *counted = (counted.0 + 1, zxid);
        }
    }
    for (path, (count, last)) in children {
        if let Some(znode) = found.get_mut(&path) {
            (znode.creations, znode.pzxid) = (count, last);
        }
    }
}

struct Row {
    line: usize,
    /// `None` for NULL.
    cells: Vec<Option<String>>,
}

/// The lines of a dump, of which a quoted text may be several.
struct Rows<'t> {
    rest: &'t str,
    line: usize,
    tabs: bool,
}

impl Rows<'_> {
    fn next_row(&mut self) -> Result<Option<Row>, TableFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let cells = match self.tabs {
            true => self.tabbed(),
            false => self.quoted()?,
        };
        Ok(Some(Row { line, cells }))
    }

    /// `mysql --batch`: a tab, a line feed, a zero and a backslash within a text are escaped.
    fn tabbed(&mut self) -> Vec<Option<String>> {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let cells = line.split('\t').map(|cell| match cell {
            "\\N" => None,
            // `NULL` too: the columns that are a text here are never null, and no date is one.
            cell => Some(unescaped(cell)),
        });
        cells.collect()
    }

    /// Comma-separated (RFC 4180), as psql writes it.
    fn quoted(&mut self) -> Result<Vec<Option<String>>, TableFault> {
        let mut cells = Vec::new();
        loop {
            let (cell, ended) = match self.rest.strip_prefix('"') {
                Some(rest) => self.quoted_cell(rest)?,
                None => self.plain_cell(),
            };
            cells.push(cell);
            if ended {
                return Ok(cells);
            }
        }
    }

    fn plain_cell(&mut self) -> (Option<String>, bool) {
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let cell = self.rest[..end].trim_end_matches('\r');
        let cell = (!cell.is_empty()).then(|| cell.to_owned());
        self.rest = &self.rest[end..];
        (cell, self.separator())
    }

    fn quoted_cell(&mut self, rest: &str) -> Result<(Option<String>, bool), TableFault> {
        let begun = self.line;
        let mut cell = String::new();
        let mut at = 0;
        loop {
            let length = rest[at..].find('"').ok_or(TableFault::Quote(begun))?;
            let part = &rest[at..at + length];
            self.line += part.matches('\n').count();
            cell.push_str(part);
            at += length + 1;
            if !rest[at..].starts_with('"') {
                break;
            }
            cell.push('"');
            at += 1;
        }
        self.rest = &self.rest[1 + at..];
        // What stands between a quote and the next comma belongs to nothing.
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        if !self.rest[..end].trim_end_matches('\r').is_empty() {
            return Err(TableFault::Quote(begun));
        }
        self.rest = &self.rest[end..];
        Ok((Some(cell), self.separator()))
    }

    /// Whether the line ends here.
    fn separator(&mut self) -> bool {
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return false;
        }
        self.rest = self.rest.strip_prefix('\n').unwrap_or("");
        self.line += 1;
        true
    }
}

fn unescaped(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            (c, false) => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABS: &str = "id\tdata_key\tdata_value\tdata_type\tlast_term\tlast_update_time\tcreate_time\n\
        1\t/nodes/master\t\t2\t0\t2024-05-01 10:00:01\t2024-05-01 10:00:00\n\
        2\t/nodes/master/h:1\t{\"a\":\\n1}\t1\t5\t2024-05-01 10:00:01\t2024-05-01 10:00:00\n\
        3\t/lock/x\ta\\tb\\\\\t2\t0\tNULL\tNULL\n";

    fn read(text: &str) -> Table {
        read_table(text.as_bytes(), 77).expect("a table")
    }

    #[test]
    fn what_mysql_prints_is_read() {
        let table = read(TABS);
        assert_eq!(table.facts, Facts { rows: 3, made: 2 });
        assert_eq!(table.problems, Problems::default());
        let found = &table.znodes.by_path;
        let paths: Vec<&str> = found.keys().map(String::as_str).collect();
        let expected = [
            "/lock",
            "/lock/x",
            "/nodes",
            "/nodes/master",
            "/nodes/master/h:1",
        ];
        assert_eq!(paths, expected);
        let lock = &found["/lock/x"];
        assert_eq!(lock.data.as_deref(), Some(&b"a\tb\\"[..]));
        assert_eq!((lock.ctime_ms, lock.kind), (77, Kind::Persistent));
        assert_eq!(found["/nodes/master"].ctime_ms, 1_714_557_600_000);
        assert_eq!(found["/nodes/master"].mtime_ms, 1_714_557_601_000);
        // It was given an ephemeral, which does not come.
        assert_eq!(found["/nodes/master"].creations, 0);
        assert_eq!(found["/nodes"].creations, 1);
        assert_eq!(found["/nodes/master/h:1"].kind, Kind::Ephemeral(SOMEBODY));
        assert_eq!(table.znodes.zxid, Zxid(5));
    }

    #[test]
    fn what_psql_prints_is_read() {
        let table = read(
            "id,data_key,data_value,data_type,client_id,create_time,last_update_time\r\n\
             1,/a,\"{\"\"x\"\": 1,\n 2}\",PERSISTENT,5,2024-05-01 10:00:00.123,2024-05-01 10:00:00\r\n\
             2,/b,,EPHEMERAL,5,,\r\n",
        );
        let a = &table.znodes.by_path["/a"];
        assert_eq!(a.data.as_deref(), Some(&b"{\"x\": 1,\n 2}"[..]));
        assert_eq!(a.ctime_ms, 1_714_557_600_123);
        assert_eq!(table.znodes.by_path["/b"].data.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn the_older_plugin_has_other_names() {
        let table = read("id\tkey\tdata\ttype\n1\t/a\tx\t2\n");
        assert_eq!(table.znodes.by_path["/a"].data.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn a_row_that_cannot_come_is_named_with_its_line() {
        let deep = "/a".repeat(LEVELS_MAX + 1);
        let long = format!("/{}", "a".repeat(KEY_BYTES_MAX));
        let text = format!(
            "key\tdata\ttype\nno/slash\t\t2\n/a\t\t2\n/a\t\t2\n/b\t\t3\n{deep}\t\t2\n{long}\t\t2\n"
        );
        let table = read(&text);
        assert_eq!(table.problems.count, 5);
        let what: Vec<&str> = table.problems.kept.iter().map(|p| &*p.what).collect();
        assert!(what[0].starts_with("line 2: "), "{what:?}");
        assert!(what[1].starts_with("line 4: "), "{what:?}");
        assert!(what[4].contains("1024"), "{what:?}");
    }

    #[test]
    fn what_is_no_dump_is_refused() {
        for (text, fault) in [
            ("", TableFault::Empty),
            ("-- MariaDB dump 10.19", TableFault::Sql),
            ("key\tdata\n", TableFault::NoColumn("data_type")),
            ("a,b\n", TableFault::NoColumn("data_key")),
            ("key,data,type\n\"x,y,2\n", TableFault::Quote(2)),
            ("key,data,type\n\"x\"y,z,2\n", TableFault::Quote(2)),
        ] {
            assert_eq!(
                read_table(text.as_bytes(), 0).err(),
                Some(fault),
                "{text:?}"
            );
        }
        let short = read_table(b"key\tdata\ttype\n/a\tx\n", 0).err();
        let expected = TableFault::Columns {
            line: 2,
            found: 2,
            expected: 3,
        };
        assert_eq!(short, Some(expected));
        assert_eq!(
            read_table(b"key\xff", 0).err(),
            Some(TableFault::NotText(3))
        );
    }
}
