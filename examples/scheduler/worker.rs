//! One worker: is there, plans if nobody else does, and does what is its own.

use crate::{JOBS, Paths, connect};
use std::time::Duration;
use vivarium::client::{
    Asking, Client, Error, Fetching, Lifetime, OnConflict, Reason, Registration, Task,
};

/// Tasks that a worker has at hand.
const WINDOW: u32 = 8;
/// What stands here for work.
const WORK: Duration = Duration::from_millis(20);

pub async fn work(
    servers: &[String],
    name: &str,
    paths: &Paths,
    tasks: usize,
) -> anyhow::Result<()> {
    let client = connect(servers, name).await?;
    loop {
        let over = tokio::select! {
            over = do_tasks(&client, name, paths) => over,
            over = plan(&client, name, paths, tasks) => over,
        };
        match over {
            // The client has another session by now, or will: whoever was cut off for too long begins anew.
            Err(Error::SessionLost) => eprintln!("{name} has lost its session"),
            over => return Ok(over?),
        }
    }
}

async fn do_tasks(client: &Client, name: &str, paths: &Paths) -> Result<(), Error> {
    // Who is in the ring has an entry here: this one's ends with its session.
    let entry = format!("{}/{name}", paths.workers);
    client.registry().register(&entry, "").await?;
    let fetching = Fetching {
        limit: WINDOW,
        ..Fetching::owned(&paths.queue, &paths.workers, name)
    };
    let mut incoming = client.tasks().receive(fetching);
    while let Some(task) = incoming.next().await? {
        tokio::time::sleep(WORK).await;
        let result = Registration {
            lifetime: Lifetime::Persistent,
            on_conflict: OnConflict::Fail,
            ..Registration::new(format!("{}/{:010}", paths.done, task.id()), name)
        };
        match client.registry().register_as(result).await {
            Ok(_) => task.complete().await?,
            // Whoever had the task before was killed between its result and its last word.
            Err(error) if error.reason() == Some(Reason::AlreadyRegistered) => {
                task.complete().await?
            }
            Err(Error::SessionLost) => return Err(Error::SessionLost),
            Err(error) => {
                task.fail(&error.to_string(), Duration::from_secs(1))
                    .await?;
            }
        }
    }
    Ok(())
}

/// Whoever has the lock enqueues everything. What an earlier planner has enqueued is known by its key, so the next
/// one may begin from the start.
async fn plan(client: &Client, name: &str, paths: &Paths, tasks: usize) -> Result<(), Error> {
    let asking = Asking {
        owner: Some(name.to_owned()),
        ..Asking::new(&paths.planner)
    };
    let Some(planner) = client.locks().acquire_as(asking).await? else {
        return Err(Error::SessionLost);
    };
    // With the lock's token: one that was paused too long, and has lost the lock, enqueues nothing more.
    let fenced = client.fenced(&planner);
    for number in 0..tasks {
        let task = Task {
            key: format!("job-{}", number % JOBS),
            action: "START".to_owned(),
            idempotency_key: number.to_string(),
            ..Task::default()
        };
        fenced
            .tasks()
            .enqueue(&paths.queue, task, Duration::ZERO)
            .await?;
    }
    planner.lost().await;
    Err(Error::SessionLost)
}
