//! What a subscriber asks for.

use super::groups::Prefixes;
use super::subscription::NotSubscribed;
use crate::model::{Change, is_within, validate_path};

/// Prefixes of one subscription at most.
pub const PREFIXES_MAX: usize = 64;

/// What lies below is the member's own business, and no change of it is in the change log.
pub const NATIVE_ROOT: &str = "/vivarium";

/// Whether a path is left out of the change log.
pub(super) fn is_hidden(path: &str) -> bool {
    path.len() > NATIVE_ROOT.len() && is_within(path, NATIVE_ROOT)
}

/// What of a write's changes is in the change log; `None` if it is all of them.
pub(super) fn shown(changes: &[Change]) -> Option<Vec<Change>> {
    let is_hidden = |change: &Change| is_hidden(&change.path);
    let shown = |change: &&Change| !is_hidden(change);
    changes
        .iter()
        .any(is_hidden)
        .then(|| changes.iter().filter(shown).cloned().collect())
}

/// Sorted, and without those that lie within another.
pub(super) fn normalized(asked: &[String]) -> Result<Prefixes, NotSubscribed> {
    if asked.is_empty() || asked.len() > PREFIXES_MAX {
        return Err(NotSubscribed::Prefixes {
            limit: PREFIXES_MAX,
        });
    }
    for prefix in asked {
        validate_path(prefix)?;
    }
    let mut kept: Vec<Box<str>> = asked
        .iter()
        .filter(|one| {
            let covers = |other: &&String| *other != *one && is_within(one, other);
            !asked.iter().any(|other| covers(&other))
        })
        .map(|one| one.as_str().into())
        .collect();
    kept.sort_unstable();
    kept.dedup();
    Ok(kept.into())
}

pub(super) fn is_wanted(prefixes: &[Box<str>], path: &str) -> bool {
    prefixes.iter().any(|prefix| is_within(path, prefix))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::transaction;
    use super::*;

    fn owned(prefixes: &[&str]) -> Vec<String> {
        prefixes.iter().map(|prefix| prefix.to_string()).collect()
    }

    #[test]
    fn prefixes_are_sorted_and_none_lies_within_another() {
        let found = normalized(&owned(&["/b", "/a/x", "/ab", "/a", "/b"])).unwrap();
        assert_eq!(*found, ["/a".into(), "/ab".into(), "/b".into()]);
        assert_eq!(*normalized(&owned(&["/x", "/"])).unwrap(), ["/".into()]);
        assert!(is_wanted(&found, "/a/b/c") && !is_wanted(&found, "/abc"));
    }

    #[test]
    fn no_prefix_too_many_and_what_is_no_path_are_refused() {
        normalized(&[]).unwrap_err();
        normalized(&vec!["/a".to_owned(); PREFIXES_MAX]).unwrap();
        normalized(&vec!["/a".to_owned(); PREFIXES_MAX + 1]).unwrap_err();
        for bad in ["", "a", "/a/", "/a//b", "/a\0"] {
            let refused = normalized(&owned(&["/a", bad]));
            assert!(matches!(refused, Err(NotSubscribed::Path(_))), "{bad:?}");
        }
    }

    #[test]
    fn what_lies_below_the_members_own_path_is_not_shown() {
        assert!(is_hidden("/vivarium/x") && is_hidden("/vivarium/x/y"));
        assert!(!is_hidden("/vivarium") && !is_hidden("/vivariums/x") && !is_hidden("/"));
        assert_eq!(shown(&transaction(1, &["/a", "/vivarium"]).changes), None);
        let shown = shown(&transaction(1, &["/vivarium/a", "/a"]).changes).unwrap();
        assert_eq!(shown.len(), 1);
        assert_eq!(&*shown[0].path, "/a");
    }
}
