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

pub fn file(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        Err(format!("{text:?} is not the name of a file"))
    } else {
        Ok(text.to_owned())
    }
}

pub fn line(text: &str, chars_max: usize) -> Result<String, String> {
    if text.is_empty() || text.chars().count() > chars_max || text.chars().any(char::is_control) {
        Err(format!(
            "{text:?} is not a text of 1 to {chars_max} characters in one line"
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// The text is not repeated in the message.
pub fn secret(text: &str, chars_max: usize) -> Result<String, String> {
    line(text, chars_max)
        .map_err(|_| format!("this is not a text of 1 to {chars_max} characters in one line"))
}

/// One of the names, in their own spelling.
pub fn choice(text: &str, names: &[&str]) -> Result<String, String> {
    let known = names.iter().find(|name| name.eq_ignore_ascii_case(text));
    known.map(|name| (*name).to_owned()).ok_or_else(|| {
        let suggestion = catalogue::suggestion(text, names.iter().copied());
        format!(
            "{text:?} is not offered{suggestion}; allowed: {}",
            names.join(", ")
        )
    })
}

/// Some of the names, each once; an empty text is none of them.
pub fn choices(text: &str, names: &[&str]) -> Result<Vec<String>, String> {
    let mut chosen = Vec::new();
    if text.trim().is_empty() {
        return Ok(chosen);
    }
    for name in text.split(',').map(str::trim) {
        let name = choice(name, names)?;
        if !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    Ok(chosen)
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

/// `user:base64(hash(user:password))`; how long the hash is, its algorithm says ([`digest_bytes`]).
/// The text is not repeated in the message.
pub fn digest(text: &str) -> Result<String, String> {
    match hash_of(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("this is not USER:BASE64, with the hash of USER:PASSWORD".to_owned()),
    }
}

/// How many bytes the hash of a digest identity has.
pub fn digest_bytes(text: &str) -> usize {
    hash_of(text).map_or(0, |hash| hash.len())
}

fn hash_of(text: &str) -> Option<Vec<u8>> {
    let (user, hash) = text.split_once(':')?;
    let hash = base64::engine::general_purpose::STANDARD
        .decode(hash)
        .ok()?;
    (!user.is_empty() && !hash.is_empty()).then_some(hash)
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
            "super:secret!",
        ] {
            let told = digest(bad).unwrap_err();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn names_are_taken_in_any_letters_and_others_are_refused_with_those_there_are() {
        let names = &["TLSv1.2", "TLSv1.3"];
        assert_eq!(choice("tlsV1.3", names).as_deref(), Ok("TLSv1.3"));
        let both = choices("TLSv1.3, TLSv1.2,TLSv1.3", names).unwrap();
        assert_eq!(both, ["TLSv1.3", "TLSv1.2"]);
        assert_eq!(choices(" ", names), Ok(vec![]));
        for bad in ["TLSv1.1", "TLSv1.2,", "TLSv1.2,SSLv3"] {
            let told = choices(bad, names).unwrap_err();
            assert!(told.contains("TLSv1.2, TLSv1.3"), "{bad}: {told}");
        }
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        for bad in ["", "pass\nword", &"x".repeat(9)] {
            let told = secret(bad, 8).unwrap_err();
            assert!(!told.contains("pass") && !told.contains("xx"), "{told}");
        }
        assert_eq!(secret("pass word", 9).as_deref(), Ok("pass word"));
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\n", 0), 1);
        assert_eq!(line_of("a\nb\n", 2), 2);
        assert_eq!(line_of("a", 100), 1);
    }
}
