//! Reads a listing back: the assembler.
//!
//! It knows the pools only by what the code says, and fills them in the order of the linker, so
//! that `assemble(listing(p))` is `p`. What it makes is a draft; [`crate::verify`] decides whether
//! that is a program. Patterns are turned into a matcher by whoever calls. Start at [`assemble`].

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use logos::Logos;

use crate::facts::{ScanStatus, Timestamp};
use crate::isa::{Inst, Kind, Op};
use crate::matcher::Matcher;
use crate::program::{Draft, PolicyRow, Program};
use crate::time::{self, Span};
use crate::verify;

/// The longest listing that is read, in bytes.
pub const LISTING_BYTES_MAX: usize = 64 << 20;

/// The most characters of a message that are shown: it quotes the listing, which may be long.
const SHOWN_CHARS_MAX: usize = 400;

/// What is wrong with a listing, and where. Shown, it is one line without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmError {
    /// The line, from one; zero if it is the program as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for AsmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        for (nth, shown) in self.message.chars().enumerate() {
            match shown {
                _ if nth == SHOWN_CHARS_MAX => return f.write_str("…"),
                shown if shown.is_control() => write!(f, "{}", shown.escape_debug())?,
                shown => f.write_char(shown)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for AsmError {}

#[derive(Logos, Clone, Copy, Debug, PartialEq)]
#[logos(skip r"[ \t\r]+")]
enum Token<'t> {
    #[regex(r"[A-Za-z_][A-Za-z0-9_.]*", |lex| lex.slice())]
    Word(&'t str),
    #[regex(r"[0-9][0-9A-Za-z:.\-]*", |lex| lex.slice())]
    Number(&'t str),
    #[regex(r"now-[0-9dmy]+", |lex| lex.slice(), priority = 10)]
    Span(&'t str),
    #[regex(r"@-?[0-9]+\.[0-9]+", |lex| lex.slice())]
    Instant(&'t str),
    #[regex(r"-[0-9A-Za-z.+\-]+", |lex| lex.slice())]
    Negative(&'t str),
    #[regex(r#""([^"\\\n]|\\[^\n])*""#, |lex| lex.slice())]
    Text(&'t str),
    #[regex(r";[^\n]*", allow_greedy = true)]
    Note,
    #[token(":")]
    Colon,
    #[token(",")]
    Comma,
    #[token("{")]
    Open,
    #[token("}")]
    Close,
    #[token("[")]
    OpenIndex,
    #[token("]")]
    CloseIndex,
}

/// Turns patterns, each with the rule it belongs to, into a matcher for so many rules.
pub type MakeMatcher<'m> = dyn FnMut(&[(String, u32)], u32) -> Result<Matcher, String> + 'm;

/// Assembles a listing into a verified program.
///
/// # Errors
/// The first line that is no part of a listing, or why the whole does not verify.
pub fn assemble(text: &str, make_matcher: &mut MakeMatcher<'_>) -> Result<Program, AsmError> {
    let whole = |message: String| AsmError { line: 0, message };
    if text.len() > LISTING_BYTES_MAX {
        return Err(whole(format!("a listing of more than {} MiB", LISTING_BYTES_MAX >> 20)));
    }
    let mut assembler = Assembler::default();
    for (nth, line) in text.lines().enumerate() {
        assembler.line(line).map_err(|message| AsmError { line: nth + 1, message })?;
    }
    let (mut draft, patterns) = assembler.finish()?;
    let rules = draft.code.iter().filter(|inst| matches!(inst.op, Op::Allow | Op::Reject)).count();
    draft.matcher = Arc::new(make_matcher(&patterns, rules as u32).map_err(whole)?);
    verify::verify(draft).map_err(|fault| whole(fault.to_string()))
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Section {
    #[default]
    Start,
    Linked,
    Policy,
    Select,
    Rules,
    Patterns,
}

/// A policy as it is read; its texts get their numbers when everything is known.
#[derive(Default)]
struct Policy {
    name: String,
    order: Option<f64>,
    selectors: String,
    broken: Option<String>,
    select: usize,
    rules: usize,
    /// The paths its rules use, in order, with the rule of each.
    paths: Vec<(u32, u32)>,
}

#[derive(Default)]
struct Assembler {
    draft: Draft,
    section: Section,
    policies: Vec<Policy>,
    patterns: HashMap<u32, Vec<String>>,
    labels: HashMap<String, u32>,
    sets: HashMap<Vec<u32>, u32>,
    spans: HashMap<Span, u32>,
    instants: HashMap<Timestamp, u32>,
    /// Branches of the section at hand that wait for their labels.
    waiting: Vec<(usize, String, usize)>,
    places: HashMap<String, u32>,
    line: usize,
    rules: u32,
    policy_rules: u32,
}

impl Assembler {
    fn line(&mut self, line: &str) -> Result<(), String> {
        self.line += 1;
        let mut tokens = Vec::new();
        for (token, span) in Token::lexer(line).spanned() {
            match token {
                Ok(Token::Note) => {}
                Ok(token) => tokens.push(token),
                Err(()) => {
                    return Err(format!(
                        "`{}` is no part of a listing",
                        line.get(span).unwrap_or("").escape_debug()
                    ));
                }
            }
        }
        let tokens = tokens.as_slice();
        match tokens {
            [] => Ok(()),
            [Token::Word(name), Token::Colon] => self.label(name),
            [Token::Word("policy"), Token::Text(name)] => self.policy(name),
            [Token::Word(field), value @ ..] if self.section == Section::Policy => {
                self.field(field, value)
            }
            [Token::Word(path), texts @ ..] if self.section == Section::Patterns => {
                self.pattern(path, texts)
            }
            [Token::Number(_), rest @ ..] if self.section != Section::Patterns => {
                self.instruction(rest)
            }
            rest => self.instruction(rest),
        }
    }

    fn label(&mut self, name: &str) -> Result<(), String> {
        let section = match (name, self.section) {
            ("linked", Section::Start) => Section::Linked,
            ("select", Section::Policy) => {
                self.current()?.select = self.draft.code.len();
                Section::Select
            }
            ("patterns", Section::Start | Section::Linked | Section::Rules) => {
                self.close_section()?;
                Section::Patterns
            }
            (name, Section::Select) if name == "pass" || name == "rule0" => {
                self.close_section()?;
                self.current()?.rules = self.draft.code.len();
                self.place(name)?;
                Section::Rules
            }
            (_, Section::Select | Section::Rules) => {
                self.place(name)?;
                self.section
            }
            _ => return Err(format!("the label `{name}` has no place here")),
        };
        self.section = section;
        Ok(())
    }

    fn place(&mut self, name: &str) -> Result<(), String> {
        let here = self.draft.code.len() as u32;
        match self.places.insert(name.to_owned(), here) {
            None => Ok(()),
            Some(_) => Err(format!("the label `{name}` is there twice")),
        }
    }

    /// Branches stay in their section, so its labels are complete when it ends.
    fn close_section(&mut self) -> Result<(), String> {
        for (at, label, line) in std::mem::take(&mut self.waiting) {
            let Some(&to) = self.places.get(&label) else {
                return Err(format!(
                    "line {line} branches to `{label}`, which is not in its section"
                ));
            };
            if let Some(inst) = self.draft.code.get_mut(at) {
                inst.to = to;
            }
        }
        self.places.clear();
        Ok(())
    }

    fn policy(&mut self, name: &str) -> Result<(), String> {
        if !matches!(self.section, Section::Start | Section::Linked | Section::Rules) {
            return Err("a policy begins before the one before has ended".to_owned());
        }
        self.close_section()?;
        self.policies.push(Policy { name: unquote(name)?, ..Policy::default() });
        self.policy_rules = self.rules;
        self.section = Section::Policy;
        Ok(())
    }

    fn current(&mut self) -> Result<&mut Policy, String> {
        self.policies.last_mut().ok_or_else(|| "there is no policy yet".to_owned())
    }

    fn field(&mut self, field: &str, value: &[Token<'_>]) -> Result<(), String> {
        let policy = self.current()?;
        match (field, value) {
            ("order", [Token::Word("none")]) => policy.order = None,
            ("order", [Token::Number(number) | Token::Negative(number)]) => {
                let order: f64 = number.parse().map_err(|_| format!("`{number}` is no order"))?;
                policy.order = Some(order);
            }
            ("selectors", [Token::Text(text)]) => policy.selectors = unquote(text)?,
            ("broken", [Token::Text(text)]) => policy.broken = Some(unquote(text)?),
            _ => {
                return Err(format!(
                    "`{field}` is no field of a policy; write `order`, `selectors` or `broken`"
                ));
            }
        }
        Ok(())
    }

    fn pattern(&mut self, path: &str, texts: &[Token<'_>]) -> Result<(), String> {
        let number = path_number(path)?;
        let patterns = self.patterns.entry(number).or_default();
        match texts {
            [] => Ok(()),
            [Token::Text(text)] => {
                patterns.push(unquote(text)?);
                Ok(())
            }
            _ => Err("write one quoted pattern".to_owned()),
        }
    }

    fn instruction(&mut self, tokens: &[Token<'_>]) -> Result<(), String> {
        if !matches!(self.section, Section::Linked | Section::Select | Section::Rules) {
            return Err("an instruction outside `linked:`, `select:` and the rules".to_owned());
        }
        let [Token::Word(mnemonic), rest @ ..] = tokens else {
            return Err("expected a mnemonic".to_owned());
        };
        let op = Op::from_mnemonic(mnemonic)
            .ok_or_else(|| format!("`{mnemonic}` is no instruction; `golden/isa.md` lists them"))?;
        let row = op.row();
        let mut rest = rest;
        let mut operands = [0; 2];
        for (nth, kind) in [row.a, row.b].into_iter().enumerate() {
            if kind == Kind::None {
                continue;
            }
            if nth == 1 {
                rest = match rest {
                    [Token::Comma, rest @ ..] => rest,
                    _ => {
                        return Err(format!(
                            "`{mnemonic}` has two operands with a comma between them"
                        ));
                    }
                };
            }
            let (operand, after) = self.operand(kind, rest)?;
            rest = after;
            if let Some(place) = operands.get_mut(nth) {
                *place = operand;
            }
        }
        let sense = if row.class.is_test() {
            let (sense, label) = match rest {
                [Token::Word("jt"), Token::Word(label)] => (true, label),
                [Token::Word("jf"), Token::Word(label)] => (false, label),
                _ => return Err(format!("`{mnemonic}` ends in `jt LABEL` or `jf LABEL`")),
            };
            self.waiting.push((self.draft.code.len(), (*label).to_owned(), self.line));
            sense
        } else if rest.is_empty() {
            false
        } else {
            return Err(format!("`{mnemonic}` takes no more than that"));
        };
        let [a, b] = operands;
        if op == Op::PathMatch {
            let rule = self.rules;
            self.current()?.paths.push((a, rule));
        }
        self.draft.code.push(Inst { op, sense, a, b, to: 0 });
        self.rules += u32::from(matches!(op, Op::Allow | Op::Reject));
        Ok(())
    }

    fn operand<'a, 't>(
        &mut self,
        kind: Kind,
        tokens: &'a [Token<'t>],
    ) -> Result<(u32, &'a [Token<'t>]), String> {
        Ok(match (kind, tokens) {
            (Kind::Label, [Token::Text(text), rest @ ..]) => {
                (self.text_label(&unquote(text)?), rest)
            }
            (Kind::Set, [Token::Open, rest @ ..]) => self.set(rest)?,
            (Kind::Path, [Token::Word(path), rest @ ..]) => (path_number(path)?, rest),
            (Kind::Mask, [Token::Open, rest @ ..]) => mask(rest)?,
            (Kind::Span, [Token::Span(text), rest @ ..]) => {
                let span = parse_span(text)
                    .ok_or_else(|| format!("`{text}` is no span; write `now-3d`"))?;
                let spans = &mut self.draft.spans;
                let number = *self.spans.entry(span).or_insert_with(|| {
                    spans.push(span);
                    spans.len() as u32 - 1
                });
                (number, rest)
            }
            (
                Kind::Instant,
                [Token::Number(text) | Token::Instant(text) | Token::Negative(text), rest @ ..],
            ) => {
                let time = parse_instant(text)
                    .ok_or_else(|| format!("`{text}` is no instant in RFC 3339, UTC"))?;
                let instants = &mut self.draft.instants;
                let number = *self.instants.entry(time).or_insert_with(|| {
                    instants.push(time);
                    instants.len() as u32 - 1
                });
                (number, rest)
            }
            (
                Kind::Rule,
                [
                    Token::Word("rules"),
                    Token::OpenIndex,
                    Token::Number(text),
                    Token::CloseIndex,
                    rest @ ..,
                ],
            ) => {
                let index: u32 = text.parse().map_err(|_| format!("`{text}` is no rule"))?;
                (self.policy_rules.wrapping_add(index), rest)
            }
            _ => {
                return Err(format!(
                    "expected an operand of kind {}",
                    format!("{kind:?}").to_lowercase()
                ));
            }
        })
    }

    fn text_label(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.labels.get(text) {
            return number;
        }
        let number = self.draft.labels.push(text);
        self.labels.insert(text.to_owned(), number);
        number
    }

    fn set<'a, 't>(&mut self, mut rest: &'a [Token<'t>]) -> Result<(u32, &'a [Token<'t>]), String> {
        let mut members = Vec::new();
        loop {
            match rest {
                [Token::Text(text), Token::Comma, after @ ..] => {
                    members.push(self.text_label(&unquote(text)?));
                    rest = after;
                }
                [Token::Text(text), Token::Close, after @ ..] => {
                    members.push(self.text_label(&unquote(text)?));
                    rest = after;
                    break;
                }
                [Token::Close, after @ ..] => {
                    rest = after;
                    break;
                }
                _ => return Err("a set is quoted values between braces".to_owned()),
            }
        }
        members.sort_unstable();
        members.dedup();
        let sets = &mut self.draft.sets;
        let number = *self.sets.entry(members).or_insert_with_key(|members| sets.push(members));
        Ok((number, rest))
    }

    /// Numbers texts as the linker does: policy by policy, its names and then its patterns.
    fn finish(mut self) -> Result<(Draft, Vec<(String, u32)>), AsmError> {
        self.close_section().map_err(|message| AsmError { line: 0, message })?;
        let mut patterns = Vec::new();
        let draft = &mut self.draft;
        for policy in &self.policies {
            let row = PolicyRow {
                name: draft.texts.push(&policy.name),
                order: policy.order,
                selectors: draft.texts.push(&policy.selectors),
                broken: policy.broken.as_ref().map(|fault| draft.texts.push(fault)),
                select: policy.select as u32,
                rules: policy.rules as u32,
            };
            draft.policies.push(row);
            for &(path, rule) in &policy.paths {
                let path = self.patterns.get(&path).map_or(&[][..], Vec::as_slice);
                let numbers: Vec<u32> = path.iter().map(|text| draft.texts.push(text)).collect();
                draft.paths.push(&numbers);
                patterns.extend(path.iter().map(|text| (text.clone(), rule)));
            }
        }
        Ok((self.draft, patterns))
    }
}

fn path_number(word: &str) -> Result<u32, String> {
    word.strip_prefix("re")
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("`{word}` is no pattern; write `re0`"))
}

fn mask<'a, 't>(mut rest: &'a [Token<'t>]) -> Result<(u32, &'a [Token<'t>]), String> {
    let mut mask = 0;
    loop {
        match rest {
            [Token::Close, after @ ..] => return Ok((u32::from(mask), after)),
            [Token::Comma, after @ ..] => rest = after,
            [Token::Word(word), after @ ..] => {
                let status = ScanStatus::from_word(word)
                    .ok_or_else(|| format!("`{word}` is no scan status"))?;
                mask |= status.bit();
                rest = after;
            }
            _ => return Err("a mask is scan statuses between braces".to_owned()),
        }
    }
}

fn parse_span(text: &str) -> Option<Span> {
    let mut span = Span::default();
    let mut digits = String::new();
    for letter in text.strip_prefix("now-")?.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let count = digits.parse().ok()?;
        digits.clear();
        match letter {
            'y' => span.years = count,
            'm' => span.months = count,
            'd' => span.days = count,
            _ => return None,
        }
    }
    digits.is_empty().then_some(span)
}

/// Reads what `Timestamp` prints.
fn parse_instant(text: &str) -> Option<Timestamp> {
    if text == "-infinity" {
        return Some(Timestamp::MIN);
    }
    if let Some(epoch) = text.strip_prefix('@') {
        let (secs, nanos) = epoch.split_once('.')?;
        let nanos = nanos.parse().ok().filter(|&nanos| nanos < 1_000_000_000)?;
        return Some(Timestamp { secs: secs.parse().ok()?, nanos });
    }
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let ranges = year <= 9_999 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !ranges || hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let days = time::days_from_civil(i64::from(year), month, day);
    let secs = days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    Some(Timestamp { secs, nanos })
}

/// Reads what `{:?}` prints of a string.
fn unquote(text: &str) -> Result<String, String> {
    let bad = || format!("{text} is not a well quoted string");
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(bad)?;
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next().ok_or_else(bad)? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => {
                let rest = letters.as_str();
                let (code, after) =
                    rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(bad)?;
                letters = after.chars();
                u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or_else(bad)?
            }
            letter @ ('"' | '\\' | '\'') => letter,
            _ => return Err(bad()),
        });
    }
    Ok(out)
}
