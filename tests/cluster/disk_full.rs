//! A disk that gets full costs writes that need room, and nothing else; ours alone.
//!
//! Where the test may mount a file system, a real one is filled. Where it may not, a reserve above
//! what the disk has does as well for all but the last byte.

use crate::metrics::scrape;
use crate::options;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster};
use vivarium::testing::raw_client::{Bytes, RawClient, RawError, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const SYSTEM_ERROR: i32 = -1;
const MIB: usize = 1 << 20;
/// More than any disk has.
const RESERVE_OF_NO_DISK: u64 = 1 << 50;

fn is_refused<T: std::fmt::Debug>(answer: Result<T, RawError>) {
    assert!(
        matches!(answer, Err(RawError::Code(SYSTEM_ERROR))),
        "{answer:?}"
    );
}

fn multi(operations: &[(i32, Bytes)]) -> Bytes {
    let mut body = Bytes::new();
    for (opcode, operation) in operations {
        body = body.int(*opcode).flag(false).int(-1).raw(&operation.0);
    }
    body.int(-1).flag(true).int(-1)
}

fn delete_body(path: &str) -> Bytes {
    Bytes::new().text(path).int(-1)
}

/// What a client may still do, on whichever member it is, while nothing may grow.
fn frees_and_reads_and_no_more(client: &mut RawClient, number: usize) {
    is_refused(client.create("/more", b"", flags::PERSISTENT));
    is_refused(client.create("/more", b"", flags::EPHEMERAL));
    is_refused(client.set_data("/kept", b"longer", -1));
    let mixed = multi(&[
        (op::DELETE, delete_body(&format!("/multi-{number}"))),
        (op::CREATE, create_body("/more", b"", flags::PERSISTENT)),
    ]);
    is_refused(client.ask(op::MULTI, mixed));
    assert_eq!(client.data("/kept").unwrap().0, b"short");
    client.delete(&format!("/deleted-{number}"), -1).unwrap();
    let deletes = multi(&[(op::DELETE, delete_body(&format!("/multi-{number}")))]);
    client.ask(op::MULTI, deletes).unwrap();
    client.sync().unwrap();
    assert_eq!(client.exists("/more").unwrap(), None);
}

#[test]
fn below_the_reserve_growth_is_refused_everywhere_and_all_that_frees_goes_on() {
    let mut cluster = ProcessCluster::start(options(3));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/kept", b"short", flags::PERSISTENT).unwrap();
    for number in 1..=3 {
        for name in ["deleted", "multi"] {
            client
                .create(&format!("/{name}-{number}"), b"", flags::PERSISTENT)
                .unwrap();
        }
    }

    restart_all_with(&mut cluster, RESERVE_OF_NO_DISK);
    for number in 1..=3 {
        let address = cluster.client_address(number);
        let mut client = eventually("a session on a full disk", PATIENCE, || {
            RawClient::connect(address, TIMEOUT_MS).ok()
        });
        eventually("the member refuses", PATIENCE, || {
            client.set_data("/kept", b"short", -1).err()
        });
        frees_and_reads_and_no_more(&mut client, number);
        let metrics = scrape(cluster.member(number).admin_address());
        for line in [
            "vivarium_growth_refused 1",
            "vivarium_requests_refused_total{reason=\"disk_full\"} ",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        client.close().unwrap();
    }
    let leader = cluster.leader();
    let log = cluster.member(leader).log();
    assert!(log.contains("the disk is nearly full"), "{log}");

    restart_all_with(&mut cluster, 0);
    let address = cluster.client_address(2);
    let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
    client.create("/more", b"", flags::PERSISTENT).unwrap();
}

fn restart_all_with(cluster: &mut ProcessCluster, free_bytes_min: u64) {
    cluster.set("storage.free_bytes_min", free_bytes_min);
    cluster.kill_all();
    for number in 1..=3 {
        cluster.start_member(number);
    }
    for number in 1..=3 {
        cluster.await_serving(number);
    }
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(name: &str, bytes: usize) -> Option<SmallDisk> {
        let name = format!("disk-{name}-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(&directory)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(SmallDisk(directory));
        }
        eprintln!("no file system can be mounted here: no disk is filled");
        let _ = fs::remove_dir(&directory);
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all but this much of what is free.
    fn fill(&self, bytes_left: usize) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 64 << 10]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(bytes_left as u64))
            .unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if unmounted.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir(&self.0);
        }
    }
}

fn on_small_disks(options: ClusterOptions) -> ClusterOptions {
    options
        .setting("storage.log_segment_bytes", MIB)
        .setting("limits.frame_bytes_max", MIB / 2)
        .setting("storage.free_bytes_min", 8 * MIB)
}

#[test]
fn a_member_on_a_disk_that_is_filled_goes_on_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("alone", 48 * MIB) else {
        return;
    };
    let mut options = on_small_disks(options(1));
    options.directory = disk.0.clone();
    let mut cluster = ProcessCluster::start(options);
    if !cluster.subject().is_vivarium() {
        return;
    }
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/kept", b"short", flags::PERSISTENT).unwrap();
    for number in 1..=2 {
        for name in ["deleted", "multi"] {
            client
                .create(&format!("/{name}-{number}"), b"", flags::PERSISTENT)
                .unwrap();
        }
    }
    for (number, bytes_left) in [(1, 4 * MIB), (2, 0)] {
        disk.fill(bytes_left);
        eventually("writes are refused", PATIENCE, || {
            client.set_data("/kept", b"short", -1).err()
        });
        frees_and_reads_and_no_more(&mut client, number);
        disk.empty();
        eventually("writes are taken again", PATIENCE, || {
            client.set_data("/kept", b"short", -1).ok()
        });
    }
    assert!(cluster.member_mut(1).runs());
}

#[test]
fn a_member_without_room_for_its_log_falls_silent_and_catches_up_once_it_has_some() {
    let Some(disk) = SmallDisk::mount("follower", 48 * MIB) else {
        return;
    };
    let mut cluster = ProcessCluster::prepare(on_small_disks(options(3)));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let data = cluster.member(3).data_directory();
    fs::remove_dir_all(&data).unwrap();
    std::os::unix::fs::symlink(&disk.0, &data).unwrap();
    fs::write(data.join("myid"), "3\n").unwrap();
    for number in 1..=3 {
        cluster.start_member(number);
    }
    for number in 1..=3 {
        cluster.await_serving(number);
    }

    disk.fill(0);
    eventually("it hands on what it leads", PATIENCE, || {
        (cluster.leader() != 3).then_some(())
    });
    let address = cluster.client_address(1);
    let mut client = RawClient::connect(address, TIMEOUT_MS).unwrap();
    eventually("the other members go on", PATIENCE, || {
        client.create("/a", b"", flags::PERSISTENT).ok()
    });
    // More than it has segments for.
    let data = vec![7; MIB / 2];
    for _ in 0..16 {
        client.set_data("/a", &data, -1).unwrap();
    }
    eventually("the full member falls silent", PATIENCE, || {
        cluster.member(3).mode().is_none().then_some(())
    });
    client.set_data("/a", b"last", -1).unwrap();
    assert!(cluster.member_mut(3).runs(), "it must not have ended");

    disk.empty();
    cluster.await_serving(3);
    let mut client = RawClient::connect(cluster.client_address(3), TIMEOUT_MS).unwrap();
    client.sync().unwrap();
    assert_eq!(client.data("/a").unwrap().0, b"last");
}

#[test]
fn a_member_whose_own_log_finds_no_room_serves_all_the_same() {
    let mut cluster = ProcessCluster::prepare(options(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let log = cluster.member(1).log_path();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    cluster.start_member(1);
    // Nobody may read it: it has no end.
    fs::remove_file(&log).unwrap();
    cluster.await_serving(1);
    let mut client = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    client.create("/a", b"", flags::PERSISTENT).unwrap();
    assert!(cluster.member_mut(1).runs());
}
