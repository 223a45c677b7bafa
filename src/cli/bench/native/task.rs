//! Tasks: some clients enqueue them, the others do those that are theirs by the ring.

use super::{Checked, Figures, Outcome, Run, Sure, comes_true, failed, sure};
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
    /// Whoever does it now, by its session.
    holder: Option<(Option<i64>, Sure)>,
}

/// What became of all of them.
struct Fates {
    by_id: HashMap<i64, Fate>,
    alone: Checked,
}

impl Fates {
    fn new() -> Fates {
        Fates {
            by_id: HashMap::new(),
            alone: Checked::new("nobody does a task while another one does"),
        }
    }

    fn of(&mut self, id: i64) -> &mut Fate {
        self.by_id.entry(id).or_default()
    }

    fn begins(&mut self, id: i64, session: Option<i64>, is_sure: Sure) {
        let other = self.of(id).holder.replace((session, is_sure));
        let is_alone = other.is_none_or(|(other, is_sure)| other == session || !is_sure());
        self.alone.look(is_alone, || format!("{id} is done by two"));
    }

    /// It may have been completed if that is not known.
    fn ends(&mut self, id: i64, session: Option<i64>, completed: Option<bool>) {
        let fate = self.of(id);
        fate.holder.take_if(|(holder, _)| *holder == session);
        match completed {
            Some(is_done) => fate.completed += u64::from(is_done),
            None => fate.doubtful += 1,
        }
    }

    fn judge(&self) -> [Checked; 2] {
        let mut all = Checked::new("every task that was acknowledged is done, and once");
        let mut ids = Checked::new("no two tasks have one id");
        for (id, fate) in &self.by_id {
            let Fate {
                acknowledged,
                completed,
                doubtful,
                ..
            } = fate;
            ids.look(*acknowledged <= 1, || {
                format!("{id} was given {acknowledged} times")
            });
            let is_done = *completed == 1 || *completed == 0 && *doubtful > 0;
            all.look(is_done, || {
                format!("{id} was completed {completed} times, or {doubtful} more")
            });
        }
        [all, ids]
    }
}

struct Shared {
    run: Arc<Run>,
    queue: String,
    ring: String,
    fates: Mutex<Fates>,
    /// Everything is done, or never will be.
    over: CancellationToken,
}

pub async fn run(run: &Arc<Run>, observer: &Client) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared {
        run: run.clone(),
        queue: format!("{}/queue", run.root),
        ring: format!("{}/workers", run.root),
        fates: Mutex::new(Fates::new()),
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

    let mut rest = Checked::new("nothing is left in the queue");
    rest.look(is_empty, || "tasks are left after a minute".to_owned());
    let fates = std::mem::replace(&mut *shared.fates.lock(), Fates::new());
    let [all, ids] = fates.judge();
    Ok(Outcome {
        rows: vec![("tasks enqueued", enqueued), ("tasks done", done)],
        checked: vec![all, ids, fates.alone, rest],
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
                shared.fates.lock().of(enqueued.id).acknowledged += 1;
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
        let session = client.session_id();
        self.fates.lock().begins(id, session, sure(client));
        let completed = task.complete().await;
        let is_done = match &completed {
            Ok(()) => Some(true),
            Err(error) if error.may_be_done() => None,
            Err(_) => Some(false),
        };
        self.fates.lock().ends(id, session, is_done);
        match completed {
            Ok(()) => {
                let now = self.run.live.elapsed();
                let sent = text.parse().map_or(now, Duration::from_micros);
                figures.done(now.saturating_sub(sent));
                self.run.live.acknowledge();
            }
            Err(error) => {
                failed(figures, &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    fn found(fates: &Fates) -> [u64; 3] {
        let [all, ids] = fates.judge();
        broken([&all, &ids, &fates.alone])
    }

    fn enqueued(ids: &[i64]) -> Fates {
        let mut fates = Fates::new();
        for id in ids {
            fates.of(*id).acknowledged += 1;
        }
        fates
    }

    fn done(fates: &mut Fates, id: i64, session: i64, completed: Option<bool>) {
        fates.begins(id, Some(session), Box::new(|| true));
        fates.ends(id, Some(session), completed);
    }

    #[test]
    fn a_task_that_is_lost_or_done_twice_is_noticed() {
        let mut fates = enqueued(&[1, 2, 3]);
        done(&mut fates, 1, 7, Some(true));
        // Refused here, and done by another one.
        done(&mut fates, 2, 7, Some(false));
        done(&mut fates, 2, 8, Some(true));
        // Nobody knows, and it is gone.
        done(&mut fates, 3, 8, None);
        assert_eq!(found(&fates), [0, 0, 0]);
        done(&mut fates, 1, 8, Some(true));
        assert_eq!(found(&fates), [1, 0, 0], "done twice");
        let lost = enqueued(&[4]);
        assert_eq!(found(&lost), [1, 0, 0], "lost");
        let mut twice = enqueued(&[5, 5]);
        done(&mut twice, 5, 7, Some(true));
        assert_eq!(found(&twice), [0, 1, 0], "one id for two");
    }

    #[test]
    fn a_task_in_two_hands_is_noticed() {
        let mut fates = enqueued(&[1]);
        // Cut off, and sure of nothing: another one may have it.
        fates.begins(1, Some(7), Box::new(|| false));
        fates.begins(1, Some(8), Box::new(|| true));
        // The same one is told of it again.
        fates.begins(1, Some(8), Box::new(|| true));
        assert_eq!(fates.alone.broken, 0);
        fates.begins(1, Some(9), Box::new(|| true));
        assert_eq!(fates.alone.broken, 1);
    }
}
