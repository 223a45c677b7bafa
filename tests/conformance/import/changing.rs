//! A tree that does not stand still while it is read, and connections that do not last.

use super::{
    imported, original, plant, refused, show_all, show_state, super_client, to_file,
    without_ephemerals,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use vivarium::testing::raw_client::{flags, op, read_frame};

/// What is done before a request goes on to the server; false cuts the connection instead.
type Hook = Arc<Mutex<dyn FnMut(i32) -> bool + Send>>;

/// Listens, and passes on what comes. Its threads end with the connections.
fn proxy(server: SocketAddr, hook: impl FnMut(i32) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hook: Hook = Arc::new(Mutex::new(hook));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, hook) = (client.unwrap(), Arc::clone(&hook));
            thread::spawn(move || pass_on(client, server, &hook));
        }
    });
    address
}

fn pass_on(mut client: TcpStream, server: SocketAddr, hook: &Hook) -> io::Result<()> {
    let mut upstream = TcpStream::connect(server)?;
    let (mut answers, mut back) = (upstream.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let mut bytes = [0; 64 * 1024];
        while let Ok(read @ 1..) = answers.read(&mut bytes) {
            if back.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    let mut is_first = true;
    loop {
        let frame = read_frame(&mut client)?;
        let code = i32::from_be_bytes(frame[4..8].try_into().unwrap());
        if !is_first && !hook.lock().unwrap()(code) {
            client.shutdown(std::net::Shutdown::Both)?;
            return upstream.shutdown(std::net::Shutdown::Both);
        }
        is_first = false;
        upstream.write_all(&(frame.len() as i32).to_be_bytes())?;
        upstream.write_all(&frame)?;
    }
}

#[test]
fn what_changes_while_it_is_read_is_read_again() {
    let cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    let mut writer = super_client(&cluster, 1);
    let mut looks = 0;
    let mut is_looking = false;
    // When all was read, and before the first look at it.
    let between = proxy(cluster.client_address(1), move |code| {
        let begins = code == op::EXISTS && !is_looking;
        is_looking = code == op::EXISTS;
        looks += usize::from(begins);
        if begins && looks == 1 {
            writer.set_data("/plain", b"other", -1).unwrap();
            writer.create("/box/new", b"", flags::PERSISTENT).unwrap();
            writer
                .create("/box/new/below", b"b", flags::PERSISTENT)
                .unwrap();
            writer.delete("/multi/a", -1).unwrap();
            writer.delete("/l0/l1/l2", -1).unwrap_err();
            for level in (1..30).rev() {
                let path: String = (0..=level).map(|level| format!("/l{level}")).collect();
                writer.delete(&path, -1).unwrap();
            }
            writer
                .create("/l0/l1", b"again", flags::PERSISTENT)
                .unwrap();
        }
        true
    });
    let (report, state) = to_file(&["zookeeper", &between]);
    let facts = &report["read"]["ensemble"];
    assert_eq!(facts["consistent"], true, "{report:#}");
    assert_eq!(facts["passes"], 2, "{report:#}");
    assert!(facts["changed"].as_u64().unwrap() >= 5, "{report:#}");
    let expected = without_ephemerals(&show_all(&mut client));
    super::assert_same(&show_state(&state), &expected);
}

#[test]
fn a_tree_that_never_stands_still_is_told_of() {
    let cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    let mut writer = super_client(&cluster, 1);
    let mut is_looking = false;
    let between = proxy(cluster.client_address(1), move |code| {
        if code == op::EXISTS && !is_looking {
            writer.set_data("/plain", b"other", -1).unwrap();
        }
        is_looking = code == op::EXISTS;
        true
    });
    let report = imported(&["zookeeper", &between, "--dry-run"]);
    let facts = &report["read"]["ensemble"];
    assert_eq!(
        (&facts["consistent"], &facts["passes"]),
        (&false.into(), &5.into()),
        "{report:#}"
    );
    assert!(
        report["notes"].to_string().contains("did not stand still"),
        "{report:#}"
    );
    let (code, why) = refused(&["zookeeper", &between, "--dry-run", "--consistent"]);
    assert!(code == 1 && why.contains("each of the 5 times"), "{why}");
}

#[test]
fn a_connection_that_is_lost_is_followed_by_another() {
    let cluster = original(1);
    let mut client = super_client(&cluster, 1);
    plant(&mut client);
    let expected = without_ephemerals(&show_all(&mut client));
    let mut requests = 0;
    let between = proxy(cluster.client_address(1), move |_| {
        requests += 1;
        requests % 400 != 0
    });
    let (report, state) = to_file(&["zookeeper", &between]);
    let facts = &report["read"]["ensemble"];
    assert_eq!(facts["consistent"], true, "{report:#}");
    assert!(facts["reconnects"].as_u64().unwrap() >= 2, "{report:#}");
    super::assert_same(&show_state(&state), &expected);
    // And one that never lasts is given up.
    let mut requests = 0;
    let between = proxy(cluster.client_address(1), move |_| {
        requests += 1;
        requests % 5 != 0
    });
    let (code, why) = refused(&["zookeeper", &between, "--dry-run"]);
    assert!(code == 8 && why.contains("was lost more than"), "{why}");
}
