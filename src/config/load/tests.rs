use super::*;
use crate::config::catalogue::{self, Kind, SETTINGS};
use crate::config::{FourLetterWords, Start, TlsAtDoor, value};
use crate::model::{MemberId, Role};

fn flags(pairs: &[(&str, &str)]) -> Sources {
    Sources {
        flags: pairs
            .iter()
            .map(|(key, text)| (key.to_string(), text.to_string()))
            .collect(),
        ..Sources::default()
    }
}

fn standalone_with(key: &str, text: &str) -> Result<Settings, ConfigError> {
    load(&flags(&[("member.standalone", "true"), (key, text)]))
}

fn told(sources: &Sources) -> String {
    load(sources).unwrap_err().to_string()
}

/// A directory with the given files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

const THREE: &str = "1=127.0.0.1:2001:2101:2201:2301,2=127.0.0.1:2002:2102:2202:2302,3=127.0.0.1:2003:2103:2203:2303";

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = load(&flags(&[("member.standalone", "true")])).unwrap();
    assert_eq!(settings.member.id, MemberId(1));
    assert_eq!(settings.member.cluster_token, "vivarium");
    assert!(settings.member.threads >= 1);
    assert_eq!(settings.timing.tick_ms, 2000);
    assert_eq!(settings.timing.session_timeout_ms_min, 4000);
    assert_eq!(settings.timing.session_timeout_ms_max, 40_000);
    assert_eq!(settings.timing.heartbeat_ms, 100);
    assert_eq!(settings.timing.election_timeout_ms_min, 1000);
    assert_eq!(settings.timing.election_timeout_ms_max, 2000);
    assert_eq!(settings.limits.frame_bytes_max, 0xf_ffff);
    assert_eq!(settings.limits.connections_per_address_max, Some(60));
    assert_eq!(settings.doors.client.bind, "0.0.0.0:2181");
    assert_eq!(settings.doors.peer.bind, "127.0.0.1:2192");
    assert_eq!(settings.doors.admin.bind, "127.0.0.1:2193");
    assert_eq!(
        settings.storage.log_dir,
        settings.storage.data_dir.join("log")
    );
    assert!(settings.access.four_letter_words.allow("srvr"));
    assert!(!settings.access.four_letter_words.allow("dump"));
    assert!(settings.access.super_digest.is_none());
}

#[test]
fn every_default_is_within_its_own_bounds() {
    for setting in SETTINGS {
        if let (Kind::Integer { min, max }, catalogue::Default::Is(text)) =
            (setting.kind, setting.default)
        {
            assert!(value::integer(text, min, max).is_ok(), "{}", setting.key);
        }
    }
}

#[test]
fn every_setting_takes_its_minimum_and_refuses_less() {
    for setting in SETTINGS {
        let Kind::Integer { min, max } = setting.kind else {
            continue;
        };
        for bad in [min.checked_sub(1), max.checked_add(1)]
            .into_iter()
            .flatten()
        {
            let error = standalone_with(setting.key, &bad.to_string())
                .unwrap_err()
                .to_string();
            let expected = format!(
                "{}: \"{bad}\" is not a whole number from {min} to {max}",
                setting.key
            );
            assert!(error.contains(&expected), "{error}");
        }
        for bad in ["", "x", "1.5", "-1"] {
            assert!(
                standalone_with(setting.key, bad).is_err(),
                "{} {bad:?}",
                setting.key
            );
        }
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_key() {
    for (key, bad) in [
        ("member.join", "yes"),
        ("member.standalone", "1"),
        ("cluster.token", "two words"),
        ("cluster.token", ""),
        ("cluster.members", "1"),
        ("doors.client.bind", "2181"),
        ("doors.peer.bind", "host:"),
        ("doors.grpc.advertise", "host"),
        ("doors.admin.bind", "host:99999"),
        ("storage.data_dir", ""),
        ("access.four_letter_words", "quit"),
        ("access.super_digest", "super:plain"),
    ] {
        let error = standalone_with(key, bad).unwrap_err().to_string();
        assert!(
            error.contains(&format!("command line: {key}: ")),
            "{key} {bad}: {error}"
        );
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (pairs, why) in [
        (
            &[("timing.session_timeout_ms_min", "50000")][..],
            "above the longest session timeout",
        ),
        (&[("timing.heartbeat_ms", "400")], "below 3 heartbeats"),
        (
            &[("timing.election_timeout_ms_max", "1000")],
            "is not above",
        ),
        (
            &[("limits.request_bytes_per_connection_max", "1048574")],
            "below limits.frame_bytes_max",
        ),
        (
            &[("limits.request_bytes_max", "4096")],
            "below limits.request_bytes_per_connection_max",
        ),
        (
            &[("limits.watches_max", "5")],
            "below limits.watches_per_connection_max",
        ),
        (&[("member.join", "true")], "joins nobody"),
        (
            &[("cluster.members", THREE), ("member.id", "1")],
            "has no cluster.members",
        ),
        (
            &[("doors.grpc.bind", "127.0.0.1:2181")],
            "is taken by doors.client.bind",
        ),
    ] {
        let mut pairs = pairs.to_vec();
        pairs.push(("member.standalone", "true"));
        let error = told(&flags(&pairs));
        assert!(error.contains(why), "{pairs:?}: {error}");
    }
}

#[test]
fn a_member_is_told_what_it_has_to_say() {
    assert!(told(&flags(&[])).contains("say which member this is (--id)"));
    assert!(told(&flags(&[("member.id", "1")])).contains("say who the first members are"));
    let stranger = flags(&[("member.id", "4"), ("cluster.members", THREE)]);
    assert!(told(&stranger).contains("member 4, which this is, is not in the list"));
}

#[test]
fn the_doors_of_a_listed_member_follow_the_list() {
    let settings = load(&flags(&[("member.id", "2"), ("cluster.members", THREE)])).unwrap();
    assert_eq!(settings.doors.client.bind, "127.0.0.1:2002");
    assert_eq!(settings.doors.peer.advertise, "127.0.0.1:2102");
    assert_eq!(settings.doors.grpc.bind, "127.0.0.1:2202");
    assert_eq!(settings.doors.admin.advertise, "127.0.0.1:2302");
    match settings.member.start {
        Start::Form(members) => assert_eq!(members.len(), 3),
        Start::Join => panic!("it was to form"),
    }
    let outside = flags(&[
        ("member.id", "1"),
        ("cluster.members", "1=a.example,2=b.example/observer"),
    ]);
    let settings = load(&outside).unwrap();
    assert_eq!(settings.doors.client.bind, "0.0.0.0:2181");
    assert_eq!(settings.doors.client.advertise, "a.example:2181");
    assert_eq!(settings.doors.admin.bind, "127.0.0.1:2193");
    let other = flags(&[
        ("member.id", "1"),
        ("cluster.members", "1=a.example"),
        ("doors.peer.advertise", "b.example:2192"),
    ]);
    assert!(told(&other).contains("not what cluster.members tells the others"));
}

#[test]
fn a_member_that_joins_says_where_it_is_dialled() {
    let silent = flags(&[("member.id", "4"), ("member.join", "true")]);
    assert!(told(&silent).contains("doors.peer.advertise"));
    let speaking = flags(&[
        ("member.id", "4"),
        ("member.join", "true"),
        ("doors.peer.advertise", "d.example:2192"),
    ]);
    let settings = load(&speaking).unwrap();
    assert_eq!(settings.member.start, Start::Join);
    assert_eq!(settings.doors.peer.advertise, "d.example:2192");
}

#[test]
fn a_wildcard_is_never_advertised() {
    let settings = standalone_with("doors.client.bind", "[::]:2181").unwrap();
    assert_eq!(settings.doors.client.advertise, "");
    let settings = standalone_with("doors.client.bind", "10.0.0.1:2181").unwrap();
    assert_eq!(settings.doors.client.advertise, "10.0.0.1:2181");
}

/// It would never be written, and all behind it would wait.
#[test]
fn a_log_file_holds_the_largest_request() {
    let with = |segment: &str, frame: &str| {
        load(&flags(&[
            ("member.standalone", "true"),
            ("storage.log_segment_bytes", segment),
            ("limits.frame_bytes_max", frame),
        ]))
    };
    let refused = with("1048576", "1048575").unwrap_err().to_string();
    for part in ["storage.log_segment_bytes", "1179647 at least"] {
        assert!(refused.contains(part), "{refused}");
    }
    with("1179647", "1048575").unwrap();
    with("1048576", "524288").unwrap();
}

#[test]
fn each_source_overrides_the_one_before_it() {
    let directory = directory(&[
        (
            "v.toml",
            "[timing]\ntick_ms = 100\nheartbeat_ms = 50\n[limits]\nwatches_max = 600000\n",
        ),
        ("zoo.cfg", "dataDir=d\ntickTime=200\nmaxCnxns=7\n"),
    ]);
    let mut sources = Sources {
        config: Some(directory.path().join("v.toml")),
        zoo_cfg: Some(directory.path().join("zoo.cfg")),
        ..flags(&[])
    };
    let settings = load(&sources).unwrap();
    assert_eq!(settings.timing.tick_ms, 200);
    assert_eq!(settings.timing.heartbeat_ms, 50);
    assert_eq!(settings.limits.connections_max, Some(7));
    assert_eq!(
        settings.limits.native_connections_per_address_max,
        Some(256)
    );
    assert_eq!(settings.limits.watches_max, 600_000);
    sources.environment = vec![("VIVARIUM_TIMING_TICK_MS".to_owned(), "300".to_owned())];
    assert_eq!(load(&sources).unwrap().timing.tick_ms, 300);
    sources.flags = vec![("timing.tick_ms".to_owned(), "400".to_owned())];
    let settings = load(&sources).unwrap();
    assert_eq!(settings.timing.tick_ms, 400);
    assert_eq!(settings.timing.session_timeout_ms_max, 8000);
}

#[test]
fn a_zookeeper_ensemble_is_taken_over_as_it_stands() {
    let directory = directory(&[
        ("myid", "2\n"),
        ("dynamic", "server.1=a:1:2;3\nserver.2=b:1:2;3\n"),
    ]);
    let data_dir = directory.path().display().to_string();
    let text = format!(
        "tickTime=1000\ndataDir={data_dir}\nclientPort=3\nmaxClientCnxns=0\n\
         superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n4lw.commands.whitelist=*\n\
         dynamicConfigFile={data_dir}/dynamic\n"
    );
    let path = directory.path().join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    let settings = load(&Sources {
        zoo_cfg: Some(path),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(settings.member.id, MemberId(2));
    assert_eq!(settings.access.four_letter_words, FourLetterWords::All);
    assert_eq!(settings.limits.connections_per_address_max, None);
    assert_eq!(settings.doors.client.bind, "0.0.0.0:3");
    assert_eq!(settings.doors.client.advertise, "b:3");
    let Start::Form(members) = &settings.member.start else {
        panic!("it was to form")
    };
    assert_eq!(members[&MemberId(1)].role, Role::Voter);
    let shown = settings.lines().join("\n");
    assert!(shown.contains("access.super_digest = ******  # "));
    assert!(!shown.contains("D/InIHSb7") && !format!("{settings:?}").contains("D/InIHSb7"));
    assert_eq!(settings.lines().len(), SETTINGS.len());
}

#[test]
fn a_zoo_cfg_without_servers_is_standalone_and_one_with_servers_needs_an_id() {
    let files = directory(&[
        ("alone", "dataDir=nowhere\nclientPort=2181\n"),
        ("homeless", "clientPort=2181\n"),
        ("three", "dataDir=nowhere\nserver.1=a:1:2\n"),
    ]);
    let from = |name: &str| Sources {
        zoo_cfg: Some(files.path().join(name)),
        ..Sources::default()
    };
    assert_eq!(load(&from("alone")).unwrap().member.id, MemberId(1));
    assert!(told(&from("three")).contains("myid"));
    assert!(told(&from("homeless")).contains("say where the data are (dataDir)"));
    let mut told_otherwise = from("homeless");
    told_otherwise.flags = vec![("storage.data_dir".to_owned(), "there".to_owned())];
    load(&told_otherwise).unwrap();
}

#[test]
fn a_large_jute_maxbuffer_needs_no_other_limit_to_be_raised() {
    let files = directory(&[("zoo.cfg", "dataDir=d\njute.maxbuffer=0xa00000\n")]);
    let sources = Sources {
        zoo_cfg: Some(files.path().join("zoo.cfg")),
        ..Sources::default()
    };
    let limits = load(&sources).unwrap().limits;
    assert_eq!(limits.frame_bytes_max, 10 << 20);
    assert_eq!(limits.request_bytes_per_connection_max, 10 << 20);
    let limits = load(&flags(&[("member.standalone", "true")]))
        .unwrap()
        .limits;
    assert_eq!(limits.request_bytes_per_connection_max, 8 << 20);
}

#[test]
fn a_wrong_value_names_its_file_line_and_own_key() {
    let files = directory(&[("zoo.cfg", "clientPort=2181\ntickTime=fast\n")]);
    let path = files.path().join("zoo.cfg");
    let error = told(&Sources {
        zoo_cfg: Some(path.clone()),
        ..Sources::default()
    });
    let expected = format!(
        "{}:2: tickTime: \"fast\" is not a whole number",
        path.display()
    );
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let error = load(&flags(&[
        ("timing.tick_ms", "x"),
        ("limits.sesions_max", "5"),
        ("cluster.token", ""),
    ]))
    .unwrap_err();
    assert!(error.problems.len() >= 4, "{error}");
    assert!(
        error
            .to_string()
            .contains("did you mean limits.sessions_max?")
    );
}

#[test]
fn a_file_that_is_not_there_or_far_too_long_is_refused() {
    let files = directory(&[("long", &" ".repeat(FILE_BYTES_MAX as usize + 1))]);
    for name in ["missing", "long"] {
        let config = Some(files.path().join(name));
        let error = told(&Sources {
            config,
            ..flags(&[("member.standalone", "true")])
        });
        assert!(error.contains("cannot be read"), "{error}");
    }
}

#[test]
fn a_yaml_file_is_told_by_its_ending() {
    let files = directory(&[(
        "application.yaml",
        "registry:\n  type: embedded\n  member:\n    standalone: true\n  timing:\n    tik_ms: 1\n",
    )]);
    let config = Some(files.path().join("application.yaml"));
    let error = told(&Sources {
        config,
        ..Sources::default()
    });
    assert!(
        error.contains("application.yaml:6: registry.timing.tik_ms: "),
        "{error}"
    );
    assert!(error.contains("did you mean timing.tick_ms?"), "{error}");
}

#[test]
fn the_door_that_asks_nobody_who_they_are_is_on_loopback() {
    for bad in [
        "0.0.0.0:2193",
        "10.0.0.1:2193",
        "[::]:2193",
        "a.example:2193",
    ] {
        let error = standalone_with("doors.admin.bind", bad)
            .unwrap_err()
            .to_string();
        assert!(error.contains("loopback address only"), "{bad}: {error}");
    }
    assert!(standalone_with("doors.admin.bind", "[::1]:2193").is_ok());
}

const USERS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
                     user_super=\"one\" user_bob=\"two\"; };";

#[test]
fn a_door_with_tls_needs_its_stores_and_passwords_are_masked() {
    let text = "doors.client_tls.bind=127.0.0.1:2281";
    let with = |more: &[(&str, &str)]| {
        let mut pairs = vec![("member.standalone", "true")];
        pairs.extend([text.split_once('=').unwrap()]);
        pairs.extend(more);
        load(&flags(&pairs))
    };
    let told = with(&[]).unwrap_err().to_string();
    assert!(
        told.contains("tls.key_store:") && told.contains("tls.trust_store:"),
        "{told}"
    );
    let told = with(&[("tls.client_auth", "none")])
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("tls.key_store:") && !told.contains("tls.trust_store:"),
        "{told}"
    );

    let key = ("tls.key_store", "/k.jks");
    let settings = with(&[
        key,
        ("tls.trust_store", "/t.pem"),
        ("tls.key_store_password", "hush"),
    ])
    .unwrap();
    let tls = settings.tls.as_ref().unwrap();
    assert_eq!(tls.key_store.password.as_ref().unwrap().reveal(), "hush");
    assert_eq!(tls.protocols, ["TLSv1.2", "TLSv1.3"]);
    assert_eq!(tls.reload_interval_ms, Some(5000));
    assert_eq!(
        settings.doors.client_tls_bind.as_deref(),
        Some("127.0.0.1:2281")
    );
    assert!(settings.lines().iter().all(|line| !line.contains("hush")));
    assert!(
        settings
            .lines()
            .iter()
            .any(|line| line.starts_with("tls.key_store_password = ******"))
    );
    assert!(!format!("{settings:?}").contains("hush"));

    for (key, value) in [
        ("tls.protocols", "TLSv1.1"),
        ("tls.protocols", ""),
        ("tls.cipher_suites", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("tls.key_store_type", "BCFKS"),
        ("tls.client_auth", "maybe"),
    ] {
        let stores = [
            ("tls.key_store", "/k.jks"),
            ("tls.trust_store", "/t.pem"),
            (key, value),
        ];
        let told = with(&stores).unwrap_err().to_string();
        assert!(told.contains(key), "{key}={value}: {told}");
    }
    let told = with(&[
        key,
        ("tls.client_auth", "none"),
        ("tls.verify_client_address", "true"),
    ]);
    assert!(told.is_err());
    let told = standalone_with("doors.grpc.tls", "only")
        .unwrap_err()
        .to_string();
    assert!(told.contains("tls.key_store:"), "{told}");
    assert!(standalone_with("doors.grpc.tls", "also").is_err());
    let told = standalone_with("doors.client_tls.bind", "0.0.0.0:2181")
        .unwrap_err()
        .to_string();
    assert!(told.contains("is taken by doors.client.bind"), "{told}");
}

#[test]
fn stores_without_a_door_are_told_and_left_alone() {
    let settings = standalone_with("tls.key_store", "/k.jks").unwrap();
    assert!(settings.tls.is_none());
    assert_eq!(settings.doors.client_tls, TlsAtDoor::No);
    assert!(
        settings
            .warnings
            .iter()
            .any(|warning| warning.contains("no door speaks TLS"))
    );
}

#[test]
fn a_super_digest_has_the_hash_of_the_algorithm() {
    let sha1 = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    let with = |algorithm| {
        load(&flags(&[
            ("member.standalone", "true"),
            ("access.super_digest", sha1),
            ("access.digest_algorithm", algorithm),
        ]))
    };
    assert_eq!(
        with("sha1").unwrap().access.digest_algorithm.as_deref(),
        Some("SHA1")
    );
    let told = with("SHA3-256").unwrap_err().to_string();
    assert!(
        told.contains("20 bytes") && told.contains("makes 32"),
        "{told}"
    );
    let off = standalone_with("access.digest_enabled", "false").unwrap();
    assert_eq!(off.access.digest_algorithm, None);
}

#[test]
fn sasl_users_come_from_a_jaas_file_and_what_is_required_must_be_possible() {
    let files = directory(&[("jaas.conf", USERS)]);
    let path = files.path().join("jaas.conf");
    let path = path.to_str().unwrap();
    let with = |more: &[(&str, &str)]| {
        let mut pairs = vec![
            ("member.standalone", "true"),
            ("access.sasl_users_file", path),
        ];
        pairs.extend(more);
        load(&flags(&pairs))
    };
    let sasl = with(&[
        ("access.sasl_super_users", "bob, alice"),
        ("access.sasl_super_password", "other"),
        ("access.required_schemes", "sasl,x509"),
    ]);
    let access = sasl.unwrap().access;
    let sasl = access.sasl.unwrap();
    assert_eq!(sasl.users["super"].reveal(), "other");
    assert_eq!(sasl.users["bob"].reveal(), "two");
    assert!(sasl.super_users.contains("alice") && !sasl.failures_tolerated);
    assert_eq!(access.required_schemes, ["sasl", "x509"]);

    let told = with(&[("access.sasl_section", "Client")])
        .unwrap_err()
        .to_string();
    assert!(told.contains("no section \"Client\""), "{told}");
    let told = standalone_with("access.required_schemes", "sasl")
        .unwrap_err()
        .to_string();
    assert!(told.contains("nobody can prove"), "{told}");
    assert!(standalone_with("access.required_schemes", "kerberos").is_err());
    assert!(standalone_with("access.sasl_users_file", "/nowhere/jaas.conf").is_err());
}

#[test]
fn a_file_of_tokens_is_read_at_the_start_and_can_prove_sasl_identities() {
    let good = format!("bob {}\n", "0f".repeat(32));
    let files = directory(&[("tokens", &good), ("damaged", "# tokens\nbob\n")]);
    let with = |file: &str| {
        let path = files.path().join(file);
        load(&flags(&[
            ("member.standalone", "true"),
            ("access.tokens_file", path.to_str().unwrap()),
            ("access.sasl_super_users", "admin"),
            ("access.required_schemes", "sasl"),
        ]))
    };
    let settings = with("tokens").unwrap();
    let tokens = settings.access.tokens.unwrap();
    assert_eq!(
        (tokens.tokens.len(), tokens.reload_interval_ms),
        (1, Some(5000))
    );
    assert!(tokens.super_users.contains("admin"));
    assert!(settings.access.sasl.is_none());
    let warned = |warning: &String| warning.contains("doors.grpc.tls is no");
    assert!(settings.warnings.iter().any(warned));
    let told = with("damaged").unwrap_err().to_string();
    assert!(told.contains("damaged: line 2: "), "{told}");
    assert!(with("missing").is_err());
}

#[test]
fn access_lists_that_forbid_nothing_are_warned_of() {
    let settings = standalone_with("access.skip_acl", "true").unwrap();
    assert!(settings.access.skip_acl);
    assert!(settings.warnings[0].contains("access lists forbid nothing"));
    let settings = standalone_with("znodes.unused_container_ms_max", "0").unwrap();
    assert!(!settings.access.skip_acl && settings.warnings.is_empty());
    assert!(!settings.znodes.quota_enforced && !settings.znodes.ttl_enabled);
    assert_eq!(settings.znodes.unused_container_ms_max, None);
}
