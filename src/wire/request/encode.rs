//! From a request to a frame: what our own clients send.

use super::super::frame::{FrameError, put_frame};
use super::super::jute::{
    put_acl, put_boolean, put_buffer, put_int, put_long, put_optional_string, put_string,
    put_strings,
};
use super::super::multi::{encode_multi, encode_multi_read};
use super::{ClientRequest, encode_create};
use bytes::BytesMut;

/// Writes one request as a frame. Fails, writing nothing, if no length can announce it (2 GiB).
pub fn encode_request(
    out: &mut BytesMut,
    xid: i32,
    request: &ClientRequest,
) -> Result<(), FrameError> {
    put_frame(out, |out| {
        put_int(out, xid);
        put_int(out, request.opcode());
        encode_body(out, request);
    })
}

fn encode_body(out: &mut BytesMut, request: &ClientRequest) {
    match request {
        ClientRequest::Create(create) => encode_create(out, create),
        ClientRequest::Delete { path, version } => {
            put_string(out, path);
            put_int(out, *version);
        }
        ClientRequest::Exists { path, watch }
        | ClientRequest::GetData { path, watch }
        | ClientRequest::GetChildren { path, watch }
        | ClientRequest::GetChildren2 { path, watch } => {
            put_string(out, path);
            put_boolean(out, *watch);
        }
        ClientRequest::SetData {
            path,
            data,
            version,
        } => {
            put_string(out, path);
            put_buffer(out, data.as_deref());
            put_int(out, *version);
        }
        ClientRequest::SetAcl { path, acl, version } => {
            put_string(out, path);
            put_acl(out, acl);
            put_int(out, *version);
        }
        ClientRequest::GetAcl { path }
        | ClientRequest::DeleteContainer { path }
        | ClientRequest::GetAllChildrenNumber { path }
        | ClientRequest::GetEphemerals { prefix: path } => put_string(out, path),
        ClientRequest::Sync { path } => put_optional_string(out, path.as_deref()),
        ClientRequest::Multi(ops) => encode_multi(out, ops),
        ClientRequest::MultiRead(ops) => encode_multi_read(out, ops),
        ClientRequest::Reconfig {
            joining,
            leaving,
            new_members,
            config_id,
        } => {
            put_optional_string(out, joining.as_deref());
            put_optional_string(out, leaving.as_deref());
            put_optional_string(out, new_members.as_deref());
            put_long(out, *config_id);
        }
        ClientRequest::CheckWatches { path, kind }
        | ClientRequest::RemoveWatches { path, kind } => {
            put_optional_string(out, path.as_deref());
            put_int(out, kind.code());
        }
        ClientRequest::Auth {
            auth_type,
            scheme,
            auth,
        } => {
            put_int(out, *auth_type);
            put_string(out, scheme);
            put_buffer(out, auth.as_deref());
        }
        ClientRequest::SetWatches {
            relative_zxid,
            lists,
        } => {
            put_long(out, relative_zxid.0);
            put_strings(out, &lists.data);
            put_strings(out, &lists.exist);
            put_strings(out, &lists.child);
            if lists.has_persistent() {
                put_strings(out, &lists.persistent);
                put_strings(out, &lists.persistent_recursive);
            }
        }
        ClientRequest::Sasl { token } => put_buffer(out, token.as_deref()),
        ClientRequest::AddWatch { path, mode } => {
            put_optional_string(out, path.as_deref());
            put_int(out, mode.code());
        }
        ClientRequest::Ping
        | ClientRequest::WhoAmI
        | ClientRequest::CloseSession
        | ClientRequest::Unknown { .. } => {}
    }
}
