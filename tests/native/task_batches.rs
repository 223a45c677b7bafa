//! Tasks that are enqueued, claimed and finished many in one step.

use super::caller::{Caller, Kept, eventually, reason};
use super::client_tasks::{about as about_in_client, connect};
use super::cluster;
use super::tasks::{
    QUEUE, about, complete, counts, fetch, fetch_one, fetching, get, ids, not_claimed, tasks,
    wait_for_counts,
};
use futures::future::join_all;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use vivarium::api::{
    ClaimRef, ClaimedTask, EnqueueAllRequest, EnqueueAllResponse, EnqueueRequest, FailedAttempt,
    FetchRequest, FinishRequest, FinishResponse, FinishedTask, NewTask, Task, TaskStanding,
};
use vivarium::client::{Error, Fetching, Reason};
use vivarium::testing::processes::PATIENCE;
use vivarium::testing::raw_client::{RawClient, create_body_with_acl, op};

fn enqueuing(kept: &Kept, request_id: u64, new: Vec<Task>) -> EnqueueAllRequest {
    let mut header = kept.header();
    header.request_id = request_id;
    let new = new.into_iter().map(|task| NewTask {
        task: Some(task),
        delay_ms: 0,
    });
    EnqueueAllRequest {
        header: Some(header),
        queue: QUEUE.to_owned(),
        tasks: new.collect(),
    }
}

async fn enqueue_all(
    caller: &Caller,
    request: EnqueueAllRequest,
) -> Result<EnqueueAllResponse, Status> {
    let answer = tasks(caller).enqueue_all(request).await?;
    Ok(answer.into_inner())
}

/// Tasks about the keys from 0, without idempotency keys.
async fn enqueue_some(caller: &Caller, kept: &Kept, count: usize) -> Vec<i64> {
    let new = (0..count).map(|key| about(&key.to_string())).collect();
    let enqueued = enqueue_all(caller, enqueuing(kept, 0, new)).await.unwrap();
    enqueued.tasks.iter().map(|task| task.id).collect()
}

fn done(claimed: &ClaimedTask) -> FinishedTask {
    FinishedTask {
        id: claimed.id,
        token: claimed.token,
        failed: None,
    }
}

fn failed(claimed: &ClaimedTask, attempt: FailedAttempt) -> FinishedTask {
    FinishedTask {
        failed: Some(attempt),
        ..done(claimed)
    }
}

fn finishing(kept: &Kept, request_id: u64, finished: Vec<FinishedTask>) -> FinishRequest {
    let mut header = kept.header();
    header.request_id = request_id;
    FinishRequest {
        header: Some(header),
        queue: QUEUE.to_owned(),
        tasks: finished,
    }
}

async fn finish(caller: &Caller, request: FinishRequest) -> Result<FinishResponse, Status> {
    let answer = tasks(caller).finish(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_enqueued_claimed_and_finished_in_one_step() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let keyed = Task {
        idempotency_key: "t-0000000007".to_owned(),
        ..about("k")
    };
    let last_chance = Task {
        attempts_max: 1,
        ..about("1")
    };
    let new = vec![
        last_chance,
        keyed.clone(),
        about("2"),
        keyed.clone(),
        about("3"),
    ];
    let enqueued = enqueue_all(&caller, enqueuing(&kept, 0, new))
        .await
        .unwrap();
    let found: Vec<(i64, bool)> = enqueued
        .tasks
        .iter()
        .map(|task| (task.id, task.known))
        .collect();
    assert_eq!(
        found,
        [(0, false), (1, false), (2, false), (1, true), (3, false)]
    );
    let again = enqueue_all(&caller, enqueuing(&kept, 0, vec![about("4"), keyed]))
        .await
        .unwrap();
    let found: Vec<(i64, bool)> = again
        .tasks
        .iter()
        .map(|task| (task.id, task.known))
        .collect();
    assert_eq!(found, [(4, false), (1, true)]);
    assert!(again.zxid > enqueued.zxid);

    wait_for_counts(&caller, [5, 0, 0, 0]).await;
    let claimed = fetch(&caller, fetching(&kept, 64, 0)).await.unwrap();
    assert_eq!(ids(&claimed), [0, 1, 2, 3, 4]);
    let tokens: HashSet<i64> = claimed.iter().map(|claimed| claimed.token).collect();
    assert_eq!(tokens.len(), 1);

    let other = caller.open("").await;
    let all = |kept: &Kept| {
        let finished = vec![
            failed(
                &claimed[0],
                FailedAttempt {
                    error: "no room".to_owned(),
                    ..Default::default()
                },
            ),
            done(&claimed[1]),
            failed(
                &claimed[2],
                FailedAttempt {
                    retry_after_ms: 3_600_000,
                    ..Default::default()
                },
            ),
            failed(
                &claimed[3],
                FailedAttempt {
                    not_begun: true,
                    ..Default::default()
                },
            ),
        ];
        finishing(kept, 0, finished)
    };
    assert_eq!(reason(finish(&caller, all(&other)).await), not_claimed());
    // One of them that is not claimed so: nothing is changed for the others.
    let mut stale = all(&kept);
    stale.tasks[2].token -= 1;
    let refused = finish(&caller, stale).await.unwrap_err();
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["id"], "2");
    assert_eq!(reason::<()>(Err(refused)), not_claimed());
    assert_eq!(
        get(&caller, 1).await.unwrap().standing(),
        TaskStanding::Claimed
    );

    let finished = finish(&caller, all(&kept)).await.unwrap();
    assert_eq!(finished.dead, [true, false, false, false]);
    wait_for_counts(&caller, [1, 1, 1, 1]).await;
    let dead = get(&caller, 0).await.unwrap();
    assert_eq!(
        (dead.standing(), dead.error.as_str()),
        (TaskStanding::Dead, "no room")
    );
    assert_eq!(reason(get(&caller, 1).await).1, "NO_ENTRY");
    assert_eq!(
        get(&caller, 2).await.unwrap().standing(),
        TaskStanding::Delayed
    );
    let next = fetch_one(&caller, &kept).await;
    assert_eq!((next.id, next.attempts), (3, 1));
    assert!(next.token > claimed[3].token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_was_lost_is_told_again_through_whatever_member() {
    let cluster = cluster(3);
    let (here, there) = (Caller::of(&cluster, 1).await, Caller::of(&cluster, 2).await);
    let kept = here.open("").await;
    let keyed = Task {
        idempotency_key: "once".to_owned(),
        ..about("k")
    };
    let request = enqueuing(&kept, 1, vec![about("1"), keyed, about("2")]);
    let ids_of = |answer: EnqueueAllResponse| {
        let ids: Vec<i64> = answer.tasks.iter().map(|task| task.id).collect();
        (answer.zxid, ids)
    };
    let first = ids_of(enqueue_all(&here, request.clone()).await.unwrap());
    assert_eq!(first.1, [0, 1, 2]);
    assert_eq!(
        ids_of(enqueue_all(&here, request.clone()).await.unwrap()),
        first
    );
    let alone = EnqueueRequest {
        header: enqueuing(&kept, 2, Vec::new()).header,
        queue: QUEUE.to_owned(),
        task: Some(about("3")),
        delay_ms: 0,
    };
    let lone = tasks(&here)
        .enqueue(alone.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((lone.id, lone.known), (3, false));

    wait_for_counts(&here, [4, 0, 0, 0]).await;
    let claimed = fetch(&here, fetching(&kept, 64, 0)).await.unwrap();
    assert_eq!(claimed.len(), 4);
    let finished = finishing(&kept, 3, claimed.iter().map(done).collect());
    let zxid = finish(&here, finished.clone()).await.unwrap().zxid;
    // Also once the tasks have ended, and where the session was taken to.
    let kept = there.keep_alive(&kept.session).await.unwrap();
    let again = ids_of(enqueue_all(&there, request).await.unwrap());
    assert_eq!(again, first);
    let again = tasks(&there).enqueue(alone).await.unwrap().into_inner();
    assert_eq!((again.id, again.zxid), (lone.id, lone.zxid));
    let again = finish(&there, finished.clone()).await.unwrap();
    assert_eq!((again.zxid, again.dead), (zxid, vec![false; 4]));
    let other_write = FinishRequest {
        header: Some(kept.header()),
        ..finished
    };
    assert_eq!(reason(finish(&there, other_write).await), not_claimed());
    wait_for_counts(&there, [0, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_one_step_are_told_one_by_one() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    enqueue_some(&caller, &kept, 4).await;
    wait_for_counts(&caller, [4, 0, 0, 0]).await;
    let claimed = fetch(&caller, fetching(&kept, 64, 0)).await.unwrap();
    assert_eq!(ids(&claimed), [0, 1, 2, 3]);
    let token = claimed[0].token;
    let held = |limit, known: &[i64], known_claims: &[i64]| {
        let refer = |id: &i64| ClaimRef { id: *id, token };
        let request = FetchRequest {
            include_held: true,
            held_only: true,
            known: known.to_vec(),
            known_claims: known_claims.iter().map(refer).collect(),
            ..fetching(&kept, limit, 0)
        };
        let caller = caller.clone();
        async move { ids(&fetch(&caller, request).await.unwrap()) }
    };
    assert_eq!(held(2, &[], &[]).await, [0, 1]);
    assert_eq!(held(64, &[], &[0, 2]).await, [1, 3]);
    assert_eq!(held(64, &[token - 1], &[]).await, [0, 1, 2, 3]);
    assert!(held(64, &[token], &[]).await.is_empty());
    let too_many = FetchRequest {
        include_held: true,
        known: (0..512).collect(),
        known_claims: (0..513).map(|id| ClaimRef { id, token }).collect(),
        ..fetching(&kept, 1, 0)
    };
    assert_eq!(reason(fetch(&caller, too_many).await).1, "LIMIT_REACHED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ask_at_the_same_time_get_every_task_once() {
    const TASKS: usize = 256;
    let cluster = cluster(3);
    let mut callers = Vec::new();
    for member in 1..=3 {
        callers.push(Caller::of(&cluster, member).await);
    }
    let giving = callers[0].open("").await;
    let asking = (0..9).map(|number| {
        let caller = callers[number % 3].clone();
        tokio::spawn(async move {
            let kept = caller.open("").await;
            let mut got = Vec::new();
            loop {
                let claimed = fetch(&caller, fetching(&kept, 64, 3_000)).await.unwrap();
                if claimed.is_empty() {
                    return (kept, got);
                }
                for each in &claimed {
                    complete(&caller, &kept, each).await.unwrap();
                }
                got.extend(ids(&claimed));
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    let mut enqueued = Vec::new();
    for _ in 0..TASKS / 64 {
        enqueued.extend(enqueue_some(&callers[0], &giving, 64).await);
    }
    let mut got = Vec::new();
    for (_kept, each) in join_all(asking).await.into_iter().map(Result::unwrap) {
        got.extend(each);
    }
    assert_eq!((enqueued.len(), got.len()), (TASKS, TASKS));
    let [enqueued, got] = [enqueued, got].map(BTreeSet::from_iter);
    assert_eq!(got, enqueued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_claimed_keeps_no_other_one_back() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    enqueue_some(&caller, &kept, 3).await;
    let mut others = RawClient::connect(cluster.client_address(1), 30_000).unwrap();
    let (data, _) = others.data(&format!("{QUEUE}/tasks/t-0000000000")).unwrap();
    for id in [500, 501] {
        let first = String::from_utf8(data.clone()).unwrap();
        let first = first.replace(r#""priority":5"#, r#""priority":0"#);
        let path = format!("{QUEUE}/tasks/t-0000000{id}");
        // To be read, and not to be changed.
        let body = create_body_with_acl(&path, first.as_bytes(), (1, "world", "anyone"), 0);
        assert_eq!(others.code_of(op::CREATE, body), 0);
    }
    wait_for_counts(&caller, [5, 0, 0, 0]).await;
    let claimed = fetch(&caller, fetching(&kept, 64, 0)).await.unwrap();
    assert_eq!(ids(&claimed), [0, 1, 2]);
    let none = fetch(&caller, fetching(&kept, 64, 0)).await;
    assert_eq!(
        reason(none),
        (Code::PermissionDenied, "ACCESS_DENIED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_batch_is_refused_with_all_of_it() {
    let cluster = cluster(1);
    let caller = Caller::of(&cluster, 1).await;
    let kept = caller.open("").await;
    let refused = async |change: fn(&mut EnqueueAllRequest)| {
        let mut request = enqueuing(&kept, 0, vec![about("1"), about("2")]);
        change(&mut request);
        reason(enqueue_all(&caller, request).await).1
    };
    let none = refused(|asked| asked.tasks.clear()).await;
    assert_eq!(none, "INVALID_ARGUMENT");
    assert_eq!(
        refused(|asked| asked.tasks[1].task = None).await,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        refused(|asked| asked.header = None).await,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        refused(|asked| asked.queue = "x".to_owned()).await,
        "INVALID_PATH"
    );
    let bad_key = refused(|asked| asked.tasks[1].task = Some(about("")));
    assert_eq!(bad_key.await, "INVALID_ARGUMENT");
    let delayed = refused(|asked| asked.tasks[1].delay_ms = 31 * 86_400_000);
    assert_eq!(delayed.await, "LIMIT_REACHED");
    let too_many = refused(|asked| asked.tasks = vec![asked.tasks[0].clone(); 65]);
    assert_eq!(too_many.await, "LIMIT_REACHED");
    let large = Task {
        payload: vec![7; 65_536].into(),
        ..about("1")
    };
    // As JSON they are a third larger than in the message.
    let too_large = enqueuing(&kept, 0, vec![large.clone(); 12]);
    assert_eq!(
        reason(enqueue_all(&caller, too_large).await).1,
        "LIMIT_REACHED"
    );
    let far_too_large = enqueuing(&kept, 0, vec![large.clone(); 20]);
    let refused = enqueue_all(&caller, far_too_large).await;
    let limit = (Code::ResourceExhausted, "LIMIT_REACHED".to_owned());
    assert_eq!(reason(refused), limit);
    assert_eq!(counts(&caller).await, Default::default());

    for _ in 0..2 {
        let fits = enqueuing(&kept, 0, vec![large.clone(); 11]);
        enqueue_all(&caller, fits).await.unwrap();
    }
    wait_for_counts(&caller, [22, 0, 0, 0]).await;
    // As many as fit into one step.
    let mut claimed = Vec::new();
    while claimed.len() < 22 {
        let some = fetch(&caller, fetching(&kept, 64, 60_000)).await.unwrap();
        assert!(!some.is_empty() && some.len() <= 13, "{}", some.len());
        claimed.extend(some);
    }
    let attempt = |claimed: &ClaimedTask| failed(claimed, FailedAttempt::default());
    let too_large = finishing(&kept, 0, claimed.iter().map(attempt).collect());
    assert_eq!(reason(finish(&caller, too_large).await).1, "LIMIT_REACHED");
    wait_for_counts(&caller, [0, 0, 22, 0]).await;
    let refused = async |change: fn(&mut FinishRequest)| {
        let mut request = finishing(&kept, 0, claimed.iter().map(done).collect());
        change(&mut request);
        reason(finish(&caller, request).await).1
    };
    assert_eq!(
        refused(|asked| asked.tasks.clear()).await,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        refused(|asked| asked.tasks[1].id = -1).await,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        refused(|asked| asked.queue = "/vivarium/q".to_owned()).await,
        "INVALID_ARGUMENT"
    );
    let twice = refused(|asked| asked.tasks[1] = asked.tasks[0].clone());
    assert_eq!(twice.await, "INVALID_ARGUMENT");
    let too_many = refused(|asked| {
        let tasks = asked.tasks.iter().cycle().take(65);
        asked.tasks = tasks.cloned().collect();
    });
    assert_eq!(too_many.await, "LIMIT_REACHED");
    let long = refused(|asked| {
        asked.tasks[1].failed = Some(FailedAttempt {
            error: "x".repeat(4_097),
            ..Default::default()
        });
    });
    assert_eq!(long.await, "LIMIT_REACHED");
    let all = finishing(&kept, 0, claimed.iter().map(done).collect());
    finish(&caller, all).await.unwrap();
    wait_for_counts(&caller, [0, 0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_at_once_goes_together_and_each_is_answered_for_itself() {
    const TASKS: usize = 200;
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let tasks = client.tasks();
    let enqueue = |key: String| {
        let tasks = tasks.clone();
        async move {
            let task = about_in_client(&key);
            tasks.enqueue(QUEUE, task, Duration::ZERO).await
        }
    };
    // One of them is none.
    let keys = (0..TASKS).map(|key| match key {
        50 => "x".repeat(1_025),
        key => key.to_string(),
    });
    let enqueued = join_all(keys.map(enqueue)).await;
    let (known, refused): (Vec<_>, Vec<_>) = enqueued.into_iter().partition(Result::is_ok);
    let refused: Vec<Option<Reason>> = refused
        .into_iter()
        .map(|refused| refused.unwrap_err().reason())
        .collect();
    assert_eq!(refused, [Some(Reason::LimitReached)]);
    let known: Vec<_> = known.into_iter().map(Result::unwrap).collect();
    let ids: BTreeSet<i64> = known.iter().map(|enqueued| enqueued.id).collect();
    assert_eq!(ids.len(), TASKS - 1);
    // Of four batches, one was sent one by one.
    let writes: HashSet<i64> = known.iter().map(|enqueued| enqueued.zxid).collect();
    assert!(writes.len() <= 64 + 4, "{} writes", writes.len());

    let wanted = Fetching {
        limit: 64,
        wait: PATIENCE,
        ..Fetching::new(QUEUE)
    };
    let mut claimed = Vec::new();
    while claimed.len() < TASKS - 1 {
        claimed.extend(tasks.fetch(&wanted).await.unwrap());
    }
    let before: HashSet<i64> = claimed.iter().map(|claimed| claimed.token()).collect();
    assert!(before.len() < TASKS / 8, "{} steps", before.len());
    // One of them is taken away.
    let gone = claimed[100].id();
    tasks.cancel(QUEUE, gone).await.unwrap();
    let completed = claimed.into_iter().map(|claimed| async move {
        let id = claimed.id();
        (id, claimed.complete().await)
    });
    for (id, completed) in join_all(completed).await {
        let expected = (id == gone).then_some(Reason::NotClaimedByYou);
        assert_eq!(
            completed.err().and_then(|error| error.reason()),
            expected,
            "{id}"
        );
    }
    eventually("all is done", || async {
        let counts = client.tasks().counts(QUEUE).await.unwrap();
        (counts.pending + counts.claimed == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fenced_goes_by_itself() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let guard = client.locks().acquire("/locks/tasks").await.unwrap();
    let fenced = client.fenced(&guard).tasks();
    let free = client.tasks();
    let enqueue = async |tasks: &vivarium::client::Tasks| -> Result<i64, Error> {
        let enqueued = tasks
            .enqueue(QUEUE, about_in_client("1"), Duration::ZERO)
            .await?;
        Ok(enqueued.id)
    };
    let first = enqueue(&fenced).await.unwrap();
    let wanted = Fetching {
        wait: PATIENCE,
        ..Fetching::new(QUEUE)
    };
    let claimed = fenced.fetch(&wanted).await.unwrap().pop().expect("a task");
    assert_eq!(claimed.id(), first);
    guard.release().await.unwrap();
    let (a, b, completed) = tokio::join!(enqueue(&fenced), enqueue(&free), claimed.complete());
    assert_eq!(a.unwrap_err().reason(), Some(Reason::StaleFencingToken));
    assert_eq!(
        completed.unwrap_err().reason(),
        Some(Reason::StaleFencingToken)
    );
    let second = b.unwrap();
    // That the lock is not held is no reason to keep a task: it has failed as it was dropped.
    let mut left = BTreeSet::new();
    while left.len() < 2 {
        for claimed in free.fetch(&wanted).await.unwrap() {
            left.insert(claimed.id());
            claimed.complete().await.unwrap();
        }
    }
    assert_eq!(left, [first, second].into());
}
