//! Changes: every client is told of every write, once and in order, while some of them write.

use super::{Checked, Figures, Outcome, PATIENCE, Run, failed};
use crate::cli::native::{Failed, close};
use crate::client::{
    Change, Client, Error, Event, Interest, Lifetime, Registration, Start, Transaction,
};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Clients that are told, for each that writes.
const CLIENTS_PER_WRITER: usize = 4;
const IN_ORDER: &str = "changes come in order, and none comes twice";
/// What the last change is called.
const END: &str = "end";

/// What a subscriber was told.
struct Heard {
    number: usize,
    figures: Figures,
    last: i64,
    order: Checked,
    /// Of all changes with their zxids, in the order in which they came.
    digest: DefaultHasher,
    changes: u64,
    /// How often each number of each writer came.
    counts: BTreeMap<(usize, u64), u64>,
    error: Option<Error>,
}

/// What a writer was told of its numbers, from 1.
struct Written {
    figures: Figures,
    /// Whether it was acknowledged.
    numbers: Vec<bool>,
}

pub async fn run(run: &Arc<Run>, observer: &Client, began: i64) -> anyhow::Result<Outcome> {
    let hearing = (0..run.clients()).map(|number| tokio::spawn(hear(run.clone(), number, began)));
    let hearing: Vec<_> = hearing.collect();
    let writers = (0..run.clients().div_ceil(CLIENTS_PER_WRITER))
        .map(|number| tokio::spawn(write(run.clone(), number)));
    let writing: Vec<_> = writers.collect();
    let (mut written, mut numbers) = (Figures::new(), Vec::new());
    for writer in writing {
        let writer = writer.await??;
        written.merge(writer.figures);
        numbers.push(writer.numbers);
    }
    let end = persistent(format!("{}/{END}", run.root), String::new());
    let ended = observer.registry().register_as(end).await;
    ended.map_err(Failed::from)?;
    let mut heard = Vec::new();
    for hearer in hearing {
        heard.push(hearer.await??);
    }

    let mut delivered = Figures::new();
    for heard in &mut heard {
        delivered.merge(std::mem::replace(&mut heard.figures, Figures::new()));
    }
    Ok(Outcome {
        rows: vec![("events written", written), ("events delivered", delivered)],
        checked: judge(heard, &numbers).into(),
    })
}

/// What was told, against what each writer was told of its numbers.
fn judge(heard: Vec<Heard>, numbers: &[Vec<bool>]) -> [Checked; 3] {
    let mut order = Checked::new(IN_ORDER);
    let mut same = Checked::new("every client is told the same changes");
    let mut all = Checked::new("every acknowledged write is told once");
    let Some(first) = heard.first() else {
        return [order, same, all];
    };
    for (writer, numbers) in numbers.iter().enumerate() {
        for (at, acknowledged) in numbers.iter().enumerate() {
            let number = at as u64 + 1;
            let count = first.counts.get(&(writer, number)).copied().unwrap_or(0);
            let holds = count == 1 || count == 0 && !acknowledged;
            all.look(holds, || {
                format!("{number} of writer {writer} came {count} times")
            });
        }
    }
    let first = (first.digest.finish(), first.changes);
    for heard in heard {
        let told = (heard.digest.finish(), heard.changes);
        same.look(told == first && heard.error.is_none(), || {
            let (number, changes, error) = (heard.number, heard.changes, &heard.error);
            format!("client {number} was told {changes} changes: {error:?}")
        });
        order.merge(heard.order);
    }
    [order, same, all]
}

fn persistent(path: String, value: String) -> Registration {
    Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(path, value)
    }
}

/// One operation is one write.
async fn write(run: Arc<Run>, number: usize) -> Result<Written, Failed> {
    let client = run.lasting_client().await?;
    let registry = client.registry();
    let mut written = Written {
        figures: Figures::new(),
        numbers: Vec::new(),
    };
    while !run.is_over() {
        let begun = Instant::now();
        let value = format!(
            "{} {}",
            written.numbers.len() + 1,
            run.live.elapsed().as_micros()
        );
        let wanted = persistent(format!("{}/{number}", run.root), value);
        let done = registry.register_as(wanted).await;
        written.numbers.push(done.is_ok());
        match done {
            Ok(_) => written.figures.done(begun.elapsed()),
            Err(error) => {
                failed(&mut written.figures, &error);
            }
        }
    }
    close(&client).await;
    Ok(written)
}

/// One operation is one change that is told; its latency counts from before the write.
async fn hear(run: Arc<Run>, number: usize, began: i64) -> Result<Heard, Failed> {
    let client = run.lasting_client().await?;
    let mut heard = Heard::new(number, began);
    let interest = Interest {
        start: Start::After(began),
        or_snapshot: false,
        ..Interest::new([run.root.as_str()])
    };
    let mut told = client.changes().subscribe(interest).await?;
    let last_call = run.deadline + PATIENCE;
    loop {
        let event = tokio::time::timeout_at(last_call, told.next()).await;
        let late = |_| {
            Err(Error::TimedOut {
                sent: false,
                last: None,
            })
        };
        let transaction = match event.unwrap_or_else(late) {
            Ok(Event::Transaction(transaction)) => transaction,
            Ok(_) => continue,
            Err(error) => {
                heard.error = Some(error);
                break;
            }
        };
        let now_us = run.live.elapsed().as_micros() as u64;
        let mut is_end = false;
        for change in &transaction.changes {
            is_end |= change.path.ends_with(END);
            if let Some((.., sent_us)) = read(&run.root, change) {
                let latency = Duration::from_micros(now_us.saturating_sub(sent_us));
                heard.figures.done(latency);
                run.live.acknowledge();
            }
        }
        heard.note(&run.root, &transaction);
        if is_end {
            break;
        }
    }
    close(&client).await;
    Ok(heard)
}

impl Heard {
    fn new(number: usize, began: i64) -> Heard {
        Heard {
            number,
            figures: Figures::new(),
            last: began,
            order: Checked::new(IN_ORDER),
            digest: DefaultHasher::new(),
            changes: 0,
            counts: BTreeMap::new(),
            error: None,
        }
    }

    fn note(&mut self, root: &str, transaction: &Transaction) {
        let (number, zxid, last) = (self.number, transaction.zxid, self.last);
        self.order.look(zxid > last, || {
            format!("client {number} was told {zxid:#x} after {last:#x}")
        });
        self.last = zxid;
        for change in &transaction.changes {
            (zxid, change.kind, &change.path, &change.value).hash(&mut self.digest);
            self.changes += 1;
            // One for all: what the others were told is the same or it is noticed.
            if number == 0
                && let Some((writer, number, _)) = read(root, change)
            {
                *self.counts.entry((writer, number)).or_default() += 1;
            }
        }
    }
}

/// Writer, number, and microseconds after the start.
fn read(root: &str, change: &Change) -> Option<(usize, u64, u64)> {
    let writer = change.path.strip_prefix(root)?.strip_prefix('/')?;
    let value = std::str::from_utf8(&change.value).ok()?;
    let (number, sent_us) = value.split_once(' ')?;
    Some((
        writer.parse().ok()?,
        number.parse().ok()?,
        sent_us.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    fn transaction(zxid: i64, number: u64) -> Transaction {
        Transaction {
            zxid,
            changes: vec![Change {
                path: "/r/0".to_owned(),
                value: format!("{number} 5").into(),
                ..Change::default()
            }],
            ..Transaction::default()
        }
    }

    /// What is found where one writer wrote three times, the last time without an answer, and two clients were
    /// told so: zxids and numbers.
    fn found(told: [&[(i64, u64)]; 2]) -> [u64; 3] {
        let mut clients = Vec::new();
        for (number, told) in told.into_iter().enumerate() {
            let mut heard = Heard::new(number, 1);
            for (zxid, number) in told {
                heard.note("/r", &transaction(*zxid, *number));
            }
            clients.push(heard);
        }
        let [order, same, all] = judge(clients, &[vec![true, true, false]]);
        broken([&order, &same, &all])
    }

    #[test]
    fn a_change_that_is_lost_comes_twice_or_out_of_order_is_noticed() {
        let sound: &[(i64, u64)] = &[(2, 1), (3, 2)];
        assert_eq!(found([sound, sound]), [0, 0, 0]);
        let with_doubtful: &[(i64, u64)] = &[(2, 1), (3, 2), (4, 3)];
        assert_eq!(found([with_doubtful, with_doubtful]), [0, 0, 0]);
        assert_eq!(found([&sound[..1], &sound[..1]]), [0, 0, 1], "lost to all");
        assert_eq!(found([sound, &sound[1..]]), [0, 1, 0], "lost to one");
        assert_eq!(found([&[], &[]]), [0, 0, 2], "told nothing");
        let twice: &[(i64, u64)] = &[(2, 1), (2, 1), (3, 2)];
        assert_eq!(found([twice, twice]), [2, 0, 1], "the same one twice");
        let anew: &[(i64, u64)] = &[(2, 1), (3, 2), (4, 2)];
        assert_eq!(found([anew, anew]), [0, 0, 1], "as another transaction");
        let late: &[(i64, u64)] = &[(3, 2), (2, 1)];
        assert_eq!(found([late, sound]), [1, 1, 0], "out of order");
        let early: &[(i64, u64)] = &[(1, 1), (3, 2)];
        assert_eq!(found([early, early]), [2, 0, 0], "from before the start");
        let other: &[(i64, u64)] = &[(2, 1), (3, 9)];
        assert_eq!(found([sound, other]), [0, 1, 0], "another value");
    }

    #[test]
    fn who_ended_with_an_error_was_not_told_all() {
        let mut heard = Heard::new(0, 1);
        heard.error = Some(Error::SessionLost);
        let [order, same, all] = judge(vec![heard], &[]);
        assert_eq!(broken([&order, &same, &all]), [0, 1, 0]);
    }
}
