//! Tasks: some clients enqueue them, the others do those that are theirs by the ring.

use super::{Checked, Figures, Outcome, Run, comes_true, failed};
use crate::cli::native::{Failed, close};
use crate::client::{Claimed, Client, Error, Fetching, Task};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Clients for each that enqueues; the others work.
const CLIENTS_PER_WRITER: usize = 2;
/// Jobs that tasks are about: all tasks of one are one worker's.
const JOBS: u64 = 64;
/// Tasks that a worker has at hand.
const WINDOW: u32 = 32;

/// What became of a task.
#[derive(Default)]
struct Fate {
    /// Who enqueued it was told so.
    acknowledged: u64,
    /// Who did it was told so.
    completed: u64,
    /// It may have been completed.
    doubtful: u64,
    /// Whoever does it now.
    holder: Option<Client>,
}

struct Shared {
    run: Arc<Run>,
    queue: String,
    ring: String,
    fates: Mutex<HashMap<i64, Fate>>,
    alone: Mutex<Checked>,
    /// Everything is done, or never will be.
    over: CancellationToken,
}

pub async fn run(run: &Arc<Run>, observer: &Client) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared {
        run: run.clone(),
        queue: format!("{}/queue", run.root),
        ring: format!("{}/workers", run.root),
        fates: Mutex::default(),
        alone: Mutex::new(Checked::new("nobody does a task while another one does")),
        over: CancellationToken::new(),
    });
    let writers = run.clients().div_ceil(CLIENTS_PER_WRITER);
    let workers = (run.clients() - writers).max(1);
    let working = (0..workers).map(|number| tokio::spawn(work(shared.clone(), number)));
    let working: Vec<_> = working.collect();
    let writing = (0..writers).map(|number| tokio::spawn(enqueue(shared.clone(), number)));
    let writing: Vec<_> = writing.collect();
    let (mut enqueued, mut done) = (Figures::new(), Figures::new());
    for writer in writing {
        enqueued.merge(writer.await??);
    }
    let is_empty = comes_true(|| async {
        let counts = observer.tasks().counts(&shared.queue).await;
        counts.is_ok_and(|counts| counts.pending + counts.delayed + counts.claimed == 0)
    });
    let is_empty = is_empty.await;
    shared.over.cancel();
    for worker in working {
        done.merge(worker.await??);
    }

    let mut all = Checked::new("every task that was acknowledged is done, and once");
    let mut ids = Checked::new("no two tasks have one id");
    let mut rest = Checked::new("nothing is left in the queue");
    rest.look(is_empty, || "tasks are left after a minute".to_owned());
    for (id, fate) in shared.fates.lock().iter() {
        ids.look(fate.acknowledged <= 1, || {
            format!("{id} was given {} times", fate.acknowledged)
        });
        let Fate {
            completed,
            doubtful,
            ..
        } = fate;
        let is_done = *completed == 1 || *completed == 0 && *doubtful > 0;
        all.look(is_done, || {
            format!("{id} was completed {completed} times, or {doubtful} more")
        });
    }
    let never = Checked::new("nobody does a task while another one does");
    let alone = std::mem::replace(&mut *shared.alone.lock(), never);
    Ok(Outcome {
        rows: vec![("tasks enqueued", enqueued), ("tasks done", done)],
        checked: vec![all, ids, alone, rest],
    })
}

/// One operation is one task that is durable.
async fn enqueue(shared: Arc<Shared>, number: usize) -> Result<Figures, Failed> {
    let run = &shared.run;
    let client = run.lasting_client().await?;
    let mut figures = Figures::new();
    let mut count = number as u64;
    while !run.is_over() {
        let begun = Instant::now();
        count += 1;
        let task = Task {
            key: format!("job-{}", count % JOBS),
            action: "START".to_owned(),
            payload: run.live.elapsed().as_micros().to_string().into(),
            ..Task::default()
        };
        match client
            .tasks()
            .enqueue(&shared.queue, task, Duration::ZERO)
            .await
        {
            Ok(enqueued) => {
                shared
                    .fates
                    .lock()
                    .entry(enqueued.id)
                    .or_default()
                    .acknowledged += 1;
                figures.done(begun.elapsed());
            }
            Err(error) => {
                failed(&mut figures, &error);
            }
        }
    }
    close(&client).await;
    Ok(figures)
}

/// One operation is one task that is done; its latency counts from before it was enqueued.
async fn work(shared: Arc<Shared>, number: usize) -> Result<Figures, Failed> {
    let client = shared.run.lasting_client().await?;
    let server = format!("worker-{number}");
    let mut figures = Figures::new();
    while !shared.over.is_cancelled() {
        let done = tokio::select! {
            done = serve(&shared, &client, &server, &mut figures) => done,
            () = shared.over.cancelled() => break,
        };
        if let Err(error) = done {
            failed(&mut figures, &error);
        }
    }
    close(&client).await;
    Ok(figures)
}

/// Until the session is lost: the next one registers again.
async fn serve(
    shared: &Shared,
    client: &Client,
    server: &str,
    figures: &mut Figures,
) -> Result<(), Error> {
    let entry = format!("{}/{server}", shared.ring);
    client.registry().register(&entry, "").await?;
    let fetching = Fetching {
        limit: WINDOW,
        ..Fetching::owned(&shared.queue, &shared.ring, server)
    };
    let mut incoming = client.tasks().receive(fetching);
    while let Some(task) = incoming.next().await? {
        shared.finish(client, task, figures).await;
    }
    Ok(())
}

impl Shared {
    async fn finish(&self, client: &Client, task: Claimed, figures: &mut Figures) {
        let (id, text) = (
            task.id(),
            String::from_utf8_lossy(&task.task().payload).into_owned(),
        );
        if !task.is_held() {
            return;
        }
        {
            let mut fates = self.fates.lock();
            let fate = fates.entry(id).or_default();
            let other = fate.holder.replace(client.clone());
            let is_alone = other.is_none_or(|other| {
                other.session_id() == client.session_id() || !other.state().is_connected()
            });
            self.alone
                .lock()
                .look(is_alone, || format!("{id} is done by two"));
        }
        let completed = task.complete().await;
        let mut fates = self.fates.lock();
        let fate = fates.entry(id).or_default();
        fate.holder
            .take_if(|holder| holder.session_id() == client.session_id());
        match completed {
            Ok(()) => {
                fate.completed += 1;
                let now = self.run.live.elapsed();
                let sent = text.parse().map_or(now, Duration::from_micros);
                figures.done(now.saturating_sub(sent));
                self.run.live.acknowledge();
            }
            Err(error) => {
                fate.doubtful += u64::from(error.may_be_done());
                failed(figures, &error);
            }
        }
    }
}
