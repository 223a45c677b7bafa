//! New keys and certificates without a restart: the files are looked at now and then, and read again
//! when they are no longer the same.
//!
//! At all times: files that cannot be read, or do not go together, leave in force what was read
//! before, and are told once. A file that is being written when it is read is one of these; it changes
//! once more when it is whole.

use super::acceptor::Acceptor;
use super::options::{Options, Password, StoreFile};
use super::server;
use crate::metrics::TLS_RELOADS;
use crate::runtime::{FileMark, blocking, file_mark};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Acceptor {
    /// Watches the files until `stop` is cancelled.
    pub async fn watch_files(self: Arc<Self>, stop: CancellationToken) {
        let Some(interval) = self.options.reload_interval else {
            return stop.cancelled().await;
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = stop.cancelled() => return,
            }
            let acceptor = self.clone();
            if let Err(error) = blocking(move || acceptor.look()).await {
                tracing::error!(%error, "the key stores could not be looked at");
            }
        }
    }

    /// Reads the files if they are not as they were; blocks.
    fn look(&self) {
        // Before reading: what changes meanwhile differs from them the next time.
        let marks = marks(&self.options);
        if std::mem::replace(&mut *self.marks.lock(), marks.clone()) == marks {
            return;
        }
        let result = match server::config(&self.options, self.clock.clone()) {
            Ok(config) => {
                *self.current.write() = Arc::new(config);
                tracing::info!("changed key and trust stores are in force for new connections");
                "done"
            }
            Err(error) => {
                let error: &dyn Error = &error;
                tracing::error!(
                    error,
                    "changed key or trust stores are not taken; those read before stay in force"
                );
                "failed"
            }
        };
        metrics::counter!(TLS_RELOADS, "result" => result).increment(1);
    }
}

/// Of all files that the options name.
pub(super) fn marks(options: &Options) -> Vec<FileMark> {
    let stores = std::iter::once(&options.key_store).chain(&options.trust_store);
    stores.flat_map(files_of).map(file_mark).collect()
}

fn files_of(store: &StoreFile) -> impl Iterator<Item = &Path> {
    let password = match &store.password {
        Password::Given(_) => None,
        Password::InFile(path) => Some(path.as_path()),
    };
    std::iter::once(store.path.as_path()).chain(password)
}
