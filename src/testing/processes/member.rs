//! One member as a process: its files, its ports, its life and death.

use super::ClusterOptions;
use super::ports::free_port;
use super::subject::Subject;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

/// How long a four-letter word may take; a paused member accepts the connection and says nothing.
const WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// The ports of one member, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub client: u16,
    pub peer: u16,
    /// Listened on by the original only; a zoo.cfg must name it.
    pub election: u16,
    pub grpc: u16,
    pub admin: u16,
}

impl Ports {
    pub(super) fn free() -> Ports {
        Ports {
            client: free_port(),
            peer: free_port(),
            election: free_port(),
            grpc: free_port(),
            admin: free_port(),
        }
    }

    pub(super) fn all(&self) -> [u16; 5] {
        [self.client, self.peer, self.election, self.grpc, self.admin]
    }
}

/// What the word `srvr` says a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    Standalone,
}

/// A member of a [`super::ProcessCluster`].
pub struct Member {
    pub(super) number: usize,
    pub(super) ports: Ports,
    directory: PathBuf,
    /// Keys of ours that only this member is given.
    settings: Vec<(String, String)>,
    process: Option<Child>,
}

impl Member {
    pub(super) fn new(number: usize, ports: Ports, directory: PathBuf) -> Member {
        let member = Member {
            number,
            ports,
            directory,
            settings: Vec::new(),
            process: None,
        };
        member.prepare();
        member
    }

    /// Makes its data directory, with nothing in it but its number.
    pub(super) fn prepare(&self) {
        let data = self.data_directory();
        fs::create_dir_all(&data).expect("the member's directory can be made");
        fs::write(data.join("myid"), format!("{}\n", self.number)).expect("myid can be written");
    }

    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    pub fn zoo_cfg(&self) -> PathBuf {
        self.directory.join("zoo.cfg")
    }

    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Where its standard output and error go.
    pub fn log_path(&self) -> PathBuf {
        self.directory.join("log.txt")
    }

    /// All it wrote to its standard output and error, over all its lives.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Writes its zoo.cfg: what every member is told, then what only this one is.
    pub(super) fn configure(&self, common: &str) {
        let Ports { client, admin, .. } = self.ports;
        let text = format!(
            "dataDir={}\nclientPort={client}\nclientPortAddress=127.0.0.1\n\
             admin.serverPort={admin}\nadmin.serverAddress=127.0.0.1\n{common}",
            self.data_directory().display()
        );
        fs::write(self.zoo_cfg(), text).expect("zoo.cfg can be written");
    }

    pub(super) fn spawn(&mut self, options: &ClusterOptions) {
        assert!(
            self.process.is_none(),
            "member {} runs already",
            self.number
        );
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the member's log can be opened");
        let mut settings = [&options.settings[..], &self.settings].concat();
        for (key, port) in [
            ("doors.grpc.bind", self.ports.grpc),
            ("doors.admin.bind", self.ports.admin),
        ] {
            settings.push((key.to_owned(), format!("127.0.0.1:{port}")));
        }
        let mut command = options.subject.command(&self.zoo_cfg(), &settings);
        if let Subject::ZooKeeper { .. } = options.subject {
            quiet_logback(&self.directory);
            // The class path must not be touched, so the tool's own variable names the file.
            let file = self.directory.join("logback.xml");
            let mut java = format!("-Dlogback.configurationFile={}", file.display());
            for (key, value) in &options.java_properties {
                java += &format!(" -D{key}={value}");
            }
            command.env("JDK_JAVA_OPTIONS", java);
        }
        // What the test itself is told by such a variable is none of the member's settings.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VIVARIUM_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(clone_of(&log))
            .stderr(log);
        self.process = Some(
            command
                .spawn()
                .expect("the member's program can be started"),
        );
    }

    /// Whether it was started and neither ended by itself nor was ended.
    pub fn runs(&mut self) -> bool {
        self.exit_status().is_none() && self.process.is_some()
    }

    /// How it ended, if it did so by itself.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        process
            .try_wait()
            .expect("a child of ours can be asked for its status")
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error here means that it has ended already.
            let _ = process.kill();
            process.wait().expect("a child of ours can be waited for");
        }
    }

    pub(super) fn forget_ended(&mut self) {
        if self.exit_status().is_some() {
            self.process = None;
        }
    }

    pub(super) fn signal(&self, signal: libc::c_int) {
        let process = self
            .process
            .as_ref()
            .expect("only a member that runs is signalled");
        // SAFETY: kill(2) takes plain numbers; the child was not waited for, so the id is its own.
        let sent = unsafe { libc::kill(process.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "member {} could not be signalled", self.number);
    }

    /// Resident bytes of its process, where the system tells.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The same without those that are also in its files.
    pub fn anonymous_bytes(&self) -> Option<u64> {
        self.status_bytes("RssAnon:")
    }

    fn status_bytes(&self, field: &str) -> Option<u64> {
        let id = self.process.as_ref()?.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// The names of its threads, where the system tells.
    pub fn thread_names(&self) -> Option<Vec<String>> {
        let id = self.process.as_ref()?.id();
        let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
        // One that ends meanwhile has no name.
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).ok();
        Some(threads.flatten().filter_map(name).collect())
    }

    /// What its process has had of the processors, where the system tells.
    pub fn cpu(&self) -> Option<Duration> {
        cpu_of(self.process.as_ref()?.id())
    }

    pub fn client_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.client))
    }

    pub fn peer_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.peer))
    }

    /// Where its commands are, and beside them, which the original has not, its health and metrics.
    pub fn grpc_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.grpc))
    }

    pub fn admin_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.admin))
    }

    /// Asks a four-letter word; `None` if nobody answers in time.
    pub fn four_letter_word(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.client_address(), WORD_TIMEOUT).ok()?;
        stream.set_read_timeout(Some(WORD_TIMEOUT)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What it says it is; `None` while it does not serve.
    pub fn mode(&self) -> Option<Mode> {
        let answer = self.four_letter_word("srvr")?;
        let mode = answer
            .lines()
            .find_map(|line| line.strip_prefix("Mode: "))?;
        match mode.trim() {
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            "observer" => Some(Mode::Observer),
            "standalone" => Some(Mode::Standalone),
            _ => None,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

fn clone_of(file: &File) -> File {
    file.try_clone().expect("an open file can be shared")
}

/// Without a configuration logback writes every packet.
fn quiet_logback(directory: &Path) {
    let text = "<configuration><appender name=\"C\" class=\"ch.qos.logback.core.ConsoleAppender\">\
                <encoder><pattern>%d %-5p %c{1} - %m%n</pattern></encoder></appender>\
                <root level=\"INFO\"><appender-ref ref=\"C\"/></root></configuration>";
    fs::write(directory.join("logback.xml"), text).expect("the log configuration can be written");
}

/// What a process and its threads have had of the processors, where the system tells.
pub fn cpu_of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, in which anything may stand; the 14th and 15th are ticks.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse().ok()?;
    let in_kernel: u64 = fields.next()?.parse().ok()?;
    // SAFETY: sysconf(3) takes a plain number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(Duration::from_secs(ticks + in_kernel) / u32::try_from(per_second).ok()?)
}
