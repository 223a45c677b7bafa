//! Writers that go on whatever happens, and the ledger of what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use vivarium::testing::eventually;
use vivarium::testing::processes::ProcessCluster;
use vivarium::testing::raw_client::{Credentials, RawClient, RawError, flags};

/// No session of a writer may expire while members are killed and come back.
const SESSION_TIMEOUT_MS: i32 = 30_000;
/// Above an election, a start of all members and a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where the writers write: `/load/<writer>-<number>`.
const DIRECTORY: &str = "/load";

/// One writer's part of the ledger.
#[derive(Debug)]
pub struct Account {
    pub session: i64,
    pub acknowledged: BTreeSet<String>,
    /// Asked for, and never answered.
    pub unknown: BTreeSet<String>,
    /// Connections it had after its first.
    pub reconnects: usize,
}

/// Writers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Account>>,
}

/// What all writers were told.
pub struct Ledger {
    pub accounts: Vec<Account>,
}

impl Load {
    /// Starts writers, spread over the members. Each owns an ephemeral `/owner-<writer>` for as long
    /// as its session lasts.
    pub fn start(cluster: &ProcessCluster, writers: usize) -> Load {
        let addresses: Vec<SocketAddr> = (1..=cluster.size())
            .map(|member| cluster.client_address(member))
            .collect();
        let mut first = RawClient::connect(addresses[0], SESSION_TIMEOUT_MS).unwrap();
        first.create(DIRECTORY, b"", flags::PERSISTENT).unwrap();
        first.close().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers = (0..writers)
            .map(|number| {
                let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
                let addresses = addresses.clone();
                std::thread::spawn(move || write(number, &addresses, &stop, &acknowledged))
            })
            .collect();
        Load {
            stop,
            acknowledged,
            writers,
        }
    }

    /// Waits until so many further writes were acknowledged.
    pub fn await_progress(&self, more: u64) {
        let from = self.count();
        eventually(
            &format!("{more} more writes are acknowledged after {from}"),
            PATIENCE,
            || {
                assert!(
                    !self.writers.iter().any(JoinHandle::is_finished),
                    "a writer gave up"
                );
                (self.count() >= from + more).then_some(())
            },
        );
    }

    /// Writes acknowledged so far.
    pub fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let join = |writer: JoinHandle<Account>| writer.join().expect("a writer does not fail");
        Ledger {
            accounts: self.writers.into_iter().map(join).collect(),
        }
    }
}

/// The data that belong to a name.
fn data_of(name: &str) -> Vec<u8> {
    format!("data of {name}").into_bytes()
}

fn owner_path(writer: usize) -> String {
    format!("/owner-{writer}")
}

fn write(number: usize, addresses: &[SocketAddr], stop: &AtomicBool, count: &AtomicU64) -> Account {
    let mut member = number % addresses.len();
    let mut client = RawClient::connect(addresses[member], SESSION_TIMEOUT_MS).unwrap();
    // The member it is connected to may be behind the one that made the directory.
    client.sync().unwrap();
    client
        .create(&owner_path(number), b"", flags::EPHEMERAL)
        .unwrap();
    let mut account = Account {
        session: client.session(),
        acknowledged: BTreeSet::new(),
        unknown: BTreeSet::new(),
        reconnects: 0,
    };
    for step in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{number}-{step}");
        match client.create(
            &format!("{DIRECTORY}/{name}"),
            &data_of(&name),
            flags::PERSISTENT,
        ) {
            Ok(_) => {
                account.acknowledged.insert(name);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(RawError::Connection(_)) => {
                account.unknown.insert(name);
                account.reconnects += 1;
                client = reattach(client.credentials(), addresses, &mut member);
            }
            Err(error) => panic!("writer {number}: {error:?}"),
        }
    }
    // It does not close its session: what this owns is looked at after.
    account
}

/// The same session, on whichever member takes it.
pub fn reattach(
    credentials: &Credentials,
    addresses: &[SocketAddr],
    member: &mut usize,
) -> RawClient {
    let session = credentials.session;
    eventually(
        &format!("a member takes session {session:#x}"),
        PATIENCE,
        || {
            *member = (*member + 1) % addresses.len();
            match RawClient::attach(addresses[*member], credentials) {
                Ok(client) => Some(client),
                Err(RawError::Expired) => {
                    panic!("session {session:#x} was lost, though it came back")
                }
                Err(_) => None,
            }
        },
    )
}

impl Ledger {
    /// That a member has all that was acknowledged, nothing that nobody wrote, and the ephemerals
    /// of all writers.
    #[track_caller]
    pub fn check(&self, address: SocketAddr) {
        let mut reader = RawClient::connect(address, SESSION_TIMEOUT_MS).unwrap();
        reader.sync().unwrap();
        let there: BTreeSet<String> = reader.children(DIRECTORY).unwrap().into_iter().collect();
        let mut acknowledged: BTreeMap<&String, bool> = BTreeMap::new();
        for account in &self.accounts {
            acknowledged.extend(account.acknowledged.iter().map(|name| (name, true)));
            acknowledged.extend(account.unknown.iter().map(|name| (name, false)));
        }
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|(name, told)| **told && !there.contains(**name))
            .collect();
        assert!(
            lost.is_empty(),
            "acknowledged and not on {address}: {lost:?}"
        );
        let strange: Vec<_> = there
            .iter()
            .filter(|name| !acknowledged.contains_key(name))
            .collect();
        assert!(
            strange.is_empty(),
            "on {address}, and nobody wrote it: {strange:?}"
        );
        for name in &there {
            let (data, stat) = reader.data(&format!("{DIRECTORY}/{name}")).unwrap();
            assert_eq!(
                (data, stat.version),
                (data_of(name), 0),
                "{name} on {address}"
            );
        }
        for (number, account) in self.accounts.iter().enumerate() {
            let stat = reader.exists(&owner_path(number)).unwrap();
            let owner = stat.map(|stat| stat.ephemeral_owner);
            assert_eq!(
                owner,
                Some(account.session),
                "the ephemeral of writer {number} on {address}"
            );
        }
        reader.close().unwrap();
    }
}
