//! The body of a response that is produced in pieces. A body that its producer has not ended is
//! aborted, so it never appears complete.
//!
//! (The channel of `http-body-util` polls for the next piece first and checks for the end
//! afterwards. A last piece that arrives between these two steps is lost, and the response appears
//! complete without it.)

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

use super::gzip::Gzip;

/// The producer's end of a streamed response.
#[derive(Debug)]
pub struct BodySender {
    pieces: mpsc::Sender<Bytes>,
    is_ended: Arc<AtomicBool>,
}

/// A streamed response, read by hyper.
#[derive(Debug)]
pub struct StreamedBody {
    pieces: mpsc::Receiver<Bytes>,
    is_ended: Arc<AtomicBool>,
    /// Compresses the pieces.
    gzip: Option<Gzip>,
}

/// Creates a streamed response with room for one piece beyond the one that is being sent.
pub fn stream() -> (BodySender, StreamedBody) {
    let (sender, receiver) = mpsc::channel(1);
    let is_ended = Arc::<AtomicBool>::default();
    let body = StreamedBody { pieces: receiver, is_ended: Arc::clone(&is_ended), gzip: None };
    (BodySender { pieces: sender, is_ended }, body)
}

impl BodySender {
    /// Waits until the channel has room. A producer that waits before it creates a piece
    /// holds no piece while it waits. Returns false if the
    /// client has disconnected.
    pub async fn ready(&self) -> bool {
        self.pieces.reserve().await.is_ok()
    }

    /// Returns once the body has been dropped: the client has disconnected, or receives no body
    /// because its request was `HEAD`.
    pub async fn closed(&self) {
        self.pieces.closed().await;
    }

    /// Sends a piece once there is room. Returns false if the client has disconnected.
    pub async fn send(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Marks the response as complete.
    pub fn end(self) {
        // Ordered before the load by the receiver: the channel closes afterwards.
        self.is_ended.store(true, Relaxed);
    }
}

impl StreamedBody {
    /// Returns the same body, compressed.
    pub(super) fn compressed(self) -> StreamedBody {
        StreamedBody { gzip: Some(Gzip::default()), ..self }
    }

    /// Returns the next piece; of a compressed body, the next compressed piece, or the end of the
    /// compressed stream.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let StreamedBody { pieces, is_ended, gzip } = self;
        let mut poll_piece = || {
            Poll::Ready(match ready!(pieces.poll_recv(context)) {
                Some(piece) => Some(Ok(piece)),
                None if is_ended.load(Relaxed) => None,
                None => Some(Err(io::Error::other("the answer was not complete"))),
            })
        };
        let Some(gzip) = gzip else { return poll_piece() };
        loop {
            if gzip.is_ended {
                return Poll::Ready(None);
            }
            if let Some(piece) = gzip.next() {
                return Poll::Ready(Some(Ok(piece)));
            }
            match ready!(poll_piece()) {
                Some(Ok(piece)) => gzip.put(piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Ok(gzip.end()))),
            }
        }
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.poll_next(context).map_ok(Frame::data)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::BodyExt;

    use super::*;

    /// The receiver polls continuously, so that the last piece often arrives during a poll.
    #[test]
    fn last_piece_is_received_before_immediate_end() {
        let (hand_over, senders) = std::sync::mpsc::channel::<BodySender>();
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

    #[tokio::test]
    async fn body_without_end_is_aborted() {
        let (sender, stream) = stream();
        assert!(sender.send(Bytes::from_static(b"the first")).await);
        drop(sender);
        assert!(stream.collect().await.is_err());
        let (sender, stream) = self::stream();
        drop(stream);
        assert!(!sender.send(Bytes::new()).await);
    }
}
