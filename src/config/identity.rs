//! Who the member is, how it starts, and what its doors are: settings that depend on each other.

use super::member_list::{
    ADMIN_PORT, CLIENT_PORT, GRPC_PORT, InitialMember, MemberList, PEER_PORT, is_loopback,
    is_wildcard, parse_id, split_host,
};
use super::resolver::Values;
use super::settings::{Door, DoorSettings, MemberSettings, Start, StorageSettings, TlsAtDoor};
use crate::model::{MemberAddresses, MemberId, Role};
use std::path::Path;

const STANDALONE_ID: MemberId = MemberId(1);

/// The member's identity and doors; `None` where a problem was noted.
pub(super) fn resolve(
    values: &mut Values<'_>,
    storage: &StorageSettings,
    has_zoo_cfg: bool,
) -> (Option<MemberSettings>, Option<DoorSettings>) {
    let members = values.members();
    let join = values.flag("member.join").unwrap_or_default();
    let standalone = standalone(values, &members, join, has_zoo_cfg);
    let token = values.text("cluster.token");
    let id = member_id(values, &storage.data_dir, standalone, has_zoo_cfg);
    let listed = id.and_then(|id| members.get(&id));
    let doors = doors(values, listed, standalone);

    if standalone && join {
        values.refuse("member.join", "a standalone member joins nobody");
    }
    if !standalone && !join {
        check_listed(values, id, &members);
    }
    if join && doors.peer.advertise.is_empty() {
        let what = "a member that joins has to say where it is dialled (or bind to one address)";
        values.refuse("doors.peer.advertise", what);
    }
    let start = match (join, standalone, id) {
        (true, _, _) => Start::Join,
        (false, true, Some(id)) => Start::Form(MemberList::from([(id, alone(&doors))])),
        _ => Start::Form(members),
    };
    let threads = values.integer_or("member.threads", threads_for(processors()));
    let member = id.zip(token).map(|(id, cluster_token)| MemberSettings {
        id,
        cluster_token,
        start,
        threads: threads as usize,
    });
    (member, Some(doors))
}

/// What this process may use, by its affinity and its control group.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The rest is for the threads of the log and the checkpoint, and for the kernel's part of the network
/// (`docs/adr/2026-11-30-threads.md`).
fn threads_for(processors: usize) -> u64 {
    (processors / 2).max(1) as u64
}

fn alone(doors: &DoorSettings) -> InitialMember {
    InitialMember {
        addresses: MemberAddresses {
            client: doors.client.advertise.clone(),
            peer: doors.peer.advertise.clone(),
            grpc: doors.grpc.advertise.clone(),
            admin: doors.admin.advertise.clone(),
        },
        role: Role::Voter,
    }
}

/// A zoo.cfg without `server.N` is a standalone server, as in ZooKeeper; everything else says so.
fn standalone(
    values: &mut Values<'_>,
    members: &MemberList,
    join: bool,
    has_zoo_cfg: bool,
) -> bool {
    let derived = has_zoo_cfg && members.is_empty() && !join;
    let standalone = match values.flag("member.standalone") {
        Some(said) => said,
        None => {
            values.note_derived("member.standalone", &derived.to_string());
            derived
        }
    };
    if standalone && !members.is_empty() {
        values.refuse(
            "member.standalone",
            "a standalone member has no cluster.members",
        );
    }
    standalone
}

fn member_id(
    values: &mut Values<'_>,
    data_dir: &Path,
    standalone: bool,
    has_zoo_cfg: bool,
) -> Option<MemberId> {
    let problems = values.problems.len();
    if let Some(id) = values.number("member.id") {
        return Some(MemberId(id));
    }
    if values.problems.len() > problems {
        return None;
    }
    let derived = if standalone {
        Some(STANDALONE_ID)
    } else if has_zoo_cfg {
        my_id(values, data_dir)
    } else {
        values.refuse("member.id", "say which member this is (--id)");
        None
    };
    if let Some(id) = derived {
        values.note_derived("member.id", &id.to_string());
    }
    derived
}

/// ZooKeeper's file `myid`, one number.
fn my_id(values: &mut Values<'_>, data_dir: &Path) -> Option<MemberId> {
    let path = data_dir.join("myid");
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    match read.and_then(|text| parse_id(text.trim())) {
        Ok(id) => Some(id),
        Err(what) => {
            let what = format!(
                "say which member this is (--id); {}: {what}",
                path.display()
            );
            values.refuse("member.id", what);
            None
        }
    }
}

fn check_listed(values: &mut Values<'_>, id: Option<MemberId>, members: &MemberList) {
    if members.is_empty() {
        let what = "say who the first members are (--member, once for each), \
                    or --standalone for a cluster of this one, \
                    or --join to be added to a cluster that runs";
        values.refuse("cluster.members", what);
    } else if let Some(id) = id
        && !members.contains_key(&id)
    {
        let what = format!("member {id}, which this is, is not in the list");
        values.refuse("cluster.members", what);
    }
}

struct DoorKeys {
    bind: &'static str,
    advertise: &'static str,
    port: u16,
    /// Open to this machine only unless somebody says otherwise.
    private: bool,
}

fn doors(
    values: &mut Values<'_>,
    listed: Option<&InitialMember>,
    standalone: bool,
) -> DoorSettings {
    let listed = listed.map(|member| &member.addresses);
    let peer_address = listed.map(|addresses| addresses.peer.as_str());
    let client = DoorKeys {
        bind: "doors.client.bind",
        advertise: "doors.client.advertise",
        port: CLIENT_PORT,
        private: false,
    };
    let peer = DoorKeys {
        bind: "doors.peer.bind",
        advertise: "doors.peer.advertise",
        port: PEER_PORT,
        // Nobody has to reach it, and it asks nobody who they are.
        private: standalone,
    };
    let grpc = DoorKeys {
        bind: "doors.grpc.bind",
        advertise: "doors.grpc.advertise",
        port: GRPC_PORT,
        private: false,
    };
    let admin = DoorKeys {
        bind: "doors.admin.bind",
        advertise: "doors.admin.advertise",
        port: ADMIN_PORT,
        private: true,
    };
    let client_tls = match values.text("doors.client.tls").as_deref() {
        Some("also") => TlsAtDoor::Also,
        Some("only") => TlsAtDoor::Only,
        _ => TlsAtDoor::No,
    };
    let client_tls_bind = values.text("doors.client_tls.bind");
    let doors = DoorSettings {
        client_tls,
        client_tls_bind: client_tls_bind.filter(|bind| !bind.is_empty()),
        grpc_tls: values.text("doors.grpc.tls").as_deref() == Some("only"),
        client: door(
            values,
            &client,
            listed.map(|a| a.client.as_str()),
            peer_address,
        ),
        peer: door(values, &peer, peer_address, peer_address),
        grpc: door(values, &grpc, listed.map(|a| a.grpc.as_str()), peer_address),
        admin: door(
            values,
            &admin,
            listed.map(|a| a.admin.as_str()),
            peer_address,
        ),
    };
    check_apart(values, &doors);
    let admin_host = split_host(&doors.admin.bind).map_or("", |(host, _)| host);
    if !is_loopback(admin_host) {
        let what = "this door asks nobody who they are, so it listens on a loopback address only";
        values.refuse("doors.admin.bind", what);
    }
    doors
}

/// `listed` is what the list of first members says of this door, `peer` of the peer door: a member
/// that is dialled on loopback is meant for this machine only.
fn door(
    values: &mut Values<'_>,
    keys: &DoorKeys,
    listed: Option<&str>,
    peer: Option<&str>,
) -> Door {
    let listed = listed.unwrap_or_default();
    let host_of =
        |address: &str| split_host(address).map_or(String::new(), |(host, _)| host.to_owned());
    let bind = values.text(keys.bind).filter(|bind| !bind.is_empty());
    let bind = bind.unwrap_or_else(|| {
        let port = split_host(listed)
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(keys.port);
        let home = peer.map(host_of).filter(|host| is_loopback(host));
        let host = match home {
            Some(host) => host,
            None if keys.private => "127.0.0.1".to_owned(),
            None => "0.0.0.0".to_owned(),
        };
        let derived = format!("{host}:{port}");
        values.note_derived(keys.bind, &derived);
        derived
    });
    let said = values.text(keys.advertise);
    if let Some(said) = &said
        && peer.is_some()
        && said != listed
    {
        let what = format!("{said:?} is not what cluster.members tells the others, {listed:?}");
        values.refuse(keys.advertise, what);
    }
    let advertise = said.unwrap_or_else(|| {
        let derived = if peer.is_some() {
            listed.to_owned()
        } else if is_wildcard(&host_of(&bind)) {
            String::new()
        } else {
            bind.clone()
        };
        values.note_derived(keys.advertise, &derived);
        derived
    });
    Door { bind, advertise }
}

/// Two doors cannot listen on one port; port 0 is a different one each time.
fn check_apart(values: &mut Values<'_>, doors: &DoorSettings) {
    let none = String::new();
    let client_tls = doors.client_tls_bind.as_ref().unwrap_or(&none);
    let all = [
        ("doors.client.bind", &doors.client.bind),
        ("doors.client_tls.bind", client_tls),
        ("doors.peer.bind", &doors.peer.bind),
        ("doors.grpc.bind", &doors.grpc.bind),
        ("doors.admin.bind", &doors.admin.bind),
    ];
    for (at, (key, bind)) in all.iter().enumerate() {
        for (other_key, other) in &all[..at] {
            let (Some((host, port)), Some((other_host, other_port))) =
                (split_host(bind), split_host(other))
            else {
                continue;
            };
            let overlap = host == other_host || is_wildcard(host) || is_wildcard(other_host);
            if port == other_port && port != "0" && overlap {
                values.refuse(key, format!("{bind} is taken by {other_key}, {other}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_processors_serve() {
        let threads = [1, 2, 3, 4, 64].map(threads_for);
        assert_eq!(threads, [1, 1, 1, 2, 32]);
    }
}
