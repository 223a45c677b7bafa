//! Frames of a server, taken apart. What does not fit is kept as stray bytes and so seen by the
//! comparison; nothing a server says ends the test by itself.

use crate::configuration::Configuration;
use crate::value::{Time, Value, Zxid};
use vivarium::wire::opcode;

/// What a decoder must know of the run to make values comparable.
pub trait Lens {
    fn zxid(&mut self, zxid: i64) -> Zxid;
    fn time(&self, time_ms: i64) -> Time;
    fn session(&self, id: i64) -> String;
    fn configuration(&mut self, configuration: Configuration) -> Value;
    fn sasl(&mut self, token: Option<Vec<u8>>) -> Value;
}

/// The bytes ended before the record did.
pub struct Short;

type Read<T> = Result<T, Short>;

pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn int(&mut self) -> Read<i32> {
        let bytes = self.take(4)?.try_into().map_err(|_| Short)?;
        Ok(i32::from_be_bytes(bytes))
    }

    pub fn long(&mut self) -> Read<i64> {
        let bytes = self.take(8)?.try_into().map_err(|_| Short)?;
        Ok(i64::from_be_bytes(bytes))
    }

    pub fn buffer(&mut self) -> Read<Option<Vec<u8>>> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Short)?;
                Ok(Some(self.take(length)?.to_vec()))
            }
        }
    }

    /// A path or a name. What is no UTF-8 stays visible as such.
    pub fn text(&mut self) -> Read<Option<String>> {
        Ok(self.buffer()?.map(|bytes| {
            String::from_utf8(bytes)
                .unwrap_or_else(|error| format!("no UTF-8: {}", error.as_bytes().escape_ascii()))
        }))
    }

    fn items<T>(&mut self, mut item: impl FnMut(&mut Cursor<'a>) -> Read<T>) -> Read<Vec<T>> {
        let count = usize::try_from(self.int()?).map_err(|_| Short)?;
        (0..count).map(|_| item(self)).collect()
    }
}

/// A reply or an event as it came, before anything is known of the request.
pub struct Frame<'a> {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: &'a [u8],
}

pub fn frame(bytes: &[u8]) -> Read<Frame<'_>> {
    let mut cursor = Cursor(bytes);
    Ok(Frame {
        xid: cursor.int()?,
        zxid: cursor.long()?,
        err: cursor.int()?,
        body: cursor.0,
    })
}

/// The answer to a connect request, which has no header.
pub fn greeting(bytes: &[u8], lens: &mut impl Lens) -> Value {
    whole(bytes, |cursor| {
        let mut fields = vec![
            ("version", Value::Number(cursor.int()?.into())),
            ("timeout", Value::Number(cursor.int()?.into())),
            ("session", Value::Session(lens.session(cursor.long()?))),
        ];
        // Nobody can compare passwords of different making, except that there is one or none.
        let password = cursor.buffer()?;
        let none = password
            .as_ref()
            .is_some_and(|bytes| bytes.iter().all(|b| *b == 0));
        let length = password.map_or(-1, |bytes| bytes.len() as i64);
        fields.push(("password_length", Value::Number(length)));
        fields.push(("password_is_zero", Value::Number(none.into())));
        if !cursor.0.is_empty() {
            fields.push(("read_only", Value::Number(cursor.byte()?.into())));
        }
        Ok(Value::Record(fields))
    })
}

/// The body of an event.
pub fn event(body: &[u8]) -> Value {
    whole(body, |cursor| {
        Ok(Value::Record(vec![
            ("kind", Value::Number(cursor.int()?.into())),
            ("state", Value::Number(cursor.int()?.into())),
            ("path", Value::Text(cursor.text()?)),
        ]))
    })
}

/// The body of a reply to such a request.
pub fn body(op: i32, err: i32, body: &[u8], lens: &mut impl Lens) -> Value {
    if err != 0 {
        return whole(body, |_| Ok(Value::Record(Vec::new())));
    }
    whole(body, |cursor| record(op, cursor, lens).map(Value::Record))
}

fn whole<'a>(bytes: &'a [u8], read: impl FnOnce(&mut Cursor<'a>) -> Read<Value>) -> Value {
    let mut cursor = Cursor(bytes);
    match read(&mut cursor) {
        Ok(value) if cursor.0.is_empty() => value,
        Ok(value) => Value::List(vec![value, Value::Stray(cursor.0.to_vec())]),
        Err(Short) => Value::Stray(bytes.to_vec()),
    }
}

type Fields = Vec<(&'static str, Value)>;

fn record(op: i32, cursor: &mut Cursor, lens: &mut impl Lens) -> Read<Fields> {
    Ok(match op {
        opcode::CREATE | opcode::SYNC => vec![path(cursor)?],
        opcode::CREATE2 | opcode::CREATE_CONTAINER | opcode::CREATE_TTL => {
            vec![path(cursor)?, stat(cursor, lens)?]
        }
        opcode::EXISTS | opcode::SET_DATA | opcode::SET_ACL => vec![stat(cursor, lens)?],
        opcode::GET_DATA | opcode::RECONFIG => data_and_stat(cursor, lens)?,
        opcode::GET_CHILDREN | opcode::GET_EPHEMERALS => vec![names(cursor)?],
        opcode::GET_CHILDREN2 => vec![names(cursor)?, stat(cursor, lens)?],
        opcode::GET_ACL => vec![acl(cursor)?, stat(cursor, lens)?],
        opcode::GET_ALL_CHILDREN_NUMBER | opcode::ADD_WATCH => {
            vec![("number", Value::Number(cursor.int()?.into()))]
        }
        opcode::WHO_AM_I => vec![("clients", clients(cursor)?)],
        opcode::SASL => vec![("token", lens.sasl(cursor.buffer()?))],
        opcode::MULTI | opcode::MULTI_READ => vec![("results", results(cursor, lens)?)],
        _ => Vec::new(),
    })
}

fn path(cursor: &mut Cursor) -> Read<(&'static str, Value)> {
    Ok(("path", Value::Text(cursor.text()?)))
}

/// Of a configuration the length says only whether it is right.
fn data_and_stat(cursor: &mut Cursor, lens: &mut impl Lens) -> Read<Fields> {
    let data = cursor.buffer()?;
    let configuration = data.as_deref().and_then(Configuration::read);
    let (name, mut stat) = stat(cursor, lens)?;
    let shown = match configuration {
        None => Value::Data(data),
        Some(configuration) => {
            let length = data.map_or(0, |data| data.len() as i64);
            if let Value::Record(fields) = &mut stat {
                fields.retain(|field| *field != ("data_length", Value::Number(length)));
            }
            lens.configuration(configuration)
        }
    };
    Ok(vec![("data", shown), (name, stat)])
}

/// Sorted, because servers give them in any order.
fn names(cursor: &mut Cursor) -> Read<(&'static str, Value)> {
    let mut names = cursor.items(Cursor::text)?;
    names.sort();
    let names = names.into_iter().map(Value::Text).collect();
    Ok(("names", Value::List(names)))
}

fn acl(cursor: &mut Cursor) -> Read<(&'static str, Value)> {
    let lines = cursor.items(|cursor| {
        Ok(Value::Record(vec![
            ("perms", Value::Number(cursor.int()?.into())),
            ("scheme", Value::Text(cursor.text()?)),
            ("id", Value::Text(cursor.text()?)),
        ]))
    })?;
    Ok(("acl", Value::List(lines)))
}

/// Sorted: ZooKeeper keeps what a connection has proved to be in a hash set.
fn clients(cursor: &mut Cursor) -> Read<Value> {
    let mut clients = cursor.items(|cursor| Ok([cursor.text()?, cursor.text()?]))?;
    clients.sort();
    let clients = clients.into_iter().map(|[scheme, user]| {
        Value::Record(vec![
            ("scheme", Value::Text(scheme)),
            ("user", Value::Text(user)),
        ])
    });
    Ok(Value::List(clients.collect()))
}

fn stat(cursor: &mut Cursor, lens: &mut impl Lens) -> Read<(&'static str, Value)> {
    let [czxid, mzxid] = [cursor.long()?, cursor.long()?].map(|zxid| Value::Zxid(lens.zxid(zxid)));
    let [ctime, mtime] = [cursor.long()?, cursor.long()?];
    let [version, cversion, aversion] = [cursor.int()?, cursor.int()?, cursor.int()?];
    let owner = Value::Session(lens.session(cursor.long()?));
    let [data_length, num_children] = [cursor.int()?, cursor.int()?];
    let pzxid = Value::Zxid(lens.zxid(cursor.long()?));
    // Of a znode that was never written again both times are that of its creation.
    let as_created = i64::from(version == 0 && ctime != mtime);
    Ok((
        "stat",
        Value::Record(vec![
            ("czxid", czxid),
            ("mzxid", mzxid),
            ("ctime", Value::Time(lens.time(ctime))),
            ("mtime", Value::Time(lens.time(mtime))),
            ("mtime_before_ctime", Value::Number((mtime < ctime).into())),
            ("written_without_version", Value::Number(as_created)),
            ("version", Value::Number(version.into())),
            ("cversion", Value::Number(cversion.into())),
            ("aversion", Value::Number(aversion.into())),
            ("owner", owner),
            ("data_length", Value::Number(data_length.into())),
            ("num_children", Value::Number(num_children.into())),
            ("pzxid", pzxid),
        ]),
    ))
}

/// Each with its header, as it came; the end belongs to it.
fn results(cursor: &mut Cursor, lens: &mut impl Lens) -> Read<Value> {
    let mut results = Vec::new();
    loop {
        let op = cursor.int()?;
        let done = cursor.byte()?;
        let err = cursor.int()?;
        let mut fields = vec![
            ("op", Value::Number(op.into())),
            ("done", Value::Number(done.into())),
            ("err", Value::Number(err.into())),
        ];
        if done == 0 {
            match op {
                opcode::ERROR => fields.push(("code", Value::Number(cursor.int()?.into()))),
                op => fields.extend(record(op, cursor, lens)?),
            }
        }
        results.push(Value::Record(fields));
        if done != 0 {
            return Ok(Value::List(results));
        }
    }
}
