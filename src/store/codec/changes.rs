//! Records of the change log: transactions, and marks that say how far it is complete.

use super::acl::{AclV1, acl_bytes_guess, acl_from_v1, acl_v1};
use super::envelope::{open, seal, seal_into};
use super::list::List;
use super::{CodecError, RecordKind};
use crate::model::{Acl, Change, ChangeKind, SessionId, Transaction, Zxid};
use bincode::enc::Encoder;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

const VERSION: u8 = 1;

#[derive(BorrowDecode)]
struct TransactionV1<'a> {
    zxid: i64,
    time_ms: i64,
    session: i64,
    changes: List<ChangeV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct ChangeV1<'a> {
    kind: u8,
    path: &'a str,
    data: Option<&'a [u8]>,
    version: i32,
    owner: i64,
    /// `None` for the open one.
    acl: Option<List<AclV1<'a>>>,
}

/// On the disk the same as `List<ChangeV1>`, without a list of them in memory.
struct Changes<'a>(&'a [Change]);

impl Encode for Changes<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        self.0
            .iter()
            .try_for_each(|change| ChangeV1::from(change).encode(encoder))
    }
}

impl<'a> From<&'a Change> for ChangeV1<'a> {
    fn from(change: &'a Change) -> Self {
        ChangeV1 {
            kind: number(change.kind),
            path: &change.path,
            data: change.data.as_deref(),
            version: change.version,
            owner: change.owner.0,
            acl: change.acl.as_deref().map(acl_v1),
        }
    }
}

fn number(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Created => 0,
        ChangeKind::Deleted => 1,
        ChangeKind::DataChanged => 2,
        ChangeKind::AclChanged => 3,
    }
}

fn kind(number: u8) -> Result<ChangeKind, CodecError> {
    match number {
        0 => Ok(ChangeKind::Created),
        1 => Ok(ChangeKind::Deleted),
        2 => Ok(ChangeKind::DataChanged),
        3 => Ok(ChangeKind::AclChanged),
        other => Err(CodecError::Malformed {
            kind: RecordKind::Transaction,
            what: format!("no change has the number {other}"),
        }),
    }
}

impl ChangeV1<'_> {
    fn into_model(self, zxid: Zxid, data: impl Fn(&[u8]) -> Bytes) -> Result<Change, CodecError> {
        Ok(Change {
            kind: kind(self.kind)?,
            path: self.path.into(),
            zxid,
            acl: self.acl.map(|acl| acl_from_v1(acl).into()),
            parent_acl: None,
            data: self.data.map(data),
            version: self.version,
            owner: SessionId(self.owner),
        })
    }
}

/// About how many bytes a transaction's record takes, never less than it does.
pub fn transaction_bytes_guess(changes: &[Change]) -> usize {
    /// Numbers and lengths, at their longest.
    const NUMBERS: usize = 64;
    let acl = |acl: &[Acl]| acl_bytes_guess(acl) + NUMBERS * acl.len();
    let change = |change: &Change| {
        NUMBERS
            + change.path.len()
            + change.data.as_ref().map_or(0, Bytes::len)
            + change.acl.as_deref().map_or(0, acl)
    };
    NUMBERS + changes.iter().map(change).sum::<usize>()
}

/// Makes `record` the record of a transaction; what was in it is gone.
///
/// # Panics
/// If it is longer than a record may be: the caller looks at [`transaction_bytes_guess`] before.
pub fn encode_transaction(
    zxid: Zxid,
    time_ms: i64,
    session: SessionId,
    changes: &[Change],
    record: &mut Vec<u8>,
) {
    let value = (zxid.0, time_ms, session.0, Changes(changes));
    seal_into(RecordKind::Transaction, VERSION, &value, record);
}

/// Its data are slices of `record`, which lives as long as they do.
pub fn decode_transaction(record: &Bytes) -> Result<Transaction, CodecError> {
    let found: TransactionV1<'_> = open(RecordKind::Transaction, VERSION, record)?;
    let zxid = Zxid(found.zxid);
    let changes = found.changes.0.into_iter();
    Ok(Transaction {
        zxid,
        time_ms: found.time_ms,
        session: SessionId(found.session),
        changes: changes
            .map(|change| change.into_model(zxid, |data| record.slice_ref(data)))
            .collect::<Result<_, _>>()?,
    })
}

/// Only those changes whose paths are wanted, with copies of their data: what is left out costs little.
pub fn decode_transaction_where(
    record: &[u8],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Transaction, CodecError> {
    let found: TransactionV1<'_> = open(RecordKind::Transaction, VERSION, record)?;
    let zxid = Zxid(found.zxid);
    let changes = found.changes.0.into_iter();
    Ok(Transaction {
        zxid,
        time_ms: found.time_ms,
        session: SessionId(found.session),
        changes: changes
            .filter(|change| wanted(change.path))
            .map(|change| change.into_model(zxid, Bytes::copy_from_slice))
            .collect::<Result<_, _>>()?,
    })
}

/// A mark: every change through this zxid stands before it, or is not in the log at all.
pub fn encode_through(zxid: Zxid) -> Vec<u8> {
    seal(RecordKind::Through, VERSION, &zxid.0, 10)
}

pub fn decode_through(record: &[u8]) -> Result<Zxid, CodecError> {
    open(RecordKind::Through, VERSION, record).map(Zxid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, Permissions};

    fn transaction() -> Transaction {
        let zxid = Zxid(0x5_0000_0007);
        let change = |kind, path: &str, data: Option<&'static [u8]>| Change {
            kind,
            path: path.into(),
            zxid,
            acl: None,
            parent_acl: None,
            data: data.map(Bytes::from_static),
            version: 3,
            owner: SessionId::NONE,
        };
        Transaction {
            zxid,
            time_ms: 1_790_000_000_000,
            session: SessionId(0x77),
            changes: vec![
                change(ChangeKind::Created, "/a", None),
                Change {
                    owner: SessionId(0x77),
                    ..change(ChangeKind::Deleted, "/a/b", Some(b""))
                },
                change(ChangeKind::DataChanged, "/c", Some(b"data")),
                Change {
                    acl: Some(
                        vec![Acl {
                            perms: Permissions::READ,
                            id: Id::new("ip", "10.0.0.1"),
                        }]
                        .into(),
                    ),
                    version: -1,
                    ..change(ChangeKind::AclChanged, "/c", None)
                },
            ],
        }
    }

    fn encoded(transaction: &Transaction) -> Bytes {
        let mut record = b"what was there before".to_vec();
        let Transaction {
            zxid,
            time_ms,
            session,
            changes,
        } = transaction;
        encode_transaction(*zxid, *time_ms, *session, changes, &mut record);
        record.into()
    }

    #[test]
    fn a_transaction_is_read_as_it_was_written_whole_or_in_part() {
        let transaction = transaction();
        let record = encoded(&transaction);
        assert!(record.len() <= transaction_bytes_guess(&transaction.changes));
        assert_eq!(decode_transaction(&record).as_ref(), Ok(&transaction));
        let all = decode_transaction_where(&record, &|_| true);
        assert_eq!(all.as_ref(), Ok(&transaction));
        let part = decode_transaction_where(&record, &|path| path == "/c").unwrap();
        assert_eq!(part.changes, transaction.changes[2..]);
        assert_eq!(part.zxid, transaction.zxid);
        decode_through(&record).unwrap_err();
    }

    #[test]
    fn the_longest_numbers_are_guessed_to_be_longer_still() {
        let mut transaction = transaction();
        transaction.changes.retain(|change| change.acl.is_some());
        let change = &mut transaction.changes[0];
        change.version = i32::MIN;
        change.owner = SessionId(i64::MIN);
        (transaction.zxid, transaction.time_ms) = (Zxid(i64::MAX), i64::MIN);
        transaction.session = SessionId(i64::MIN);
        let guess = transaction_bytes_guess(&transaction.changes);
        assert!(encoded(&transaction).len() <= guess);
    }

    #[test]
    fn a_change_that_does_not_exist_is_refused() {
        let bytes = seal(
            RecordKind::Transaction,
            VERSION,
            &(
                1i64,
                1i64,
                1i64,
                1u64,
                4u8,
                "/a",
                None::<&[u8]>,
                0i32,
                0i64,
                0u8,
            ),
            0,
        );
        assert!(matches!(
            decode_transaction(&bytes.into()),
            Err(CodecError::Malformed { .. })
        ));
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for zxid in [Zxid(0), Zxid(i64::MAX)] {
            assert_eq!(decode_through(&encode_through(zxid)), Ok(zxid));
        }
    }
}
