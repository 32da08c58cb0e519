//! Text for people, safe and bounded: what came from a user loses its control characters, and
//! no text grows over its limit. Start at [`Bounded`].

use std::fmt::{self, Write};

use caapc_vm::facts::Timestamp;

use crate::byte_search::is_plain;

/// Whether a character may reach a terminal: no control character (ESC, NUL, CR, C1 ...), no
/// line or paragraph separator, nothing that turns the direction of writing.
pub fn is_safe(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !turns && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Writes at most so many bytes; unsafe characters are dropped, and a cut is marked with `…`.
///
/// What does not fit is dropped, so that the result of `write!` to it can be ignored; it fails
/// once it is full, so that a long text stops being made.
#[derive(Debug)]
pub struct Bounded<'o> {
    out: &'o mut String,
    end: usize,
    cut: bool,
}

const CUT: char = '…';

impl<'o> Bounded<'o> {
    /// Appends to a text, up to `bytes_max` bytes beyond what it already has.
    pub fn new(out: &'o mut String, bytes_max: usize) -> Self {
        let end = out.len() + bytes_max;
        Self { out, end, cut: false }
    }

    /// Writes a text of ours, or what a [`Bounded`] made: it is safe and need not be looked at.
    #[inline]
    pub fn ours(&mut self, text: &str) {
        if self.cut || self.out.len() + text.len() > self.end {
            let _ = self.write_str(text);
        } else {
            self.out.push_str(text);
        }
    }

    /// The same of what has to be put into words first.
    pub fn ours_in_words(&mut self, words: fmt::Arguments<'_>) {
        let _ = Ours(self).write_fmt(words);
    }

    /// Writes a part that has a limit of its own.
    pub fn part(&mut self, bytes_max: usize, part: &str) {
        self.limited(bytes_max, |inner| inner.write_str(part));
    }

    /// The same of what has to be put into words first.
    pub fn part_in_words(&mut self, bytes_max: usize, words: fmt::Arguments<'_>) {
        self.limited(bytes_max, |inner| inner.write_fmt(words));
    }

    fn limited(&mut self, bytes_max: usize, write: impl FnOnce(&mut Bounded<'_>) -> fmt::Result) {
        let end = self.end.min(self.out.len() + bytes_max);
        let mut inner = Bounded { cut: self.cut, out: self.out, end };
        let _ = write(&mut inner);
        self.cut |= inner.cut && end == self.end;
    }

    /// Whether something did not fit; parts that were cut at their own limit do not count.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    #[cold]
    fn by_character(&mut self, text: &str) -> fmt::Result {
        text.chars().filter(|&c| is_safe(c)).try_for_each(|c| self.write_char(c))
    }
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        // PERF: almost all text is plain, and what of it fits need not be looked at by character.
        let room = self.end.saturating_sub(self.out.len());
        match text.split_at_checked(room.min(text.len())) {
            Some((fits, rest)) if is_plain(fits) => {
                self.out.push_str(fits);
                if rest.is_empty() { Ok(()) } else { self.by_character(rest) }
            }
            _ => self.by_character(text),
        }
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        if self.out.len() + c.len_utf8() > self.end {
            self.cut = true;
            // The mark needs room: what was written last makes it.
            while self.out.len() + CUT.len_utf8() > self.end && self.out.pop().is_some() {}
            self.out.push(CUT);
            return Err(fmt::Error);
        }
        self.out.push(c);
        Ok(())
    }
}

/// Writes without looking; see [`Bounded::ours`].
struct Ours<'b, 'o>(&'b mut Bounded<'o>);

impl Write for Ours<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.ours(text);
        Ok(())
    }
}

/// How long ago a time was, in the largest unit that says enough: `2 days ago`, `in 5 minutes`.
#[derive(Clone, Copy, Debug)]
pub struct Ago {
    /// The time.
    pub then: Timestamp,
    /// From where it is seen.
    pub now: Timestamp,
}

impl Ago {
    /// Its parts in order.
    pub fn each(self, mut part: impl FnMut(&str)) {
        let secs = self.now.secs.saturating_sub(self.then.secs);
        let (count, unit) = match secs.unsigned_abs() {
            count @ 0..120 => (count, " second"),
            count @ 120..7_200 => (count / 60, " minute"),
            count @ 7_200..172_800 => (count / 3_600, " hour"),
            count => (count / 86_400, " day"),
        };
        part(if secs < 0 { "in " } else { "" });
        part(itoa::Buffer::new().format(count));
        part(unit);
        part(if count == 1 { "" } else { "s" });
        part(if secs < 0 { "" } else { " ago" });
    }
}

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each(|part| result = result.and_then(|()| f.write_str(part)));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bounded(limit: usize, text: &str) -> String {
        let mut out = "> ".to_owned();
        let _ = Bounded::new(&mut out, limit).write_str(text);
        out
    }

    #[test]
    fn a_text_ends_at_its_limit_and_says_so() {
        assert_eq!(bounded(5, "abcde"), "> abcde");
        assert_eq!(bounded(5, "abcdef"), "> ab…");
        assert_eq!(bounded(5, "abécdef"), "> ab…");
        assert_eq!(bounded(3, "ééé"), "> …");
        for limit in 3..40 {
            assert!(bounded(limit, &"aé😀".repeat(9)).len() <= limit + 2);
        }
    }

    #[test]
    fn control_characters_are_dropped() {
        assert_eq!(bounded(99, "a\u{1b}[31m\0\r\nb\u{9b}\u{202e}\u{2028}é"), "> a[31mbé");
    }

    #[test]
    fn a_text_that_is_cut_is_not_made_to_its_end() {
        let mut out = String::new();
        let mut text = Bounded::new(&mut out, 40);
        let written = (0..1_000).take_while(|n| write!(text, "{n}, ").is_ok()).count();
        assert!(written < 20, "{written}");
        assert!(out.ends_with(CUT) && out.len() <= 40, "{out}");
    }

    #[test]
    fn a_part_has_its_own_limit() {
        let mut out = String::new();
        let mut text = Bounded::new(&mut out, 12);
        text.part(4, "abcdef");
        let _ = text.write_str(" and so on and on");
        assert_eq!(out, "a… and …");
        assert!(out.len() <= 12);
    }

    #[test]
    fn what_is_safe_already_is_cut_like_anything_else() {
        for room in 3..9 {
            let (mut once, mut again) = (String::new(), String::new());
            let _ = Bounded::new(&mut once, room).write_str("abé…d");
            Bounded::new(&mut again, room).ours("abé…d");
            assert_eq!(once, again);
        }
    }

    #[test]
    fn ages_read_well() {
        let at = Timestamp::from_secs;
        let ago = |secs: i64| Ago { then: at(1_000_000 - secs), now: at(1_000_000) }.to_string();
        assert_eq!(ago(1), "1 second ago");
        assert_eq!(ago(119), "119 seconds ago");
        assert_eq!(ago(7_199), "119 minutes ago");
        assert_eq!(ago(172_799), "47 hours ago");
        assert_eq!(ago(172_800), "2 days ago");
        assert_eq!(ago(-300), "in 5 minutes");
    }
}
