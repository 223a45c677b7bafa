//! Running work whose panics and endless loops must not be ours.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How sled names its own threads; a panic there reaches us as an error of the call that waits.
const SLED_THREADS: &str = "sled-";

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// From here on a panic ends the process, except where this room contains it.
///
/// A release build unwinds only so that a damaged checkpoint can be survived. Anywhere else a panic
/// is a broken invariant, and a member that goes on without one of its tasks may diverge. `main`
/// calls this before anything else.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !is_contained() {
            std::process::abort();
        }
    }));
}

fn is_contained() -> bool {
    let of_sled = || {
        let thread = thread::current();
        thread
            .name()
            .is_some_and(|name| name.starts_with(SLED_THREADS))
    };
    CONTAINED.get() || of_sled()
}

/// Runs `work` on a thread of its own and returns what it returned; the text of its panic, or of its
/// silence, otherwise.
///
/// A thread that does not come back in time is left behind: it cannot be stopped, only ignored.
/// Panics are only caught where they unwind, so no profile of ours may abort on panic.
pub(super) fn contained<T: Send + 'static>(
    time_max: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = channel();
    let thread = thread::Builder::new()
        .name("checkpoint".into())
        .spawn(move || {
            // The receiver is gone once the time is up; nobody wants the result then.
            let _ = sender.send(caught(work));
        })
        .map_err(|error| format!("no thread to open it on: {error}"))?;
    match receiver.recv_timeout(time_max) {
        Ok(result) => {
            // It has sent its last word and ends by itself; joining tells nothing new.
            let _ = thread.join();
            result
        }
        Err(RecvTimeoutError::Timeout) => Err(format!("no end after {} ms", time_max.as_millis())),
        Err(RecvTimeoutError::Disconnected) => Err("the thread ended without a word".into()),
    }
}

/// Runs `work` here; its panic becomes the text of it.
///
/// What `work` was changing is not looked at again after a panic, so unwind safety is not asked for.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    result.map_err(|panic| format!("panic: {}", text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "without a text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_panics_come_back() {
        let long = Duration::from_secs(60);
        assert_eq!(contained(long, || 7), Ok(7));
        let panic = contained(long, || panic!("broken {}", 1)).map(|(): ()| ());
        assert_eq!(panic, Err("panic: broken 1".into()));
    }

    #[test]
    fn only_contained_work_and_sled_itself_may_panic() {
        assert!(!is_contained());
        assert_eq!(caught(is_contained), Ok(true));
        assert!(caught(|| panic!("broken")).map(|(): ()| ()).is_err());
        assert!(!is_contained());
        let sled = thread::Builder::new().name("sled-io-1".into());
        assert!(sled.spawn(is_contained).unwrap().join().unwrap());
        let other = thread::Builder::new().name("apply".into());
        assert!(!other.spawn(is_contained).unwrap().join().unwrap());
    }

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (release, wait) = channel::<()>();
        let result = contained(Duration::from_millis(1), move || wait.recv());
        assert!(result.unwrap_err().starts_with("no end after"));
        drop(release);
    }
}
