//! A certificate's subject as text, the way Java's `X500Principal#getName` prints it: this is the id
//! that an access list of scheme `x509` names.
//!
//! RFC 2253: last part first, separated by commas without blanks, parts of one level by `+`. Nine
//! attributes have names, the others are written as numbers with their value as `#` and hexadecimal
//! DER. Java escapes `=` and `#` too, and a carriage return at the ends, which the RFC does not ask for.
//!
//! Rules from: OpenJDK 17 `sun.security.x509.X500Name#getRFC2253Name`, `AVA#toRFC2253String`.

use rustls::pki_types::CertificateDer;
use std::fmt::Write;
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

const KEYWORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// Those whose value is printed as text.
const TEXTS: &[Tag] = &[
    Tag::PrintableString,
    Tag::T61String,
    Tag::Ia5String,
    Tag::GeneralString,
    Tag::BmpString,
    Tag::Utf8String,
];

/// `None` if the certificate cannot be decoded.
pub fn subject_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut levels: Vec<String> = certificate
        .subject()
        .iter_rdn()
        .map(|level| level.iter().map(part).collect::<Vec<_>>().join("+"))
        .collect();
    levels.reverse();
    Some(levels.join(","))
}

fn part(part: &AttributeTypeAndValue<'_>) -> String {
    let oid = part.attr_type().to_id_string();
    let value = part.attr_value();
    let keyword = KEYWORDS.iter().find(|(number, _)| *number == oid);
    match keyword {
        Some((_, keyword)) if TEXTS.contains(&value.tag()) => {
            format!(
                "{keyword}={}",
                escaped(&String::from_utf8_lossy(value.data))
            )
        }
        Some((_, keyword)) => format!("{keyword}=#{}", hexadecimal(value)),
        None => format!("{oid}=#{}", hexadecimal(value)),
    }
}

fn escaped(text: &str) -> String {
    let blank = |c: char| c == ' ' || c == '\r';
    let inner = text.trim_matches(blank);
    let before = text.len() - text.trim_start_matches(blank).len();
    // All blanks count as leading ones.
    let after = before + inner.len();
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if at < before || at >= after || ",=+<>#;\"\\".contains(c) {
            out.push('\\');
        }
        match c {
            '\0' => out.push_str("\\00"),
            c => out.push(c),
        }
    }
    out
}

/// The DER of a value.
fn hexadecimal(value: &Any<'_>) -> String {
    let header = &value.header;
    let identifier = (header.class() as u8) << 6
        | u8::from(header.is_constructed()) << 5
        | (header.tag().0 as u8 & 0x1f);
    let length = value.data.len();
    let mut der = vec![identifier];
    if length < 0x80 {
        der.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        der.push(0x80 | significant.len() as u8);
        der.extend_from_slice(significant);
    }
    der.extend_from_slice(value.data);
    der.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
