//! Rings: servers come and go while every client asks members for owners and computes them itself. Whatever says
//! the same epoch names the same owners.

use super::{Checked, Figures, Outcome, Run, comes_true, failed};
use crate::cli::native::{Failed, close};
use crate::client::{Client, Error, Ring, RingMode, RingWatch};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Servers of the ring: computing one of four takes each client some 40 ms.
const SERVERS_MAX: usize = 4;
/// How often a server comes or goes.
const CHANGE_EVERY: Duration = Duration::from_secs(1);
/// Keys that are asked for at once.
const KEYS: usize = 100;
const MODE: RingMode = RingMode::Equal;

/// Owners of the keys by each epoch, as somebody named them first.
struct Agreed {
    keys: Vec<String>,
    by_epoch: Mutex<(HashMap<i64, Vec<String>>, Checked)>,
}

impl Agreed {
    fn new() -> Agreed {
        let checked = Checked::new("all agree on the owners of an epoch");
        Agreed {
            keys: (0..KEYS).map(|key| key.to_string()).collect(),
            by_epoch: Mutex::new((HashMap::new(), checked)),
        }
    }

    fn note(&self, epoch: i64, owners: Vec<String>) {
        let (by_epoch, checked) = &mut *self.by_epoch.lock();
        match by_epoch.entry(epoch) {
            Entry::Vacant(entry) => {
                entry.insert(owners);
            }
            Entry::Occupied(entry) => checked.look(*entry.get() == owners, || {
                format!("epoch {epoch} has owners that are not those of another client")
            }),
        }
    }

    /// As a client computes them.
    fn note_of(&self, ring: &Ring) {
        let owners = self.keys.iter();
        let owners: Option<Vec<String>> = owners
            .map(|key| ring.owner(key).map(str::to_owned))
            .collect();
        if let Some(owners) = owners {
            self.note(ring.epoch(), owners);
        }
    }
}

pub async fn run(run: &Arc<Run>, observer: &Client) -> anyhow::Result<Outcome> {
    let agreed = Arc::new(Agreed::new());
    let registered = observer.registry().register(&server(run, 0), "").await;
    registered.map_err(Failed::from)?;
    let workers = (0..run.clients()).map(|_| {
        let (run, agreed) = (run.clone(), agreed.clone());
        tokio::spawn(work(run, agreed))
    });
    let working: Vec<_> = workers.collect();
    let changing = tokio::spawn(change(run.clone()));
    let (mut asked, mut watches) = (Figures::new(), Vec::new());
    for worker in working {
        let (figures, client, watch) = worker.await??;
        asked.merge(figures);
        watches.push((client, watch));
    }
    let (changed, servers) = changing.await??;

    let mut last = Checked::new("every client comes to the last epoch");
    for (client, watch) in &watches {
        let is_there = || async {
            let ring = observer
                .linearizable()
                .rings()
                .describe(&run.root, MODE)
                .await;
            ring.is_ok_and(|ring| {
                let seen = watch.current();
                seen.epoch() == ring.epoch() && seen.servers() == ring.servers()
            })
        };
        let holds = comes_true(is_there).await;
        last.look(holds, || {
            let (epoch, error) = (watch.current().epoch(), watch.error());
            format!("a client stayed at {epoch}: {error:?}")
        });
        agreed.note_of(&watch.current());
        let rings = client.linearizable().rings();
        let owners = rings.owners(&run.root, MODE, &agreed.keys, None).await;
        let owners = owners.map_err(Failed::from)?;
        agreed.note(owners.epoch, owners.owners);
    }
    for (client, _) in &watches {
        close(client).await;
    }
    close(&servers).await;
    let agreed = Arc::into_inner(agreed).expect("its clients have ended");
    Ok(Outcome {
        rows: vec![("ring owners", asked), ("ring changes", changed)],
        checked: vec![agreed.by_epoch.into_inner().1, last],
    })
}

fn server(run: &Run, number: usize) -> String {
    format!("{}/10.0.0.{}:1000", run.root, number + 1)
}

/// One operation is to ask for the owners of all keys.
async fn work(run: Arc<Run>, agreed: Arc<Agreed>) -> Result<(Figures, Client, RingWatch), Failed> {
    let mut figures = Figures::new();
    let client = run.lasting_client().await?;
    let rings = client.rings();
    let mut watch = rings.watch(&run.root, MODE).await?;
    // What ends the watch is told by the check at the end.
    let follow = async {
        let mut next = timeout_at(run.deadline, watch.changed()).await;
        while let Ok(Some(ring)) = next {
            agreed.note_of(&ring);
            next = timeout_at(run.deadline, watch.changed()).await;
        }
    };
    let ask = async {
        while !run.is_over() {
            let begun = Instant::now();
            match rings.owners(&run.root, MODE, &agreed.keys, None).await {
                Ok(owners) => {
                    run.done(&mut figures, begun);
                    agreed.note(owners.epoch, owners.owners);
                }
                Err(error) => {
                    failed(&mut figures, &error);
                }
            }
        }
    };
    tokio::join!(follow, ask);
    Ok((figures, client, watch))
}

/// Lets one server after the other come, and go again.
async fn change(run: Arc<Run>) -> Result<(Figures, Client), Failed> {
    let mut figures = Figures::new();
    let client = run.lasting_client().await?;
    let registry = client.registry();
    let mut ticks = tokio::time::interval(CHANGE_EVERY);
    for turn in 0.. {
        ticks.tick().await;
        if run.is_over() {
            break;
        }
        let number = 1 + turn / 2 % (SERVERS_MAX - 1);
        let path = server(&run, number);
        let begun = Instant::now();
        let done: Result<(), Error> = match turn % 2 {
            0 => registry.register(&path, "").await.map(drop),
            _ => registry.unregister(&path, None).await.map(drop),
        };
        match done {
            Ok(()) => run.done(&mut figures, begun),
            Err(error) => {
                failed(&mut figures, &error);
            }
        }
    }
    Ok((figures, client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_two_owners_by_one_epoch_is_noticed() {
        let agreed = Agreed::new();
        let owners = |last: &str| {
            let mut owners = vec!["a".to_owned(); KEYS];
            owners[KEYS - 1] = last.to_owned();
            owners
        };
        let broken = || agreed.by_epoch.lock().1.broken;
        for (epoch, last) in [(1, "a"), (1, "a"), (2, "b"), (2, "b"), (1, "a")] {
            agreed.note(epoch, owners(last));
        }
        assert_eq!(broken(), 0);
        agreed.note(1, owners("b"));
        assert_eq!(broken(), 1);
        // An answer that lacks a key is none either.
        agreed.note(2, owners("b")[1..].to_vec());
        assert_eq!(broken(), 2);
    }
}
