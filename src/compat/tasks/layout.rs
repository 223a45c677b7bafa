//! How a queue lies in the tree.
//!
//! | znode | lives | holds |
//! |---|---|---|
//! | `QUEUE/tasks/t-ID` | until the task is done, cancelled or discarded | the task, as JSON |
//! | `QUEUE/claims/t-ID` | with the session that claimed the task | for which server, and by which epoch of the ring |
//! | `QUEUE/keys/KEY` | with the task, and an hour longer | nothing, and once the task has ended its id |
//!
//! An id is the number of a sequential znode: ten digits in the name, and never given twice.

use super::super::parents::{below, segment};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

const TASK_PREFIX: &str = "t-";

/// A task, and what has become of it so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Of the job that it is about: who owns the key gets the task.
    pub key: String,
    pub action: String,
    pub engine: String,
    pub properties: BTreeMap<String, String>,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub payload: Bytes,
    pub auto_start: bool,
    /// 0 goes first.
    pub priority: u8,
    /// Empty for none.
    pub idempotency_key: String,
    /// How often it was claimed.
    pub attempts: u32,
    pub attempts_max: u32,
    /// Milliseconds since 1970.
    pub not_before_ms: i64,
    pub dead: bool,
    /// What the last attempt failed of.
    pub error: String,
}

/// A task as an index looks at it: nothing is copied that can be pointed at.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Brief<'a> {
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    engine: Cow<'a, str>,
    properties: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    auto_start: bool,
    pub priority: u8,
    #[serde(borrow)]
    pub idempotency_key: Cow<'a, str>,
    attempts: u32,
    attempts_max: u32,
    pub not_before_ms: i64,
    pub dead: bool,
    #[serde(borrow)]
    error: Cow<'a, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub server: String,
    /// 0 without a ring.
    pub epoch: i64,
}

fn to_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
    Ok(bytes.into())
}

impl Task {
    /// `None` for what somebody else wrote there.
    pub fn of(data: Option<&[u8]>) -> Option<Task> {
        serde_json::from_slice(data?).ok()
    }
}

impl<'a> Brief<'a> {
    /// `None` where [`Task::of`] finds no task.
    pub fn of(data: Option<&'a [u8]>) -> Option<Brief<'a>> {
        let brief: Brief<'a> = serde_json::from_slice(data?).ok()?;
        STANDARD.decode(brief.payload.as_bytes()).ok()?;
        Some(brief)
    }
}

impl Claim {
    pub fn of(data: Option<&[u8]>) -> Option<Claim> {
        serde_json::from_slice(data?).ok()
    }
}

pub fn tasks(queue: &str) -> String {
    below(queue, "tasks")
}

pub fn claims(queue: &str) -> String {
    below(queue, "claims")
}

/// What a new task is called, before its number.
pub fn task_prefix(queue: &str) -> String {
    below(&tasks(queue), TASK_PREFIX)
}

pub fn task(queue: &str, id: i64) -> String {
    numbered(&tasks(queue), id)
}

pub fn claim(queue: &str, id: i64) -> String {
    numbered(&claims(queue), id)
}

/// Ten digits: no id has more.
fn numbered(directory: &str, id: i64) -> String {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(id);
    let zeros = &"0000000000"[digits.len().min(10)..];
    [directory, "/", TASK_PREFIX, zeros, digits].concat()
}

pub fn key(queue: &str, idempotency_key: &str) -> String {
    below(&below(queue, "keys"), &segment(idempotency_key))
}

/// The task that the last segment of a path names.
pub fn id_of(path: &str) -> Option<i64> {
    let (_, name) = path.rsplit_once('/')?;
    let digits = name.strip_prefix(TASK_PREFIX)?;
    let is_number = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::json::to_json;
    use super::*;

    pub fn some_task() -> Task {
        Task {
            key: "100000".into(),
            action: "START".into(),
            engine: "FLINK".into(),
            properties: [("a".into(), "b".into())].into(),
            payload: Bytes::from_static(&[0, 255]),
            auto_start: true,
            priority: 9,
            idempotency_key: String::new(),
            attempts: 1,
            attempts_max: 3,
            not_before_ms: 5,
            dead: false,
            error: "x".into(),
        }
    }

    #[test]
    fn the_number_of_a_znode_is_its_id_and_nothing_else_is() {
        assert_eq!(task("/q", 7), "/q/tasks/t-0000000007");
        assert_eq!(id_of(&task("/q", 7)), Some(7));
        assert_eq!(id_of(&claim("/q", 2_147_483_647)), Some(2_147_483_647));
        for other in [
            "/q/tasks",
            "/q/tasks/t-",
            "/q/tasks/t-7",
            "/q/tasks/t-+000000007",
            "/q/tasks/x-0000000007",
            "t-0000000007",
        ] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_brief_look_finds_a_task_where_there_is_one_and_nowhere_else() {
        let json = |task: &Task| String::from_utf8(to_json(task).unwrap().to_vec()).unwrap();
        let task = Task {
            key: "a \"b\"\n\u{e4}".into(),
            ..some_task()
        };
        let text = json(&task);
        let brief = Brief::of(Some(text.as_bytes())).expect("a task");
        assert_eq!(brief.key, task.key);
        assert_eq!(
            (brief.priority, brief.not_before_ms, brief.dead),
            (9, 5, false)
        );
        assert_eq!(brief.idempotency_key, "");
        let plain = json(&some_task());
        let brief = Brief::of(Some(plain.as_bytes())).expect("a task");
        assert!(matches!(brief.key, Cow::Borrowed("100000")));
        for (from, to) in [
            (r#""payload":"AP8=""#, r#""payload":"AP8""#),
            (r#""payload":"AP8=""#, r#""payload":"?""#),
            (r#""action":"START","#, ""),
            (r#""a":"b""#, r#""a":1"#),
            (r#""attempts":1"#, r#""attempts":-1"#),
            (r#""priority":9"#, r#""priority":256"#),
            (r#""dead":false"#, r#""dead":null"#),
            (r#""error":"x""#, r#""error":[]"#),
        ] {
            let changed = plain.replace(from, to);
            assert_ne!(changed, plain, "{from}");
            assert_eq!(Task::of(Some(changed.as_bytes())), None, "{changed}");
            assert_eq!(Brief::of(Some(changed.as_bytes())), None, "{changed}");
        }
        let more = plain.replace(r#""dead":false"#, r#""dead":false,"later":{}"#);
        assert!(Task::of(Some(more.as_bytes())).is_some());
        assert!(Brief::of(Some(more.as_bytes())).is_some());
        assert_eq!(Brief::of(None), None);
    }

    #[test]
    fn a_task_is_a_json_object_and_is_read_back() {
        let task = some_task();
        let data = to_json(&task).unwrap();
        assert!(data.starts_with(br#"{"key":"100000","action":"START""#));
        assert_eq!(Task::of(Some(&data)), Some(task));
        for other in [&b""[..], b"{}", b"[]", b"\xff"] {
            assert_eq!(Task::of(Some(other)), None);
        }
        assert_eq!(Task::of(None), None);
    }
}
