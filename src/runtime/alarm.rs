//! Waits of less than a millisecond, which are beneath the runtime's own timers.

use async_trait::async_trait;
use tokio::time::Instant;

/// One timer, which is set again and again.
#[async_trait]
pub trait Alarm: Send {
    /// Returns at `at`, or soon after. Cancel safe.
    async fn wait_until(&mut self, at: Instant);
}

/// The runtime's timer, in steps of a millisecond. A simulation pauses and advances it.
pub struct CoarseAlarm;

#[async_trait]
impl Alarm for CoarseAlarm {
    async fn wait_until(&mut self, at: Instant) {
        tokio::time::sleep_until(at).await;
    }
}

/// The kernel's finest timer; the runtime's where there is none.
pub fn fine_alarm() -> Box<dyn Alarm> {
    #[cfg(target_os = "linux")]
    match timer_file::TimerFile::new() {
        Ok(alarm) => return Box::new(alarm),
        Err(error) => {
            tracing::warn!(%error, "no timer of the kernel's: short waits are rounded up to milliseconds");
        }
    }
    Box::new(CoarseAlarm)
}

#[cfg(target_os = "linux")]
mod timer_file {
    use super::Alarm;
    use async_trait::async_trait;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;
    use tokio::io::unix::AsyncFd;
    use tokio::time::{Instant, sleep_until};

    /// A file that becomes readable in time (`timerfd_create(2)`).
    pub struct TimerFile(AsyncFd<OwnedFd>);

    impl TimerFile {
        pub fn new() -> io::Result<TimerFile> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // SAFETY: an `OwnedFd` is one open file until it is dropped, and nobody takes it out.
            Ok(TimerFile(unsafe { AsyncFd::register(file) }?))
        }

        fn set(&self, after: Duration) -> io::Result<()> {
            let never = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let once = Itimerspec {
                it_interval: never,
                // Zero would mean never.
                it_value: Timespec::try_from(after.max(Duration::from_nanos(1)))
                    .map_err(io::Error::other)?,
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            Ok(())
        }

        /// Returns once the file is readable. What is left of a time set before is taken for it, too.
        async fn readable(&self) -> io::Result<()> {
            self.0.readable().await?.clear_ready();
            Ok(())
        }
    }

    #[async_trait]
    impl Alarm for TimerFile {
        async fn wait_until(&mut self, at: Instant) {
            loop {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                if self.set(left).is_err() || self.readable().await.is_err() {
                    return sleep_until(at).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    #[tokio::test]
    async fn an_alarm_never_returns_early_also_after_one_that_nobody_waited_for() {
        let mut alarm = fine_alarm();
        for micros in [1, 50, 700, 3_000] {
            let long = Instant::now() + Duration::from_secs(3600);
            assert!(alarm.wait_until(long).now_or_never().is_none());
            let short = Instant::now() + Duration::from_micros(100);
            let _ = alarm.wait_until(short).now_or_never();
            let at = Instant::now() + Duration::from_micros(micros);
            alarm.wait_until(at).await;
            assert!(Instant::now() >= at);
        }
        alarm.wait_until(Instant::now()).await;
    }
}
