//! What happened, by path and time.

use super::groups::Prefixes;
use super::hub::Hub;
use super::prefixes::{is_wanted, normalized};
use super::subscription::{NotSubscribed, SubscriptionEnded};
use crate::model::{Change, Transaction, Zxid};
use crate::runtime;
use std::sync::Arc;

/// Transactions of one page at most.
pub const QUERY_TRANSACTIONS_MAX: usize = 1_000;

/// Bytes of data and paths after which a page ends.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// How often the log is read for one page, at a mebibyte each: a query that finds little ends its page.
const READS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// As of a subscription.
    pub prefixes: Vec<String>,
    /// The leader's dates between which to look, both included, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Go on after this one; from the beginning of what is kept if there is none.
    pub after: Option<Zxid>,
    /// At most [`QUERY_TRANSACTIONS_MAX`], which stands also for more.
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPage {
    /// In the order of zxids, with those changes alone that lie under the prefixes.
    pub transactions: Vec<Transaction>,
    /// What to go on after; `None` if this is all there is yet. A page may be empty and not the last.
    pub next: Option<Zxid>,
    /// Every change from this zxid on was kept when the page was read.
    pub first: Zxid,
}

pub(super) async fn query(
    hub: &Arc<Hub>,
    options: QueryOptions,
) -> Result<QueryPage, NotSubscribed> {
    let prefixes = normalized(&options.prefixes)?;
    if !hub.options.enabled {
        return Err(NotSubscribed::Disabled);
    }
    let reached = hub.state.read().zxid();
    if options.after.is_some_and(|after| after > reached) {
        return Err(NotSubscribed::Future { reached });
    }
    let hub = hub.clone();
    let page = runtime::blocking(move || page(&hub, &prefixes, &options));
    Ok(page.await.unwrap_or(Err(SubscriptionEnded::Closed))?)
}

fn page(
    hub: &Hub,
    prefixes: &Prefixes,
    options: &QueryOptions,
) -> Result<QueryPage, SubscriptionEnded> {
    let first = hub.begins_after().next();
    let begin = Zxid(first.0 - 1);
    let from = options
        .from_ms
        .map_or(begin, |from_ms| hub.reader.before(from_ms));
    let mut position = options.after.unwrap_or(begin).max(from.max(begin));
    if let Some(after) = options.after.filter(|after| *after < begin) {
        // Says so, and counts it.
        hub.read(after, &|_| false, PAGE_BYTES_MAX)?;
    }
    let limit = options.limit.clamp(1, QUERY_TRANSACTIONS_MAX);
    let end = hub.tail.lock().through();
    let mut page = QueryPage {
        first,
        ..QueryPage::default()
    };
    let mut bytes = 0;
    for _ in 0..READS_MAX {
        if position >= end {
            return Ok(page);
        }
        let chunk = match hub.read(position, &|path| is_wanted(prefixes, path), PAGE_BYTES_MAX) {
            // Dropped since it was looked where to begin.
            Err(SubscriptionEnded::Compacted { first })
                if options.after.is_none() && page.transactions.is_empty() =>
            {
                page.first = first;
                position = Zxid(first.0 - 1);
                continue;
            }
            read => read?,
        };
        for transaction in chunk.transactions {
            if options
                .to_ms
                .is_some_and(|to_ms| transaction.time_ms > to_ms)
            {
                return Ok(page);
            }
            if options
                .from_ms
                .is_some_and(|from_ms| transaction.time_ms < from_ms)
            {
                continue;
            }
            let zxid = transaction.zxid;
            bytes += transaction.changes.iter().map(weight).sum::<usize>();
            page.transactions.push(transaction);
            if page.transactions.len() == limit || bytes >= PAGE_BYTES_MAX {
                page.next = Some(zxid);
                return Ok(page);
            }
        }
        position = chunk.through;
    }
    page.next = Some(position);
    Ok(page)
}

fn weight(change: &Change) -> usize {
    change.path.len() + change.data.as_ref().map_or(0, bytes::Bytes::len)
}
