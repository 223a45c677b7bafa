//! The commands against a registry of a few lines, which can lose connections and writes.

use super::*;
use crate::model::EventKind;
use crate::model::{Password, Refusal, SessionId, Stat, Zxid};
use crate::runtime::{BoxedStream, TcpNetwork};
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::{
    ClientRequest, ConnectRequest, ConnectResponse, FRAME_BYTES_MAX_DEFAULT, XID_PING,
    decode_request, encode_watch_event, next_frame,
};
use bytes::BytesMut;
use clap::Parser;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

fn args(line: &str) -> BenchArgs {
    Line::try_parse_from(format!("bench {line}").split_whitespace())
        .unwrap()
        .bench
}

/// A registry: paths to data, and who is told of changes.
struct Registry {
    znodes: Mutex<BTreeMap<String, Option<bytes::Bytes>>>,
    changed: broadcast::Sender<String>,
    /// Requests after which a connection is cut, once.
    cut_after: Mutex<Option<usize>>,
    /// Acknowledges creates of paths with this ending, and forgets them.
    forgets: Option<&'static str>,
}

impl Registry {
    async fn serve(
        cut_after: Option<usize>,
        forgets: Option<&'static str>,
    ) -> (String, Arc<Registry>) {
        let listener = TcpNetwork.bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Arc::new(Registry {
            znodes: Mutex::new(BTreeMap::from([("/".to_owned(), None)])),
            // More than the changes of one run: a connection that lags behind them ends.
            changed: broadcast::channel(4096).0,
            cut_after: Mutex::new(cut_after),
            forgets,
        });
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().converse(stream));
            }
        });
        (address, registry)
    }

    async fn converse(self: Arc<Registry>, mut stream: BoxedStream) -> Option<()> {
        let mut received = BytesMut::new();
        let mut changes = self.changed.subscribe();
        let mut watched = BTreeSet::new();
        let mut greeted = false;
        loop {
            let mut out = BytesMut::new();
            while let Some(frame) = next_frame(&mut received, FRAME_BYTES_MAX_DEFAULT).unwrap() {
                if !greeted {
                    ConnectRequest::decode(frame).unwrap();
                    greeted = true;
                    let response = ConnectResponse {
                        timeout_ms: 5000,
                        session: SessionId(1),
                        password: Password::default(),
                        read_only: Some(false),
                    };
                    response.encode(&mut out);
                    continue;
                }
                let (header, request) = decode_request(frame).ok()?;
                if self.is_cut() {
                    return None;
                }
                if let Ok(ClientRequest::GetData { path, watch: true }) = &request {
                    watched.insert(path.clone());
                }
                self.answer(header.xid, request.unwrap(), &mut out);
            }
            stream.write_all(&out).await.ok()?;
            tokio::select! {
                read = stream.read_buf(&mut received) => if read.ok()? == 0 { return None },
                change = changes.recv() => {
                    let path = change.ok()?;
                    if watched.remove(&path) {
                        let mut out = BytesMut::new();
                        encode_watch_event(&mut out, Zxid(1), EventKind::DataChanged, &path);
                        stream.write_all(&out).await.ok()?;
                    }
                }
            }
        }
    }

    fn is_cut(&self) -> bool {
        let mut left = self.cut_after.lock();
        match *left {
            Some(0) => {
                *left = None;
                true
            }
            Some(some) => {
                *left = Some(some - 1);
                false
            }
            None => false,
        }
    }

    fn answer(&self, xid: i32, request: ClientRequest, out: &mut BytesMut) {
        let header = ReplyHeader::ok(xid, Zxid(1));
        let refuse = |out: &mut BytesMut, refusal| {
            reply::header_only(out, ReplyHeader::refused(xid, Zxid(1), refusal));
        };
        let mut znodes = self.znodes.lock();
        match request {
            ClientRequest::Ping => reply::header_only(out, ReplyHeader::ok(XID_PING, Zxid(1))),
            ClientRequest::Create(create) if znodes.contains_key(&create.path) => {
                refuse(out, Refusal::NodeExists);
            }
            ClientRequest::Create(create) => {
                reply::path(out, header, &create.path);
                if !self
                    .forgets
                    .is_some_and(|ending| create.path.ends_with(ending))
                {
                    znodes.insert(create.path, create.data);
                }
            }
            ClientRequest::SetData { path, data, .. } => {
                znodes.insert(path.clone(), data);
                // Nobody may be watching.
                let _ = self.changed.send(path);
                reply::stat(out, header, &Stat::default());
            }
            ClientRequest::GetData { path, .. } => match znodes.get(&path) {
                Some(data) => reply::data(out, header, data.as_deref(), &Stat::default()),
                None => refuse(out, Refusal::NoNode),
            },
            ClientRequest::Exists { path, .. } => match znodes.get(&path) {
                Some(_) => reply::stat(out, header, &Stat::default()),
                None => refuse(out, Refusal::NoNode),
            },
            ClientRequest::GetChildren { path, .. } => {
                let prefix = format!("{path}/");
                let names = znodes
                    .keys()
                    .filter_map(|other| other.strip_prefix(&prefix));
                let names: Vec<&str> = names.filter(|name| !name.contains('/')).collect();
                reply::children(out, header, names);
            }
            ClientRequest::Delete { path, .. } => match znodes.remove(&path) {
                Some(_) => reply::header_only(out, header),
                None => refuse(out, Refusal::NoNode),
            },
            ClientRequest::Sync { path } => reply::synced(out, header, path.as_deref()),
            ClientRequest::CloseSession => reply::header_only(out, header),
            other => panic!("bench does not send {other:?}"),
        }
    }
}

fn lines_of(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workload_ends_at_its_count_and_leaves_nothing_behind() {
    let (address, registry) = Registry::serve(None, None).await;
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("figures.jsonl");
    let line = format!(
        "create,set,get,get-lin,mixed,children,ephemeral-churn,watch,watches --servers {address} --operations 300 --connections 3 \
         --in-flight 4 --keys 10 --seconds 60 --json {}",
        json.display()
    );
    assert_eq!(run(args(&line)).await.unwrap(), Exit::Success);
    let found = lines_of(&json);
    assert_eq!(found.len(), 9);
    for line in &found {
        assert_eq!(line["ops"], 300, "{line}");
        assert_eq!(line["unknown"], 0, "{line}");
    }
    let left: Vec<String> = registry.znodes.lock().keys().cloned().collect();
    assert_eq!(left, ["/"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_opened_again_and_what_was_under_way_is_unknown() {
    let (address, _registry) = Registry::serve(Some(100), None).await;
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("figures.jsonl");
    let line = format!(
        "create --servers {address} --operations 500 -c 1 -p 8 --seconds 60 --json {}",
        json.display()
    );
    assert_eq!(run(args(&line)).await.unwrap(), Exit::Success);
    let found = &lines_of(&json)[0];
    let unknown = found["unknown"].as_u64().unwrap();
    assert!((1..=8).contains(&unknown), "{found}");
    assert_eq!(found["ops"].as_u64().unwrap() + unknown, 500, "{found}");
    assert_eq!(found["reconnects"], 1, "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_write_that_is_gone_is_found() {
    for (forgets, expected) in [(None, Exit::Success), (Some("-7"), Exit::WriteMissing)] {
        let (address, _registry) = Registry::serve(None, forgets).await;
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger").display().to_string();
        let line = format!(
            "create --servers {address} --operations 40 -c 1 -p 4 --seconds 60 --ledger {ledger}"
        );
        assert_eq!(run(args(&line)).await.unwrap(), Exit::Success);
        assert_eq!(
            std::fs::read_to_string(&ledger).unwrap().lines().count(),
            40
        );
        let verify = args(&format!("verify --servers {address} --ledger {ledger}"));
        assert_eq!(run(verify).await.unwrap(), expected, "{forgets:?}");
    }
}

#[tokio::test]
async fn what_nobody_can_bring_about_is_refused_before_it_begins() {
    let (address, registry) = Registry::serve(None, None).await;
    for workload in ["failover", "silence", "rolling", "snapshot"] {
        let line = format!("create,{workload} --servers {address} --operations 1");
        let error = run(args(&line)).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("{workload} needs --control")),
            "{error}"
        );
    }
    let line = format!("soak --servers {address} --seconds 1");
    let error = run(args(&line)).await.unwrap_err();
    assert!(error.to_string().contains("--pids"), "{error}");
    assert_eq!(registry.znodes.lock().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_on_the_same_keys_load_them_once_and_what_is_kept_stays() {
    let (address, registry) = Registry::serve(None, None).await;
    let line = format!(
        "set,get,mixed,mixed,create --servers {address} --operations 50 -c 2 --keys 20 --seconds 60 --keep"
    );
    assert_eq!(run(args(&line)).await.unwrap(), Exit::Success);
    let znodes = registry.znodes.lock();
    let keys = znodes.keys().filter(|path| path.contains("/key-"));
    // The second mix, whose creates have the names of the first one's, has its own.
    assert_eq!(keys.count(), 2 * 20, "of two loadings: {znodes:?}");
    assert!(znodes.keys().filter(|path| path.contains("/m")).count() > 50);
}

#[test]
fn flags_beyond_their_bounds_are_refused() {
    for bad in [
        "delete",
        "--seconds 0",
        "--connections 0",
        "--in-flight 0",
        "--in-flight 5000",
        "--bytes 1000001",
        "--mix get=50",
        "--root /",
        "--root /a/b",
        "--root /zookeeper",
        "--operations 0",
        "--keys 0",
        "--rate 0",
        "--sample-seconds 0",
        "--warm-up 3601",
        "--call-timeout-ms 0",
        "--pids one",
        "--protocol consul",
        "compare",
        "verify",
    ] {
        assert!(
            Line::try_parse_from(format!("bench {bad}").split_whitespace()).is_err(),
            "{bad}"
        );
    }
}
