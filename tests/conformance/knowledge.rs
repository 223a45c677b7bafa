//! What a run has learned from one subject, and what requests are filled in with.
//!
//! At all times: it knows nothing but what the subject said, so that two subjects which say the same
//! are asked the same.

use crate::configuration::Configuration;
use crate::decode::Lens;
use crate::request::{Field, PathArg, Request, Spoil, VersionArg, ZxidArg, name};
use crate::sasl::Exchange;
use crate::value::{Time, Value, Zxid};
use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};
use vivarium::testing::raw_client::Bytes;
use vivarium::wire::opcode;

/// Clocks of one machine may be read so far apart.
const CLOCK_SLACK_MS: i64 = 2_000;
/// Sequential znodes that are remembered.
const MADE_KEPT: usize = 8;

pub struct Knowledge {
    pub root: String,
    started_ms: i64,
    /// The change that began the run.
    base: Option<i64>,
    /// Where each leader's changes begin: its epoch, and the changes of the run before it.
    epochs: Vec<(i64, i64)>,
    last_change: i64,
    sessions: BTreeMap<i64, String>,
    versions: HashMap<String, Versions>,
    made: Vec<String>,
    configuration: Configuration,
    exchange: Exchange,
}

#[derive(Clone, Copy, Default)]
struct Versions {
    data: i32,
    acl: i32,
}

impl Knowledge {
    pub fn new(root: &str) -> Knowledge {
        Knowledge {
            root: root.to_owned(),
            started_ms: now_ms(),
            base: None,
            epochs: Vec::new(),
            last_change: 0,
            sessions: BTreeMap::new(),
            versions: HashMap::new(),
            made: Vec::new(),
            configuration: Configuration::default(),
            exchange: Exchange::default(),
        }
    }

    /// All later zxids are counted from this one.
    pub fn begin_at(&mut self, zxid: i64) {
        self.base = Some(zxid);
        self.epochs = vec![(zxid >> 32, 0)];
        self.last_change = 0;
    }

    pub fn name_session(&mut self, id: i64, name: String) {
        self.sessions.insert(id, name);
    }

    pub fn path(&self, arg: &PathArg) -> Option<String> {
        match arg {
            PathArg::Null => None,
            PathArg::Is(path) => Some(path.clone()),
            PathArg::Below(path) => Some(format!("{}{path}", self.root)),
            PathArg::Quota(path) => Some(format!("/zookeeper/quota{}{path}", self.root)),
            PathArg::Made(back, suffix) => {
                let made = self.made.iter().rev().nth(*back);
                let path = made
                    .cloned()
                    .unwrap_or_else(|| format!("{}/none", self.root));
                Some(path + suffix)
            }
        }
    }

    /// The body of a request, and how it reads with everything filled in.
    pub fn fill_in(&mut self, request: &Request, last_zxid: i64) -> (Vec<u8>, String) {
        let mut bytes = Bytes::new();
        let mut text = name(request.op);
        let mut versions = Versions::default();
        for field in &request.fields {
            let shown;
            (bytes, shown) = match field {
                Field::Byte(value) => (bytes.byte(*value), format!("b{value}")),
                Field::Int(value) => (bytes.int(*value), value.to_string()),
                Field::Long(value) => (bytes.long(*value), value.to_string()),
                Field::Text(value) => (put_text(bytes, value.as_deref()), format!("{value:?}")),
                Field::Bytes(None) => (bytes.null(), "null".to_owned()),
                Field::Bytes(Some(data)) => {
                    (bytes.text(data), format!("\"{}\"", data.escape_ascii()))
                }
                Field::Path(arg) => {
                    let path = self.path(arg);
                    versions = path
                        .as_ref()
                        .and_then(|path| self.versions.get(path).copied())
                        .unwrap_or_default();
                    (put_text(bytes, path.as_deref()), shown_path(&path))
                }
                Field::Paths(None) => (bytes.null(), "null".to_owned()),
                Field::Paths(Some(args)) => {
                    let paths: Vec<Option<String>> =
                        args.iter().map(|arg| self.path(arg)).collect();
                    let mut list = bytes.int(paths.len() as i32);
                    for path in &paths {
                        list = put_text(list, path.as_deref());
                    }
                    let shown: Vec<String> = paths.iter().map(shown_path).collect();
                    (list, format!("[{}]", shown.join(" ")))
                }
                Field::Version(version) => {
                    let version = version.given(versions.data);
                    (bytes.int(version), format!("v{version}"))
                }
                Field::AclVersion(version) => {
                    let version = version.given(versions.acl);
                    (bytes.int(version), format!("v{version}"))
                }
                Field::Acl(None) => (bytes.null(), "acl null".to_owned()),
                Field::Acl(Some(lines)) => {
                    let mut list = bytes.int(lines.len() as i32);
                    for (perms, scheme, id) in lines {
                        list = put_text(list.int(*perms), scheme.as_deref());
                        list = put_text(list, id.as_deref());
                    }
                    let shown: Vec<String> = lines
                        .iter()
                        .map(|(perms, scheme, id)| format!("{scheme:?}:{id:?}:{perms}"))
                        .collect();
                    (list, format!("acl[{}]", shown.join(" ")))
                }
                Field::Servers(servers) => (
                    bytes.text(self.configuration.list(servers)),
                    format!("{servers:?}"),
                ),
                Field::ConfigVersion(more) => (
                    bytes.long(self.configuration.version() + more),
                    format!("version seen+{more}"),
                ),
                Field::Proof(proof) => (
                    bytes.text(self.exchange.answer(proof)),
                    format!("{proof:?}"),
                ),
                Field::Zxid(ZxidArg::Is(zxid)) => (bytes.long(*zxid), format!("zxid {zxid}")),
                Field::Zxid(ZxidArg::Seen(less)) => {
                    (bytes.long(last_zxid - less), format!("zxid seen-{less}"))
                }
            };
            text.push(' ');
            text += &shown;
        }
        let mut bytes = bytes.0;
        if let Some(spoil) = &request.spoil {
            spoil.apply(&mut bytes);
            text += &format!(" spoilt by {spoil:?}");
        }
        (bytes, text)
    }

    /// Takes note of what a reply without an error tells about later requests.
    pub fn learn(&mut self, request: &Request, reply: &Value) {
        match request.op {
            opcode::MULTI => {
                let Some(Value::List(results)) = reply.field("results") else {
                    return;
                };
                let paths: Vec<PathArg> = request.paths().cloned().collect();
                for (path, result) in paths.iter().zip(results) {
                    let op = result.number("op").unwrap_or_default() as i32;
                    self.learn_of(op, path, result);
                }
            }
            op => {
                if let Some(path) = request.paths().next().cloned() {
                    self.learn_of(op, &path, reply);
                }
            }
        }
    }

    fn learn_of(&mut self, op: i32, asked: &PathArg, reply: &Value) {
        let asked = self.path(asked).unwrap_or_default();
        let path = match op {
            opcode::CREATE | opcode::CREATE2 | opcode::CREATE_CONTAINER | opcode::CREATE_TTL => {
                let Some(made) = reply.text("path").map(str::to_owned) else {
                    return;
                };
                if made != asked {
                    self.made.push(made.clone());
                    let surplus = self.made.len().saturating_sub(MADE_KEPT);
                    self.made.drain(..surplus);
                }
                self.versions.insert(made.clone(), Versions::default());
                made
            }
            _ => asked,
        };
        let Some(stat) = reply.field("stat") else {
            return;
        };
        if let (Some(data), Some(acl)) = (stat.number("version"), stat.number("aversion")) {
            let seen = Versions {
                data: data as i32,
                acl: acl as i32,
            };
            self.versions.insert(path, seen);
        }
    }
}

impl Lens for Knowledge {
    fn zxid(&mut self, zxid: i64) -> Zxid {
        if zxid <= 0 {
            return Zxid::Literal(zxid);
        }
        let Some(base) = self.base.filter(|base| zxid >= *base) else {
            return Zxid::BeforeTheRun;
        };
        let (epoch, first) = (zxid >> 32, self.epochs[0].0);
        if self.epochs.iter().all(|(known, _)| *known < epoch) {
            self.epochs.push((epoch, self.last_change));
        }
        let before = self.epochs.iter().rev().find(|(known, _)| *known <= epoch);
        let before = before.map_or(0, |(_, before)| *before);
        let change = match epoch == first {
            true => zxid - base,
            false => before + (zxid & 0xffff_ffff),
        };
        self.last_change = self.last_change.max(change);
        Zxid::Change(change)
    }

    fn time(&self, time_ms: i64) -> Time {
        if time_ms == 0 {
            Time::Zero
        } else if time_ms < 0 || time_ms > now_ms() + CLOCK_SLACK_MS {
            Time::Impossible(time_ms)
        } else if time_ms < self.started_ms - CLOCK_SLACK_MS {
            Time::BeforeTheRun
        } else {
            Time::DuringTheRun
        }
    }

    fn configuration(&mut self, configuration: Configuration) -> Value {
        let value = configuration.value(self);
        self.configuration = configuration;
        value
    }

    fn sasl(&mut self, token: Option<Vec<u8>>) -> Value {
        self.exchange.judge(token)
    }

    fn session(&self, id: i64) -> String {
        match self.sessions.get(&id) {
            Some(name) => name.clone(),
            None => format!("session {id:#x}"),
        }
    }
}

impl VersionArg {
    fn given(self, seen: i32) -> i32 {
        match self {
            VersionArg::Is(version) => version,
            VersionArg::Seen(more) => seen.wrapping_add(more),
        }
    }
}

impl Spoil {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |thousandths: u32, length: usize| length * thousandths as usize / 1000;
        match self {
            Spoil::Cut(thousandths) => bytes.truncate(at(*thousandths, bytes.len())),
            Spoil::Trailing(more) => bytes.extend(more),
            Spoil::Overwrite(thousandths, number) => {
                if let Some(room) = bytes.len().checked_sub(4) {
                    let at = at(*thousandths, room + 1).min(room);
                    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
                }
            }
        }
    }
}

fn put_text(bytes: Bytes, text: Option<&str>) -> Bytes {
    match text {
        Some(text) => bytes.text(text),
        None => bytes.null(),
    }
}

fn shown_path(path: &Option<String>) -> String {
    match path {
        Some(path) => path.escape_debug().to_string(),
        None => "null".to_owned(),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is past 1970").as_millis() as i64
}
