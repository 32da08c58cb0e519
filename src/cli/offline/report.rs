//! One answer, for people and for programs.
//!
//! All user text is escaped here: files hold what they like. Start at [`text`] and [`Line`].

use std::fmt::Write;

use caapc_vm::facts::Timestamp;
use caapc_vm::run::Verdict;
use serde::Serialize;
use tabwriter::TabWriter;

use super::objects::Item;
use crate::admission::Answer;
use crate::admission::decide::{Decision, ImageDecision, Why};
use crate::admission::text::Ago;
use crate::cli::io::{Failure, shown};

/// One object's answer, with the keys that programs know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `file:line`.
    pub source: String,
    /// The object's kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Allow` or `Reject`.
    pub decision: &'static str,
    /// The sentence of a rejection.
    pub reason: Option<String>,
    /// Its images, in the order they were decided.
    pub images: Vec<ImageLine>,
}

/// One image's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLine {
    /// The container's or volume's name.
    pub container: String,
    /// The image as written.
    pub image: String,
    /// `Allow` or `Reject`.
    pub verdict: &'static str,
    /// The policy that decided; absent: no rule matched.
    pub policy: Option<String>,
    /// The rule's place in its policy, from zero.
    pub rule: Option<u32>,
    /// The scan status.
    pub status: &'static str,
    /// When it was last scanned; absent: never.
    pub last_scan: Option<String>,
}

impl Line {
    /// What was answered to an object.
    pub fn new(item: &Item, answer: &Answer<'_>) -> Self {
        let (rejected, images) = match &answer.decided {
            Some((_, decision)) => (decision.rejected, decision.images),
            None => (true, &[][..]),
        };
        Self {
            source: item.source.clone(),
            kind: item.kind.clone(),
            namespace: item.namespace.clone(),
            name: item.name.clone(),
            decision: if rejected { "Reject" } else { "Allow" },
            reason: rejected.then(|| answer.reason.to_owned()),
            images: images.iter().map(ImageLine::new).collect(),
        }
    }
}

impl ImageLine {
    fn new(image: &ImageDecision<'_>) -> Self {
        let rule = image.rule;
        Self {
            container: image.container.name.to_owned(),
            image: image.container.image.to_owned(),
            verdict: verdict(image.verdict),
            policy: rule.map(|rule| rule.policy.to_owned()),
            rule: rule.map(|rule| rule.index),
            status: image.scan.status.word(),
            last_scan: image.scan.last_scan.map(|then| then.to_string()),
        }
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::Allow(_) => "Allow",
        Verdict::Reject(_) => "Reject",
    }
}

/// One answer for people: a heading, the reason, a table of the images.
///
/// # Errors
/// None that a user can meet; the table is laid out in memory.
pub fn text(
    item: &Item,
    answer: &Answer<'_>,
    now: Timestamp,
    colour: bool,
) -> Result<String, Failure> {
    let Some((_, decision)) = &answer.decided else { return Ok(String::new()) };
    let mut text = heading(item, decision, colour);
    if decision.rejected {
        let _ = writeln!(text, "  {}", shown(answer.reason));
    } else if let Some(why) = not_evaluated(&decision.why) {
        let _ = writeln!(text, "  not evaluated: {why}");
    }
    if decision.images.is_empty() {
        return Ok(text);
    }
    let mut rows = "  CONTAINER\tIMAGE\tVERDICT\tBY\tSTATUS\tLAST SCAN\n".to_owned();
    for image in decision.images {
        row(&mut rows, image, now);
    }
    text.push_str(&table(&rows)?);
    for image in decision.images.iter().filter(|image| matches!(image.verdict, Verdict::Reject(_)))
    {
        worst(&mut text, image, now);
    }
    Ok(text)
}

fn heading(item: &Item, decision: &Decision<'_>, colour: bool) -> String {
    let (word, paint) =
        if decision.rejected { ("Reject", "\u{1b}[1;31m") } else { ("Allow", "\u{1b}[32m") };
    let (paint, plain) = if colour { (paint, "\u{1b}[0m") } else { ("", "") };
    let (kind, name, source) = (shown(&item.kind), shown(&item.name), shown(&item.source));
    let slash = if item.namespace.is_empty() { "" } else { "/" };
    let namespace = shown(&item.namespace);
    format!("{paint}{word}{plain} {kind} {namespace}{slash}{name}  ({source})\n")
}

fn row(rows: &mut String, image: &ImageDecision<'_>, now: Timestamp) {
    let container = match image.container.list {
        crate::admission::image::List::Container => shown(image.container.name),
        list => format!("{} ({})", shown(image.container.name), list.word()),
    };
    let by = match image.rule {
        None => "no rule".to_owned(),
        Some(rule) => match rule.broken {
            Some(_) => format!("{}: does not compile", shown(rule.policy)),
            None => shown(&clipped(&format!("{} rule {}: {rule}", rule.policy, rule.index))),
        },
    };
    let last_scan = match image.scan.last_scan {
        None => "never".to_owned(),
        Some(then) => Ago { then, now }.to_string(),
    };
    let _ = writeln!(
        rows,
        "  {container}\t{}\t{}\t{by}\t{}\t{last_scan}",
        shown(image.container.image),
        verdict(image.verdict),
        image.scan.status.word(),
    );
}

/// How much of a rule's criteria a table shows, in characters.
const BY_CHARS_MAX: usize = 72;

fn clipped(text: &str) -> String {
    match text.char_indices().nth(BY_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn worst(text: &mut String, image: &ImageDecision<'_>, now: Timestamp) {
    let Some(known) = image.known else { return };
    for row in known.worst(now).take(3) {
        let score = row.score.map(|score| format!(" {score}")).unwrap_or_default();
        let package = row.package.map(|name| format!(" in {}", shown(name))).unwrap_or_default();
        let fixed = match row.fixed {
            Some(version) => format!(", fixed in {}", shown(version)),
            None => ", not fixed yet".to_owned(),
        };
        let name = shown(image.container.name);
        let _ = writeln!(text, "  {name}: {}{score}{package}{fixed}", shown(row.id));
    }
}

/// Why an allowed object was not evaluated.
/// Why an object is not evaluated, in words; `None` if it is, or cannot be decided.
pub fn not_evaluated(why: &Why<'_>) -> Option<&'static str> {
    Some(match why {
        Why::Operation => "DELETE and CONNECT never are",
        Why::SubResource => "this subresource holds no images",
        Why::ClusterScoped => "it is in no namespace",
        Why::UnknownKind => "caapc does not know this kind",
        Why::Child => "its owner was, and a built-in controller created it",
        Why::UnchangedChild => "its owner was, and neither owners nor images change",
        Why::Ending => "it is being deleted, and no image is new",
        Why::Controller => "a built-in controller changed it, and no image is new",
        Why::UnchangedImages => "no image changes",
        Why::NothingNew => "no container is new",
        Why::Evaluated | Why::Fault(_) | Why::NamespaceUnknown => return None,
    })
}

/// Lays out tab-separated rows as kubectl does.
///
/// # Errors
/// None that a user can meet.
pub fn table(rows: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::Environment(format!("cannot lay out a table: {why}"));
    let mut writer = TabWriter::new(Vec::new()).padding(3);
    std::io::Write::write_all(&mut writer, rows.as_bytes())
        .map_err(|why| failed(why.to_string()))?;
    let bytes = writer.into_inner().map_err(|why| failed(why.to_string()))?;
    String::from_utf8(bytes).map_err(|why| failed(why.to_string()))
}
