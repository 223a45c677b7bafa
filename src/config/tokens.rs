//! The file of bearer tokens: who each of them is, and never the token itself.
//!
//! ```text
//! # USER SHA256HEX
//! scheduler 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
//! ```

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A longer file is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Each call is held against all of them.
const TOKENS_MAX: usize = 1024;
const USER_CHARS_MAX: usize = 256;
const HASH_BYTES: usize = 32;

/// One token, known by its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub user: String,
    pub hash: [u8; HASH_BYTES],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.user)
    }
}

/// The tokens of a file, or what is wrong with it, with its name.
pub fn read_tokens(path: &Path) -> Result<Vec<Token>, String> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if read as u64 > FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!("{path}: longer than {FILE_BYTES_MAX} bytes"));
    }
    parse(&text).map_err(|what| format!("{}: {what}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut lines = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let token = token(line).map_err(|what| format!("line {at}: {what}"))?;
        if let Some(before) = lines.insert(token.hash, at) {
            return Err(format!("line {at}: the same token as in line {before}"));
        }
        if tokens.len() == TOKENS_MAX {
            return Err(format!("line {at}: there may be {TOKENS_MAX} tokens"));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// What is wrong is told without the line: somebody may have put a token into it.
fn token(line: &str) -> Result<Token, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[user, hash] = words.as_slice() else {
        let count = words.len();
        return Err(format!(
            "a user and a SHA-256 are expected, not {count} words"
        ));
    };
    if user.chars().count() > USER_CHARS_MAX || user.chars().any(char::is_control) {
        return Err(format!(
            "a user has {USER_CHARS_MAX} characters at most, none of them for control"
        ));
    }
    let hash = hash_of(hash).ok_or("a SHA-256 is written as 64 hexadecimal digits")?;
    Ok(Token {
        user: user.to_owned(),
        hash,
    })
}

fn hash_of(hexadecimal: &str) -> Option<[u8; HASH_BYTES]> {
    let digits: Vec<u8> = hexadecimal
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    // An odd number of digits that comes to as many bytes is one too few.
    bytes
        .try_into()
        .ok()
        .filter(|_| digits.len() == 2 * HASH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_user_and_the_hash_of_a_token() {
        let (a, b) = ("0f".repeat(32), "A0".repeat(32));
        let text = format!("# comment\n\n  bob\t{a} \r\nbob {b}\n");
        let expected = [[0x0f; 32], [0xa0; 32]].map(|hash| Token {
            user: "bob".to_owned(),
            hash,
        });
        assert_eq!(parse(&text).unwrap(), expected);
        assert_eq!(parse("# nobody\n").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_without_what_stands_there() {
        let good = "0f".repeat(32);
        for (line, told) in [
            ("bob".to_owned(), "1 words"),
            (format!("bob {good} -"), "3 words"),
            (format!("bob {}", &good[1..]), "64 hexadecimal digits"),
            (format!("bob {good}0"), "64 hexadecimal digits"),
            (format!("bob {}zz", &good[2..]), "64 hexadecimal digits"),
            (format!("{} {good}", "x".repeat(257)), "256 characters"),
            (format!("bob\u{7} {good}"), "none of them for control"),
        ] {
            let error = parse(&format!("# first\n{line}\n")).unwrap_err();
            assert!(
                error.starts_with("line 2: ") && error.contains(told),
                "{error}"
            );
            assert!(!error.contains("bob") && !error.contains("f0f0"), "{error}");
        }
        let twice = format!("bob {good}\nalice {good}\n");
        let error = parse(&twice).unwrap_err();
        assert_eq!(error, "line 2: the same token as in line 1");
    }

    #[test]
    fn there_is_a_limit_of_tokens_and_of_bytes() {
        let line = |at: usize| format!("bob {at:064x}\n");
        let most: String = (0..TOKENS_MAX).map(line).collect();
        assert_eq!(parse(&most).unwrap().len(), TOKENS_MAX);
        let error = parse(&(most + &line(TOKENS_MAX))).unwrap_err();
        assert_eq!(error, "line 1025: there may be 1024 tokens");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, "#".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
        assert!(read_tokens(&path).unwrap_err().contains("longer than"));
        std::fs::write(&path, "#".repeat(FILE_BYTES_MAX as usize)).unwrap();
        assert_eq!(read_tokens(&path).unwrap(), []);
    }
}
