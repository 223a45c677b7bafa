//! The kinds of watches, and which of them a client names when it checks or removes.

use crate::model::{AddWatchMode, WatcherType};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchKind {
    /// One-shot. Also set by `exists` on a path that has no znode yet.
    Data,
    /// One-shot.
    Child,
    Persistent,
    PersistentRecursive,
}

impl WatchKind {
    pub const ALL: [WatchKind; 4] = [
        WatchKind::Data,
        WatchKind::Child,
        WatchKind::Persistent,
        WatchKind::PersistentRecursive,
    ];

    /// The kinds that `checkWatches` or `removeWatches` means (ZooKeeper 3.9 `DataTree#removeWatch`):
    /// each one alone, and *any* all of them, also the persistent ones.
    pub(super) fn named_by(wanted: WatcherType) -> &'static [WatchKind] {
        match wanted {
            WatcherType::Data => &[WatchKind::Data],
            WatcherType::Children => &[WatchKind::Child],
            WatcherType::Persistent => &[WatchKind::Persistent],
            WatcherType::PersistentRecursive => &[WatchKind::PersistentRecursive],
            WatcherType::Any => &WatchKind::ALL,
        }
    }

    /// Whether ZooKeeper's words list it: `DataTree#dumpWatches` shows the data watches, among which the
    /// persistent are too.
    pub(super) fn is_listed(self) -> bool {
        self != WatchKind::Child
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl From<AddWatchMode> for WatchKind {
    fn from(mode: AddWatchMode) -> WatchKind {
        match mode {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::PersistentRecursive,
        }
    }
}

/// A set of kinds, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) fn contains(self, kind: WatchKind) -> bool {
        self.0 & Kinds::bit(kind) != 0
    }

    pub(super) fn insert(&mut self, kind: WatchKind) {
        self.0 |= Kinds::bit(kind);
    }

    pub(super) fn remove(&mut self, kind: WatchKind) {
        self.0 &= !Kinds::bit(kind);
    }

    pub(super) fn are_listed(self) -> bool {
        self.iter().any(WatchKind::is_listed)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = WatchKind> {
        WatchKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    fn bit(kind: WatchKind) -> u8 {
        1 << kind.index()
    }
}
