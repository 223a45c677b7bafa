//! A snapshot file of what was read, and sending it to a member that has the whole ensemble restore it.

use super::ensemble::{NobodyAnswers, Proof};
use super::progress::Progress;
use crate::import::Prepared;
use crate::runtime::{Network, TcpNetwork, blocking};
use crate::store::disk::{RealDisk, snapshot};
use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Limited, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

/// The znodes that an ensemble has before anybody has written to it.
const ZNODES_OF_ITS_OWN: u64 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member may take for a short answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a restore may take, the sending included. The member gives it up by itself when it stalls.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Bytes of the file that are sent in one part, and how many parts wait.
const PART_BYTES: usize = 256 * 1024;
const PARTS_WAITING: usize = 4;
/// An answer has no more.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Removed when it is dropped, unless somebody wants to keep it.
pub struct SnapshotPath {
    pub path: PathBuf,
    pub bytes: u64,
    is_kept: bool,
}

impl Drop for SnapshotPath {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a file was not removed");
        }
    }
}

/// Nothing that is there is written over.
pub fn check_free(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{} is there already", path.display());
    }
    Ok(())
}

/// Writes the snapshot to a file that is not there yet; to one of its own, which is removed afterwards, if
/// none is named.
pub async fn write(
    to: Option<&Path>,
    prepared: &Prepared,
    time_ms: i64,
) -> anyhow::Result<SnapshotPath> {
    let unique = format!("vivarium-import-{}", std::process::id());
    let path = match to {
        Some(path) => path.to_owned(),
        None => std::env::temp_dir().join(format!("{unique}.viv")),
    };
    check_free(&path)?;
    let state = prepared.state(time_ms)?;
    let image = state.freeze();
    let is_kept = to.is_some();
    let written = blocking(move || {
        // It gets its name once it is whole.
        let mut directory = path.clone().into_os_string();
        directory.push(".unfinished");
        let directory = PathBuf::from(directory);
        // Access lists have hashes, and data are nobody else's affair.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| directory.display().to_string())?;
        let written = snapshot::write(&RealDisk, &directory, &image)
            .map_err(anyhow::Error::from)
            .and_then(|file| {
                let private = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&file.path, private)
                    .and_then(|()| std::fs::rename(&file.path, &path))
                    .with_context(|| path.display().to_string())?;
                Ok(file.bytes)
            });
        let removed = std::fs::remove_dir_all(&directory);
        let bytes = written?;
        removed.with_context(|| directory.display().to_string())?;
        Ok::<_, anyhow::Error>(SnapshotPath {
            path,
            bytes,
            is_kept,
        })
    });
    written.await.context("writing the snapshot")?
}

/// Whether the ensemble may be restored: it has nothing, or what it has may go.
pub async fn check_target(admin: &str, replace: bool) -> anyhow::Result<()> {
    let answer = ask(
        admin,
        Method::GET,
        "monitor",
        None,
        Empty::new().map_err(never).boxed(),
    );
    let answer = timeout(ANSWER_TIMEOUT, answer).await;
    let (status, told) = answer.map_err(|_| nobody(admin, "no answer in time"))??;
    let Some(znodes) = told["znode_count"]
        .as_u64()
        .filter(|_| status == StatusCode::OK)
    else {
        bail!("{admin} is no admin port of a member that serves: {status} to /commands/monitor");
    };
    if znodes > ZNODES_OF_ITS_OWN && !replace {
        bail!(
            "the ensemble has {znodes} znodes, which a restore would remove: --replace does so, --merge leaves them"
        );
    }
    Ok(())
}

/// Has the ensemble restore a file; the zxid at which it has.
pub async fn send(admin: &str, proof: Option<&Proof>, path: &Path) -> anyhow::Result<String> {
    let progress = Progress::begin("restoring");
    let (parts, waiting) = mpsc::channel(PARTS_WAITING);
    let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let length = file.metadata()?.len();
    let told = progress.clone();
    let reading = blocking(move || {
        let mut sent = 0;
        loop {
            let mut part = Vec::new();
            let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part);
            let part = match read {
                Ok(0) => return,
                Ok(read) => {
                    sent += read as u64;
                    Ok(Frame::data(Bytes::from(part)))
                }
                Err(error) => Err(error),
            };
            let failed = part.is_err();
            // Nobody takes it once the member has said what it has to say.
            if parts.blocking_send(part).is_err() || failed {
                return;
            }
            told.tell(format!("{sent} of {length} bytes"));
        }
    });
    let body = BodyExt::boxed(StreamBody::new(
        ReceiverStream::new(waiting).map(|part| part),
    ));
    let header = match proof {
        Some(Proof { scheme, proof }) => format!("{scheme} {proof}"),
        None => "ip".to_owned(),
    };
    let asked = ask(admin, Method::POST, "restore", Some((header, length)), body);
    let answer = timeout(RESTORE_TIMEOUT, asked).await;
    drop(reading);
    progress.finish();
    let answer = answer.map_err(|_| nobody(admin, "no answer in time").into());
    let answer = answer.and_then(|answer| answer);
    let (status, told) = answer.context(
        "whether it was restored is not known: look at the data, or do it again with --replace",
    )?;
    if status != StatusCode::OK {
        let why = told["error"].as_str().unwrap_or("no reason was given");
        bail!("not restored: {status}: {why}");
    }
    let zxid = told["last_zxid"]
        .as_i64()
        .context("an answer without a zxid")?;
    Ok(format!("0x{zxid:x}"))
}

type Body = BoxBody<Bytes, std::io::Error>;

fn never(never: std::convert::Infallible) -> std::io::Error {
    match never {}
}

fn nobody(admin: &str, why: impl std::fmt::Display) -> NobodyAnswers {
    NobodyAnswers(format!("{admin}: {why}"))
}

/// One request to `/commands/NAME`, and what is answered.
async fn ask(
    admin: &str,
    method: Method,
    name: &str,
    proof_and_length: Option<(String, u64)>,
    body: Body,
) -> anyhow::Result<(StatusCode, Value)> {
    let dialled = timeout(CONNECT_TIMEOUT, TcpNetwork.connect(admin)).await;
    let stream = dialled.map_err(|_| nobody(admin, "no connection in time"))?;
    let stream = stream.map_err(|error| nobody(admin, error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, which says what there is to say.
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/commands/{name}"))
        .header("host", admin);
    if let Some((proof, length)) = proof_and_length {
        request = request.header("authorization", proof);
        request = request.header("content-length", length);
    }
    let answer = sender.send_request(request.body(body)?).await;
    let answer = answer.map_err(|error| nobody(admin, error))?;
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    connection.abort();
    let bytes = bytes.map_err(|error| nobody(admin, error))?.to_bytes();
    Ok((
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    ))
}
