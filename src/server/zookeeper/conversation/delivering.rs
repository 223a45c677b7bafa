//! From the mailbox to the bytes that the client is sent.

use super::super::ending::End;
use super::super::replies::{self, ReplyKind};
use super::{Conversation, OUT_BYTES_MAX};
use crate::member::{CloseReason, Delivery};
use crate::wire::encode_watch_event;

impl Conversation<'_> {
    /// Puts what waits in the mailbox into `out`, all of it or nothing: a read that is answered next
    /// must find no event left behind. What a client does not read stays in the mailbox, where it is
    /// counted.
    pub(super) fn deliver(&mut self) {
        if self.out.len() >= OUT_BYTES_MAX && !self.connection.is_closed() {
            return;
        }
        let waiting_since = self.connection.take(&mut self.deliveries);
        self.encode_deliveries();
        if let Some(since) = waiting_since {
            self.door.counted.reply.took(since.elapsed());
        }
    }

    /// Stops at what ends the connection.
    fn encode_deliveries(&mut self) {
        while let Some(delivery) = self.deliveries.pop_front() {
            let at = self.out.len();
            match delivery {
                Delivery::Answer { zxid, answer } => {
                    let awaited = self.awaited.pop_front().expect("an answer has its request");
                    if let ReplyKind::Upgraded = awaited.kind {
                        if answer.is_err() {
                            self.ending = Some(End::ByMember(CloseReason::NotUpgraded));
                            return;
                        }
                        continue;
                    }
                    let elapsed = awaited.arrived.elapsed();
                    self.door.counted.write_seconds.record(elapsed);
                    self.answered(awaited.opcode, awaited.xid, zxid, elapsed, 1);
                    if replies::put(&mut self.out, awaited, zxid, answer).is_err() {
                        self.ending = Some(End::ByMember(CloseReason::SessionMoved));
                        return;
                    }
                    self.replied(at);
                }
                Delivery::Reply { zxid, bytes } => {
                    let awaited = self.awaited.pop_front().expect("a reply has its request");
                    let elapsed = awaited.arrived.elapsed();
                    self.door.counted.read_seconds.record(elapsed);
                    self.answered(awaited.opcode, awaited.xid, zxid, elapsed, 1);
                    self.out.extend_from_slice(&bytes);
                    self.replied(at);
                }
                Delivery::Event { kind, path, zxid } => {
                    encode_watch_event(&mut self.out, zxid, kind, &path);
                    self.outgoing.packets += 1;
                    self.door.counted.notifications.increment(1);
                    let bytes = (self.out.len() - at) as u64;
                    self.door.counted.notification_bytes.increment(bytes);
                }
                Delivery::Close(reason) => {
                    self.ending.get_or_insert(End::ByMember(reason));
                    return;
                }
            }
        }
    }
}
