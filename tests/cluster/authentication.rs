//! Who a client proves to be by digest and by SASL, what it must prove, and addresses in access lists.
//! What real clients make of it is in `tests/clients`.

use crate::{eventually_logged, options};
use std::fs;
use std::io::Read;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use tempfile::TempDir;
use vivarium::testing::certificates::Authority;
use vivarium::testing::eventually;
use vivarium::testing::processes::{ClusterOptions, PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{Bytes, RawClient, RawError, Reader, create_body, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const ALL: i32 = 31;
const READ: i32 = 1;
const NO_AUTH: i32 = -102;
const INVALID_ACL: i32 = -114;
const AUTH_FAILED: i32 = -115;
const MUST_AUTHENTICATE: i32 = -124;

fn client_of(cluster: &ProcessCluster) -> RawClient {
    RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap()
}

fn create_for(
    client: &mut RawClient,
    path: &str,
    perms: i32,
    scheme: &str,
    id: &str,
) -> Result<(), RawError> {
    let line = Bytes::new().int(1).int(perms).text(scheme).text(id);
    let body = Bytes::new().text(path).text("secret").raw(&line.0);
    client
        .ask(op::CREATE, body.int(flags::PERSISTENT))
        .map(drop)
}

/// The id of the only line.
fn listed_id(client: &mut RawClient, path: &str) -> String {
    let reply = client.ask(op::GET_ACL, Bytes::new().text(path)).unwrap();
    let mut reader = Reader(&reply.body);
    assert_eq!((reader.int(), reader.int()), (1, ALL));
    reader.string();
    reader.string()
}

fn reads<S: std::io::Read + std::io::Write>(client: &mut RawClient<S>, path: &str) -> i32 {
    client.code_of(op::GET_DATA, Bytes::new().text(path).flag(false))
}

/// The connection was ended by the server.
#[track_caller]
fn assert_closed(client: &mut RawClient) {
    let mut byte = [0];
    match client.stream().read(&mut byte) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("the connection is open: {other:?}"),
    }
}

/// Ids are as Java's `MessageDigest` makes them of `bob:secret`, and of `super:admin` for the operator.
#[test]
fn digests_are_of_the_algorithm_that_the_operator_chose() {
    for (lines, of_bob, of_super) in [
        (
            "",
            "bob:fyVmFCwVbTJYrznoSu1koqYEYF0=",
            "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=SHA-256",
            "bob:huAluaVu3uER4LIpielGv9Qqk5x3YVDr6I2R/mXf2wE=",
            "super:wtZw1Um4mq1rRKbXqxHs8ueodBP35/JhtBP/nwJ62WY=",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=SHA-512",
            "bob:MON49O1q1UU4gzHRH8XFfdstQyTRtQRoDT+8dvk+qrZdXJegJxeoYDJfch4LeWUjXjSWIiqnKXpFYZi7tC1AZw==",
            "super:ICbpgQLY7IUUeqcBGefDeb/WOl1Du5KoY5RX0+hDpW6UmhIeG6yfXhhCfQJHZChZeBdvUBXNvoumekY+NNKIPg==",
        ),
    ] {
        let with_digest = options(1).zoo_cfg(lines).zoo_cfg(&format!(
            "DigestAuthenticationProvider.superDigest={of_super}"
        ));
        let cluster = ProcessCluster::start(with_digest);
        let mut bob = client_of(&cluster);
        bob.authenticate("digest", "bob:secret").unwrap();
        create_for(&mut bob, "/bobs", ALL, "auth", "").unwrap();
        assert_eq!(listed_id(&mut bob, "/bobs"), of_bob);

        let mut other = client_of(&cluster);
        other.authenticate("digest", "bob:guess").unwrap();
        assert_eq!(reads(&mut other, "/bobs"), NO_AUTH);
        // Identities gather.
        other.authenticate("digest", "bob:secret").unwrap();
        assert_eq!(reads(&mut other, "/bobs"), 0);
        let mut admin = client_of(&cluster);
        admin.authenticate("digest", "super:admin").unwrap();
        assert_eq!(reads(&mut admin, "/bobs"), 0);
    }
}

#[test]
fn who_must_prove_something_is_closed_at_its_first_request_without_it() {
    let required = options(1).zoo_cfg("enforce.auth.enabled=true\nenforce.auth.schemes=digest");
    let cluster = ProcessCluster::start(required);
    let mut nobody = client_of(&cluster);
    let mut bob = client_of(&cluster);
    bob.authenticate("digest", "bob:secret").unwrap();
    bob.create("/bobs", b"", flags::PERSISTENT).unwrap();

    assert_eq!(reads(&mut nobody, "/bobs"), MUST_AUTHENTICATE);
    assert_closed(&mut nobody);
    // What is of another scheme is not enough, though it is proven.
    let mut by_address = client_of(&cluster);
    by_address.authenticate("ip", "").unwrap();
    let body = create_body("/mine", b"", flags::PERSISTENT);
    assert_eq!(by_address.code_of(op::CREATE, body), MUST_AUTHENTICATE);
    assert_closed(&mut by_address);
    bob.set_data("/bobs", b"served", 0).unwrap();
}

/// A JAAS file with the users `bob` and `super`.
fn with_users(directory: &TempDir) -> ClusterOptions {
    let path = directory.path().join("jaas.conf");
    let text = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
                user_super=\"admin\" user_bob=\"secret\"; };";
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    options(1)
        .java_property("java.security.auth.login.config", &path)
        .zoo_cfg("authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
}

fn sasl(client: &mut RawClient, token: &[u8]) -> Result<Option<Vec<u8>>, RawError> {
    let reply = client.ask(op::SASL, Bytes::new().text(token))?;
    Ok(Reader(&reply.body).buffer())
}

/// A challenge, and then tokens that prove nothing.
#[test]
fn a_token_that_proves_nothing_ends_its_connection_and_no_other() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (lines, code) in [
        ("", AUTH_FAILED),
        ("sessionRequireClientSASLAuth=true", MUST_AUTHENTICATE),
    ] {
        let cluster = ProcessCluster::start(with_users(&directory).zoo_cfg(lines));
        for token in [
            &b""[..],
            b"garbage",
            b"username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"n\",nc=00000001,cnonce=\"c\",\
              digest-uri=\"zookeeper/zk-sasl-md5\",qop=auth,charset=utf-8,\
              response=0123456789abcdef0123456789abcdef",
            &[0xff; 2000],
        ] {
            let mut client = client_of(&cluster);
            let challenge = sasl(&mut client, b"").unwrap().unwrap();
            let challenge = String::from_utf8(challenge).unwrap();
            for part in [
                "realm=\"zk-sasl-md5\"",
                "nonce=\"",
                "charset=utf-8",
                "algorithm=md5-sess",
            ] {
                assert!(challenge.contains(part), "{challenge}");
            }
            match sasl(&mut client, token) {
                Err(RawError::Code(found)) => assert_eq!(found, code),
                other => panic!("{}: {other:?}", String::from_utf8_lossy(token)),
            }
            assert_closed(&mut client);
        }
        if cluster.subject().is_vivarium() {
            eventually_logged(&cluster, &["SASL has failed"]);
            assert!(!cluster.member(1).log().contains("secret"));
        }
        let mut nobody = client_of(&cluster);
        let expected = if lines.is_empty() {
            0
        } else {
            MUST_AUTHENTICATE
        };
        assert_eq!(reads(&mut nobody, "/zookeeper"), expected);
    }
}

#[test]
fn a_failure_that_is_tolerated_leaves_a_client_that_is_nobody() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tolerant = with_users(&directory).zoo_cfg("allowSaslFailedClients=true");
    let cluster = ProcessCluster::start(tolerant);
    let mut client = client_of(&cluster);
    sasl(&mut client, b"").unwrap().unwrap();
    let told = sasl(&mut client, b"garbage").unwrap();
    assert!(told.unwrap_or_default().is_empty());
    client.create("/open", b"", flags::PERSISTENT).unwrap();
    match create_for(&mut client, "/mine", ALL, "auth", "") {
        Err(RawError::Code(INVALID_ACL)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_there_is_no_sasl_a_client_is_told_nothing_and_goes_on() {
    let cluster = ProcessCluster::start(options(1));
    let mut client = client_of(&cluster);
    assert_eq!(sasl(&mut client, b"").unwrap().unwrap_or_default(), b"");
    client.create("/open", b"", flags::PERSISTENT).unwrap();
}

#[test]
fn an_address_is_granted_by_its_leading_bits() {
    let cluster = ProcessCluster::start(options(1));
    let mut client = client_of(&cluster);
    for (name, range, code) in [
        ("/own", "127.0.0.1", 0),
        ("/net", "127.255.0.0/8", 0),
        ("/any", "10.0.0.0/0", 0),
        ("/other", "127.0.0.2", NO_AUTH),
        ("/half", "127.0.0.2/31", NO_AUTH),
        ("/v6", "::/0", NO_AUTH),
    ] {
        create_for(&mut client, name, READ, "ip", range).unwrap();
        assert_eq!(reads(&mut client, name), code, "{range}");
    }
    match create_for(&mut client, "/bad", READ, "ip", "127.0.0.1/33") {
        Err(RawError::Code(INVALID_ACL)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ipv6_address_is_granted_by_its_leading_bits() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let authority = Authority::new("authority");
    let store = directory.path().join("key.pem");
    fs::write(&store, authority.issue("server").store()).unwrap();
    let port = free_port();
    let cluster = ProcessCluster::start(options(1).zoo_cfg(&format!(
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         secureClientPort={port}\nsecureClientPortAddress=::1\n\
         ssl.clientAuth=none\nssl.keyStore.location={}",
        store.display()
    )));
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let mut six = eventually("TLS clients are waited for", PATIENCE, || {
        RawClient::connect_secured(address, TIMEOUT_MS, &authority, None).ok()
    });
    let mut four = client_of(&cluster);
    for (name, range, codes) in [
        ("/one", "::1", (0, NO_AUTH)),
        ("/written-out", "0:0:0:0:0:0:0:1/128", (0, NO_AUTH)),
        ("/net", "::8000/112", (0, NO_AUTH)),
        ("/all", "fe80::/0", (0, NO_AUTH)),
        ("/other", "::2", (NO_AUTH, NO_AUTH)),
        ("/v4", "127.0.0.0/8", (NO_AUTH, 0)),
    ] {
        create_for(&mut four, name, READ, "ip", range).unwrap();
        assert_eq!(
            (reads(&mut six, name), reads(&mut four, name)),
            codes,
            "{range}"
        );
    }
    let reply = six.ask(op::WHO_AM_I, Bytes::new()).unwrap();
    let mut reader = Reader(&reply.body);
    assert_eq!(reader.int(), 1);
    assert_eq!(
        (reader.string(), reader.string()),
        ("ip".to_owned(), "0:0:0:0:0:0:0:1".to_owned())
    );
}

/// Ours alone: the original lets them gather for as long as it has memory.
#[test]
fn a_connection_that_gathers_ever_more_identities_is_ended() {
    let cluster = ProcessCluster::start(options(1));
    if !cluster.subject().is_vivarium() {
        return;
    }
    let (mut other, mut many) = (client_of(&cluster), client_of(&cluster));
    let refused = (0..1_000).find_map(|n| {
        let proof = format!("user-{n}:secret");
        many.authenticate("digest", &proof)
            .err()
            .map(|error| (n, error))
    });
    let (count, error) = refused.unwrap();
    assert!((100..1_000).contains(&count), "{count}");
    assert!(matches!(error, RawError::Code(AUTH_FAILED)), "{error:?}");
    assert_closed(&mut many);
    other.sync().unwrap();
}
