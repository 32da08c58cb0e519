//! What a suite is: a folder of cases of one shape, and the function that says what each should be.

use std::path::{Path, PathBuf};

/// One folder of cases.
pub struct Suite {
    /// The first part of the name of every case, such as `selector` in `selector/operators`.
    pub name: &'static str,
    /// The folder (for [`Shape::Page`] the file), from the root of the repository.
    pub folder: &'static str,
    /// Files of the folder that are no cases.
    pub beside: &'static [&'static str],
    /// What a case looks like.
    pub shape: Shape,
    /// Checked after all cases of the suite have run, if none was left out: what the cases must
    /// prove together, such as that every instruction was run.
    pub together: Option<fn() -> Result<(), String>>,
}

/// What a case looks like on disk, and how to find out what it should be.
///
/// A function returns `Err` when the case cannot be judged at all, which no blessing mends.
#[allow(dead_code, reason = "every shape is there for a suite that needs it")]
pub enum Shape {
    /// One file, whose expectations stand between its questions: the function returns the whole
    /// text as it should be.
    Table {
        /// How file names end, without the dot.
        extension: &'static str,
        /// The whole text as it should be.
        expect: fn(&Case) -> Result<String, String>,
    },
    /// One file: input, then a marker line, then what is expected, each line after `# `. The
    /// function gets the input and returns what is expected, without the `# `.
    Tail {
        /// How file names end, without the dot.
        extension: &'static str,
        /// The line between the parts, such as `# --- listing ---`.
        marker: &'static str,
        /// The expected lines for this input.
        expect: fn(&Case) -> Result<String, String>,
    },
    /// A folder with files that go in and files that come out.
    Folder {
        /// What may go in. Each is optional; the function says what it cannot do without.
        inputs: &'static [&'static str],
        /// What may come out. A file that is there and does not come out is an orphan.
        outputs: &'static [&'static str],
        /// Name and text of every file that comes out.
        expect: fn(&Case) -> Result<Outputs, String>,
    },
    /// One generated page: `folder` is the file, and the function returns its text.
    Page {
        /// The whole text as it should be.
        expect: fn() -> Result<String, String>,
    },
    /// One check over files that nobody accepts by hand: a corpus of answers.
    Corpus {
        /// How many answers were equal, or the first that differ.
        check: fn(&Path) -> Result<usize, String>,
    },
}

/// Name and text of every file that comes out of a case.
pub type Outputs = Vec<(&'static str, String)>;

/// One case, as a suite's function sees it.
pub struct Case {
    /// Such as `selector/operators`.
    #[allow(dead_code, reason = "suites that print it use it")]
    pub name: String,
    /// Where it is: a file, or a folder for [`Shape::Folder`].
    pub path: PathBuf,
    /// [`Shape::Table`]: the whole text. [`Shape::Tail`]: the input. [`Shape::Folder`]: empty.
    pub input: String,
}

impl Case {
    /// The path from the root of the repository, with `/` on every machine: what may be printed in
    /// an expectation.
    #[allow(dead_code, reason = "suites that print a place use it")]
    pub fn shown_path(&self) -> String {
        let path = self.path.strip_prefix(root()).unwrap_or(&self.path);
        path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// A file of a folder case; `None` if it is not there.
    #[allow(dead_code, reason = "suites with folder cases use it")]
    pub fn file(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.path.join(name);
        if !path.exists() {
            return Ok(None);
        }
        std::fs::read_to_string(&path)
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
