//! Jute by hand: the ZooKeeper encoding, written down a second time on purpose.
//!
//! The room `wire` is what is being tested; a client built on it would share its mistakes.

/// Bytes of a message in the making. Every method appends and hands itself on.
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn new() -> Bytes {
        Bytes::default()
    }

    pub fn byte(mut self, value: u8) -> Bytes {
        self.0.push(value);
        self
    }

    pub fn flag(self, value: bool) -> Bytes {
        self.byte(u8::from(value))
    }

    pub fn int(mut self, value: i32) -> Bytes {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn long(mut self, value: i64) -> Bytes {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A buffer or a string: its length, then it.
    pub fn text(mut self, value: impl AsRef<[u8]>) -> Bytes {
        let value = value.as_ref();
        self = self.int(i32::try_from(value.len()).expect("a test's text is short"));
        self.0.extend(value);
        self
    }

    /// A null buffer, string or vector.
    pub fn null(self) -> Bytes {
        self.int(-1)
    }

    pub fn raw(mut self, value: &[u8]) -> Bytes {
        self.0.extend(value);
        self
    }

    /// `world:anyone` with all rights: what most requests carry.
    pub fn open_acl(self) -> Bytes {
        self.int(1).int(31).text("world").text("anyone")
    }

    /// These bytes as one frame.
    pub fn framed(&self) -> Vec<u8> {
        Bytes::new().text(&self.0).0
    }
}

/// Reads a message from its front.
///
/// # Panics
/// When the message is shorter than what is asked for: the server under test sent it.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .expect("the answer is long enough");
        self.0 = rest;
        taken
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes were taken"))
    }

    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight bytes were taken"))
    }

    /// `None` for null.
    pub fn buffer(&mut self) -> Option<Vec<u8>> {
        let length = self.int();
        (length >= 0).then(|| self.take(length as usize).to_vec())
    }

    pub fn string(&mut self) -> String {
        let bytes = self.buffer().expect("a string that is not null");
        String::from_utf8(bytes).expect("strings are UTF-8")
    }

    pub fn stat(&mut self) -> RawStat {
        let [czxid, mzxid, _ctime, _mtime] = [(); 4].map(|()| self.long());
        let [version, cversion, aversion] = [(); 3].map(|()| self.int());
        let ephemeral_owner = self.long();
        let [data_length, num_children] = [(); 2].map(|()| self.int());
        let pzxid = self.long();
        RawStat {
            czxid,
            mzxid,
            pzxid,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            data_length,
            num_children,
        }
    }
}

/// A znode's stat as it travels, without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStat {
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
}
