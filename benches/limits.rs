//! What this machine allows, whatever is built on it: `cargo bench --bench limits`.
//!
//! - A lone durable write of three members as the bare moves that no protocol can do without: a request, an
//!   append to two followers, a few hundred bytes made durable by each, the answers. Nothing is encoded,
//!   checked or kept, and every thread waits for one thing only.
//! - The fan-out of one event: small messages, each to a connection of its own, until the last was read; and the
//!   same where whoever has read one asks again at once and is answered, as with a watch that is set again, in the
//!   best order: no answer is sent before the last event.
//!
//! `TMPDIR` says on which disk; `ROUNDS=5000` and `WATCHERS=300` change the sizes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const REQUEST_BYTES: usize = 150;
const APPEND_BYTES: usize = 600;
const ANSWER_BYTES: usize = 30;
const EVENT_BYTES: usize = 60;
const QUESTION_BYTES: usize = 40;
/// 100 bytes of data, and what comes with them.
const REPLY_BYTES: usize = 200;
/// Written full before, so that a sync has nothing but data to write.
const LOG_BYTES: usize = 16 << 20;

fn main() -> io::Result<()> {
    let (rounds, watchers) = (size("ROUNDS", 5_000), size("WATCHERS", 300));
    lone_write(rounds)?;
    fan_out(rounds.div_ceil(10), watchers)?;
    fan_out_and_again(rounds.div_ceil(10), watchers)
}

fn size(name: &str, default: usize) -> usize {
    let size = std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    size.max(1)
}

fn lone_write(rounds: usize) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut logs = Vec::new();
    for member in 0..3 {
        let log = File::create(directory.path().join(format!("{member}.log")))?;
        log.write_all_at(&vec![0; LOG_BYTES], 0)?;
        log.sync_all()?;
        logs.push(log);
    }
    let (mut client, mut request) = connected()?;
    let (mut first, first_there) = connected()?;
    let (mut second, second_there) = connected()?;
    let mut members = Vec::new();
    for (log, leader) in logs.drain(1..).zip([first_there, second_there]) {
        members.push(counted(move || follow(&log, leader)));
    }
    let (to_write, jobs) = mpsc::channel::<()>();
    let (is_durable, durable) = mpsc::channel();
    let own = logs.remove(0);
    members.push(counted(move || {
        for (round, ()) in jobs.iter().enumerate() {
            append(&own, round)?;
            let _ = is_durable.send(());
        }
        Ok(())
    }));
    members.push(counted(move || {
        let mut answer = [0; ANSWER_BYTES];
        while request.read_exact(&mut [0; REQUEST_BYTES]).is_ok() {
            let _ = to_write.send(());
            first.write_all(&[7; APPEND_BYTES])?;
            second.write_all(&[7; APPEND_BYTES])?;
            first.read_exact(&mut answer)?;
            let _ = durable.recv();
            request.write_all(&answer)?;
            // The other follower: nobody waits for it.
            second.read_exact(&mut answer)?;
        }
        Ok(())
    }));
    let mut latencies = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        client.write_all(&[7; REQUEST_BYTES])?;
        client.read_exact(&mut [0; ANSWER_BYTES])?;
        latencies.push(began.elapsed());
    }
    drop(client);
    let cpu: Duration = members.into_iter().map(joined).sum();
    print(
        "lone durable write, three members",
        latencies,
        cpu / rounds as u32,
    );
    Ok(())
}

fn follow(log: &File, mut leader: TcpStream) -> io::Result<()> {
    let mut round = 0;
    while leader.read_exact(&mut [0; APPEND_BYTES]).is_ok() {
        append(log, round)?;
        leader.write_all(&[7; ANSWER_BYTES])?;
        round += 1;
    }
    Ok(())
}

fn append(log: &File, round: usize) -> io::Result<()> {
    let at = round * APPEND_BYTES % (LOG_BYTES - APPEND_BYTES);
    log.write_all_at(&[7; APPEND_BYTES], at as u64)?;
    log.sync_data()
}

fn fan_out(rounds: usize, watchers: usize) -> io::Result<()> {
    let (mut senders, mut receivers) = connections(watchers)?;
    let (begun, begins) = mpsc::channel();
    let (all_read, ended) = mpsc::channel();
    let reading = counted(move || {
        for began in begins.iter() {
            for receiver in &mut receivers {
                receiver.read_exact(&mut [0; EVENT_BYTES])?;
            }
            let _ = all_read.send(Instant::now().duration_since(began));
        }
        Ok(())
    });
    let mut latencies = Vec::new();
    let before = thread_cpu();
    for _ in 0..rounds {
        let _ = begun.send(Instant::now());
        for sender in &mut senders {
            sender.write_all(&[7; EVENT_BYTES])?;
        }
        latencies.push(ended.recv().expect("the reader reads on"));
    }
    let sending = thread_cpu() - before;
    drop(begun);
    let each = (rounds * watchers) as u32;
    print(
        &format!("one event to {watchers} connections, sending"),
        latencies.clone(),
        sending / each,
    );
    print("the same, reading", latencies, joined(reading) / each);
    Ok(())
}

fn fan_out_and_again(rounds: usize, watchers: usize) -> io::Result<()> {
    let (mut members, mut clients) = connections(watchers)?;
    let (begun, begins) = mpsc::channel();
    let (all_read, ended) = mpsc::channel();
    let asking = counted(move || {
        for began in begins.iter() {
            for client in &mut clients {
                client.read_exact(&mut [0; EVENT_BYTES])?;
                client.write_all(&[7; QUESTION_BYTES])?;
            }
            let last = Instant::now().duration_since(began);
            for client in &mut clients {
                client.read_exact(&mut [0; REPLY_BYTES])?;
            }
            let _ = all_read.send((last, Instant::now().duration_since(began)));
        }
        Ok(())
    });
    let mut latencies = Vec::new();
    let before = thread_cpu();
    for _ in 0..rounds {
        let _ = begun.send(Instant::now());
        for member in &mut members {
            member.write_all(&[7; EVENT_BYTES])?;
        }
        for member in &mut members {
            member.read_exact(&mut [0; QUESTION_BYTES])?;
            member.write_all(&[7; REPLY_BYTES])?;
        }
        latencies.push(ended.recv().expect("the reader reads on"));
    }
    let serving = thread_cpu() - before;
    drop(begun);
    let each = (rounds * watchers) as u32;
    let (last_event, last_answer): (Vec<_>, Vec<_>) = latencies.into_iter().unzip();
    let what = format!("one event to {watchers}, who ask again, telling");
    print(&what, last_event, serving / each);
    print(
        "the same until all have their answers, asking",
        last_answer,
        joined(asking) / each,
    );
    Ok(())
}

/// Both ends of so many.
fn connections(count: usize) -> io::Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let ends: io::Result<Vec<_>> = (0..count).map(|_| connected()).collect();
    Ok(ends?.into_iter().unzip())
}

fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    Ok((here, there))
}

/// Work on a thread of its own, which ends with the processor time it took.
fn counted(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> JoinHandle<io::Result<Duration>> {
    thread::spawn(move || work().map(|()| thread_cpu()))
}

fn joined(thread: JoinHandle<io::Result<Duration>>) -> Duration {
    let cpu = thread.join().expect("no thread panics");
    cpu.expect("the machine's own connections and disk work")
}

/// Of the calling thread; the first number of the file is nanoseconds.
fn thread_cpu() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanoseconds = figures.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn print(what: &str, mut latencies: Vec<Duration>, cpu: Duration) {
    latencies.sort_unstable();
    let at = |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100].as_micros();
    println!(
        "{what:45} p50 {:6} µs  p99 {:6} µs  processor time {:.1} µs each",
        at(50),
        at(99),
        cpu.as_secs_f64() * 1e6
    );
}
