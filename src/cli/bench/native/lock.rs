//! Locks: clients add to counters which only the holder of a lock may write.
//!
//! At all times: a client notes that it holds a lock after it was told so, and strikes that out before it gives
//! the lock back. So two who are noted and sure of their sessions are two holders.

use super::{Checked, Figures, Outcome, Run, Sure, failed, sure};
use crate::cli::native::{Failed, close};
use crate::client::{Client, Error, Lifetime, LockGuard, Registration};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Clients that contend for each lock.
const CLIENTS_PER_LOCK: usize = 4;
/// How long a client waits for its turn at once.
const WAIT: Duration = Duration::from_secs(5);

/// A lock as its clients see it.
struct Place {
    lock: String,
    counter: String,
    holder: Option<(i64, Sure)>,
    last_token: i64,
    acknowledged: u64,
    doubtful: u64,
    tokens: Checked,
    holders: Checked,
}

impl Place {
    fn new(lock: String, counter: String) -> Place {
        Place {
            lock,
            counter,
            holder: None,
            last_token: 0,
            acknowledged: 0,
            doubtful: 0,
            tokens: Checked::new("fencing tokens grow"),
            holders: Checked::new("nobody holds a lock while another one does"),
        }
    }

    fn enter(&mut self, token: i64, is_sure: Sure) {
        let last = self.last_token;
        let lock = &self.lock;
        self.tokens.look(token > last, || {
            format!("{lock}: token {token} after {last}")
        });
        let other = self.holder.as_ref();
        let other = other.filter(|(_, is_sure)| is_sure());
        self.holders.look(other.is_none(), || {
            format!(
                "{lock}: {token} while {:?} holds it",
                other.map(|(token, _)| token)
            )
        });
        self.last_token = token.max(last);
        self.holder = Some((token, is_sure));
    }

    fn leave(&mut self, token: i64) {
        self.holder.take_if(|(held, _)| *held == token);
    }

    /// Compares what was written with what its counter has come to.
    fn count(&self, value: u64, counters: &mut Checked) {
        let (counter, least) = (&self.counter, self.acknowledged);
        let most = least + self.doubtful;
        counters.look((least..=most).contains(&value), || {
            format!("{counter} is {value}, and not from {least} to {most}")
        });
    }
}

pub async fn run(run: &Arc<Run>, observer: &Client) -> anyhow::Result<Outcome> {
    let mut places = Vec::new();
    for number in 0..run.clients().div_ceil(CLIENTS_PER_LOCK) {
        let counter = format!("{}/counter-{number}", run.root);
        let wanted = Registration {
            lifetime: Lifetime::Persistent,
            ..Registration::new(counter.as_str(), "0")
        };
        let made = observer.registry().register_as(wanted).await;
        made.map_err(Failed::from)?;
        let lock = format!("{}/lock-{number}", run.root);
        places.push(Arc::new(Mutex::new(Place::new(lock, counter))));
    }
    let workers = (0..run.clients()).map(|number| {
        let place = places[number % places.len()].clone();
        tokio::spawn(work(run.clone(), place))
    });
    let working: Vec<_> = workers.collect();
    let mut figures = Figures::new();
    for worker in working {
        figures.merge(worker.await??);
    }
    let mut tokens = Checked::new("fencing tokens grow");
    let mut holders = Checked::new("nobody holds a lock while another one does");
    let mut counters =
        Checked::new("what was written under a lock is neither lost nor overwritten");
    for place in places {
        let place = Arc::into_inner(place).expect("its clients have ended");
        let place = place.into_inner();
        let value = read(observer, &place.counter).await.map_err(Failed::from)?;
        place.count(value, &mut counters);
        tokens.merge(place.tokens);
        holders.merge(place.holders);
    }
    Ok(Outcome {
        rows: vec![("lock", figures)],
        checked: vec![tokens, holders, counters],
    })
}

/// One operation is to wait for the lock, to add one to its counter, and to give it back; its latency is that of
/// the first.
async fn work(run: Arc<Run>, place: Arc<Mutex<Place>>) -> Result<Figures, Failed> {
    let mut figures = Figures::new();
    let mut client = run.client().await?;
    let (lock, counter) = {
        let place = place.lock();
        (place.lock.clone(), place.counter.clone())
    };
    while !run.is_over() {
        let begun = Instant::now();
        let is_over = match client.locks().acquire_within(&lock, WAIT).await {
            Ok(Some(guard)) => {
                hold(&run, &place, &client, &counter, guard, begun, &mut figures).await
            }
            Ok(None) => {
                figures.refused_as("not its turn in time");
                false
            }
            Err(error) => failed(&mut figures, &error),
        };
        if is_over {
            client = run.client().await?;
        }
    }
    close(&client).await;
    Ok(figures)
}

/// Whether the client is of no use any more.
async fn hold(
    run: &Run,
    place: &Mutex<Place>,
    client: &Client,
    counter: &str,
    guard: LockGuard,
    begun: Instant,
    figures: &mut Figures,
) -> bool {
    {
        let mut place = place.lock();
        if !guard.is_held() {
            figures.unknown();
            return client.session_id().is_none();
        }
        place.enter(guard.token(), sure(client));
    }
    run.done(figures, begun);
    let count = async {
        let value = read(client, counter).await?;
        let fenced = client.fenced(&guard).registry();
        // From here on it may be done.
        place.lock().doubtful += 1;
        let written = fenced.update(counter, (value + 1).to_string(), None).await;
        let mut place = place.lock();
        match &written {
            Ok(_) => {
                place.doubtful -= 1;
                place.acknowledged += 1;
            }
            Err(error) if !error.may_be_done() => place.doubtful -= 1,
            Err(_) => {}
        }
        written
    };
    let counted = count.await;
    let mut is_over = counted.is_err_and(|error| failed(figures, &error));
    place.lock().leave(guard.token());
    if let Err(error) = guard.release().await {
        is_over |= failed(figures, &error);
    }
    is_over
}

async fn read(client: &Client, counter: &str) -> Result<u64, Error> {
    let entry = client.linearizable().registry().get(counter).await?;
    let text = String::from_utf8_lossy(&entry.value);
    Ok(text.parse().expect("nobody else writes it"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    fn place() -> Place {
        Place::new("/l".to_owned(), "/c".to_owned())
    }

    fn found(place: &Place) -> [u64; 2] {
        broken([&place.tokens, &place.holders])
    }

    #[test]
    fn holders_that_overlap_and_tokens_that_do_not_grow_are_noticed() {
        let mut sound = place();
        for token in [5, 6] {
            sound.enter(token, Box::new(|| true));
            sound.leave(token);
        }
        // Cut off, and sure of nothing: the next one may have it.
        sound.enter(7, Box::new(|| false));
        sound.enter(8, Box::new(|| true));
        // What comes late of an earlier holder takes nothing from the one that holds it.
        sound.leave(7);
        assert_eq!(found(&sound), [0, 0]);
        sound.enter(9, Box::new(|| true));
        assert_eq!(found(&sound), [0, 1]);
        let mut again = place();
        for token in [5, 5] {
            again.enter(token, Box::new(|| true));
            again.leave(token);
        }
        assert_eq!(found(&again), [1, 0]);
    }

    #[test]
    fn a_write_that_is_lost_or_overwritten_is_noticed() {
        let mut place = place();
        (place.acknowledged, place.doubtful) = (3, 1);
        for (value, expected) in [(2, 1), (3, 0), (4, 0), (5, 1)] {
            let mut counters = Checked::new("counted");
            place.count(value, &mut counters);
            assert_eq!(counters.broken, expected, "{value}");
        }
    }
}
