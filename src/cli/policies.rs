//! Policies from files, for every subcommand that takes `-p POLICIES`.
//!
//! All faults of all files are shown before anything is done. A file that `caapc compile -o` wrote
//! is taken as it is. Start at [`load`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caapc_compiler::check::{Limits, Reader};
use caapc_compiler::compile;
use caapc_compiler::diagnostic::{Diagnostic, Style};
use caapc_compiler::link::Linker;
use caapc_compiler::policy::Entry;
use caapc_compiler::unit::Unit;
use caapc_vm::program::{MAGIC, Program};

use super::files::{self, Source};
use super::io::{Failure, path_name, read_bytes, tell_part, utf8};

/// The largest binary program that is read, in bytes.
pub const PROGRAM_BYTES_MAX: u64 = 256 << 20;

/// Policies as they were read, every one of which compiles.
pub struct Policies {
    /// The files.
    pub sources: Vec<Source>,
    /// The policies, in the order of the files.
    pub entries: Vec<Entry>,
    /// Each compiled alone.
    pub units: Vec<Arc<Unit>>,
    /// The warnings; there are no errors.
    pub warnings: Vec<Diagnostic>,
}

/// What `-p` names: a program, and the policies it was made from unless it came as a program.
pub struct Loaded {
    /// What runs.
    pub program: Program,
    /// What it was made from.
    pub policies: Option<Policies>,
}

/// Reads, compiles and links the policies of files and folders, or reads back a program.
///
/// # Errors
/// [`Failure::Input`] if a file cannot be read or a policy does not compile, after every fault
/// has been shown on standard error.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    let sources = match paths {
        [path] if !path.is_dir() => {
            let bytes = read_bytes(path, PROGRAM_BYTES_MAX)?;
            if bytes.starts_with(MAGIC) {
                return decode(path, &bytes);
            }
            vec![Source { name: path_name(path), text: utf8(path, bytes)? }]
        }
        paths => files::read_all(paths)?,
    };
    compile_all(sources)
}

/// Reads, compiles and links policies.
///
/// # Errors
/// As [`read`], and if all policies together are too large.
pub fn compile_all(sources: Vec<Source>) -> Result<Loaded, Failure> {
    let policies = read(sources)?;
    let program =
        Linker::new().link(&policies.units).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(Loaded { program, policies: Some(policies) })
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Loaded, Failure> {
    let program = Program::decode(bytes).map_err(|fault| {
        Failure::Input(format!("{}: not a program that can be run: {fault}", path_name(path)))
    })?;
    Ok(Loaded { program, policies: None })
}

/// Reads and compiles policies; every fault goes to standard error.
///
/// # Errors
/// [`Failure::Input`] if there is no policy, or one does not compile.
pub fn read(sources: Vec<Source>) -> Result<Policies, Failure> {
    let mut reader = Reader::new(Limits::default());
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    let mut errors = 0;
    for source in &sources {
        let reading = reader.read(&source.name, &source.text);
        for diagnostic in reading.diagnostics {
            if diagnostic.is_error() {
                errors += 1;
                tell_part(format_args!("{}", diagnostic.render(&source.text, style_of_stderr())));
            } else {
                warnings.push(diagnostic);
            }
        }
        entries.extend(reading.entries);
    }
    if errors > 0 {
        let what = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        return Err(Failure::Input(format!("{what} in the policies; nothing was done")));
    }
    if entries.is_empty() {
        let names: Vec<&str> = sources.iter().take(3).map(|source| source.name.as_str()).collect();
        return Err(Failure::Input(format!("no ContainerAdmissionPolicy in {}", names.join(", "))));
    }
    let units = entries.iter().map(|entry| Arc::new(compile(entry))).collect();
    Ok(Policies { sources, entries, units, warnings })
}

/// Colours on standard error: a terminal, and `NO_COLOR` unset or empty.
pub fn style_of_stderr() -> Style {
    use std::io::IsTerminal;
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain }
}
