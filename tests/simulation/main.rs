//! Whole clusters under faults that follow from a seed: three members, four clients, crashes that lose
//! unsynced writes, cuts, clocks that are wrong; with even seeds sessions begin local. Then all faults end, and the cluster has to heal.
//!
//! One file per invariant. How to run it, and how to repeat a failure: `docs/reliability.md`.

mod changes;
mod digests;
mod entropy;
mod ephemerals;
mod expiry;
mod writes;
mod zxids;

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};
use vivarium::testing::simulation::{self, Finished};

/// Run in every test run, as far as the time allows.
const SEEDS: &[u64] = &[1, 2, 3, 4, 5, 6, 14, 32];
/// No further seed is begun after this much time, unless `VIVARIUM_SEEDS` asks for a number.
const WALL_TIME_MAX: Duration = Duration::from_secs(60);

type Check = fn(&Finished) -> Vec<String>;

const CHECKS: &[(&str, Check)] = &[
    ("digests", digests::check),
    ("writes", writes::check),
    ("zxids", zxids::check),
    ("ephemerals", ephemerals::check),
    ("expiry", expiry::check),
    ("changes", changes::check),
];

/// The seed of randomness belongs to the whole program.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

/// Panics of tasks, which would otherwise only end the task.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
const SIMULATION: &str = "simulation";

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(SIMULATION) {
                PANICS
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(panic.to_string());
            }
            usual(panic);
        }));
    });
}

fn simulate(seed: u64) -> Finished {
    let _alone = alone();
    watch_panics();
    entropy::seed(seed);
    let thread = Builder::new().name(SIMULATION.to_owned());
    let finished = thread.spawn(move || simulation::run(seed)).unwrap().join();
    entropy::release();
    let mut finished = finished.unwrap_or_default();
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    if !panics.is_empty() {
        finished.stuck = Some(panics.join("\n  "));
    }
    finished
}

fn problems(finished: &Finished) -> Vec<String> {
    // Whoever did not come to an end has no end to be judged.
    if let Some(stuck) = &finished.stuck {
        return vec![stuck.clone()];
    }
    let found = CHECKS.iter().flat_map(|(name, check)| {
        check(finished)
            .into_iter()
            .map(move |problem| format!("{name}: {problem}"))
    });
    found.collect()
}

/// Lines of the log carry the simulated time.
struct Simulated;

impl tracing_subscriber::fmt::time::FormatTime for Simulated {
    fn format_time(
        &self,
        to: &mut tracing_subscriber::fmt::format::Writer<'_>,
    ) -> std::fmt::Result {
        let elapsed = simulation::elapsed();
        write!(to, "{:>6} ms", elapsed.as_millis())
    }
}

fn judge(seed: u64) {
    let begun = Instant::now();
    let finished = simulate(seed);
    let problems = problems(&finished);
    println!(
        "seed {seed}: {} faults, {} sessions, {} answers, {} unknown, {} s simulated in {:.1?}",
        finished.faults.len(),
        finished.history.lives.len(),
        finished.history.acknowledged,
        finished.history.unknown,
        finished.simulated_ms / 1000,
        begun.elapsed()
    );
    for subscribed in &finished.subscribers {
        println!(
            "  a subscriber: {} transactions, resumed {} times, compacted {} times",
            subscribed.transactions, subscribed.resumed, subscribed.compacted
        );
    }
    if problems.is_empty() {
        return;
    }
    for (at_ms, fault) in &finished.faults {
        println!("  {at_ms:>6} ms  {fault:?}");
    }
    panic!(
        "seed {seed}:\n  {}\nrepeat with: VIVARIUM_SEED={seed} cargo test --test simulation -- \
         --nocapture a_cluster_under_faults",
        problems.join("\n  ")
    );
}

#[test]
fn a_cluster_under_faults_heals_and_keeps_its_promises() {
    if let Some(seed) = number("VIVARIUM_SEED") {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_timer(Simulated)
            .init();
        return judge(seed);
    }
    if let Some(count) = number("VIVARIUM_SEEDS") {
        return (1..=count).for_each(judge);
    }
    let begun = Instant::now();
    for seed in SEEDS {
        if begun.elapsed() > WALL_TIME_MAX {
            println!("no time for seed {seed} and later ones");
            return;
        }
        judge(*seed);
    }
}

/// A settled cluster with one live session, as small as can be.
#[cfg(test)]
fn sound() -> Finished {
    use simulation::{End, FoundMember, FoundZnode, History, Life, Register};
    use vivarium::model::{SessionId, Zxid};
    let mut kept = Register::new(false);
    let mut ephemeral = Register::new(true);
    for register in [&mut kept, &mut ephemeral] {
        let ticket = register.begin(Some("value".to_owned()));
        register.acknowledged(ticket, Some(0)).unwrap();
    }
    let life = Life {
        client: 0,
        session: SessionId(1),
        timeout_ms: 2_000,
        of_ensemble: true,
        end: End::Live,
        keys: [
            ("/kept".to_owned(), kept),
            ("/ephemeral".to_owned(), ephemeral),
        ]
        .into(),
        contacts: Vec::new(),
        zxid: Zxid(2),
    };
    let znode = |owner| FoundZnode {
        value: "value".to_owned(),
        owner,
        version: 0,
    };
    let members = [1, 2, 3].map(|member| FoundMember {
        member,
        zxid: Zxid(2),
        sessions: [SessionId(1)].into(),
        znodes: [
            ("/kept".to_owned(), znode(SessionId::NONE)),
            ("/ephemeral".to_owned(), znode(SessionId(1))),
        ]
        .into(),
        ..FoundMember::default()
    });
    Finished {
        members: members.into(),
        history: History {
            lives: vec![life],
            ..History::default()
        },
        ..Finished::default()
    }
}

#[test]
fn a_sound_end_has_no_problems() {
    assert_eq!(problems(&sound()), Vec::<String>::new());
}

/// The faults and what clients set out to do follow from the seed; the members' messages may come
/// some milliseconds apart in two runs (`docs/reliability.md`).
#[test]
fn a_seed_gives_the_same_faults_again() {
    let faults = |seed| -> Vec<String> {
        let finished = simulate(seed);
        finished
            .faults
            .iter()
            .map(|(_, fault)| format!("{fault:?}"))
            .collect()
    };
    let first = faults(11);
    assert!(!first.is_empty());
    assert_eq!(first, faults(11));
}
