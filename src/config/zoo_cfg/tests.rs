use super::*;

fn read_text(text: &str) -> (ZooCfg, Vec<Problem>) {
    let mut problems = Vec::new();
    let found = read(Path::new("zoo.cfg"), text, &mut problems);
    (found, problems)
}

fn members(text: &str) -> MemberList {
    let (found, problems) = read_text(text);
    assert!(problems.is_empty(), "{problems:?}");
    match found
        .entries
        .into_iter()
        .find(|entry| entry.key == "cluster.members")
    {
        Some(Entry {
            raw: Raw::Members(members),
            ..
        }) => members,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sample_configuration_is_read() {
    let (found, problems) = read_text(
        "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
         dataDir=/tmp/zookeeper\nclientPort=2181\nmaxClientCnxns=60\n\
         autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n4lw.commands.whitelist=*\n",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let has = |key: &str, text: &str| {
        found
            .entries
            .iter()
            .any(|entry| entry.key == key && entry.raw == Raw::Text(text.to_owned()))
    };
    assert!(has("timing.tick_ms", "2000"));
    assert!(has("storage.data_dir", "/tmp/zookeeper"));
    assert!(has("doors.client.bind", "0.0.0.0:2181"));
    assert!(has("limits.connections_per_address_max", "60"));
    assert!(has("access.four_letter_words", "*"));
    assert_eq!(found.warnings.len(), 4);
    assert_eq!(
        found.warnings[0],
        "zoo.cfg:3: initLimit has no meaning here"
    );
}

#[test]
fn server_lines_are_the_first_members() {
    let members = members(
        "server.1=a:2888:3888\nserver.2=b:2888:3888:observer;2181\nserver.3=[::1]:1:2:participant;0.0.0.0:5\n\
         server.4=d:1:2;e:3\n",
    );
    let of = |id| &members[&MemberId(id)];
    assert_eq!(of(1).addresses.peer, "a:2888");
    assert_eq!(of(1).addresses.client, "");
    assert_eq!(of(1).role, Role::Voter);
    assert_eq!(of(2).role, Role::Observer);
    assert_eq!(of(2).addresses.client, "b:2181");
    assert_eq!(of(3).addresses.client, "[::1]:5");
    assert_eq!(of(4).addresses.client, "e:3");
}

#[test]
fn a_server_line_that_cannot_be_meant_is_refused_at_its_line() {
    for bad in [
        "server.0=a:1:2",
        "server.x=a:1:2",
        "server.1=",
        "server.1=a",
        "server.1=a:1",
        "server.1=a:1:2:3",
        "server.1=a:0:2",
        "server.1=a:1:70000",
        "server.1=a:1:2:voter",
        "server.1=a:1:2;",
        "server.1=a:1:2;h:",
        "server.1=a:1:2;x",
        "server.1=a:1:2|b:1:2",
        "server.1=a:1:2\nserver.1=b:1:2",
        "server.1=a:1:2:observer",
    ] {
        let (_, problems) = read_text(&format!("tickTime=2000\n{bad}\n"));
        assert!(!problems.is_empty(), "{bad}");
        let told = problems[0].to_string();
        assert!(
            told.starts_with("zoo.cfg:2: ") || told.starts_with("zoo.cfg:3: "),
            "{told}"
        );
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    let (_, problems) = read_text("tickTme=2000\n");
    assert_eq!(
        problems[0].to_string(),
        "zoo.cfg:1: tickTme: there is no such key; did you mean tickTime?"
    );
}

#[test]
fn a_protection_that_is_not_offered_stops_the_start_unless_it_is_off() {
    for line in [
        "sslQuorum=true",
        "ssl.quorum.keyStore.location=a.jks",
        "ssl.crl=true",
        "ssl.ocsp=true",
        "ssl.context.supplier.class=com.example.Supplier",
        "authProvider.1=com.example.Provider",
        "kerberos.removeRealmFromPrincipal=true",
        "fips-mode=true",
    ] {
        assert_eq!(read_text(line).1.len(), 1, "{line}");
    }
    for line in [
        "sslQuorum=false",
        "ssl.crl=false",
        "fips-mode=false",
        "ssl.authProvider=x509",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "zookeeper.authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
    ] {
        assert!(read_text(line).1.is_empty(), "{line}");
    }
}

/// What the settings come to that a zoo.cfg says, by key.
fn settings(text: &str) -> std::collections::BTreeMap<String, String> {
    let (found, problems) = read_text(text);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    found
        .entries
        .into_iter()
        .map(|entry| match entry.raw {
            Raw::Text(text) => (entry.key, text),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_keys_of_tls_become_ours_with_and_without_their_prefix() {
    for prefix in ["", "zookeeper."] {
        let found = settings(&format!(
            "clientPort=2181\nsecureClientPort=2281\nsecureClientPortAddress=::1\n\
             {prefix}ssl.keyStore.location=/k.jks\n{prefix}ssl.keyStore.password=secret\n\
             {prefix}ssl.trustStore.location=/t.pem\n{prefix}ssl.trustStore.passwordPath=/p\n\
             {prefix}ssl.trustStore.type=PEM\n{prefix}ssl.clientAuth=want\n\
             {prefix}ssl.enabledProtocols=TLSv1.3\n{prefix}ssl.protocol=TLSv1.2\n\
             {prefix}ssl.ciphersuites=TLS_AES_256_GCM_SHA384\n\
             {prefix}X509AuthenticationProvider.superUser=CN=admin,O=x\n\
             {prefix}client.certReload=false\n"
        ));
        for (key, value) in [
            ("doors.client.bind", "0.0.0.0:2181"),
            ("doors.client_tls.bind", "[::1]:2281"),
            ("tls.key_store", "/k.jks"),
            ("tls.key_store_password", "secret"),
            ("tls.trust_store", "/t.pem"),
            ("tls.trust_store_type", "PEM"),
            ("tls.trust_store_password_file", "/p"),
            ("tls.client_auth", "want"),
            ("tls.protocols", "TLSv1.3"),
            ("tls.cipher_suites", "TLS_AES_256_GCM_SHA384"),
            ("access.x509_super_user", "CN=admin,O=x"),
            ("tls.reload_interval_ms", "0"),
        ] {
            assert_eq!(found.get(key).map(String::as_str), Some(value), "{key}");
        }
    }
}

#[test]
fn a_secure_port_alone_opens_no_plain_one() {
    let found = settings("secureClientPort=2281\n");
    assert_eq!(found["doors.client.bind"], "0.0.0.0:2281");
    assert_eq!(found["doors.client.tls"], "only");
    let found = settings("clientPort=2181\nclient.portUnification=true\n");
    assert_eq!(found["doors.client.tls"], "also");
    assert!(!found.contains_key("doors.client_tls.bind"));
    let found = settings("clientPort=2181\nclient.portUnification=false\n");
    assert!(!found.contains_key("doors.client.tls"));
    assert_eq!(read_text("secureClientPortAddress=::1\n").1.len(), 1);
}

#[test]
fn a_secure_port_takes_nothing_from_a_plain_one_that_a_server_line_names() {
    for plain in [
        "server.1=a:2888:3888;2181\n",
        "dynamicConfigFile=zoo.cfg.dynamic\n",
    ] {
        let text = format!("{plain}secureClientPort=2281\nclient.portUnification=true\n");
        let (found, problems) = read_text(&text);
        assert!(problems.is_empty(), "{problems:?}");
        let said = |key: &str| {
            let entry = found.entries.iter().find(|entry| entry.key == key)?;
            match &entry.raw {
                Raw::Text(text) => Some(text.as_str()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(said("doors.client.bind"), None, "{plain}");
        assert_eq!(said("doors.client.tls"), Some("also"), "{plain}");
        assert_eq!(said("doors.client_tls.bind"), Some("0.0.0.0:2281"));
    }
}

#[test]
fn what_must_be_proven_is_said_by_any_of_three_keys() {
    let required = |text: &str| settings(text).remove("access.required_schemes");
    let some = |text: &str| Some(text.to_owned());
    for (text, schemes) in [
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=sasl,x509\n",
            some("sasl,x509"),
        ),
        ("enforce.auth.schemes=sasl\n", None),
        (
            "enforce.auth.enabled=false\nenforce.auth.schemes=sasl\n",
            None,
        ),
        ("sessionRequireClientSASLAuth=true\n", some("sasl")),
        ("sessionRequireClientSASLAuth=false\n", None),
        (
            "sessionRequireClientSASLAuth=true\nenforce.auth.enabled=true\nenforce.auth.schemes=digest\n",
            some("sasl"),
        ),
        ("requireClientAuthScheme=sasl\n", some("sasl")),
    ] {
        assert_eq!(required(text), schemes, "{text}");
    }
    assert_eq!(read_text("enforce.auth.enabled=true\n").1.len(), 1);
    let found = settings("superUser=a\nsuperUser.1=b\n");
    assert_eq!(found["access.sasl_super_users"], "a,b");
}

#[test]
fn wrong_ports_and_hosts_are_refused() {
    for bad in [
        "clientPort=0",
        "clientPort=x",
        "clientPort=2181\nclientPortAddress=a b",
        "clientPortAddress=::1",
    ] {
        assert_eq!(read_text(bad).1.len(), 1, "{bad}");
    }
    let (found, problems) = read_text("clientPortAddress=::1\nclientPort=1\n");
    assert!(problems.is_empty());
    assert_eq!(found.entries[0].raw, Raw::Text("[::1]:1".to_owned()));
}

#[test]
fn minus_one_is_the_default_session_timeout() {
    let (found, problems) = read_text("minSessionTimeout=-1\nmaxSessionTimeout=-1\n");
    assert!(found.entries.is_empty() && problems.is_empty());
}

#[test]
fn properties_are_split_as_java_splits_them() {
    let text = "! remark\n  a = 1 \nb:2\nc 3\nd=x\\\n   y\ne\\=f=g\\\\\nlast=1\\";
    let pairs: Vec<(String, String, usize)> = properties(text)
        .into_iter()
        .map(|property| (property.key, property.value, property.line))
        .collect();
    let pair = |key: &str, value: &str, line| (key.to_owned(), value.to_owned(), line);
    assert_eq!(
        pairs,
        [
            pair("a", "1", 2),
            pair("b", "2", 3),
            pair("c", "3", 4),
            pair("d", "xy", 5),
            pair("e=f", "g\\", 7),
            pair("last", "1", 8),
        ]
    );
}

#[test]
fn escapes_mean_what_they_mean_in_java() {
    let text = r"a=\u0064ata\u00e9\ud83d\ude00|\t|\uxyz1|\u12|\\n|\q";
    let found = properties(text);
    assert_eq!(found[0].value, "dataé😀|\t|uxyz1|u12|\\n|q");
    assert_eq!(properties(r"\u0061 b")[0].key, "a");
}

/// What a key of ours was said to be.
fn said(text: &str, key: &str) -> Option<String> {
    let (found, problems) = read_text(text);
    assert!(problems.is_empty(), "{problems:?}");
    let mut entries = found.entries.into_iter().rev();
    match entries.find(|entry| entry.key == key)?.raw {
        Raw::Text(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_written_as_java_reads_them() {
    for (line, key, text) in [
        ("extendedTypesEnabled=True", "znodes.ttl_enabled", "true"),
        (
            "admin.enableServer=FALSE",
            "admin.commands_enabled",
            "false",
        ),
        (
            "maxClientCnxns=-1",
            "limits.connections_per_address_max",
            "0",
        ),
        ("maxCnxns=-5", "limits.connections_max", "0"),
        ("throttledOpWaitTime=7", "limits.throttled_ms_max", "7"),
        ("throttled_op_wait_time=-1", "limits.throttled_ms_max", "0"),
        ("tickTime=1\ntickTime=2", "timing.tick_ms", "2"),
        ("fsync.warningthresholdms=20", "storage.slow_sync_ms", "20"),
        (
            "zookeeper.admin.idleTimeout=9000",
            "admin.idle_ms_max",
            "9000",
        ),
    ] {
        assert_eq!(said(line, key).as_deref(), Some(text), "{line}");
    }
}

#[test]
fn the_admin_servers_address_is_ours_as_far_as_it_is_loopback() {
    let bind = |text: &str| said(text, "doors.admin.bind");
    let both = "admin.serverPort=8080\nadmin.serverAddress=";
    assert_eq!(bind("admin.serverPort=0").as_deref(), Some("127.0.0.1:0"));
    assert_eq!(bind(&format!("{both}::1")).as_deref(), Some("[::1]:8080"));
    assert_eq!(
        bind(&format!("{both}0.0.0.0")).as_deref(),
        Some("127.0.0.1:8080")
    );
    assert_eq!(
        bind("admin.serverAddress=localhost").as_deref(),
        Some("localhost:2193")
    );
    assert_eq!(bind("admin.serverAddress=0.0.0.0"), None);
    let (found, _) = read_text(&format!("{both}0.0.0.0"));
    assert_eq!(
        found.warnings,
        [
            "zoo.cfg:2: admin.serverAddress is not 0.0.0.0 but 127.0.0.1 here: the door asks nobody \
          who they are"
        ]
    );
    for bad in [
        "admin.serverPort=65536",
        "admin.serverPort=",
        "admin.serverAddress=a b",
    ] {
        assert_eq!(read_text(bad).1.len(), 1, "{bad}");
    }
}

#[test]
fn a_key_without_a_meaning_is_warned_of_once_and_its_wrong_value_is_refused() {
    let (found, problems) = read_text("zookeeper.syncLimit=5\nsnapCount=x\n");
    assert!(problems.is_empty() && found.entries.is_empty());
    assert_eq!(
        found.warnings,
        [
            "zoo.cfg:1: zookeeper.syncLimit has no meaning here",
            "zoo.cfg:2: snapCount has no meaning here"
        ]
    );
    let (found, problems) = read_text("syncLimit=five\n");
    assert!(found.warnings.is_empty());
    assert_eq!(
        problems[0].to_string(),
        "zoo.cfg:1: syncLimit: \"five\" is not a whole number"
    );
}

#[test]
fn servers_stand_in_one_file() {
    let (_, problems) = read_text("server.1=a:1:2\ndynamicConfigFile=zoo.cfg.dynamic\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().starts_with("zoo.cfg:1: server: "));
}

#[test]
fn what_zookeeper_says_by_yes_and_no_and_by_property_is_set() {
    let (found, problems) = read_text(
        "skipACL=yes\nenforceQuota=true\nzookeeper.extendedTypesEnabled=true\n\
         znode.container.checkIntervalMs=1000\nznode.container.maxPerMinute=5\n\
         znode.container.maxNeverUsedIntervalMs=7\n",
    );
    assert!(problems.is_empty() && found.warnings.is_empty());
    let set: Vec<(&str, &Raw)> = found
        .entries
        .iter()
        .map(|entry| (&*entry.key, &entry.raw))
        .collect();
    let text = |text: &str| Raw::Text(text.to_owned());
    assert_eq!(
        set,
        [
            ("access.skip_acl", &text("true")),
            ("znodes.quota_enforced", &text("true")),
            ("znodes.ttl_enabled", &text("true")),
            ("znodes.idle_check_interval_ms", &text("1000")),
            ("znodes.idle_removals_per_minute_max", &text("5")),
            ("znodes.unused_container_ms_max", &text("7")),
        ]
    );
    let (found, _) = read_text("skipACL=no\n");
    assert_eq!(found.entries[0].raw, text("false"));
}

#[test]
fn local_sessions_are_settings() {
    let lines = "localSessionsEnabled=true\nzookeeper.localSessionsUpgradingEnabled=false\n";
    let (found, problems) = read_text(lines);
    assert!(problems.is_empty() && found.warnings.is_empty());
    let set = found.entries.iter().map(|entry| (&*entry.key, &entry.raw));
    let set: Vec<_> = set.collect();
    let text = |text: &str| Raw::Text(text.to_owned());
    assert_eq!(
        set,
        [
            ("sessions.local", &text("true")),
            ("sessions.local_upgrading", &text("false")),
        ]
    );
}
