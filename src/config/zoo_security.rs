//! The keys of a `zoo.cfg` about TLS and about who a client is, as far as several of them are one
//! setting of ours.
//!
//! Rules from ZooKeeper 3.9: `QuorumPeerConfig#parseProperties`, `ClientX509Util`,
//! `NettyServerCnxnFactory` (port unification), `AuthenticationHelper`, `ProviderRegistry`,
//! `ZooKeeperServer#isSaslSuperUser`.

use super::layers::Entry;
use super::member_list::parse_port;
use super::problem::{Origin, Problem};
use super::zoo_cfg::{ZooCfg, at_port, bracketed};
use super::zoo_keys::SecurityKey;

/// The providers that are built in here, whether they are named or not.
const PROVIDERS: &[&str] = &[
    "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
    "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
    "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
];

/// A value and where it stands.
type Said = Option<(String, Origin)>;

#[derive(Default)]
pub struct Security {
    port: Said,
    host: Said,
    unified: Option<Origin>,
    protocol: Said,
    enabled_protocols: Said,
    enforced: Option<Origin>,
    schemes: Said,
    /// Keys that say one scheme on their own: the scheme, the key and where it stands.
    required: Vec<(String, String, Origin)>,
    super_users: Vec<String>,
    super_users_at: Option<Origin>,
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

impl Security {
    pub fn take(
        &mut self,
        which: SecurityKey,
        key: &str,
        value: &str,
        origin: &Origin,
        problems: &mut Vec<Problem>,
    ) {
        if let Err(what) = self.note(which, key, value, origin) {
            problems.push(Problem::new(origin, key, what));
        }
    }

    fn note(
        &mut self,
        which: SecurityKey,
        key: &str,
        value: &str,
        origin: &Origin,
    ) -> Result<(), String> {
        let said = || Some((value.to_owned(), origin.clone()));
        // Java's Boolean.parseBoolean: whatever is not true is false.
        let on = value.eq_ignore_ascii_case("true");
        match which {
            SecurityKey::SecurePort => {
                self.port = Some((parse_port(value)?.to_string(), origin.clone()));
            }
            SecurityKey::SecurePortAddress => {
                self.host = Some((bracketed(value)?, origin.clone()));
            }
            SecurityKey::PortUnification => self.unified = on.then(|| origin.clone()),
            SecurityKey::Protocol => self.protocol = said(),
            SecurityKey::EnabledProtocols => self.enabled_protocols = said(),
            SecurityKey::CertificateReload if on => {}
            SecurityKey::CertificateReload => self
                .entries
                .push(Entry::text("tls.reload_interval_ms", "0", origin).written_as(key)),
            SecurityKey::EnforceEnabled => self.enforced = on.then(|| origin.clone()),
            SecurityKey::EnforceSchemes => self.schemes = said(),
            SecurityKey::RequireSasl if on => {
                self.required
                    .push(("sasl".to_owned(), key.to_owned(), origin.clone()));
            }
            SecurityKey::RequireSasl => {}
            SecurityKey::RequireScheme => {
                self.warnings.push(format!(
                    "{origin}: {key} is obeyed here; ZooKeeper 3.9 does not know it"
                ));
                self.required
                    .push((value.to_owned(), key.to_owned(), origin.clone()));
            }
            SecurityKey::SuperUser => {
                self.super_users.push(value.to_owned());
                self.super_users_at.get_or_insert_with(|| origin.clone());
            }
            SecurityKey::AuthProvider if PROVIDERS.contains(&value) => {}
            SecurityKey::AuthProvider => {
                return Err(format!(
                    "{value} is not offered, and what it protects would stand open; built in are {}",
                    PROVIDERS.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// The entries that the keys amount to. `plain` is the address of the door without TLS; a
    /// `server.N` line may say it as well, and then it is `listed`.
    pub fn finish(
        mut self,
        plain: Said,
        listed: bool,
        found: &mut ZooCfg,
        problems: &mut Vec<Problem>,
    ) {
        let secure = at_port(
            ("secureClientPort", self.port.take()),
            ("secureClientPortAddress", self.host.take()),
            problems,
        );
        let mut add = |key: &str, value: &str, origin: &Origin, written: &str| {
            self.entries
                .push(Entry::text(key, value, origin).written_as(written));
        };
        let served_plain = plain.is_some() || listed;
        if let Some((plain, origin)) = plain {
            add("doors.client.bind", &plain, &origin, "clientPort");
        }
        match secure {
            // Without a port for them nobody is served without TLS.
            Some((secure, origin)) if !served_plain => {
                add("doors.client.bind", &secure, &origin, "secureClientPort");
                add("doors.client.tls", "only", &origin, "secureClientPort");
            }
            secure => {
                if let Some((secure, origin)) = secure {
                    let key = "doors.client_tls.bind";
                    add(key, &secure, &origin, "secureClientPort");
                }
                if let Some(origin) = &self.unified {
                    add("doors.client.tls", "also", origin, "client.portUnification");
                }
            }
        }
        if let Some((protocols, origin)) = self.enabled_protocols.take() {
            add("tls.protocols", &protocols, &origin, "ssl.enabledProtocols");
        } else if let Some((protocol, origin)) = self.protocol.take() {
            add("tls.protocols", &protocol, &origin, "ssl.protocol");
        }
        if let Some(origin) = &self.super_users_at {
            let users = self.super_users.join(",");
            add("access.sasl_super_users", &users, origin, "superUser");
        }
        self.required(problems);
        found.entries.append(&mut self.entries);
        found.warnings.append(&mut self.warnings);
    }

    /// `sessionRequireClientSASLAuth` outdoes the list, as in ZooKeeper.
    fn required(&mut self, problems: &mut Vec<Problem>) {
        let (schemes, key, origin) = match (self.required.pop(), &self.enforced, &self.schemes) {
            (Some(required), _, _) => required,
            (None, Some(_), Some((schemes, origin))) if !schemes.is_empty() => (
                schemes.clone(),
                "enforce.auth.schemes".to_owned(),
                origin.clone(),
            ),
            (None, Some(origin), _) => {
                let what = "needs enforce.auth.schemes beside it";
                problems.push(Problem::new(origin, "enforce.auth.enabled", what));
                return;
            }
            (None, None, _) => return,
        };
        self.entries
            .push(Entry::text("access.required_schemes", schemes, &origin).written_as(&key));
    }
}
