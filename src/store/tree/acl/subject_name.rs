//! What may stand behind `x509:` in an access list: whatever Java's `X500Principal` can be made of.
//!
//! Levels are separated by `,` or `;`, parts of one level by `+`; a part is a known word, or a number
//! with or without `OID.`, then `=` and a value: `#` and hexadecimal DER, a text in quotes, or a bare
//! text with escapes. Nothing at all is a name, too. The id is stored as it was sent.
//!
//! Rules from: OpenJDK 17 `sun.security.x509.X500Name#parseDN`, `RDN`, `AVA`, `AVAKeyword#getOID`.

const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// What a backslash may stand before.
const ESCAPABLE: &str = ",=\n+<>#;\\\" ";
/// What stands in a bare text behind a backslash only.
const TO_ESCAPE: &str = ",+<>;\"";

/// Whether `id` is the name of a subject.
pub(super) fn is_subject_name(id: &str) -> bool {
    if id.is_empty() {
        return true;
    }
    let characters: Vec<char> = id.chars().collect();
    pieces(&characters, |c| c == ',' || c == ';')
        .into_iter()
        .all(|level| pieces(level, |c| c == '+').into_iter().all(is_part))
}

/// Cuts at the separators that stand neither behind a backslash nor between quotes.
fn pieces(text: &[char], separates: impl Fn(char) -> bool) -> Vec<&[char]> {
    let mut pieces = Vec::new();
    let (mut begin, mut searched, mut quotes) = (0, 0, 0);
    for at in 0..text.len() {
        if !separates(text[at]) {
            continue;
        }
        quotes += (searched..at)
            .filter(|&i| text[i] == '"' && (i == searched || text[i - 1] != '\\'))
            .count();
        if quotes != 1 && !is_escaped(text, at, searched) {
            pieces.push(&text[begin..at]);
            begin = at + 1;
            quotes = 0;
        }
        searched = at + 1;
    }
    pieces.push(&text[begin..]);
    pieces
}

/// Two backslashes in a row make Java count all of them since the last separator.
fn is_escaped(text: &[char], at: usize, searched: usize) -> bool {
    let behind = |back: usize| at >= back && text[at - back] == '\\';
    if behind(1) && behind(2) {
        text[searched..at].iter().filter(|c| **c == '\\').count() % 2 == 1
    } else {
        behind(1)
    }
}

fn is_part(part: &[char]) -> bool {
    let Some(equals) = part.iter().position(|c| *c == '=') else {
        return false;
    };
    let (keyword, value) = (&part[..equals], &part[equals + 1..]);
    let begin = value
        .iter()
        .position(|c| *c != ' ' && *c != '\n')
        .unwrap_or(value.len());
    is_type(keyword)
        && match &value[begin..] {
            [] => true,
            ['#', hexadecimal @ ..] => is_hexadecimal_der(hexadecimal),
            ['"', quoted @ ..] => is_quoted(quoted),
            bare => is_bare(bare),
        }
}

fn is_type(keyword: &[char]) -> bool {
    let keyword: String = keyword.iter().collect::<String>().to_uppercase();
    // Java trims whatever is not above a blank.
    let keyword = keyword.trim_matches(|c| c <= ' ');
    KEYWORDS.contains(&keyword) || is_oid(keyword.strip_prefix("OID.").unwrap_or(keyword))
}

/// Numbers of any length; the first two have their bounds.
fn is_oid(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    let well_formed = numbers
        .iter()
        .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let value = |number: &str| number.trim_start_matches('0').parse::<u8>().ok();
    let small = |number: &str, bound: u8| {
        number.bytes().all(|byte| byte == b'0') || value(number).is_some_and(|value| value < bound)
    };
    well_formed
        && numbers.len() >= 2
        && small(numbers[0], 3)
        && (numbers[0].trim_start_matches('0') == "2" || small(numbers[1], 40))
}

/// One whole DER value.
fn is_hexadecimal_der(digits: &[char]) -> bool {
    let values: Option<Vec<u8>> = digits
        .iter()
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    let Some(values) = values.filter(|values| values.len().is_multiple_of(2)) else {
        return false;
    };
    let bytes: Vec<u8> = values
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    let [_, first, rest @ ..] = bytes.as_slice() else {
        return false;
    };
    if *first < 0x80 {
        return rest.len() == usize::from(*first);
    }
    let more = usize::from(first & 0x7f);
    // More than four bytes of length, or an open end, are not taken; a length longer than it has to
    // be is, as in Java.
    if !(1..=4).contains(&more) || rest.len() < more {
        return false;
    }
    let length = rest[..more]
        .iter()
        .fold(0, |length, byte| length << 8 | u64::from(*byte));
    (rest.len() - more) as u64 == length
}

/// Up to the closing quote, with blanks behind it.
fn is_quoted(text: &[char]) -> bool {
    let mut rest = text;
    loop {
        match rest {
            [] => return false,
            ['"', behind @ ..] => return behind.iter().all(|c| *c == ' ' || *c == '\n'),
            ['\\', escaped @ ..] => match after_escape(escaped) {
                Some(more) => rest = more,
                None => return false,
            },
            [_, more @ ..] => rest = more,
        }
    }
}

fn is_bare(text: &[char]) -> bool {
    let mut rest = text;
    loop {
        match rest {
            [] => return true,
            ['\\', escaped @ ..] => match after_escape(escaped) {
                Some(more) => rest = more,
                None => return false,
            },
            [c, more @ ..] if !TO_ESCAPE.contains(*c) => rest = more,
            _ => return false,
        }
    }
}

/// What follows a backslash: two hexadecimal digits, or one character that may be escaped.
fn after_escape(text: &[char]) -> Option<&[char]> {
    match text {
        [first, second, rest @ ..] if first.is_ascii_hexdigit() => {
            second.is_ascii_hexdigit().then_some(rest)
        }
        [c, rest @ ..] if ESCAPABLE.contains(*c) => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each was given to `new X500Principal(…)` of OpenJDK 17.
    #[test]
    fn what_java_takes_for_a_name_is_one_and_nothing_else() {
        for good in [
            "",
            "CN=a",
            "cn=a",
            " CN = a ",
            "\tCN=a",
            " \nCN=a",
            "CN=a;O=b",
            "CN=a+O=b",
            "CN=",
            "CN=,O=b",
            "OID.2.5.4.3=a",
            "2.5.4.3=a",
            "oid.2.5.4.3=a",
            "1.39=a",
            "2.999.1=a",
            "CN=#0c0161",
            "CN=#0C0161",
            "CN=#0c810161",
            "CN=\"a,b\"",
            "CN=\"a\" ",
            "CN=a\\\"b",
            "CN=a\\,b",
            "CN=a\\\\,O=b",
            "CN=a\\\\\\,O=b",
            "CN=a\\41b",
            "CN=a=b",
            "CN=a#b",
            "CN=a\\<b",
            "CN=a b  ",
            "CN=\\ a",
            "CN=日本",
            "EMAILADDRESS=a@b",
            "DNQ=a",
            "SURNAME=a",
            "IP=1",
            "T=x",
            "S=x",
            "CN=\"a\\41\"",
            "CN=\"a\\\"b\"",
            "CN=\"a;b\";O=c",
            "CN=a\nb",
            "CN=a\\\nb",
            "CN=a\\+b+O=c",
            "CN=\"a+b\"+O=c",
            "1.2.840.113549.1.9.1=#160161",
            "02.5.4.3=a",
            "2.5.4.03=a",
            "2.39.1=a",
            "CN =a",
            "CN=\\,",
            "CN=x\\\\;O=y",
            "CN=#30020c00",
        ] {
            assert!(is_subject_name(good), "{good:?}");
        }
        for bad in [
            " ",
            "a",
            "CN",
            "=a",
            "XX=a",
            "CN=a,",
            "CN=a,,O=b",
            "CN=a+",
            "1.40.1=a",
            "3.1=a",
            "1=a",
            "1..2=a",
            "1.2.=a",
            "CN=#",
            "CN=#0",
            "CN=#0c",
            "CN=#0c016162",
            "CN=#xx",
            "CN=\"a",
            "CN=\"a\"b",
            "CN=a\"b",
            "CN=a\\zb",
            "CN=a\\4zb",
            "CN=a\\",
            "CN=a<b",
            "E=a",
            "CN=a\\4",
            "CN=\"a\\zb\"",
            "CN=#0c0161 ",
            "C N=a",
            "OID.CN=a",
            "\\,",
            "CN=#0c8001610000",
            "CN=#1f010161",
        ] {
            assert!(!is_subject_name(bad), "{bad:?}");
        }
    }
}
