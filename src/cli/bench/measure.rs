//! What is measured: the compiler, the machine alone, the whole handler.
//!
//! [`survey`] decides each object once and keeps those that the policies are asked about; the
//! others would be measured as fast as doing nothing is.

use std::hint::black_box;
use std::time::{Duration, Instant};

use caapc_vm::facts::ScanStatus;
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch};

use super::samples::Samples;
use crate::admission::decide::Why;
use crate::cli::io::Failure;
use crate::cli::offline::objects::Item;
use crate::cli::offline::report::not_evaluated;
use crate::cli::offline::{Court, Warnings};
use crate::cli::policies::{self, Loaded};

/// What the objects are.
#[derive(Default)]
pub(super) struct Survey {
    /// Those that are measured.
    pub(super) items: Vec<Item>,
    /// How many of them are rejected.
    pub(super) rejected: usize,
    /// How many of them a rule applies to.
    pub(super) with_rules: usize,
    /// Their images, and how many of those were scanned.
    pub(super) images: usize,
    pub(super) scanned: usize,
    /// The others, each with why it is not measured.
    pub(super) others: Vec<(Item, String)>,
}

/// Decides each object once. Warnings go to standard error.
///
/// # Errors
/// [`Failure::Input`] if an object is an AdmissionReview that cannot be read.
pub(super) fn survey(court: &mut Court, items: Vec<Item>) -> Result<Survey, Failure> {
    let mut survey = Survey::default();
    let mut warnings = Warnings::default();
    let mut scratch = Scratch::new();
    for item in items {
        let why_not = court.decide(&item, |snapshot, answer| {
            let Some((_, decision)) = &answer.decided else { return Ok(None) };
            let (Some(facts), false) = (&decision.facts, decision.images.is_empty()) else {
                let why = match &decision.why {
                    Why::Fault(fault) => fault.to_string(),
                    why => not_evaluated(why).unwrap_or("it has no image").to_owned(),
                };
                return Ok(Some(why));
            };
            warnings.tell(answer);
            run::select(snapshot.policies.program(), &mut scratch, facts);
            survey.with_rules += usize::from(scratch.applied() > 0);
            survey.rejected += usize::from(decision.rejected);
            survey.images += decision.images.len();
            let scanned = |status| status != ScanStatus::Unknown;
            survey.scanned +=
                decision.images.iter().filter(|image| scanned(image.scan.status)).count();
            Ok(None)
        })?;
        match why_not {
            None => survey.items.push(item),
            Some(why) => survey.others.push((item, why)),
        }
    }
    Ok(survey)
}

/// From text to program, all policies together; a program that was read back is verified again.
///
/// # Errors
/// None that loading the same policies did not have.
pub(super) fn compile(loaded: &Loaded, budget: Duration) -> Result<Samples, Failure> {
    const RUNS: std::ops::RangeInclusive<usize> = 3..=1_000;
    let bytes = loaded.program.encode();
    let mut samples = Samples::default();
    let start = Instant::now();
    while samples.count() < *RUNS.start()
        || (samples.count() < *RUNS.end() && start.elapsed() < budget)
    {
        let sources = loaded.policies.as_ref().map(|policies| policies.sources.clone());
        let begun = Instant::now();
        match sources {
            Some(sources) => drop(black_box(policies::compile_all(sources)?)),
            None => drop(black_box(Program::decode(&bytes))),
        }
        samples.push(begun.elapsed().as_nanos() as f64);
    }
    Ok(samples)
}

/// The machine alone: selection for each object, and the verdict of each of its images.
///
/// # Errors
/// None that [`survey`] did not have.
pub(super) fn machine(
    court: &mut Court,
    items: &[Item],
    budget: Duration,
) -> Result<(Samples, Samples), Failure> {
    let (mut select, mut verdict) = (Samples::default(), Samples::default());
    let mut scratch = Scratch::new();
    let each = budget / items.len().max(1) as u32;
    for item in items {
        court.decide(item, |snapshot, answer| {
            let program = snapshot.policies.program();
            let Some((_, decision)) = &answer.decided else { return Ok(()) };
            let Some(facts) = &decision.facts else { return Ok(()) };
            select.take(each, || run::select(program, &mut scratch, black_box(facts)));
            let images = decision.images.len().max(1) as u32;
            for image in decision.images {
                verdict.take(each / images, || {
                    black_box(run::run(program, &mut scratch, black_box(&image.facts)));
                });
            }
            Ok(())
        })?;
    }
    Ok((select, verdict))
}

/// From body to answer; also the place of the slowest object, and its median.
///
/// # Errors
/// None that [`survey`] did not have.
pub(super) fn handler(
    court: &mut Court,
    items: &[Item],
    budget: Duration,
) -> Result<(Samples, (usize, f64)), Failure> {
    let mut all = Samples::default();
    let mut slowest = (0, 0.0);
    let each = budget / items.len().max(1) as u32;
    for (place, item) in items.iter().enumerate() {
        let mut samples = Samples::default();
        samples.take(each, || {
            let _ = black_box(court.decide(item, |_, _| Ok(())));
        });
        let [_, median, ..] = samples.quantiles();
        if median > slowest.1 {
            slowest = (place, median);
        }
        all.append(samples);
    }
    Ok((all, slowest))
}

/// How often a request allocates once everything has its size.
///
/// # Errors
/// None that [`survey`] did not have.
pub(super) fn allocations(
    court: &mut Court,
    items: &[Item],
    count: fn() -> u64,
) -> Result<f64, Failure> {
    const ROUNDS: usize = 20;
    let mut round = || items.iter().try_for_each(|item| court.decide(item, |_, _| Ok(())));
    round()?;
    let before = count();
    (0..ROUNDS).try_for_each(|_| round())?;
    Ok((count() - before) as f64 / (ROUNDS * items.len().max(1)) as f64)
}
