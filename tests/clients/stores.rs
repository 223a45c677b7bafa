//! Key and trust stores as users of Java have them: keys made by the JDK's keytool, certificates by an
//! authority; and the same authority's certificates in PEM.

use crate::once;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use vivarium::testing::certificates::{Authority, Issued};

pub const PASSWORD: &str = "changeit";

/// How a store of Java is written, and which keys go with it here.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// With RSA keys.
    Jks,
    /// With EC keys.
    Pkcs12,
}

impl Kind {
    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Kind::Jks => "jks",
            Kind::Pkcs12 => "p12",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Kind::Jks => &["-storetype", "JKS", "-keyalg", "RSA", "-keysize", "2048"],
            Kind::Pkcs12 => &[
                "-storetype",
                "PKCS12",
                "-keyalg",
                "EC",
                "-groupname",
                "secp256r1",
            ],
        }
    }
}

pub struct Stores {
    directory: TempDir,
    authority: Authority,
    kind: Kind,
}

impl Stores {
    /// A directory below `parent` with `trust.*`, the authority's certificate.
    pub fn new(parent: &Path, kind: Kind) -> Stores {
        fs::create_dir_all(parent).expect("a directory below target can be made");
        let stores = Stores {
            directory: tempfile::tempdir_in(parent).expect("a directory can be made"),
            authority: Authority::new("authority"),
            kind,
        };
        stores.write("trusted.pem", &stores.authority.pem);
        let trust = stores.store("trust");
        stores.keytool(
            &trust,
            &["-importcert", "-noprompt", "-alias", "authority", "-file"],
            &[&stores.path("trusted.pem").display().to_string()],
            &kind.options()[..2],
        );
        stores
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The file of a store.
    pub fn store(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.{}", self.kind.ending()))
    }

    /// `name.*` with a key made by keytool, certified for `CN=name,O=Example` by the authority.
    pub fn add_key(&self, name: &str) {
        self.add_key_by(name, &self.authority);
    }

    /// The same for somebody whom nobody knows.
    pub fn add_stranger(&self, name: &str) {
        self.add_key_by(name, &Authority::new("strangers"));
    }

    fn add_key_by(&self, name: &str, authority: &Authority) {
        let store = self.store(name);
        let generate = ["-genkeypair", "-alias", "key", "-dname", "CN=nobody"];
        let of_key = ["-keypass", PASSWORD];
        self.keytool(&store, &generate, &of_key, self.kind.options());
        let certificate = self.path(&format!("{name}.der"));
        let file = certificate.display().to_string();
        self.keytool(
            &store,
            &["-exportcert", "-alias", "key", "-file"],
            &[&file],
            &[],
        );
        let own = fs::read(&certificate).expect("keytool has exported it");
        fs::write(&certificate, authority.issue_for(&own, name)).expect("it can be written");
        let import = ["-importcert", "-noprompt", "-alias", "key", "-file"];
        self.keytool(&store, &import, &[&file], &[]);
    }

    /// `name.pem` and `name.key` in PEM.
    pub fn add_pem(&self, name: &str) {
        self.write_pem(name, &self.authority.issue(name));
    }

    /// The same for somebody whom nobody knows.
    pub fn add_strange_pem(&self, name: &str) {
        self.write_pem(name, &Authority::new("strangers").issue(name));
    }

    fn write_pem(&self, name: &str, issued: &Issued) {
        self.write(&format!("{name}.pem"), &issued.pem);
        self.write(&format!("{name}.key"), &issued.key_pem);
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file below target can be written");
    }

    fn keytool(&self, store: &Path, command: &[&str], more: &[&str], options: &[&str]) {
        let mut keytool = Command::new("keytool");
        keytool
            .args(command)
            .args(more)
            .args(options)
            .arg("-keystore")
            .arg(store)
            .args(["-storepass", PASSWORD]);
        once::run(&mut keytool).unwrap_or_else(|why| panic!("{why}"));
    }
}
