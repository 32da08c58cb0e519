//! CEL: a program for each rule, asked in list order.
//!
//! The crate compiles a pattern each time that `matches` is called, so a careful host gives it a
//! function that knows patterns compiled beforehand: [`hosted`]. [`stock`] is what policies alone
//! can do.

use std::sync::Arc;

use cel::{Context, Program, Value};
use regex::RegexSet;

use crate::rules::{Rule, SAMPLE_PATTERN, STATUS, quoted, rules};
use crate::{Ask, workload};

/// Paths are tested by a function of the host.
pub fn hosted(policies: usize) -> Ask {
    let sets: Vec<RegexSet> = if policies == 1 {
        vec![RegexSet::new([SAMPLE_PATTERN]).expect("a pattern")]
    } else {
        rules(policies)
            .iter()
            .map(|rule| RegexSet::new(&rule.patterns).expect("five patterns"))
            .collect()
    };
    let mut context = Context::default();
    let function = move |path: Arc<String>, rule: i64| sets[rule as usize].is_match(&path);
    context.add_function("pathMatches", function).expect("a new name");
    engine(policies, context, |nth, _| format!("pathMatches(path, {nth})"))
}

/// Paths are tested by CEL's own function.
pub fn stock(policies: usize) -> Ask {
    engine(policies, Context::default(), |_, patterns| {
        let tests = patterns.iter().map(|pattern| format!("path.matches(r'{pattern}')"));
        format!("({})", tests.collect::<Vec<_>>().join(" || "))
    })
}

fn engine(
    policies: usize,
    context: Context<'static, 'static>,
    path: fn(usize, &[String]) -> String,
) -> Ask {
    let texts: Vec<String> = if policies == 1 {
        vec![
            format!("!{}", path(0, &[SAMPLE_PATTERN.to_owned()])),
            "status in ['Pass', 'Warn']".to_owned(),
            "true".to_owned(),
        ]
    } else {
        let text = |(nth, rule): (usize, &Rule)| {
            let (statuses, after) = (quoted(rule.statuses), rule.after_secs);
            let path = path(nth, &rule.patterns);
            format!("status in [{statuses}] && scanned > {after} && {path}")
        };
        rules(policies).iter().enumerate().map(text).collect()
    };
    let programs: Vec<Program> =
        texts.iter().map(|text| Program::compile(text).expect("CEL")).collect();
    let images = workload::images(policies);
    Box::new(move |image| {
        let mut context = context.new_inner_scope();
        context.add_variable_from_value("path", images[image]);
        context.add_variable_from_value("status", STATUS);
        context.add_variable_from_value("scanned", workload::SCANNED_SECS);
        let holds = |program: &Program| program.execute(&context) == Ok(Value::Bool(true));
        programs.iter().position(holds)
    })
}
