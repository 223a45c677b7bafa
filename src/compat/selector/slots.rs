//! Master slots: work without a leader, shared by position in the list of those who are there.

/// A server's share of the work: what is numbered `slot` modulo `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub slot: usize,
    pub total: usize,
}

impl Slot {
    /// Whether the piece of work with this number belongs to the slot. `step` is the distance of two
    /// numbers that follow each other (`id-step`), at least 1.
    pub fn owns(&self, id: u64, step: u64) -> bool {
        let total = self.total as u64;
        (id / step.max(1)).checked_rem(total) == Some(self.slot as u64)
    }
}

/// The slot of `server` among those that are normal; `None` when it is not among them: then it takes
/// no work.
///
/// The order is that of the addresses as bytes, the same whoever computes it. The original takes the
/// order of a hash map, which is the same on all servers only as long as their maps grew alike.
pub fn slot_of<'a>(server: &str, normal: impl IntoIterator<Item = &'a str>) -> Option<Slot> {
    let mut servers: Vec<&str> = normal.into_iter().collect();
    servers.sort_unstable();
    servers.dedup();
    let slot = servers.binary_search(&server).ok()?;
    let total = servers.len();
    Some(Slot { slot, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_all_servers_agree() {
        let one = ["b:1", "a:1", "c:1"];
        let other = ["c:1", "b:1", "a:1", "b:1"];
        for server in one {
            assert_eq!(slot_of(server, one), slot_of(server, other));
        }
        assert_eq!(slot_of("b:1", one), Some(Slot { slot: 1, total: 3 }));
    }

    #[test]
    fn who_is_not_there_takes_nothing() {
        assert_eq!(slot_of("d:1", ["a:1"]), None);
        assert_eq!(slot_of("a:1", []), None);
    }

    #[test]
    fn every_piece_of_work_has_one_owner() {
        let servers = ["a:1", "b:1", "c:1"];
        let slots = servers.map(|server| slot_of(server, servers).expect("it is there"));
        for id in 0..100 {
            for step in [0, 1, 10] {
                let owners = slots.iter().filter(|slot| slot.owns(id, step)).count();
                assert_eq!(owners, 1, "{id} {step}");
            }
        }
    }
}
