//! What a client proves on its connection, and what it may not ask before.
//!
//! Rules from: ZooKeeper 3.9 `ZooKeeperServer#processPacket` (auth, sasl), `#processSasl`,
//! `AuthenticationHelper#enforceAuthentication`.

use super::super::auth;
use super::super::auth::sasl::{Progress, SaslFailed};
use super::super::ending::End;
use super::Conversation;
use crate::model::{Id, Refusal, Zxid};
use crate::wire::opcode;
use crate::wire::reply::{self, ReplyHeader};

/// Whether an operation proves an identity, and so may come before one is proven.
pub(super) fn proves(operation: i32) -> bool {
    matches!(operation, opcode::AUTH | opcode::SASL)
}

impl Conversation<'_> {
    pub(super) fn authenticate(&mut self, xid: i32, scheme: &str, proof: Option<&[u8]>) {
        let at = self.out.len();
        let options = &self.door.options.auth;
        let proven =
            proof.and_then(|proof| auth::authenticate(scheme, proof, &self.origin, options));
        match proven.is_some_and(|ids| self.prove(ids)) {
            true => reply::header_only(&mut self.out, ReplyHeader::ok(xid, Zxid::ZERO)),
            false => {
                self.door.counted.auth_failures.increment(1);
                let refused = ReplyHeader::refused(xid, Zxid::ZERO, Refusal::AuthFailed);
                reply::header_only(&mut self.out, refused);
                self.ending.get_or_insert_with(|| {
                    End::Protocol(format!("authentication by {scheme:?} failed"))
                });
            }
        }
        self.replied(at);
    }

    /// The connection is these, too, from its next request on. False if they would be too many: it ends.
    fn prove(&mut self, ids: Vec<Id>) -> bool {
        let mut all = self.identities.to_vec();
        for id in ids {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        if !auth::may_travel(&all) {
            let count = all.len();
            self.ending = Some(End::Protocol(format!(
                "{count} identities are too many for one connection"
            )));
            return false;
        }
        self.admitted = self.door.options.auth.admit(&all);
        self.identities = all.into();
        self.connection.identify(self.identities.clone());
        true
    }

    /// One step of SASL. Where there is none, the answer is an empty one, as in ZooKeeper.
    pub(super) fn sasl(&mut self, xid: i32, token: &[u8]) {
        let at = self.out.len();
        let door = self.door.clone();
        let ok = ReplyHeader::ok(xid, Zxid::ZERO);
        let options = &door.options.auth;
        let progress = options
            .sasl
            .as_ref()
            .map(|sasl| (sasl, self.sasl.evaluate(token, &sasl.users)));
        match progress {
            None => reply::token(&mut self.out, ok, None),
            Some((_, Ok(Progress::Challenge(token)))) => {
                reply::token(&mut self.out, ok, Some(&token));
            }
            Some((sasl, Ok(Progress::Proven { user, token }))) => {
                tracing::debug!(client = %self.peer, user, "SASL has succeeded");
                let mut ids = vec![Id::new("sasl", &user)];
                if sasl.super_users.contains(&user) {
                    ids.push(Id::new("super", ""));
                }
                self.prove(ids);
                reply::token(&mut self.out, ok, Some(&token));
            }
            Some((_, Err(failed @ SaslFailed::Stumbled(_)))) => {
                self.door.counted.auth_failures.increment(1);
                tracing::warn!(client = %self.peer, %failed, "SASL has failed");
                self.ending = Some(End::Protocol(format!("SASL: {failed}")));
                return;
            }
            Some((sasl, Err(failed))) => {
                let required = options
                    .required_schemes
                    .iter()
                    .any(|scheme| scheme == "sasl");
                self.door.counted.auth_failures.increment(1);
                tracing::warn!(client = %self.peer, %failed, "SASL has failed");
                if sasl.failures_tolerated && !required {
                    reply::token(&mut self.out, ok, None);
                } else {
                    let refusal = if required {
                        Refusal::AuthenticationRequired
                    } else {
                        Refusal::AuthFailed
                    };
                    let header = ReplyHeader::refused(xid, Zxid::ZERO, refusal);
                    reply::token(&mut self.out, header, None);
                    self.ending = Some(End::Protocol(format!("SASL: {failed}")));
                }
            }
        }
        self.replied(at);
    }

    pub(super) fn refuse_unproven(&mut self, xid: i32) {
        let at = self.out.len();
        let refused = ReplyHeader::refused(xid, Zxid::ZERO, Refusal::AuthenticationRequired);
        reply::header_only(&mut self.out, refused);
        self.ending = Some(End::Protocol(
            "a request before an identity was proven, as it must be".to_owned(),
        ));
        self.replied(at);
    }
}
