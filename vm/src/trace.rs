//! A verdict explained: each instruction taken, and on what value.
//!
//! For people; it allocates and has no place on the request road. Start at [`trace`].

use std::fmt::Write as _;

use crate::facts::{ImageFacts, RequestFacts};
use crate::isa::{Class, Kind, Op};
use crate::listing::instruction;
use crate::program::Program;
use crate::run::{self, Event, Scratch, Step, Verdict};

/// Runs one image both ways, `linked` and policy by policy, and tells each step. The verdict of
/// both is the same; should it ever differ, the text says so and the linked one counts.
pub fn trace(
    program: &Program,
    scratch: &mut Scratch,
    request: &RequestFacts<'_>,
    image: &ImageFacts<'_>,
) -> (Verdict, String) {
    let mut out = String::new();
    let _ = writeln!(out, "image {:?}   {}", image.path, facts(request, image));
    if let Some(canonical) = image.canonical {
        let _ = writeln!(out, "canonical {canonical:?}");
    }
    let walked = run::walk(program, scratch, request, image, &mut |event| match event {
        Event::Policy(policy) => {
            let _ = writeln!(out, "  policy {:?}", program.policy_name(policy));
        }
        Event::Step(step) => write_step(program, request, image, step, &mut out),
    });
    out.push_str("  linked\n");
    run::select(program, scratch, request);
    let mut steps = 0;
    let verdict = run::run_seen(program, scratch, image, &mut |pc, holds, left| {
        steps += 1;
        let answer = holds.map_or("", |holds| if holds { "yes" } else { "no" });
        let _ =
            writeln!(out, "    {pc:04}  {:<44} {answer:<4} {left} left", instruction(program, pc));
    });
    if steps == 0 {
        out.push_str("    no policy applies\n");
    }
    let _ = writeln!(out, "verdict {}", describe(program, verdict));
    if walked != verdict {
        let _ =
            writeln!(out, "FAULT OF CAAPC: policy by policy it is {}", describe(program, walked));
    }
    (verdict, out)
}

fn facts(request: &RequestFacts<'_>, image: &ImageFacts<'_>) -> String {
    let scan = match image.last_scan {
        None => "never scanned".to_owned(),
        Some(time) => format!("scanned {time}"),
    };
    format!("scan status {}, {scan}, now {}", image.status.word(), request.now)
}

/// A verdict in words: `reject  policy "a" rules[0]  imagePath IsNoneOf "x"`.
pub fn describe(program: &Program, verdict: Verdict) -> String {
    let word = match verdict {
        Verdict::Pass => return "pass  no rule matched".to_owned(),
        Verdict::Allow(_) => "allow",
        Verdict::Reject(_) => "reject",
    };
    match verdict.rule().and_then(|rule| program.rule(rule)) {
        None => word.to_owned(),
        Some(info) => match info.broken {
            Some(fault) => format!("{word}  policy {:?} does not compile: {fault:?}", info.policy),
            None => format!("{word}  policy {:?} rules[{}]  {info}", info.policy, info.index),
        },
    }
}

fn write_step(
    program: &Program,
    request: &RequestFacts<'_>,
    image: &ImageFacts<'_>,
    step: Step,
    out: &mut String,
) {
    let Step { pc, holds, next } = step;
    let line = instruction(program, pc);
    match (holds, next) {
        (Some(holds), Some(next)) => {
            let answer = if holds { "yes" } else { "no" };
            let value = value(program, request, image, pc);
            let _ = writeln!(out, "    {pc:04}  {line:<44} {answer:<4} -> {next:04}   {value}");
        }
        _ => {
            let _ = writeln!(out, "    {pc:04}  {line}");
        }
    }
}

/// The value that a test looked at.
fn value(program: &Program, request: &RequestFacts<'_>, image: &ImageFacts<'_>, pc: u32) -> String {
    let Some(inst) = program.draft().code.get(pc as usize) else { return String::new() };
    let row = inst.op.row();
    match (row.class, row.a) {
        (Class::SelectTest, Kind::Label) => {
            let labels =
                if inst.op < Op::NsLabelHas { request.labels } else { request.namespace_labels };
            let key = program.draft().labels.at(inst.a);
            match labels.iter().find(|(name, _)| *name == key) {
                Some((_, value)) => format!("{value:?}"),
                None => "missing".to_owned(),
            }
        }
        (_, Kind::Path) => format!("{:?}", image.path),
        (_, Kind::Mask) => image.status.word().to_owned(),
        _ => image.last_scan.map_or_else(|| "never".to_owned(), |time| time.to_string()),
    }
}
