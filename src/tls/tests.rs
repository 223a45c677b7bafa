//! Handshakes in memory, with PEM stores that are made on the spot.

use super::*;
use crate::runtime::Clock;
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const DAY_MS: i64 = 86_400_000;
/// 2030-01-01.
const NOW_MS: i64 = 21_915 * DAY_MS;

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2029, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params
}

struct Authority(Issuer<'static, KeyPair>, String, CertificateDer<'static>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Authority(Issuer::new(params, key), pem, der)
    }

    fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }
}

struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Issued {
    fn store(&self) -> String {
        format!("{}{}", self.key.serialize_pem(), self.pem)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A server's files, its clock, and the authority behind it and its clients.
struct Ground {
    directory: TempDir,
    authority: Authority,
    clock: Arc<TestClock>,
}

impl Ground {
    fn new() -> Ground {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority");
        let ground = Ground {
            directory,
            authority,
            clock: Arc::new(TestClock(AtomicI64::new(NOW_MS))),
        };
        let mut server = named("server");
        server.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        ground.write("key.pem", &ground.authority.issue(server).store());
        ground.write("trust.pem", &ground.authority.1);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            key_store: pem(&self.path("key.pem")),
            trust_store: Some(pem(&self.path("trust.pem"))),
            client_auth: ClientAuth::Need,
            protocols: vec![Protocol::Tls12, Protocol::Tls13],
            cipher_suites: Vec::new(),
            verify_client_address: false,
            handshakes_max: 4,
            reload_interval: Some(Duration::from_secs(5)),
        }
    }

    fn acceptor(&self, options: Options) -> Arc<Acceptor> {
        Acceptor::new(options, self.clock.clone()).unwrap()
    }

    /// A client that trusts the authority.
    fn client(&self, shows: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.2.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let time = Arc::new(super::server::ClockTime(self.clock.clone()));
        let config = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match shows {
            None => config.with_no_client_auth(),
            Some(issued) => config
                .with_client_auth_cert(vec![issued.der.clone()], issued.private_key())
                .unwrap(),
        }
    }
}

fn pem(path: &Path) -> StoreFile {
    StoreFile {
        path: path.to_owned(),
        kind: None,
        password: Password::Given(String::new()),
    }
}

/// Both sides of a handshake; what the server makes of it. The client echoes from then on.
async fn shake(acceptor: &Acceptor, client: ClientConfig) -> Result<Secured, HandshakeFailed> {
    let (here, there) = tokio::io::duplex(1 << 16);
    tokio::spawn(echo(client, there));
    acceptor
        .accept(Box::new(here), Bytes::new(), PEER, None)
        .await
}

/// A client that is refused learns of it with its handshake or its first read.
async fn echo(config: ClientConfig, stream: DuplexStream) {
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut stream) = connector.connect(name, stream).await else {
        return;
    };
    while let Ok(byte) = stream.read_u8().await {
        stream.write_u8(byte).await.unwrap();
        stream.flush().await.unwrap();
    }
}

async fn assert_serves(secured: &mut Secured) {
    secured.stream.write_u8(7).await.unwrap();
    secured.stream.flush().await.unwrap();
    assert_eq!(secured.stream.read_u8().await.unwrap(), 7);
}

async fn refusal(acceptor: &Acceptor, client: ClientConfig) -> String {
    match shake(acceptor, client).await {
        Ok(secured) => panic!("it was let in as {:?}", secured.subject),
        Err(failed) => failed.to_string(),
    }
}

#[tokio::test]
async fn a_client_that_was_issued_its_certificate_by_a_trusted_one_is_its_subject() {
    let ground = Ground::new();
    let client = ground.authority.issue(named("bob"));
    for protocol in [Protocol::Tls12, Protocol::Tls13] {
        let mut options = ground.options();
        options.protocols = vec![protocol];
        let acceptor = ground.acceptor(options);
        let secured = shake(&acceptor, ground.client(Some(&client)))
            .await
            .unwrap();
        assert_eq!(secured.subject.as_deref(), Some("CN=bob"));
    }
}

#[tokio::test]
async fn a_certificate_is_demanded_wanted_or_not_asked_for() {
    let ground = Ground::new();
    let bob = ground.authority.issue(named("bob"));
    let stranger = Authority::new("another").issue(named("eve"));
    let with = |client_auth| {
        ground.acceptor(Options {
            client_auth,
            ..ground.options()
        })
    };
    let need = with(ClientAuth::Need);
    let told = refusal(&need, ground.client(None)).await;
    assert!(told.contains("no certificates"), "{told}");
    refusal(&need, ground.client(Some(&stranger))).await;
    let want = with(ClientAuth::Want);
    let nobody = shake(&want, ground.client(None)).await.unwrap();
    assert_eq!(nobody.subject, None);
    let somebody = shake(&want, ground.client(Some(&bob))).await.unwrap();
    assert_eq!(somebody.subject.as_deref(), Some("CN=bob"));
    refusal(&want, ground.client(Some(&stranger))).await;
    let none = with(ClientAuth::None);
    let unasked = shake(&none, ground.client(Some(&stranger))).await.unwrap();
    assert_eq!(unasked.subject, None);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_or_not_for_clients_is_refused() {
    let ground = Ground::new();
    let acceptor = ground.acceptor(ground.options());
    let mut old = named("old");
    old.not_after = date_time_ymd(2029, 12, 31);
    let mut young = named("young");
    young.not_before = date_time_ymd(2030, 1, 2);
    let mut server = named("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for (params, reason) in [
        (old, "Expired"),
        (young, "not valid yet"),
        (server, "key usage"),
    ] {
        let told = refusal(
            &acceptor,
            ground.client(Some(&ground.authority.issue(params))),
        )
        .await;
        assert!(
            told.to_lowercase().contains(&reason.to_lowercase()),
            "{reason}: {told}"
        );
    }
    let bob = ground.authority.issue(named("bob"));
    shake(&acceptor, ground.client(Some(&bob))).await.unwrap();
    // Time goes by, on the member's own clock.
    ground
        .clock
        .0
        .store(NOW_MS + 400 * DAY_MS, Ordering::Relaxed);
    let mut young = ground.client(Some(&bob));
    young.time_provider = Arc::new(super::server::ClockTime(Arc::new(TestClock(
        AtomicI64::new(NOW_MS),
    ))));
    let told = refusal(&acceptor, young).await;
    assert!(told.to_lowercase().contains("expired"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_stands_in_the_trust_store_itself_is_trusted() {
    let ground = Ground::new();
    let alone = |params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Issued {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    };
    let mut as_authority = named("authority of itself");
    as_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut old = named("old");
    old.not_after = date_time_ymd(2029, 12, 31);
    let mut server = named("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let [bob, authority, old, server, stranger] =
        [named("bob"), as_authority, old, server, named("stranger")].map(alone);
    let trusted = [&bob, &authority, &old, &server].map(|issued| issued.pem.as_str());
    ground.write("trust.pem", &trusted.concat());
    let acceptor = ground.acceptor(ground.options());
    for (issued, subject) in [(&bob, "CN=bob"), (&authority, "CN=authority of itself")] {
        let secured = shake(&acceptor, ground.client(Some(issued))).await.unwrap();
        assert_eq!(secured.subject.as_deref(), Some(subject));
    }
    for issued in [&old, &server, &stranger] {
        refusal(&acceptor, ground.client(Some(issued))).await;
    }
}

#[tokio::test]
async fn a_certificate_names_the_address_it_comes_from_where_that_is_demanded() {
    let ground = Ground::new();
    let acceptor = ground.acceptor(Options {
        verify_client_address: true,
        ..ground.options()
    });
    let mut at = named("bob");
    at.subject_alt_names = vec![SanType::IpAddress(PEER)];
    let mut elsewhere = named("eve");
    elsewhere.subject_alt_names = vec![SanType::IpAddress([10, 0, 0, 8].into())];
    let at = ground.authority.issue(at);
    shake(&acceptor, ground.client(Some(&at))).await.unwrap();
    for params in [elsewhere, named("nowhere")] {
        let told = refusal(
            &acceptor,
            ground.client(Some(&ground.authority.issue(params))),
        )
        .await;
        assert!(told.contains("does not name 10.0.0.7"), "{told}");
    }
}

#[tokio::test]
async fn a_client_without_a_version_or_a_cipher_suite_in_common_is_refused() {
    let ground = Ground::new();
    let bob = ground.authority.issue(named("bob"));
    let acceptor = ground.acceptor(Options {
        protocols: vec![Protocol::Tls12, Protocol::Tls13],
        // Of TLS 1.2 alone, so that 1.3 is not spoken either.
        cipher_suites: vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()],
        ..ground.options()
    });
    let secured = shake(&acceptor, ground.client(Some(&bob))).await.unwrap();
    assert_eq!(secured.subject.as_deref(), Some("CN=bob"));
    let acceptor = ground.acceptor(Options {
        cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()],
        ..ground.options()
    });
    // The member's key is not RSA.
    refusal(&acceptor, ground.client(Some(&bob))).await;
}

#[test]
fn terms_that_nobody_could_meet_are_refused_at_the_start() {
    let ground = Ground::new();
    let refused = |options: Options| match Acceptor::new(options, ground.clock.clone()) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    type Change<'a> = &'a dyn Fn(&mut Options);
    let cases: &[(Change<'_>, &str)] = &[
        (&|o| o.trust_store = None, "no trust store"),
        (
            &|o| o.cipher_suites = vec!["TLS_NULL".to_owned()],
            "TLS_NULL",
        ),
        (&|o| o.protocols.clear(), "protocol version"),
        (
            &|o| o.key_store.path = PathBuf::from("/nowhere/key.pem"),
            "cannot be read",
        ),
        (
            &|o| o.key_store.path = PathBuf::from("key.bcfks"),
            "its type must be said",
        ),
        (
            &|o| o.key_store.path = o.trust_store.clone().unwrap().path,
            "no private key",
        ),
        (
            &|o| o.key_store.kind = Some(StoreKind::Pkcs12),
            "not a PKCS12 file",
        ),
        (
            &|o| o.key_store.password = Password::InFile("/nowhere/p".into()),
            "/nowhere/p",
        ),
    ];
    for (change, reason) in cases {
        let mut options = ground.options();
        change(&mut options);
        let told = refused(options);
        assert!(told.contains(reason), "{reason}: {told}");
    }
    let other = ground.authority.issue(named("other"));
    let bob = ground.authority.issue(named("bob"));
    for (text, reason) in [
        (
            bob.key.serialize_pem() + &other.pem,
            "no certificate for its private key",
        ),
        ("nothing".to_owned(), "no private key"),
        (bob.pem.replace("MI", "??") + &bob.store(), "not PEM"),
        (
            bob.store().replace("PRIVATE", "DSA PRIVATE"),
            "DSA PRIVATE KEY",
        ),
        (bob.store().replace("PRIVATE", "ENCRYPTED PRIVATE"), "PBES2"),
    ] {
        ground.write("key.pem", &text);
        let told = refused(ground.options());
        assert!(told.contains(reason), "{reason}: {told}");
    }
}

#[test]
fn every_name_of_a_cipher_suite_is_one_that_can_be_spoken() {
    let ground = Ground::new();
    for name in CIPHER_SUITES {
        ground.acceptor(Options {
            cipher_suites: vec![(*name).to_owned()],
            ..ground.options()
        });
    }
    assert_eq!(CIPHER_SUITES, crate::config::CIPHER_SUITES);
    assert_eq!(
        CIPHER_SUITES.len(),
        rustls::crypto::ring::ALL_CIPHER_SUITES.len()
    );
}

#[tokio::test]
async fn more_handshakes_than_the_limit_are_refused_and_those_under_way_go_on() {
    let ground = Ground::new();
    let acceptor = ground.acceptor(Options {
        handshakes_max: 2,
        ..ground.options()
    });
    let bob = ground.authority.issue(named("bob"));
    let (here, there) = tokio::io::duplex(1 << 16);
    let silent = acceptor.accept(Box::new(here), Bytes::new(), PEER, None);
    tokio::pin!(silent);
    assert!(futures::poll!(&mut silent).is_pending());
    let (here, _there) = tokio::io::duplex(1 << 16);
    {
        let other = acceptor.accept(Box::new(here), Bytes::new(), PEER, None);
        tokio::pin!(other);
        assert!(futures::poll!(&mut other).is_pending());
        let told = refusal(&acceptor, ground.client(Some(&bob))).await;
        assert_eq!(told, HandshakeFailed::TooMany.to_string());
    }
    // Its caller gave one of them up.
    shake(&acceptor, ground.client(Some(&bob))).await.unwrap();
    drop(there);
    assert!(silent.await.is_err());
}

#[tokio::test]
async fn bytes_that_are_no_handshake_are_refused_and_what_was_read_already_counts() {
    let ground = Ground::new();
    let acceptor = ground.acceptor(ground.options());
    for garbage in [
        &b"ruok"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x2d",
        b"\x16\x03\x01\xff\xff",
    ] {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        there
            .write_all(&[garbage, &[0; 64]].concat())
            .await
            .unwrap();
        there.shutdown().await.unwrap();
        assert!(
            acceptor
                .accept(Box::new(here), Bytes::new(), PEER, None)
                .await
                .is_err()
        );
    }
    let bob = ground.authority.issue(named("bob"));
    let (mut here, there) = tokio::io::duplex(1 << 16);
    tokio::spawn(echo(ground.client(Some(&bob)), there));
    let mut first = [0; 2];
    here.read_exact(&mut first).await.unwrap();
    let received = Bytes::copy_from_slice(&first);
    let mut secured = acceptor
        .accept(Box::new(here), received, PEER, None)
        .await
        .unwrap();
    assert_serves(&mut secured).await;
}

/// New stores are taken, damaged ones are not, and the connections there are stay.
#[tokio::test(start_paused = true)]
async fn changed_stores_are_in_force_for_the_next_handshake_and_damaged_ones_never() {
    crate::runtime::block_inline();
    let ground = Ground::new();
    let acceptor = ground.acceptor(ground.options());
    let stop = CancellationToken::new();
    let watching = tokio::spawn(acceptor.clone().watch_files(stop.clone()));
    let bob = ground.authority.issue(named("bob"));
    let mut secured = shake(&acceptor, ground.client(Some(&bob))).await.unwrap();

    ground.write("trust.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    tokio::time::sleep(Duration::from_secs(11)).await;
    shake(&acceptor, ground.client(Some(&bob))).await.unwrap();

    let another = Authority::new("another");
    ground.write("trust.pem", &another.1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    refusal(&acceptor, ground.client(Some(&bob))).await;
    let eve = another.issue(named("eve"));
    let now = shake(&acceptor, ground.client(Some(&eve))).await.unwrap();
    assert_eq!(now.subject.as_deref(), Some("CN=eve"));

    assert_serves(&mut secured).await;
    stop.cancel();
    watching.await.unwrap();
}

/// The right column was printed by `X500Principal#getName` of OpenJDK 17 for the same subjects.
#[test]
fn a_subject_is_written_as_java_writes_it() {
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    let custom = |numbers: &[u64]| DnType::CustomDnType(numbers.to_vec());
    let cases: Vec<(Vec<(DnType, DnValue)>, &str)> = vec![
        (vec![], ""),
        (
            vec![
                (
                    DnType::CountryName,
                    DnValue::PrintableString("DE".try_into().unwrap()),
                ),
                (DnType::StateOrProvinceName, utf8("Hessen")),
                (DnType::LocalityName, utf8("Frankfurt")),
                (DnType::OrganizationName, utf8("A, B & Co.")),
                (DnType::OrganizationalUnitName, utf8("x=y")),
                (DnType::CommonName, utf8("a+b")),
            ],
            "CN=a\\+b,OU=x\\=y,O=A\\, B & Co.,L=Frankfurt,ST=Hessen,C=DE",
        ),
        (
            vec![(DnType::CommonName, utf8(" #a\"b\\c<d>;e "))],
            "CN=\\ \\#a\\\"b\\\\c\\<d\\>\\;e\\ ",
        ),
        (vec![(DnType::CommonName, utf8("  "))], "CN=\\ \\ "),
        (vec![(DnType::CommonName, utf8("\ra\r"))], "CN=\\\ra\\\r"),
        (vec![(DnType::CommonName, utf8("a\nb"))], "CN=a\nb"),
        (vec![(DnType::CommonName, utf8("日本 ü"))], "CN=日本 ü"),
        (
            vec![
                (
                    custom(&[0, 9, 2342, 19200300, 100, 1, 25]),
                    DnValue::Ia5String("org".try_into().unwrap()),
                ),
                (custom(&[0, 9, 2342, 19200300, 100, 1, 1]), utf8("bob")),
                (custom(&[2, 5, 4, 9]), utf8("Road")),
            ],
            "STREET=Road,UID=bob,DC=org",
        ),
        (
            vec![(
                custom(&[1, 2, 840, 113549, 1, 9, 1]),
                DnValue::Ia5String("a@b".try_into().unwrap()),
            )],
            "1.2.840.113549.1.9.1=#1603614062",
        ),
        (vec![(custom(&[2, 5, 4, 5]), utf8("7"))], "2.5.4.5=#0c0137"),
    ];
    for (parts, expected) in cases {
        let mut params = named("");
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind, value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let name = super::subject::subject_name(certificate.der());
        assert_eq!(name.as_deref(), Some(expected));
    }
}
