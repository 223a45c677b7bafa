//! What was heard, as a tree in which nothing differs that may: zxids count from the beginning of the
//! run, sessions have the names of their clients, times say only whether they can be.
//!
//! At all times: two subjects that did the same have equal trees, so comparing is equality.

use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(i64),
    Zxid(Zxid),
    Time(Time),
    /// Whose session it is; a number nobody here was given stays what it is.
    Session(String),
    Text(Option<String>),
    Data(Option<Vec<u8>>),
    List(Vec<Value>),
    Record(Vec<(&'static str, Value)>),
    /// Bytes that do not belong there, or are not what they should be.
    Stray(Vec<u8>),
}

/// A zxid as far as both subjects must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zxid {
    /// Zero and the negative ones mean something by themselves.
    Literal(i64),
    BeforeTheRun,
    /// How many changes of the ensemble after the one that began the run.
    Change(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    Zero,
    BeforeTheRun,
    DuringTheRun,
    /// No clock here has shown it.
    Impossible(i64),
}

impl Value {
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Record(fields) => fields
                .iter()
                .find(|(field, _)| *field == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        match self.field(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.field(name)? {
            Value::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    /// Where the first difference lies, as in `body.stat.mzxid`, and the two values there.
    pub fn first_difference<'a>(&'a self, other: &'a Value) -> Option<Difference<'a>> {
        if self == other {
            return None;
        }
        let inner = match (self, other) {
            (Value::Record(ours), Value::Record(theirs))
                if ours
                    .iter()
                    .map(|(name, _)| name)
                    .eq(theirs.iter().map(|(name, _)| name)) =>
            {
                ours.iter().zip(theirs).find_map(|((name, a), (_, b))| {
                    a.first_difference(b).map(|found| found.below(name))
                })
            }
            (Value::List(ours), Value::List(theirs)) if ours.len() == theirs.len() => ours
                .iter()
                .zip(theirs)
                .enumerate()
                .find_map(|(at, (a, b))| {
                    a.first_difference(b)
                        .map(|found| found.below(&at.to_string()))
                }),
            _ => None,
        };
        Some(inner.unwrap_or(Difference {
            place: String::new(),
            one: self,
            other,
        }))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Difference<'a> {
    pub place: String,
    pub one: &'a Value,
    pub other: &'a Value,
}

impl Difference<'_> {
    fn below(mut self, name: &str) -> Self {
        self.place = match self.place.is_empty() {
            true => name.to_owned(),
            false => format!("{name}.{}", self.place),
        };
        self
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Zxid(Zxid::Literal(zxid)) => write!(f, "zxid {zxid}"),
            Value::Zxid(Zxid::BeforeTheRun) => write!(f, "zxid before the run"),
            Value::Zxid(Zxid::Change(count)) => write!(f, "zxid #{count}"),
            Value::Time(time) => write!(f, "{time:?}"),
            Value::Session(name) => write!(f, "{name}"),
            Value::Text(None) | Value::Data(None) => write!(f, "null"),
            Value::Text(Some(text)) => write!(f, "{text:?}"),
            Value::Data(Some(bytes)) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Value::Stray(bytes) => write!(f, "stray bytes \"{}\"", bytes.escape_ascii()),
            Value::List(values) => {
                write!(f, "[")?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                write!(f, "]")
            }
            Value::Record(fields) => {
                write!(f, "{{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}: {value}")?;
                }
                write!(f, "}}")
            }
        }
    }
}
