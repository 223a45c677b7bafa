//! Who may call: TLS at the gRPC door, with and without certificates of clients, and bearer tokens.

use super::caller::{Caller, eventually, reason};
use super::options;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::error::Error as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};
use tonic::{Code, Request, Status};
use vivarium::api::GetRequest;
use vivarium::testing::certificates::{Authority, Issued};
use vivarium::testing::processes::{PATIENCE, ProcessCluster, free_port};
use vivarium::testing::raw_client::{Bytes, RawClient, SecureStream, flags, op};

const TIMEOUT_MS: i32 = 30_000;
const ALL: i32 = 31;

/// A server's stores, and those who issued what is in them.
struct Ground {
    directory: TempDir,
    /// Has issued the server's certificate and is trusted by it.
    authority: Authority,
}

impl Ground {
    fn new() -> Ground {
        let ground = Ground {
            directory: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            authority: Authority::new("authority"),
        };
        ground.put("key.pem", &ground.authority.issue("server").store());
        ground.put("trust.pem", &ground.authority.pem);
        ground
    }

    /// In one step, as tools that renew certificates do it.
    fn put(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, more: &[(&str, &str)]) -> ProcessCluster {
        let mut with_tls = options(1)
            .setting("doors.grpc.tls", "only")
            .setting("tls.key_store", self.path("key.pem").display())
            .setting("tls.trust_store", self.path("trust.pem").display())
            .setting("tls.reload_interval_ms", 100);
        for (key, value) in more {
            with_tls = with_tls.setting(key, value);
        }
        ProcessCluster::start(with_tls)
    }

    async fn connect(
        &self,
        cluster: &ProcessCluster,
        shows: Option<&Issued>,
    ) -> Result<Caller, Error> {
        connect(cluster, &self.authority, shows).await
    }
}

/// A client that believes `authority` alone.
async fn connect(
    cluster: &ProcessCluster,
    authority: &Authority,
    shows: Option<&Issued>,
) -> Result<Caller, Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    if let Some(issued) = shows {
        tls = tls.identity(Identity::from_pem(&issued.pem, &issued.key_pem));
    }
    let address = cluster.member(1).grpc_address();
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .connect_timeout(PATIENCE)
        .tls_config(tls)
        .unwrap();
    let channel = endpoint.connect().await?;
    Ok(Caller { channel })
}

/// Whether a call is answered: by TLS 1.3 a client learns with its first one that its certificate is not
/// believed.
async fn is_served(connected: Result<Caller, Error>) -> bool {
    match connected {
        Ok(caller) => match caller.value("/nothing").await {
            Err(status) if status.code() == Code::NotFound => true,
            // The connection has failed, and not the call.
            Err(status) if status.source().is_some() => false,
            Err(status) => panic!("{status}"),
            Ok(value) => panic!("{value}"),
        },
        Err(_) => false,
    }
}

async fn eventually_connected(
    cluster: &ProcessCluster,
    authority: &Authority,
    shows: &Issued,
) -> Caller {
    eventually("the client is let in", || async {
        let caller = connect(cluster, authority, Some(shows)).await.ok()?;
        is_served(Ok(caller.clone())).await.then_some(caller)
    })
    .await
}

/// Creates a znode with one line of all rights.
fn create_for<S: Read + Write>(client: &mut RawClient<S>, path: &str, scheme: &str, id: &str) {
    let line = Bytes::new().int(1).int(ALL).text(scheme).text(id);
    let body = Bytes::new().text(path).text("secret").raw(&line.0);
    client.ask(op::CREATE, body.int(flags::PERSISTENT)).unwrap();
}

fn denied() -> (Code, String) {
    (Code::PermissionDenied, "ACCESS_DENIED".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_a_plain_client_is_refused_without_harm() {
    let ground = Ground::new();
    let cluster = ground.start(&[("tls.client_auth", "none")]);
    let caller = ground.connect(&cluster, None).await.unwrap();
    let kept = caller.open("").await;
    // Many records of TLS.
    let large = "x".repeat(900_000);
    caller.register(&kept, "/a", &large).await.unwrap();
    assert_eq!(caller.value("/a").await.unwrap(), large);

    let address = cluster.member(1).grpc_address();
    let plain = Channel::from_shared(format!("http://{address}")).unwrap();
    assert!(!is_served(plain.connect().await.map(|channel| Caller { channel })).await);
    let stranger = Authority::new("strangers");
    let unbelieving = connect(&cluster, &stranger, None).await;
    unbelieving
        .map(drop)
        .expect_err("it does not believe the member");
    let garbage: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0xff; 600],
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes).unwrap();
    }
    // Clients that begin a handshake and do not go on keep nobody from being let in.
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let other = ground.connect(&cluster, None).await.unwrap();
    assert_eq!(other.value("/a").await.unwrap(), large);
    caller.register(&kept, "/a", "y").await.unwrap();
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_under_way_have_a_limit() {
    let ground = Ground::new();
    let cluster = ground.start(&[("tls.client_auth", "none"), ("tls.handshakes_max", "2")]);
    let address = cluster.member(1).grpc_address();
    let silent = RefCell::new(Vec::new());
    // One more with each try: the first two may come after a try, and find no place themselves.
    eventually("all places are taken", || async {
        let more = TcpStream::connect(address).unwrap();
        silent.borrow_mut().push(more);
        ground.connect(&cluster, None).await.err()
    })
    .await;
    drop(silent);
    eventually("a place is given back", || async {
        ground.connect(&cluster, None).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_needed_wanted_or_not_asked_for() {
    for (asked, without, of_a_stranger) in [
        ("need", false, false),
        ("want", true, false),
        ("none", true, true),
    ] {
        let ground = Ground::new();
        let cluster = ground.start(&[("tls.client_auth", asked)]);
        let bob = ground.authority.issue("bob");
        let stranger = Authority::new("strangers").issue("mallory");
        for (shows, let_in) in [
            (None, without),
            (Some(&stranger), of_a_stranger),
            (Some(&bob), true),
        ] {
            let connected = ground.connect(&cluster, shows).await;
            assert_eq!(is_served(connected).await, let_in, "{asked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_the_same_identity_by_both_front_ends() {
    let ground = Ground::new();
    let port = free_port();
    let client_door = format!("127.0.0.1:{port}");
    let cluster = ground.start(&[
        ("doors.client_tls.bind", &client_door),
        ("access.x509_super_user", "CN=admin,O=Example"),
        ("tls.client_auth", "want"),
    ]);
    let bob = ground.authority.issue("bob");
    let secured: &dyn Fn() -> RawClient<SecureStream> = &|| {
        let address = client_door.parse().unwrap();
        RawClient::connect_secured(address, TIMEOUT_MS, &ground.authority, Some(&bob)).unwrap()
    };
    let mut zookeeper = secured();
    create_for(&mut zookeeper, "/bobs", "auth", "");
    create_for(&mut zookeeper, "/alices", "x509", "CN=alice,O=Example");

    let called = |name: &str| {
        let issued = ground.authority.issue(name);
        let (ground, cluster) = (&ground, &cluster);
        async move { ground.connect(cluster, Some(&issued)).await.unwrap() }
    };
    let (alice, bob, admin) = (
        called("alice").await,
        called("bob").await,
        called("admin").await,
    );
    let nobody = ground.connect(&cluster, None).await.unwrap();
    assert_eq!(bob.value("/bobs").await.unwrap(), "secret");
    assert_eq!(reason(bob.value("/alices").await), denied());
    assert_eq!(reason(alice.value("/bobs").await), denied());
    assert_eq!(alice.value("/alices").await.unwrap(), "secret");
    for path in ["/bobs", "/alices"] {
        assert_eq!(admin.value(path).await.unwrap(), "secret");
        assert_eq!(reason(nobody.value(path).await), denied());
    }
    // And what bob registers natively is his by the other front end.
    let kept = bob.open("").await;
    bob.register(&kept, "/bobs/registered", "x").await.unwrap();
    assert_eq!(zookeeper.data("/bobs/registered").unwrap().0, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_certificate_is_proof_enough() {
    let ground = Ground::new();
    let cluster = ground.start(&[
        ("tls.client_auth", "want"),
        ("access.required_schemes", "x509"),
    ]);
    let bob = ground.authority.issue("bob");
    let nobody = ground.connect(&cluster, None).await.unwrap();
    assert_eq!(reason(nobody.value("/a").await), bad_credentials());
    assert!(is_served(ground.connect(&cluster, Some(&bob)).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_stores_are_in_force_without_a_restart() {
    let ground = Ground::new();
    let cluster = ground.start(&[]);
    let before = ground.authority.issue("bob");
    let bob = ground.connect(&cluster, Some(&before)).await.unwrap();
    let kept = bob.open("").await;
    let next = Authority::new("the next authority");
    ground.put("trust.pem", &next.pem);
    ground.put("key.pem", &next.issue("server").store());
    let carol = eventually_connected(&cluster, &next, &next.issue("carol")).await;
    bob.register(&kept, "/a", "x")
        .await
        .expect("a connection that there was goes on");
    assert_eq!(carol.value("/a").await.unwrap(), "x");
    assert!(!is_served(connect(&cluster, &next, Some(&before)).await).await);
}

/// A file of tokens, each given as its user and itself.
fn tokens_file(tokens: &[(&str, &str)]) -> String {
    let line = |(user, token): &(&str, &str)| {
        let hash = Sha256::digest(token);
        let hexadecimal: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{user} {hexadecimal}\n")
    };
    tokens.iter().map(line).collect()
}

/// What the entry at `path` is to somebody who sends this.
async fn value_for(caller: &Caller, authorization: &str, path: &str) -> Result<String, Status> {
    let mut request = Request::new(GetRequest {
        path: path.to_owned(),
        read: None,
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", authorization.parse().unwrap());
    let answer = caller.registry().get(request).await?.into_inner();
    Ok(String::from_utf8(answer.entry.unwrap().value.to_vec()).unwrap())
}

fn bad_credentials() -> (Code, String) {
    (Code::Unauthenticated, "BAD_CREDENTIALS".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_proves_its_sasl_user() {
    let ground = Ground::new();
    let of = [
        ("bob", "bobs-token"),
        ("alice", "alices"),
        ("admin", "admins"),
        ("bob", "bobs-next"),
    ];
    ground.put("tokens", &tokens_file(&of));
    let with_tokens = options(1)
        .setting("access.tokens_file", ground.path("tokens").display())
        .setting("access.sasl_super_users", "admin")
        .setting("tls.reload_interval_ms", 100);
    let cluster = ProcessCluster::start(with_tokens);
    let mut zookeeper = RawClient::connect(cluster.client_address(1), TIMEOUT_MS).unwrap();
    create_for(&mut zookeeper, "/bobs", "sasl", "bob");
    let caller = Caller::of(&cluster, 1).await;
    for right in ["Bearer bobs-token", "bearer bobs-next", "Bearer admins"] {
        assert_eq!(value_for(&caller, right, "/bobs").await.unwrap(), "secret");
    }
    assert_eq!(
        reason(value_for(&caller, "Bearer alices", "/bobs").await),
        denied()
    );
    assert_eq!(reason(caller.value("/bobs").await), denied());
    for wrong in [
        "Bearer bobs-tokeN",
        "Bearer ",
        "Bearer",
        "Token bobs-token",
        "Basic bobs-token",
    ] {
        let refused = reason(value_for(&caller, wrong, "/bobs").await);
        assert_eq!(refused, bad_credentials(), "{wrong}");
    }

    ground.put("tokens", &tokens_file(&[("bob", "bobs-next")]));
    eventually("the old token is not taken any more", || async {
        value_for(&caller, "Bearer bobs-token", "/bobs").await.err()
    })
    .await;
    ground.put("tokens", "bob bobs-next\n");
    eventually("the damaged file is noticed", || async {
        let log = cluster.member(1).log();
        log.contains("changed tokens are not taken").then_some(())
    })
    .await;
    let still = value_for(&caller, "Bearer bobs-next", "/bobs").await;
    assert_eq!(still.unwrap(), "secret");
    let log = cluster.member(1).log();
    assert!(!log.contains("bobs-"), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_enough_where_sasl_is_required() {
    let ground = Ground::new();
    ground.put("tokens", &tokens_file(&[("bob", "bobs")]));
    let cluster = ground.start(&[
        ("tls.client_auth", "none"),
        (
            "access.tokens_file",
            ground.path("tokens").to_str().unwrap(),
        ),
        ("access.required_schemes", "sasl"),
    ]);
    let caller = ground.connect(&cluster, None).await.unwrap();
    for without in [
        caller.value("/a").await,
        value_for(&caller, "Basic Ym9iOng=", "/a").await,
    ] {
        assert_eq!(reason(without), bad_credentials());
    }
    let found = reason(value_for(&caller, "Bearer bobs", "/a").await);
    assert_eq!(found, (Code::NotFound, "NO_ENTRY".to_owned()));
}
