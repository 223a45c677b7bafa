//! The rules of a path (ZooKeeper 3.9 `PathUtils#validatePath`).

use thiserror::Error;

/// What is wrong with a path. Every variant is answered with −8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    #[error("a path may not be empty")]
    Empty,
    #[error("a path starts with /")]
    NotAbsolute,
    #[error("a path does not end with /")]
    TrailingSlash,
    #[error("a path has no empty segment")]
    EmptySegment,
    #[error("a path has no . or .. segment")]
    RelativeSegment,
    #[error("a path has no character U+{0:04X}")]
    Character(u32),
}

/// Checks a whole path, in ZooKeeper's order.
///
/// Characters are judged as Java sees them, in UTF-16 units: what lies outside the basic plane is
/// a surrogate pair there and falls under U+D800–U+F8FF, so it is refused too.
pub fn validate(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if path.len() == 1 {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    // Segments are short: to look at each byte is sooner than to search by the word.
    for segment in path.as_bytes()[1..].split(|byte| *byte == b'/') {
        match segment {
            b"" => return Err(PathError::EmptySegment),
            b"." | b".." => return Err(PathError::RelativeSegment),
            _ => {}
        }
    }
    if path.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match path.chars().map(u32::from).find(|c| is_forbidden(*c)) {
        Some(c) => Err(PathError::Character(c)),
        None => Ok(()),
    }
}

fn is_forbidden(c: u32) -> bool {
    matches!(c, 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff | 0x10000..)
}

pub fn is_root(path: &str) -> bool {
    path == "/"
}

/// The parent's path; `None` for the root and for anything without a slash.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        at => Some(&path[..at]),
    }
}

/// Whether a path is `prefix` or lies below it. Segments count, not letters: `/ab` is not within `/a`.
pub fn is_within(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || is_root(prefix),
        None => false,
    }
}

/// The last segment; all of the path if it has no slash.
pub fn basename(path: &str) -> &str {
    path.rfind('/').map_or(path, |at| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_rules_of_zookeeper() {
        for good in ["/", "/a", "/a/b", "/a.b", "/...", "/ä/ß", "/a b", "/a/.b"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", PathError::Empty),
            ("a", PathError::NotAbsolute),
            ("/a/", PathError::TrailingSlash),
            ("/a//b", PathError::EmptySegment),
            ("//", PathError::TrailingSlash),
            ("/.", PathError::RelativeSegment),
            ("/a/../b", PathError::RelativeSegment),
            ("/a\0", PathError::Character(0)),
            ("/a\u{1f}", PathError::Character(0x1f)),
            ("/\u{7f}", PathError::Character(0x7f)),
            ("/\u{9f}", PathError::Character(0x9f)),
            ("/\u{f8ff}", PathError::Character(0xf8ff)),
            ("/\u{ffff}", PathError::Character(0xffff)),
            ("/\u{1f980}", PathError::Character(0x1f980)),
        ] {
            assert_eq!(validate(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_within_those_above_it_and_itself() {
        for (path, prefix) in [
            ("/a", "/a"),
            ("/a/b", "/a"),
            ("/a/b/c", "/a"),
            ("/a", "/"),
            ("/", "/"),
        ] {
            assert!(is_within(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [("/ab", "/a"), ("/a", "/a/b"), ("/", "/a"), ("/b/a", "/a")] {
            assert!(!is_within(path, prefix), "{path} {prefix}");
        }
    }

    #[test]
    fn parent_and_basename_split_at_the_last_slash() {
        assert_eq!(parent("/"), None);
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("a"), None);
        assert_eq!(basename("/a/b"), "b");
        assert_eq!(basename("/"), "");
    }
}
