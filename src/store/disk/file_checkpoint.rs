//! A checkpoint in one plain file: the whole state at every save, through the [`Disk`] trait.
//!
//! For simulated disks and small states. The file is a snapshot file, so there is one format less.

use super::checkpoint::CheckpointStore;
use super::{Disk, snapshot};
use crate::model::SessionId;
use crate::store::{CheckpointDelta, SessionRecord, State, StateImage, StorageFault};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checkpoints kept; the older one is what is left if the newer is damaged.
const FILES_KEPT: usize = 2;

pub struct FileCheckpoint {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// A delta has the whole tree, and of the sessions only what changed.
    sessions: BTreeMap<SessionId, SessionRecord>,
    /// A delta was lost: later ones do not continue what is here.
    lost_delta: bool,
}

impl FileCheckpoint {
    /// Checkpoints in `dir`, which nobody else writes to.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<FileCheckpoint, StorageFault> {
        disk.create_dir_all(dir)
            .map_err(|error| StorageFault::io("create directory", dir, error))?;
        Ok(FileCheckpoint {
            disk,
            dir: dir.to_owned(),
            sessions: BTreeMap::new(),
            lost_delta: false,
        })
    }

    fn write(&self, image: &StateImage) -> Result<(), StorageFault> {
        snapshot::write(&*self.disk, &self.dir, image)?;
        snapshot::retain(&*self.disk, &self.dir, FILES_KEPT)
    }
}

impl CheckpointStore for FileCheckpoint {
    fn load(&mut self) -> Result<Option<State>, StorageFault> {
        self.lost_delta = false;
        let Some((_, state)) = snapshot::load_newest(&*self.disk, &self.dir)? else {
            self.sessions.clear();
            return Ok(None);
        };
        self.sessions = by_id(&state.freeze().sessions);
        Ok(Some(state))
    }

    fn save_in_parts(
        &mut self,
        delta: &CheckpointDelta,
        _: &mut dyn FnMut(),
    ) -> Result<(), StorageFault> {
        if self.lost_delta {
            return Err(StorageFault::Refused(
                "an earlier delta could not be saved: the whole state has to be saved again".into(),
            ));
        }
        // Until this one is durable it counts as lost.
        self.lost_delta = true;
        let mut sessions = self.sessions.clone();
        for (id, session) in &delta.sessions {
            match session {
                Some(session) => sessions.insert(*id, session.clone()),
                None => sessions.remove(id),
            };
        }
        self.write(&StateImage {
            header: delta.header.clone(),
            tree: delta.tree.clone(),
            sessions: sessions.values().cloned().collect(),
        })?;
        self.sessions = sessions;
        self.lost_delta = false;
        Ok(())
    }

    fn replace(&mut self, image: &StateImage) -> Result<(), StorageFault> {
        self.write(image)?;
        self.sessions = by_id(&image.sessions);
        self.lost_delta = false;
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        let newest = snapshot::newest(&*self.disk, &self.dir);
        newest.map_or(0, |newest| newest.map_or(0, |file| file.bytes))
    }
}

fn by_id(sessions: &[SessionRecord]) -> BTreeMap<SessionId, SessionRecord> {
    sessions
        .iter()
        .map(|session| (session.id, session.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::super::test_states::Scripted;
    use super::*;

    #[test]
    fn deltas_add_up_to_the_state_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let mut scripted = Scripted::new(1);
        for round in 0..4 {
            let mut store = FileCheckpoint::open(Arc::new(RealDisk), dir.path()).unwrap();
            let loaded = store.load().unwrap();
            assert_eq!(loaded.is_some(), round > 0);
            if let Some(state) = loaded {
                scripted.assert_same(&state);
            }
            for _ in 0..3 {
                scripted.run(20);
                store.save(&scripted.state.take_delta()).unwrap();
            }
        }
        let files = snapshot::list(&RealDisk, dir.path()).unwrap();
        assert_eq!(files.len(), FILES_KEPT);
    }

    #[test]
    fn a_replaced_state_is_the_base_of_later_deltas() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileCheckpoint::open(Arc::new(RealDisk), dir.path()).unwrap();
        let mut scripted = Scripted::new(2);
        scripted.run(50);
        scripted.state.take_delta();
        store.replace(&scripted.state.freeze()).unwrap();
        scripted.run(50);
        store.save(&scripted.state.take_delta()).unwrap();
        scripted.assert_same(&store.load().unwrap().unwrap());
    }

    #[test]
    fn a_delta_that_continues_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileCheckpoint::open(Arc::new(RealDisk), dir.path()).unwrap();
        let mut scripted = Scripted::new(3);
        scripted.run(50);
        scripted.state.take_delta();
        scripted.run(5);
        let delta = scripted.state.take_delta();
        assert!(delta.sessions.len() < delta.header.sessions as usize);
        assert!(matches!(store.save(&delta), Err(StorageFault::Refused(_))));
        assert!(store.load().unwrap().is_none());
    }

    #[test]
    fn after_a_lost_delta_only_a_whole_state_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileCheckpoint::open(Arc::new(RealDisk), dir.path()).unwrap();
        let mut scripted = Scripted::new(4);
        scripted.run(20);
        store.save(&scripted.state.take_delta()).unwrap();
        scripted.run(20);
        let mut unsound = scripted.state.take_delta();
        unsound.header.sessions += 1;
        store.save(&unsound).unwrap_err();
        scripted.run(20);
        store.save(&scripted.state.take_delta()).unwrap_err();
        store.replace(&scripted.state.freeze()).unwrap();
        scripted.run(20);
        store.save(&scripted.state.take_delta()).unwrap();
        scripted.assert_same(&store.load().unwrap().unwrap());
    }
}
