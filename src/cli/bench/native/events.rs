//! Changes: every client is told of every write, once and in order, while some of them write.

use super::{Checked, Figures, Outcome, PATIENCE, Run, failed};
use crate::cli::native::{Failed, close};
use crate::client::{Change, Client, Error, Event, Interest, Lifetime, Registration, Start};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tokio::time::Instant;

/// Clients that are told, for each that writes.
const CLIENTS_PER_WRITER: usize = 4;
/// What the last change is called.
const END: &str = "end";

/// What a subscriber was told.
struct Heard {
    figures: Figures,
    order: Checked,
    /// Of all changes with their zxids, in the order in which they came.
    digest: DefaultHasher,
    changes: u64,
    /// How often each number of each writer came; for one of the subscribers.
    counts: Option<BTreeMap<(usize, u64), u64>>,
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

    let mut order = Checked::new("changes come in order, and none comes twice");
    let mut same = Checked::new("every client is told the same changes");
    let mut all = Checked::new("every acknowledged write is told once");
    let counts = heard[0].counts.take().unwrap_or_default();
    for (writer, numbers) in numbers.iter().enumerate() {
        for (at, acknowledged) in numbers.iter().enumerate() {
            let number = at as u64 + 1;
            let count = counts.get(&(writer, number)).copied().unwrap_or(0);
            let holds = count == 1 || count == 0 && !acknowledged;
            all.look(holds, || {
                format!("{number} of writer {writer} came {count} times")
            });
        }
    }
    let first = (heard[0].digest.finish(), heard[0].changes);
    let mut delivered = Figures::new();
    for (number, heard) in heard.into_iter().enumerate() {
        let told = (heard.digest.finish(), heard.changes);
        same.look(told == first && heard.error.is_none(), || {
            let (changes, error) = (heard.changes, &heard.error);
            format!("client {number} was told {changes} changes: {error:?}")
        });
        order.merge(heard.order);
        delivered.merge(heard.figures);
    }
    Ok(Outcome {
        rows: vec![("events written", written), ("events delivered", delivered)],
        checked: vec![order, same, all],
    })
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
    let mut heard = Heard {
        figures: Figures::new(),
        order: Checked::new("changes come in order, and none comes twice"),
        digest: DefaultHasher::new(),
        changes: 0,
        counts: (number == 0).then(BTreeMap::new),
        error: None,
    };
    let interest = Interest {
        start: Start::After(began),
        or_snapshot: false,
        ..Interest::new([run.root.as_str()])
    };
    let mut told = client.changes().subscribe(interest).await?;
    let last_call = run.deadline + PATIENCE;
    let mut last = began;
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
        let zxid = transaction.zxid;
        heard.order.look(zxid > last, || {
            format!("client {number} was told {zxid:#x} after {last:#x}")
        });
        last = zxid;
        let mut is_end = false;
        for change in &transaction.changes {
            (zxid, change.kind, &change.path, &change.value).hash(&mut heard.digest);
            heard.changes += 1;
            is_end |= change.path.ends_with(END);
            heard.note(&run, change);
        }
        if is_end {
            break;
        }
    }
    close(&client).await;
    Ok(heard)
}

impl Heard {
    fn note(&mut self, run: &Run, change: &Change) {
        let Some((writer, number, sent_us)) = read(run, change) else {
            return;
        };
        let now_us = run.live.elapsed().as_micros() as u64;
        self.figures.done(std::time::Duration::from_micros(
            now_us.saturating_sub(sent_us),
        ));
        run.live.acknowledge();
        if let Some(counts) = &mut self.counts {
            *counts.entry((writer, number)).or_default() += 1;
        }
    }
}

/// Writer, number, and microseconds after the start.
fn read(run: &Run, change: &Change) -> Option<(usize, u64, u64)> {
    let writer = change.path.strip_prefix(&run.root)?.strip_prefix('/')?;
    let value = std::str::from_utf8(&change.value).ok()?;
    let (number, sent_us) = value.split_once(' ')?;
    Some((
        writer.parse().ok()?,
        number.parse().ok()?,
        sent_us.parse().ok()?,
    ))
}
