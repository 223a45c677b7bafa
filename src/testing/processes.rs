//! Clusters of real processes on loopback, with their data on a real disk.
//!
//! Each member is the program that an operator would start, told by a zoo.cfg; the cluster starts,
//! kills, pauses and restarts them, and ends every one of them by its process id when it is dropped.
//! When the test is failing, the members' logs are printed and their files are kept.
//!
//! The same cluster can be made of the original (`Subject`), so that a test can be judged by it.

mod member;
mod ports;
mod subject;

pub use member::{Member, Mode, Ports, cpu_of};
pub use ports::{free_port, is_free};
pub use subject::Subject;

use super::eventually::{eventually, poll};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// For a start, an election, a way back: an order of magnitude above what an idle machine takes.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a cluster is begun anew because another process took one of its ports meanwhile.
const PORT_CONFLICTS_MAX: u32 = 5;
/// Lines of each member's log that a failing test prints.
const LOG_LINES_SHOWN: usize = 60;

/// What the cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub subject: Subject,
    /// Where the members' files go; on a real disk, or fsync means nothing.
    pub directory: PathBuf,
    pub members: usize,
    /// Further lines of every member's zoo.cfg.
    pub zoo_cfg: String,
    /// Settings of ours that a zoo.cfg has no key for.
    pub settings: Vec<(String, String)>,
    /// Whether `/commands` are answered on the admin port: the original needs more jars for it.
    pub commands: bool,
    /// Java system properties that the original takes from nowhere else.
    pub java_properties: Vec<(String, String)>,
}

impl ClusterOptions {
    pub fn new(subject: Subject, directory: impl Into<PathBuf>, members: usize) -> ClusterOptions {
        ClusterOptions {
            subject,
            directory: directory.into(),
            members,
            zoo_cfg: String::new(),
            settings: Vec::new(),
            commands: false,
            java_properties: Vec::new(),
        }
    }

    pub fn commands(mut self) -> ClusterOptions {
        self.commands = true;
        self
    }

    /// A key that ours takes from zoo.cfg, and the original as a Java system property alone.
    pub fn java_property(mut self, key: &str, value: &str) -> ClusterOptions {
        if self.subject.is_vivarium() {
            return self.zoo_cfg(&format!("{key}={value}"));
        }
        self.java_properties
            .push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn zoo_cfg(mut self, lines: &str) -> ClusterOptions {
        self.zoo_cfg.push_str(lines);
        self.zoo_cfg.push('\n');
        self
    }

    pub fn setting(mut self, key: &str, value: impl ToString) -> ClusterOptions {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

/// A running cluster; members are numbered from 1.
pub struct ProcessCluster {
    options: ClusterOptions,
    directory: PathBuf,
    members: Vec<Member>,
}

impl ProcessCluster {
    /// Starts all members and waits until each of them serves.
    ///
    /// # Panics
    /// If they do not, with the end of their logs.
    pub fn start(options: ClusterOptions) -> ProcessCluster {
        for _ in 0..PORT_CONFLICTS_MAX {
            let mut cluster = ProcessCluster::prepare(options.clone());
            for number in 1..=options.members {
                cluster.start_member(number);
            }
            if cluster.all_serve_or_ports_are_taken() {
                return cluster;
            }
        }
        panic!("{PORT_CONFLICTS_MAX} times in a row another process took a port of the cluster");
    }

    /// Ports, directories and configuration files; nothing runs yet.
    pub fn prepare(options: ClusterOptions) -> ProcessCluster {
        let directory = fresh_directory(&options.directory);
        let members: Vec<Member> = (1..=options.members)
            .map(|number| Member::new(number, Ports::free(), directory.join(number.to_string())))
            .collect();
        let cluster = ProcessCluster {
            options,
            directory,
            members,
        };
        let common = cluster.common_zoo_cfg() + &cluster.server_lines();
        for member in &cluster.members {
            member.configure(&common);
        }
        cluster
    }

    fn common_zoo_cfg(&self) -> String {
        // A short tick makes short sessions possible, for those that a test wants to see expire.
        format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=20\nminSessionTimeout=1000\n\
             maxSessionTimeout=60000\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n\
             admin.enableServer={}\n{}",
            self.options.commands, self.options.zoo_cfg
        )
    }

    fn server_lines(&self) -> String {
        let line = |member: &Member| {
            let Ports {
                client,
                peer,
                election,
                ..
            } = member.ports;
            let number = member.number;
            format!("server.{number}=127.0.0.1:{peer}:{election}:participant;127.0.0.1:{client}\n")
        };
        self.members.iter().map(line).collect()
    }

    /// Starts one more of our members, which waits to be added to the cluster, and waits until it
    /// listens for peers; its number, the next one.
    pub fn join(&mut self) -> usize {
        let number = self.members.len() + 1;
        let ports = Ports::free();
        let mut member = Member::new(number, ports, self.directory.join(number.to_string()));
        member.configure(&self.common_zoo_cfg());
        member.set("member.join", "true");
        member.set("doors.peer.bind", &format!("127.0.0.1:{}", ports.peer));
        self.members.push(member);
        self.start_member(number);
        let address = self.member(number).peer_address();
        eventually("a member that joins listens", PATIENCE, || {
            TcpStream::connect(address).ok()
        });
        number
    }

    /// What its machine took with it when it went.
    pub fn lose_data(&mut self, number: usize) {
        let member = self.member_mut(number);
        assert!(!member.runs(), "member {number} still runs");
        std::fs::remove_dir_all(member.data_directory()).expect("its data can be removed");
        member.prepare();
    }

    /// False if a member ended because a port of its was taken; panics if it ended otherwise.
    fn all_serve_or_ports_are_taken(&mut self) -> bool {
        let mut ended = None;
        let serve = poll(PATIENCE, || {
            ended = (0..self.members.len()).find(|&i| !self.members[i].runs());
            (ended.is_some() || self.members.iter().all(|member| member.mode().is_some()))
                .then_some(())
        });
        match (serve, ended) {
            (Some(()), None) => true,
            (Some(()), Some(i))
                if self.members[i]
                    .ports
                    .all()
                    .iter()
                    .any(|&port| !is_free(port)) =>
            {
                false
            }
            (Some(()), Some(i)) => {
                let status = self.members[i].exit_status();
                panic!(
                    "member {} ended at its start: {status:?}",
                    self.members[i].number
                )
            }
            (None, _) => panic!("the members did not serve within {PATIENCE:?}"),
        }
    }

    pub fn subject(&self) -> &Subject {
        &self.options.subject
    }

    /// The number of members, running or not.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    pub fn member(&self, number: usize) -> &Member {
        &self.members[number - 1]
    }

    pub fn member_mut(&mut self, number: usize) -> &mut Member {
        &mut self.members[number - 1]
    }

    pub fn client_address(&self, number: usize) -> SocketAddr {
        self.member(number).client_address()
    }

    /// `host:port` of all members, in the order of their numbers, separated by commas.
    pub fn connect_string(&self) -> String {
        let hosts: Vec<String> = self
            .members
            .iter()
            .map(|member| member.client_address().to_string())
            .collect();
        hosts.join(",")
    }

    /// The member that serves as leader, once one does.
    pub fn leader(&self) -> usize {
        eventually("a leader serves", PATIENCE, || {
            self.with_mode(Mode::Leader)
                .or_else(|| self.with_mode(Mode::Standalone))
        })
    }

    /// A member that serves as follower, once one does.
    pub fn follower(&self) -> usize {
        eventually("a follower serves", PATIENCE, || {
            self.with_mode(Mode::Follower)
        })
    }

    fn with_mode(&self, mode: Mode) -> Option<usize> {
        self.members
            .iter()
            .find(|member| member.mode() == Some(mode))
            .map(|member| member.number)
    }

    /// Changes a setting of ours for all members that are started from now on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.options
            .settings
            .push((key.to_owned(), value.to_string()));
    }

    /// Starts a member that does not run; returns at once.
    pub fn start_member(&mut self, number: usize) {
        let options = self.options.clone();
        let member = self.member_mut(number);
        member.forget_ended();
        member.spawn(&options);
    }

    /// Waits until the member serves.
    ///
    /// # Panics
    /// If it ends instead, or does not serve in time.
    pub fn await_serving(&mut self, number: usize) {
        let member = self.member_mut(number);
        eventually(&format!("member {number} serves"), PATIENCE, || {
            if let Some(status) = member.exit_status() {
                panic!("member {number} ended: {status}");
            }
            member.mode()
        });
    }

    /// SIGKILL: it has no time for anything.
    pub fn kill(&mut self, number: usize) {
        self.member_mut(number).kill();
    }

    /// SIGKILL to all members, one right after the other.
    pub fn kill_all(&mut self) {
        for member in &mut self.members {
            member.kill();
        }
    }

    /// SIGTERM, and waits for the end; its exit status.
    pub fn stop(&mut self, number: usize) -> std::process::ExitStatus {
        let member = self.member_mut(number);
        member.signal(libc::SIGTERM);
        eventually("a member that was asked to stop ends", PATIENCE, || {
            member.exit_status()
        })
    }

    /// SIGSTOP: it keeps its connections and says nothing.
    pub fn pause(&self, number: usize) {
        self.member(number).signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self, number: usize) {
        self.member(number).signal(libc::SIGCONT);
    }

    fn print_logs(&self) {
        for member in &self.members {
            let log = member.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!(
                "--- member {}: the last of {} lines",
                member.number,
                lines.len()
            );
            for line in &lines[from..] {
                eprintln!("{line}");
            }
        }
        eprintln!(
            "--- the members' files are kept in {}",
            self.directory.display()
        );
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            self.print_logs();
        } else if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("{} stays behind: {error}", self.directory.display());
        }
    }
}

/// A directory of its own below `parent` for each cluster of each test process.
fn fresh_directory(parent: &std::path::Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = parent.join(format!("cluster-{}-{count}", std::process::id()));
    // A process id comes round again; what a failed run left there is not ours to go on with.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("the directory for clusters can be made");
    directory
}
