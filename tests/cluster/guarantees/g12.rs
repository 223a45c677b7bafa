//! Every table and queue has a limit; reaching it costs the offender an error and nobody else
//! anything. Here the limits are small; frames and bytes of all kinds are in `hostile_input`.

use super::{Frame, TIMEOUT_MS, event, get_data, request, set_data, watch_below};
use crate::options;
use std::io::{Read, Write};
use std::net::SocketAddr;
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, RawError, flags, op};

const CONNECTIONS_PER_ADDRESS_MAX: usize = 12;
const REQUESTS_MAX: usize = 10;
const REQUEST_BYTES_MAX: usize = 20_000;
const FRAME_BYTES_MAX: usize = 10_000;
const WATCHES_MAX: usize = 20;
const SESSIONS_MAX: usize = 40;
const SYSTEM_ERROR: i32 = -1;
const BAD_ARGUMENTS: i32 = -8;

/// Changes of one multi, and multis: far more events than are kept for a client that reads none.
const CHANGES: usize = 1_000;
const MULTIS_MAX: usize = 200;
/// Long paths, so that the sockets' own buffers are soon full.
const NAME_CHARS: usize = 200;

/// Writes, and reads what it wrote.
#[track_caller]
fn is_served(neighbour: &mut RawClient, after: &str) {
    neighbour
        .set_data("/neighbour", after.as_bytes(), -1)
        .unwrap();
    assert_eq!(neighbour.data("/neighbour").unwrap().0, after.as_bytes());
}

#[test]
fn g12_a_limit_costs_the_offender_an_error_and_nobody_else_anything() {
    let cluster = ProcessCluster::start(
        options(3)
            .setting(
                "limits.connections_per_address_max",
                CONNECTIONS_PER_ADDRESS_MAX,
            )
            .setting("limits.requests_per_connection_max", REQUESTS_MAX)
            .setting("limits.request_bytes_per_connection_max", REQUEST_BYTES_MAX)
            .setting("limits.frame_bytes_max", FRAME_BYTES_MAX)
            .setting("limits.watches_per_connection_max", WATCHES_MAX)
            .setting("limits.sessions_max", SESSIONS_MAX),
    );
    if !cluster.subject().is_vivarium() {
        return;
    }
    let address = cluster.client_address(cluster.follower());
    // It is silent for as long as the offender keeps a busy machine at work.
    let mut neighbour = RawClient::connect(address, 2 * TIMEOUT_MS).unwrap();
    neighbour
        .create("/neighbour", b"", flags::PERSISTENT)
        .unwrap();
    let mut offender = RawClient::connect(address, TIMEOUT_MS).unwrap();

    data_above_the_limit(&mut offender);
    is_served(&mut neighbour, "data above the limit");
    requests_without_waiting(&mut offender);
    is_served(&mut neighbour, "many requests at once");
    watches_above_the_limit(&mut offender, &mut neighbour);
    is_served(&mut neighbour, "watches above the limit");
    drop(offender);

    connections_above_the_limit(address);
    is_served(&mut neighbour, "connections above the limit");
    sessions_above_the_limit(&cluster);
    is_served(&mut neighbour, "sessions above the limit");
}

fn data_above_the_limit(offender: &mut RawClient) {
    let data = vec![0; FRAME_BYTES_MAX + 1];
    let refused = offender.create("/large", &data, flags::PERSISTENT);
    assert!(
        matches!(refused, Err(RawError::Code(BAD_ARGUMENTS))),
        "{refused:?}"
    );
    offender
        .create("/fits", &data[1..], flags::PERSISTENT)
        .unwrap();
}

/// More than may be under way, in number and in bytes: they wait their turn and are all answered.
fn requests_without_waiting(offender: &mut RawClient) {
    for (requests, data_bytes) in [(REQUESTS_MAX * 50, 1), (200, FRAME_BYTES_MAX / 2)] {
        let data = vec![0; data_bytes];
        let bytes: Vec<u8> = (0..requests as i32)
            .flat_map(|xid| match xid % 2 {
                0 => request(xid, op::SET_DATA, &set_data("/fits", &data, -1)),
                _ => request(xid, op::EXISTS, &get_data("/fits", false)),
            })
            .collect();
        let mut writer = offender.stream().try_clone().unwrap();
        let sender = std::thread::spawn(move || writer.write_all(&bytes));
        for xid in 0..requests as i32 {
            let reply = Frame::next(offender).unwrap();
            assert_eq!((reply.xid, reply.err), (xid, 0));
        }
        sender.join().unwrap().unwrap();
    }
}

fn watches_above_the_limit(offender: &mut RawClient, neighbour: &mut RawClient) {
    let path = |number: usize| format!("/watched-{number}");
    for number in 0..=WATCHES_MAX {
        neighbour
            .create(&path(number), b"", flags::PERSISTENT)
            .unwrap();
    }
    offender.sync().unwrap();
    let watch = |client: &mut RawClient, number| {
        client
            .ask(op::GET_DATA, get_data(&path(number), true))
            .map(drop)
    };
    for number in 0..WATCHES_MAX {
        watch(offender, number).unwrap();
    }
    let refused = watch(offender, WATCHES_MAX);
    assert!(
        matches!(refused, Err(RawError::Code(SYSTEM_ERROR))),
        "{refused:?}"
    );
    // Another connection has its own share, and the watches that were set are kept.
    watch(neighbour, WATCHES_MAX).unwrap();
    neighbour.set_data(&path(0), b"", -1).unwrap();
    let told = Frame::next(offender).unwrap().event();
    assert_eq!(told, Some((event::DATA_CHANGED, path(0))));
    // One was used up, so there is room for another.
    watch(offender, WATCHES_MAX).unwrap();
}

fn connections_above_the_limit(address: SocketAddr) {
    let mut open: Vec<RawClient> = Vec::new();
    let refused = loop {
        match RawClient::connect(address, TIMEOUT_MS) {
            Ok(client) => open.push(client),
            Err(error) => break error,
        }
        assert!(
            open.len() < CONNECTIONS_PER_ADDRESS_MAX,
            "one too many was let in"
        );
    };
    assert!(matches!(refused, RawError::Connection(_)), "{refused:?}");
    for client in &mut open {
        client.exists("/").unwrap();
    }
    // A place that is given up is free again.
    open.pop().unwrap().close().unwrap();
    open.push(eventually("the place is free", PATIENCE, || {
        RawClient::connect(address, TIMEOUT_MS).ok()
    }));
    for client in open {
        client.close().unwrap();
    }
}

/// Sessions without connections count too, on whichever member they were made.
fn sessions_above_the_limit(cluster: &ProcessCluster) {
    let mut left = Vec::new();
    let refused = loop {
        let address = cluster.client_address(1 + left.len() % cluster.size());
        // The connections of those that were left behind are closed at their own pace.
        let connected = eventually(
            "a connection is let in or too many sessions",
            PATIENCE,
            || match RawClient::connect(address, TIMEOUT_MS) {
                Err(RawError::Connection(_)) if left.len() + 2 < SESSIONS_MAX => None,
                other => Some(other),
            },
        );
        match connected {
            Ok(mut client) => {
                client.sync().unwrap();
                left.push((address, client.credentials().clone()));
            }
            Err(error) => break error,
        }
        assert!(left.len() <= SESSIONS_MAX, "one too many was made");
    };
    assert!(
        matches!(refused, RawError::Connection(_)),
        "closed without a word: {refused:?}"
    );
    // Those that there are can be attached, and one that ends makes room.
    for (address, credentials) in left {
        eventually("a connection is let in", PATIENCE, || {
            RawClient::attach(address, &credentials).ok()
        })
        .close()
        .unwrap();
    }
    RawClient::connect(cluster.client_address(1), TIMEOUT_MS)
        .unwrap()
        .close()
        .unwrap();
}

#[test]
fn g12_a_client_that_reads_nothing_is_closed_and_holds_up_nobody() {
    let cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let follower = cluster.follower();
    let address = cluster.client_address(follower);
    let mut neighbour = RawClient::connect(address, TIMEOUT_MS).unwrap();
    let path = format!("/{}", "n".repeat(NAME_CHARS));
    neighbour.create(&path, b"", flags::PERSISTENT).unwrap();
    // Its session must not end before.
    let mut silent = RawClient::connect(address, 2 * TIMEOUT_MS).unwrap();
    watch_below(&mut silent, "/");

    let session = format!("sid=0x{:x}", silent.session());
    let is_connected = || {
        let connections = cluster.member(follower).four_letter_word("cons").unwrap();
        connections.contains(&session)
    };
    assert!(is_connected());
    let mut multi = Bytes::new();
    for _ in 0..CHANGES {
        let change = set_data(&path, b"", -1);
        multi = multi.int(op::SET_DATA).flag(false).int(-1).raw(&change.0);
    }
    let multi = multi.int(-1).flag(true).int(-1);
    let mut made = 0;
    while is_connected() && made < MULTIS_MAX {
        neighbour.ask(op::MULTI, multi.clone()).unwrap();
        made += 1;
    }
    eventually("the client that reads nothing is closed", PATIENCE, || {
        (!is_connected()).then_some(())
    });
    assert!(cluster.member(follower).log().contains("slow reader"));
    neighbour.set_data(&path, b"after", -1).unwrap();
    assert_eq!(neighbour.data(&path).unwrap().0, b"after");
    // What was sent before is whole, and then the connection ends.
    let mut said = Vec::new();
    let ended = silent.stream().read_to_end(&mut said);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
}
