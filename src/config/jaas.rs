//! A JAAS file, as far as ZooKeeper's servers use it: the users of DIGEST-MD5 and their passwords.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_super="…"
//!     user_bob="…";
//! };
//! ```
//!
//! Rules from: OpenJDK `sun.security.provider.ConfigFile`; ZooKeeper 3.9
//! `ServerCnxnFactory#getDigestMd5Credentials`.

use std::collections::BTreeMap;

const USER_PREFIX: &str = "user_";
/// The module whose options are users. Any other one proves identities in a way that is not offered.
const DIGEST_MODULE: &str = "DigestLoginModule";

/// The users of a section.
pub fn users(text: &str, section: &str) -> Result<BTreeMap<String, String>, String> {
    let tokens = tokens(text)?;
    let mut tokens = tokens.iter().map(String::as_str);
    while let Some(name) = tokens.next() {
        expect(&mut tokens, "{")?;
        let entries = entries(&mut tokens)?;
        if name == section {
            return users_of(entries);
        }
    }
    Err(format!("there is no section {section:?} in it"))
}

fn users_of(entries: Vec<Entry<'_>>) -> Result<BTreeMap<String, String>, String> {
    let mut users = BTreeMap::new();
    for entry in entries {
        if entry.module.rsplit('.').next() != Some(DIGEST_MODULE) {
            return Err(format!(
                "{} is not offered, only {DIGEST_MODULE} is: there is DIGEST-MD5, and no GSSAPI (Kerberos)",
                entry.module
            ));
        }
        for (key, value) in entry.options {
            let Some(user) = key.strip_prefix(USER_PREFIX) else {
                continue;
            };
            // ZooKeeper takes such a name for a Kerberos principal and cuts it.
            if user.is_empty() || user.contains(['/', '@']) {
                return Err(format!(
                    "{user:?} is not the name of a user: '/' and '@' belong to Kerberos"
                ));
            }
            users.insert(user.to_owned(), value.to_owned());
        }
    }
    if users.is_empty() {
        return Err(format!(
            "the section names no user ({USER_PREFIX}NAME=\"PASSWORD\")"
        ));
    }
    Ok(users)
}

struct Entry<'a> {
    module: &'a str,
    options: Vec<(&'a str, &'a str)>,
}

/// `module flag (key=value)* ;` up to `};`.
fn entries<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Result<Vec<Entry<'a>>, String> {
    let mut entries = Vec::new();
    loop {
        let module = next(tokens)?;
        if module == "}" {
            expect(tokens, ";")?;
            return Ok(entries);
        }
        let flag = next(tokens)?;
        let flags = ["required", "requisite", "sufficient", "optional"];
        if !flags.iter().any(|known| known.eq_ignore_ascii_case(flag)) {
            return Err(format!("{flag:?} is none of {}", flags.join(", ")));
        }
        let mut options = Vec::new();
        loop {
            let key = next(tokens)?;
            if key == ";" {
                break;
            }
            expect(tokens, "=")?;
            options.push((key, next(tokens)?));
        }
        entries.push(Entry { module, options });
    }
}

fn next<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Result<&'a str, String> {
    tokens
        .next()
        .ok_or_else(|| "it ends in the middle of a section".to_owned())
}

/// What stands there instead is not shown: it may be a password.
fn expect<'a>(tokens: &mut impl Iterator<Item = &'a str>, wanted: &str) -> Result<(), String> {
    match next(tokens)? {
        token if token == wanted => Ok(()),
        _ => Err(format!("a {wanted:?} is missing")),
    }
}

/// Words, quoted texts without their quotes, and the signs `{ } ; =`; remarks are left out.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = if let Some(remark) = rest.strip_prefix("/*") {
            2 + remark.find("*/").ok_or("a remark does not end")? + 2
        } else if rest.starts_with("//") || first == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if "{};=".contains(first) {
            tokens.push(first.to_string());
            1
        } else if first == '"' || first == '\'' {
            let (token, length) = quoted(&rest[1..], first)?;
            tokens.push(token);
            1 + length
        } else {
            let ends = |c: char| c.is_whitespace() || "{};=\"'".contains(c);
            let length = rest.find(ends).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        };
        rest = rest[taken..].trim_start();
    }
    Ok(tokens)
}

/// A text up to its closing quote, and how many bytes that takes. A backslash takes the next
/// character as it is, except for those of Java's StreamTokenizer.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut token = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => return Ok((token, at + 1)),
            '\\' => match characters.next() {
                Some((_, 'n')) => token.push('\n'),
                Some((_, 't')) => token.push('\t'),
                Some((_, 'r')) => token.push('\r'),
                Some((_, escaped)) => token.push(escaped),
                None => break,
            },
            '\n' => break,
            c => token.push(c),
        }
    }
    Err("a quoted text does not end on its line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        // for clients of this machine
        Client { org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="x"; };
        Server {
            org.apache.zookeeper.server.auth.DigestLoginModule required /* all of them */
            user_super="ad\"min"
            user_bob = 'bob secret'
            user_3=plain;
        };
        QuorumServer { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };
    "#;

    #[test]
    fn the_users_of_a_section_are_read_with_their_passwords() {
        let found = users(FILE, "Server").unwrap();
        let pairs: Vec<(&str, &str)> = found
            .iter()
            .map(|(user, password)| (user.as_str(), password.as_str()))
            .collect();
        let expected = [("3", "plain"), ("bob", "bob secret"), ("super", "ad\"min")];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_no_password_is_shown() {
        for (text, section, told) in [
            (FILE, "Servers", "no section"),
            (FILE, "Client", "names no user"),
            (FILE, "QuorumServer", "GSSAPI"),
            (
                "Server { a.DigestLoginModule required user_a=\"secret\" };",
                "Server",
                "missing",
            ),
            (
                "Server { a.DigestLoginModule required user_a=\"secret",
                "Server",
                "does not end",
            ),
            (
                "Server { a.DigestLoginModule needed user_a=\"secret\"; };",
                "Server",
                "none of",
            ),
            (
                "Server { a.DigestLoginModule required user_a=\"secret\"; }",
                "Server",
                "ends in the middle",
            ),
            (
                "Server { a.DigestLoginModule required user_a@B=\"secret\"; };",
                "Server",
                "Kerberos",
            ),
            ("/* Server", "Server", "remark"),
        ] {
            let what = users(text, section).unwrap_err();
            assert!(what.contains(told), "{text}: {what}");
            assert!(!what.contains("secret"), "{what}");
        }
    }
}
