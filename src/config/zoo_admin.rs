//! `admin.serverPort` and `admin.serverAddress` of a zoo.cfg: one address of ours.
//!
//! At all times: the admin door listens on loopback only. ZooKeeper's listens everywhere unless it is
//! told otherwise, so an address that others could reach is named in a warning instead of opened.

use super::layers::Entry;
use super::member_list::{ADMIN_PORT, is_loopback};
use super::problem::Origin;
use super::zoo_cfg::ZooCfg;

const LOOPBACK: &str = "127.0.0.1";

#[derive(Debug, Default)]
pub struct Admin {
    pub port: Option<(u16, Origin)>,
    /// As a port can be put behind it.
    pub host: Option<(String, Origin)>,
}

impl Admin {
    /// Adds what the lines together say.
    pub fn finish(self, found: &mut ZooCfg) {
        let host = match &self.host {
            Some((host, _)) if is_loopback(host) => Some(host.as_str()),
            Some((host, origin)) => {
                found.warnings.push(format!(
                    "{origin}: admin.serverAddress is not {host} but {LOOPBACK} here: the door asks \
                     nobody who they are"
                ));
                None
            }
            None => None,
        };
        let (port, origin, written) = match (&self.port, &self.host) {
            (Some((port, origin)), _) => (*port, origin, "admin.serverPort"),
            (None, Some((_, origin))) if host.is_some() => {
                (ADMIN_PORT, origin, "admin.serverAddress")
            }
            _ => return,
        };
        let bind = format!("{}:{port}", host.unwrap_or(LOOPBACK));
        let entry = Entry::text("doors.admin.bind", bind, origin).written_as(written);
        found.entries.push(entry);
    }
}
