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
