//! What a client's `reconfig` asks for: who shall belong to the ensemble, where, and who of them votes.
//!
//! Pure. Checks in ZooKeeper's order, with its codes:
//!
//! | what | code |
//! |---|---|
//! | a number that is none (`leaving`, `server.x=`) | −5 |
//! | a whole list of observers, or of one participant with observers | −5 |
//! | a line that is no server's, a key that is unknown, two servers at one address | −8 |
//! | fewer than two participants, as with ZooKeeper's `standaloneEnabled=true` | −8 |
//!
//! Numbers that leave and are not there, and servers that join and are, change nothing or their line.
//!
//! Rules from ZooKeeper 3.9: `PrepRequestProcessor` (reconfig), `QuorumPeerConfig#parseDynamicConfig`,
//! `QuorumPeer.QuorumServer`.

use crate::config::{InitialMember, MemberList, Property, check_members, parse_server, properties};
use crate::model::{MemberId, Membership, Reconfiguration, Refusal, Role};

/// What ZooKeeper demands unless it was told that one server may be an ensemble.
const PARTICIPANTS_MIN: usize = 2;

/// The members that are wanted.
///
/// # Errors
/// See the module's text.
pub fn wanted(now: &Membership, request: &Reconfiguration) -> Result<MemberList, Refusal> {
    let mut wanted = match &request.new_members {
        Some(list) => whole(list)?,
        None => changed(now, request)?,
    };
    if participants(&wanted) < PARTICIPANTS_MIN || check_members(&wanted).is_err() {
        return Err(Refusal::BadArguments);
    }
    // ZooKeeper's lines do not tell of doors that it does not have.
    for (id, member) in &mut wanted {
        if let Some(known) = now.members.get(id) {
            member.addresses.grpc.clone_from(&known.grpc);
            member.addresses.admin.clone_from(&known.admin);
        }
    }
    Ok(wanted)
}

fn participants(members: &MemberList) -> usize {
    let votes = |member: &&InitialMember| member.role == Role::Voter;
    members.values().filter(votes).count()
}

fn whole(list: &str) -> Result<MemberList, Refusal> {
    let mut members = MemberList::new();
    for Property { key, value, .. } in properties(&list.replace(',', "\n")) {
        match key.strip_prefix("server.") {
            Some(number) => {
                members.insert(number_of(number)?, server(number, &value)?);
            }
            None if key == "version" => {}
            None => return Err(Refusal::BadArguments),
        }
    }
    let (voters, all) = (participants(&members), members.len());
    if voters <= 1 && all > voters {
        return Err(Refusal::MarshallingError);
    }
    Ok(members)
}

fn changed(now: &Membership, request: &Reconfiguration) -> Result<MemberList, Refusal> {
    let listed = |(id, addresses): (&MemberId, &_)| {
        let member = InitialMember {
            addresses: Clone::clone(addresses),
            role: now.role(*id).unwrap_or(Role::Observer),
        };
        (*id, member)
    };
    let mut members: MemberList = now.members.iter().map(listed).collect();
    for leaving in items(request.leaving.as_deref()) {
        members.remove(&number_of(leaving)?);
    }
    for joining in items(request.joining.as_deref()) {
        let mut parts = items_of(joining, '=');
        let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::BadArguments);
        };
        let number = key.rsplit('.').next().unwrap_or(key);
        let id = number_of(number)?;
        let member = server(number, value)?;
        if member.addresses.client.is_empty() {
            return Err(Refusal::BadArguments);
        }
        members.insert(id, member);
    }
    Ok(members)
}

/// As `StringUtils#split`: without blanks around, and without empty ones.
fn items_of(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator)
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn items(text: Option<&str>) -> impl Iterator<Item = &str> {
    items_of(text.unwrap_or_default(), ',')
}

fn number_of(text: &str) -> Result<MemberId, Refusal> {
    let number: i64 = text.parse().map_err(|_| Refusal::MarshallingError)?;
    // Below 1 is nobody's here: it cannot leave, and joining it is refused with the line.
    Ok(MemberId(u64::try_from(number).unwrap_or_default()))
}

fn server(number: &str, value: &str) -> Result<InitialMember, Refusal> {
    let parsed = parse_server(number, value);
    parsed
        .map(|(_, member)| member)
        .map_err(|_| Refusal::BadArguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemberAddresses;

    fn member(id: u64) -> (MemberId, MemberAddresses) {
        let addresses = MemberAddresses {
            client: format!("h{id}:2181"),
            peer: format!("h{id}:2888"),
            grpc: format!("h{id}:2191"),
            admin: format!("h{id}:2193"),
        };
        (MemberId(id), addresses)
    }

    /// Members 1 to 3 vote, 4 observes.
    fn now() -> Membership {
        Membership {
            position: None,
            voters: vec![(1..=3).map(MemberId).collect()],
            members: (1..=4).map(member).collect(),
        }
    }

    fn asked(joining: &str, leaving: &str) -> Result<Vec<(u64, Role)>, Refusal> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        listed(&Reconfiguration {
            joining: some(joining),
            leaving: some(leaving),
            ..Reconfiguration::default()
        })
    }

    fn asked_whole(list: &str) -> Result<Vec<(u64, Role)>, Refusal> {
        listed(&Reconfiguration {
            new_members: Some(list.to_owned()),
            ..Reconfiguration::default()
        })
    }

    fn listed(request: &Reconfiguration) -> Result<Vec<(u64, Role)>, Refusal> {
        let wanted = wanted(&now(), request)?;
        Ok(wanted.iter().map(|(id, one)| (id.0, one.role)).collect())
    }

    const V: Role = Role::Voter;
    const O: Role = Role::Observer;

    #[test]
    fn members_join_leave_and_change_their_part() {
        assert_eq!(asked("", ""), Ok(vec![(1, V), (2, V), (3, V), (4, O)]));
        assert_eq!(asked("", "3, 4 ,,99"), Ok(vec![(1, V), (2, V)]));
        assert_eq!(
            asked(
                "server.5=h5:2888:3888;2181,server.4=h4:2888:3888:participant;h4:2181",
                "1"
            ),
            Ok(vec![(2, V), (3, V), (4, V), (5, V)])
        );
        assert_eq!(
            asked("server.3=h3:2888:3888:observer;h3:2181", ""),
            Ok(vec![(1, V), (2, V), (3, O), (4, O)])
        );
        // Whoever leaves and joins in one request stays.
        assert_eq!(
            asked("server.1=h1:2888:3888;2181", "1").map(|all| all.len()),
            Ok(4)
        );
    }

    #[test]
    fn doors_that_a_line_does_not_tell_of_stay_as_they_are() {
        let request = Reconfiguration {
            joining: Some("server.3=new:2888:3888;2181,server.5=h5:1:2;3".to_owned()),
            ..Reconfiguration::default()
        };
        let wanted = wanted(&now(), &request).unwrap();
        let three = &wanted[&MemberId(3)].addresses;
        assert_eq!(
            (three.peer.as_str(), three.client.as_str()),
            ("new:2888", "new:2181")
        );
        assert_eq!(
            (three.grpc.as_str(), three.admin.as_str()),
            ("h3:2191", "h3:2193")
        );
        assert_eq!(wanted[&MemberId(5)].addresses.grpc, "");
    }

    #[test]
    fn a_whole_list_is_what_the_configuration_shows() {
        let now = now();
        let shown = now.config_text(crate::model::Zxid(0x100));
        let request = Reconfiguration {
            new_members: Some(shown),
            ..Reconfiguration::default()
        };
        let same = wanted(&now, &request).unwrap();
        for (id, member) in &same {
            assert_eq!(member.addresses, now.members[id]);
            assert_eq!(Some(member.role), now.role(*id));
        }
        assert_eq!(same.len(), 4);
        assert_eq!(
            asked_whole("server.1=h1:2888:3888;2181,server.9=h9:2888:3888:participant"),
            Ok(vec![(1, V), (9, V)])
        );
    }

    #[test]
    fn what_cannot_be_meant_has_zookeepers_code() {
        const NO_NUMBER: Refusal = Refusal::MarshallingError;
        const BAD: Refusal = Refusal::BadArguments;
        for (joining, leaving, code) in [
            ("", "three", NO_NUMBER),
            ("server.x=h5:1:2;3", "", NO_NUMBER),
            ("", "2,3", BAD),
            ("server.5", "", BAD),
            ("server.5=h5:1:2;3=4", "", BAD),
            ("server.5=h5:1:2", "", BAD),
            ("server.5=h5:1;3", "", BAD),
            ("server.5=h5:1:2:voter;3", "", BAD),
            ("server.5=h5:x:2;3", "", BAD),
            ("server.0=h5:1:2;3", "", BAD),
            ("server.-7=h5:1:2;3", "", BAD),
            ("server.5=h1:2888:2;3", "", BAD),
        ] {
            assert_eq!(asked(joining, leaving), Err(code), "{joining} {leaving}");
        }
        for (list, code) in [
            ("", BAD),
            ("server.1=h1:1:2;3", BAD),
            ("server.1=h1:1:2;3,weight.1=2", BAD),
            ("server.1=h1:1:2,server.2=h2:1:2,peerType=observer", BAD),
            ("server.1=h1:1:2:observer", NO_NUMBER),
            ("server.1=h1:1:2,server.2=h2:1:2:observer", NO_NUMBER),
            ("server.x=h1:1:2,server.2=h2:1:2", NO_NUMBER),
            ("server.1=h1:1:2,server.2=h1:1:2", BAD),
        ] {
            assert_eq!(asked_whole(list), Err(code), "{list}");
        }
    }
}
