//! Texts into values. Every refusal says what would have been allowed.

use super::catalogue;
use super::member_list::split_host;
use super::settings::FourLetterWords;
use base64::Engine;
use std::collections::BTreeSet;

/// ZooKeeper's four-letter words (3.9 `FourLetterCommands`).
const FOUR_LETTER_WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// Bytes of a SHA-1, which is what a digest identity is made of.
const SHA1_BYTES: usize = 20;

/// A whole number within bounds, decimal or `0x` hexadecimal.
pub fn integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    // `parse` takes a leading plus, which nobody writes on purpose.
    match parsed {
        Ok(number) if (min..=max).contains(&number) && !text.contains('+') => Ok(number),
        _ => Err(format!(
            "{text:?} is not a whole number from {min} to {max}"
        )),
    }
}

pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

pub fn text(text: &str, chars_max: usize) -> Result<String, String> {
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    if !text.is_empty() && text.len() <= chars_max && printable {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not a text of 1 to {chars_max} printable ASCII characters without blanks"
        ))
    }
}

/// A path of the file system; only that there is one is checked here.
pub fn path(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        Err(format!("{text:?} is not the name of a directory"))
    } else {
        Ok(text.to_owned())
    }
}

/// `host:port`; port 0 is a free one where one is listened on.
pub fn address(text: &str) -> Result<String, String> {
    let parts = split_host(text).and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) => Ok(format!("{host}:{port}")),
        None => Err(format!(
            "{text:?} is not HOST:PORT (an IPv6 address stands in brackets)"
        )),
    }
}

pub fn words(text: &str) -> Result<FourLetterWords, String> {
    let mut words = BTreeSet::from(["srvr".to_owned()]);
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        if word == "*" {
            return Ok(FourLetterWords::All);
        }
        if !FOUR_LETTER_WORDS.contains(&word) {
            let suggestion = catalogue::suggestion(word, FOUR_LETTER_WORDS.iter().copied());
            return Err(format!(
                "{word:?} is no four-letter word{suggestion}; allowed are * and {}",
                FOUR_LETTER_WORDS.join(", ")
            ));
        }
        words.insert(word.to_owned());
    }
    Ok(FourLetterWords::Only(words))
}

/// `user:base64(sha1(user:password))`. The text is not repeated in the message.
pub fn digest(text: &str) -> Result<String, String> {
    let hash = text
        .split_once(':')
        .filter(|(user, _)| !user.is_empty())
        .and_then(|(_, hash)| base64::engine::general_purpose::STANDARD.decode(hash).ok());
    match hash {
        Some(hash) if hash.len() == SHA1_BYTES => Ok(text.to_owned()),
        _ => Err("this is not USER:BASE64, with the 20 bytes of sha1(USER:PASSWORD)".to_owned()),
    }
}

/// The line, counted from 1, that the byte at `at` stands on.
pub fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_bounds_are_refused_with_the_bounds() {
        assert_eq!(integer("5", 1, 5), Ok(5));
        assert_eq!(integer("0xfffff", 0, u64::MAX), Ok(0xf_ffff));
        for bad in [
            "",
            "0",
            "6",
            "-1",
            "+3",
            "1.5",
            "3 ",
            "0x",
            "0x+3",
            "x",
            "99999999999999999999",
        ] {
            let told = integer(bad, 1, 5).unwrap_err();
            assert!(told.ends_with("from 1 to 5"), "{bad}: {told}");
        }
    }

    #[test]
    fn flags_are_true_or_false_and_nothing_else() {
        assert_eq!((flag("true"), flag("false")), (Ok(true), Ok(false)));
        for bad in ["", "yes", "1", "TRUE"] {
            assert!(flag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_have_a_length_and_no_blanks() {
        assert!(text("prod-1", 64).is_ok());
        for bad in ["", "a b", "tab\t", "ümlaut", &"x".repeat(65)] {
            assert!(text(bad, 64).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["0.0.0.0:2181", "[::1]:0", "a-b.example:65535"] {
            assert_eq!(address(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "host",
            "host:",
            ":1",
            "host:65536",
            "::1:2181",
            "[::1]2181",
            "a b:1",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn srvr_is_always_among_the_words() {
        let only = words("ruok, mntr").unwrap();
        assert!(only.allow("srvr") && only.allow("ruok") && !only.allow("dump"));
        assert_eq!(words("ruok,*"), Ok(FourLetterWords::All));
        assert!(words("").unwrap().allow("srvr"));
        let told = words("rouk").unwrap_err();
        assert!(told.contains("did you mean ruok?"), "{told}");
    }

    #[test]
    fn a_refused_digest_is_not_repeated() {
        assert!(digest("super:D/InIHSb7yEEbrWz8b9l71RjZJU=").is_ok());
        for bad in [
            "",
            "super",
            "super:",
            ":D/InIHSb7yEEbrWz8b9l71RjZJU=",
            "super:secret",
            "a:AAAA",
        ] {
            let told = digest(bad).unwrap_err();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\n", 0), 1);
        assert_eq!(line_of("a\nb\n", 2), 2);
        assert_eq!(line_of("a", 100), 1);
    }
}
