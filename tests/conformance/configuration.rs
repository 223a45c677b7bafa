//! What `/zookeeper/config` says, without the words in which it is said.
//!
//! Addresses differ between subjects, and so does how many ports a server has. What must agree: who
//! belongs to the ensemble, in which part, whether clients are told where to find it, and the version.

use crate::decode::Lens;
use crate::value::{Value, Zxid};
use std::collections::BTreeMap;

/// The configuration that was seen last.
#[derive(Default)]
pub struct Configuration {
    /// `server.N=…`, by number.
    lines: BTreeMap<usize, String>,
    version: i64,
}

/// A server as a request names it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerArg {
    pub number: usize,
    /// `participant`, `observer`, or whatever else.
    pub part: &'static str,
}

const PARTS: [&str; 2] = [":participant", ":observer"];

impl Configuration {
    /// `None` if these data are no configuration.
    pub fn read(data: &[u8]) -> Option<Configuration> {
        let text = std::str::from_utf8(data).ok()?;
        let mut read = Configuration::default();
        let (servers, version) = text.rsplit_once("\nversion=")?;
        read.version = i64::from_str_radix(version, 16).ok()?;
        for line in servers.lines() {
            let (number, _) = line.strip_prefix("server.")?.split_once('=')?;
            read.lines.insert(number.parse().ok()?, line.to_owned());
        }
        Some(read)
    }

    pub fn version(&self) -> i64 {
        self.version
    }

    /// The servers' lines as they were shown, but with these parts.
    pub fn list(&self, servers: &[ServerArg]) -> String {
        let lines = servers.iter().map(|server| {
            let shown = self.lines.get(&server.number);
            let mut line = shown.cloned().unwrap_or_default();
            for part in PARTS {
                line = line.replace(part, &format!(":{}", server.part));
            }
            line
        });
        lines.collect::<Vec<_>>().join(",")
    }

    pub fn value(&self, lens: &mut impl Lens) -> Value {
        let servers = self.lines.iter().map(|(number, line)| {
            let part = PARTS.iter().find(|part| line.contains(**part));
            let tells_clients = line.contains(';');
            let shown = format!("server {number}{} {tells_clients}", part.unwrap_or(&""));
            Value::Text(Some(shown))
        });
        // The first configuration has the version 0 there, and that of its making here.
        let version = match lens.zxid(self.version) {
            Zxid::Literal(0) => Zxid::BeforeTheRun,
            other => other,
        };
        Value::Record(vec![
            ("servers", Value::List(servers.collect())),
            ("version", Value::Zxid(version)),
        ])
    }
}

#[test]
fn lines_are_read_and_written_with_another_part() {
    let text = b"server.1=h:1:2:participant;h:3\nserver.2=h:4:5:observer\nversion=10a";
    let read = Configuration::read(text).unwrap();
    assert_eq!(read.version(), 0x10a);
    let server = |number, part| ServerArg { number, part };
    let list = read.list(&[server(1, "observer"), server(2, "participant")]);
    assert_eq!(
        list,
        "server.1=h:1:2:observer;h:3,server.2=h:4:5:participant"
    );
    for no in [
        &b"data"[..],
        b"server.1=h:1:2\nversion=x",
        b"client=h\nversion=1",
    ] {
        assert!(Configuration::read(no).is_none());
    }
}
