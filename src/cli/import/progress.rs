//! How far a long part of the work is: a line where standard error is a terminal, and silent elsewhere.

use indicatif::ProgressBar;
use std::time::Duration;

const REFRESH: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct Progress {
    line: ProgressBar,
    what: &'static str,
}

impl Progress {
    pub fn begin(what: &'static str) -> Progress {
        let line = ProgressBar::new_spinner();
        line.enable_steady_tick(REFRESH);
        Progress { line, what }
    }

    pub fn tell(&self, how_far: String) {
        self.line.set_message(format!("{}: {how_far}", self.what));
    }

    pub fn finish(&self) {
        self.line.finish_and_clear();
    }
}
