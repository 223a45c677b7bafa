//! No session expires that is heard from, none outlives its timeout by much, and no client is told
//! that all is well while its session may be gone. Two holders of one lock are the cost of an error.

use super::{TIMEOUT_MS, ping};
use crate::load::reattach;
use crate::options;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vivarium::testing::processes::{Mode, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{RawClient, RawError, flags};
use vivarium::testing::{eventually, poll};

/// Of the session that lives: longer than an election, shorter than the whole test by far.
const LIVING_TIMEOUT_MS: i32 = 6_000;
const SILENT_TIMEOUT_MS: i32 = 2_000;
/// Timeout, tick and election come to less than 5 s; the rest is for a busy machine. A new leader
/// gives every session its whole timeout once more.
const EXPIRY_MAX: Duration = Duration::from_secs(30);
const BETWEEN_PINGS: Duration = Duration::from_millis(300);

#[test]
fn g6_a_session_lives_while_it_is_heard_from_and_no_longer() {
    let mut cluster = ProcessCluster::start(options(3));
    let addresses: Vec<SocketAddr> = (1..=3)
        .map(|member| cluster.client_address(member))
        .collect();
    let follower = cluster.follower();
    let mut living = RawClient::connect(addresses[follower - 1], LIVING_TIMEOUT_MS).unwrap();
    living.create("/living", b"", flags::EPHEMERAL).unwrap();
    let owner = living.session();
    let (stop, pings) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let pinger = {
            let (addresses, stop, pings) = (&addresses, &stop, &pings);
            scope.spawn(move || {
                let mut member = follower - 1;
                while !stop.load(Ordering::Relaxed) {
                    match ping(&mut living) {
                        Ok(()) => {
                            pings.fetch_add(1, Ordering::Relaxed);
                        }
                        // This fails the test if the session has expired.
                        Err(_) => living = reattach(living.credentials(), addresses, &mut member),
                    }
                    poll(BETWEEN_PINGS, || stop.load(Ordering::Relaxed).then_some(()));
                }
            })
        };
        // A session that falls silent on the death or the pause of a leader ends all the same.
        let silent_ends = |path: &str, since: Instant, at: SocketAddr| {
            let mut reader = eventually("the member takes sessions", PATIENCE, || {
                RawClient::connect(at, TIMEOUT_MS).ok()
            });
            eventually("the silent session expires", PATIENCE, || {
                reader.exists(path).unwrap().is_none().then_some(())
            });
            assert!(
                since.elapsed() < EXPIRY_MAX,
                "{path} outlived it by {:?}",
                since.elapsed()
            );
        };
        let fall_silent = |path: &str, at: SocketAddr| {
            let mut silent = RawClient::connect(at, SILENT_TIMEOUT_MS).unwrap();
            silent.create(path, b"", flags::EPHEMERAL).unwrap();
            Instant::now()
        };

        let since = fall_silent("/silent", addresses[follower - 1]);
        silent_ends("/silent", since, addresses[follower - 1]);

        let leader = cluster.leader();
        let since = fall_silent("/silent-at-death", addresses[follower - 1]);
        cluster.kill(leader);
        cluster.leader();
        silent_ends("/silent-at-death", since, addresses[follower - 1]);
        cluster.start_member(leader);
        cluster.await_serving(leader);

        let paused = cluster.leader();
        let other = (1..=3).find(|&member| member != paused).unwrap();
        let since = fall_silent("/silent-at-pause", addresses[other - 1]);
        cluster.pause(paused);
        let leads = |&member: &usize| cluster.member(member).mode() == Some(Mode::Leader);
        eventually("another member leads", PATIENCE, || {
            (1..=3).filter(|&member| member != paused).find(leads)
        });
        silent_ends("/silent-at-pause", since, addresses[other - 1]);
        cluster.resume(paused);
        cluster.await_serving(paused);

        let from = pings.load(Ordering::Relaxed);
        eventually("the living session is answered", PATIENCE, || {
            (pinger.is_finished() || pings.load(Ordering::Relaxed) > from + 10).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        pinger
            .join()
            .expect("the session that is heard from does not expire");
    });
    for address in addresses {
        let mut reader = RawClient::connect(address, TIMEOUT_MS).unwrap();
        reader.sync().unwrap();
        let stat = reader
            .exists("/living")
            .unwrap()
            .expect("the ephemeral of a living session");
        assert_eq!(stat.ephemeral_owner, owner);
    }
}

#[test]
fn g6_a_member_out_of_touch_with_the_leader_does_not_say_that_all_is_well() {
    let mut cluster = ProcessCluster::start(options(3));
    let cut_off = cluster.follower();
    let address = cluster.client_address(cut_off);
    let mut client = RawClient::connect(address, LIVING_TIMEOUT_MS).unwrap();
    client.create("/cut-off", b"", flags::EPHEMERAL).unwrap();
    ping(&mut client).unwrap();

    let others: Vec<usize> = (1..=3).filter(|&member| member != cut_off).collect();
    for &member in &others {
        cluster.pause(member);
    }
    let paused = Instant::now();
    let mut answered = paused;
    eventually("the connection is closed", PATIENCE, || {
        match ping(&mut client) {
            Ok(()) => {
                answered = Instant::now();
                None
            }
            Err(_) => Some(()),
        }
    });
    let timeout = Duration::from_millis(LIVING_TIMEOUT_MS as u64);
    assert!(
        answered < paused + timeout,
        "a ping was answered after {:?}",
        answered - paused
    );

    // Nobody there knows whether the session lives: no answer is the right one.
    let seen = client.credentials().clone();
    assert!(matches!(
        RawClient::attach(address, &seen),
        Err(RawError::Connection(_))
    ));

    // A leader that was stopped heard nobody, so it judges nobody.
    for &member in &others {
        cluster.resume(member);
    }
    cluster.await_serving(cut_off);
    let mut client = eventually(
        "a member takes the session",
        PATIENCE,
        || match RawClient::attach(address, &seen) {
            Ok(client) => Some(client),
            Err(RawError::Expired) => panic!("it expired while nobody could hear it"),
            Err(_) => None,
        },
    );
    let stat = client
        .exists("/cut-off")
        .unwrap()
        .expect("the ephemeral of a living session");
    assert_eq!(stat.ephemeral_owner, seen.session);
}
