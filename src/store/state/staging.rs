//! A restore under way: the tree of a snapshot, put together row by row beside the one that is served.
//!
//! ```text
//!  BeginRestore ──▶ RestoreRows ──▶ RestoreRows ──▶ … ──▶ FinishRestore: the trees change places
//!                        │ AbortRestore, a row that is none, the asking member starts anew or is gone
//!                        ▼
//!                     nothing has happened
//! ```
//! At all times
//! 1. There is one at most. It belongs to one run of one member, whose batches bring the rows in order,
//!    whoever leads meanwhile.
//! 2. It is made by the log alone, and is in no checkpoint and no snapshot: none is written while it
//!    is under way, so the log from its first entry on is still there, and a member that starts anew
//!    puts it together again.
//! 3. Rows cost memory as they come; what is announced costs none.
//!
//! Decision: `docs/adr/2026-11-28-restore.md`.

use super::{DATA_BYTES_MAX, State};
use crate::model::{
    Answer, MemberId, Outcome, RestoreAnnounced, RestoreRefusal, Zxid, validate_path,
};
use crate::session::SessionIds;
use crate::store::ZnodeRecord;
use crate::store::codec::{decode_znode, split_record};
use crate::store::tree::{TreeBuilder, ZNODES_MAX};
use bytes::Bytes;

/// Bytes of rows that a restore brings at most, in all.
pub const RESTORE_BYTES_MAX: u64 = 64 << 30;

/// No ensemble has come so far, by thousands of years: what claims to be further on would leave this one
/// without numbers.
const ZXID_MAX: Zxid = Zxid(1 << 62);
const NEXT_SESSION_MAX: i64 = 1 << 61;

pub(super) struct Staged {
    id: u64,
    origin: MemberId,
    announced: RestoreAnnounced,
    tree: TreeBuilder,
    bytes: u64,
    bytes_max: u64,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreUnderWay {
    pub id: u64,
    /// Of the rows that have come.
    pub bytes: u64,
}

impl Staged {
    fn new(id: u64, origin: MemberId, announced: RestoreAnnounced) -> Staged {
        Staged {
            id,
            origin,
            announced,
            tree: TreeBuilder::new(),
            bytes: 0,
            bytes_max: RESTORE_BYTES_MAX,
        }
    }

    pub(super) fn is_of(&self, origin: MemberId) -> bool {
        self.origin == origin
    }

    fn add(&mut self, mut rows: Bytes) -> Result<(), RestoreRefusal> {
        self.bytes += rows.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(RestoreRefusal::TooLarge);
        }
        while let Some(row) = split_record(&mut rows).map_err(|_| RestoreRefusal::Mismatch)? {
            let row = decode_znode(&row).map_err(|_| RestoreRefusal::Mismatch)?;
            if !self.is_expected(&row) {
                return Err(RestoreRefusal::Mismatch);
            }
            self.tree.add(row).map_err(|_| RestoreRefusal::Mismatch)?;
        }
        Ok(())
    }

    /// No more than were announced, and nothing that a write of this ensemble could not have made.
    fn is_expected(&self, row: &ZnodeRecord) -> bool {
        let zxids = Zxid::ZERO..=self.announced.zxid;
        (self.tree.znodes() as u64) < self.announced.znodes
            && [row.czxid, row.mzxid, row.pzxid]
                .iter()
                .all(|zxid| zxids.contains(zxid))
            && row
                .data
                .as_ref()
                .is_none_or(|data| data.len() <= DATA_BYTES_MAX)
            && validate_path(&format!("/{}", row.name)).is_ok()
    }
}

impl State {
    /// The restore under way, if there is one: no checkpoint and no snapshot may be made of the state.
    pub fn restore_under_way(&self) -> Option<RestoreUnderWay> {
        let staged = self.staged.as_ref()?;
        Some(RestoreUnderWay {
            id: staged.id,
            bytes: staged.bytes,
        })
    }

    pub(super) fn begin_restore(
        &mut self,
        id: u64,
        origin: MemberId,
        announced: RestoreAnnounced,
    ) -> Answer {
        let is_sound = (Zxid::ZERO..=ZXID_MAX).contains(&announced.zxid)
            && (1..=NEXT_SESSION_MAX).contains(&announced.next_session);
        let refused = if self.staged.is_some() {
            RestoreRefusal::InProgress
        } else if !is_sound {
            RestoreRefusal::Mismatch
        } else if announced.znodes > ZNODES_MAX as u64 {
            RestoreRefusal::TooLarge
        } else {
            self.staged = Some(Box::new(Staged::new(id, origin, announced)));
            return Ok(Outcome::RestoreBegun { restore: id });
        };
        Ok(Outcome::NotRestored(refused))
    }

    pub(super) fn stage_rows(&mut self, id: u64, rows: &Bytes) -> Answer {
        let Some(staged) = self.staged.as_mut().filter(|staged| staged.id == id) else {
            return Ok(Outcome::NotRestored(RestoreRefusal::NotInProgress));
        };
        match staged.add(rows.clone()) {
            Ok(()) => Ok(Outcome::RowsStaged),
            Err(refused) => {
                self.staged = None;
                Ok(Outcome::NotRestored(refused))
            }
        }
    }

    pub(super) fn abort_restore(&mut self, id: u64) -> Answer {
        match self.staged.take_if(|staged| staged.id == id) {
            Some(_) => Ok(Outcome::RestoreAborted),
            None => Ok(Outcome::NotRestored(RestoreRefusal::NotInProgress)),
        }
    }

    /// A member's earlier run, or the member itself, is gone: nobody brings the rest.
    pub(super) fn abandon_restore_of(&mut self, origin: MemberId) {
        self.staged.take_if(|staged| staged.is_of(origin));
    }

    /// Puts the snapshot's tree in the place of this one, in one step with the end of every session: a
    /// session that went on would own other ephemerals than its client knows of, and its watches could
    /// not tell what has changed. Zxids and session ids go on above both lines.
    pub(super) fn finish_restore(&mut self, id: u64) -> Answer {
        let Some(staged) = self.staged.take_if(|staged| staged.id == id) else {
            return Ok(Outcome::NotRestored(RestoreRefusal::NotInProgress));
        };
        let Staged {
            announced, tree, ..
        } = *staged;
        let is_whole = tree.znodes() as u64 == announced.znodes;
        let tree = tree
            .finish()
            .ok()
            .filter(|tree| is_whole && tree.digest() == announced.digest);
        let (Some(mut tree), Some(ids)) = (tree, SessionIds::resume(announced.next_session)) else {
            return Ok(Outcome::NotRestored(RestoreRefusal::Mismatch));
        };
        self.zxid = self.zxid.max(announced.zxid).next();
        tree.take_over(&self.tree, self.zxid);
        self.tree = tree;
        self.sessions.clear();
        if ids.next() > self.session_ids.next() {
            self.session_ids = ids;
        }
        Ok(Outcome::Restored { zxid: self.zxid })
    }
}

#[cfg(test)]
impl State {
    pub(super) fn limit_restore(&mut self, bytes_max: u64) {
        self.staged
            .as_mut()
            .expect("a restore is under way")
            .bytes_max = bytes_max;
    }
}
