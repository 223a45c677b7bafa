//! Entries and what is told of nodes and jobs, as messages and as values.
//!
//! A node's and a job's information lies in the entry's value as a JSON object with the names of the message's
//! fields, so that every client can read it. A value is shown as such where it is an object that has at least one
//! of those names and says nothing under them that could not be said there.

use crate::api;
use crate::compat::{Entry, Failure, to_json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Application ids of one job.
const APPLICATION_IDS_MAX: usize = 1_000;
const WEIGHT_MAX: u32 = 10_000;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Node {
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    startup_time_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Job {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    application_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// The value that says what the node says of itself.
pub fn node_value(node: api::NodeInfo) -> Result<Bytes, Failure> {
    let invalid = |what: &str| Err(Failure::InvalidArgument(what.to_owned()));
    if node.mac.as_deref().is_some_and(|mac| !is_mac(mac)) {
        return invalid("`mac` is six pairs of hexadecimal digits separated by `:`");
    }
    if node
        .port
        .is_some_and(|port| port == 0 || port > u32::from(u16::MAX))
    {
        return invalid("`port` is 1 to 65535");
    }
    if node
        .weight
        .is_some_and(|weight| weight == 0 || weight > WEIGHT_MAX)
    {
        return invalid("`weight` is 1 to 10000");
    }
    to_json(&Node {
        mac: node.mac,
        hostname: node.hostname,
        port: node.port,
        address: node.address,
        process_id: node.process_id,
        startup_time_ms: node.startup_time_ms,
        status: node.status,
        weight: node.weight,
        labels: node.labels.into_iter().collect(),
    })
}

/// The value that says what is known of a job.
pub fn job_value(job: api::JobInfo) -> Result<Bytes, Failure> {
    if job.application_ids.len() > APPLICATION_IDS_MAX {
        return Err(Failure::LimitReached {
            what: "application ids of one job",
            limit: APPLICATION_IDS_MAX,
        });
    }
    to_json(&Job {
        application_ids: job.application_ids,
        job_id: job.job_id,
        engine: job.engine,
        state: job.state,
        labels: job.labels.into_iter().collect(),
    })
}

pub fn message(entry: Entry) -> api::Entry {
    let stat = entry.stat;
    let is_session_bound = !stat.ephemeral_owner.is_none();
    let lifetime = match is_session_bound {
        true => api::Lifetime::Session,
        false => api::Lifetime::Persistent,
    };
    api::Entry {
        node: node_of(&entry.value),
        job: job_of(&entry.value),
        path: entry.path,
        value: entry.value,
        version: stat.version,
        lifetime: lifetime.into(),
        session_id: stat.ephemeral_owner.0,
        created_zxid: stat.czxid.0,
        modified_zxid: stat.mzxid.0,
        created_ms: stat.ctime_ms,
        modified_ms: stat.mtime_ms,
        children: stat.num_children,
    }
}

pub fn node_of(value: &[u8]) -> Option<api::NodeInfo> {
    let node: Node = object(value)?;
    if node == Node::default() {
        return None;
    }
    Some(api::NodeInfo {
        mac: node.mac,
        hostname: node.hostname,
        port: node.port,
        address: node.address,
        process_id: node.process_id,
        startup_time_ms: node.startup_time_ms,
        status: node.status,
        weight: node.weight,
        labels: node.labels.into_iter().collect(),
    })
}

pub fn job_of(value: &[u8]) -> Option<api::JobInfo> {
    let job: Job = object(value)?;
    if job == Job::default() {
        return None;
    }
    Some(api::JobInfo {
        application_ids: job.application_ids,
        job_id: job.job_id,
        engine: job.engine,
        state: job.state,
        labels: job.labels.into_iter().collect(),
    })
}

fn object<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    // Most values are none: the first byte spares the attempt.
    (value.first() == Some(&b'{'))
        .then(|| serde_json::from_slice(value).ok())
        .flatten()
}

fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_a_json_object_and_is_read_back() {
        let node = api::NodeInfo {
            mac: Some("02:42:ac:11:00:02".into()),
            hostname: Some("a".into()),
            port: Some(10_000),
            ..Default::default()
        };
        let value = node_value(node.clone()).unwrap();
        assert_eq!(
            value,
            r#"{"mac":"02:42:ac:11:00:02","hostname":"a","port":10000}"#
        );
        assert_eq!(node_of(&value), Some(node));
        let job = api::JobInfo {
            application_ids: vec!["application_1_1".into()],
            ..Default::default()
        };
        let value = job_value(job.clone()).unwrap();
        assert_eq!(value, r#"{"application_ids":["application_1_1"]}"#);
        assert_eq!((job_of(&value), node_of(&value)), (Some(job), None));
    }

    #[test]
    fn other_values_are_neither_node_nor_job() {
        for value in ["", "{", "{}", "[]", "7", r#"{"x":1}"#, r#"{"port":"a"}"#] {
            assert_eq!(node_of(value.as_bytes()), None, "{value}");
            assert_eq!(job_of(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut api::NodeInfo)| {
            let mut node = api::NodeInfo::default();
            change(&mut node);
            assert!(node_value(node).is_err());
        };
        refused(|node| node.mac = Some("02:42:ac:11:00".into()));
        refused(|node| node.mac = Some("02:42:ac:11:00:0g".into()));
        refused(|node| node.port = Some(0));
        refused(|node| node.port = Some(65_536));
        refused(|node| node.weight = Some(10_001));
        let job = api::JobInfo {
            application_ids: vec![String::new(); APPLICATION_IDS_MAX + 1],
            ..Default::default()
        };
        assert!(job_value(job).is_err());
    }
}
