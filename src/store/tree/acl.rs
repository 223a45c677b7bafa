//! Access lists: which are well formed, what they grant, and what of them may be shown.
//!
//! Schemes known: `world`, `auth` (in requests only), `digest`, `ip`, `sasl`, `x509`; they are known
//! whatever a member's settings are, because all members must come to the same answer. An identity
//! of the scheme `super` passes every check and owns nothing.
//!
//! Rules from ZooKeeper 3.9: `PrepRequestProcessor#fixupACL`, `ZooKeeperServer#checkACL`,
//! `DigestAuthenticationProvider`, `IPAuthenticationProvider`, `SASLAuthenticationProvider`,
//! `KerberosName`, `X509AuthenticationProvider`, `FinalRequestProcessor` (getACL).

mod subject_name;

use crate::model::{Acl, Id, Permissions, Refusal};
use std::borrow::Cow;
use subject_name::is_subject_name;

/// Those whose identities stand for whoever sends `auth:`.
const PROVING_SCHEMES: &[&str] = &["digest", "sasl", "x509"];

/// A longer list is not well formed: it is looked through whenever somebody is judged by it.
pub(super) const LINES_MAX: usize = 1024;

/// The list to store for one that a client sent.
///
/// Duplicates go first and `auth` is replaced afterwards, so that `auth:` beside the very id that it
/// stands for leaves that id twice, as in the original.
pub(super) fn fixup<'a>(sent: &'a [Acl], identities: &[Id]) -> Result<Cow<'a, [Acl]>, Refusal> {
    if sent.len() > LINES_MAX {
        return Err(Refusal::InvalidAcl);
    }
    let mut lines = sent.iter().enumerate();
    if !sent.is_empty() && lines.all(|(at, line)| is_sound(&line.id) && !sent[..at].contains(line))
    {
        return Ok(Cow::Borrowed(sent));
    }
    let mut stored = Vec::with_capacity(sent.len());
    for (at, line) in sent.iter().enumerate() {
        if stored.len() > LINES_MAX {
            break;
        }
        if sent[..at].contains(line) {
            continue;
        }
        match line.id.scheme.as_str() {
            "auth" => {
                let before = stored.len();
                let proven = identities
                    .iter()
                    .filter(|id| PROVING_SCHEMES.contains(&id.scheme.as_str()));
                stored.extend(proven.map(|id| Acl {
                    perms: line.perms,
                    id: id.clone(),
                }));
                if stored.len() == before {
                    return Err(Refusal::InvalidAcl);
                }
            }
            _ if is_sound(&line.id) => stored.push(line.clone()),
            _ => return Err(Refusal::InvalidAcl),
        }
    }
    match stored.len() {
        1..=LINES_MAX => Ok(stored.into()),
        _ => Err(Refusal::InvalidAcl),
    }
}

/// Whether a line may be stored for this id as it is.
fn is_sound(id: &Id) -> bool {
    match (id.scheme.as_str(), id.id.as_str()) {
        ("world", id) => id == "anyone",
        ("digest", id) => is_digest_id(id),
        ("ip", id) => AddressRange::parse(id).is_some(),
        ("sasl", id) => is_principal(id),
        ("x509", id) => is_subject_name(id),
        _ => false,
    }
}

/// Whether somebody with these identities may do any of what is wanted.
///
/// A list without lines, which no client can set but an imported znode may carry, forbids nothing.
pub fn allows(acl: &[Acl], wanted: Permissions, identities: &[Id]) -> bool {
    acl.is_empty()
        || identities.iter().any(|id| id.scheme == "super")
        || acl
            .iter()
            .any(|line| line.perms.allows(wanted) && grants(&line.id, identities))
}

/// The list as somebody may see it who is not allowed to change it: users, but not their hashes.
pub(super) fn without_secrets(acl: &[Acl]) -> Vec<Acl> {
    let mut shown = acl.to_vec();
    for line in &mut shown {
        if line.id.scheme == "digest"
            && let Some(colon) = line.id.id.find(':')
        {
            line.id.id.truncate(colon);
            line.id.id.push_str(":x");
        }
    }
    shown
}

fn grants(listed: &Id, identities: &[Id]) -> bool {
    match listed.scheme.as_str() {
        "world" => listed.id == "anyone",
        "ip" => AddressRange::parse(&listed.id).is_some_and(|range| {
            identities
                .iter()
                .any(|id| id.scheme == "ip" && range.holds(&id.id))
        }),
        "sasl" => identities
            .iter()
            .any(|id| id.scheme == "sasl" && (id.id == SASL_SUPER || id.id == listed.id)),
        _ => identities.contains(listed),
    }
}

/// The user whom every line of scheme `sasl` names, too.
const SASL_SUPER: &str = "super";

/// `user`, or a Kerberos principal `service[/host]@realm`.
fn is_principal(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => name.matches('/').count() <= 1 && !realm.contains(['/', '@']),
    }
}

/// `user:hash`. Colons at the end are overlooked, because Java's `split` drops empty pieces there.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').matches(':').count() == 1
}

/// `address[/bits]`.
struct AddressRange {
    address: Vec<u8>,
    bits: usize,
}

impl AddressRange {
    fn parse(text: &str) -> Option<AddressRange> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address_bytes(address)?;
        let width = 8 * address.len();
        let bits = match bits {
            // Signed as in Java, where "-0" is a number of bits too.
            Some(bits) => usize::try_from(bits.parse::<i32>().ok()?).ok()?,
            None => width,
        };
        (bits <= width).then_some(AddressRange { address, bits })
    }

    fn holds(&self, text: &str) -> bool {
        let Some(other) = address_bytes(text) else {
            return false;
        };
        let (whole, left) = (self.bits / 8, self.bits % 8);
        other.len() == self.address.len()
            && other[..whole] == self.address[..whole]
            && (left == 0 || (other[whole] ^ self.address[whole]) >> (8 - left) == 0)
    }
}

/// Four or sixteen bytes. Numbers are read as Java's `parseInt` reads them, with a sign and with
/// zeros in front.
fn address_bytes(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') {
        return address_v6_bytes(text);
    }
    let octets: Option<Vec<u8>> = text
        .split('.')
        .map(|octet| u8::try_from(octet.parse::<i32>().ok()?).ok())
        .collect();
    octets.filter(|octets| octets.len() == 4)
}

/// Eight groups, or fewer around one `::`; no IPv4 at the end and no interface behind it.
fn address_v6_bytes(text: &str) -> Option<Vec<u8>> {
    const GROUPS: usize = 8;
    let groups = |text: &str| -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(2 * GROUPS);
        for group in text.split(':').filter(|_| !text.is_empty()) {
            let value = i32::from_str_radix(group, 16).ok()?;
            if group.len() > 4 {
                return None;
            }
            bytes.extend_from_slice(&(value as u16).to_be_bytes());
        }
        Some(bytes)
    };
    let halves: Vec<&str> = text.split("::").collect();
    match halves[..] {
        [whole] => groups(whole).filter(|bytes| bytes.len() == 2 * GROUPS),
        [before, behind] => {
            let (before, behind) = (groups(before)?, groups(behind)?);
            let left = (2 * GROUPS).checked_sub(before.len() + behind.len())?;
            // The gap stands for one group at least.
            (left > 0).then(|| [before, vec![0; left], behind].concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
