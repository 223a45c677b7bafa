//! Stores as keytool and openssl make them (`tests/data/tls`), whole and damaged.

use super::*;
use crate::tls::subject::subject_name;
use std::path::PathBuf;

const PASSWORD: &str = "changeit";
const SERVER: &str = "CN=server,O=Example";
const AUTHORITY: &str = "CN=authority,O=Example";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

fn file(name: &str, password: &str) -> StoreFile {
    StoreFile {
        path: path(name),
        kind: None,
        password: Password::Given(password.to_owned()),
    }
}

fn subjects(certificates: &[CertificateDer<'_>]) -> Vec<String> {
    certificates.iter().filter_map(subject_name).collect()
}

fn refusal<T>(result: Result<T, TlsError>) -> String {
    match result {
        Ok(_) => panic!("it was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_key_and_its_chain_are_found_in_stores_of_every_tool() {
    for name in [
        "key.jks",
        "ec.jks",
        "key.p12",
        "openssl.p12",
        "openssl-legacy.p12",
        "encrypted.pem",
        "sec1.pem",
        "pkcs1.pem",
    ] {
        let found = keys(&file(name, PASSWORD)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(subjects(&found[0].chain), [SERVER, AUTHORITY], "{name}");
    }
}

#[test]
fn what_is_trusted_is_found_and_a_key_is_not_trusted_for_lying_beside() {
    for name in ["trust.jks", "trust.p12", "openssl-trust.p12"] {
        let found = trusted(&file(name, PASSWORD)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(subjects(&found), [AUTHORITY], "{name}");
        assert!(
            refusal(keys(&file(name, PASSWORD))).contains("no private key"),
            "{name}"
        );
    }
    for name in ["key.jks", "key.p12"] {
        let told = refusal(trusted(&file(name, PASSWORD)));
        assert!(told.contains("marked as trusted"), "{told}");
    }
}

/// Java takes them for each other since its version 9.
#[test]
fn jks_and_pkcs12_are_told_apart_by_what_is_in_them() {
    for (name, kind) in [("key.jks", StoreKind::Pkcs12), ("key.p12", StoreKind::Jks)] {
        let said = StoreFile {
            kind: Some(kind),
            ..file(name, PASSWORD)
        };
        assert!(keys(&said).is_ok(), "{name}");
    }
    let pem = StoreFile {
        kind: Some(StoreKind::Pem),
        ..file("key.jks", PASSWORD)
    };
    assert!(keys(&pem).is_err());
}

#[test]
fn what_is_not_read_says_what_to_do() {
    for (name, password, told) in [
        ("key.jks", "wrong", "the password does not fit"),
        ("key.p12", "wrong", "the password does not fit"),
        ("openssl-legacy.p12", "", "the password does not fit"),
        ("encrypted.pem", "wrong", "the password does not fit"),
        ("other-password.jks", PASSWORD, "give both the same"),
        ("jceks.jks", PASSWORD, "keytool -importkeystore"),
        ("old-encryption.pem", PASSWORD, "openssl pkcs8 -topk8"),
        ("README.md", PASSWORD, "its type must be said"),
        ("nowhere.jks", PASSWORD, "cannot be read"),
    ] {
        let found = refusal(keys(&file(name, password)));
        assert!(found.contains(told), "{name}: {found}");
        assert!(found.contains(name), "{found}");
        assert!(!found.contains(PASSWORD), "{found}");
    }
}

#[test]
fn a_password_may_stand_in_a_file_with_a_line_end_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    for (text, fits) in [
        ("changeit", true),
        ("changeit\n", true),
        ("changeit\r\n", true),
        ("changeit\n\n", false),
        (" changeit", false),
    ] {
        let said = directory.path().join("password");
        std::fs::write(&said, text).unwrap();
        let store = StoreFile {
            password: Password::InFile(said),
            ..file("key.jks", "")
        };
        assert_eq!(keys(&store).is_ok(), fits, "{text:?}");
    }
}

#[test]
fn a_store_that_is_cut_short_or_damaged_is_refused() {
    let whole = std::fs::read(path("key.jks")).unwrap();
    for end in 0..whole.len() {
        assert!(jks::read(&whole[..end], PASSWORD).is_err(), "{end} bytes");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x21;
        assert!(jks::read(&damaged, PASSWORD).is_err(), "byte {at}");
    }
    let whole = std::fs::read(path("key.p12")).unwrap();
    for end in 0..whole.len() {
        assert!(
            pkcs12::read(&whole[..end], PASSWORD).is_err(),
            "{end} bytes"
        );
    }
    let whole = std::fs::read(path("encrypted.pem")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for end in (0..whole.len()).step_by(7) {
        let cut = directory.path().join("cut.pem");
        std::fs::write(&cut, &whole[..end]).unwrap();
        let cut = StoreFile {
            path: cut,
            ..file("", PASSWORD)
        };
        // What is missing may be the authority's certificate, which need not be there.
        if let Ok(found) = keys(&cut) {
            assert_eq!(subjects(&found[0].chain)[0], SERVER, "{end} bytes");
        }
    }
}

/// Lengths that say more than there is take no memory.
#[test]
fn a_length_is_not_believed() {
    let sealed = |body: &[u8]| {
        use sha1::Digest;
        let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let hash = sha1::Sha1::new()
            .chain_update(password)
            .chain_update(b"Mighty Aphrodite")
            .chain_update(body)
            .finalize();
        [body, &hash[..]].concat()
    };
    let head = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
    let huge = [0x7f, 0xff, 0xff, 0xff];
    let entry = |kind: u8| [&[0, 0, 0, kind][..], &[0, 1, b'a'], &[0; 8]].concat();
    for body in [
        [&head[..], &huge].concat(),
        [&head[..], &[0, 0, 0, 1], &entry(1), &huge].concat(),
        [
            &head[..],
            &[0, 0, 0, 1],
            &entry(2),
            &[0, 5],
            b"X.509",
            &huge,
        ]
        .concat(),
        [&head[..], &[0, 0, 0, 1], &entry(3)].concat(),
        [&head[..4], &[0, 0, 0, 3]].concat(),
    ] {
        assert!(jks::read(&sealed(&body), PASSWORD).is_err(), "{body:?}");
    }
}
