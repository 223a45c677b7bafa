//! The progress bar: where standard error is a terminal, and silent elsewhere.

use super::live::Live;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const REFRESH: Duration = Duration::from_millis(200);

pub struct Progress {
    bar: ProgressBar,
    refresher: JoinHandle<()>,
}

impl Progress {
    pub fn show(what: impl ToString, seconds: u64, live: Arc<Live>) -> Progress {
        let style = ProgressStyle::with_template("{prefix:15} [{bar:30}] {pos:>3}/{len} s  {msg}")
            .expect("the template is a constant that indicatif reads");
        let bar = ProgressBar::new(seconds).with_style(style);
        bar.set_prefix(what.to_string());
        let shown = bar.clone();
        let refresher = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REFRESH);
            let mut before = 0;
            loop {
                ticks.tick().await;
                let now = live.acknowledged();
                let per_second = (now - before) as f64 / REFRESH.as_secs_f64();
                before = now;
                shown.set_position(live.elapsed().as_secs());
                shown.set_message(format!("{now} done, {per_second:.0}/s"));
            }
        });
        Progress { bar, refresher }
    }

    pub fn finish(self) {
        self.refresher.abort();
        self.bar.finish_and_clear();
    }
}
