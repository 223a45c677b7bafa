//! What watchers are told, and how a client names a watch.

/// What a watcher is told (ZooKeeper 3.9 `Watcher.Event.EventType`, those that a server sends).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
}

impl EventKind {
    /// The number in a notification.
    pub fn code(self) -> i32 {
        match self {
            EventKind::Created => 1,
            EventKind::Deleted => 2,
            EventKind::DataChanged => 3,
            EventKind::ChildrenChanged => 4,
        }
    }

    /// `None` for the numbers that only a client gives to its own user (−1, 5, 6, 7).
    pub fn from_code(code: i32) -> Option<EventKind> {
        Some(match code {
            1 => EventKind::Created,
            2 => EventKind::Deleted,
            3 => EventKind::DataChanged,
            4 => EventKind::ChildrenChanged,
            _ => return None,
        })
    }
}

/// The mode of `addWatch` (ZooKeeper 3.9 `AddWatchMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddWatchMode {
    Persistent,
    PersistentRecursive,
}

impl AddWatchMode {
    pub fn code(self) -> i32 {
        match self {
            AddWatchMode::Persistent => 0,
            AddWatchMode::PersistentRecursive => 1,
        }
    }

    pub fn from_code(code: i32) -> Option<AddWatchMode> {
        Some(match code {
            0 => AddWatchMode::Persistent,
            1 => AddWatchMode::PersistentRecursive,
            _ => return None,
        })
    }
}

/// Which watches `checkWatches` and `removeWatches` mean (ZooKeeper 3.9 `Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatcherType {
    Children,
    Data,
    Any,
    Persistent,
    PersistentRecursive,
}

impl WatcherType {
    pub fn code(self) -> i32 {
        match self {
            WatcherType::Children => 1,
            WatcherType::Data => 2,
            WatcherType::Any => 3,
            WatcherType::Persistent => 4,
            WatcherType::PersistentRecursive => 5,
        }
    }

    pub fn from_code(code: i32) -> Option<WatcherType> {
        Some(match code {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_names_what_it_came_from_and_nothing_else() {
        let numbers = -2..10;
        for code in numbers.clone() {
            assert!(EventKind::from_code(code).is_none_or(|kind| kind.code() == code));
            assert!(AddWatchMode::from_code(code).is_none_or(|mode| mode.code() == code));
            assert!(WatcherType::from_code(code).is_none_or(|kind| kind.code() == code));
        }
        assert_eq!(numbers.clone().filter_map(EventKind::from_code).count(), 4);
        assert_eq!(
            numbers.clone().filter_map(AddWatchMode::from_code).count(),
            2
        );
        assert_eq!(numbers.filter_map(WatcherType::from_code).count(), 5);
    }
}
