//! Waiting for a condition: the only place where a test of processes sleeps.
//!
//! A promise is awaited, never timed: how long a busy machine takes says nothing about whether the
//! promise is kept. The deadline only bounds a test that would otherwise hang.

use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Looks until `probe` has an answer; `None` once `within` has passed without one. Looks at least
/// once.
pub fn poll<T>(within: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
}

/// As [`poll`], for a condition that must come true.
///
/// # Panics
/// With `what` was awaited, if it did not.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match poll(within, probe) {
        Some(found) => found,
        None => panic!("not within {within:?}: {what}"),
    }
}

/// As [`eventually`], where looking takes a runtime.
///
/// # Panics
/// With `what` was awaited, if it did not come true.
pub async fn eventually_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> T {
    let looking = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    match tokio::time::timeout(within, looking).await {
        Ok(found) => found,
        Err(_) => panic!("not within {within:?}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let found = eventually("three looks", Duration::from_secs(60), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }

    #[test]
    fn a_condition_is_looked_at_once_even_without_time() {
        assert_eq!(poll(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(poll(Duration::ZERO, || None::<()>), None);
    }
}
