//! The task service of hosts: no job is in two hands, and none is in nobody's, while servers come, go and die.

use super::caller::eventually;
use super::client::all;
use super::client_tasks::{about, connect};
use super::cluster;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vivarium::client::{
    Claimed, Client, ClientOptions, ConnectionState, JOBS_MAX, Reason, Retry, RingMode, TaskHost,
    TaskService, TaskServiceOptions,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

const RING: &str = "/services";
const JOBS: std::ops::Range<i64> = 100_000..100_200;

fn options() -> TaskServiceOptions {
    TaskServiceOptions {
        queue: "/streampark/tasks".to_owned(),
        ring: RING.to_owned(),
        window: 8,
    }
}

/// Which server has which job, by what all hosts of a test were told; and what was done.
#[derive(Default)]
struct Hands {
    holders: HashMap<i64, String>,
    wrong: Vec<String>,
    done: Vec<(String, i64)>,
}

#[derive(Clone)]
struct Host {
    server: String,
    hands: Arc<Mutex<Hands>>,
    /// What is called "WAIT" goes on until then.
    go_on: CancellationToken,
}

impl TaskHost for Host {
    async fn execute(&self, task: &Claimed) -> Result<(), Retry> {
        let job: i64 = task.task().key.parse().unwrap();
        if task.task().action == "WAIT" {
            self.hands
                .lock()
                .unwrap()
                .done
                .push((self.server.clone(), -job));
            self.go_on.cancelled().await;
        }
        if task.task().action == "FAIL" && task.attempts() == 1 {
            return Err(Retry {
                error: "no room".to_owned(),
                after: Duration::ZERO,
            });
        }
        self.hands
            .lock()
            .unwrap()
            .done
            .push((self.server.clone(), job));
        Ok(())
    }

    async fn lost(&self, jobs: Vec<i64>) {
        // Stopping takes its time.
        tokio::task::yield_now().await;
        let mut hands = self.hands.lock().unwrap();
        for job in jobs {
            let holder = hands.holders.remove(&job);
            if holder.as_ref() != Some(&self.server) {
                hands
                    .wrong
                    .push(format!("{} lost {job} of {holder:?}", self.server));
            }
        }
    }

    async fn gained(&self, jobs: Vec<i64>) {
        let mut hands = self.hands.lock().unwrap();
        for job in jobs {
            if let Some(other) = hands.holders.insert(job, self.server.clone()) {
                hands
                    .wrong
                    .push(format!("{} got {job} of {other}", self.server));
            }
        }
    }
}

fn host(server: &str, hands: &Arc<Mutex<Hands>>) -> Host {
    Host {
        server: server.to_owned(),
        hands: hands.clone(),
        go_on: CancellationToken::new(),
    }
}

async fn serve(client: &Client, host: &Host) -> TaskService<Host> {
    let server = host.server.clone();
    let service = TaskService::init(client, options(), &server, host.clone()).await;
    let service = service.unwrap();
    let jobs: Vec<i64> = JOBS.collect();
    service.monitored(&jobs).await;
    service
}

/// Until every job is in the hands of its owner by the ring, which has so many servers.
async fn settled(client: &Client, hands: &Arc<Mutex<Hands>>, servers: usize) {
    eventually("every job is in its owner's hands", || async {
        let ring = client
            .rings()
            .describe(RING, RingMode::Equal)
            .await
            .unwrap();
        let hands = hands.lock().unwrap();
        assert_eq!(hands.wrong, Vec::<String>::new());
        let is_held = |job: i64| {
            let holder = hands.holders.get(&job).map(String::as_str);
            holder.is_some() && holder == ring.owner(&job.to_string())
        };
        (ring.servers().len() == servers && JOBS.into_iter().all(is_held)).then_some(())
    })
    .await;
}

/// A server in a runtime of its own, which can be ended without a goodbye.
struct Apart(Option<tokio::runtime::Runtime>);

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn apart(cluster: &ProcessCluster, member: usize, host: Host) -> Apart {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            runtime.block_on(async {
                let client = connect(cluster, member).await;
                let service = serve(&client, &host).await;
                // For as long as there is the runtime.
                tokio::spawn(async move {
                    let _kept = (client, service);
                    std::future::pending::<()>().await;
                });
            });
        });
        serving.join().unwrap();
    });
    Apart(Some(runtime))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_has_everything_and_does_what_is_saved() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let hands = Arc::default();
    let host = host("10.0.0.1:10000", &hands);
    let service = serve(&client, &host).await;
    settled(&client, &hands, 1).await;
    assert!(service.is_local_processing(100_007).await);
    assert_eq!(service.monitored(&[3, 1, 2]).await, [3, 1, 2]);
    for (job, action) in [(1, "START"), (2, "FAIL"), (3, "START")] {
        let mut task = about(&job.to_string());
        task.action = action.to_owned();
        service.save(task).await.unwrap();
    }
    eventually("all is done", || async {
        let hands = hands.lock().unwrap();
        let mut done: Vec<i64> = hands.done.iter().map(|(_, job)| *job).collect();
        done.sort_unstable();
        (done == [1, 2, 3]).then_some(())
    })
    .await;
    eventually("nothing is left", || async {
        let counts = client.tasks().counts("/streampark/tasks").await.unwrap();
        (counts.pending + counts.claimed + counts.dead == 0).then_some(())
    })
    .await;

    // Servers that are added and removed by hand, again and again.
    let other = "10.0.0.2:10000";
    for _ in 0..2 {
        service.add_server_redistribute(other).await.unwrap();
    }
    let servers = async || {
        let ring = client
            .rings()
            .describe(RING, RingMode::Equal)
            .await
            .unwrap();
        ring.servers().len()
    };
    assert_eq!(servers().await, 2);
    let jobs: Vec<i64> = JOBS.collect();
    eventually("some are the other's", || async {
        let own = service.monitored(&jobs).await;
        (!own.is_empty() && own.len() < jobs.len()).then_some(())
    })
    .await;
    for _ in 0..2 {
        service.remove_server_redistribute(other).await.unwrap();
    }
    settled(&client, &hands, 1).await;
    service
        .remove_server_redistribute(&host.server)
        .await
        .unwrap();
    eventually("nothing is anybody's on an empty ring", || async {
        (!service.is_local_processing(100_007).await).then_some(())
    })
    .await;
    assert!(service.monitored(&jobs).await.is_empty());
    service.close().await;
    assert!(hands.lock().unwrap().holders.is_empty());
    let refused = TaskService::init(
        &client,
        TaskServiceOptions {
            ring: "no path".to_owned(),
            ..options()
        },
        "a:1",
        host,
    );
    let refused = refused.await.map(drop).unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::InvalidPath));
}

/// Asked for in as many parts as the ensemble takes keys at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_told_of_so_many_jobs_and_no_more() {
    let cluster = cluster(1);
    let client = connect(&cluster, 1).await;
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let host = host("10.0.0.1:10000", &hands);
    let service = TaskService::init(&client, options(), &host.server, host.clone()).await;
    let service = service.unwrap();
    let last = JOBS_MAX as i64 + 1;
    let jobs: Vec<i64> = (1..=last).collect();
    let told = service.monitored(&jobs).await;
    // Too many to be shown.
    assert!(told == jobs[..JOBS_MAX], "{} of them", told.len());
    assert_eq!(hands.lock().unwrap().holders.len(), JOBS_MAX);
    assert!(!service.is_local_processing(last).await);
    assert!(service.is_local_processing(last - 1).await);
    service.close().await;
    assert!(hands.lock().unwrap().holders.is_empty());
}

/// Who asks for many, one after the other, while nobody answers, does not wait for each.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_client_is_suspended_nothing_is_its_own_at_once() {
    let mut cluster = cluster(1);
    let patient = ClientOptions {
        request_timeout: 10 * PATIENCE,
        timeout: PATIENCE,
        ..all(&cluster, 1)
    };
    let client = Client::connect(patient).await.unwrap();
    let hands = Arc::default();
    let service = serve(&client, &host("10.0.0.1:10000", &hands)).await;
    assert!(service.is_local_processing(1).await);
    cluster.kill(1);
    eventually("it is suspended", || async {
        (client.state() == ConnectionState::Suspended).then_some(())
    })
    .await;
    for job in [1, 2] {
        let is_local = timeout(PATIENCE, service.is_local_processing(job)).await;
        assert_eq!(is_local, Ok(false));
    }
    cluster.start_member(1);
    eventually("it is its own again", || async {
        service.is_local_processing(2).await.then_some(())
    })
    .await;
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_done_comes_to_its_end_before_another_begins() {
    let cluster = cluster(1);
    let (one, other) = (connect(&cluster, 1).await, connect(&cluster, 1).await);
    let hands = Arc::default();
    let (a, b) = (
        host("10.0.0.1:10000", &hands),
        host("10.0.0.2:10000", &hands),
    );
    let first = serve(&one, &a).await;
    for job in JOBS {
        let mut task = about(&job.to_string());
        task.action = "WAIT".to_owned();
        first.save(task).await.unwrap();
    }
    eventually("eight are under way", || async {
        (hands.lock().unwrap().done.len() == 8).then_some(())
    })
    .await;
    let second = serve(&other, &b).await;
    let begun: Vec<i64> = hands
        .lock()
        .unwrap()
        .done
        .iter()
        .map(|(_, job)| -job)
        .collect();
    let ring = one.rings().describe(RING, RingMode::Equal).await.unwrap();
    assert_eq!(ring.servers().len(), 2);
    let moves = |job: &&i64| ring.owner(&job.to_string()) == Some(&b.server);
    assert!(
        begun.iter().filter(moves).count() > 0,
        "none of {begun:?} moves"
    );
    // All that is asked for is withheld.
    let jobs: Vec<i64> = JOBS.collect();
    assert!(second.monitored(&jobs).await.is_empty());
    assert!(
        !second
            .is_local_processing(*begun.iter().find(moves).unwrap())
            .await
    );
    assert_eq!(
        hands.lock().unwrap().done.len(),
        8,
        "nothing new begins meanwhile"
    );
    a.go_on.cancel();
    b.go_on.cancel();
    settled(&one, &hands, 2).await;
    eventually("each is done once", || async {
        let hands = hands.lock().unwrap();
        let mut done: Vec<i64> = hands.done.iter().map(|(_, job)| *job).collect();
        done.retain(|job| *job > 0);
        done.sort_unstable();
        assert!(done.len() <= jobs.len());
        (done == jobs).then_some(())
    })
    .await;
    first.close().await;
    settled(&other, &hands, 1).await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_in_two_hands_while_servers_come_and_go_and_one_is_killed() {
    let mut cluster = cluster(3);
    let hands = Arc::default();
    let client = connect(&cluster, 3).await;
    let hosts = [1, 2, 3].map(|number| host(&format!("10.0.0.{number}:10000"), &hands));
    let doomed = apart(&cluster, 1, hosts[0].clone());
    settled(&client, &hands, 1).await;
    let second = serve(&client, &hosts[1]).await;
    settled(&client, &hands, 2).await;
    let third = connect(&cluster, 2).await;
    let last = serve(&third, &hosts[2]).await;
    settled(&client, &hands, 3).await;
    // A member dies, and nobody minds.
    cluster.kill(1);
    settled(&client, &hands, 3).await;
    // A server dies without a word: what it had is nobody's until its session has ended.
    {
        drop(doomed);
        let mut hands = hands.lock().unwrap();
        hands.holders.retain(|_, holder| *holder != hosts[0].server);
    }
    settled(&client, &hands, 2).await;
    last.close().await;
    settled(&client, &hands, 1).await;
    for job in JOBS {
        second.save(about(&job.to_string())).await.unwrap();
    }
    eventually("all is done by who is left", || async {
        let hands = hands.lock().unwrap();
        (hands.done.len() == 200).then_some(())
    })
    .await;
    second.close().await;
    let hands = hands.lock().unwrap();
    assert!(hands.holders.is_empty() && hands.wrong.is_empty());
}
