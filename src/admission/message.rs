//! What an answer says: the reason, the message, the warnings and the audit annotations.
//!
//! Texts only; their JSON is `respond`'s. All of them are bounded and safe to print.
//! Start at [`Texts::write`].

use std::fmt::{self, Write};

use caapc_vm::facts::{ScanStatus, Timestamp};
use caapc_vm::program::RuleInfo;
use caapc_vm::run::Verdict;

use super::decide::{Decision, ImageDecision, Why};
use super::limits::{
    ANNOTATION_BYTES_MAX, ANNOTATION_IMAGES_MAX, MESSAGE_BYTES_MAX, WARNING_CHARS_MAX,
};
use super::options::{Mode, Options};
use super::review::Request;
use super::text::{Ago, Bounded};
use crate::scan::{ScanEntry, ScanState};

/// How much of an image string, a name or a criterion a message shows, in bytes.
const IMAGE_SHOWN: usize = 200;
const NAME_SHOWN: usize = 80;
const CRITERION_SHOWN: usize = 160;
/// How many vulnerabilities a message names for one image.
const WORST_SHOWN: usize = 3;
/// Room for the line that counts what was left out.
const MORE_BYTES: usize = 48;

/// The texts of one answer; the strings are reused from request to request.
#[derive(Debug, Default)]
pub struct Texts {
    /// `status.reason`: one sentence. Empty if nothing is rejected.
    pub reason: String,
    /// `status.message`. Empty if nothing is rejected.
    pub message: String,
    /// The warnings, one a line.
    pub warnings: String,
    /// The value of the audit annotation `images`.
    pub images: String,
    line: String,
}

impl Texts {
    /// Writes the sentence of an error.
    pub fn error(&mut self, sentence: fmt::Arguments<'_>) {
        self.reason.clear();
        let _ = Bounded::new(&mut self.reason, MESSAGE_BYTES_MAX).write_fmt(sentence);
    }

    /// Writes all texts of a decision.
    pub fn write(
        &mut self,
        options: &Options,
        request: &Request<'_>,
        decision: &Decision<'_>,
        now: Timestamp,
    ) {
        for text in [&mut self.reason, &mut self.message, &mut self.warnings, &mut self.images] {
            text.clear();
        }
        if decision.rejected {
            self.rejection(options, request, decision, now);
        }
        self.warn(request, decision);
        self.annotate(decision);
    }

    fn rejection(
        &mut self,
        options: &Options,
        request: &Request<'_>,
        decision: &Decision<'_>,
        now: Timestamp,
    ) {
        let reason = &mut Bounded::new(&mut self.reason, MESSAGE_BYTES_MAX);
        let _ = match (decision.why, decision.rule) {
            (Why::Fault(fault), _) => write!(reason, "the object cannot be decided: {fault}"),
            (Why::UnknownKind, _) => unknown_kind(reason, request, "cannot be checked"),
            (_, Some(rule)) => reason_of(reason, rule),
            (_, None) => Ok(()),
        };
        self.message.push_str(&self.reason);
        if options.compat_messages {
            return;
        }
        if let Some(fault) = decision.rule.and_then(|rule| rule.broken) {
            let room = MESSAGE_BYTES_MAX / 2;
            let _ = write!(Bounded::new(&mut self.message, room), ": {fault}");
        }
        let rejected = || {
            let images = decision.images.iter();
            images.filter(|image| matches!(image.verdict, Verdict::Reject(_)))
        };
        let mut told = 0;
        for image in rejected() {
            let whole = self.message.len();
            let room = MESSAGE_BYTES_MAX.saturating_sub(whole + MORE_BYTES);
            let line = &mut Bounded::new(&mut self.message, room);
            let above = rejected().take(told).map(|image| image.verdict);
            let _ = image_line(line, image, above, now);
            // The first image is always told, if need be cut; the others whole or not at all.
            if line.is_cut() && told > 0 {
                self.message.truncate(whole);
                break;
            }
            told += 1;
        }
        let left = rejected().skip(told).count();
        if left > 0 {
            let plural = if left == 1 { "" } else { "s" };
            let _ = write!(self.message, "\nand {left} more rejected image{plural}");
        }
    }

    fn warn(&mut self, request: &Request<'_>, decision: &Decision<'_>) {
        self.line.clear();
        // First of all, since not all may fit.
        if decision.rejected && decision.mode == Mode::Warn {
            for nth in 0.. {
                let Some(told) = self.message.lines().nth(nth) else { break };
                let line = &mut Bounded::new(&mut self.line, MESSAGE_BYTES_MAX);
                let _ = match nth {
                    0 => write!(line, "caapc would deny this: {told}"),
                    _ => line.write_str(told),
                };
                self.push_warning();
            }
        }
        if decision.why == Why::UnknownKind && !decision.rejected {
            let line = &mut Bounded::new(&mut self.line, MESSAGE_BYTES_MAX);
            let _ = unknown_kind(line, request, "were not checked");
            self.push_warning();
        }
        if decision.namespace_assumed {
            let line = &mut Bounded::new(&mut self.line, MESSAGE_BYTES_MAX);
            line.ours("namespace `");
            line.part(NAME_SHOWN, request.namespace);
            line.ours("` is not listed: only its name labels are known");
            self.push_warning();
        }
        for image in decision.images {
            let Some(at) = image.expires else { continue };
            let line = &mut Bounded::new(&mut self.line, MESSAGE_BYTES_MAX);
            line.ours("image ");
            line.part(IMAGE_SHOWN, image.container.image);
            let _ = write!(line, " is allowed by an exception that expires at {at}");
            self.push_warning();
        }
    }

    /// Adds a line as a warning, unless it is there already or no room is left.
    fn push_warning(&mut self) {
        let chars = self.warnings.chars().count() + 1 + self.line.chars().count();
        let known = self.warnings.lines().any(|line| line == self.line);
        if !known && chars <= WARNING_CHARS_MAX && !self.line.is_empty() {
            if !self.warnings.is_empty() {
                self.warnings.push('\n');
            }
            self.warnings.push_str(&self.line);
        }
        self.line.clear();
    }

    fn annotate(&mut self, decision: &Decision<'_>) {
        let images = &mut Bounded::new(&mut self.images, ANNOTATION_BYTES_MAX - MORE_BYTES);
        for (nth, image) in decision.images.iter().take(ANNOTATION_IMAGES_MAX).enumerate() {
            images.ours(if nth == 0 { "" } else { "; " });
            images.part(NAME_SHOWN, image.container.name);
            images.ours(" ");
            images.part(IMAGE_SHOWN, image.container.image);
            match (image.verdict, image.rule) {
                (Verdict::Pass, _) | (_, None) => images.ours(": Allow, no rule matched"),
                (verdict, Some(rule)) => {
                    let rejected = matches!(verdict, Verdict::Reject(_));
                    images.ours(if rejected { ": Reject by " } else { ": Allow by " });
                    let _ = images.write_str(rule.policy);
                    images.ours(" rule ");
                    images.ours(itoa::Buffer::new().format(rule.index));
                }
            }
        }
        let more = decision.images.len().saturating_sub(ANNOTATION_IMAGES_MAX);
        if more > 0 {
            let _ = write!(self.images, "; and {more} more");
        }
    }
}

/// The exact sentence of the contract (spec: webhook, "Answers").
fn reason_of(out: &mut Bounded<'_>, rule: RuleInfo<'_>) -> fmt::Result {
    if rule.broken.is_some() {
        return write!(out, "ContainerAdmissionPolicy {} does not compile", rule.policy);
    }
    out.ours("Action 'Reject' enforced by ContainerPolicy ");
    out.write_str(rule.policy)?;
    out.ours(" rule index ");
    out.ours(itoa::Buffer::new().format(rule.index));
    Ok(())
}

/// One rejected image: container, image, status, last scan and its age, the criterion that
/// matched, the worst vulnerabilities that count. `above` are the verdicts of the lines above.
fn image_line(
    line: &mut Bounded<'_>,
    image: &ImageDecision<'_>,
    above: impl Iterator<Item = Verdict> + Clone,
    now: Timestamp,
) -> fmt::Result {
    line.ours("\n");
    line.ours(image.container.list.word());
    line.ours(" ");
    line.part(NAME_SHOWN, image.container.name);
    line.ours(": image ");
    match image.container.image {
        "" => line.ours("(none)"),
        text => line.part(IMAGE_SHOWN, text),
    }
    scan(line, image, now);
    if let Some(rule) = image.rule {
        let last = above.clone().last();
        if last == Some(image.verdict) {
            // A policy that does not compile has no rules to speak of.
            line.ours(if rule.broken.is_some() { "" } else { "; same rule" });
        } else {
            if last.is_some() {
                line.ours("; ");
                reason_of(line, rule)?;
            }
            // What a rule asks for is told once.
            if above.clone().all(|verdict| verdict != image.verdict) {
                criteria(line, rule);
            }
        }
    }
    if let (Some(known), ScanStatus::Warn | ScanStatus::Fail) = (image.known, image.scan.status) {
        worst(line, known, now);
    }
    Ok(())
}

/// What the rule asks for that rejected an image, as a part of its line.
fn criteria(line: &mut Bounded<'_>, rule: RuleInfo<'_>) {
    if rule.broken.is_some() {
        return;
    }
    if rule.patterns().is_none() && rule.statuses().is_none() && rule.age().is_none() {
        line.ours("; no rule before this one allows it");
    } else {
        line.ours("; rule: ");
        line.part_in_words(CRITERION_SHOWN, format_args!("{rule:#}"));
    }
}

/// Status, last scan and its age; for an image that is not scanned, why and what to do.
fn scan(line: &mut Bounded<'_>, image: &ImageDecision<'_>, now: Timestamp) {
    line.ours(", status ");
    line.ours(image.scan.status.word());
    let (state, advice) = match image.scan.state {
        _ if image.known.is_none() => ("this is not an image reference", ""),
        ScanState::Scanned => ("", ""),
        ScanState::NeverScanned => {
            ("never scanned", ": scan it, then `caapc scan import` the report")
        }
        ScanState::Pending => ("its scan is pending", ": try again when it is done"),
        ScanState::Failed => ("its scan failed", ": scan it again"),
        ScanState::TooLarge => ("its scan result is too large to store", ": scan it again"),
        ScanState::Unsupported => ("its report says nothing of vulnerabilities", ": scan for them"),
        ScanState::Expired => ("its scan result expired", ": scan it again"),
    };
    if !state.is_empty() {
        let advice = if image.scan_helps { advice } else { "" };
        for part in [" (", state, advice, ")"] {
            line.ours(part);
        }
    }
    if let Some(then) = image.scan.last_scan {
        for part in [", last scan ", then.text().as_str(), " ("] {
            line.ours(part);
        }
        Ago { then, now }.each(|part| line.ours(part));
        line.ours(")");
    }
}

fn worst(line: &mut Bounded<'_>, known: ScanEntry<'_>, now: Timestamp) {
    for row in known.worst(now).take(WORST_SHOWN) {
        line.ours("; ");
        line.part(NAME_SHOWN, row.id);
        if let Some(score) = row.score {
            line.ours_in_words(format_args!(" {score}"));
        }
        if let Some(package) = row.package {
            line.ours(" in ");
            line.part(NAME_SHOWN, package);
        }
        line.ours(if row.fixed.is_some() { ", fixed in " } else { ", not fixed yet" });
        line.part(NAME_SHOWN, row.fixed.unwrap_or_default());
    }
}

fn unknown_kind(out: &mut Bounded<'_>, request: &Request<'_>, what: &str) -> fmt::Result {
    out.ours("caapc does not know `");
    out.part(NAME_SHOWN, request.resource);
    if !request.group.is_empty() {
        out.ours(".");
        out.part(NAME_SHOWN, request.group);
    }
    write!(out, "`: its container images {what}")
}
