//! A list whose claimed length is not believed before its elements are there.

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

/// Elements reserved for at once; a longer list grows as its elements are really decoded.
const RESERVED_MAX: usize = 256;

/// On the wire the same as bincode's `Vec`: a count, then the elements.
///
/// bincode's own `Vec` reserves memory for the count it reads, up to the limit of the whole decode.
/// Sixteen bytes could so ask for hundreds of megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List<T>(pub Vec<T>);

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> List<T> {
        List(items.into_iter().collect())
    }
}

impl<T: Encode> Encode for List<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_list(encoder, &self.0, |encoder, item| item.encode(encoder))
    }
}

/// What a `List` of these would be on the wire, from items that become its elements one by one.
pub(super) fn encode_list<E: Encoder, T>(
    encoder: &mut E,
    items: &[T],
    mut encode: impl FnMut(&mut E, &T) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    (items.len() as u64).encode(encoder)?;
    items.iter().try_for_each(|item| encode(encoder, item))
}

impl<'de, C, T: BorrowDecode<'de, C>> BorrowDecode<'de, C> for List<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let count = u64::borrow_decode(decoder)?;
        let mut items = Vec::with_capacity(count.min(RESERVED_MAX as u64) as usize);
        for _ in 0..count {
            items.push(T::borrow_decode(decoder)?);
        }
        Ok(List(items))
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{open, seal};
    use super::super::{CodecError, RecordKind};
    use super::*;

    #[test]
    fn a_list_is_laid_out_as_bincode_lays_out_a_vec() {
        let items = vec![1u32, 70_000, 3];
        let ours = seal(RecordKind::Vote, 1, &List(items.clone()), 0);
        assert_eq!(ours, seal(RecordKind::Vote, 1, &items, 0));
        assert_eq!(open(RecordKind::Vote, 1, &ours), Ok(List(items)));
    }

    #[test]
    fn a_count_without_elements_is_refused_at_once() {
        for count in [1u64, 1 << 20, 1 << 40, u64::MAX] {
            let bytes = seal(RecordKind::Vote, 1, &count, 0);
            assert!(matches!(
                open::<List<u64>>(RecordKind::Vote, 1, &bytes),
                Err(CodecError::Malformed { .. })
            ));
        }
    }
}
