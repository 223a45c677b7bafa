//! Which formats of records the peers know (`store::codec::FORMAT`).
//!
//! A member says so in the head of its answer to a stream of appends, which is the first thing that a
//! new leader opens to everybody, and opens again to whoever was restarted. Who says nothing knows the
//! first format.

use crate::model::MemberId;
use crate::store::codec::{FORMAT, FORMAT_FIRST};
use parking_lot::Mutex;
use std::collections::HashMap;
use tonic::metadata::MetadataMap;

const KEY: &str = "vivarium-format";

/// Puts the newest format that this member knows into an answer.
pub fn announce(metadata: &mut MetadataMap) {
    let number = FORMAT.to_string().parse().expect("digits are ASCII");
    metadata.insert(KEY, number);
}

/// What was heard of each peer last.
#[derive(Default)]
pub struct PeerFormats(Mutex<HashMap<MemberId, u32>>);

impl PeerFormats {
    pub fn heard(&self, from: MemberId, metadata: &MetadataMap) {
        let text = metadata.get(KEY).and_then(|value| value.to_str().ok());
        let format = text.and_then(|text| text.parse().ok());
        self.0.lock().insert(from, format.unwrap_or(FORMAT_FIRST));
    }

    /// The newest format that this member and all of these peers know. A peer that was never heard knows
    /// the first.
    pub fn lowest(&self, peers: impl Iterator<Item = MemberId>) -> u32 {
        let known = self.0.lock();
        let of_peers = peers.map(|peer| known.get(&peer).copied().unwrap_or(FORMAT_FIRST));
        of_peers.fold(FORMAT, u32::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_is_that_of_who_knows_least_and_of_the_silent_the_first() {
        let formats = PeerFormats::default();
        let peers = || [MemberId(2), MemberId(3)].into_iter();
        assert_eq!(formats.lowest(std::iter::empty()), FORMAT);
        assert_eq!(formats.lowest(peers()), FORMAT_FIRST);
        let mut newest = MetadataMap::new();
        announce(&mut newest);
        formats.heard(MemberId(2), &newest);
        assert_eq!(formats.lowest(peers()), FORMAT_FIRST);
        formats.heard(MemberId(3), &newest);
        assert_eq!(formats.lowest(peers()), FORMAT);
        // A newer program than this one, and one that was put back to an older.
        let mut newer = MetadataMap::new();
        newer.insert(KEY, "4000".parse().unwrap());
        formats.heard(MemberId(2), &newer);
        assert_eq!(formats.lowest(peers()), FORMAT);
        for older in [None, Some("x"), Some("-1"), Some("")] {
            let mut metadata = MetadataMap::new();
            if let Some(text) = older {
                metadata.insert(KEY, text.parse().unwrap());
            }
            formats.heard(MemberId(2), &metadata);
            assert_eq!(formats.lowest(peers()), FORMAT_FIRST, "{older:?}");
            formats.heard(MemberId(2), &newest);
        }
    }
}
