//! What has to be made above an entry before it can be there.

use crate::member::Tree;
use crate::model::{Acl, CreateMode, Operation, basename, is_root, parent};
use bytes::Bytes;

/// Makes an entry without a value that stays until somebody removes it.
pub fn directory(path: &str) -> Operation {
    Operation::Create {
        path: path.to_owned(),
        data: Some(Bytes::new()),
        acl: Acl::open(),
        mode: CreateMode::Persistent,
    }
}

/// Makes what is missing above `path`, from the top.
pub fn missing_above(tree: &Tree, path: &str) -> Vec<Operation> {
    let mut missing = Vec::new();
    let mut above = parent(path);
    while let Some(path) = above.filter(|path| !is_root(path)) {
        if tree.exists(path).is_ok() {
            break;
        }
        missing.push(directory(path));
        above = parent(path);
    }
    missing.reverse();
    missing
}

/// `name` below `path`.
pub fn below(path: &str, name: &str) -> String {
    match is_root(path) {
        true => format!("/{name}"),
        false => format!("{path}/{name}"),
    }
}

/// Any text as one segment of a path: what is not a letter, a digit or one of `.`, `_`, `:`, `-` is written as
/// `%` and two hexadecimal digits for each of its bytes, and so is a first `.`.
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if at > 0 => segment.push('.'),
            b'_' | b':' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                segment.push(char::from(byte));
            }
            byte => segment.push_str(&format!("%{byte:02x}")),
        }
    }
    debug_assert_eq!(basename(&segment), segment);
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::validate_path;

    #[test]
    fn every_text_is_a_segment_of_its_own() {
        let texts = [
            "a",
            "10.0.0.1:80",
            "a/b",
            "..",
            ".",
            "%2e",
            "\u{e4}",
            "a b",
            "\0",
        ];
        let mut segments: Vec<String> = texts.map(segment).into();
        for segment in &segments {
            assert_eq!(validate_path(&below("/x", segment)), Ok(()), "{segment}");
        }
        assert_eq!(segments[1], "10.0.0.1:80");
        segments.sort();
        segments.dedup();
        assert_eq!(segments.len(), texts.len());
    }
}
