//! The arguments that `cargo test` hands to every test target, for those without the harness.
#![allow(unreachable_pub, reason = "part of a test binary: nothing in it is public to anyone")]

/// Which tests are asked for, and whether only their names are.
#[derive(Default)]
pub struct Arguments {
    /// Parts of names; a test is wanted if one of them is in its name, or if there are none.
    pub names: Vec<String>,
    /// Tests whose name has one of these are not wanted.
    skipped: Vec<String>,
    /// Only print the names.
    pub list: bool,
    exact: bool,
    ignored: bool,
}

impl Arguments {
    /// Those of this process.
    pub fn read() -> Self {
        let (mut read, mut arguments) = (Self::default(), std::env::args().skip(1));
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => read.list = true,
                "--exact" => read.exact = true,
                "--ignored" => read.ignored = true,
                "--skip" => read.skipped.extend(arguments.next()),
                // The harness knows these; here they change nothing.
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                flag if flag.starts_with('-') => {}
                name => read.names.push(name.to_owned()),
            }
        }
        read
    }

    /// Whether a test is asked for; none is ignored.
    pub fn want(&self, name: &str) -> bool {
        let holds = |part: &String| if self.exact { name == part } else { name.contains(part) };
        (self.names.is_empty() || self.names.iter().any(holds))
            && !self.skipped.iter().any(holds)
            && !self.ignored
    }
}
