//! The body of an answer that is made piece by piece. What its maker has not ended is broken off: it never looks whole.
//!
//! (The channel of `http-body-util` looks for the next piece first and for the end after that; a last piece that comes between the
//! two is lost, and the answer seems to be whole without it.)

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

/// Makes an answer.
#[derive(Debug)]
pub struct Sender {
    pieces: mpsc::Sender<Bytes>,
    is_ended: Arc<AtomicBool>,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    is_ended: Arc<AtomicBool>,
}

/// An answer that has room for one piece more than was asked for.
pub fn stream() -> (Sender, Stream) {
    let (sender, receiver) = mpsc::channel(1);
    let is_ended = Arc::<AtomicBool>::default();
    (Sender { pieces: sender, is_ended: Arc::clone(&is_ended) }, Stream { pieces: receiver, is_ended })
}

impl Sender {
    /// Waits until there is room, so that a maker of pieces holds one piece less. Returns false if the client has gone.
    pub async fn ready(&self) -> bool {
        self.pieces.reserve().await.is_ok()
    }

    /// Sends a piece once there is room. Says whether there is still somebody who wants it.
    pub async fn send(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// The answer is whole.
    pub fn end(self) {
        self.is_ended.store(true, Relaxed); // the channel's closing, which follows, puts it before the look of the receiver
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match ready!(self.pieces.poll_recv(context)) {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.is_ended.load(Relaxed) => None,
            None => Some(Err(io::Error::other("the answer was not complete"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::BodyExt;

    use super::*;

    /// It is looked for all the time, so that it often comes in the middle of a look.
    #[test]
    fn the_last_piece_comes_however_soon_the_end_follows() {
        let (hand_over, senders) = std::sync::mpsc::channel::<Sender>();
        std::thread::spawn(move || {
            for sender in senders {
                sender.pieces.try_send(Bytes::from_static(b"the last")).unwrap();
                sender.end();
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..20_000 {
            let (sender, mut stream) = stream();
            hand_over.send(sender).unwrap();
            let mut next = || loop {
                if let Poll::Ready(frame) = Pin::new(&mut stream).poll_frame(&mut context) {
                    break frame.map(|frame| frame.unwrap().into_data().unwrap());
                }
            };
            assert_eq!(next().unwrap(), "the last");
            assert_eq!(next(), None);
        }
    }

    #[test]
    fn what_is_not_ended_is_broken_off() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, stream) = stream();
            assert!(sender.send(Bytes::from_static(b"the first")).await);
            drop(sender);
            assert!(stream.collect().await.is_err());
            let (sender, stream) = self::stream();
            drop(stream);
            assert!(!sender.send(Bytes::new()).await);
        });
    }
}
