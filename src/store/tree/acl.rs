//! Access lists: which are well formed, what they grant, and what of them may be shown.
//!
//! Schemes known: `world`, `auth` (in requests only), `digest`, `ip`. An identity of the scheme
//! `super` passes every check and owns nothing.
//!
//! Rules from ZooKeeper 3.9: `PrepRequestProcessor#fixupACL`, `ZooKeeperServer#checkACL`,
//! `DigestAuthenticationProvider`, `IPAuthenticationProvider`, `FinalRequestProcessor` (getACL).

use crate::model::{Acl, Id, Permissions, Refusal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The list to store for one that a client sent.
///
/// Duplicates go first and `auth` is replaced afterwards, so that `auth:` beside the very id that it
/// stands for leaves that id twice, as in the original.
pub(super) fn fixup(sent: &[Acl], identities: &[Id]) -> Result<Vec<Acl>, Refusal> {
    let mut stored = Vec::with_capacity(sent.len());
    for (at, line) in sent.iter().enumerate() {
        if sent[..at].contains(line) {
            continue;
        }
        match (line.id.scheme.as_str(), line.id.id.as_str()) {
            ("world", "anyone") => stored.push(line.clone()),
            ("auth", _) => {
                let before = stored.len();
                let proven = identities.iter().filter(|id| id.scheme == "digest");
                stored.extend(proven.map(|id| Acl {
                    perms: line.perms,
                    id: id.clone(),
                }));
                if stored.len() == before {
                    return Err(Refusal::InvalidAcl);
                }
            }
            ("digest", id) if is_digest_id(id) => stored.push(line.clone()),
            ("ip", id) if AddressRange::parse(id).is_some() => stored.push(line.clone()),
            _ => return Err(Refusal::InvalidAcl),
        }
    }
    if stored.is_empty() {
        return Err(Refusal::InvalidAcl);
    }
    Ok(stored)
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
        _ => identities.contains(listed),
    }
}

/// `user:hash`. Colons at the end are overlooked, because Java's `split` drops empty pieces there.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').matches(':').count() == 1
}

/// `address[/bits]`.
struct AddressRange {
    address: IpAddr,
    bits: u32,
}

impl AddressRange {
    fn parse(text: &str) -> Option<AddressRange> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = parse_address(address)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // Signed as in Java, where "-0" is a number of bits too.
            Some(bits) => u32::try_from(bits.parse::<i32>().ok()?).ok()?,
            None => width,
        };
        (bits <= width).then_some(AddressRange { address, bits })
    }

    fn holds(&self, text: &str) -> bool {
        // A link-local address names its interface behind a percent sign.
        let text = text.split_once('%').map_or(text, |(address, _)| address);
        let Some(other) = parse_address(text) else {
            return false;
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differing = a.to_bits() ^ b.to_bits();
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differing = a.to_bits() ^ b.to_bits();
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// IPv4 as the original reads it (`1.2.3.04` is an address there), IPv6 by RFC 4291.
fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut pieces = text.split('.');
    for octet in &mut octets {
        let value = pieces.next()?.parse::<i32>().ok()?;
        *octet = u8::try_from(value).ok()?;
    }
    if pieces.next().is_some() {
        return None;
    }
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests;
