//! What came, or would come.

use super::live;
use crate::cli::output::table;
use crate::import::{Kind, Prepared, Problem};
use serde::Serialize;

#[derive(Serialize)]
pub struct Report {
    pub source: String,
    pub read: SourceFacts,
    /// The last write that the source has.
    pub zxid: String,
    pub znodes: u64,
    pub data_bytes: u64,
    pub containers: u64,
    pub with_ttl: u64,
    /// Sessions do not move: their clients build them anew.
    pub ephemerals_left_out: u64,
    pub largest: Option<Largest>,
    pub problems: Vec<Problem>,
    pub problems_count: u64,
    pub notes: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Serialize)]
pub struct Largest {
    path: String,
    data_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFacts {
    Ensemble(live::Facts),
    Directory(crate::import::zookeeper::Facts),
    Table(crate::import::table::Facts),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    DryRun,
    /// There are problems, and they were not accepted.
    Refused,
    Written {
        file: String,
        bytes: u64,
    },
    Restored {
        zxid: String,
    },
    WouldMerge {
        missing: u64,
        existing: u64,
    },
    Merged {
        created: u64,
        existing: u64,
        refused: u64,
    },
}

impl Outcome {
    fn text(&self) -> String {
        match self {
            Outcome::DryRun => "nothing was written".to_owned(),
            Outcome::Refused => "nothing was written: there are problems".to_owned(),
            Outcome::Written { file, bytes } => format!("written to {file}, {bytes} bytes"),
            Outcome::Restored { zxid } => format!("restored, at zxid {zxid}"),
            Outcome::WouldMerge { missing, existing } => {
                format!("nothing was written: {missing} would be created, {existing} are there")
            }
            Outcome::Merged {
                created,
                existing,
                refused,
            } => format!("{created} created, {existing} were there, {refused} refused"),
        }
    }
}

impl SourceFacts {
    fn text(&self) -> String {
        match self {
            SourceFacts::Ensemble(facts) => {
                let stood = match facts.consistent {
                    true => "all as at one moment".to_owned(),
                    false => format!("not at one moment, {} changed", facts.changed),
                };
                format!("{stood}; looked at {} times again", facts.passes)
            }
            SourceFacts::Directory(facts) => format!(
                "{} and {} transactions of {} logs; {} digests compared",
                facts.snapshot,
                facts.transactions,
                facts.logs.len(),
                facts.digests_compared
            ),
            SourceFacts::Table(facts) => {
                format!("{} rows; {} parents made", facts.rows, facts.made)
            }
        }
    }
}

impl Report {
    pub fn new(source: String, read: SourceFacts) -> Report {
        Report {
            source,
            read,
            zxid: String::new(),
            znodes: 0,
            data_bytes: 0,
            containers: 0,
            with_ttl: 0,
            ephemerals_left_out: 0,
            largest: None,
            problems: Vec::new(),
            problems_count: 0,
            notes: Vec::new(),
            outcome: Outcome::DryRun,
        }
    }

    /// Counts what comes.
    pub fn take(&mut self, prepared: &Prepared) {
        self.zxid = prepared.znodes.zxid.to_string();
        let znodes = &prepared.znodes.by_path;
        let of_kind = |is: fn(Kind) -> bool| {
            let those = znodes.values().filter(|znode| is(znode.kind));
            those.count() as u64
        };
        self.znodes = znodes.len() as u64;
        self.containers = of_kind(|kind| kind == Kind::Container);
        self.with_ttl = of_kind(|kind| matches!(kind, Kind::Ttl(_)));
        let bytes = znodes.values().map(|znode| znode.data_bytes() as u64);
        self.data_bytes = bytes.sum();
        self.ephemerals_left_out = prepared.ephemerals_left_out;
        let largest = znodes.iter().max_by_key(|(_, znode)| znode.data_bytes());
        self.largest = largest.map(|(path, znode)| Largest {
            path: path.clone(),
            data_bytes: znode.data_bytes() as u64,
        });
        self.problems.clone_from(&prepared.problems.kept);
        self.problems_count = prepared.problems.count;
    }

    pub fn refused_by_target(&self) -> u64 {
        match self.outcome {
            Outcome::Merged { refused, .. } => refused,
            _ => 0,
        }
    }

    pub fn text(&self) -> String {
        let mut rows = vec![
            ["source".to_owned(), self.source.clone()],
            ["read".to_owned(), self.read.text()],
            ["last zxid".to_owned(), self.zxid.clone()],
            ["znodes".to_owned(), self.znodes.to_string()],
            ["bytes of data".to_owned(), self.data_bytes.to_string()],
            ["containers".to_owned(), self.containers.to_string()],
            ["with a time to live".to_owned(), self.with_ttl.to_string()],
            [
                "ephemerals left out".to_owned(),
                self.ephemerals_left_out.to_string(),
            ],
        ];
        if let Some(largest) = &self.largest {
            let text = format!("{} bytes, {}", largest.data_bytes, largest.path);
            rows.push(["largest".to_owned(), text]);
        }
        rows.push(["problems".to_owned(), self.problems_count.to_string()]);
        rows.push(["outcome".to_owned(), self.outcome.text()]);
        let mut text = table(["import", ""], rows);
        if !self.problems.is_empty() {
            let problems = self.problems.iter();
            let problems = problems.map(|problem| [problem.path.clone(), problem.what.clone()]);
            text += &table(["path", "problem"], problems);
        }
        for note in &self.notes {
            text += &format!("note: {}\n", crate::cli::output::printable(note));
        }
        text
    }
}
