//! TLS at the client door: on a port of its own and on the plain one, with and without certificates of
//! clients, and with stores that are exchanged under way. The stores are PEM here; those of Java's
//! tools are in `tests/clients`.

use crate::metrics::{scrape, value};
use crate::{eventually_logged, options};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use vivarium::testing::certificates::{Authority, Issued};
use vivarium::testing::eventually;
use vivarium::testing::processes::{PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{
    Bytes, RawClient, RawError, Reader, SecureStream, flags, op, open, open_secured,
};

const TIMEOUT_MS: i32 = 30_000;
const ALL: i32 = 31;
const NO_AUTH: i32 = -102;

/// A server's stores, and those who issued what is in them.
struct Ground {
    directory: TempDir,
    /// Has issued the server's certificate and is trusted by it.
    authority: Authority,
    port: u16,
}

impl Ground {
    fn new() -> Ground {
        let ground = Ground {
            directory: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            authority: Authority::new("authority"),
            port: free_port(),
        };
        ground.put("key.pem", &ground.authority.issue("server").store());
        ground.put("trust.pem", &ground.authority.pem);
        ground
    }

    fn put(&self, name: &str, text: &str) {
        // In one step, as tools that renew certificates do it.
        let (new, path) = (self.path("new"), self.path(name));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// The stores, as a `zoo.cfg` names them.
    fn stores(&self) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        format!(
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n\
             ssl.keyStore.location={}\nssl.trustStore.location={}\nclient.certReload=true",
            path("key.pem"),
            path("trust.pem")
        )
    }

    fn start(&self, lines: &str) -> ProcessCluster {
        let with_tls = options(1)
            .zoo_cfg(&self.stores())
            .zoo_cfg(&format!(
                "secureClientPort={}\nsecureClientPortAddress=127.0.0.1",
                self.port
            ))
            .zoo_cfg(lines)
            .setting("tls.reload_interval_ms", 100);
        let cluster = ProcessCluster::start(with_tls);
        // The original opens this port behind the other one.
        eventually("TLS clients are waited for", PATIENCE, || {
            open(self.address()).ok()
        });
        cluster
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn connect(&self, shows: Option<&Issued>) -> Result<RawClient<SecureStream>, RawError> {
        RawClient::connect_secured(self.address(), TIMEOUT_MS, &self.authority, shows)
    }

    fn client(&self, name: &str) -> RawClient<SecureStream> {
        self.connect(Some(&self.authority.issue(name))).unwrap()
    }
}

/// The identities of a connection, as it is told; sorted, because the original keeps them in a set.
fn who_am_i<S: Read + Write>(client: &mut RawClient<S>) -> Vec<(String, String)> {
    let reply = client.ask(op::WHO_AM_I, Bytes::new()).unwrap();
    let mut reader = Reader(&reply.body);
    let mut ids: Vec<_> = (0..reader.int())
        .map(|_| (reader.string(), reader.string()))
        .collect();
    ids.sort();
    ids
}

fn pair(scheme: &str, id: &str) -> (String, String) {
    (scheme.to_owned(), id.to_owned())
}

/// The scheme and the id of each line.
fn access_list<S: Read + Write>(client: &mut RawClient<S>, path: &str) -> Vec<(String, String)> {
    let reply = client.ask(op::GET_ACL, Bytes::new().text(path)).unwrap();
    let mut reader = Reader(&reply.body);
    (0..reader.int())
        .map(|_| {
            reader.int();
            (reader.string(), reader.string())
        })
        .collect()
}

/// Creates a znode with one line of all rights.
fn create_for<S: Read + Write>(
    client: &mut RawClient<S>,
    path: &str,
    scheme: &str,
    id: &str,
) -> Result<(), RawError> {
    let line = Bytes::new().int(1).int(ALL).text(scheme).text(id);
    let body = Bytes::new().text(path).text("secret").raw(&line.0);
    client
        .ask(op::CREATE, body.int(flags::PERSISTENT))
        .map(drop)
}

#[track_caller]
fn assert_turned_away(found: Result<RawClient<SecureStream>, RawError>, who: &str) {
    match found {
        Err(RawError::Connection(_)) => {}
        Err(other) => panic!("{who}: {other:?}"),
        Ok(_) => panic!("{who} was let in"),
    }
}

#[test]
fn a_port_of_its_own_serves_tls_beside_plain_clients() {
    let ground = Ground::new();
    let cluster = ground.start("");
    let plain_address = cluster.client_address(1);
    let mut plain = RawClient::connect(plain_address, TIMEOUT_MS).unwrap();
    let mut bob = ground.client("bob");
    assert_eq!(
        who_am_i(&mut bob),
        [pair("ip", "127.0.0.1"), pair("x509", "CN=bob,O=Example")]
    );
    assert_eq!(who_am_i(&mut plain), [pair("ip", "127.0.0.1")]);

    // Many records of TLS each, in both directions.
    let data: Vec<u8> = (0..900_000u32).map(|i| (i % 251) as u8).collect();
    bob.create("/large", &data, flags::PERSISTENT).unwrap();
    assert!(bob.data("/large").unwrap().0 == data);
    assert!(plain.data("/large").unwrap().0 == data);

    let watched = Bytes::new().text("/large").flag(true);
    bob.ask(op::GET_DATA, watched).unwrap();
    plain.set_data("/large", b"small", 0).unwrap();
    let told = || {
        bob.exists("/").unwrap();
        Some(bob.take_events()).filter(|events| !events.is_empty())
    };
    let events = eventually("the watch of a TLS client is told", PATIENCE, told);
    assert_eq!(events, [(3, "/large".to_owned())]);

    // Who comes to the other one's door is closed, and nobody else notices.
    open_secured(plain_address, &ground.authority, None).expect_err("no TLS is spoken there");
    RawClient::connect(ground.address(), TIMEOUT_MS).expect_err("TLS alone is spoken there");
    if cluster.subject().is_vivarium() {
        eventually_logged(
            &cluster,
            &[
                "TLS on the plain ZooKeeper port",
                "a plain client on a TLS port",
            ],
        );
    }
    bob.set_data("/large", b"bob", 1).unwrap();
    plain.set_data("/large", b"plain", 2).unwrap();
    bob.close().unwrap();
}

#[test]
fn one_port_serves_both_kinds_on_every_member() {
    let ground = Ground::new();
    let both = options(3)
        .zoo_cfg(&ground.stores())
        .zoo_cfg("client.portUnification=true\nssl.clientAuth=want");
    let cluster = ProcessCluster::start(both);
    let alice = ground.authority.issue("alice");
    for member in 1..=3 {
        let address = cluster.client_address(member);
        let shows = (member > 1).then_some(&alice);
        let mut secure =
            RawClient::connect_secured(address, TIMEOUT_MS, &ground.authority, shows).unwrap();
        let mut plain = RawClient::connect(address, TIMEOUT_MS).unwrap();
        let ip = pair("ip", "127.0.0.1");
        assert_eq!(who_am_i(&mut plain), vec![ip.clone()]);
        let shown = pair("x509", "CN=alice,O=Example");
        let expected = if member > 1 {
            vec![ip, shown]
        } else {
            vec![ip]
        };
        assert_eq!(who_am_i(&mut secure), expected);
        let path = format!("/by-{member}");
        secure.create(&path, b"", flags::EPHEMERAL).unwrap();
        plain.sync().unwrap();
        assert!(plain.exists(&path).unwrap().is_some());
        secure.close().unwrap();
        plain.sync().unwrap();
        assert!(plain.exists(&path).unwrap().is_none());
        assert!(cluster.member(member).four_letter_word("ruok").is_some());
    }
}

#[test]
fn a_certificate_is_needed_wanted_or_not_asked_for() {
    for (asked, without, of_a_stranger) in [
        ("need", false, false),
        ("want", true, false),
        ("none", true, true),
    ] {
        let ground = Ground::new();
        let cluster = ground.start(&format!("ssl.clientAuth={asked}"));
        let mut plain = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
        let stranger = Authority::new("strangers").issue("mallory");
        for (shows, let_in) in [(None, without), (Some(&stranger), of_a_stranger)] {
            match ground.connect(shows) {
                Ok(mut client) if let_in => {
                    assert_eq!(who_am_i(&mut client), [pair("ip", "127.0.0.1")]);
                }
                other if !let_in => assert_turned_away(other, asked),
                Ok(_) | Err(_) => panic!("{asked}: a client was turned away"),
            }
        }
        let mut bob = ground.client("bob");
        let ids = who_am_i(&mut bob);
        let x509 = pair("x509", "CN=bob,O=Example");
        assert_eq!(ids.contains(&x509), asked != "none", "{asked}: {ids:?}");
        plain.exists("/").expect("the neighbour is served");
    }
}

/// Issued by the right authority, and for another machine.
#[test]
fn a_certificate_of_another_machine_is_refused_where_its_address_is_verified() {
    for (verified, let_in) in [(false, true), (true, false)] {
        let ground = Ground::new();
        let cluster = ground.start(&format!(
            "ssl.clientHostnameVerification={verified}\nssl.clientAuth=want"
        ));
        let elsewhere = [192, 0, 2, 7].into();
        let stolen = &ground.authority;
        let stolen = stolen.issue_elsewhere("eve", elsewhere, "elsewhere.example");
        match ground.connect(Some(&stolen)) {
            Ok(mut eve) if let_in => {
                assert!(who_am_i(&mut eve).contains(&pair("x509", "CN=eve,O=Example")));
            }
            other if !let_in => assert_turned_away(other, "a client of another machine"),
            other => panic!("{other:?}"),
        }
        if cluster.subject().is_vivarium() && !let_in {
            eventually_logged(&cluster, &["does not name 127.0.0.1"]);
            let page = scrape(cluster.member(1).admin_address());
            let failed = "vivarium_tls_handshakes_total{result=\"failed\"}";
            assert_eq!(value(&page, failed), 1.0);
        }
        let mut bob = ground.client("bob");
        assert!(who_am_i(&mut bob).contains(&pair("x509", "CN=bob,O=Example")));
        let mut nobody = ground
            .connect(None)
            .expect("who shows nothing claims nothing");
        assert_eq!(who_am_i(&mut nobody), [pair("ip", "127.0.0.1")]);
    }
}

#[test]
fn a_subject_owns_what_it_made_and_the_operators_one_passes_every_list() {
    let ground = Ground::new();
    let cluster = ground.start("X509AuthenticationProvider.superUser=CN=admin,O=Example");
    let mut bob = ground.client("bob");
    let mut alice = ground.client("alice");
    create_for(&mut bob, "/mine", "auth", "").unwrap();
    create_for(&mut bob, "/hers", "x509", "CN=alice,O=Example").unwrap();
    let line = |name: &str| [pair("x509", &format!("CN={name},O=Example"))];
    assert_eq!(access_list(&mut bob, "/mine"), line("bob"));
    assert_eq!(access_list(&mut alice, "/hers"), line("alice"));
    let read = |client: &mut RawClient<SecureStream>, path: &str| {
        client.code_of(op::GET_DATA, Bytes::new().text(path).flag(false))
    };
    assert_eq!(
        (read(&mut bob, "/mine"), read(&mut bob, "/hers")),
        (0, NO_AUTH)
    );
    assert_eq!(
        (read(&mut alice, "/mine"), read(&mut alice, "/hers")),
        (NO_AUTH, 0)
    );

    // The subject counts, and not the certificate: it is renewed now and then.
    let mut renewed = ground.client("bob");
    assert_eq!(read(&mut renewed, "/mine"), 0);
    let mut admin = ground.client("admin");
    assert_eq!(
        (read(&mut admin, "/mine"), read(&mut admin, "/hers")),
        (0, 0)
    );
    let ids = who_am_i(&mut admin);
    assert!(ids.contains(&pair("super", "")), "{ids:?}");
    let mut plain = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    let mine = Bytes::new().text("/mine").flag(false);
    assert_eq!(plain.code_of(op::GET_DATA, mine), NO_AUTH);
}

#[test]
fn exchanged_stores_are_in_force_without_a_restart_and_damaged_ones_are_not() {
    let ground = Ground::new();
    let cluster = ground.start("");
    let mut bob = ground.client("bob");

    let next = Authority::new("the next authority");
    let carol = next.issue("carol");
    let by_next = |shows: &Issued| {
        RawClient::connect_secured(ground.address(), TIMEOUT_MS, &next, Some(shows))
    };
    assert_turned_away(ground.connect(Some(&carol)), "carol");
    ground.put("trust.pem", &next.pem);
    ground.put("key.pem", &next.issue("server").store());
    let mut carol_in = eventually("the next authority is in force", PATIENCE, || {
        by_next(&carol).ok()
    });
    let ids = who_am_i(&mut carol_in);
    assert!(ids.contains(&pair("x509", "CN=carol,O=Example")), "{ids:?}");
    let alice = ground.authority.issue("alice");
    assert_turned_away(by_next(&alice), "alice, of the authority before");
    bob.exists("/")
        .expect("a connection that there was goes on");

    if !cluster.subject().is_vivarium() {
        return;
    }
    ground.put(
        "key.pem",
        "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n",
    );
    eventually_logged(&cluster, &["are not taken", "key.pem"]);
    by_next(&carol).expect("the stores before the damage are in force");
    ground.put("key.pem", &ground.authority.issue("server").store());
    ground.put("trust.pem", &ground.authority.pem);
    eventually("the stores are repaired", PATIENCE, || {
        ground.connect(Some(&alice)).ok()
    });
}

/// Clients that connect and say nothing, or nothing sensible, cost the others nothing.
#[test]
fn handshakes_that_lead_nowhere_harm_nobody() {
    let ground = Ground::new();
    let cluster = ground.start("");
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(open(ground.address()).unwrap());
    }
    let garbage: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x80, 0x2e, 1, 3, 1],
        &[0xff; 600],
    ];
    for bytes in garbage {
        let mut stream = open(ground.address()).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream);
    }
    let mut bob = ground.client("bob");
    bob.create("/served", b"", flags::PERSISTENT).unwrap();
    let mut plain = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    assert!(plain.exists("/served").unwrap().is_some());
}

#[test]
fn stores_that_cannot_be_read_are_named_and_the_member_does_not_start() {
    if !options(1).subject.is_vivarium() {
        return;
    }
    let ground = Ground::new();
    let missing = ground.path("missing.pem");
    for (key, path, told) in [
        (
            "ssl.keyStore.location",
            missing.as_path(),
            "missing.pem cannot be read",
        ),
        (
            "ssl.keyStore.location",
            &ground.path("trust.pem"),
            "there is no private key in it",
        ),
    ] {
        let cluster = refused(&ground, key, path);
        let log = cluster.member(1).log();
        assert!(log.contains(told), "{told:?} is not in: {log}");
    }
}

/// A member that ended because of one of its stores.
fn refused(ground: &Ground, key: &str, path: &Path) -> ProcessCluster {
    let with_tls = options(1)
        .zoo_cfg(&format!("secureClientPort={}", ground.port))
        .zoo_cfg(&ground.stores())
        .zoo_cfg(&format!("{key}={}", path.display()));
    let mut cluster = ProcessCluster::prepare(with_tls);
    cluster.start_member(1);
    let ended = || cluster.member_mut(1).exit_status();
    let status = eventually("the member ends", PATIENCE, ended);
    assert_eq!(status.code(), Some(3));
    cluster
}
