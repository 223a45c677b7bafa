//! The client's side of SASL DIGEST-MD5, told apart from the product's own.
//!
//! At all times: what is random of an exchange (the nonce, and what is computed from it) is checked
//! here and shown as what it has to be, so that two exchanges can be compared.
//! Rules: RFC 2831, 2.1.

use crate::value::Value;
use md5::{Digest, Md5};

const REALM: &str = "zk-sasl-md5";
const URI: &str = "zookeeper/zk-sasl-md5";
const CNONCE: &str = "the client's own";

/// What a client answers to a challenge: `{nonce}` and `{response}` are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    pub user: String,
    pub password: String,
    pub text: String,
}

impl Proof {
    /// As a client that does all it should.
    pub fn of(user: &str, password: &str) -> Proof {
        let text = format!(
            "charset=utf-8,username=\"{user}\",realm=\"{REALM}\",nonce=\"{{nonce}}\",nc=00000001,\
             cnonce=\"{CNONCE}\",digest-uri=\"{URI}\",maxbuf=65536,response={{response}},qop=auth"
        );
        Proof {
            user: user.to_owned(),
            password: password.to_owned(),
            text,
        }
    }

    /// The same, but for this part of it.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn with(mut self, part: &str, other: &str) -> Proof {
        assert!(self.text.contains(part), "{part:?} in {}", self.text);
        self.text = self.text.replace(part, other);
        self
    }
}

/// What is known of the exchange that is under way.
#[derive(Default)]
pub struct Exchange {
    nonce: String,
    /// By which the server shows that it knows the password, too.
    confirmation: String,
}

impl Exchange {
    pub fn answer(&mut self, proof: &Proof) -> Vec<u8> {
        let response = |method| response(&proof.user, &proof.password, &self.nonce, method);
        let text = proof.text.replace("{nonce}", &self.nonce);
        let text = text.replace("{response}", &response("AUTHENTICATE"));
        self.confirmation = response("");
        text.into_bytes()
    }

    /// A token of the server.
    pub fn judge(&mut self, token: Option<Vec<u8>>) -> Value {
        let text = token
            .clone()
            .and_then(|token| String::from_utf8(token).ok());
        let text = text.unwrap_or_default();
        if let Some(rest) = text.split_once("nonce=\"").map(|(_, rest)| rest)
            && let Some((nonce, _)) = rest.split_once('"')
        {
            self.nonce = nonce.to_owned();
            let length = format!("<{} characters>", nonce.len());
            return Value::Text(Some(text.replace(nonce, &length)));
        }
        match text.strip_prefix("rspauth=") {
            Some(shown) if shown == self.confirmation => {
                Value::Text(Some("rspauth=<as it must be>".to_owned()))
            }
            _ => Value::Data(token),
        }
    }
}

/// `method` is empty in the server's own.
fn response(user: &str, password: &str, nonce: &str, method: &str) -> String {
    let secret = Md5::digest(format!("{user}:{REALM}:{password}"));
    let mut one = secret.to_vec();
    one.extend(format!(":{nonce}:{CNONCE}").bytes());
    let (one, two) = (hash(&one), hash(format!("{method}:{URI}").as_bytes()));
    hash(format!("{one}:{nonce}:00000001:{CNONCE}:auth:{two}").as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    let hash = Md5::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_random_of_an_exchange_is_checked_and_not_shown() {
    let mut exchange = Exchange::default();
    let shown = exchange.judge(Some(b"realm=\"r\",nonce=\"abc\",charset=utf-8".to_vec()));
    let expected = "realm=\"r\",nonce=\"<3 characters>\",charset=utf-8";
    assert_eq!(shown, Value::Text(Some(expected.to_owned())));
    let answer = exchange.answer(&Proof::of("bob", "secret"));
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("nonce=\"abc\"") && !answer.contains('{'),
        "{answer}"
    );
    let wrong = Some(b"rspauth=0".to_vec());
    assert_eq!(exchange.judge(wrong.clone()), Value::Data(wrong));
    let right = format!("rspauth={}", exchange.confirmation);
    let right = exchange.judge(Some(right.into_bytes()));
    assert_eq!(
        right,
        Value::Text(Some("rspauth=<as it must be>".to_owned()))
    );
}
