//! Calls about tasks that are sent together with whatever else is waiting.
//!
//! At all times: one batch of a kind is under way for a session. What comes meanwhile waits for its answer, and goes
//! with the next one; what comes while nothing is under way is sent at once. A batch is refused as a whole: its parts
//! are then sent one by one, so that nobody is refused for somebody else's part.

use super::Client;
use super::calls::Deadline;
use super::error::{Error, Reason};
use super::session::Session;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Parts of one batch.
const PARTS_MAX: usize = 64;
/// Bytes of one batch, unless it has one part.
const BYTES_MAX: usize = 512 * 1024;
/// Parts of one client that wait or are under way; more of them wait for their turn.
pub const PENDING_MAX: usize = 1_024;
/// Parts of a batch that was refused that are sent by themselves at once.
const ALONE_MAX: usize = 8;

/// What is said of one task.
pub trait Part: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    fn queue(&self) -> &str;

    /// About as much as it takes in a message, and where it is written.
    fn bytes(&self) -> usize;

    /// Where the parts of this kind wait.
    fn together(session: &Session) -> &Together<Self>;

    /// Sends parts of one queue: one answer for each.
    fn send(
        client: &Client,
        session: &Arc<Session>,
        deadline: Deadline,
        parts: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Error>> + Send;
}

struct Waiting<P: Part> {
    part: P,
    deadline: Deadline,
    answer: oneshot::Sender<Result<P::Answer, Error>>,
}

struct Line<P: Part> {
    waiting: VecDeque<Waiting<P>>,
    /// Somebody sends what is waiting.
    is_served: bool,
}

/// See the module's text.
pub struct Together<P: Part> {
    line: Mutex<Line<P>>,
    room: Semaphore,
}

impl<P: Part> Together<P> {
    pub fn new() -> Together<P> {
        Together {
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                is_served: false,
            }),
            room: Semaphore::new(PENDING_MAX),
        }
    }

    /// Whether whoever asks has to send what is waiting.
    fn join(&self, waiting: Waiting<P>) -> bool {
        let mut line = self.line.lock();
        line.waiting.push_back(waiting);
        !std::mem::replace(&mut line.is_served, true)
    }

    /// The next batch: the first that waits, and those behind it that go to the same queue. Nobody serves the line
    /// any more once there is none.
    fn next(&self) -> Option<Vec<Waiting<P>>> {
        let mut line = self.line.lock();
        // Whoever does not wait any more has not asked for anything.
        line.waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut batch: Vec<Waiting<P>> = Vec::new();
        let mut bytes = 0;
        let mut rest = VecDeque::new();
        while let Some(waiting) = line.waiting.pop_front() {
            let larger = bytes + waiting.part.bytes();
            let fits = batch.first().is_none_or(|first| {
                first.part.queue() == waiting.part.queue() && larger <= BYTES_MAX
            });
            match fits {
                true => {
                    bytes = larger;
                    batch.push(waiting);
                }
                false => rest.push_back(waiting),
            }
            if batch.len() == PARTS_MAX {
                break;
            }
        }
        rest.append(&mut line.waiting);
        line.waiting = rest;
        line.is_served = !batch.is_empty();
        (!batch.is_empty()).then_some(batch)
    }
}

/// Sends a part with whatever else is waiting, and returns what it came to. Dropped before it is sent, it is not.
/// One with fences goes by itself.
pub async fn send<P: Part>(
    client: &Client,
    session: &Arc<Session>,
    deadline: Deadline,
    part: P,
) -> Result<P::Answer, Error> {
    if !client.fences.is_empty() {
        return alone(client, session, deadline, &part).await;
    }
    let together = P::together(session);
    let late = |sent| move || Error::TimedOut { sent, last: None };
    let room = async { together.room.acquire().await.map_err(|_| Error::Closed) };
    let _room = deadline.of(room, late(false)).await?;
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting {
        part,
        deadline,
        answer,
    };
    if together.join(waiting) {
        tokio::spawn(serve::<P>(client.clone(), session.clone()));
    }
    let answered = async { answered.await.unwrap_or(Err(Error::Closed)) };
    deadline.of(answered, late(true)).await
}

async fn serve<P: Part>(client: Client, session: Arc<Session>) {
    while let Some(batch) = P::together(&session).next() {
        let parts: Vec<P> = batch.iter().map(|waiting| waiting.part.clone()).collect();
        let deadline = latest(&batch);
        match P::send(&client, &session, deadline, &parts).await {
            Ok(answers) if answers.len() == batch.len() => {
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    // Whoever asked may have gone.
                    let _ = waiting.answer.send(Ok(answer));
                }
            }
            Ok(_) => tell(
                batch,
                &Error::protocol("as many answers as there were tasks"),
            ),
            Err(error) if batch.len() > 1 && is_of_one(&error) => {
                one_by_one(&client, &session, batch).await;
            }
            Err(error) => tell(batch, &error),
        }
    }
}

async fn one_by_one<P: Part>(client: &Client, session: &Arc<Session>, batch: Vec<Waiting<P>>) {
    let each = futures::stream::iter(batch);
    each.for_each_concurrent(ALONE_MAX, |waiting| async move {
        let answer = alone(client, session, waiting.deadline, &waiting.part).await;
        // Whoever asked may have gone.
        let _ = waiting.answer.send(answer);
    })
    .await;
}

async fn alone<P: Part>(
    client: &Client,
    session: &Arc<Session>,
    deadline: Deadline,
    part: &P,
) -> Result<P::Answer, Error> {
    let mut answers = P::send(client, session, deadline, std::slice::from_ref(part)).await?;
    answers.pop().ok_or_else(|| Error::protocol("an answer"))
}

fn tell<P: Part>(batch: Vec<Waiting<P>>, error: &Error) {
    for waiting in batch {
        // Whoever asked may have gone.
        let _ = waiting.answer.send(Err(error.clone()));
    }
}

/// Whoever waits less long stops waiting by itself.
fn latest<P: Part>(batch: &[Waiting<P>]) -> Deadline {
    let all: Option<Vec<_>> = batch.iter().map(|waiting| waiting.deadline.0).collect();
    Deadline(all.and_then(|all| all.into_iter().max()))
}

/// Whether a batch may have been refused for one of its parts, with nothing changed. One that was done and cannot be
/// told again is not sent again.
fn is_of_one(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            let is_whole = matches!(
                refusal.reason,
                Reason::Compacted | Reason::SessionExpired | Reason::Internal
            );
            !is_whole && !error.is_passing()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Said(&'static str, usize);

    impl Part for Said {
        type Answer = ();

        fn queue(&self) -> &str {
            self.0
        }

        fn bytes(&self) -> usize {
            self.1
        }

        fn together(_: &Session) -> &Together<Self> {
            unreachable!("nothing is sent here")
        }

        async fn send(
            _: &Client,
            _: &Arc<Session>,
            _: Deadline,
            _: &[Self],
        ) -> Result<Vec<()>, Error> {
            unreachable!("nothing is sent here")
        }
    }

    fn join(together: &Together<Said>, part: Said) -> (bool, oneshot::Receiver<Result<(), Error>>) {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            part,
            deadline: Deadline(None),
            answer,
        };
        (together.join(waiting), answered)
    }

    fn sizes(together: &Together<Said>) -> Vec<usize> {
        let batch = together.next().unwrap_or_default();
        batch.iter().map(|waiting| waiting.part.1).collect()
    }

    #[test]
    fn what_waits_for_the_same_queue_goes_together_within_the_limits() {
        let together = Together::new();
        let (serves, _first) = join(&together, Said("/a", 1));
        assert!(serves);
        let _others = [
            Said("/b", 2),
            Said("/a", 3),
            Said("/a", BYTES_MAX),
            Said("/b", 4),
        ]
        .map(|part| {
            let (serves, answered) = join(&together, part);
            assert!(!serves);
            answered
        });
        let gone = join(&together, Said("/a", 5));
        drop(gone);
        assert_eq!(sizes(&together), [1, 3]);
        assert_eq!(sizes(&together), [2, 4]);
        // A part that is as large as a batch goes alone.
        assert_eq!(sizes(&together), [BYTES_MAX]);
        assert!(together.next().is_none());
        let many: Vec<_> = (0..=PARTS_MAX)
            .map(|_| join(&together, Said("/a", 1)))
            .collect();
        assert!(many[0].0 && !many[1].0);
        assert_eq!(sizes(&together).len(), PARTS_MAX);
        assert_eq!(sizes(&together).len(), 1);
    }

    #[test]
    fn a_batch_has_as_much_time_as_the_most_patient_of_it() {
        let now = tokio::time::Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        let of = |deadlines: &[Option<tokio::time::Instant>]| {
            let batch: Vec<_> = deadlines
                .iter()
                .map(|deadline| Waiting {
                    part: Said("/a", 1),
                    deadline: Deadline(*deadline),
                    answer: oneshot::channel().0,
                })
                .collect();
            latest(&batch).0
        };
        assert_eq!(of(&[Some(now), Some(later)]), Some(later));
        assert_eq!(of(&[None, Some(later)]), None);
    }
}
