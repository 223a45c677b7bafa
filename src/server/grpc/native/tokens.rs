//! Bearer tokens: who shows one is the SASL user that the operator's file names for it.
//!
//! At all times: a file that cannot be read, or is not what it should be, leaves in force what was read
//! before; no token is ever logged; how long a look-up takes does not depend on how much of a token is right.

use crate::config::{Token, TokenSettings, read_tokens};
use crate::metrics::TOKEN_RELOADS;
use crate::model::Id;
use crate::runtime::{FileMark, blocking, file_mark};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio_util::sync::CancellationToken;

/// See the module's text.
pub struct Tokens {
    settings: TokenSettings,
    current: RwLock<Arc<[Token]>>,
    /// Of the file when it was last looked at.
    mark: Mutex<FileMark>,
}

impl Tokens {
    pub fn new(settings: TokenSettings) -> Arc<Tokens> {
        Arc::new(Tokens {
            current: RwLock::new(settings.tokens.clone().into()),
            // The first look reads the file once more: it may have changed since the settings were read.
            mark: Mutex::new(None),
            settings,
        })
    }

    /// The identities of whoever shows this token; `None` if nobody has it.
    pub fn identities(&self, token: &[u8]) -> Option<Vec<Id>> {
        let shown: [u8; 32] = Sha256::digest(token).into();
        let tokens = self.current.read().clone();
        let mut place = u32::MAX;
        for (at, known) in (0..).zip(&*tokens) {
            let is_same: Choice = known.hash.ct_eq(&shown);
            place.conditional_assign(&at, is_same);
        }
        let user = &tokens.get(place as usize)?.user;
        let mut ids = vec![Id::new("sasl", user)];
        if self.settings.super_users.contains(user) {
            ids.push(Id::new("super", ""));
        }
        Some(ids)
    }

    /// Watches the file until `stop` is cancelled.
    pub async fn watch_file(self: Arc<Self>, stop: CancellationToken) {
        let Some(interval_ms) = self.settings.reload_interval_ms else {
            return stop.cancelled().await;
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(interval_ms)) => {}
                () = stop.cancelled() => return,
            }
            let tokens = self.clone();
            if let Err(error) = blocking(move || tokens.look()).await {
                tracing::error!(%error, "the file of tokens could not be looked at");
            }
        }
    }

    /// Reads the file if it is not as it was; blocks.
    fn look(&self) {
        // Before reading: what changes meanwhile differs from it the next time.
        let mark = file_mark(&self.settings.path);
        if std::mem::replace(&mut *self.mark.lock(), mark) == mark {
            return;
        }
        let result = match read_tokens(&self.settings.path) {
            Ok(tokens) if tokens[..] == self.current.read()[..] => return,
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "changed tokens are in force");
                *self.current.write() = tokens.into();
                "done"
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "changed tokens are not taken; those read before stay in force"
                );
                "failed"
            }
        };
        metrics::counter!(TOKEN_RELOADS, "result" => result).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn line(user: &str, token: &str) -> String {
        let hash = Sha256::digest(token);
        let hexadecimal: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{user} {hexadecimal}\n")
    }

    fn tokens(path: &Path) -> Arc<Tokens> {
        Tokens::new(TokenSettings {
            path: path.to_owned(),
            tokens: read_tokens(path).expect("a good file"),
            super_users: ["admin".to_owned()].into(),
            reload_interval_ms: None,
        })
    }

    #[test]
    fn a_token_is_the_user_of_its_line_and_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens");
        let lines = line("bob", "one") + &line("admin", "two") + &line("bob", "three");
        fs::write(&path, lines).expect("written");
        let tokens = tokens(&path);
        let bob = || Some(vec![Id::new("sasl", "bob")]);
        assert_eq!(tokens.identities(b"one"), bob());
        assert_eq!(tokens.identities(b"three"), bob());
        let admin = vec![Id::new("sasl", "admin"), Id::new("super", "")];
        assert_eq!(tokens.identities(b"two"), Some(admin));
        for unknown in [&b""[..], b"on", b"one ", b"ONE", &[0xff; 4]] {
            assert_eq!(tokens.identities(unknown), None);
        }
    }

    #[test]
    fn a_changed_file_counts_and_a_damaged_one_does_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens");
        fs::write(&path, line("bob", "one")).expect("written");
        let tokens = tokens(&path);
        tokens.look();
        let known = |token: &[u8]| tokens.identities(token).is_some();
        assert!(known(b"one"));
        fs::write(&path, line("alice", "two") + "# more\n").expect("written");
        tokens.look();
        assert!(known(b"two") && !known(b"one"));
        fs::write(&path, "alice\n").expect("written");
        tokens.look();
        assert!(known(b"two"));
        fs::remove_file(&path).expect("removed");
        tokens.look();
        assert!(known(b"two"));
        fs::write(&path, "# nobody\n").expect("written");
        tokens.look();
        assert!(!known(b"two"));
    }
}
