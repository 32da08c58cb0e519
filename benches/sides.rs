//! The two sides that every benchmark of the machine has: a workload compiled to a program, and
//! one `RegexSet` for each rule asked in list order. Both check their verdicts when they are made.
//! Included with `#[path]`, next to `workload`.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::hint::black_box;

use caapc_compiler::check::{Limits, read};
use caapc_compiler::set::{OnInvalid, Set};
use caapc_vm::facts::{ImageFacts, ScanStatus, Timestamp};
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch, Verdict};
use regex::{Regex, RegexSet};

use crate::workload::{self, Labels, image, images, request};

/// A set with these policies.
pub fn set(texts: &[String]) -> Set {
    let mut set = Set::new(OnInvalid::Deny);
    texts.iter().for_each(|text| add(&mut set, text));
    set
}

/// Adds the policies of a text, or their new versions.
pub fn add(set: &mut Set, text: &str) {
    for entry in read("workload", text, &Limits::default()).entries {
        set.apply(&entry);
    }
}

/// A workload, compiled, with scratch that is ready.
pub struct Machine {
    pub policies: usize,
    pub program: Program,
    scratch: Scratch,
    images: &'static [&'static str],
}

impl Machine {
    pub fn new(policies: usize) -> Self {
        let program = set(&workload::texts(policies)).link().expect("the workload fits");
        let mut machine =
            Self { policies, program, scratch: Scratch::new(), images: images(policies) };
        for labels in [workload::fresh_labels(), workload::shuffled_labels()].into_iter().flatten()
        {
            machine.check(&labels);
        }
        machine.check(&workload::LABELS);
        machine
    }

    /// The last rule of the last policy decides, and as many policies apply as should.
    fn check(&mut self, labels: &[(&str, &str)]) {
        self.select(labels);
        let applying =
            (0..self.policies).filter(|&nth| workload::applies(nth, self.policies)).count();
        let (rules, decides) =
            if self.policies == 1 { (3, 1) } else { (applying * 10, self.policies * 10 - 1) };
        assert_eq!(self.scratch.applied(), rules, "{labels:?}");
        for path in self.images {
            let verdict = run::run(&self.program, &mut self.scratch, &image(path));
            assert_eq!(matches!(verdict, Verdict::Allow(_)), self.policies == 1);
            let rule = verdict.rule().and_then(|rule| self.program.rule(rule));
            let rule = rule.expect("a rule decides");
            assert_eq!(rule.index as usize, decides % 10, "{path}");
            if self.policies > 1 {
                assert_eq!(rule.policy, format!("policy-{:05}", self.policies - 1));
            }
        }
    }

    pub fn select(&mut self, labels: &[(&str, &str)]) {
        run::select(&self.program, &mut self.scratch, black_box(&request(labels)));
    }

    /// The number of the rule that decides an image of the request that was selected for last.
    pub fn decide(&mut self, path: &str) -> Option<usize> {
        let verdict = run::run(&self.program, &mut self.scratch, black_box(&image(path)));
        verdict.rule().map(|rule| rule.0 as usize)
    }

    /// The verdict of each image of the request that was selected for last.
    pub fn verdicts(&mut self) {
        for path in self.images {
            black_box(run::run(&self.program, &mut self.scratch, black_box(&image(path))));
        }
    }

    pub fn request(&mut self, labels: &[(&str, &str)]) {
        self.select(labels);
        self.verdicts();
    }
}

/// Label sets, one after the other and again from the first.
pub struct Turns {
    sets: Vec<Labels>,
    next: usize,
}

impl Turns {
    /// One set again and again, as a controller sends its pods.
    pub fn same() -> Self {
        Self { sets: vec![workload::LABELS.to_vec()], next: 0 }
    }

    pub fn fresh() -> Self {
        Self { sets: workload::fresh_labels(), next: 0 }
    }

    pub fn shuffled() -> Self {
        Self { sets: workload::shuffled_labels(), next: 0 }
    }

    pub fn turn(&mut self) -> &[(&'static str, &'static str)] {
        self.next = (self.next + 1) % self.sets.len();
        &self.sets[self.next]
    }
}

/// What a careful engineer writes by hand: a `RegexSet` for each rule, asked in list order.
/// Selectors are left out: this side is timed as if they were free.
pub enum ByHand {
    Sample(Regex),
    Rules(Vec<(RegexSet, bool, i64)>),
}

impl ByHand {
    pub fn new(policies: usize) -> Self {
        let by_hand = if policies == 1 {
            let pattern = "^gcr.io/company/production-repository/.*";
            Self::Sample(Regex::new(pattern).expect("a pattern"))
        } else {
            let rules = policies * 10;
            let rule = |rule| {
                let set = RegexSet::new(workload::patterns(rule, rules)).expect("five patterns");
                let bound = workload::NOW_SECS - i64::from(workload::days(rule, rules)) * 86_400;
                (set, workload::wants_status(rule, rules, "Warn"), bound)
            };
            Self::Rules((0..rules).map(rule).collect())
        };
        let decides = if policies == 1 { 1 } else { policies * 10 - 1 };
        for path in images(policies) {
            assert_eq!(by_hand.decide(&image(path)), Some(decides));
        }
        by_hand
    }

    /// The rule that decides.
    pub fn decide(&self, image: &ImageFacts<'_>) -> Option<usize> {
        match self {
            Self::Sample(company) if !company.is_match(image.path) => Some(0),
            Self::Sample(_) if matches!(image.status, ScanStatus::Pass | ScanStatus::Warn) => {
                Some(1)
            }
            Self::Sample(_) => Some(2),
            Self::Rules(rules) => rules.iter().position(|(set, status, bound)| {
                set.is_match(image.path)
                    && *status
                    && image.last_scan.is_some_and(|at| at > Timestamp::from_secs(*bound))
            }),
        }
    }

    /// The same rule, found with the tests of numbers before those of the path.
    pub fn decide_cheap_first(&self, image: &ImageFacts<'_>) -> Option<usize> {
        let Self::Rules(rules) = self else { return self.decide(image) };
        rules.iter().position(|(set, status, bound)| {
            *status
                && image.last_scan.is_some_and(|at| at > Timestamp::from_secs(*bound))
                && set.is_match(image.path)
        })
    }

    pub fn verdicts(&self) {
        for path in images(if matches!(self, Self::Sample(_)) { 1 } else { 10 }) {
            black_box(self.decide(black_box(&image(path))));
        }
    }
}
