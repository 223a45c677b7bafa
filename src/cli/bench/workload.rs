//! What is done next, and to which znode.

use bytes::Bytes;
use clap::ValueEnum;
use rand::Rng;
use std::fmt;
use std::str::FromStr;

/// Keys in one directory, but for `children` and `watch`.
pub const CHILDREN_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One new persistent znode each
    Create,
    /// The data of one of the keys, whatever its version
    Set,
    /// The data of one of the keys, from the connected member
    Get,
    /// The same after a sync: with every write that was acknowledged before
    GetLin,
    /// Shares of get, set and create
    Mixed,
    /// The list of all keys
    Children,
    /// Open a session, create an ephemeral, close the session
    EphemeralChurn,
    /// From a write to each notification of it
    Watch,
    /// From a create to each notification of a new child
    WatchChildren,
    /// New sessions watch a directory and create an ephemeral in it, until each has seen all
    Register,
    /// From asking for a lock to having freed it, for one of many
    LockHandover,
    /// Sessions that only live
    Sessions,
    /// Load the keys, stop and start the members
    Nodes,
    /// Creates, and in the middle the leader is killed
    Failover,
    /// Creates, and in the middle the leader's process stands still until the end
    Silence,
    /// Creates, while the members are restarted one after another, the leader last
    Rolling,
    /// A paced load of sets on many znodes, without a snapshot and during snapshots
    Snapshot,
    /// Sets of watched keys, each of which its watcher is told of and watches again
    Watches,
    /// Znodes, sessions and watches come and go at half of what the members bear; whether these grow
    Soak,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no workload is hidden");
        f.write_str(value.get_name())
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

/// One operation of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Set,
    Get,
    GetLinearizable,
    Children,
}

impl Workload {
    /// `percent` is drawn evenly from 0 to 99.
    pub fn step(self, mix: Mix, percent: u32) -> Step {
        match self {
            Workload::Set => Step::Set,
            Workload::Get => Step::Get,
            Workload::GetLin => Step::GetLinearizable,
            Workload::Children => Step::Children,
            Workload::Mixed if percent < mix.get => Step::Get,
            Workload::Mixed if percent < mix.get + mix.set => Step::Set,
            _ => Step::Create,
        }
    }

    /// How many of the keys have to be there first.
    pub fn keys_needed(self, keys: usize) -> usize {
        match self {
            Workload::Set | Workload::Get | Workload::GetLin | Workload::Watches => keys,
            Workload::Mixed | Workload::Children => keys,
            Workload::Watch => 1,
            _ => 0,
        }
    }

    /// Whether the next workload may have its keys: they are there, and nothing was created beside them.
    pub fn leaves_keys_to(self, next: Workload) -> bool {
        let on_keys = |one| matches!(one, Workload::Set | Workload::Get | Workload::GetLin);
        on_keys(self) && (on_keys(next) || next == Workload::Mixed)
    }

    /// Whether it stops, starts or kills members, or asks them for a snapshot.
    pub fn needs_control(self) -> bool {
        matches!(
            self,
            Workload::Failover | Workload::Silence | Workload::Rolling | Workload::Snapshot
        )
    }

    /// The path of a key, as far as this workload has keys. Children and watch have all in one directory.
    pub fn key(self, root: &str, key: usize) -> String {
        match self {
            Workload::Children | Workload::Watch => key_path(root, key),
            _ => part_key_path(root, key),
        }
    }

    /// The directories that have to be there first.
    pub fn directories_needed(self, root: &str, connections: usize, keys: usize) -> Vec<String> {
        let homes = (0..connections).map(|number| home_path(root, number));
        let parts = (0..keys.div_ceil(CHILDREN_MAX)).map(|part| part_path(root, part));
        match self {
            Workload::Create | Workload::Failover | Workload::Silence | Workload::Rolling => {
                homes.collect()
            }
            Workload::Soak => homes.chain([common_directory(root)]).collect(),
            Workload::Mixed => homes.chain(parts).collect(),
            Workload::Set | Workload::Get | Workload::GetLin | Workload::Watches => parts.collect(),
            Workload::Children | Workload::Watch => vec![keys_path(root)],
            Workload::EphemeralChurn | Workload::WatchChildren | Workload::LockHandover => {
                vec![common_directory(root)]
            }
            Workload::Nodes | Workload::Snapshot => parts.collect(),
            Workload::Register | Workload::Sessions => Vec::new(),
        }
    }
}

/// The directory of the keys, which has nothing else.
pub fn keys_path(root: &str) -> String {
    format!("{root}/keys")
}

/// The znode with the given number among the keys.
pub fn key_path(root: &str, key: usize) -> String {
    format!("{root}/keys/key-{key:08}")
}

/// Below it, one connection creates.
pub fn home_path(root: &str, connection: usize) -> String {
    format!("{root}/from-{connection:05}")
}

/// Below it, all connections create.
pub fn common_directory(root: &str) -> String {
    format!("{root}/all")
}

pub fn common_path(root: &str, number: usize) -> String {
    format!("{root}/all/{number:08}")
}

/// Where those who register in a round meet.
pub fn round_path(root: &str, round: usize) -> String {
    format!("{root}/round-{round:05}")
}

/// One of the directories that together have the keys.
pub fn part_path(root: &str, part: usize) -> String {
    format!("{root}/part-{part:05}")
}

pub fn part_key_path(root: &str, key: usize) -> String {
    format!("{root}/part-{:05}/key-{key:08}", key / CHILDREN_MAX)
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
