//! What is done next, and to which znode.

use crate::model::Acl;
use crate::wire::{ClientRequest, CreateKind, CreateRequest};
use bytes::Bytes;
use clap::ValueEnum;
use rand::Rng;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One new persistent znode each
    Create,
    /// The data of one of the keys, whatever its version
    Set,
    /// The data of one of the keys, from the connected member
    Get,
    /// Shares of the above
    Mixed,
    /// From a write to each notification of it
    Watch,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::Create => "create",
            Workload::Set => "set",
            Workload::Get => "get",
            Workload::Mixed => "mixed",
            Workload::Watch => "watch",
        })
    }
}

/// Shares of `mixed` in percent; together 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    get: u32,
    set: u32,
    create: u32,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut mix = Mix {
            get: 0,
            set: 0,
            create: 0,
        };
        for part in text.split(',') {
            let (name, percent) = part.split_once('=').ok_or("expected OP=PERCENT")?;
            let share = match name.trim() {
                "get" => &mut mix.get,
                "set" => &mut mix.set,
                "create" => &mut mix.create,
                other => return Err(format!("{other:?} is not get, set or create")),
            };
            let percent = percent
                .trim()
                .parse()
                .ok()
                .filter(|percent| *percent <= 100);
            *share = percent.ok_or("a share is a whole number from 0 to 100")?;
        }
        match mix.get + mix.set + mix.create {
            100 => Ok(mix),
            sum => Err(format!("the shares add up to {sum}, not to 100")),
        }
    }
}

/// One operation of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Set,
    Get,
}

impl Workload {
    /// `percent` is drawn evenly from 0 to 99.
    pub fn step(self, mix: Mix, percent: u32) -> Step {
        match self {
            Workload::Create => Step::Create,
            Workload::Set | Workload::Watch => Step::Set,
            Workload::Get => Step::Get,
            Workload::Mixed if percent < mix.get => Step::Get,
            Workload::Mixed if percent < mix.get + mix.set => Step::Set,
            Workload::Mixed => Step::Create,
        }
    }

    /// Whether the keys have to be there first.
    pub fn needs_keys(self) -> bool {
        self != Workload::Create
    }
}

/// The znode with the given number among the keys.
pub fn key_path(root: &str, key: usize) -> String {
    format!("{root}/key-{key:08}")
}

/// Below it, one connection creates.
pub fn home_path(root: &str, connection: usize) -> String {
    format!("{root}/from-{connection:05}")
}

pub fn request(step: Step, path: String, data: &Bytes) -> ClientRequest {
    match step {
        Step::Create => ClientRequest::Create(CreateRequest {
            kind: CreateKind::Create,
            path,
            data: Some(data.clone()),
            acl: Acl::open(),
            flags: 0,
        }),
        Step::Set => ClientRequest::SetData {
            path,
            data: Some(data.clone()),
            version: -1,
        },
        Step::Get => ClientRequest::GetData { path, watch: false },
    }
}

/// Data of the given length that does not compress to nothing.
pub fn data(bytes: usize) -> Bytes {
    let mut data = vec![0; bytes];
    rand::rng().fill(&mut data[..]);
    Bytes::from(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_to_add_up() {
        assert!("get=80,set=15,create=5".parse::<Mix>().is_ok());
        assert!("get=100".parse::<Mix>().is_ok());
        for bad in [
            "",
            "get",
            "get=x",
            "get=-1",
            "get=101",
            "get=80",
            "get=50,set=60",
            "del=100",
        ] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mix_takes_each_step_as_often_as_it_says() {
        let mix: Mix = "get=80,set=15,create=5".parse().unwrap();
        let count = |step| {
            (0..100)
                .filter(|p| Workload::Mixed.step(mix, *p) == step)
                .count()
        };
        assert_eq!(
            (count(Step::Get), count(Step::Set), count(Step::Create)),
            (80, 15, 5)
        );
    }
}
