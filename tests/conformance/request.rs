//! Requests as they are planned: a number and its fields, some of which only the run can fill in.
//!
//! At all times: a plan holds nothing that differs between subjects. A version is "the one last seen",
//! a zxid "the one last seen, less two", a sequential znode "the one made last".

use crate::configuration::ServerArg;
use crate::sasl::Proof;
use std::fmt;
use vivarium::wire::opcode;

/// In front of a request's fields.
pub const XID_PING: i32 = -2;
pub const XID_AUTH: i32 = -4;
pub const XID_SET_WATCHES: i32 = -8;

#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub op: i32,
    pub fields: Vec<Field>,
    /// `None` for the next of the connection.
    pub xid: Option<i32>,
    pub spoil: Option<Spoil>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Byte(u8),
    Int(i32),
    Long(i64),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Path(PathArg),
    Paths(Option<Vec<PathArg>>),
    /// Of the data of the path before it.
    Version(VersionArg),
    /// Of the access list of the path before it.
    AclVersion(VersionArg),
    Acl(Option<Vec<AclLine>>),
    Zxid(ZxidArg),
    /// As the configuration that was seen last shows them, but for their parts.
    Servers(Vec<ServerArg>),
    /// Of the configuration that was seen last, and so much more.
    ConfigVersion(i64),
    /// Of the exchange that is under way.
    Proof(Proof),
}

#[derive(Clone, Debug, PartialEq)]
pub enum PathArg {
    Null,
    Is(String),
    /// What follows the run's own root, as in `/a/b`; empty for the root itself.
    Below(String),
    /// Where the quota is kept of what such a `Below` names.
    Quota(String),
    /// Below a sequential znode: the last made, the one before it, and so on.
    Made(usize, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionArg {
    Is(i32),
    /// The one last seen there, and so much more; 0 if none was seen.
    Seen(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZxidArg {
    Is(i64),
    /// The last one this session saw, less so much.
    Seen(i64),
}

pub type AclLine = (i32, Option<String>, Option<String>);

/// What is done to the bytes of a request before they are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Spoil {
    /// So many thousandths of the body are left.
    Cut(u32),
    Trailing(Vec<u8>),
    /// The four bytes at so many thousandths of the body, or the last four, become this number.
    Overwrite(u32, i32),
}

pub fn below(path: &str) -> PathArg {
    PathArg::Below(path.to_owned())
}

pub fn quota(path: &str) -> PathArg {
    PathArg::Quota(path.to_owned())
}

pub fn exactly(path: &str) -> PathArg {
    PathArg::Is(path.to_owned())
}

pub fn acl_line(perms: i32, scheme: &str, id: &str) -> AclLine {
    (perms, Some(scheme.to_owned()), Some(id.to_owned()))
}

pub fn open_acl() -> Option<Vec<AclLine>> {
    Some(vec![acl_line(31, "world", "anyone")])
}

impl Request {
    pub fn new(op: i32, fields: Vec<Field>) -> Request {
        Request {
            op,
            fields,
            xid: None,
            spoil: None,
        }
    }

    pub fn xid(mut self, xid: i32) -> Request {
        self.xid = Some(xid);
        self
    }

    pub fn spoilt(mut self, spoil: Spoil) -> Request {
        self.spoil = Some(spoil);
        self
    }

    /// The paths it names one by one; of a multi, one for each of its operations.
    pub fn paths(&self) -> impl Iterator<Item = &PathArg> {
        self.fields.iter().filter_map(|field| match field {
            Field::Path(path) => Some(path),
            _ => None,
        })
    }
}

pub fn create(op: i32, path: PathArg, data: Option<&[u8]>, flags: i32) -> Request {
    create_with(op, path, data, open_acl(), flags)
}

pub fn create_with(
    op: i32,
    path: PathArg,
    data: Option<&[u8]>,
    acl: Option<Vec<AclLine>>,
    flags: i32,
) -> Request {
    let data = Field::Bytes(data.map(<[u8]>::to_vec));
    Request::new(
        op,
        vec![Field::Path(path), data, Field::Acl(acl), Field::Int(flags)],
    )
}

pub fn create_ttl(path: PathArg, flags: i32, ttl_ms: i64) -> Request {
    let mut request = create(opcode::CREATE_TTL, path, Some(b"ttl"), flags);
    request.fields.push(Field::Long(ttl_ms));
    request
}

pub fn delete(path: PathArg, version: VersionArg) -> Request {
    Request::new(
        opcode::DELETE,
        vec![Field::Path(path), Field::Version(version)],
    )
}

pub fn check(path: PathArg, version: VersionArg) -> Request {
    Request::new(
        opcode::CHECK,
        vec![Field::Path(path), Field::Version(version)],
    )
}

pub fn set_data(path: PathArg, data: Option<&[u8]>, version: VersionArg) -> Request {
    let data = Field::Bytes(data.map(<[u8]>::to_vec));
    Request::new(
        opcode::SET_DATA,
        vec![Field::Path(path), data, Field::Version(version)],
    )
}

pub fn set_acl(path: PathArg, acl: Option<Vec<AclLine>>, version: VersionArg) -> Request {
    Request::new(
        opcode::SET_ACL,
        vec![
            Field::Path(path),
            Field::Acl(acl),
            Field::AclVersion(version),
        ],
    )
}

/// exists, getData, getChildren and getChildren2.
pub fn read(op: i32, path: PathArg, watch: bool) -> Request {
    Request::new(op, vec![Field::Path(path), Field::Byte(u8::from(watch))])
}

/// Operations of a path and nothing else.
pub fn on_path(op: i32, path: PathArg) -> Request {
    Request::new(op, vec![Field::Path(path)])
}

/// checkWatches, removeWatches and addWatch.
pub fn watch(op: i32, path: PathArg, kind: i32) -> Request {
    Request::new(op, vec![Field::Path(path), Field::Int(kind)])
}

/// Without a body.
pub fn bare(op: i32) -> Request {
    Request::new(op, Vec::new())
}

pub fn ping() -> Request {
    bare(opcode::PING).xid(XID_PING)
}

pub fn auth(scheme: &str, proof: &str) -> Request {
    Request::new(
        opcode::AUTH,
        vec![
            Field::Int(0),
            Field::Text(Some(scheme.to_owned())),
            Field::Bytes(Some(proof.as_bytes().to_vec())),
        ],
    )
    .xid(XID_AUTH)
}

/// A step of a SASL conversation.
pub fn sasl(token: Option<&[u8]>) -> Request {
    let token = Field::Bytes(token.map(<[u8]>::to_vec));
    Request::new(opcode::SASL, vec![token])
}

/// The answer to a challenge.
pub fn sasl_proof(proof: Proof) -> Request {
    Request::new(opcode::SASL, vec![Field::Proof(proof)])
}

pub fn reconfig(
    joining: Option<&str>,
    leaving: Option<&str>,
    new_members: Option<&str>,
    config: i64,
) -> Request {
    let mut fields: Vec<Field> = [joining, leaving, new_members]
        .map(|list| Field::Text(list.map(str::to_owned)))
        .into();
    fields.push(Field::Long(config));
    Request::new(opcode::RECONFIG, fields)
}

/// setWatches with three lists, setWatches2 with five.
pub fn set_watches(zxid: ZxidArg, lists: Vec<Vec<PathArg>>) -> Request {
    let op = match lists.len() {
        3 => opcode::SET_WATCHES,
        5 => opcode::SET_WATCHES2,
        other => panic!("no operation has {other} lists of watches"),
    };
    let lists = lists.into_iter().map(|list| Field::Paths(Some(list)));
    let fields = std::iter::once(Field::Zxid(zxid)).chain(lists).collect();
    Request::new(op, fields).xid(XID_SET_WATCHES)
}

/// multi and multiRead.
pub fn multi(op: i32, operations: Vec<Request>) -> Request {
    let mut fields = Vec::new();
    for operation in operations {
        fields.extend([Field::Int(operation.op), Field::Byte(0), Field::Int(-1)]);
        fields.extend(operation.fields);
    }
    fields.extend([Field::Int(-1), Field::Byte(1), Field::Int(-1)]);
    Request::new(op, fields)
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name(self.op))?;
        for field in &self.fields {
            match field {
                Field::Byte(value) => write!(f, " b{value}")?,
                Field::Int(value) => write!(f, " {value}")?,
                Field::Long(value) => write!(f, " {value}L")?,
                Field::Text(text) => write!(f, " {text:?}")?,
                Field::Bytes(None) => write!(f, " null")?,
                Field::Bytes(Some(bytes)) => write!(f, " \"{}\"", bytes.escape_ascii())?,
                Field::Path(path) => write!(f, " {path}")?,
                Field::Paths(None) => write!(f, " null")?,
                Field::Paths(Some(paths)) => {
                    let paths: Vec<String> = paths.iter().map(PathArg::to_string).collect();
                    write!(f, " [{}]", paths.join(" "))?;
                }
                Field::Version(version) | Field::AclVersion(version) => {
                    write!(f, " v={version:?}")?
                }
                Field::Acl(acl) => write!(f, " acl={acl:?}")?,
                Field::Servers(servers) => write!(f, " {servers:?}")?,
                Field::ConfigVersion(more) => write!(f, " version=seen+{more}")?,
                Field::Proof(proof) => write!(f, " {proof:?}")?,
                Field::Zxid(zxid) => write!(f, " zxid={zxid:?}")?,
            }
        }
        if let Some(xid) = self.xid {
            write!(f, " (xid {xid})")?;
        }
        match &self.spoil {
            Some(spoil) => write!(f, " spoilt by {spoil:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PathArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathArg::Null => write!(f, "null"),
            PathArg::Is(path) => write!(f, "{path:?}"),
            PathArg::Below(path) => write!(f, "~{}", path.escape_debug()),
            PathArg::Quota(path) => write!(f, "<quota>~{}", path.escape_debug()),
            PathArg::Made(back, suffix) => write!(f, "<made {back} ago>{suffix}"),
        }
    }
}

/// The operation's name, or its number.
pub fn name(op: i32) -> String {
    match opcode::name(op) {
        "unknown" => format!("operation {op}"),
        name => name.to_owned(),
    }
}
