//! No session ends while its client may rely on it.
//!
//! Source: ZooKeeper 3.9 `SessionTrackerImpl`, `ExpiryQueue#roundToNextInterval` (deadlines are rounded
//! up); `docs/adr/2026-11-22-session-clock.md`. How much a member may lose of what it heard:
//! `Life::earliest_end_ms`.

use vivarium::testing::simulation::Finished;

pub fn check(finished: &Finished) -> Vec<String> {
    let early = finished.early_ends.iter();
    early
        .map(|end| {
            format!(
                "session {} was gone at {} ms, before {} ms; timeout {} ms, newest first {:?}",
                end.session, end.at_ms, end.earliest_ms, end.timeout_ms, end.contacts
            )
        })
        .collect()
}

#[test]
fn an_early_end_is_found() {
    use vivarium::testing::simulation::EarlyEnd;
    let mut finished = super::sound();
    let session = finished.history.lives[0].session;
    finished.early_ends.push(EarlyEnd {
        session,
        at_ms: 1,
        earliest_ms: 2,
        timeout_ms: 3,
        contacts: Vec::new(),
    });
    assert_eq!(check(&finished).len(), 1);
}
