//! Least accumulated load: a server's load is added to its account at every pick, and whoever has
//! the least on it is picked and charged with everybody's.

use std::collections::HashMap;

/// A server that has just started gets less at first.
const WARM_UP_MS: i64 = 10 * 60 * 1000;
const CPU_FACTOR: f64 = 10.0;
const MEMORY_FACTOR: f64 = 20.0;
const LOAD_AVERAGE_FACTOR: f64 = 70.0;

/// What a server's heartbeat says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Used part of the processors, 0 to 1.
    pub cpu: f64,
    /// Used part of the memory, 0 to 1.
    pub memory: f64,
    pub load_average: f64,
    pub uptime_ms: i64,
    /// Neither `BUSY` nor `ABNORMAL`; others are passed over.
    pub is_normal: bool,
}

impl Load {
    /// `cpu × 10 + memory × 20 + load average × 70`, and up to the tenth minute as many times more as
    /// ten minutes are longer than the uptime. What is not a number counts as none.
    pub fn weight(&self) -> f64 {
        let load = self.cpu * CPU_FACTOR
            + self.memory * MEMORY_FACTOR
            + self.load_average * LOAD_AVERAGE_FACTOR;
        let load = if load.is_finite() { load.max(0.0) } else { 0.0 };
        if (1..WARM_UP_MS).contains(&self.uptime_ms) {
            load * WARM_UP_MS as f64 / self.uptime_ms as f64
        } else {
            load
        }
    }
}

/// A server with what it reported last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reported<'a> {
    pub server: &'a str,
    pub load: Load,
}

/// Keep one for each group of servers.
#[derive(Debug, Default)]
pub struct LowerWeight {
    /// Of the candidates of the last pick: a server that left and comes back begins anew.
    accounts: HashMap<Box<str>, f64>,
}

impl LowerWeight {
    /// The next pick: the first of those with the least on their account.
    pub fn pick<'a>(&mut self, candidates: &[Reported<'a>]) -> Option<&'a str> {
        let mut accounts = HashMap::with_capacity(candidates.len());
        let mut total = 0.0;
        let mut best: Option<(&'a str, f64)> = None;
        for candidate in candidates.iter().filter(|one| one.load.is_normal) {
            let load = candidate.load.weight();
            let before = self.accounts.get(candidate.server).copied();
            let account = before.unwrap_or(load) + load;
            total += load;
            if best.is_none_or(|(_, least)| account < least) {
                best = Some((candidate.server, account));
            }
            accounts.insert(candidate.server.into(), account);
        }
        self.accounts = accounts;
        let (server, _) = best?;
        if let Some(account) = self.accounts.get_mut(server) {
            *account += total;
        }
        Some(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(server: &str, load_average: f64) -> Reported<'_> {
        Reported {
            server,
            load: Load {
                cpu: 0.0,
                memory: 0.0,
                load_average,
                uptime_ms: WARM_UP_MS,
                is_normal: true,
            },
        }
    }

    fn picks(candidates: &[Reported<'_>], count: usize) -> String {
        let mut selector = LowerWeight::default();
        (0..count)
            .filter_map(|_| selector.pick(candidates))
            .collect()
    }

    #[test]
    fn load_is_weighed_as_the_original_weighs_it() {
        let load = Load {
            cpu: 0.5,
            memory: 0.25,
            load_average: 2.0,
            uptime_ms: WARM_UP_MS,
            is_normal: true,
        };
        assert_eq!(load.weight(), 150.0);
        let young = Load {
            uptime_ms: WARM_UP_MS / 4,
            ..load
        };
        assert_eq!(young.weight(), 600.0);
        let broken = Load {
            cpu: f64::NAN,
            ..load
        };
        assert_eq!(broken.weight(), 0.0);
    }

    #[test]
    fn the_less_loaded_server_gets_more() {
        // Accounts begin at 70 and 140 and grow by as much each time; who is picked is charged 210.
        // At the second pick both stand at 420, and the first of equals is taken.
        assert_eq!(picks(&[loaded("a", 1.0), loaded("b", 2.0)], 6), "aabaab");
    }

    #[test]
    fn busy_servers_are_passed_over() {
        let mut busy = loaded("a", 0.1);
        busy.load.is_normal = false;
        assert_eq!(picks(&[busy, loaded("b", 9.0)], 2), "bb");
        assert_eq!(picks(&[busy], 1), "");
        assert_eq!(picks(&[], 1), "");
    }

    #[test]
    fn a_server_that_left_and_comes_back_begins_anew() {
        let mut selector = LowerWeight::default();
        let both = [loaded("a", 1.0), loaded("b", 1.0)];
        assert_eq!(selector.pick(&both), Some("a"));
        assert_eq!(selector.pick(&both[1..]), Some("b"));
        assert_eq!(selector.accounts.len(), 1);
        assert_eq!(selector.pick(&both), Some("a"));
    }
}
