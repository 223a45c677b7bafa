//! What those who watch the children of one entry have in common, so that it is found out once.
//!
//! Owns: up to where they were told last, and what the changes before that came to.
//! At all times: a place is known for as long as somebody watches it. What is kept here only spares work.

use super::children::Came;
use crate::model::Zxid;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// All places that somebody watches, by their paths. Not more than there may be subscriptions.
#[derive(Default)]
pub struct Places(Mutex<HashMap<String, Arc<Mutex<Shared>>>>);

/// What one who watches a place was told last, when, and from which zxid on to which.
struct Last {
    at: Instant,
    first: Zxid,
    last: Zxid,
    came: Option<Arc<Came>>,
}

type Shared = Option<Last>;

/// A place for one who watches it.
pub struct Place {
    places: Arc<Places>,
    path: String,
    shared: Arc<Mutex<Shared>>,
}

impl Places {
    pub fn place(self: &Arc<Places>, path: String) -> Place {
        let mut places = self.0.lock();
        let shared = places.entry(path.clone()).or_default().clone();
        Place {
            places: self.clone(),
            path,
            shared,
        }
    }
}

impl Place {
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What another one was told of late of the changes from `first` on, and of how many: through which zxid. `None`
    /// in the place of what it was told if it had to list the children.
    pub fn told(&self, first: Zxid, lately: Duration) -> Option<(Zxid, Option<Arc<Came>>)> {
        let shared = self.shared.lock();
        let told = shared.as_ref()?;
        let is_same = told.first == first && told.at.elapsed() < lately;
        is_same.then(|| (told.last, told.came.clone()))
    }

    /// What is told of the changes from one zxid to another, for those who are told of the same.
    pub fn tell(&self, first: Zxid, last: Zxid, came: Option<Arc<Came>>) {
        let mut shared = self.shared.lock();
        // Who came later has a part of it, which the others do not need.
        if shared.as_ref().is_none_or(|told| told.last < last) {
            let at = Instant::now();
            *shared = Some(Last {
                at,
                first,
                last,
                came,
            });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.0.lock();
        // Nobody gets one while this is locked: the table's own, and this one.
        if Arc::strong_count(&self.shared) == 2 {
            places.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_watches_the_same_place_is_told_what_was_found_out_once() {
        let places = Arc::new(Places::default());
        let (one, other) = (places.place("/a".into()), places.place("/a".into()));
        let lately = Duration::from_millis(50);
        assert!(one.told(Zxid(3), lately).is_none());
        let came = Some(Arc::new(Came::default()));
        one.tell(Zxid(3), Zxid(7), came.clone());
        let (through, told) = other.told(Zxid(3), lately).expect("it is known");
        assert!(
            through == Zxid(7)
                && told.is_some_and(|told| Arc::ptr_eq(&told, came.as_ref().unwrap()))
        );
        assert!(other.told(Zxid(4), lately).is_none(), "that is another's");
        // Who came later has a part of it.
        other.tell(Zxid(5), Zxid(7), came.clone());
        assert!(one.told(Zxid(3), lately).is_some() && one.told(Zxid(5), lately).is_none());
        // That it has to be listed is known as well.
        one.tell(Zxid(8), Zxid(9), None);
        assert_eq!(other.told(Zxid(8), lately), Some((Zxid(9), None)));
        assert!(other.told(Zxid(8), Duration::ZERO).is_none());
        tokio::time::advance(lately).await;
        assert!(other.told(Zxid(8), lately).is_none(), "too long ago");
        assert!(other.told(Zxid(8), 2 * lately).is_some());
    }

    #[test]
    fn a_place_that_nobody_watches_is_forgotten() {
        let places = Arc::new(Places::default());
        let (one, other) = (places.place("/a".into()), places.place("/a".into()));
        let third = places.place("/b".into());
        drop(one);
        assert_eq!(places.0.lock().len(), 2);
        drop((other, third));
        assert!(places.0.lock().is_empty());
    }
}
