//! Four-letter words: what an operator types into a bare connection, and monitoring scripts read.
//!
//! What they tell is gathered in `operator`; here is how ZooKeeper lays it out, to the blank.
//! Rules from: ZooKeeper 3.9 `server.command.*`, `NIOServerCnxn#checkFourLetterWord`. What differs, and
//! why, is in `docs/protocol.md`.

mod server;
mod sessions;
mod watches;

use super::super::operator::{environment, monitor};
use super::Door;
use crate::wire::{LENGTH_BYTES, Word};
use std::fmt::Write;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// Behind the letters of `stmk`: the mask.
const MASK_BYTES: usize = 8;

/// Whether nothing more has to come before the word is answered.
pub fn is_whole(door: &Door, word: Word, received: &[u8]) -> bool {
    word != Word::Stmk || !allowed(door, word) || mask(received).is_some()
}

fn mask(received: &[u8]) -> Option<i64> {
    let bytes = received.get(LENGTH_BYTES..LENGTH_BYTES + MASK_BYTES)?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

fn allowed(door: &Door, word: Word) -> bool {
    door.options.words.allow(word.as_str())
}

/// The text that answers a word, with which `received` begins; the connection is closed after it.
pub async fn answer(door: &Door, word: Word, received: &[u8]) -> String {
    if !allowed(door, word) {
        return format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.as_str()
        );
    }
    let operator = &door.operator;
    let status = door.handle.status();
    match (word, status.mode.serves()) {
        (Word::Ruok, _) => "imok".to_owned(),
        (Word::Isro, true) if !status.mode.has_quorum() => "ro".to_owned(),
        (Word::Isro, true) => "rw".to_owned(),
        (Word::Isro, false) => "null".to_owned(),
        (Word::Envi, _) => environment_text(),
        (Word::Gtmk, _) => operator.trace_mask().to_string(),
        (Word::Stmk, _) => {
            let mask = mask(received).unwrap_or_default();
            operator.set_trace_mask(mask);
            mask.to_string()
        }
        (Word::Hash, false) => NOT_SERVING.to_owned(),
        (_, false) => format!("{NOT_SERVING}\n"),
        (Word::Conf, true) => {
            let sizes = operator.directory_sizes().await;
            operator.configuration.text(sizes, &status)
        }
        (Word::Cons, true) => server::connections(operator, false) + "\n",
        (Word::Crst, true) => {
            operator.connections.reset_statistics();
            "Connection stats reset.\n".to_owned()
        }
        (Word::Dirs, true) => {
            let sizes = operator.directory_sizes().await;
            format!(
                "datadir_size: {}\nlogdir_size: {}\n",
                sizes.data_bytes, sizes.log_bytes
            )
        }
        (Word::Dump, true) => sessions::dump(door),
        (Word::Hash, true) => digests(door),
        (Word::Mntr, true) => {
            let mut text = String::new();
            for (key, value) in monitor(operator, &status) {
                // A text without its quotes, a number as JSON writes it.
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let _ = writeln!(text, "zk_{key}\t{value}");
            }
            text
        }
        (Word::Srst, true) => {
            operator.reset_statistics();
            "Server stats reset.\n".to_owned()
        }
        (Word::Srvr, true) => server::srvr(operator, &status),
        (Word::Stat, true) => server::stat(operator, &status),
        (Word::Wchc, true) => watches::by_session(&door.handle.watching()),
        (Word::Wchp, true) => watches::by_path(&door.handle.watching()),
        (Word::Wchs, true) => watches::summary(door.handle.watch_summary()),
    }
}

fn environment_text() -> String {
    let mut text = "Environment:\n".to_owned();
    for (key, value) in environment() {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// The digests at which the members compared their states.
fn digests(door: &Door) -> String {
    let mut text = String::new();
    for (zxid, digest) in door.handle.digests() {
        let _ = writeln!(text, "{:x}: {digest}", zxid.0);
    }
    text
}
