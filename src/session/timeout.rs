//! The session timeout that client and ensemble agree on.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#processConnectRequest`,
//! `QuorumPeerConfig` (2 and 20 ticks).

use thiserror::Error;

/// The shortest and the longest timeout that is granted, in milliseconds, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutBounds {
    timeout_ms_min: u32,
    timeout_ms_max: u32,
}

/// Bounds that no timeout, or no client's `int`, fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BoundsError {
    #[error("the shortest session timeout is 1 ms, not 0")]
    Zero,
    #[error(
        "the shortest session timeout, {timeout_ms_min} ms, is above the longest, {timeout_ms_max} ms"
    )]
    Crossed {
        timeout_ms_min: u32,
        timeout_ms_max: u32,
    },
    #[error(
        "a session timeout of {timeout_ms_max} ms is above 2147483647, the largest a client understands"
    )]
    Unspeakable { timeout_ms_max: u32 },
}

impl TimeoutBounds {
    pub fn new(timeout_ms_min: u32, timeout_ms_max: u32) -> Result<TimeoutBounds, BoundsError> {
        if timeout_ms_min == 0 {
            // 0 in the answer tells a client that its session has expired.
            return Err(BoundsError::Zero);
        }
        if timeout_ms_min > timeout_ms_max {
            return Err(BoundsError::Crossed {
                timeout_ms_min,
                timeout_ms_max,
            });
        }
        if i32::try_from(timeout_ms_max).is_err() {
            return Err(BoundsError::Unspeakable { timeout_ms_max });
        }
        Ok(TimeoutBounds {
            timeout_ms_min,
            timeout_ms_max,
        })
    }

    /// ZooKeeper's default: 2 and 20 ticks.
    pub fn of_tick(tick_ms: u32) -> Result<TimeoutBounds, BoundsError> {
        TimeoutBounds::new(tick_ms.saturating_mul(2), tick_ms.saturating_mul(20))
    }

    /// What is granted to a client that asks for `requested_ms`, which may be any number. Never 0.
    pub fn negotiate(self, requested_ms: i32) -> u32 {
        u32::try_from(requested_ms)
            .unwrap_or(0)
            .clamp(self.timeout_ms_min, self.timeout_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As observed on ZooKeeper 3.9.3 with a tick of 2000 ms.
    #[test]
    fn a_wish_is_granted_within_2_and_20_ticks() {
        let bounds = TimeoutBounds::of_tick(2_000).unwrap();
        for (requested_ms, granted_ms) in [
            (1, 4_000),
            (-5, 4_000),
            (0, 4_000),
            (i32::MIN, 4_000),
            (4_000, 4_000),
            (10_000, 10_000),
            (40_000, 40_000),
            (100_000, 40_000),
            (i32::MAX, 40_000),
        ] {
            assert_eq!(bounds.negotiate(requested_ms), granted_ms, "{requested_ms}");
        }
    }

    #[test]
    fn bounds_that_no_timeout_fits_are_refused() {
        assert_eq!(TimeoutBounds::new(0, 5), Err(BoundsError::Zero));
        assert_eq!(TimeoutBounds::of_tick(0), Err(BoundsError::Zero));
        assert_eq!(
            TimeoutBounds::new(6, 5),
            Err(BoundsError::Crossed {
                timeout_ms_min: 6,
                timeout_ms_max: 5
            })
        );
        assert_eq!(
            TimeoutBounds::new(6, 1 << 31),
            Err(BoundsError::Unspeakable {
                timeout_ms_max: 1 << 31
            })
        );
        assert!(TimeoutBounds::of_tick(u32::MAX).is_err());
        assert!(TimeoutBounds::new(5, 5).is_ok());
    }
}
