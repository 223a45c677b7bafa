use super::*;

fn line(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl {
        perms: Permissions(perms),
        id: Id::new(scheme, id),
    }
}

fn ip(address: &str) -> Vec<Id> {
    vec![Id::new("ip", address)]
}

#[test]
fn malformed_lists_are_refused() {
    for (scheme, id) in [
        ("world", "nobody"),
        ("world", ""),
        ("", ""),
        ("nobody", "x"),
        ("x509", "a"),
        ("x509", "CN"),
        ("x509", "XX=a"),
        ("sasl", "a@b@c"),
        ("sasl", "a/b/c@d"),
        ("sasl", "a@b/c"),
        ("super", ""),
        ("digest", ""),
        ("digest", "user"),
        ("digest", "user:"),
        ("digest", "a:b:c"),
        ("digest", "::"),
        ("ip", ""),
        ("ip", "1.2.3"),
        ("ip", "1.2.3.4.5"),
        ("ip", "1.2.3.256"),
        ("ip", "1.2.3.-1"),
        ("ip", "1.2.3.x"),
        ("ip", "1.2.3.4/33"),
        ("ip", "1.2.3.4/-1"),
        ("ip", "1.2.3.4/"),
        ("ip", "1.2.3.4/8/8"),
        ("ip", "::1/129"),
        ("ip", ":::1"),
        ("ip", "fe80::1%eth0"),
        ("ip", "::ffff:10.0.0.1"),
        ("ip", "1:2:3:4:5:6:7"),
        ("ip", "1:2:3:4::5:6:7:8"),
        ("ip", "1::2::3"),
        ("ip", "::12345"),
        ("ip", "::g"),
        ("ip", "::/129"),
    ] {
        let sent = [Acl::open()[0].clone(), line(31, scheme, id)];
        assert_eq!(fixup(&sent, &[]), Err(Refusal::InvalidAcl), "{scheme}:{id}");
    }
    assert_eq!(fixup(&[], &ip("1.2.3.4")), Err(Refusal::InvalidAcl));
}

#[test]
fn well_formed_lists_are_kept_in_order_without_duplicates() {
    let sent = [
        line(1, "world", "anyone"),
        line(31, "digest", "user:hash"),
        line(1, "world", "anyone"),
        line(2, "world", "anyone"),
        line(31, "digest", "user:hash:"),
        line(31, "digest", ":hash"),
        line(31, "ip", "10.0.0.0/8"),
        line(31, "ip", "1.2.3.04/0"),
        line(31, "ip", "fd00::/8"),
        line(31, "ip", "1:2:3:4:5:6:7::"),
        line(31, "sasl", "bob"),
        line(31, "sasl", "zookeeper/host@REALM"),
        line(31, "x509", "CN=a, O=\"b, c\""),
        line(31, "x509", ""),
    ];
    let stored = fixup(&sent, &[]).unwrap();
    let expected: Vec<Acl> = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
        .map(|at: usize| sent[at].clone())
        .into();
    assert_eq!(stored.into_owned(), expected);
}

/// Also one that becomes so long by what `auth` stands for.
#[test]
fn a_list_of_too_many_lines_is_refused() {
    let ips = |count: usize| -> Vec<Acl> {
        let address = |n: usize| format!("10.0.{}.{}", n / 256, n % 256);
        (0..count).map(|n| line(31, "ip", &address(n))).collect()
    };
    assert_eq!(fixup(&ips(LINES_MAX), &[]).unwrap().len(), LINES_MAX);
    assert_eq!(fixup(&ips(LINES_MAX + 1), &[]), Err(Refusal::InvalidAcl));
    let proven = |count: usize| -> Vec<Id> {
        let user = |n| Id::new("digest", format!("{n}:hash"));
        (0..count).map(user).collect()
    };
    let lines: Vec<Acl> = (0..32).map(|perms| line(perms, "auth", "")).collect();
    assert_eq!(fixup(&lines, &proven(32)).unwrap().len(), LINES_MAX);
    assert_eq!(fixup(&lines, &proven(33)), Err(Refusal::InvalidAcl));
}

#[test]
fn auth_becomes_every_proven_identity_and_is_refused_without_one() {
    let sent = [line(5, "auth", "whatever")];
    let identities = [
        Id::new("ip", "1.2.3.4"),
        Id::new("super", ""),
        Id::new("digest", "a:x"),
        Id::new("digest", "b:y"),
        Id::new("x509", "CN=a"),
        Id::new("sasl", "bob"),
    ];
    assert_eq!(
        fixup(&sent, &identities).unwrap().into_owned(),
        [
            line(5, "digest", "a:x"),
            line(5, "digest", "b:y"),
            line(5, "x509", "CN=a"),
            line(5, "sasl", "bob")
        ]
    );
    assert_eq!(fixup(&sent, &identities[..2]), Err(Refusal::InvalidAcl));
    let mixed = [line(5, "digest", "a:x"), sent[0].clone()];
    assert_eq!(fixup(&mixed, &identities).unwrap().len(), 5);
}

#[test]
fn only_the_wanted_permission_of_the_right_identity_counts() {
    let acl = [line(1, "world", "anyone"), line(6, "digest", "a:x")];
    let somebody = [Id::new("ip", "1.2.3.4"), Id::new("digest", "a:x")];
    assert!(allows(&acl, Permissions::READ, &[]));
    assert!(allows(&acl, Permissions::WRITE, &somebody));
    assert!(!allows(
        &acl,
        Permissions::WRITE,
        &[Id::new("digest", "a:y")]
    ));
    assert!(!allows(&acl, Permissions::WRITE, &[Id::new("sasl", "a:x")]));
    assert!(!allows(&acl, Permissions::ADMIN, &somebody));
    assert!(allows(&acl, Permissions::ADMIN, &[Id::new("super", "")]));
    assert!(allows(&[], Permissions::ADMIN, &[]));
}

#[test]
fn a_subject_is_matched_letter_by_letter_and_the_sasl_super_user_by_every_sasl_line() {
    let acl = [line(1, "x509", "CN=a,O=b"), line(2, "sasl", "bob")];
    let who = |scheme: &str, id: &str| [Id::new(scheme, id)];
    assert!(allows(&acl, Permissions::READ, &who("x509", "CN=a,O=b")));
    assert!(!allows(&acl, Permissions::READ, &who("x509", "CN=a, O=b")));
    assert!(!allows(&acl, Permissions::READ, &who("sasl", "super")));
    assert!(allows(&acl, Permissions::WRITE, &who("sasl", "super")));
    assert!(allows(&acl, Permissions::WRITE, &who("sasl", "bob")));
    assert!(!allows(&acl, Permissions::WRITE, &who("sasl", "alice")));
}

#[test]
fn an_address_is_matched_by_its_leading_bits() {
    for (range, address, inside) in [
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.1.2.3/31", "10.1.2.2", true),
        ("10.1.2.3/31", "10.1.2.1", false),
        ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "::1", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fe12::1", false),
        ("::/0", "fe80:0:0:0:0:0:0:1", true),
        ("::/0", "fe80:0:0:0:0:0:0:1%eth0", false),
        ("fd00::/9", "fd7f::", true),
        ("fd00::/9", "fd80::", false),
        ("::/0", "10.0.0.1", false),
        ("10.0.0.0/8", "::ffff:a00:1", false),
        ("10.0.0.0/8", "elsewhere", false),
    ] {
        let acl = [line(1, "ip", range)];
        assert_eq!(
            allows(&acl, Permissions::READ, &ip(address)),
            inside,
            "{address} in {range}"
        );
    }
}

#[test]
fn hashes_are_hidden_and_the_rest_is_shown() {
    let acl = [
        line(1, "world", "anyone"),
        line(31, "digest", "user:hash:more"),
        line(31, "digest", "nohash"),
        line(31, "ip", "::1"),
    ];
    let shown = without_secrets(&acl);
    assert_eq!(shown[0], acl[0]);
    assert_eq!(shown[1], line(31, "digest", "user:x"));
    assert_eq!(shown[2], acl[2]);
    assert_eq!(shown[3], acl[3]);
}
