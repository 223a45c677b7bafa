//! States made by applying random requests, for the tests of this room.

use crate::model::{
    Acl, Command, CreateMode, Id, LogPosition, MemberBatch, MemberId, Operation, Password, Request,
    Rules, SessionId,
};
use crate::store::{BatchResult, EntryContext, State};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

pub(super) struct Scripted {
    pub state: State,
    /// Different names that requests use: few, so that they meet.
    pub names: u32,
    pub data_bytes_max: usize,
    random: StdRng,
    index: u64,
    /// Each with its current generation.
    sessions: Vec<(SessionId, u32)>,
    identities: Arc<[Id]>,
}

impl Scripted {
    pub fn new(seed: u64) -> Scripted {
        Scripted {
            state: State::new(),
            names: 200,
            data_bytes_max: 300,
            random: StdRng::seed_from_u64(seed),
            index: 0,
            sessions: Vec::new(),
            identities: vec![Id::new("ip", "10.0.0.1")].into(),
        }
    }

    /// Applies one entry of `requests` random requests, and at least one new session.
    pub fn run(&mut self, requests: usize) {
        self.index += 1;
        let mut batch = MemberBatch {
            origin: MemberId(1),
            incarnation: 1,
            sequence: self.index,
            rules: Rules::NONE,
            requests: vec![self.request(
                (SessionId::NONE, 0),
                Command::CreateSession {
                    password: Password([self.index as u8; 16]),
                    timeout_ms: 4000,
                },
            )],
        };
        for _ in 0..requests {
            let request = self.random_request();
            batch.requests.push(request);
        }
        let position = LogPosition {
            term: 1 + self.index / 10,
            index: self.index,
        };
        let context = EntryContext {
            position,
            proposed_at_ms: 1_000_000 + self.index as i64,
        };
        let before = self.state.freeze().sessions.len();
        let result = self.state.apply(&context, &batch, |_, _, _| {});
        assert_eq!(result, BatchResult::Applied);
        self.state.advance(position);
        let sessions = self.state.freeze().sessions;
        assert!(sessions.len() <= before + 1);
        self.sessions = sessions
            .iter()
            .map(|session| (session.id, session.generation))
            .collect();
    }

    fn request(&self, (session, generation): (SessionId, u32), command: Command) -> Request {
        Request {
            session,
            generation,
            identities: Arc::clone(&self.identities),
            command,
        }
    }

    fn random_request(&mut self) -> Request {
        let session = match self.sessions.len() {
            0 => (SessionId::NONE, 0),
            count => self.sessions[self.random.random_range(0..count)],
        };
        let path = format!("/n{}", self.random.random_range(0..self.names));
        let bytes = self.random.random_range(0..=self.data_bytes_max);
        let data = Some(Bytes::from(vec![self.random.random::<u8>(); bytes]));
        let command = match self.random.random_range(0..1000) {
            0..500 => Command::Operation(Operation::Create {
                path,
                data,
                acl: Acl::open(),
                mode: match self.random.random_range(0..5) {
                    0 => CreateMode::PersistentWithTtl { ttl_ms: 40 },
                    1 | 2 => CreateMode::Persistent,
                    _ => CreateMode::Ephemeral,
                },
            }),
            500..800 => Command::Operation(Operation::SetData {
                path,
                data,
                version: -1,
            }),
            800..995 => Command::Operation(Operation::Delete { path, version: -1 }),
            _ => Command::CloseSession,
        };
        self.request(session, command)
    }

    pub fn assert_same(&self, other: &State) {
        let (ours, theirs) = (self.state.freeze(), other.freeze());
        assert_eq!(ours.header, theirs.header);
        assert_eq!(ours.sessions, theirs.sessions);
        assert!(ours.tree.records().eq(theirs.tree.records()));
    }
}
