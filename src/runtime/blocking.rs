//! Work that blocks its thread: files, and encoding a whole state.

use tokio::task::JoinHandle;

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static INLINE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// From now on blocking work of this thread's runtimes is done by the thread itself, at once. For
/// simulations: another thread would finish whenever it likes, and a paused clock waits for it.
#[cfg(any(test, feature = "testing"))]
pub fn block_inline() {
    INLINE.set(true);
}

/// Does `work` where it may block. It must not wait for anything that a task of the runtime does.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(any(test, feature = "testing"))]
    if INLINE.get() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn blocking_work_leaves_the_thread_unless_it_was_told_to_stay() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let id = || runtime.block_on(async { blocking(|| thread::current().id()).await.unwrap() });
        assert_ne!(id(), thread::current().id());
        // This thread is the test's own and ends with it.
        block_inline();
        assert_eq!(id(), thread::current().id());
    }
}
