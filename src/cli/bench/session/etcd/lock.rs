//! A lock in the manner of etcd's own client: whose key was created first holds it, and every other one waits
//! until the key before its own is deleted.

use super::proto::range_request::{SortOrder, SortTarget};
use super::proto::request_op::Request as Op;
use super::proto::response_op::Response as OpResponse;
use super::proto::{PutRequest, RangeRequest, RangeResponse, ResponseOp, TxnRequest};
use super::watching::Watching;
use super::{ClientError, Etcd, below, is_absent, key, op};
use bytes::Bytes;

pub async fn lock(etcd: &Etcd, path: &str) -> Result<String, ClientError> {
    let lease = etcd.lease().await?;
    let own = format!("{path}/{lease:x}");
    let (first, end) = below(path);
    let edge = |sort_order: SortOrder, max_create_revision| RangeRequest {
        key: first.clone(),
        range_end: end.clone(),
        limit: 1,
        sort_order: sort_order.into(),
        sort_target: SortTarget::Create.into(),
        max_create_revision,
        ..RangeRequest::default()
    };
    let put = PutRequest {
        key: key(&own),
        value: Bytes::new(),
        lease,
    };
    let get = RangeRequest {
        key: key(&own),
        ..RangeRequest::default()
    };
    let owner = edge(SortOrder::Ascend, 0);
    let asked = etcd.transact(TxnRequest {
        compare: vec![is_absent(key(&own))],
        success: vec![op(Op::RequestPut(put)), op(Op::RequestRange(owner.clone()))],
        failure: vec![op(Op::RequestRange(get)), op(Op::RequestRange(owner))],
    });
    let asked = asked.await?;
    let [first_answer, owner] = <[ResponseOp; 2]>::try_from(asked.responses)
        .map_err(|_| ClientError::lost("two requests without two answers"))?;
    let asked_at = match asked.succeeded {
        true => asked.header.unwrap_or_default().revision,
        false => created_at(first_answer),
    };
    if created_at(owner) == asked_at {
        return Ok(own);
    }
    loop {
        let before = etcd.range(edge(SortOrder::Descend, asked_at - 1)).await?;
        let revision = before.header.unwrap_or_default().revision;
        let Some(before) = before.kvs.into_iter().next() else {
            return Ok(own);
        };
        let channel = etcd.channel.clone();
        let mut watching = Watching::begin(channel, before.key, Bytes::new(), revision, 0).await?;
        watching.deleted().await?;
    }
}

/// The revision in which the one key that was found was created; 0 if there is none.
fn created_at(answer: ResponseOp) -> i64 {
    match answer.response {
        Some(OpResponse::ResponseRange(RangeResponse { kvs, .. })) => {
            kvs.first().map_or(0, |found| found.create_revision)
        }
        _ => 0,
    }
}
