//! Who belongs to the ensemble, and where each can be reached.

use super::{MemberId, Stat, Zxid};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Voter,
    Observer,
}

/// The doors of one member, each `host:port`. Names are resolved at every dial, never stored as
/// addresses: a member's identity is its number, not where it happens to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct MemberAddresses {
    /// ZooKeeper protocol, as clients reach it (served in `/zookeeper/config`). Empty if it has none.
    pub client: String,
    /// Raft and forwarding.
    pub peer: String,
    /// Native API.
    pub grpc: String,
    /// Health, metrics.
    pub admin: String,
}

/// The ensemble as of one log position.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Membership {
    /// The position of the entry that set it; `None` before the first.
    pub position: Option<super::LogPosition>,
    /// One set in quiet times, two while a change is under way (joint consensus).
    pub voters: Vec<std::collections::BTreeSet<MemberId>>,
    pub members: BTreeMap<MemberId, MemberAddresses>,
}

/// What a client asks the ensemble to become (ZooKeeper's `reconfig`), in its own words: either the
/// whole list or what is to change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reconfiguration {
    pub joining: Option<String>,
    pub leaving: Option<String>,
    pub new_members: Option<String>,
    /// The version of the configuration that is meant to be changed; −1 for any.
    pub config_version: i64,
}

/// `/zookeeper/config` as one change of the membership left it. The stat's mzxid is its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub data: Bytes,
    pub stat: Stat,
}

/// Stands where ZooKeeper has its election port.
const NO_PORT: u16 = 1;

impl Membership {
    pub fn role(&self, id: MemberId) -> Option<Role> {
        if self.voters.iter().any(|set| set.contains(&id)) {
            Some(Role::Voter)
        } else if self.members.contains_key(&id) {
            Some(Role::Observer)
        } else {
            None
        }
    }

    /// Whether no change of voters is under way.
    pub fn is_settled(&self) -> bool {
        self.voters.len() <= 1
    }

    /// The text of `/zookeeper/config`: one `server.<id>=…` line each, then `version=<hex>`, which is
    /// the zxid of the change that made it so.
    ///
    /// Curator replaces its connection string by the client parts, so they are either reachable
    /// addresses or left out. ZooKeeper's two ports between servers are one here; its clients refuse
    /// a line whose two ports are the same, so the second is one that nobody listens on.
    pub fn config_text(&self, version: Zxid) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (id, addresses) in &self.members {
            let role = match self.role(*id) {
                Some(Role::Voter) => "participant",
                _ => "observer",
            };
            let (host, port) = addresses
                .peer
                .rsplit_once(':')
                .unwrap_or((&addresses.peer, "0"));
            let _ = write!(text, "server.{id}={host}:{port}:{NO_PORT}:{role}");
            if !addresses.client.is_empty() {
                let _ = write!(text, ";{}", addresses.client);
            }
            text.push('\n');
        }
        let _ = write!(text, "version={:x}", version.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_zookeepers_clients_parse() {
        let address = |client: &str, peer: &str| MemberAddresses {
            client: client.to_owned(),
            peer: peer.to_owned(),
            ..MemberAddresses::default()
        };
        let membership = Membership {
            position: None,
            voters: vec![[MemberId(1)].into()],
            members: [
                (MemberId(1), address("10.0.0.1:2181", "10.0.0.1:2192")),
                (MemberId(2), address("", "b.example:2192")),
            ]
            .into(),
        };
        assert_eq!(
            membership.config_text(Zxid(0x1_0000_001f)),
            "server.1=10.0.0.1:2192:1:participant;10.0.0.1:2181\n\
             server.2=b.example:2192:1:observer\n\
             version=10000001f"
        );
    }
}
