//! Structured logs on standard error, JSON or text, written by a thread of their own.
//!
//! A request never waits for the terminal or the pipe behind it: a line goes into a bounded
//! queue, and when that is full it is dropped and counted. Never a whole object, never a secret.
//! Start at [`init`].

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::json_line::JsonLines;

/// Lines that may wait for the writer.
const QUEUE_LINES_MAX: usize = 8_192;

/// A line waits for others this long; [`QUEUE_LINES_MAX`] is room for 800,000 a second.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the writer.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object for each line.
    Json,
    /// For people.
    Text,
}

/// Writes what is still queued when it is dropped.
#[derive(Debug)]
pub struct Guard(SyncSender<Message>);

/// The sending side.
#[derive(Debug)]
struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn send(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One line that is being formatted as text.
struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Installs the subscriber of this process. `filter` is in the form of `RUST_LOG`, such as
/// `info` or `info,caapc=debug`.
///
/// # Errors
/// If the filter cannot be read, or a subscriber is installed already.
pub fn init(format: Format, filter: &str) -> Result<Guard, String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log-level: {error}; write `info` or `info,caapc=debug`"))?;
    let (queue, messages) = sync_channel(QUEUE_LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines = Lines { queue: queue.clone(), dropped: Arc::clone(&dropped) };
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&messages, &dropped))
        .map_err(|error| format!("the log thread cannot start: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        Format::Json => {
            registry.with(JsonLines(move |line: String| lines.send(line.into_bytes()))).try_init()
        }
        Format::Text => {
            let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines);
            registry.with(text).try_init()
        }
    };
    installed.map_err(|error| error.to_string())?;
    Ok(Guard(queue))
}

fn write_all(messages: &Receiver<Message>, dropped: &AtomicU64) {
    let mut out = io::BufWriter::new(io::stderr());
    while let Ok(first) = messages.recv() {
        // PERF: whoever sends to a writer that sleeps here does not have to wake it: under load a
        // line costs a request no system call.
        if matches!(first, Message::Line(_)) {
            std::thread::sleep(GATHER);
        }
        // Whatever waits goes out in one write.
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                // A closed standard error loses the line; there is nowhere to say so.
                Message::Line(line) => drop(out.write_all(&line)),
                Message::Flush(done) => {
                    drop(out.flush());
                    let _ = done.try_send(());
                }
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            drop(writeln!(
                out,
                "{{\"level\":\"WARN\",\"message\":\"{lost} log lines were lost\"}}"
            ));
        }
        drop(out.flush());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, bytes: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.lines.send(std::mem::take(&mut self.bytes));
        }
    }
}
