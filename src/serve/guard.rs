//! A connection that gives up on slow clients.
//!
//! Three phases of a connection have their own bound: idle between requests, the head of a
//! request, and the answer that nobody reads. Bodies are bounded where they are read. hyper has
//! one timer for the first two, which would close idle keep-alive connections as early as slow
//! ones; hence this wrapper. An idle connection can also be told to make room for another.
//! Start at [`Guard`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const REQUEST: u8 = 2;
const EVICTED: u8 = 3;

/// What the service tells the connection it came by, and the listener when it needs room.
#[derive(Clone, Debug)]
pub struct Phase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    begun: Instant,
    /// Milliseconds since it began.
    idle_since: AtomicU64,
    waker: AtomicWaker,
}

impl Phase {
    /// A connection without a request so far.
    pub fn new() -> Self {
        let (phase, idle_since) = (AtomicU8::new(IDLE), AtomicU64::new(0));
        let (begun, waker) = (Instant::now(), AtomicWaker::new());
        Self(Arc::new(Shared { phase, begun, idle_since, waker }))
    }

    /// A head must come now: what HTTP/2 starts with.
    pub fn head(&self) {
        self.0.phase.store(HEAD, Ordering::Relaxed);
    }

    /// The head is complete; the body and the answer have their own bounds.
    pub fn request(&self) {
        self.0.phase.store(REQUEST, Ordering::Relaxed);
    }

    /// The answer is ready; the next thing to come is another request.
    pub fn idle(&self) {
        let since = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(since, Ordering::Relaxed);
        self.0.phase.store(IDLE, Ordering::Relaxed);
    }

    /// Since when it has nothing to do; `None`: it has.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.0.phase.load(Ordering::Relaxed) == IDLE;
        let since = Duration::from_millis(self.0.idle_since.load(Ordering::Relaxed));
        idle.then(|| self.0.begun + since)
    }

    /// Closes it if it is still idle; `false`: a request was faster.
    pub fn evict(&self) -> bool {
        let evicted = self.leave_idle(EVICTED);
        if evicted {
            self.0.waker.wake();
        }
        evicted
    }

    /// INVARIANT (no request lost): of a first byte and an eviction, only one comes first.
    fn leave_idle(&self, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        self.0.phase.compare_exchange(IDLE, to, success, failure).is_ok()
    }

    fn is_evicted(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == EVICTED
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::new()
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
    /// The phase that the read timer was set for.
    timed: Option<u8>,
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
        let phase = self.phase.0.phase.load(Ordering::Relaxed);
        if self.timed != Some(phase) {
            self.timed = Some(phase);
            let bound = match phase {
                HEAD => self.bounds.head,
                _ => self.bounds.idle,
            };
            self.read_timer.as_mut().reset(Instant::now() + bound);
        }
        if phase == REQUEST {
            return Poll::Pending;
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
                if buf.filled().len() > before && self.phase.leave_idle(HEAD) {
                    self.timed = None;
                } else if self.phase.is_evicted() {
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
