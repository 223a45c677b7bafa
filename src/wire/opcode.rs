//! The numbers of the operations (ZooKeeper 3.9 `ZooDefs.OpCode`).

pub const CREATE: i32 = 1;
pub const DELETE: i32 = 2;
pub const EXISTS: i32 = 3;
pub const GET_DATA: i32 = 4;
pub const SET_DATA: i32 = 5;
pub const GET_ACL: i32 = 6;
pub const SET_ACL: i32 = 7;
pub const GET_CHILDREN: i32 = 8;
pub const SYNC: i32 = 9;
pub const PING: i32 = 11;
pub const GET_CHILDREN2: i32 = 12;
/// Only inside a multi; alone it is an unknown operation.
pub const CHECK: i32 = 13;
pub const MULTI: i32 = 14;
pub const CREATE2: i32 = 15;
pub const RECONFIG: i32 = 16;
pub const CHECK_WATCHES: i32 = 17;
pub const REMOVE_WATCHES: i32 = 18;
pub const CREATE_CONTAINER: i32 = 19;
pub const DELETE_CONTAINER: i32 = 20;
pub const CREATE_TTL: i32 = 21;
pub const MULTI_READ: i32 = 22;
pub const AUTH: i32 = 100;
pub const SET_WATCHES: i32 = 101;
pub const SASL: i32 = 102;
pub const GET_EPHEMERALS: i32 = 103;
pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
pub const SET_WATCHES2: i32 = 105;
pub const ADD_WATCH: i32 = 106;
pub const WHO_AM_I: i32 = 107;
/// No request: ZooKeeper names the making of a session so.
pub const CREATE_SESSION: i32 = -10;
pub const CLOSE_SESSION: i32 = -11;
/// In the header of a failed operation's result inside a multi, and of the end of a multi.
pub const ERROR: i32 = -1;

/// Whether a member without a quorum refuses it: what is written, and `sync`
/// (ZooKeeper 3.9 `ReadOnlyRequestProcessor`).
pub fn needs_quorum(number: i32) -> bool {
    matches!(
        number,
        CREATE
            | DELETE
            | SET_DATA
            | SET_ACL
            | SYNC
            | MULTI
            | CREATE2
            | RECONFIG
            | CREATE_CONTAINER
            | DELETE_CONTAINER
            | CREATE_TTL
    )
}

/// Those that a client sends as a request of its own.
pub const REQUESTS: [i32; 29] = [
    CREATE,
    DELETE,
    EXISTS,
    GET_DATA,
    SET_DATA,
    GET_ACL,
    SET_ACL,
    GET_CHILDREN,
    SYNC,
    PING,
    GET_CHILDREN2,
    MULTI,
    CREATE2,
    RECONFIG,
    CHECK_WATCHES,
    REMOVE_WATCHES,
    CREATE_CONTAINER,
    DELETE_CONTAINER,
    CREATE_TTL,
    MULTI_READ,
    AUTH,
    SET_WATCHES,
    SASL,
    GET_EPHEMERALS,
    GET_ALL_CHILDREN_NUMBER,
    SET_WATCHES2,
    ADD_WATCH,
    WHO_AM_I,
    CLOSE_SESSION,
];

/// Whether the operation goes through the log and takes a zxid, also when it is refused.
pub fn takes_zxid(opcode: i32) -> bool {
    matches!(
        opcode,
        CREATE
            | CREATE2
            | CREATE_CONTAINER
            | CREATE_TTL
            | DELETE
            | DELETE_CONTAINER
            | SET_DATA
            | SET_ACL
            | MULTI
    )
}

/// The operation's name as ZooKeeper writes it, for logs and metrics; `unknown` for the others.
pub fn name(opcode: i32) -> &'static str {
    match opcode {
        CREATE => "create",
        DELETE => "delete",
        EXISTS => "exists",
        GET_DATA => "getData",
        SET_DATA => "setData",
        GET_ACL => "getACL",
        SET_ACL => "setACL",
        GET_CHILDREN => "getChildren",
        SYNC => "sync",
        PING => "ping",
        GET_CHILDREN2 => "getChildren2",
        CHECK => "check",
        MULTI => "multi",
        CREATE2 => "create2",
        RECONFIG => "reconfig",
        CHECK_WATCHES => "checkWatches",
        REMOVE_WATCHES => "removeWatches",
        CREATE_CONTAINER => "createContainer",
        DELETE_CONTAINER => "deleteContainer",
        CREATE_TTL => "createTTL",
        MULTI_READ => "multiRead",
        AUTH => "auth",
        SET_WATCHES => "setWatches",
        SASL => "sasl",
        GET_EPHEMERALS => "getEphemerals",
        GET_ALL_CHILDREN_NUMBER => "getAllChildrenNumber",
        SET_WATCHES2 => "setWatches2",
        ADD_WATCH => "addWatch",
        WHO_AM_I => "whoAmI",
        CLOSE_SESSION => "closeSession",
        _ => "unknown",
    }
}
