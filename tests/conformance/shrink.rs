//! Leaves out of a failing stream what it does not need to fail.

use crate::step::Step;
use std::time::{Duration, Instant};

/// What looking for a shorter stream may take; the first difference has been found by then.
const BUDGET: Duration = Duration::from_secs(30);

/// The shortest stream found that still fails in the same way.
pub fn shrink(mut steps: Vec<Step>, mut still_fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let deadline = Instant::now() + BUDGET;
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < steps.len() {
            if Instant::now() >= deadline {
                return steps;
            }
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            if still_fails(&fewer) {
                steps = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{connect, fence};

    #[test]
    fn what_a_failure_does_not_need_is_left_out() {
        let needed = [connect(1, 2), connect(3, 1)];
        let mut steps: Vec<Step> = (0..100).map(|slot| fence(slot % 4)).collect();
        steps.insert(20, needed[0].clone());
        steps.insert(70, needed[1].clone());
        let shrunk = shrink(steps, |steps| {
            needed.iter().all(|step| steps.contains(step))
        });
        assert_eq!(shrunk, needed);
    }
}
