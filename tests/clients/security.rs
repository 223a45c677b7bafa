//! TLS and SASL through real clients: ZooKeeper's own, Curator and kazoo, with the stores of Java's
//! tools on both sides.

use crate::java::Module;
use crate::proofs::prove_on;
use crate::stores::{Kind, PASSWORD, Stores};
use crate::{kazoo, scratch};
use vivarium::testing::processes::{ClusterOptions, ProcessCluster, Subject, free_port};

const PROVIDERS: &str = "\
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider
authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

fn one_member() -> ClusterOptions {
    let subject = Subject::under_test(env!("CARGO_BIN_EXE_vivarium"));
    ClusterOptions::new(subject, scratch("members"), 1).zoo_cfg(PROVIDERS)
}

fn tls_by(kind: Kind) {
    let stores = Stores::new(&scratch("stores"), kind);
    for name in ["server", "java", "admin"] {
        stores.add_key(name);
    }
    stores.add_stranger("stranger");
    stores.add_pem("kazoo");
    stores.add_strange_pem("stranger");
    let port = free_port();
    let cluster = ProcessCluster::start(one_member().zoo_cfg(&format!(
        "secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n\
         ssl.keyStore.location={}\nssl.keyStore.password={PASSWORD}\n\
         ssl.trustStore.location={}\nssl.trustStore.password={PASSWORD}\n\
         ssl.enabledProtocols=TLSv1.2,TLSv1.3\n\
         X509AuthenticationProvider.superUser=CN=admin,O=Example",
        stores.store("server").display(),
        stores.store("trust").display()
    )));
    let secure = format!("127.0.0.1:{port}");
    let ending = kind.ending();
    prove_on(&cluster, &format!("java-tls-{ending}"), |plain| {
        let mut command = Module::Curator5.program("Secured", &secure, "/java");
        command.arg(plain).arg(stores.directory()).arg(ending);
        command
    });
    prove_on(&cluster, &format!("kazoo-tls-{ending}"), |plain| {
        let mut command = kazoo::command("secured", &secure);
        command.args(["--plain", plain, "--files"]);
        command.arg(stores.directory());
        command
    });
}

#[test]
fn clients_speak_tls_by_stores_of_jks() {
    tls_by(Kind::Jks);
}

#[test]
fn clients_speak_tls_by_stores_of_pkcs12() {
    tls_by(Kind::Pkcs12);
}

/// A member that knows the users `super` and `bob`, and the JAAS files of both sides.
fn with_users(lines: &str) -> (ProcessCluster, Stores) {
    let stores = Stores::new(&scratch("stores"), Kind::Pkcs12);
    stores.write(
        "server.conf",
        "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
         user_super=\"admin\" user_bob=\"bob's secret\"; };",
    );
    let client = |section: &str, user: &str, password: &str| {
        format!(
            "{section} {{ org.apache.zookeeper.server.auth.DigestLoginModule required\n\
             username=\"{user}\" password=\"{password}\"; }};\n"
        )
    };
    stores.write(
        "client.conf",
        &[
            client("Client", "bob", "bob's secret"),
            client("Admin", "super", "admin"),
            client("Impostor", "bob", "wrong"),
        ]
        .concat(),
    );
    let users = stores.path("server.conf").display().to_string();
    let options = one_member()
        .java_property("java.security.auth.login.config", &users)
        .zoo_cfg(lines);
    (ProcessCluster::start(options), stores)
}

#[test]
fn zookeepers_client_proves_its_user_by_sasl_where_that_is_required() {
    let (cluster, stores) = with_users("sessionRequireClientSASLAuth=true\nsuperUser=super");
    prove_on(&cluster, "java-sasl", |hosts| {
        let mut command = Module::Curator5.program("Sasl", hosts, "/java");
        command.arg(stores.path("client.conf"));
        command
    });
}

/// Where it is required, kazoo does not understand the answer to a wrong password.
#[test]
fn kazoo_proves_its_user_by_sasl() {
    let (cluster, _stores) = with_users("");
    prove_on(&cluster, "kazoo-sasl", |hosts| {
        kazoo::command("sasl", hosts)
    });
}
