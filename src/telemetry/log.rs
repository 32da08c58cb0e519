//! Structured logs on standard error, JSON or text, written by a thread of their own.
//!
//! A request never waits for the terminal or the pipe behind it: its line goes into memory that is
//! bounded, and when that is full it is dropped and counted. Never a whole object, never a secret.
//! Start at [`init`].

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::json_line::JsonLines;

/// Places where lines wait for the writer. Each thread has one that is its first choice.
const STRIPES: usize = 16;

/// Bytes of lines that may wait in one stripe; room for 200 MiB of lines a second from one thread.
const STRIPE_BYTES_MAX: usize = 1 << 20;

/// Bytes that the memory of a stripe keeps when few lines come.
const STRIPE_BYTES_KEPT: usize = 256 << 10;

/// A line waits for others this long.
const GATHER: Duration = Duration::from_millis(5);

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

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct Guard(SyncSender<Wake>);

/// What the writer is woken for.
#[derive(Debug)]
pub(super) enum Wake {
    Lines,
    Flush(SyncSender<()>),
}

/// Lines on their way to the writer.
///
/// PERF: a line is written where it waits, so that it costs a request no memory of its own, and
/// under load no system call.
#[derive(Debug)]
pub(super) struct Lines {
    stripes: [Mutex<Stripe>; STRIPES],
    /// Lines so far: their order over all stripes.
    count: AtomicU64,
    dropped: AtomicU64,
    /// The writer looks for lines by itself.
    awake: AtomicBool,
    writer: SyncSender<Wake>,
}

#[derive(Debug, Default)]
pub(super) struct Stripe {
    text: String,
    /// Of each line its number and where it ends.
    lines: Vec<(u64, usize)>,
}

thread_local! {
    static FIRST_CHOICE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed)
    };
}

impl Lines {
    pub(super) fn new(writer: SyncSender<Wake>) -> Self {
        Self {
            stripes: Default::default(),
            count: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            awake: AtomicBool::new(false),
            writer,
        }
    }

    /// Adds a line. INVARIANT (no wait): a stripe that somebody else has is passed over.
    pub(super) fn add(&self, write: impl FnOnce(&mut String) -> fmt::Result) {
        let first = FIRST_CHOICE.try_with(|first| *first).unwrap_or_default();
        let stripes = (first..first + STRIPES).filter_map(|at| self.stripes.get(at % STRIPES));
        let mut free = stripes.filter_map(if_free);
        if !free.next().is_some_and(|mut stripe| stripe.add(&self.count, write)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // INVARIANT (no line waits): a writer that goes to rest looks once more afterwards; whoever
        // adds a line later than that wakes it.
        if !self.awake.swap(true, Ordering::AcqRel) {
            let _ = self.writer.try_send(Wake::Lines);
        }
    }

    /// The writer wants to be woken for the next line.
    pub(super) fn rest(&self) {
        self.awake.swap(false, Ordering::AcqRel);
    }

    /// Writes all lines in their order, and tells whether there were any.
    pub(super) fn collect(
        &self,
        spare: &mut [Stripe; STRIPES],
        out: &mut impl Write,
    ) -> io::Result<bool> {
        let mut order = Vec::new();
        for (number, (stripe, spare)) in self.stripes.iter().zip(spare.iter_mut()).enumerate() {
            std::mem::swap(&mut *stripe.lock().unwrap_or_else(PoisonError::into_inner), spare);
            let mut start = 0;
            for &(line, end) in &spare.lines {
                order.push((line, number, start..end));
                start = end;
            }
        }
        order.sort_unstable_by_key(|&(line, ..)| line);
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        // PERF: lines that follow each other in one stripe, as most do, are written together.
        let mut together = order
            .chunk_by(|(_, one, first), (_, two, second)| one == two && first.end == second.start);
        let written = together.try_for_each(|lines| {
            let [(_, number, first), ..] = lines else { return Ok(()) };
            let end = lines.last().map_or(first.end, |(.., last)| last.end);
            let text = spare[*number].text.as_bytes();
            out.write_all(text.get(first.start..end).unwrap_or_default())
        });
        for stripe in spare {
            stripe.text.clear();
            stripe.text.shrink_to(STRIPE_BYTES_KEPT);
            stripe.lines.clear();
            stripe.lines.shrink_to(STRIPE_BYTES_KEPT / size_of::<(u64, usize)>());
        }
        written?;
        if lost > 0 {
            writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{lost} log lines were lost\"}}")?;
        }
        out.flush()?;
        Ok(!order.is_empty())
    }
}

/// A stripe that nobody else has.
fn if_free(stripe: &Mutex<Stripe>) -> Option<MutexGuard<'_, Stripe>> {
    match stripe.try_lock() {
        Ok(stripe) => Some(stripe),
        Err(TryLockError::Poisoned(stripe)) => Some(stripe.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Stripe {
    /// Adds a line; `false` if there is no room, or it could not be written.
    fn add(&mut self, count: &AtomicU64, write: impl FnOnce(&mut String) -> fmt::Result) -> bool {
        // What a panic left of a line goes.
        let start = self.lines.last().map_or(0, |&(_, end)| end);
        self.text.truncate(start);
        // Taken first, so that lines are in the order of the times they tell, or nearly so.
        let number = count.fetch_add(1, Ordering::Relaxed);
        if start >= STRIPE_BYTES_MAX || write(&mut self.text).is_err() {
            return false;
        }
        self.lines.push((number, self.text.len()));
        true
    }
}

/// One line that is being formatted as text.
struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

/// Installs the subscriber of this process. `filter` is in the form of `RUST_LOG`, such as
/// `info` or `info,caapc=debug`.
///
/// # Errors
/// If the filter cannot be read, or a subscriber is installed already.
pub fn init(format: Format, filter: &str) -> Result<Guard, String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log-level: {error}; write `info` or `info,caapc=debug`"))?;
    // Room for one of each kind, which is all there ever is.
    let (writer, wakes) = sync_channel(2);
    let lines = Arc::new(Lines::new(writer.clone()));
    let collected = Arc::clone(&lines);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&wakes, &collected, io::stderr()))
        .map_err(|error| format!("the log thread cannot start: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        Format::Json => registry.with(JsonLines(lines)).try_init(),
        Format::Text => {
            let text = tracing_subscriber::fmt::layer().with_ansi(false);
            registry.with(text.with_writer(TextLines(lines))).try_init()
        }
    };
    installed.map_err(|error| error.to_string())?;
    Ok(Guard(writer))
}

fn write_all(wakes: &Receiver<Wake>, lines: &Lines, out: impl Write) {
    let mut out = io::BufWriter::new(out);
    let mut spare = Default::default();
    // A closed standard error loses the lines; there is nowhere to say so.
    let mut collect = || lines.collect(&mut spare, &mut out).unwrap_or(false);
    let mut resting = true;
    loop {
        // PERF: while lines come, nobody has to wake the writer, and it sleeps once for many.
        let wake = match resting {
            true => wakes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => wakes.recv_timeout(GATHER),
        };
        match wake {
            Ok(Wake::Lines) => resting = false,
            Ok(Wake::Flush(done)) => {
                collect();
                let _ = done.try_send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                if !collect() {
                    lines.rest();
                    resting = !collect();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Wake::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
    }
}

/// Lines as text.
struct TextLines(Arc<Lines>);

impl<'a> MakeWriter<'a> for TextLines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, bytes: Vec::new() }
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
            self.lines.add(|text| {
                text.push_str(&String::from_utf8_lossy(&self.bytes));
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn lines() -> (Lines, Receiver<Wake>) {
        let (writer, wakes) = sync_channel(2);
        (Lines::new(writer), wakes)
    }

    fn collect(lines: &Lines) -> String {
        let mut out = Vec::new();
        lines.collect(&mut Default::default(), &mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_of_many_threads_come_out_whole_and_in_order() {
        let (lines, wakes) = lines();
        std::thread::scope(|scope| {
            for thread in 0..2 * STRIPES {
                let lines = &lines;
                scope.spawn(move || {
                    for line in 0..200 {
                        lines.add(|text| writeln!(text, "{thread} {line}"));
                    }
                });
            }
        });
        let text = collect(&lines);
        let lost = text.lines().last().and_then(|last| {
            last.strip_prefix("{\"level\":\"WARN\",\"message\":\"")?.split(' ').next()?.parse().ok()
        });
        let mut next = [0; 2 * STRIPES];
        let mut count = 0;
        for line in text.lines().take_while(|line| !line.starts_with('{')) {
            let (thread, line) = line.split_once(' ').expect("a line");
            let next = &mut next[thread.parse::<usize>().expect("a thread")];
            let line: u32 = line.parse().expect("a number");
            assert!(line >= *next, "{line} after {next}");
            *next = line + 1;
            count += 1;
        }
        assert_eq!(count + lost.unwrap_or(0), 2 * STRIPES * 200);
        assert!(matches!(wakes.try_recv(), Ok(Wake::Lines)));
        lines.add(|text| text.write_str("more\n"));
        assert!(wakes.try_recv().is_err(), "the writer is woken once");
        lines.rest();
        assert_eq!(collect(&lines), "more\n");
        lines.add(|text| text.write_str("again\n"));
        assert!(matches!(wakes.try_recv(), Ok(Wake::Lines)), "and again when it rests");
        assert_eq!(collect(&lines), "again\n");
    }

    /// What the writer wrote so far.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_waits_for_another_one() {
        let (lines, wakes) = lines();
        let (lines, written) = (Arc::new(lines), Written::default());
        let (of_writer, out) = (Arc::clone(&lines), written.clone());
        // It never ends, since the lines it has can always wake it.
        std::thread::spawn(move || write_all(&wakes, &of_writer, out));
        let mut expected = String::new();
        // Pauses around the time after which it rests.
        for number in 0..40 {
            lines.add(|text| writeln!(text, "{number}"));
            let _ = writeln!(expected, "{number}");
            std::thread::sleep(GATHER * (number % 5) / 2);
        }
        for _ in 0..10_000 {
            if *written.0.lock().expect("no panic") == expected.as_bytes() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?}", String::from_utf8_lossy(&written.0.lock().expect("no panic")));
    }

    #[test]
    fn what_has_no_room_or_no_form_is_counted() {
        let (lines, _wakes) = lines();
        let long = "x".repeat(STRIPE_BYTES_MAX);
        lines.add(|text| text.write_str(&long));
        lines.add(|text| text.write_str("more"));
        let text = collect(&lines);
        assert!(text.starts_with(&long) && text.contains("1 log lines were lost"));
        lines.add(|text| text.write_str("half of it").and(Err(fmt::Error)));
        let panicked = std::panic::catch_unwind(|| {
            lines.add(|text| {
                text.push_str("half of that");
                panic!("in the middle of a line")
            });
        });
        assert!(panicked.is_err());
        // A line within a line finds another stripe.
        lines.add(|text| {
            lines.add(|text| text.write_str("inner\n"));
            text.write_str("outer\n")
        });
        let text = collect(&lines);
        assert!(text.starts_with("outer\ninner\n{"), "{text}");
        assert!(text.contains("1 log lines were lost"), "{text}");
    }
}
