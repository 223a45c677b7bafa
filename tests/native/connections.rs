//! Clients of one process that share their connections, and nothing else.

use super::client::{all, connect};
use super::cluster;
use super::metrics::{scrape, value};
use tokio::time::timeout;
use vivarium::client::{
    Client, ClientOptions, ConnectionState, Connections, SESSIONS_PER_CONNECTION_MAX,
};
use vivarium::testing::processes::{PATIENCE, ProcessCluster};

const CLIENTS: usize = SESSIONS_PER_CONNECTION_MAX + 8;

/// Connections that a member has ever taken at its gRPC door.
fn accepted(cluster: &ProcessCluster, member: usize) -> f64 {
    let page = scrape(cluster.member(member).admin_address());
    value(&page, "vivarium_connections_accepted_total{door=\"grpc\"}").unwrap_or_default()
}

/// The state that a client comes to; a session that is lost on the way fails.
async fn comes_to(client: &Client, wanted: ConnectionState) {
    let mut states = client.states();
    loop {
        match timeout(PATIENCE, states.next())
            .await
            .expect("a state in time")
        {
            Some(state) if state == wanted => return,
            Some(ConnectionState::Lost) | None => panic!("the session is lost"),
            Some(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_share_connections_live_and_end_each_for_itself() {
    let mut cluster = cluster(3);
    let first = cluster.leader();
    let before = accepted(&cluster, first);
    let connections = Connections::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let options = ClientOptions {
            connections: Some(connections.clone()),
            timeout: std::time::Duration::from_secs(30),
            ..all(&cluster, first)
        };
        clients.push(connect(options).await);
    }
    assert_eq!(accepted(&cluster, first) - before, 2.0);
    for (number, client) in clients.iter().enumerate() {
        let entry = format!("/nodes/{number:03}");
        client.registry().register(&entry, "").await.unwrap();
    }

    // One that ends takes its own entry with it, and nobody else's.
    clients.remove(0).close().await.unwrap();
    let registry = clients[0].registry();
    let watch = registry.watch_children("/nodes", std::time::Duration::ZERO);
    let mut watch = watch.await.unwrap();
    assert_eq!(watch.names().len(), CLIENTS - 1);

    // All of them go on elsewhere when the member is gone, with few connections again.
    let others: Vec<usize> = (1..=3).filter(|member| *member != first).collect();
    let before: f64 = others.iter().map(|&other| accepted(&cluster, other)).sum();
    cluster.kill(first);
    for client in &clients {
        comes_to(client, ConnectionState::Reconnected).await;
    }
    for (number, client) in clients.iter().enumerate() {
        let entry = format!("/again/{number:03}");
        client.registry().register(&entry, "").await.unwrap();
    }
    let now: f64 = others.iter().map(|&other| accepted(&cluster, other)).sum();
    assert!(now - before < CLIENTS as f64 / 2.0, "{} more", now - before);
    assert_eq!(watch.names().len(), CLIENTS - 1);
    clients.remove(1).close().await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(watch.names().len(), CLIENTS - 2);
}
