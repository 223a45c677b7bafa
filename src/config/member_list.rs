//! The first members of a cluster, as the operator lists them.

use crate::model::{MemberAddresses, MemberId, Role};
use std::collections::BTreeMap;

pub const CLIENT_PORT: u16 = 2181;
pub const GRPC_PORT: u16 = 2191;
pub const PEER_PORT: u16 = 2192;
pub const ADMIN_PORT: u16 = 2193;

/// More than this many members are refused: a quorum of them would be slower than it is safe.
pub const MEMBERS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    pub addresses: MemberAddresses,
    pub role: Role,
}

pub type MemberList = BTreeMap<MemberId, InitialMember>;

/// Reads `ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer]`.
///
/// Ports left out are the default ones; `-` means that the door is not advertised. The peer door has
/// to be there. An IPv6 address stands in brackets.
pub fn parse_member(text: &str) -> Result<(MemberId, InitialMember), String> {
    let allowed = "expected ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]][/observer]";
    let wrong = |what: &str| format!("{text:?}: {what}; {allowed}");
    let (id, rest) = text.split_once('=').ok_or_else(|| wrong("no ="))?;
    let id = parse_id(id.trim()).map_err(|what| wrong(&what))?;
    let (rest, role) = match rest.trim().split_once('/') {
        None => (rest.trim(), Role::Voter),
        Some((rest, "observer")) => (rest, Role::Observer),
        Some((_, other)) => return Err(wrong(&format!("role {other:?} is not observer"))),
    };
    let (host, ports) = split_host(rest).ok_or_else(|| wrong("no host"))?;
    let mut doors =
        [CLIENT_PORT, PEER_PORT, GRPC_PORT, ADMIN_PORT].map(|port| format!("{host}:{port}"));
    let ports: Vec<&str> = if ports.is_empty() {
        vec![]
    } else {
        ports.split(':').collect()
    };
    if ports.len() > doors.len() {
        return Err(wrong("too many ports"));
    }
    for (door, port) in doors.iter_mut().zip(&ports) {
        *door = match *port {
            "-" => String::new(),
            port => format!("{host}:{}", parse_port(port).map_err(|what| wrong(&what))?),
        };
    }
    let [client, peer, grpc, admin] = doors;
    if peer.is_empty() {
        return Err(wrong("a member without a peer port cannot be reached"));
    }
    let addresses = MemberAddresses {
        client,
        peer,
        grpc,
        admin,
    };
    Ok((id, InitialMember { addresses, role }))
}

/// Reads a list separated by commas, and checks it as a whole.
pub fn parse_members(text: &str) -> Result<MemberList, String> {
    let mut members = MemberList::new();
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let (id, member) = parse_member(item)?;
        if members.insert(id, member).is_some() {
            return Err(format!("member {id} is listed twice"));
        }
    }
    check_members(&members)?;
    Ok(members)
}

/// What must hold of any list of first members, whatever it was read from.
pub fn check_members(members: &MemberList) -> Result<(), String> {
    if members.len() > MEMBERS_MAX {
        return Err(format!("{} members; at most {MEMBERS_MAX}", members.len()));
    }
    if !members.is_empty() && !members.values().any(|member| member.role == Role::Voter) {
        return Err("observers alone cannot elect a leader; at least one member votes".to_owned());
    }
    let mut doors = BTreeMap::new();
    for (id, member) in members {
        let MemberAddresses {
            client,
            peer,
            grpc,
            admin,
        } = &member.addresses;
        for address in [client, peer, grpc, admin] {
            if address.is_empty() {
                continue;
            }
            if let Some(other) = doors.insert(address, id) {
                return Err(format!(
                    "{address} is given to two doors (members {other} and {id})"
                ));
            }
        }
    }
    Ok(())
}

/// A member's number: from 1, within a signed 64-bit integer.
pub fn parse_id(text: &str) -> Result<MemberId, String> {
    match text.parse::<i64>() {
        Ok(id) if id > 0 => Ok(MemberId(id as u64)),
        _ => Err(format!("member id {text:?} is not a number from 1 on")),
    }
}

/// A port that can be dialled.
pub fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("port {text:?} is not a number from 1 to 65535")),
    }
}

/// Splits `host`, `host:rest` or `[v6]:rest`; `None` without a plausible host. The host keeps its
/// brackets, so that a port can be put behind it.
pub fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        text[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
        end
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    let plausible = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.[]:%".contains(c));
    match (plausible, rest) {
        (false, _) => None,
        (true, "") => Some((host, "")),
        (true, rest) => match rest.strip_prefix(':')? {
            "" => None,
            rest => Some((host, rest)),
        },
    }
}

/// Whether a host (without port) is this machine only.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a host (without port) stands for all addresses of this machine.
pub fn is_wildcard(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> MemberAddresses {
        parse_member(text).unwrap().1.addresses
    }

    #[test]
    fn ports_left_out_are_the_default_ones() {
        let all = addresses("1=a.example");
        assert_eq!(all.client, "a.example:2181");
        assert_eq!(all.peer, "a.example:2192");
        assert_eq!(all.grpc, "a.example:2191");
        assert_eq!(all.admin, "a.example:2193");
        let some = addresses("1=a:1:2");
        assert_eq!((some.client.as_str(), some.peer.as_str()), ("a:1", "a:2"));
        assert_eq!(some.grpc, "a:2191");
    }

    #[test]
    fn a_door_that_is_not_advertised_is_a_dash() {
        let member = addresses("7=[::1]:-:12:-:-");
        assert_eq!(member.client, "");
        assert_eq!(member.peer, "[::1]:12");
        assert_eq!(member.admin, "");
    }

    #[test]
    fn an_observer_says_so() {
        assert_eq!(parse_member("4=h/observer").unwrap().1.role, Role::Observer);
        assert_eq!(
            parse_member("4=h:1/observer").unwrap().1.role,
            Role::Observer
        );
        assert_eq!(parse_member("4=h").unwrap().1.role, Role::Voter);
    }

    #[test]
    fn a_member_that_cannot_be_meant_is_refused() {
        for bad in [
            "",
            "1",
            "=h",
            "0=h",
            "-1=h",
            "x=h",
            "1=",
            "1=:2181",
            "1=h:",
            "1=h:0",
            "1=h:65536",
            "1=h:1:2:3:4:5",
            "1=h:1:-",
            "1=h/voter",
            "1=[::1",
            "1=[x]:1",
            "1=a b",
            "1=a:1:2/",
            "99999999999999999999=h",
        ] {
            assert!(parse_member(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_that_cannot_work_is_refused() {
        for (bad, why) in [
            ("1=a,1=b", "twice"),
            ("1=a/observer,2=b/observer", "votes"),
            ("1=a,2=a", "two doors"),
            ("1=a:5:5", "two doors"),
        ] {
            let told = parse_members(bad).unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
        let many: Vec<_> = (1..=MEMBERS_MAX + 1).map(|i| format!("{i}=h{i}")).collect();
        assert!(parse_members(&many.join(",")).is_err());
        assert_eq!(parse_members("1=a, 2=b ,3=c").unwrap().len(), 3);
    }

    #[test]
    fn loopback_and_wildcard_hosts_are_known() {
        assert!(is_loopback("127.0.0.1") && is_loopback("[::1]") && is_loopback("localhost"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("a.example"));
        assert!(is_wildcard("0.0.0.0") && is_wildcard("[::]") && !is_wildcard("127.0.0.1"));
    }
}
