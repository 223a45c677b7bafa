//! Locks: clients add to counters which only the holder of a lock may write.
//!
//! At all times: a client notes that it holds a lock after it was told so, and strikes that out before it gives
//! the lock back. So two who are noted and sure of their sessions are two holders.

use super::{Checked, Figures, Outcome, Run, failed};
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
    holder: Option<(i64, Client)>,
    last_token: i64,
    acknowledged: u64,
    doubtful: u64,
    tokens: Checked,
    holders: Checked,
}

impl Place {
    fn enter(&mut self, guard: &LockGuard, client: &Client) {
        let (token, last) = (guard.token(), self.last_token);
        let lock = &self.lock;
        self.tokens.look(token > last, || {
            format!("{lock}: token {token} after {last}")
        });
        let other = self.holder.as_ref();
        let other = other.filter(|(_, other)| other.state().is_connected());
        self.holders.look(other.is_none(), || {
            format!(
                "{lock}: {token} while {:?} holds it",
                other.map(|(token, _)| token)
            )
        });
        self.last_token = token.max(last);
        self.holder = Some((token, client.clone()));
    }

    fn leave(&mut self, guard: &LockGuard) {
        self.holder.take_if(|(token, _)| *token == guard.token());
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
        places.push(Arc::new(Mutex::new(Place {
            lock: format!("{}/lock-{number}", run.root),
            counter,
            holder: None,
            last_token: 0,
            acknowledged: 0,
            doubtful: 0,
            tokens: Checked::new("fencing tokens grow"),
            holders: Checked::new("nobody holds a lock while another one does"),
        })));
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
        let most = place.acknowledged + place.doubtful;
        counters.look((place.acknowledged..=most).contains(&value), || {
            let (counter, least) = (&place.counter, place.acknowledged);
            format!("{counter} is {value}, and not from {least} to {most}")
        });
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
        place.enter(&guard, client);
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
    place.lock().leave(&guard);
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
