//! What goes wrong, and when: drawn from the seed, undone after a while.

use crate::testing::Loss;
use rand::Rng;
use rand::rngs::StdRng;

/// One thing that goes wrong. Members are 1 to `n`, clients 0 to `n - 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A member loses its process; its disk loses what `Loss` says.
    Crash { member: u64, loss: Loss },
    /// All members at once.
    CrashAll { loss: Loss },
    /// A member is stopped in order.
    Stop { member: u64 },
    /// Nothing passes between two members, and what was on its way is lost.
    Cut { between: (u64, u64) },
    /// Messages are lost from one member to another, and pass in the other direction.
    CutOneWay { from: u64, to: u64 },
    /// Messages between two members wait, and come later.
    Hold { between: (u64, u64) },
    /// A member is cut off from all others, and its clients with it if `clients`.
    Isolate { member: u64, clients: bool },
    /// A client cannot reach a member.
    CutClient { client: usize, member: u64 },
}

/// A fault, how long it lasts, and how long it takes until the next.
#[derive(Clone, Debug)]
pub struct Planned {
    pub fault: Fault,
    pub lasts_ms: u64,
    pub next_after_ms: u64,
}

impl Planned {
    pub fn draw(rng: &mut StdRng, members: u64, clients: usize) -> Planned {
        let member = rng.random_range(1..=members);
        let other = (member + rng.random_range(1..members) - 1) % members + 1;
        let loss = match rng.random_range(0..4) {
            0 => Loss::ProcessOnly,
            1 => Loss::Unsynced,
            _ => Loss::Random,
        };
        let fault = match rng.random_range(0..100) {
            0..30 => Fault::Crash { member, loss },
            30..38 => Fault::CrashAll { loss },
            38..46 => Fault::Stop { member },
            46..58 => Fault::Cut {
                between: (member, other),
            },
            58..66 => Fault::CutOneWay {
                from: member,
                to: other,
            },
            66..76 => Fault::Hold {
                between: (member, other),
            },
            76..90 => Fault::Isolate {
                member,
                clients: rng.random(),
            },
            _ => Fault::CutClient {
                client: rng.random_range(0..clients),
                member,
            },
        };
        Planned {
            fault,
            lasts_ms: rng.random_range(50..6_000),
            next_after_ms: rng.random_range(100..4_000),
        }
    }
}
