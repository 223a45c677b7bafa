//! Four-letter words: the commands an operator types into a bare TCP connection.

/// A four-letter word by its meaning (ZooKeeper 3.9 `FourLetterCommands`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    Conf,
    Cons,
    Crst,
    Dirs,
    Dump,
    Envi,
    Gtmk,
    Hash,
    Isro,
    Mntr,
    Ruok,
    Srst,
    Srvr,
    Stat,
    /// Eight bytes of trace mask follow on the wire.
    Stmk,
    Wchc,
    Wchp,
    Wchs,
}

impl Word {
    pub const ALL: [Word; 18] = [
        Word::Conf,
        Word::Cons,
        Word::Crst,
        Word::Dirs,
        Word::Dump,
        Word::Envi,
        Word::Gtmk,
        Word::Hash,
        Word::Isro,
        Word::Mntr,
        Word::Ruok,
        Word::Srst,
        Word::Srvr,
        Word::Stat,
        Word::Stmk,
        Word::Wchc,
        Word::Wchp,
        Word::Wchs,
    ];

    /// The word as it is typed, and as it stands in the list of allowed words.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Conf => "conf",
            Word::Cons => "cons",
            Word::Crst => "crst",
            Word::Dirs => "dirs",
            Word::Dump => "dump",
            Word::Envi => "envi",
            Word::Gtmk => "gtmk",
            Word::Hash => "hash",
            Word::Isro => "isro",
            Word::Mntr => "mntr",
            Word::Ruok => "ruok",
            Word::Srst => "srst",
            Word::Srvr => "srvr",
            Word::Stat => "stat",
            Word::Stmk => "stmk",
            Word::Wchc => "wchc",
            Word::Wchp => "wchp",
            Word::Wchs => "wchs",
        }
    }

    /// `None` if these bytes are no word. Case matters, as in ZooKeeper.
    pub fn from_bytes(bytes: &[u8]) -> Option<Word> {
        Word::ALL
            .into_iter()
            .find(|word| word.as_str().as_bytes() == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_by_its_own_letters_and_by_no_others() {
        for word in Word::ALL {
            assert_eq!(Word::from_bytes(word.as_str().as_bytes()), Some(word));
            assert_eq!(word.as_str().len(), 4);
        }
        for stranger in [&b"RUOK"[..], b"ruo", b"ruokk", b"", b"GET "] {
            assert_eq!(Word::from_bytes(stranger), None);
        }
    }
}
