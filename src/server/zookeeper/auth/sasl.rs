//! SASL DIGEST-MD5, the server's side.
//!
//! ```text
//! client                                server
//!   token (empty)                  ──▶
//!                                  ◀──  realm, nonce, charset, algorithm
//!   username, realm, nonce, cnonce,
//!   digest-uri, response           ──▶
//!                                  ◀──  rspauth: the server knows the password, too
//! ```
//!
//! At all times: one attempt for each connection; what comes after it fails. A token is judged as a
//! whole; no password and no response is logged.
//! Rules from: RFC 2831, OpenJDK `com.sun.security.sasl.digest.DigestMD5Server` as ZooKeeper 3.9
//! makes it (`ZooKeeperSaslServer`: protocol `zookeeper`, server and realm `zk-sasl-md5`, qop auth).

use crate::config::Secret;
use base64::Engine;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fmt::Write;
use thiserror::Error;

const REALM: &str = "zk-sasl-md5";
const DIGEST_URI: &str = "zookeeper/zk-sasl-md5";
/// A longer token is refused unread.
const TOKEN_BYTES_MAX: usize = 4096;
const NONCE_BYTES: usize = 30;
/// What may be said once.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "username", "realm", "nonce", "cnonce", "nonce-count", "qop", "digest-uri", "response", "maxbuf",
    "charset", "cipher", "authzid", "auth-param",
];

/// Why a client is not who it says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SaslFailed {
    #[error("a token of {0} bytes")]
    TooLong(usize),
    #[error("the token cannot be read: {0}")]
    Malformed(&'static str),
    #[error("{0} is missing, or not what it should be")]
    Unfit(&'static str),
    /// Over it the original stumbles: it ends the connection without an answer, whatever it was told
    /// about clients that fail.
    #[error("{0} cannot be read")]
    Stumbled(&'static str),
    #[error("the user is not known, or the password is another one")]
    Denied,
    #[error("the exchange is over")]
    Over,
}

/// What came of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The client is asked for its proof.
    Challenge(Vec<u8>),
    /// The client is who it says, and is shown that the server is, too.
    Proven { user: String, token: Vec<u8> },
}

/// One connection's exchange.
#[derive(Debug, Default)]
pub struct DigestMd5 {
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    First,
    Challenged {
        nonce: String,
    },
    Over,
}

impl DigestMd5 {
    /// Judges a token of the client.
    pub fn evaluate(
        &mut self,
        token: &[u8],
        users: &BTreeMap<String, Secret>,
    ) -> Result<Progress, SaslFailed> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(SaslFailed::TooLong(token.len()));
        }
        match std::mem::replace(&mut self.step, Step::Over) {
            // What a client may send along is not looked at: a first proof needs a challenge.
            Step::First => {
                let random: [u8; NONCE_BYTES] = rand::random();
                let nonce = base64::engine::general_purpose::STANDARD.encode(random);
                let challenge =
                    format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
                self.step = Step::Challenged { nonce };
                Ok(Progress::Challenge(challenge.into_bytes()))
            }
            Step::Challenged { nonce } => judge(token, &nonce, users),
            Step::Over => Err(SaslFailed::Over),
        }
    }
}

fn judge(
    token: &[u8],
    nonce: &str,
    users: &BTreeMap<String, Secret>,
) -> Result<Progress, SaslFailed> {
    let said = Directives::parse(token)?;
    if let Some(charset) = said.get("charset")
        && charset != b"utf-8"
    {
        return Err(SaslFailed::Unfit("charset"));
    }
    // What the client could receive is of no use without encryption.
    if let Some(bytes) = said.get("maxbuf")
        && number(bytes, 10).is_none()
    {
        return Err(SaslFailed::Stumbled("maxbuf"));
    }
    let user = said.text("username")?;
    if said.get("realm") != Some(REALM.as_bytes()) {
        return Err(SaslFailed::Unfit("realm"));
    }
    if said.get("nonce") != Some(nonce.as_bytes()) {
        return Err(SaslFailed::Unfit("nonce"));
    }
    let cnonce = said.get("cnonce").ok_or(SaslFailed::Unfit("cnonce"))?;
    // The RFC calls it `nc`, and at that nobody looks.
    if let Some(count) = said.get("nonce-count")
        && number(count, 16).ok_or(SaslFailed::Stumbled("nonce-count"))? != 1
    {
        return Err(SaslFailed::Unfit("nonce-count"));
    }
    if said.get("qop").is_some_and(|qop| qop != b"auth") {
        return Err(SaslFailed::Unfit("qop"));
    }
    let uri = said
        .get("digest-uri")
        .ok_or(SaslFailed::Unfit("digest-uri"))?;
    if !uri.eq_ignore_ascii_case(DIGEST_URI.as_bytes()) {
        return Err(SaslFailed::Unfit("digest-uri"));
    }
    let response = said.get("response").ok_or(SaslFailed::Unfit("response"))?;
    if user.is_empty() {
        return Err(SaslFailed::Stumbled("username"));
    }
    let password = users.get(&user).ok_or(SaslFailed::Denied)?;
    let proof = Proof {
        user: &user,
        password: password.reveal(),
        nonce: nonce.as_bytes(),
        cnonce,
        uri,
        authzid: said.get("authzid"),
    };
    if !equal(response, proof.response("AUTHENTICATE").as_bytes()) {
        return Err(SaslFailed::Denied);
    }
    let token = format!("rspauth={}", proof.response(""));
    Ok(Progress::Proven {
        user,
        token: token.into_bytes(),
    })
}

/// As `Integer.parseInt` of Java takes it.
fn number(text: &[u8], radix: u32) -> Option<i32> {
    let text = std::str::from_utf8(text).ok()?;
    i32::from_str_radix(text, radix).ok()
}

/// Takes as long whatever differs.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |differing, (a, b)| differing | (a ^ b))
            == 0
}

/// What the responses of both sides are computed from.
struct Proof<'a> {
    user: &'a str,
    password: &'a str,
    nonce: &'a [u8],
    cnonce: &'a [u8],
    uri: &'a [u8],
    authzid: Option<&'a [u8]>,
}

impl Proof<'_> {
    /// RFC 2831, 2.1.2.1. `method` is empty in the server's own response.
    fn response(&self, method: &str) -> String {
        let secret = Md5::digest(joined(&[
            &latin1_or_utf8(self.user),
            REALM.as_bytes(),
            &latin1_or_utf8(self.password),
        ]));
        let mut a1 = joined(&[&secret, self.nonce, self.cnonce]);
        if let Some(authzid) = self.authzid {
            a1 = joined(&[&a1, authzid]);
        }
        let a2 = joined(&[method.as_bytes(), self.uri]);
        hash(&joined(&[
            hash(&a1).as_bytes(),
            self.nonce,
            b"00000001",
            self.cnonce,
            b"auth",
            hash(&a2).as_bytes(),
        ]))
    }
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&b':')
}

/// Hexadecimal MD5.
fn hash(bytes: &[u8]) -> String {
    let hash = Md5::digest(bytes);
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names and passwords are hashed as ISO 8859-1 where they can be, for the sake of older clients.
fn latin1_or_utf8(text: &str) -> Vec<u8> {
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    latin1.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// `key=value` pairs, separated by commas and blanks; values may be quoted.
struct Directives(Vec<(String, Vec<u8>)>);

impl Directives {
    fn parse(token: &[u8]) -> Result<Directives, SaslFailed> {
        let malformed = |what| Err(SaslFailed::Malformed(what));
        let mut directives = Directives(Vec::new());
        let mut rest = token;
        loop {
            rest = skip(rest, |byte| is_blank(byte) || byte == b',');
            if rest.is_empty() {
                return Ok(directives);
            }
            let key = take(&mut rest, |byte| {
                byte != b'=' && byte != b',' && !is_blank(byte)
            });
            if rest.is_empty() {
                // The last key may be without a value.
                directives.put(key, Vec::new())?;
                return Ok(directives);
            }
            rest = skip(rest, is_blank);
            let [b'=', behind @ ..] = rest else {
                return malformed("a key without a value");
            };
            if key.is_empty() {
                return malformed("a value without a key");
            }
            rest = skip(behind, is_blank);
            let value = match rest {
                [] => return malformed("a key without a value"),
                [b'"', quoted @ ..] => {
                    let (value, behind) = unquoted(quoted)?;
                    if behind
                        .first()
                        .is_some_and(|byte| *byte != b',' && !is_blank(*byte))
                    {
                        return malformed("something behind a quoted value");
                    }
                    rest = behind;
                    value
                }
                _ => take(&mut rest, |byte| byte != b',' && !is_blank(byte)).to_vec(),
            };
            directives.put(key, value)?;
        }
    }

    /// Keys that nobody knows are not kept, and may come twice.
    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), SaslFailed> {
        let key = String::from_utf8_lossy(key).to_ascii_lowercase();
        if !KEYS.contains(&key.as_str()) {
            return Ok(());
        }
        if self.get(&key).is_some() {
            return Err(SaslFailed::Malformed("a key twice"));
        }
        self.0.push((key, value));
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_slice())
    }

    fn text(&self, key: &'static str) -> Result<String, SaslFailed> {
        let value = self.get(key).ok_or(SaslFailed::Unfit(key))?;
        Ok(String::from_utf8_lossy(value).into_owned())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip(bytes: &[u8], skipped: impl Fn(u8) -> bool) -> &[u8] {
    let begin = bytes.iter().position(|byte| !skipped(*byte));
    &bytes[begin.unwrap_or(bytes.len())..]
}

fn take<'a>(rest: &mut &'a [u8], taken: impl Fn(u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| !taken(*byte));
    let (found, behind) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = behind;
    found
}

/// Up to the closing quote; a backslash takes the next byte as it is.
fn unquoted(quoted: &[u8]) -> Result<(Vec<u8>, &[u8]), SaslFailed> {
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', behind @ ..] => return Ok((value, behind)),
            [b'\\', byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [b'\\'] | [] => return Err(SaslFailed::Malformed("a quote that does not end")),
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> BTreeMap<String, Secret> {
        let user = |name: &str, password: &str| (name.to_owned(), Secret::of(password));
        BTreeMap::from([
            user("bob", "secret"),
            user("jürgen", "gänse"),
            user("日", "本"),
        ])
    }

    fn challenged() -> (DigestMd5, String) {
        let mut exchange = DigestMd5::default();
        let Ok(Progress::Challenge(challenge)) = exchange.evaluate(b"", &users()) else {
            panic!("no challenge");
        };
        let said = Directives::parse(&challenge).unwrap();
        (exchange, said.text("nonce").unwrap())
    }

    fn token(user: &str, password: &str, nonce: &str, authzid: Option<&str>) -> String {
        let proof = Proof {
            user,
            password,
            nonce: nonce.as_bytes(),
            cnonce: b"cn",
            uri: DIGEST_URI.as_bytes(),
            authzid: authzid.map(str::as_bytes),
        };
        let mut token = format!(
            "charset=utf-8,username=\"{user}\",realm=\"{REALM}\",nonce=\"{nonce}\",nc=00000001,\
             cnonce=\"cn\",digest-uri=\"{DIGEST_URI}\",maxbuf=65536,qop=auth,response={}",
            proof.response("AUTHENTICATE")
        );
        if let Some(authzid) = authzid {
            token += &format!(",authzid=\"{authzid}\"");
        }
        token
    }

    /// The example of RFC 2831, section 4, with its own realm and uri put together by hand.
    #[test]
    fn a_response_is_what_the_rfc_computes() {
        let secret = Md5::digest(b"chris:elwood.innosoft.com:secret");
        let a1 = joined(&[&secret, b"OA6MG9tEQGm2hh", b"OA6MHXh6VqTrRk"]);
        let response = |a2: &str| {
            hash(&joined(&[
                hash(&a1).as_bytes(),
                b"OA6MG9tEQGm2hh",
                b"00000001",
                b"OA6MHXh6VqTrRk",
                b"auth",
                hash(a2.as_bytes()).as_bytes(),
            ]))
        };
        assert_eq!(
            response("AUTHENTICATE:imap/elwood.innosoft.com"),
            "d388dad90d4bbd760a152321f2143af7"
        );
        assert_eq!(
            response(":imap/elwood.innosoft.com"),
            "ea40f60335c427b5527b84dbabcdfffd"
        );
    }

    #[test]
    fn who_knows_the_password_is_proven_and_sees_that_the_server_knows_it() {
        for (user, password) in [("bob", "secret"), ("jürgen", "gänse"), ("日", "本")] {
            for authzid in [None, Some("somebody")] {
                let (mut exchange, nonce) = challenged();
                let token = token(user, password, &nonce, authzid);
                let progress = exchange.evaluate(token.as_bytes(), &users()).unwrap();
                let Progress::Proven {
                    user: proven,
                    token,
                } = progress
                else {
                    panic!("{progress:?}");
                };
                assert_eq!(proven, user);
                assert!(token.starts_with(b"rspauth="));
                assert_eq!(exchange.evaluate(b"", &users()), Err(SaslFailed::Over));
            }
        }
    }

    #[test]
    fn anything_else_is_refused_and_there_is_one_attempt() {
        let (_, other_nonce) = challenged();
        type OfNonce<'a> = &'a dyn Fn(&str) -> String;
        let cases: &[(&str, OfNonce<'_>)] = &[
            ("an empty token", &|_| String::new()),
            ("another password", &|nonce| {
                token("bob", "guess", nonce, None)
            }),
            ("an unknown user", &|nonce| {
                token("eve", "secret", nonce, None)
            }),
            ("an old nonce", &|_| {
                token("bob", "secret", &other_nonce, None)
            }),
            ("another realm", &|nonce| {
                token("bob", "secret", nonce, None).replace("md5\",n", "md6\",n")
            }),
            ("another server", &|nonce| {
                token("bob", "secret", nonce, None).replace("zookeeper/", "imap/")
            }),
            ("encryption", &|nonce| {
                token("bob", "secret", nonce, None).replace("qop=auth", "qop=auth-conf")
            }),
            ("another charset", &|nonce| {
                token("bob", "secret", nonce, None).replace("utf-8", "utf-7")
            }),
            ("a size that is no number", &|nonce| {
                token("bob", "secret", nonce, None).replace("65536", "2147483648")
            }),
            ("a key twice", &|nonce| {
                token("bob", "secret", nonce, None) + ",username=\"bob\""
            }),
            ("an open quote", &|nonce| {
                token("bob", "secret", nonce, None) + ",authzid=\"bob"
            }),
            ("no value", &|nonce| {
                token("bob", "secret", nonce, None) + ",authzid="
            }),
            ("another count", &|nonce| {
                token("bob", "secret", nonce, None) + ",nonce-count=2"
            }),
            ("a count that is no number", &|nonce| {
                token("bob", "secret", nonce, None) + ",nonce-count=g"
            }),
            ("no name", &|nonce| token("", "secret", nonce, None)),
            ("no key", &|nonce| {
                token("bob", "secret", nonce, None) + ",=a"
            }),
            ("bytes behind a quote", &|nonce| {
                token("bob", "secret", nonce, None) + ",a=\"b\"c"
            }),
            ("a long token", &|nonce| {
                token("bob", "secret", nonce, None) + &" ".repeat(4096)
            }),
        ];
        for (what, make) in cases {
            let (mut exchange, nonce) = challenged();
            let token = make(&nonce);
            let first = exchange.evaluate(token.as_bytes(), &users());
            assert!(first.is_err(), "{what}");
            // Only a token that was too long to be read leaves the exchange where it was.
            if !matches!(first, Err(SaslFailed::TooLong(_))) {
                let right = super::tests::token("bob", "secret", &nonce, None);
                assert_eq!(
                    exchange.evaluate(right.as_bytes(), &users()),
                    Err(SaslFailed::Over),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let (_, nonce) = challenged();
        let whole = token("bob", "secret", &nonce, Some("x\\\"y"));
        for end in 0..whole.len() {
            let _ = Directives::parse(&whole.as_bytes()[..end]);
            let _ = Directives::parse(&whole.as_bytes()[end..]);
        }
    }
}
