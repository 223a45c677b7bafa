//! A ZooKeeper `zoo.cfg`, read as ZooKeeper reads it: a Java properties file.
//!
//! Its keys become ours (`zoo_keys`); those without a meaning here are named in a warning; those
//! that protect something we do not offer are refused, because a member that starts without them
//! would stand open.
//!
//! Rules from ZooKeeper 3.9: `QuorumPeerConfig#parseProperties`, `QuorumPeer.QuorumServer`;
//! `java.util.Properties#load`.

use super::catalogue::{self, Kind};
use super::layers::{Entry, Raw};
use super::member_list::{
    InitialMember, MemberList, check_members, is_wildcard, parse_id, parse_port, split_host,
};
use super::problem::{Origin, Problem};
use super::zoo_admin::Admin;
use super::zoo_keys::{self, ZooKey};
use super::zoo_meaningless;
use super::zoo_security::Security;
use crate::model::{MemberAddresses, MemberId, Role};
use std::path::{Path, PathBuf};

/// With these, a key of what we do not offer, or offer otherwise, asks for nothing: it is off, or as it is
/// here anyway.
const HARMLESS_VALUES: &[&str] = &["false", "no", "x509"];

/// Of these ZooKeeper takes any number below one for no limit.
const UNLIMITED_BELOW_ONE: &[&str] = &[
    "limits.connections_per_address_max",
    "limits.connections_max",
    "limits.throttled_ms_max",
];

/// What a zoo.cfg said.
#[derive(Debug, Default)]
pub struct ZooCfg {
    pub entries: Vec<Entry>,
    pub warnings: Vec<String>,
    /// Where the `server.N` lines stand, if not here.
    pub dynamic_config: Option<(PathBuf, Origin)>,
}

pub fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> ZooCfg {
    let mut found = ZooCfg::default();
    let mut members = MemberList::new();
    let mut members_at = None;
    let mut client_port: Option<(String, Origin)> = None;
    let mut client_host: Option<(String, Origin)> = None;
    let mut admin = Admin::default();
    let mut security = Security::default();
    for Property { key, value, line } in properties(text) {
        let origin = Origin::File {
            path: path.to_owned(),
            line,
        };
        match zoo_keys::classify(&key) {
            ZooKey::Security(which) => security.take(which, &key, &value, &origin, problems),
            // ZooKeeper's own way to write "the default".
            ZooKey::Setting(ours) if ours.starts_with("timing.session") && value == "-1" => {}
            ZooKey::Setting(ours) => {
                let value = as_ours(ours, value);
                found
                    .entries
                    .push(Entry::text(ours, value, &origin).written_as(&key));
            }
            ZooKey::AdminPort => match value.parse::<u16>() {
                Ok(port) => admin.port = Some((port, origin)),
                Err(_) => {
                    let what = format!("{value:?} is not a port from 0 to 65535");
                    problems.push(Problem::new(&origin, key, what));
                }
            },
            ZooKey::AdminAddress => match bracketed(&value) {
                Ok(host) => admin.host = Some((host, origin)),
                Err(what) => problems.push(Problem::new(&origin, key, what)),
            },
            ZooKey::ClientPort => match parse_port(&value) {
                Ok(port) => client_port = Some((port.to_string(), origin)),
                Err(what) => problems.push(Problem::new(&origin, key, what)),
            },
            ZooKey::ClientPortAddress => match bracketed(&value) {
                Ok(host) => client_host = Some((host, origin)),
                Err(what) => problems.push(Problem::new(&origin, key, what)),
            },
            ZooKey::Server => {
                let listed = parse_server(&key, &value).and_then(|(id, member)| {
                    match members.insert(id, member) {
                        None => Ok(()),
                        Some(_) => Err(format!("member {id} is listed twice")),
                    }
                });
                if let Err(what) = listed {
                    problems.push(Problem::new(&origin, key, what));
                }
                members_at.get_or_insert(origin);
            }
            ZooKey::DynamicConfigFile => found.dynamic_config = Some((value.into(), origin)),
            ZooKey::Meaningless => match zoo_meaningless::check(unprefixed(&key), &value) {
                Ok(()) => {
                    let warning = format!("{origin}: {key} has no meaning here");
                    found.warnings.push(warning);
                }
                Err(what) => problems.push(Problem::new(&origin, key, what)),
            },
            ZooKey::NotOffered if HARMLESS_VALUES.contains(&value.as_str()) => {}
            ZooKey::NotOffered => {
                let what = "is not offered, and what it protects would stand open; \
                            take the line out to start without it";
                problems.push(Problem::new(&origin, key, what));
            }
            ZooKey::Unknown => {
                let suggestion = zoo_keys::suggestion(&key);
                let what = format!("there is no such key{suggestion}");
                problems.push(Problem::new(&origin, key, what));
            }
        }
    }
    let plain = at_port(
        ("clientPort", client_port),
        ("clientPortAddress", client_host),
        problems,
    );
    // A dynamic configuration always says the client's port, too.
    let listed = found.dynamic_config.is_some()
        || members
            .values()
            .any(|member| !member.addresses.client.is_empty());
    security.finish(plain, listed, &mut found, problems);
    admin.finish(&mut found);
    if let (Some(origin), Some(_)) = (&members_at, &found.dynamic_config) {
        let what = "servers stand in the dynamicConfigFile or here, not in both";
        problems.push(Problem::new(origin, "server", what));
    }
    if let Some(origin) = members_at {
        if let Err(what) = check_members(&members) {
            problems.push(Problem::new(&origin, "server", what));
        }
        found.entries.push(Entry {
            key: "cluster.members".to_owned(),
            written: "server".to_owned(),
            raw: Raw::Members(members),
            origin,
        });
    }
    found
}

/// The address of a door, of a port and a host that stand on lines of their own.
pub(super) fn at_port(
    (key, port): (&str, Option<(String, Origin)>),
    (host_key, host): (&str, Option<(String, Origin)>),
    problems: &mut Vec<Problem>,
) -> Option<(String, Origin)> {
    match (host, port) {
        (host, Some((port, origin))) => {
            let host = host.map_or("0.0.0.0".to_owned(), |(host, _)| host);
            Some((format!("{host}:{port}"), origin))
        }
        (Some((_, origin)), None) => {
            let what = format!("needs {key} beside it");
            problems.push(Problem::new(&origin, host_key, what));
            None
        }
        (None, None) => None,
    }
}

/// Reads `server.N=host:peer[:election][:participant|observer][;[host:]clientPort]`.
///
/// The first port is our peer port; the election port has no use here and is only checked. Doors
/// that ZooKeeper has not (gRPC, admin) are not advertised. A client host that stands for all
/// addresses is replaced by the server's, since nobody can dial it.
pub fn parse_server(key: &str, value: &str) -> Result<(MemberId, InitialMember), String> {
    let allowed = "expected host:peerPort:electionPort[:participant|:observer][;[host:]clientPort]";
    let wrong = |what: String| format!("{what}; {allowed}");
    let number = unprefixed(key);
    let number = number.strip_prefix("server.").unwrap_or(number);
    let id = parse_id(number).map_err(&wrong)?;
    if value.contains('|') {
        return Err(wrong(
            "several addresses for one server are not offered".to_owned(),
        ));
    }
    let (server, client) = match value.split_once(';') {
        Some((server, client)) => (server.trim(), Some(client.trim())),
        None => (value, None),
    };
    let (host, rest) =
        split_host(server).ok_or_else(|| wrong(format!("{server:?} has no host")))?;
    let mut parts: Vec<&str> = rest.split(':').collect();
    let role = match parts
        .last()
        .map(|last| last.to_ascii_lowercase())
        .as_deref()
    {
        Some("observer") => {
            parts.pop();
            Role::Observer
        }
        Some("participant") => {
            parts.pop();
            Role::Voter
        }
        _ => Role::Voter,
    };
    if parts.len() != 2 {
        return Err(wrong(format!(
            "{} ports instead of two",
            parts.iter().filter(|part| !part.is_empty()).count()
        )));
    }
    let peer_port = parse_port(parts[0]).map_err(&wrong)?;
    parse_port(parts[1]).map_err(&wrong)?;
    let client = match client {
        None => String::new(),
        Some(client) => client_address(client, host).map_err(&wrong)?,
    };
    let addresses = MemberAddresses {
        client,
        peer: format!("{host}:{peer_port}"),
        ..MemberAddresses::default()
    };
    Ok((id, InitialMember { addresses, role }))
}

fn client_address(text: &str, server_host: &str) -> Result<String, String> {
    let (host, port) = match split_host(text) {
        Some((port, "")) => (server_host, port),
        Some((host, port)) if is_wildcard(host) => (server_host, port),
        Some((host, port)) => (host, port),
        None => return Err(format!("{text:?} is no client address")),
    };
    Ok(format!("{host}:{}", parse_port(port)?))
}

/// A host that a port can be put behind.
pub(super) fn bracketed(host: &str) -> Result<String, String> {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => Ok(format!("[{host}]")),
        Err(_) => match split_host(host) {
            Some((host, "")) => Ok(host.to_owned()),
            _ => Err(format!("{host:?} is not a host name or an address")),
        },
    }
}

/// A key without what may stand before it.
fn unprefixed(key: &str) -> &str {
    key.strip_prefix("zookeeper.").unwrap_or(key)
}

/// A value of the original's as we write it.
fn as_ours(setting: &str, value: String) -> String {
    let is_flag = catalogue::find(setting).is_some_and(|found| found.kind == Kind::Flag);
    if setting == "access.skip_acl" {
        return match value.as_str() {
            "yes" => "true".to_owned(),
            "no" => "false".to_owned(),
            _ => value,
        };
    }
    if is_flag {
        return value.to_ascii_lowercase();
    }
    let is_negative = value.parse::<i32>().is_ok_and(|number| number < 0);
    if is_negative && UNLIMITED_BELOW_ONE.contains(&setting) {
        return "0".to_owned();
    }
    value
}

/// Behind `\u`.
const UNICODE_DIGITS: usize = 4;

/// One line of a properties file.
#[derive(Debug, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// Splits a properties file: comments, continued lines, `=`, `:` or blanks between key and value.
/// Values are trimmed, as ZooKeeper does. A backslash stands before `t`, `n`, `r`, `f`, or `u` and four
/// hexadecimal digits of UTF-16; before any other character it only leaves itself out.
pub fn properties(text: &str) -> Vec<Property> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1 {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        let (key, value) = split_property(&logical);
        found.push(Property {
            key,
            value,
            line: at + 1,
        });
    }
    found
}

fn split_property(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut characters = line.char_indices();
    let mut end = line.len();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                key.push(c);
                key.extend(characters.next().map(|(_, escaped)| escaped));
            }
            '=' | ':' | ' ' | '\t' => {
                end = at;
                break;
            }
            c => key.push(c),
        }
    }
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(&key), unescaped(rest).trim().to_owned())
}

fn unescaped(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = characters.next() {
        let meant = match c {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let digits = characters.as_str().get(..UNICODE_DIGITS);
                    let unit = digits
                        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    match unit {
                        Some(unit) => {
                            units.push(unit);
                            characters = characters.as_str()[UNICODE_DIGITS..].chars();
                            continue;
                        }
                        None => 'u',
                    }
                }
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(meant.encode_utf16(&mut buffer));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests;
