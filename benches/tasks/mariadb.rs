//! The same work in MariaDB, done by `benches/java/Polling.java`.

use super::{Figures, Load, PAYLOAD};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use vivarium::testing::eventually;
use vivarium::testing::processes::{cpu_of, free_port};

const DRIVER: &str = "org.mariadb.jdbc:mariadb-java-client:3.5.3";
/// Making a database on a busy machine takes a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that ends with its handle, and its data with the next one.
pub struct Database {
    server: Child,
    port: u16,
    driver: PathBuf,
}

fn run(command: &mut Command) {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {errors}");
}

impl Database {
    pub fn start(directory: &Path) -> Database {
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory).expect("a directory below target");
        run(Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy"])
            .arg(format!("-Dartifact={DRIVER}"))
            .arg(format!("-DoutputDirectory={}", directory.display())));
        let data = format!("--datadir={}", directory.join("data").display());
        run(Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--skip-test-db"])
            .args(["--auth-root-authentication-method=normal", &data]));
        let port = free_port();
        let log = File::create(directory.join("log")).expect("a log");
        let server = Command::new("mariadbd")
            .args([
                "--no-defaults",
                "--user=root",
                "--bind-address=127.0.0.1",
                &data,
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", directory.join("socket").display()))
            // Its own defaults; said here because the figures mean nothing without.
            .args([
                "--innodb-flush-log-at-trx-commit=1",
                "--max-connections=500",
            ])
            .stderr(log)
            .spawn()
            .expect("mariadbd is on the path");
        let driver = directory.join("mariadb-java-client-3.5.3.jar");
        let database = Database {
            server,
            port,
            driver,
        };
        eventually("MariaDB serves", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        database
    }

    pub fn measure(&self, load: Load) -> Figures {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/java/Polling.java");
        let mut java = Command::new("java")
            .args(["-Xmx512m", "-cp"])
            .arg(&self.driver)
            .arg(program)
            .arg(format!(
                "jdbc:mariadb://127.0.0.1:{}/tasks?user=root&createDatabaseIfNotExist=true",
                self.port
            ))
            .args([load.clients, load.in_flight].map(|number| number.to_string()))
            .args([load.measured.as_secs().to_string(), PAYLOAD.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a JDK on the path");
        let cpu = || cpu_of(self.server.id()).expect("the database runs");
        let mut from = Duration::ZERO;
        let mut to = Duration::ZERO;
        let mut errors = String::new();
        let lines = BufReader::new(java.stderr.take().expect("a pipe")).lines();
        for line in lines.map_while(Result::ok) {
            match line.as_str() {
                "measuring" => from = cpu(),
                "measured" => to = cpu(),
                other => errors.push_str(&format!("{other}\n")),
            }
        }
        let mut text = String::new();
        let mut stdout = java.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut text).expect("a text");
        let status = java.wait().expect("a program that ends");
        assert!(status.success(), "{errors}");
        let said: serde_json::Value = serde_json::from_str(&text).expect("a line of JSON");
        let figure = |name: &str| said[name].as_f64().expect("a number");
        Figures {
            tasks: figure("tasks"),
            seconds: figure("seconds"),
            p50_ms: figure("p50_ms"),
            p99_ms: figure("p99_ms"),
            cpu: to.saturating_sub(from),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
