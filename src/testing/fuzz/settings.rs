//! Texts of operators, and of clients that reconfigure.

use super::records::membership;
use super::{Seed, named};
use crate::config::fuzz as config;
use crate::member::wanted_members;
use crate::model::{Reconfiguration, Role, Zxid};

/// A file of settings, read as each kind of file that there is.
pub fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    config::zoo_cfg(&text);
    config::toml(&text);
    config::yaml(&text);
    config::members(&text);
    config::jaas(&text);
}

const ZOO_CFG: &str = "\
# A comment
tickTime=2000
initLimit = 10
dataDir=/var/lib/zookeeper
clientPort:2181
clientPortAddress=0.0.0.0
4lw.commands.whitelist=srvr, mntr,\\
  ruok
reconfigEnabled=true
server.1=h1:2888:3888:participant;2181
server.2=[fe80::1]:2888:3888:observer;0.0.0.0:2181
unknown.key=\\u0041
";

const TOML: &str = "\
[cluster]
members = [\"1=h1\", \"2=h2:2181:2192:-:-/observer\"]
[timing]
tick_ms = 2_000
[access]
reconfig = true
four_letter_words = \"srvr,mntr\"
[access.inner]
day = 1979-05-27
";

const YAML: &str = "\
spring: {profiles: [a, b]}
registry:
  type: embedded
  cluster:
    members:
      - 1=h1
      - 2=h2
  timing: {tick_ms: 2000}
  text: |
    two
    lines
  alias: &a [1, *a]
";

const JAAS: &str = "\
Server { // for clients
  org.apache.zookeeper.server.auth.DigestLoginModule required
  user_super='ad\\'min' /* all of them */
  user_bob=\"bob's secret\";
};
";

pub fn files_seeds() -> Vec<Seed> {
    vec![
        named("zoo_cfg", ZOO_CFG),
        named("toml", TOML),
        named("yaml", YAML),
        named(
            "members",
            "1=h1:2181:2192:2191:2193,2=[::1]/observer,3=h3:-:9",
        ),
        named("jaas", JAAS),
        named("server", "server.7=h7:2888:3888:participant;h7:2181"),
    ]
}

/// What a client's reconfig says, as each of its three texts.
pub fn reconfiguration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let now = membership();
    let nothing = Reconfiguration::default;
    for request in [
        Reconfiguration {
            joining: Some(text.clone()),
            ..nothing()
        },
        Reconfiguration {
            leaving: Some(text.clone()),
            ..nothing()
        },
        Reconfiguration {
            new_members: Some(text.clone()),
            ..nothing()
        },
    ] {
        let Ok(wanted) = wanted_members(&now, &request) else {
            continue;
        };
        let voters = wanted
            .values()
            .filter(|member| member.role == Role::Voter)
            .count();
        assert!(voters >= 2 && wanted.len() <= crate::raft::MEMBERS_MAX);
    }
}

pub fn reconfigurations() -> Vec<Seed> {
    vec![
        named(
            "joining",
            "server.4=h4:2888:3888;2181, server.5=[::1]:1:2:observer;[::1]:3",
        ),
        named("leaving", "2, 3,,99"),
        named("whole", membership().config_text(Zxid(0x100))),
    ]
}
