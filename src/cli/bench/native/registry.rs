//! Entries of sessions: whoever is told that one is registered, updated or removed, finds it so through every
//! client; whoever closes its session takes its entries along.

use super::{Checked, Figures, Outcome, Run, comes_true, failed};
use crate::cli::native::{Failed, close};
use crate::client::{Client, Error};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Entries that a client has at once.
const ENTRIES_MAX: usize = 8;

/// What a client was told of its entries.
#[derive(Default)]
struct Promised {
    /// Path and value of what was acknowledged last.
    here: BTreeMap<String, String>,
    /// The answer to the last write is not known: nothing is promised.
    doubtful: BTreeSet<String>,
}

struct Worker {
    client: Client,
    promised: Promised,
    figures: Figures,
}

impl Promised {
    /// With the value that it has now, or none where it was removed.
    fn acknowledged(&mut self, path: String, value: Option<String>) {
        match value {
            // Once in doubt, always: the write in doubt may come after this one.
            Some(_) if self.doubtful.contains(&path) => {}
            Some(value) => {
                self.here.insert(path, value);
            }
            None => {
                self.here.remove(&path);
            }
        }
    }

    fn in_doubt(&mut self, path: String) {
        self.here.remove(&path);
        self.doubtful.insert(path);
    }

    fn is_known(&self, path: &str) -> bool {
        self.here.contains_key(path) || self.doubtful.contains(path)
    }

    /// Compares what was found with what was promised to a client; one that is not sure of its session is
    /// promised nothing.
    fn compare(
        &self,
        found: &BTreeMap<String, String>,
        is_sure: impl Fn() -> bool,
        checked: &mut Checked,
    ) {
        for (path, value) in &self.here {
            let found = found.get(path);
            checked.look(found == Some(value) || !is_sure(), || {
                format!("{path} is {found:?} where {value:?} was acknowledged")
            });
        }
    }
}

pub async fn run(run: &Arc<Run>, observer: &Client) -> anyhow::Result<Outcome> {
    let workers = (0..run.clients()).map(|number| tokio::spawn(work(run.clone(), number)));
    let working: Vec<_> = workers.collect();
    let mut workers = Vec::with_capacity(working.len());
    for worker in working {
        workers.push(worker.await??);
    }
    let mut figures = Figures::new();
    for worker in &mut workers {
        figures.merge(std::mem::replace(&mut worker.figures, Figures::new()));
    }
    let mut seen = Checked::new("what is registered is seen by every client");
    let lookers = workers.iter().map(|worker| &worker.client);
    for looker in lookers.chain([observer]) {
        look(run, looker, &workers, &mut seen).await?;
    }
    // Half of them say goodbye.
    let stay = workers.split_off(workers.len().div_ceil(2));
    for worker in &workers {
        close(&worker.client).await;
    }
    let mut gone = Checked::new("what is a session's is gone with it, and nothing else");
    let lookers = stay.iter().map(|worker| &worker.client);
    for looker in lookers.chain([observer]) {
        look(run, looker, &stay, &mut gone).await?;
    }
    for worker in &stay {
        close(&worker.client).await;
    }
    Ok(Outcome {
        rows: vec![("registry", figures)],
        checked: vec![seen, gone],
    })
}

async fn work(run: Arc<Run>, number: usize) -> Result<Worker, Failed> {
    let mut worker = Worker {
        client: run.client().await?,
        promised: Promised::default(),
        figures: Figures::new(),
    };
    let mut order = VecDeque::new();
    let mut count: u64 = 0;
    while !run.is_over() {
        count += 1;
        let registry = worker.client.registry();
        let value = count.to_string();
        let begun = Instant::now();
        let (path, done, value) = if order.len() < ENTRIES_MAX {
            let path = format!("{}/{number:05}-{count}", run.root);
            let done = registry.register(&path, value.as_str()).await.map(drop);
            order.push_back(path.clone());
            (path, done, Some(value))
        } else if count.is_multiple_of(2) {
            let path = order[ENTRIES_MAX - 1].clone();
            let done = registry.update(&path, value.as_str(), None).await;
            (path, done.map(drop), Some(value))
        } else {
            let path = order.pop_front().expect("it is full");
            let done = registry.unregister(&path, None).await.map(drop);
            (path, done, None)
        };
        match done {
            Ok(()) => {
                run.done(&mut worker.figures, begun);
                worker.promised.acknowledged(path, value);
            }
            Err(error) => {
                let is_over = failed(&mut worker.figures, &error);
                if error.may_be_done() {
                    worker.promised.in_doubt(path);
                }
                if is_over {
                    worker.promised.here.clear();
                    order.clear();
                    worker.client = run.client().await?;
                }
            }
        }
    }
    Ok(worker)
}

/// Compares what one client sees with what all of them were told.
async fn look(
    run: &Run,
    looker: &Client,
    workers: &[Worker],
    checked: &mut Checked,
) -> Result<(), Failed> {
    let found = match listed(run, looker).await {
        // Its entries are gone, and it sees nothing any more.
        Err(Error::SessionLost) => return Ok(()),
        found => found?,
    };
    for worker in workers {
        let is_sure = || worker.client.state().is_connected();
        worker.promised.compare(&found, is_sure, checked);
    }
    let is_known = |path: &String| {
        let mut workers = workers.iter();
        workers.any(|worker| worker.promised.is_known(path))
    };
    // What a session that was lost has left goes when the ensemble notices.
    let is_clean = || async {
        let found = listed(run, looker).await;
        found.map_or_else(
            |error| error == Error::SessionLost,
            |found| found.keys().all(is_known),
        )
    };
    let holds = found.keys().all(is_known) || comes_true(is_clean).await;
    checked.look(holds, || "entries are left that nobody has".to_owned());
    Ok(())
}

async fn listed(run: &Run, looker: &Client) -> Result<BTreeMap<String, String>, Error> {
    let registry = looker.linearizable().registry();
    let entries = registry.list(&run.root, 1).map_ok(|entry| {
        let value = String::from_utf8_lossy(&entry.value).into_owned();
        (entry.path, value)
    });
    entries.try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_missing_or_old_is_noticed_and_one_in_doubt_is_not_looked_at() {
        let mut promised = Promised::default();
        let value = |text: &str| Some(text.to_owned());
        for path in ["/a", "/b", "/c", "/d"] {
            promised.acknowledged(path.to_owned(), value("1"));
        }
        promised.acknowledged("/b".to_owned(), value("2"));
        promised.acknowledged("/c".to_owned(), None);
        promised.in_doubt("/d".to_owned());
        promised.acknowledged("/d".to_owned(), value("3"));
        let broken = |found: &[(&str, &str)], is_sure: bool| {
            let found = found.iter();
            let found = found.map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
            let mut checked = Checked::new("seen");
            promised.compare(&found.collect(), || is_sure, &mut checked);
            (checked.looked_at, checked.broken)
        };
        assert_eq!(
            broken(&[("/a", "1"), ("/b", "2"), ("/d", "1")], true),
            (2, 0)
        );
        assert_eq!(broken(&[("/a", "1"), ("/b", "1")], true), (2, 1), "old");
        assert_eq!(broken(&[("/b", "2")], true), (2, 1), "missing");
        assert_eq!(broken(&[], false), (2, 0), "its session may have ended");
        let known = ["/a", "/c", "/d", "/e"].map(|path| promised.is_known(path));
        assert_eq!(known, [true, false, true, false]);
    }
}
