//! How long a leader that is heard of may be silent: a few times as long as it usually is.
//!
//! Time is counted in steps that this member was awake for, so who stood still itself takes nobody for silent.
//! Decision: `docs/adr/2026-11-30-silent-leaders.md`.

use super::options::Timing;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A leader is suspected when it is silent for so many times the longest silence that was usual.
const TIMES_USUAL: u32 = 3;

/// Steps in a heartbeat.
const STEPS_PER_HEARTBEAT: u32 = 2;

/// As usual counts what a leader does that skips a heartbeat because an append was answered since.
const HEARTBEATS_USUAL: u32 = 2;

/// What was usual for so many steps before the last so many is forgotten: a minute, with heartbeats of 100 ms.
const STEPS_REMEMBERED: u32 = 1200;

/// How many appends, heartbeats among them, have come to this member.
#[derive(Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// One came.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one member knows of how its leader is heard.
pub struct Silence {
    step: Duration,
    /// Steps between which the limit stays, whatever was measured.
    bounds: RangeInclusive<u32>,
    /// Beats of the pulse, as it was looked at last.
    beats: u64,
    /// Steps since the last beat.
    silent: u32,
    /// It was told of this silence.
    told: bool,
    /// The longest silences that ended well: in the steps that are counted now, and as many before.
    longest: [u32; 2],
    counted: u32,
}

impl Silence {
    /// Of a leader that is followed from now on.
    pub fn new(timing: &Timing, pulse: &Pulse) -> Silence {
        let step = Silence::step(timing);
        let steps = |ms: u64| (Duration::from_millis(ms).as_nanos() / step.as_nanos()) as u32;
        Silence {
            step,
            bounds: steps(timing.election_ms_min / 2)..=steps(timing.election_ms_max),
            beats: pulse.beats(),
            silent: 0,
            told: false,
            longest: [HEARTBEATS_USUAL * STEPS_PER_HEARTBEAT, 0],
            counted: 0,
        }
    }

    /// How often to look.
    pub fn step(timing: &Timing) -> Duration {
        Duration::from_millis(timing.heartbeat_ms) / STEPS_PER_HEARTBEAT
    }

    /// How long the leader may be silent.
    pub fn limit(&self) -> Duration {
        self.step * self.limit_steps()
    }

    fn limit_steps(&self) -> u32 {
        let usual = self.longest[0]
            .max(self.longest[1])
            .max(HEARTBEATS_USUAL * STEPS_PER_HEARTBEAT);
        (TIMES_USUAL * usual).clamp(*self.bounds.start(), *self.bounds.end())
    }

    /// What the pulse was when this silence began.
    pub fn beats(&self) -> u64 {
        self.beats
    }

    /// A step went by. Whether the leader has now been silent for too long; told once.
    pub fn is_suspicious(&mut self, pulse: &Pulse) -> bool {
        self.counted += 1;
        if self.counted == STEPS_REMEMBERED {
            self.longest = [0, self.longest[0]];
            self.counted = 0;
        }
        let beats = pulse.beats();
        if beats != self.beats {
            self.beats = beats;
            self.ended_well();
            return false;
        }
        self.silent = self.silent.saturating_add(1);
        let suspicious = !self.told && self.silent >= self.limit_steps();
        self.told |= suspicious;
        suspicious
    }

    /// The leader is there: such a silence is usual.
    pub fn ended_well(&mut self) {
        self.longest[0] = self.longest[0].max(self.silent);
        self.silent = 0;
        self.told = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds of 10 and 40 steps.
    fn silence(pulse: &Pulse) -> Silence {
        let silence = Silence::new(&Timing::default(), pulse);
        assert_eq!(silence.bounds, 10..=40);
        silence
    }

    /// A beat, and after it so many steps until the next.
    fn gap(silence: &mut Silence, pulse: &Pulse, steps: u32) {
        for _ in 0..steps {
            assert!(!silence.is_suspicious(pulse));
        }
        pulse.beat();
        assert!(!silence.is_suspicious(pulse));
    }

    /// The step that is suspicious.
    fn suspicious_after(silence: &mut Silence, pulse: &Pulse) -> Option<u32> {
        (1..=100).find(|_| silence.is_suspicious(pulse))
    }

    #[test]
    fn a_silence_is_suspicious_once_after_a_few_times_what_is_usual() {
        let pulse = Pulse::default();
        let mut silence = silence(&pulse);
        assert_eq!(suspicious_after(&mut silence, &pulse), Some(12));
        assert_eq!(suspicious_after(&mut silence, &pulse), None);
        gap(&mut silence, &pulse, 0);
        // 112 steps of silence have ended well.
        assert_eq!(silence.limit(), Duration::from_secs(2));
        assert_eq!(suspicious_after(&mut silence, &pulse), Some(40));
    }

    #[test]
    fn what_is_usual_is_learned_and_forgotten() {
        let pulse = Pulse::default();
        let mut silence = silence(&pulse);
        gap(&mut silence, &pulse, 7);
        assert_eq!(silence.limit(), 3 * 7 * Duration::from_millis(50));
        for _ in 0..STEPS_REMEMBERED - 20 {
            gap(&mut silence, &pulse, 0);
        }
        assert_eq!(silence.limit_steps(), 21);
        for _ in 0..STEPS_REMEMBERED {
            gap(&mut silence, &pulse, 0);
        }
        assert_eq!(silence.limit_steps(), 21);
        for _ in 0..STEPS_REMEMBERED {
            gap(&mut silence, &pulse, 0);
        }
        assert_eq!(silence.limit_steps(), 12);
    }

    #[test]
    fn who_was_suspected_and_is_there_is_given_more_time() {
        let pulse = Pulse::default();
        let mut silence = silence(&pulse);
        assert_eq!(suspicious_after(&mut silence, &pulse), Some(12));
        silence.ended_well();
        assert_eq!(suspicious_after(&mut silence, &pulse), Some(36));
        silence.ended_well();
        assert_eq!(suspicious_after(&mut silence, &pulse), Some(40));
    }

    #[test]
    fn no_measurement_leads_out_of_the_bounds() {
        let timing = Timing {
            heartbeat_ms: 20,
            ..Timing::default()
        };
        let pulse = Pulse::default();
        let silence = Silence::new(&timing, &pulse);
        assert_eq!(silence.limit(), Duration::from_millis(500));
        // The shortest election time-out that settings allow.
        let timing = Timing {
            heartbeat_ms: 60_000,
            election_ms_min: 180_000,
            election_ms_max: 600_000,
            ..Timing::default()
        };
        let silence = Silence::new(&timing, &pulse);
        assert_eq!(silence.limit(), Duration::from_secs(360));
        let timing = Timing {
            election_ms_max: 180_001,
            ..timing
        };
        let silence = Silence::new(&timing, &pulse);
        assert_eq!(silence.limit(), Duration::from_secs(180));
    }
}
