//! `vivarium events`: what happens, and what happened.

use super::exit::Exit;
use super::native::{ClientArgs, Ending, Failed, duration};
use super::output::{Format, Value, or_none, printable, session, table};
use crate::client::{
    Change, ChangeKind, Client, Entry, Event, Interest, Query, Start, Subscription, Transaction,
};
use crate::runtime::{Clock, SystemClock};
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use std::time::Duration;

#[derive(Args, Debug)]
pub struct EventsArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Subcommand, Debug)]
enum EventsCommand {
    /// Show what happens from now on, until interrupted; through other members when one fails
    Tail {
        /// Paths, each with all below it
        #[arg(default_value = "/")]
        prefixes: Vec<String>,
        /// Begin with what happened after this zxid, decimal or 0x…
        #[arg(long, value_parser = zxid, value_name = "ZXID")]
        after: Option<i64>,
        /// Go on after what was shown under this name, and note what is shown now
        #[arg(long, conflicts_with = "after", value_name = "NAME")]
        subscriber: Option<String>,
        /// Begin with what there is
        #[arg(long, conflicts_with_all = ["after", "subscriber"])]
        snapshot: bool,
        /// Fail where the start is not kept any more, instead of beginning with what there is
        #[arg(long)]
        no_gap: bool,
        /// End after so many transactions
        #[arg(long, value_name = "COUNT")]
        count: Option<u64>,
    },
    /// Show what happened, the oldest first
    Query {
        /// Paths, each with all below it
        #[arg(default_value = "/")]
        prefixes: Vec<String>,
        /// Only what happened so long ago at most
        #[arg(long, value_parser = duration, conflicts_with = "from_ms", value_name = "TIME")]
        last: Option<Duration>,
        /// Not before this, in milliseconds since 1970
        #[arg(long, value_name = "MS")]
        from_ms: Option<i64>,
        /// Not after this, in milliseconds since 1970
        #[arg(long, value_name = "MS")]
        to_ms: Option<i64>,
        /// Transactions
        #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
        limit: usize,
    },
    /// Show how far a named subscriber has come
    Cursor { subscriber: String },
    /// Forget a named subscriber; that there is none is no error
    Forget { subscriber: String },
    /// Show what the member that answers keeps
    Status,
}

fn zxid(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let zxid = parsed.map_err(|error| format!("{text:?} is no zxid: {error}"))?;
    match zxid >= 0 {
        true => Ok(zxid),
        false => Err(format!("{text:?} is no zxid: it is negative")),
    }
}

/// Runs the command to its end.
pub async fn run(args: EventsArgs) -> anyhow::Result<Exit> {
    let output = args.client.output;
    let work = async |client: &Client| carry_out(client, output, args.command).await;
    args.client.run(work).await
}

async fn carry_out(
    client: &Client,
    output: Format,
    command: EventsCommand,
) -> anyhow::Result<Exit> {
    let changes = client.changes();
    match command {
        EventsCommand::Tail {
            prefixes,
            after,
            subscriber,
            snapshot,
            no_gap,
            count,
        } => {
            let mut ending = Ending::listen()?;
            let start = match (&subscriber, after) {
                (Some(name), _) => Start::Subscriber(name.clone()),
                (None, Some(zxid)) => Start::After(zxid),
                (None, None) if snapshot => Start::Snapshot,
                (None, None) => Start::Now,
            };
            let subscription = changes.subscribe(Interest {
                start,
                or_snapshot: !no_gap,
                ..Interest::new(prefixes)
            });
            let mut tail = Tail {
                client,
                subscription: subscription.await.map_err(Failed::from)?,
                output,
                subscriber,
                left: count,
            };
            tokio::select! {
                ended = tail.run() => ended?,
                _ = ending.asked() => {}
            }
        }
        EventsCommand::Query {
            prefixes,
            last,
            from_ms,
            to_ms,
            limit,
        } => {
            let since = last.map(|last| {
                let ms = i64::try_from(last.as_millis()).unwrap_or(i64::MAX);
                SystemClock.wall_ms().saturating_sub(ms)
            });
            let query = Query {
                from_ms: since.or(from_ms),
                to_ms,
                ..Query::new(prefixes)
            };
            let found = changes.query(query).take(limit).map_ok(Told::transaction);
            let found: Vec<Told> = found.try_collect().await.map_err(Failed::from)?;
            output.show(&found, || {
                let rows = found.iter().flat_map(Told::rows);
                table(["zxid", "time", "session", "kind", "path", "value"], rows)
            })?;
        }
        EventsCommand::Cursor { subscriber } => {
            let zxid = changes.acknowledged(&subscriber).await;
            let zxid = zxid.map_err(Failed::from)?;
            let cursor = Cursor { subscriber, zxid };
            output.show(&cursor, || match zxid {
                0 => "nothing is acknowledged\n".to_owned(),
                zxid => format!("0x{zxid:x}\n"),
            })?;
        }
        EventsCommand::Forget { subscriber } => {
            changes.forget(&subscriber).await.map_err(Failed::from)?;
            let cursor = Cursor {
                subscriber,
                zxid: 0,
            };
            output.show(&cursor, || "forgotten\n".to_owned())?;
        }
        EventsCommand::Status => {
            let status = changes.status().await.map_err(Failed::from)?;
            let shown = Kept {
                enabled: status.enabled,
                first_zxid: status.first_zxid,
                last_zxid: status.last_zxid,
                transactions: status.transactions,
                bytes: status.bytes,
                oldest_ms: status.oldest_ms,
                subscriptions: status.subscriptions,
            };
            output.show(&shown, || shown.page())?;
        }
    }
    Ok(Exit::Success)
}

/// What is shown until there is a reason to end.
struct Tail<'a> {
    client: &'a Client,
    subscription: Subscription,
    output: Format,
    subscriber: Option<String>,
    /// Transactions.
    left: Option<u64>,
}

impl Tail<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        while self.left != Some(0) {
            let event = self.subscription.next().await.map_err(Failed::from)?;
            let Some(told) = Told::of(event) else {
                continue;
            };
            self.output.show_next(&told, || told.lines())?;
            // Noted once it is shown: whoever is killed in between is shown it again.
            let dealt_with = match &told {
                Told::Transaction { zxid, .. } | Told::SnapshotEnd { zxid } => Some(*zxid),
                Told::SnapshotBegin { .. } | Told::Entry(_) => None,
            };
            if let (Some(name), Some(zxid)) = (&self.subscriber, dealt_with) {
                let noted = self.client.changes().acknowledge(name, zxid).await;
                noted.map_err(Failed::from)?;
            }
            if let (Told::Transaction { .. }, Some(left)) = (&told, &mut self.left) {
                *left -= 1;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Cursor {
    subscriber: String,
    zxid: i64,
}

#[derive(Serialize)]
struct Kept {
    enabled: bool,
    first_zxid: i64,
    last_zxid: i64,
    transactions: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ms: Option<i64>,
    subscriptions: u32,
}

impl Kept {
    fn page(&self) -> String {
        let oldest = self.oldest_ms.map_or("-".to_owned(), |ms| ms.to_string());
        let rows = [
            ["enabled", &self.enabled.to_string()],
            ["first", &format!("0x{:x}", self.first_zxid)],
            ["last", &format!("0x{:x}", self.last_zxid)],
            ["transactions", &self.transactions.to_string()],
            ["bytes", &self.bytes.to_string()],
            ["oldest, ms since 1970", &oldest],
            ["subscriptions", &self.subscriptions.to_string()],
        ];
        table(["", "change log"], rows.map(|row| row.map(str::to_owned)))
    }
}

/// What was told, as it is printed.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told {
    Transaction {
        zxid: i64,
        time_ms: i64,
        /// As ZooKeeper prints it; `null` for what the ensemble did.
        session: Option<String>,
        changes: Vec<Shown>,
    },
    SnapshotBegin {
        zxid: i64,
        compacted: bool,
    },
    Entry(Shown),
    SnapshotEnd {
        zxid: i64,
    },
}

/// A change, or an entry that is there.
#[derive(Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    path: String,
    #[serde(flatten)]
    value: Value,
    version: i32,
    /// The one that the entry ends with; `null` for persistent entries.
    session: Option<String>,
}

impl Shown {
    fn new(
        kind: Option<&'static str>,
        path: String,
        bytes: &Bytes,
        version: i32,
        owner: i64,
    ) -> Shown {
        Shown {
            kind,
            path,
            value: Value::of(bytes),
            version,
            session: session(owner),
        }
    }

    fn change(change: Change) -> Shown {
        let kind = match change.kind() {
            ChangeKind::Added => "added",
            ChangeKind::Updated => "updated",
            ChangeKind::Removed => "removed",
            ChangeKind::AccessChanged => "access_changed",
            ChangeKind::Unspecified => "unknown",
        };
        let Change {
            path,
            value,
            version,
            session_id,
            ..
        } = change;
        Shown::new(Some(kind), path, &value, version, session_id)
    }

    fn entry(entry: Entry) -> Shown {
        let owner = entry.session_id;
        Shown::new(None, entry.path, &entry.value, entry.version, owner)
    }
}

impl Told {
    fn transaction(told: Transaction) -> Told {
        Told::Transaction {
            zxid: told.zxid,
            time_ms: told.time_ms,
            session: session(told.session_id),
            changes: told.changes.into_iter().map(Shown::change).collect(),
        }
    }

    /// Nothing for what only says that nothing happened.
    fn of(event: Event) -> Option<Told> {
        Some(match event {
            Event::Transaction(told) => Told::transaction(told),
            Event::SnapshotBegin { zxid, compacted } => Told::SnapshotBegin { zxid, compacted },
            Event::Entry(entry) => Told::Entry(Shown::entry(*entry)),
            Event::SnapshotEnd { zxid } => Told::SnapshotEnd { zxid },
            Event::Progress { .. } => return None,
        })
    }

    /// Of a table; one for each change.
    fn rows(&self) -> Vec<[String; 6]> {
        let Told::Transaction {
            zxid,
            time_ms,
            session,
            changes,
        } = self
        else {
            return Vec::new();
        };
        let row = |change: &Shown| {
            [
                format!("0x{zxid:x}"),
                time_ms.to_string(),
                or_none(session),
                change.kind.unwrap_or_default().to_owned(),
                change.path.clone(),
                change.value.to_string(),
            ]
        };
        changes.iter().map(row).collect()
    }

    /// One for each change, with tabulators.
    fn lines(&self) -> String {
        // A value may have lines and tabulators of its own.
        let in_one = |text: &str| printable(text).replace('\n', "\\n").replace('\t', "\\t");
        let line = |zxid: &str, kind: &str, shown: &Shown| {
            let (path, value) = (in_one(&shown.path), in_one(&shown.value.to_string()));
            format!("{zxid}\t{kind}\t{path}\t{value}\n")
        };
        match self {
            Told::Transaction { zxid, changes, .. } => {
                let zxid = format!("0x{zxid:x}");
                let lines = changes
                    .iter()
                    .map(|change| line(&zxid, change.kind.unwrap_or_default(), change));
                lines.collect()
            }
            Told::SnapshotBegin { zxid, compacted } => {
                let why = match compacted {
                    true => "what happened before is not kept any more; there is now",
                    false => "there is",
                };
                format!("0x{zxid:x}\tsnapshot\t{why}\n")
            }
            Told::Entry(entry) => line("", "there", entry),
            Told::SnapshotEnd { zxid } => format!("0x{zxid:x}\tsnapshot\tand that is all\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_given_as_it_is_printed() {
        assert_eq!(zxid("0x1f"), Ok(31));
        assert_eq!(zxid("31"), Ok(31));
        for wrong in ["", "x", "-1", "0x", "0x-1", "99999999999999999999"] {
            assert!(zxid(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_is_one_line_whatever_it_says() {
        let told = Told::transaction(Transaction {
            zxid: 16,
            changes: vec![Change {
                kind: ChangeKind::Added.into(),
                path: "/a".to_owned(),
                value: Bytes::from_static(b"x\n\ty\x1b"),
                ..Change::default()
            }],
            ..Transaction::default()
        });
        assert_eq!(told.lines(), "0x10\tadded\t/a\tx\\n\\ty\\u{1b}\n");
    }
}
