//! A connection that gives up on slow clients.
//!
//! Three phases of a connection have their own bound: idle between requests, the head of a
//! request, and the answer that nobody reads. Bodies are bounded where they are read. hyper has
//! one timer for the first two, which would close idle keep-alive connections as early as slow
//! ones; hence this wrapper. A connection without a complete request can also be told to make room
//! for another. Start at [`Guard`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

const IDLE: u64 = 0;
/// A handshake, or the head of a request: begun, and not finished.
const UNFINISHED: u64 = 1;
const REQUEST: u64 = 2;
const EVICTED: u64 = 3;
/// The head of a request is there, its body is not.
const ARRIVING: u64 = 4;
/// The bits of a phase in the state.
const PHASE_BITS: u32 = 3;
const PHASE: u64 = (1 << PHASE_BITS) - 1;

/// What the service tells the connection it came by, and the listener when it needs room.
#[derive(Clone, Debug)]
pub struct Phase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// The phase in [`PHASE_BITS`], and above them since when, in milliseconds since it began.
    state: AtomicU64,
    waker: AtomicWaker,
}

impl Phase {
    /// A connection without a request so far.
    pub fn new() -> Self {
        let (state, waker) = (AtomicU64::new(IDLE), AtomicWaker::new());
        Self(Arc::new(Shared { begun: Instant::now(), state, waker }))
    }

    /// A handshake, or the head that HTTP/2 starts with, must come now.
    pub fn unfinished(&self) {
        self.0.state.store(self.since_now(UNFINISHED), Ordering::Release);
    }

    /// The head is complete, and the body must come now; it has a bound of its own.
    pub fn arriving(&self) -> Arriving<'_> {
        self.0.state.store(self.since_now(ARRIVING), Ordering::Release);
        Arriving(Some(self))
    }

    /// The request is complete; the answer has its own bounds.
    pub fn request(&self) {
        self.0.state.store(REQUEST, Ordering::Release);
    }

    /// The answer is ready; the next thing to come is another request.
    pub fn idle(&self) {
        self.0.state.store(self.since_now(IDLE), Ordering::Release);
    }

    /// Ends when the connection is told to make room.
    pub async fn evicted(&self) {
        std::future::poll_fn(|cx| {
            self.0.waker.register(cx.waker());
            if self.is_evicted() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The phase if it may make room: it is idle, or has been unfinished or without the body of its
    /// request for `stall`.
    pub fn without_request(&self, stall: Duration) -> Option<WithoutRequest<'_>> {
        let state = self.state();
        let since = self.0.begun + Duration::from_millis(state >> PHASE_BITS);
        let may_go = match state & PHASE {
            IDLE => true,
            UNFINISHED | ARRIVING => since.elapsed() >= stall,
            _ => false,
        };
        may_go.then_some(WithoutRequest { phase: self, since, state })
    }

    fn state(&self) -> u64 {
        self.0.state.load(Ordering::Acquire)
    }

    fn since_now(&self, phase: u64) -> u64 {
        (self.0.begun.elapsed().as_millis() as u64) << PHASE_BITS | phase
    }

    /// INVARIANT (no request lost): of what a client does and an eviction, only one comes first.
    fn leave(&self, state: u64, next: u64) -> bool {
        let (acquired, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        self.0.state.compare_exchange(state, next, acquired, relaxed).is_ok()
    }

    fn is_evicted(&self) -> bool {
        self.state() & PHASE == EVICTED
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::new()
    }
}

/// A request whose body may still be on its way; who handles it says when it is there.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'p>(Option<&'p Phase>);

impl Arriving<'_> {
    /// Of a request that shares its connection with others.
    pub const SHARED: Self = Self(None);

    /// The body is there: the connection will not make room for others before the answer.
    pub fn done(&self) {
        let Some(phase) = self.0 else { return };
        let state = phase.state();
        if state & PHASE == ARRIVING {
            // Since when is never asked of a request.
            phase.leave(state, REQUEST);
        }
    }
}

/// A connection that has no complete request, and since when.
#[derive(Clone, Copy, Debug)]
pub struct WithoutRequest<'p> {
    phase: &'p Phase,
    /// Since when.
    pub since: Instant,
    state: u64,
}

impl WithoutRequest<'_> {
    /// Closes the connection; `false`: its client was faster.
    pub fn evict(&self) -> bool {
        let evicted = self.phase.leave(self.state, EVICTED);
        if evicted {
            self.phase.0.waker.wake();
        }
        evicted
    }
}

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Without a request.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// Without progress while an answer is written.
    pub write: Duration,
}

/// A stream with bounds.
pub struct Guard<S> {
    inner: S,
    phase: Phase,
    bounds: Bounds,
    /// What the read timer was set for.
    timed: Option<u64>,
    read_timer: Pin<Box<Sleep>>,
    writing: bool,
    write_timer: Pin<Box<Sleep>>,
}

impl<S> Guard<S> {
    /// Wraps a stream; the phase is shared with the service.
    pub fn new(inner: S, phase: Phase, bounds: Bounds) -> Self {
        let far = Instant::now() + bounds.idle;
        Self {
            inner,
            phase,
            bounds,
            timed: None,
            read_timer: Box::pin(tokio::time::sleep_until(far)),
            writing: false,
            write_timer: Box::pin(tokio::time::sleep_until(far)),
        }
    }

    /// Whether the peer may be waited for any longer.
    fn poll_read_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.phase.state();
        let bound = match state & PHASE {
            REQUEST | ARRIVING => return Poll::Pending,
            UNFINISHED => self.bounds.head,
            _ => self.bounds.idle,
        };
        if self.timed != Some(state) {
            self.timed = Some(state);
            self.read_timer.as_mut().reset(Instant::now() + bound);
        }
        self.read_timer.as_mut().poll(cx)
    }

    fn poll_write_timer<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = false;
            return written;
        }
        if !self.writing {
            self.writing = true;
            self.write_timer.as_mut().reset(Instant::now() + self.bounds.write);
        }
        match self.write_timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the client does not read its answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Pending => {
                self.phase.0.waker.register(cx.waker());
                if self.phase.is_evicted() {
                    return Poll::Ready(Err(timed_out("others need the room")));
                }
                match self.poll_read_timer(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(timed_out("the client sends too slowly"))),
                    Poll::Pending => Poll::Pending,
                }
            }
            Poll::Ready(Ok(())) => {
                // Only the first byte of a head moves the phase; a slow one keeps its timer.
                let state = self.phase.state();
                if buf.filled().len() > before && state & PHASE == IDLE {
                    self.phase.leave(state, self.phase.since_now(UNFINISHED));
                }
                if self.phase.is_evicted() {
                    return Poll::Ready(Err(timed_out("others need the room")));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.poll_write_timer(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.poll_write_timer(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.poll_write_timer(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.poll_write_timer(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}
