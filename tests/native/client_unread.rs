//! What a program has asked to be told and does not read costs it room in memory, and nothing else of its client.

use super::client::{all, connect};
use super::cluster;
use std::time::Duration;
use tokio::time::timeout;
use vivarium::client::{
    Client, ClientOptions, ConnectionState, Error, Event, Interest, Lifetime, Registration, Start,
    Subscription,
};
use vivarium::testing::processes::PATIENCE;

const SUBSCRIPTIONS: usize = 6;
/// More than 30 MB altogether, to each of them.
const CHANGES: usize = 320;
const VALUE_BYTES: usize = 100 * 1024;

/// The zxids of so many transactions, each of which has its whole value.
async fn zxids(subscription: &mut Subscription, count: usize) -> Result<Vec<i64>, Error> {
    let mut zxids = Vec::new();
    while zxids.len() < count {
        match subscription.next().await? {
            Event::Transaction(told) => {
                assert_eq!(told.changes.len(), 1);
                assert_eq!(told.changes[0].value.len(), VALUE_BYTES);
                zxids.push(told.zxid);
            }
            Event::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(zxids)
}

async fn put(client: &Client, path: &str, value: &str) -> i64 {
    let wanted = Registration {
        lifetime: Lifetime::Persistent,
        ..Registration::new(path, value)
    };
    client.registry().register_as(wanted).await.unwrap().zxid
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_do_not_read_leave_the_session_and_all_other_calls_alone() {
    let cluster = cluster(3);
    let client = connect(ClientOptions {
        // That a busy machine stands still for some seconds is no doubt. A full window would last.
        timeout: Duration::from_secs(60),
        ..all(&cluster, 1)
    })
    .await;
    let mut states = client.states();
    assert_eq!(states.next().await, Some(ConnectionState::Connected));
    let session = client.session_id();
    put(&client, "/w", "").await;
    let interest = Interest {
        start: Start::Now,
        // A gap would be an error.
        or_snapshot: false,
        ..Interest::new(["/w"])
    };
    let mut unread = Vec::new();
    for _ in 0..SUBSCRIPTIONS {
        let subscribed = client.changes().subscribe(interest.clone()).await;
        unread.push(subscribed.unwrap());
    }
    let watched = client.registry().watch_children("/w", Duration::ZERO).await;
    let _names = watched.unwrap();
    // Another one through the same connection: all there is to tell comes to it, and so was offered to them.
    let mut read = client.changes().subscribe(interest).await.unwrap();

    let writer = connect(all(&cluster, 2)).await;
    let written = tokio::spawn(async move {
        let value = "x".repeat(VALUE_BYTES);
        let mut zxids = Vec::new();
        for number in 0..CHANGES {
            let path = format!("/w/{:02}", number % 16);
            zxids.push(put(&writer, &path, &value).await);
        }
        zxids
    });
    let told = timeout(PATIENCE, zxids(&mut read, CHANGES)).await;
    let told = told.expect("who reads is told").unwrap();
    assert_eq!(told, written.await.unwrap());

    // Calls are answered, and the session was never in doubt.
    assert_eq!(
        client.linearizable().registry().exists("/w").await,
        Ok(true)
    );
    client.registry().register("/here", "").await.unwrap();
    let other_state = timeout(Duration::ZERO, states.next()).await;
    assert!(other_state.is_err(), "{other_state:?}");
    assert_eq!(client.state(), ConnectionState::Connected);
    assert_eq!(client.session_id(), session);

    // Late, but all of it.
    for mut subscription in unread {
        let late = timeout(PATIENCE, zxids(&mut subscription, CHANGES)).await;
        assert_eq!(late.expect("it is told"), Ok(told.clone()));
    }
}
