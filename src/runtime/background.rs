//! Work that gives way to whatever answers somebody.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

/// Niceness of background threads: they get a tenth of a core that others want, and all of one that nobody
/// wants.
#[cfg(target_os = "linux")]
const NICENESS: libc::c_int = 10;

/// A thread that gives way still keeps its core until the next tick of the scheduler (4 ms at 250 Hz) from one that
/// slept for a moment only, as those do that pass a write on to each other.
const WORK_TIME: Duration = Duration::from_micros(500);
/// Two thirds of the time, so that three members that share two cores leave one of them alone.
const REST_TIME: Duration = Duration::from_millis(1);

/// A piece of work that a disk held up, or others who wanted the core, is followed by no longer rest than this.
const REST_TIME_MAX: Duration = Duration::from_millis(20);

/// Long work in small pieces, with rests.
pub struct Pace {
    work_began: Instant,
}

impl Pace {
    pub fn begin() -> Pace {
        Pace {
            work_began: Instant::now(),
        }
    }

    /// To be called every few microseconds of work; rests when it is time to.
    pub fn keep(&mut self) {
        if self.work_began.elapsed() >= WORK_TIME {
            thread::sleep(REST_TIME);
            self.work_began = Instant::now();
        }
    }

    /// To be called after each piece of some milliseconds; rests twice as long as it took.
    pub fn rest_after_part(&mut self) {
        let rest = 2 * self.work_began.elapsed();
        thread::sleep(rest.min(REST_TIME_MAX));
        self.work_began = Instant::now();
    }
}

/// Does `work` on a thread of this name that gives way to all others, and waits for it. `work` must take no
/// lock that others wait for.
pub fn in_background<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn_scoped(scope, || {
            give_way();
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Where it is refused, the work is only less polite.
fn give_way() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call has no precondition. On Linux "process" 0 is the calling thread alone.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_done_elsewhere_and_what_it_gives_or_throws_comes_back() {
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(
            in_background("polite", name).unwrap(),
            Some("polite".into())
        );
        let thrown = std::panic::catch_unwind(|| in_background("polite", || panic!("broken")));
        assert_eq!(thrown.unwrap_err().downcast_ref(), Some(&"broken"));
    }

    #[test]
    fn work_rests_when_it_is_time_to_and_not_before() {
        let now = Instant::now();
        let mut pace = Pace {
            work_began: now - WORK_TIME,
        };
        pace.keep();
        assert!(now.elapsed() >= REST_TIME && pace.work_began > now);
        // As if it had begun later: the test may be held up.
        let began = Instant::now() + Duration::from_secs(3600);
        pace.work_began = began;
        pace.keep();
        assert_eq!(pace.work_began, began);
    }

    #[test]
    fn a_rest_is_twice_as_long_as_the_work_and_not_without_end() {
        let rest_after = |work: Duration| {
            let now = Instant::now();
            let mut pace = Pace {
                work_began: now - work,
            };
            pace.rest_after_part();
            assert!(pace.work_began > now);
            now.elapsed()
        };
        let work = Duration::from_millis(3);
        assert!(rest_after(work) >= 2 * work);
        assert!(rest_after(Duration::from_secs(3600)) < Duration::from_secs(3600));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_gives_way_and_its_caller_does_not() {
        let niceness = || {
            // SAFETY: the call has no precondition.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let before = niceness();
        let inside = in_background("polite", niceness).unwrap();
        assert_eq!(inside, NICENESS.max(before));
        assert_eq!(niceness(), before);
    }
}
