//! A client program as a process: what it reports, what it is told, and its verdict.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vivarium::testing::{eventually, poll};

/// For each thing awaited of a program; above an election and a client's way back.
const PATIENCE: Duration = Duration::from_secs(120);
/// Events of a program kept for the report of a failure.
const EVENTS_SHOWN: usize = 20;

#[derive(Default)]
struct Heard {
    ready: bool,
    count: u64,
    /// What was shown so far, and how long it took.
    proved: Vec<String>,
    violation: Option<String>,
    verdict: Option<Value>,
    /// It says no more.
    ended: bool,
    lines: VecDeque<String>,
}

/// A running program; killed by its process id when it is dropped.
pub struct Program {
    name: String,
    child: Child,
    stdin: ChildStdin,
    heard: Arc<Mutex<Heard>>,
    errors: PathBuf,
}

impl Program {
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Program {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        std::fs::create_dir_all(directory).expect("a directory below target can be made");
        let errors = directory.join(format!("{name}-{}-{number}.stderr", std::process::id()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("the program's log can be made"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().expect("the standard input is a pipe");
        let stdout = child.stdout.take().expect("the standard output is a pipe");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                listener.lock().hear(line);
            }
            listener.lock().ended = true;
        });
        Program {
            name: name.to_owned(),
            child,
            stdin,
            heard,
            errors,
        }
    }

    pub fn await_ready(&self) {
        self.await_that("is ready", |heard| heard.ready.then_some(()));
    }

    /// Waits until `more` further operations were acknowledged: the ensemble serves.
    pub fn await_progress(&self, more: u64) {
        let from = self.heard.lock().count;
        self.await_that(
            &format!("gets {more} more operations acknowledged after {from}"),
            |heard| (heard.count >= from + more).then_some(()),
        );
    }

    /// Waits until so many operations were acknowledged in all.
    pub fn await_total(&self, count: u64) {
        self.await_that(&format!("gets {count} operations acknowledged"), |heard| {
            (heard.count >= count).then_some(())
        });
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a program that runs");
    }

    /// Waits until more was shown than this; true if it was all, and the program has its verdict.
    pub fn await_proof(&self, shown: usize) -> bool {
        self.await_that("shows the next thing", |heard| {
            let all = heard.verdict.is_some();
            (all || heard.proved.len() > shown).then_some(all)
        })
    }

    /// Prints what was shown beyond this; how much was printed in all.
    pub fn print_proofs(&self, printed: usize) -> usize {
        let heard = self.heard.lock();
        for proof in &heard.proved[printed..] {
            println!("{}: {proof}", self.name);
        }
        heard.proved.len()
    }

    fn await_that<T>(&self, what: &str, mut look: impl FnMut(&Heard) -> Option<T>) -> T {
        let found = poll(PATIENCE, || {
            let heard = self.heard.lock();
            let found = look(&heard).map(Ok);
            match &heard.violation {
                Some(violation) => Some(Err(violation.clone())),
                None if heard.ended => {
                    Some(found.unwrap_or_else(|| Err("it has ended".to_owned())))
                }
                None => found,
            }
        });
        match found {
            Some(Ok(found)) => found,
            Some(Err(violation)) => panic!("{}: {violation}\n{}", self.name, self.report()),
            None => panic!(
                "{}: not within {PATIENCE:?}: {what}\n{}",
                self.name,
                self.report()
            ),
        }
    }

    /// Ends the load; the program checks what must hold, and says what it counted.
    ///
    /// # Panics
    /// If it reports a violation, ends otherwise than well, or not in time.
    pub fn finish(mut self) -> Value {
        writeln!(self.stdin, "finish").expect("the program listens");
        self.verdict()
    }

    /// Waits for the end of a program that needs not be told to finish.
    ///
    /// # Panics
    /// As [`Program::finish`].
    pub fn verdict(mut self) -> Value {
        let verdict = self.await_that("comes to a verdict", |heard| heard.verdict.clone());
        let status = eventually("a program with a verdict ends", PATIENCE, || {
            self.child
                .try_wait()
                .expect("a child of ours can be asked for its status")
        });
        assert!(
            status.success(),
            "{}: {status}\n{}",
            self.name,
            self.report()
        );
        // Of a program that ended well nobody will read it.
        let _ = std::fs::remove_file(&self.errors);
        verdict
    }

    fn report(&self) -> String {
        let lines: Vec<String> = self.heard.lock().lines.iter().cloned().collect();
        let errors = std::fs::read(&self.errors).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        let errors: Vec<&str> = errors.lines().collect();
        let shown = &errors[errors.len().saturating_sub(4 * EVENTS_SHOWN)..];
        format!(
            "--- it said\n{}\n--- its log\n{}",
            lines.join("\n"),
            shown.join("\n")
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn hear(&mut self, line: String) {
        // Java writes to standard output what it thinks fit; only objects are events.
        let event: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        match event["event"].as_str() {
            Some("ready") => self.ready = true,
            Some("progress") => self.count = event["count"].as_u64().unwrap_or(self.count),
            Some("violation") => self.violation = Some(event["what"].to_string()),
            Some("proved") => {
                let of = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                let proof = format!("{} ({} ms): {}", of("name"), event["ms"], of("promise"));
                self.proved.push(proof);
            }
            Some("verdict") => self.verdict = Some(event),
            _ => {}
        }
        self.lines.push_back(line);
        if self.lines.len() > EVENTS_SHOWN {
            self.lines.pop_front();
        }
    }
}
