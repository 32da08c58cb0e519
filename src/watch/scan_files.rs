//! The scans of a folder: read on all cores, told file by file, never held twice.
//!
//! A file is one `ImageScan`, a list of them, or a scanner's report. What is kept of a file is
//! its stamp and how many scans it held: 100,000 of them are told once, and after that only what
//! changes. INVARIANT (last good stays): a file that breaks keeps what it last held; so does one
//! that vanishes while it is being replaced, for no longer than a look. Start at
//! [`ScanFiles::look`].

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::feed::Event;
use super::folder::{self, Stamp};
use super::keeper::{Change, Filed};
use crate::api::ImageScanSpec;
use crate::scan::files::watched_scans;
use crate::telemetry::metrics::{Control, Shelf};

/// Files with scans.
pub(super) const FILES_MAX: usize = 250_000;

/// Scans that are told at once.
const BATCH: usize = 64;

/// Whoever waits for a start is told this often how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// The files with scans, and what was told of each.
#[derive(Default)]
pub(super) struct ScanFiles {
    /// By path, as plain text.
    known: HashMap<OsString, Known>,
    looked: bool,
    over: bool,
    /// What could not be looked into at the last look.
    closed: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
struct Known {
    stamp: Stamp,
    /// Scans that it holds, told as `FILE#0` and so on.
    scans: usize,
    /// It was not there at the last look: perhaps it is being replaced.
    missed: bool,
}

/// Nobody listens any more.
pub(super) struct Deaf;

impl ScanFiles {
    /// Tells what changed since the last look; at the first one everything, and that it is all.
    pub(super) fn look(
        &mut self,
        at: &Path,
        metrics: &Control,
        tell: &mut impl FnMut(Change) -> Result<(), Deaf>,
    ) -> Result<(), Deaf> {
        let found = folder::files(at, &["yaml", "yml", "json", "jsonl"], FILES_MAX);
        if found.over && !std::mem::replace(&mut self.over, found.over) {
            malformed(metrics);
            tracing::error!(folder = %at.display(), "more than {FILES_MAX} files, the limit: not all count");
        }
        self.over = found.over;
        folder::tell_closed(&mut self.closed, &found.closed, "scans", metrics);
        let mut batch = Batch { changes: Vec::with_capacity(BATCH), tell };
        let mut gone = Vec::new();
        self.known.retain(|path, known| {
            let missed = std::mem::replace(&mut known.missed, !found.has(Path::new(path)));
            let stays = !(missed && known.missed);
            if !stays {
                gone.push((PathBuf::from(path), known.scans));
            }
            stays
        });
        for (path, scans) in gone {
            batch.delete(&path, 0..scans)?;
        }
        let changed: Vec<(PathBuf, Stamp)> = found
            .files
            .into_iter()
            .filter(|(path, stamp)| {
                self.known.get(path.as_os_str()).is_none_or(|known| known.stamp != *stamp)
            })
            .collect();
        self.read(&changed, metrics, &mut batch)?;
        batch.send()?;
        if !std::mem::replace(&mut self.looked, true) {
            (batch.tell)(Change::Scan(Event::Complete))?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        changed: &[(PathBuf, Stamp)],
        metrics: &Control,
        batch: &mut Batch<'_, impl FnMut(Change) -> Result<(), Deaf>>,
    ) -> Result<(), Deaf> {
        let mut told = Instant::now();
        let mut files = 0;
        each(changed, |path, stamp, read| {
            files += 1;
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                tracing::info!(files, of = changed.len(), "reading scans");
            }
            let before = self.known.get(path.as_os_str()).map_or(0, |known| known.scans);
            let scans = match read {
                Ok(specs) => {
                    let scans = specs.len();
                    for (at, spec) in specs.into_iter().enumerate() {
                        batch.add(Filed::Apply(name(path, at), Box::new(spec)))?;
                    }
                    batch.delete(path, scans..before)?;
                    scans
                }
                Err(reason) => {
                    malformed(metrics);
                    folder::wrong_file(path, &reason, before > 0);
                    before
                }
            };
            self.known.insert(path.as_os_str().to_owned(), Known { stamp, scans, missed: false });
            Ok(())
        })
    }
}

fn name(path: &Path, at: usize) -> String {
    format!("{}#{at}", path.display())
}

fn malformed(metrics: &Control) {
    metrics.malformed.get_or_create(&Shelf { shelf: "scans" }).inc();
}

/// Changes that are gathered, so that telling them costs little for each.
struct Batch<'t, T> {
    changes: Vec<Filed>,
    tell: &'t mut T,
}

impl<T: FnMut(Change) -> Result<(), Deaf>> Batch<'_, T> {
    fn add(&mut self, change: Filed) -> Result<(), Deaf> {
        self.changes.push(change);
        if self.changes.len() < BATCH { Ok(()) } else { self.send() }
    }

    fn delete(&mut self, path: &Path, which: std::ops::Range<usize>) -> Result<(), Deaf> {
        which.into_iter().try_for_each(|at| self.add(Filed::Delete(name(path, at))))
    }

    fn send(&mut self) -> Result<(), Deaf> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let changes = std::mem::replace(&mut self.changes, Vec::with_capacity(BATCH));
        (self.tell)(Change::Filed(changes))
    }
}

type Specs = Result<Vec<ImageScanSpec>, String>;

/// Reads files on all cores and hands over what is in them, in no order.
fn each(
    files: &[(PathBuf, Stamp)],
    mut take: impl FnMut(&Path, Stamp, Specs) -> Result<(), Deaf>,
) -> Result<(), Deaf> {
    let specs = |path: &Path, stamp| watched_scans(&folder::bytes(path, stamp)?);
    let work = |next: &AtomicUsize, to: &SyncSender<(usize, Specs)>| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, stamp)) = files.get(at) else { return };
            if to.send((at, specs(path, *stamp))).is_err() {
                return;
            }
        }
    };
    // PERF: most looks find one changed file; a thread would cost more than reading it.
    if let [(path, stamp)] = files {
        return take(path, *stamp, specs(path, *stamp));
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Bounded, so that memory does not grow where reading is faster than filing.
        let (to, from) = sync_channel(64);
        for _ in 0..threads.min(files.len()) {
            let (to, next) = (to.clone(), &next);
            scope.spawn(move || work(next, &to));
        }
        drop(to);
        for (at, read) in from {
            if let Some((path, stamp)) = files.get(at) {
                take(path, *stamp, read)?;
            }
        }
        Ok(())
    })
}
