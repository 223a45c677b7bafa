//! A stream beside others in one task, which is asked for more only once it has said that there is more.

use futures::Stream;
use futures::task::AtomicWaker;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Not asked each time that its task is polled: before consensus says that there is nothing to send it looks at four
/// places, and waits anew at each. (`SelectAll` would ask as seldom, and has its task polled twice.)
pub struct WhenWoken<S> {
    stream: S,
    said: Arc<Said>,
    waker: Waker,
}

struct Said {
    more: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Said {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.more.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<S: Stream + Unpin> WhenWoken<S> {
    pub fn new(stream: S) -> WhenWoken<S> {
        let said = Arc::new(Said {
            more: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        WhenWoken {
            stream,
            waker: Waker::from(Arc::clone(&said)),
            said,
        }
    }

    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.said.task.register(context.waker());
        if !self.said.more.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let own = &mut Context::from_waker(&self.waker);
        let polled = Pin::new(&mut self.stream).poll_next(own);
        if polled.is_ready() {
            self.said.more.store(true, Ordering::Relaxed);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn it_is_asked_until_it_says_no_and_again_once_it_said_that_there_is_more() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let stream = futures::stream::poll_fn(move |context| {
            counter.fetch_add(1, Ordering::Relaxed);
            receiver.poll_recv(context)
        });
        let mut stream = WhenWoken::new(stream);
        let mut polled = async || poll_fn(|context| Poll::Ready(stream.poll_next(context))).await;
        for _ in 0..3 {
            assert_eq!(polled().await, Poll::Pending);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        for value in [1, 2] {
            sender.send(value).expect("it is there");
        }
        assert_eq!(polled().await, Poll::Ready(Some(1)));
        assert_eq!(polled().await, Poll::Ready(Some(2)));
        assert_eq!(polled().await, Poll::Pending);
        assert_eq!(polled().await, Poll::Pending);
        assert_eq!(asked.load(Ordering::Relaxed), 4);
        drop(sender);
        assert_eq!(polled().await, Poll::Ready(None));
    }

    #[tokio::test]
    async fn its_task_is_woken_by_it() {
        let (sender, receiver) = futures::channel::mpsc::channel(1);
        let mut stream = WhenWoken::new(receiver);
        let next = tokio::spawn(async move { poll_fn(|context| stream.poll_next(context)).await });
        tokio::task::yield_now().await;
        let mut sender = sender;
        sender.try_send(7).expect("there is room");
        assert_eq!(next.await.expect("it ends"), Some(7));
    }
}
