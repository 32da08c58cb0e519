//! Sets of characters: `[...]`, `\d`, `\pL`, `[:alpha:]`.
//!
//! In Go's dialect a class has no operators: `[`, `&` and `~` inside it are themselves. `\d`, `\s`
//! and `\w` are ASCII. A negated class matches a newline. Start at [`Parser::bracket`].

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::error::{PatternError, Reason};
use super::parser::Parser;
use super::tree::{Piece, Ranges};
use super::{help, unicode};

impl<'p> Parser<'p> {
    /// Reads a class escape such as `\d` or `\pL`, if there is one.
    pub(super) fn class_escape(&mut self) -> Result<Option<&(ClassUnicode, Piece)>, PatternError> {
        let rest = self.rest();
        let escape = match rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) {
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => &rest[..2],
            Some('p' | 'P') => self.property()?,
            _ => return Ok(None),
        };
        let key = (escape, self.flags.fold);
        if !self.sets.contains_key(&key) {
            let set = escape_set(escape, self.flags.fold).ok_or_else(|| {
                let span = self.at..self.at + escape.len();
                let help = help::property(property_name(escape).0);
                Reason::CharRange.at(escape, span, Some(help))
            })?;
            let mut piece = Piece::set(&set);
            self.share(&mut piece);
            self.sets.insert(key, (set, piece));
        }
        self.at += escape.len();
        Ok(self.sets.get(&key))
    }

    /// The text of the property escape at hand: `\pL`, `\p{Greek}`.
    fn property(&self) -> Result<&'p str, PatternError> {
        let rest = self.rest();
        match rest[2..].chars().next() {
            None => Ok(rest),
            Some('{') => rest.find('}').map(|end| &rest[..=end]).ok_or_else(|| {
                let help = r"close the name with `}`: `\p{Greek}`".to_owned();
                Reason::CharRange.at(rest, self.at..self.text.len(), Some(help))
            }),
            Some(c) => Ok(&rest[..2 + c.len_utf8()]),
        }
    }

    /// `[:alpha:]`, inside a class: committed once a `:]` follows anywhere.
    fn posix(&mut self) -> Result<Option<ClassUnicode>, PatternError> {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix("[:") else { return Ok(None) };
        let Some(length) = inside.find(":]") else { return Ok(None) };
        let name = &inside[..length];
        let plain = name.strip_prefix('^').unwrap_or(name);
        let quoted = &rest[..length + 4];
        let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == plain) else {
            let span = self.at..self.at + quoted.len();
            return Err(Reason::CharRange.at(quoted, span, Some(help::posix_class(plain))));
        };
        self.at += quoted.len();
        Ok(Some(negated_if(plain.len() != name.len(), ascii(ranges, self.flags.fold))))
    }

    /// Reads a class in brackets.
    pub(super) fn bracket(&mut self) -> Result<ClassUnicode, PatternError> {
        let open = self.at;
        self.at += 1;
        let negated = self.eat("^");
        let fold = self.flags.fold;
        let (mut folding, mut fixed) = (Ranges::default(), Ranges::default());
        let mut first = true;
        while first || self.peek() != Some(']') {
            first = false;
            if let Some(set) = self.posix()? {
                fixed.extend(&set);
            } else if let Some((set, _)) = self.class_escape()? {
                fixed.extend(set);
            } else if let Some(range) = self.class_range(open)? {
                folding.push(range);
            }
        }
        self.at += 1;
        let mut set = folding.finish();
        if fold {
            set = unicode::fold(&set);
        }
        set.union(&fixed.finish());
        Ok(negated_if(negated, set))
    }

    /// One character or a range of them; `None` if it is of surrogates only.
    fn class_range(&mut self, open: usize) -> Result<Option<ClassUnicodeRange>, PatternError> {
        let start = self.at;
        let low = self.class_char(open)?;
        let mut high = low;
        let rest = self.rest().as_bytes();
        if rest.len() >= 2 && rest[0] == b'-' && rest[1] != b']' {
            self.at += 1;
            high = self.class_char(open)?;
            if high < low {
                let quoted = &self.text[start..self.at];
                return Err(Reason::CharRange.at(
                    quoted,
                    start..self.at,
                    Some(help::reversed_range(quoted)),
                ));
            }
        }
        Ok(scalars(low, high))
    }

    fn class_char(&mut self, open: usize) -> Result<u32, PatternError> {
        match self.peek() {
            None => {
                let quoted = &self.text[open..];
                Err(Reason::MissingBracket.at(
                    quoted,
                    open..open + 1,
                    Some(help::missing_bracket(quoted)),
                ))
            }
            Some('\\') => self.escape(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c.into())
            }
        }
    }
}

/// The members of a class escape; `None` if it names no property. Case folds before a negation.
fn escape_set(escape: &str, fold: bool) -> Option<ClassUnicode> {
    let (name, inverted) = property_name(escape);
    let letter = escape.as_bytes().get(1)?;
    let set = match letter.to_ascii_lowercase() {
        b'd' => ascii(DIGIT, fold),
        b's' => ascii(&[(b'\t', b'\n'), (b'\x0c', b'\r'), (b' ', b' ')], fold),
        b'w' => ascii(WORD, fold),
        _ if fold => unicode::named_folded(name)?,
        _ => unicode::named(name)?,
    };
    Some(negated_if(letter.is_ascii_uppercase() != inverted, set))
}

/// The name inside a property escape, and whether a `^` before it inverts it.
fn property_name(escape: &str) -> (&str, bool) {
    let name = escape.get(2..).unwrap_or_default();
    let name = name.strip_prefix('{').map_or(name, |name| name.trim_end_matches('}'));
    match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    }
}

fn ascii(ranges: &[(u8, u8)], fold: bool) -> ClassUnicode {
    let ranges = ranges.iter().map(|&(a, b)| ClassUnicodeRange::new(a.into(), b.into()));
    let set = ClassUnicode::new(ranges);
    if fold { unicode::fold(&set) } else { set }
}

fn negated_if(negated: bool, set: ClassUnicode) -> ClassUnicode {
    if negated { unicode::complement(&set) } else { set }
}

/// The characters between two code points, both included; surrogates are no characters.
fn scalars(low: u32, high: u32) -> Option<ClassUnicodeRange> {
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    (low <= high).then(|| ClassUnicodeRange::new(low, high))
}

const DIGIT: &[(u8, u8)] = &[(b'0', b'9')];
const WORD: &[(u8, u8)] = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

/// The named classes of POSIX, all ASCII.
const POSIX: [(&str, &[(u8, u8)]); 14] = [
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7f)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    ("digit", DIGIT),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    ("punct", &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    ("word", WORD),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];
