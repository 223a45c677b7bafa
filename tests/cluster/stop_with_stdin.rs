//! `--stop-with-stdin`: a member that a program has started ends with it.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, free_port};

/// Killed if the test ends first.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that is killed cannot stop what it has started. The system closes its side of the pipe for
/// it, and the member takes that for SIGTERM; with an open pipe it goes on, whatever is written there.
#[test]
fn a_member_stops_when_nobody_holds_the_other_side_of_its_standard_input() {
    let name = format!("stop-with-stdin-{}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    let said = directory.join("log");
    let client = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.args(["server", "--standalone", "--stop-with-stdin", "--data-dir"]);
    command.arg(directory.join("data"));
    for (door, port) in [
        ("client", client),
        ("peer", free_port()),
        ("grpc", free_port()),
        ("admin", free_port()),
    ] {
        command
            .arg(format!("--{door}"))
            .arg(format!("127.0.0.1:{port}"));
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    let mut member = Started(command.spawn().unwrap());
    let mut pipe = member.0.stdin.take().unwrap();
    eventually("the member serves", PATIENCE, || {
        TcpStream::connect(("127.0.0.1", client)).ok()
    });
    std::io::Write::write_all(&mut pipe, b"not a command\n").unwrap();
    assert!(member.0.try_wait().unwrap().is_none());

    drop(pipe);
    let status = eventually("the member ends", PATIENCE, || member.0.try_wait().unwrap());
    let said = fs::read_to_string(said).unwrap();
    assert_eq!(status.code(), Some(0), "{said}");
    let (_, while_stopping) = said.split_once("stopping").expect("it says so");
    let alarms = ["WARN", "ERROR"].map(|level| while_stopping.contains(level));
    assert_eq!(alarms, [false, false], "{said}");
    fs::remove_dir_all(directory).unwrap();
}
