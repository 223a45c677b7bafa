//! An ensemble as a client sees it: one session, which moves to another member when its connection is lost.
//!
//! At all times: a request that was sent before a connection was lost is sent again. That is harmless for
//! whoever reads, and for whoever creates what may be there.

use crate::cli::zookeeper::{Client, ClientError};
use crate::model::{Refusal, Zxid, validate_path};
use crate::runtime::TcpNetwork;
use crate::wire::ClientRequest;
use crate::wire::reply::Reply;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Lost connections in one run before it is given up: members come and go, and a run may take long.
const RECONNECTS_MAX: u32 = 20;
/// How often all members are tried before it is given up, with a pause in between: an election lasts a while.
const ROUNDS_MAX: u32 = 5;
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// None of the members that were named gives a session, or keeps it.
#[derive(Debug, thiserror::Error)]
#[error("no member answers ({0})")]
pub struct NobodyAnswers(pub String);

/// What a client shows to be somebody.
#[derive(Clone)]
pub struct Proof {
    pub scheme: String,
    pub proof: String,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:({} bytes)", self.scheme, self.proof.len())
    }
}

impl Proof {
    pub fn parse(text: &str) -> Result<Proof, String> {
        let (scheme, proof) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "" => Err("it begins with a scheme: digest:USER:PASSWORD, say".to_owned()),
            _ => Ok(Proof {
                scheme: scheme.to_owned(),
                proof: proof.to_owned(),
            }),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error(transparent)]
    Nobody(#[from] NobodyAnswers),
    #[error("a server breaks the protocol: {0}")]
    Protocol(String),
}

/// Whether that is why a command failed.
pub fn nobody_answers(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<CallFailed>();
    error.is::<NobodyAnswers>() || matches!(failed, Some(CallFailed::Nobody(_)))
}

pub struct Ensemble {
    addresses: Vec<String>,
    pub chroot: String,
    proofs: Vec<Proof>,
    session_timeout_ms: i32,
    current: Mutex<Current>,
    zxid: AtomicI64,
}

#[derive(Default)]
struct Current {
    client: Option<Arc<Client>>,
    /// How many connections there were.
    count: u32,
    turn: usize,
}

impl Ensemble {
    /// `host:port[,host:port…][/chroot]`.
    pub fn parse(
        servers: &str,
        proofs: &[Proof],
        session_timeout: Duration,
    ) -> anyhow::Result<Ensemble> {
        let (addresses, chroot) = match servers.find('/') {
            Some(at) => (&servers[..at], &servers[at..]),
            None => (servers, "/"),
        };
        validate_path(chroot).map_err(|error| anyhow::anyhow!("{chroot}: {error}"))?;
        let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
        if let Some(wrong) = addresses.iter().find(|one| !one.contains(':')) {
            anyhow::bail!("{wrong:?} is no HOST:PORT");
        }
        Ok(Ensemble {
            addresses,
            chroot: chroot.to_owned(),
            proofs: proofs.to_vec(),
            session_timeout_ms: i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX),
            current: Mutex::default(),
            zxid: AtomicI64::new(0),
        })
    }

    /// The last write that any member has told of.
    pub fn zxid(&self) -> Zxid {
        Zxid(self.zxid.load(Ordering::Relaxed))
    }

    /// How often the connection was lost.
    pub async fn reconnects(&self) -> u32 {
        self.current.lock().await.count.saturating_sub(1)
    }

    pub async fn call(&self, request: ClientRequest) -> Result<Reply, CallFailed> {
        loop {
            let (client, number) = self.client().await?;
            match client.call(request.clone()).await {
                Ok(reply) => {
                    self.zxid.fetch_max(reply.header.zxid.0, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(ClientError::Refused(refusal)) => return Err(CallFailed::Refused(refusal)),
                Err(ClientError::Lost(why)) => {
                    let mut current = self.current.lock().await;
                    if current.count == number {
                        tracing::warn!(
                            reason = why,
                            "the connection is lost; another member is tried"
                        );
                        current.client = None;
                        current.turn += 1;
                    }
                }
            }
        }
    }

    /// Ends the session.
    pub async fn close(&self) {
        if let Some(client) = self.current.lock().await.client.take() {
            // Whether it was heard does not matter: the session ends by itself.
            let _ = client.call(ClientRequest::CloseSession).await;
        }
    }

    async fn client(&self) -> Result<(Arc<Client>, u32), CallFailed> {
        let mut current = self.current.lock().await;
        if let Some(client) = &current.client {
            return Ok((Arc::clone(client), current.count));
        }
        if current.count > RECONNECTS_MAX {
            let why = format!("the connection was lost more than {RECONNECTS_MAX} times");
            return Err(NobodyAnswers(why).into());
        }
        let mut why = Vec::new();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            why.clear();
            for turn in 0..self.addresses.len() {
                let at = (current.turn + turn) % self.addresses.len();
                let address = &self.addresses[at];
                match self.open(address).await {
                    Ok(client) => {
                        let client = Arc::new(client);
                        current.client = Some(Arc::clone(&client));
                        current.count += 1;
                        current.turn = at;
                        return Ok((client, current.count));
                    }
                    Err(ClientError::Refused(refusal)) => return Err(CallFailed::Refused(refusal)),
                    Err(ClientError::Lost(lost)) => why.push(format!("{address}: {lost}")),
                }
            }
        }
        Err(NobodyAnswers(why.join("; ")).into())
    }

    /// A session that has proved what there is to prove, with a member that has all that was written before.
    async fn open(&self, address: &str) -> Result<Client, ClientError> {
        let client = Client::connect(&TcpNetwork, address, self.session_timeout_ms, None).await?;
        for proof in &self.proofs {
            let auth = ClientRequest::Auth {
                auth_type: 0,
                scheme: proof.scheme.clone(),
                auth: Some(Bytes::from(proof.proof.clone().into_bytes())),
            };
            client.call(auth).await?;
        }
        let path = Some("/".to_owned());
        let synced = client.call(ClientRequest::Sync { path }).await?;
        self.zxid.fetch_max(synced.header.zxid.0, Ordering::Relaxed);
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_clients_name_them() {
        let parse = |text| Ensemble::parse(text, &[], Duration::from_secs(1));
        let two = parse("a:1,b:2/x/y").expect("servers");
        assert_eq!((two.addresses.len(), &*two.chroot), (2, "/x/y"));
        assert_eq!(parse("a:1").expect("a server").chroot, "/");
        for wrong in ["a", "a:1,,b:2", "a:1/x/", "a:1//"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_proof_is_never_shown() {
        let proof = Proof::parse("digest:user:secret").expect("a proof");
        assert_eq!((&*proof.scheme, &*proof.proof), ("digest", "user:secret"));
        assert!(!format!("{proof:?}").contains("secret"));
        assert!(Proof::parse(":x").is_err());
    }
}
