//! What follows `(?`: flags, groups that do not capture, and named groups.

use super::error::{PatternError, Reason};
use super::help;
use super::parser::{Flags, Parser};

/// What a `(?` began.
pub(super) enum Opened {
    /// `(?i)`: flags for the rest of the group we are in.
    Flags(Flags),
    /// `(?i:`: a group with these flags.
    Group(Flags),
    /// `(?P<name>`: a group that captures.
    Capture,
}

impl Parser<'_> {
    /// Reads from `(?` to the end of what introduces the group.
    pub(super) fn group_start(&mut self) -> Result<Opened, PatternError> {
        let rest = self.rest();
        // Go looks for a name only if something follows the `<`.
        if rest.len() > 4 && rest.starts_with("(?P<") {
            return self.name(4);
        }
        if rest.len() > 3 && rest.starts_with("(?<") {
            return self.name(3);
        }
        self.flags()
    }

    fn name(&mut self, name_at: usize) -> Result<Opened, PatternError> {
        let (start, rest) = (self.at, self.rest());
        let (quoted, name) = match rest.find('>') {
            Some(end) => (&rest[..=end], rest.get(name_at..end)),
            None => (rest, None),
        };
        let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_some_and(|name| !name.is_empty() && name.chars().all(word)) {
            self.at += quoted.len();
            return Ok(Opened::Capture);
        }
        let span = start..start + quoted.len();
        Err(Reason::NamedCapture.at(quoted, span, Some(help::named_capture(quoted))))
    }

    fn flags(&mut self) -> Result<Opened, PatternError> {
        let start = self.at;
        self.at += 2;
        let mut flags = self.flags;
        // `None` until a `-`; then whether a flag followed it.
        let mut cleared: Option<bool> = None;
        while let Some(c) = self.take() {
            let on = cleared.is_none();
            match c {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_newline = on,
                // Greediness changes what a match is, not whether there is one.
                'U' => {}
                '-' if on => {
                    cleared = Some(false);
                    continue;
                }
                ':' if cleared != Some(false) => return Ok(Opened::Group(flags)),
                ')' if cleared != Some(false) => return Ok(Opened::Flags(flags)),
                _ => break,
            }
            cleared = cleared.map(|_| true);
        }
        let quoted = &self.text[start..self.at];
        let help = help::perl(&self.text[start..]);
        Err(Reason::PerlOp.at(quoted, start..self.at, Some(help)))
    }
}
