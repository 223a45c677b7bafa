//! A client sees the watch event before it sees the state that the event announces. A cache that is
//! dropped by events would otherwise hold what a later read has already contradicted.

use super::{Frame, event, get_data, request, set_data};
use crate::options;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{RawClient, Reader, flags, op};

/// Changes that each watcher must have been told of.
const EVENTS: usize = 150;
/// Reads in one write of a watcher, behind the one that sets the watch.
const READS: i32 = 20;
const WATCHED: &str = "/watched";

#[test]
fn g3_an_event_comes_before_the_state_that_it_announces() {
    let cluster = ProcessCluster::start(options(3));
    let leader = cluster.client_address(cluster.leader());
    let mut writer = RawClient::connect(leader, super::TIMEOUT_MS).unwrap();
    writer.create(WATCHED, b"", flags::PERSISTENT).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watchers: Vec<_> = (1..=cluster.size())
            .map(|member| {
                let address = cluster.client_address(member);
                scope.spawn(move || {
                    data_watch(address, member);
                    child_watch(address);
                })
            })
            .collect();
        let stop = &stop;
        scope.spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                writer.set_data(WATCHED, b"", -1).unwrap();
                let child = format!("{WATCHED}/{number}");
                writer.create(&child, b"", flags::PERSISTENT).unwrap();
            }
        });
        let seen: Vec<_> = watchers.into_iter().map(|watcher| watcher.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(
            seen.iter().all(Result::is_ok),
            "a watcher saw a state before its event"
        );
    });
}

/// Sets the watch again and again, and reads on: in the middle of other sessions' changes, and in
/// every other round behind a write of its own, where reads take another way through the member.
fn data_watch(address: SocketAddr, member: usize) {
    let mut client = RawClient::connect(address, super::TIMEOUT_MS).unwrap();
    client.sync().unwrap();
    let own = format!("/own-{member}");
    client.create(&own, b"", flags::PERSISTENT).unwrap();
    let (mut events, mut watched_at) = (0, None);
    for round in 0.. {
        if events >= EVENTS {
            break;
        }
        let mut bytes = Vec::new();
        if round % 2 == 1 {
            bytes.extend(request(1, op::SET_DATA, &set_data(&own, b"", -1)));
        }
        bytes.extend(request(2, op::GET_DATA, &get_data(WATCHED, true)));
        for xid in 3..3 + READS {
            bytes.extend(request(xid, op::GET_DATA, &get_data(WATCHED, false)));
        }
        client.stream().write_all(&bytes).unwrap();
        loop {
            let frame = Frame::next(&mut client).unwrap();
            if let Some((kind, path)) = frame.event() {
                assert_eq!((kind, path.as_str()), (event::DATA_CHANGED, WATCHED));
                assert!(watched_at.take().is_some(), "an event without a watch");
                events += 1;
            } else if frame.xid >= 2 {
                let mut reader = Reader(&frame.body);
                let _data = reader.buffer();
                let version = reader.stat().version;
                if let Some(watched_at) = watched_at {
                    assert_eq!(
                        version, watched_at,
                        "a new state, and its event has not come"
                    );
                }
                if frame.xid == 2 {
                    watched_at = Some(version);
                }
            }
            if frame.xid == 2 + READS {
                break;
            }
        }
    }
}

fn child_watch(address: SocketAddr) {
    let mut client = RawClient::connect(address, super::TIMEOUT_MS).unwrap();
    let (mut events, mut watched_at) = (0, None);
    while events < EVENTS / 3 {
        let mut bytes = request(2, op::GET_CHILDREN, &get_data(WATCHED, true));
        for xid in 3..3 + READS {
            bytes.extend(request(xid, op::EXISTS, &get_data(WATCHED, false)));
        }
        client.stream().write_all(&bytes).unwrap();
        loop {
            let frame = Frame::next(&mut client).unwrap();
            let mut reader = Reader(&frame.body);
            if let Some((kind, path)) = frame.event() {
                assert_eq!((kind, path.as_str()), (event::CHILDREN_CHANGED, WATCHED));
                assert!(watched_at.take().is_some(), "an event without a watch");
                events += 1;
                continue;
            }
            let children = match frame.xid {
                2 => reader.int(),
                _ => reader.stat().num_children,
            };
            if let Some(watched_at) = watched_at {
                assert_eq!(
                    children, watched_at,
                    "a new child, and its event has not come"
                );
            }
            if frame.xid == 2 {
                watched_at = Some(children);
            }
            if frame.xid == 2 + READS {
                break;
            }
        }
    }
}
