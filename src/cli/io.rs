//! What every subcommand shares: exit codes, failures, reading and writing.
//!
//! Results go to standard output, everything else to standard error.

use std::fmt;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::admission::text::is_safe;

/// The largest file that is read, in bytes; policies, workloads and lists of them.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// How a command ended when it did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Fine,
    /// 1: something was rejected, differs, or a case failed.
    Rejected,
}

/// How a command ended when it could not do its work. The text is one clear sentence.
#[derive(Debug)]
pub enum Failure {
    /// 2: the input or the usage is wrong.
    Input(String),
    /// 3: the environment is: a cluster that does not answer, a disk that is full.
    Environment(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(text) | Self::Environment(text) => f.write_str(text),
        }
    }
}

/// How a command prints its answer: `-o text` or `-o json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Text of a user as a terminal may see it: what would steer it or hide is escaped.
pub fn shown(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`shown`], for text of several lines.
pub fn shown_lines(text: &str) -> String {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if !is_safe(character) && !kept(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether colours are wanted on standard output: a terminal, and `NO_COLOR` unset or empty.
pub fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stdout().is_terminal()
}

/// Where results go. When nobody reads them any more, as after `head`, the rest is dropped; the
/// exit code is what it would have been.
pub struct Out {
    inner: Box<dyn Write>,
    closed: bool,
}

impl Out {
    /// Standard output, buffered.
    pub fn stdout() -> Self {
        let inner = Box::new(std::io::BufWriter::new(std::io::stdout()));
        Self { inner, closed: false }
    }

    /// Writes text as it is.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes text and a newline.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(text)?;
        self.text("\n")
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.with(|inner| inner.write_all(bytes))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.with(|inner| inner.flush())
    }

    fn with(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        match write(&mut *self.inner) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => {
                Err(Failure::Environment(format!("cannot write to standard output: {error}")))
            }
        }
    }
}

/// Says something beside the results, on standard error, as it is.
///
/// Nobody may be listening (`2>&1 | head -1`): that ends no command, nor changes its exit code.
pub fn tell_part(text: fmt::Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// [`tell_part`] and a newline.
pub fn tell(line: fmt::Arguments<'_>) {
    tell_part(format_args!("{line}\n"));
}

/// Reads a text file, or standard input for `-`, up to [`FILE_BYTES_MAX`].
///
/// # Errors
/// [`Failure::Input`] if it is missing, too large, or not UTF-8 (with the line and column).
pub fn read_text(path: &Path) -> Result<String, Failure> {
    utf8(path, read_bytes(path, FILE_BYTES_MAX)?)
}

/// The text that the bytes of a file are, within [`FILE_BYTES_MAX`].
///
/// # Errors
/// [`Failure::Input`] if there is too much of it, or it is not UTF-8 (with the line and column).
pub fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(path, FILE_BYTES_MAX));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = at - before.iter().rposition(|&byte| byte == b'\n').map_or(0, |n| n + 1) + 1;
        Failure::Input(format!(
            "{}:{line}:{column}: this byte is not UTF-8; save the file as UTF-8",
            path_name(path)
        ))
    })
}

fn too_large(path: &Path, bytes_max: u64) -> Failure {
    Failure::Input(format!(
        "{}: larger than {} MiB, the limit for one file; split it",
        path_name(path),
        bytes_max >> 20
    ))
}

/// Writes a file whole: to a new one beside it first, so that a failure leaves the old one. Links
/// are followed, and what is no regular file, such as a device, is written to as it is.
///
/// # Errors
/// [`Failure::Environment`] if it or its folder cannot be written to.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let written = match std::fs::metadata(&real) {
        Ok(meta) if !meta.is_file() => {
            let file = std::fs::OpenOptions::new().write(true).open(&real);
            file.and_then(|mut file| file.write_all(bytes))
        }
        Ok(meta) if meta.permissions().readonly() => {
            Err(std::io::Error::other("the file is there and may not be written to"))
        }
        Ok(meta) => replace_file(&real, bytes, Some(meta.permissions())),
        // A link to what is not there yet.
        Err(_) if real.is_symlink() => std::fs::write(&real, bytes),
        Err(_) => replace_file(&real, bytes, None),
    };
    written.map_err(|error| {
        Failure::Environment(format!("{}: cannot be written: {error}", path_name(path)))
    })
}

fn replace_file(
    path: &Path,
    bytes: &[u8],
    permissions: Option<std::fs::Permissions>,
) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&name);
    // One that is there is somebody else's.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(part)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| permissions.map_or(Ok(()), |kept| file.set_permissions(kept)))
        .and_then(|()| std::fs::rename(part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(part);
    }
    written
}

/// Reads a file, or standard input for `-`, up to a number of bytes.
///
/// # Errors
/// [`Failure::Input`] if it is missing or larger than `bytes_max`.
pub fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let name = path_name(path);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        take_stdin()?;
        std::io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Input(format!("{name}: cannot be read: {error}")))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::Input(format!(
            "{name}: larger than {} MiB, the limit for one file; split it",
            bytes_max >> 20
        )));
    }
    Ok(bytes)
}

/// Takes standard input, which whoever names it twice would find empty.
///
/// # Errors
/// [`Failure::Input`] the second time.
pub fn take_stdin() -> Result<(), Failure> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        let what = "standard input (`-`) is given twice, and can be read once; name a file instead";
        return Err(Failure::Input(what.to_owned()));
    }
    Ok(())
}

/// The name a user knows a file by.
pub fn path_name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
