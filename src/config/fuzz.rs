//! The readers of settings, each given a text, for fuzzing: no file is read, nothing is kept.
//!
//! Feature `testing`.

use super::layers::{Entry, Layers};
use super::load;
use super::problem::Problem;
use super::resolver::Values;
use super::{jaas, member_list, toml_file, yaml_file, zoo_cfg};
use std::path::Path;

pub fn zoo_cfg(text: &str) {
    let mut problems = Vec::new();
    let found = zoo_cfg::read(Path::new("zoo.cfg"), text, &mut problems);
    resolve(found.entries, problems);
}

pub fn toml(text: &str) {
    let mut problems = Vec::new();
    let entries = toml_file::read(Path::new("vivarium.toml"), text, &mut problems);
    resolve(entries, problems);
}

pub fn yaml(text: &str) {
    let mut problems = Vec::new();
    let entries = yaml_file::read(Path::new("application.yaml"), text, &mut problems);
    resolve(entries, problems);
}

/// A file of users.
pub fn jaas(text: &str) -> bool {
    jaas::users(text, "Server").is_ok()
}

/// A list of members, and a server's line.
pub fn members(text: &str) {
    if let Ok(members) = member_list::parse_members(text) {
        assert_eq!(member_list::check_members(&members), Ok(()));
    }
    let (key, value) = text.split_once('=').unwrap_or(("server.1", text));
    let _ = zoo_cfg::parse_server(key, value);
}

fn resolve(entries: Vec<Entry>, mut problems: Vec<Problem>) {
    let mut layers = Layers::default();
    layers.lay(entries, &mut problems);
    load::resolve(&mut Values::new(&layers, problems));
}
