//! Does the API server trust what the controller serves, and for how long?

use super::facts::Hook;
use super::{Facts, Finding, Severity};
use crate::install::certs::{self, Problem};
use crate::install::{names, rotate};

pub(super) fn bundle(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &facts.hooks {
        match bundle_text(one) {
            None if one.injected => {}
            None if !facts.is_live => {}
            None => found.push(Finding::new(
                "ca-missing",
                Severity::Error,
                &one.title,
                "no caBundle: the API server trusts no authority that could have signed the certificate",
                "wait for the leader to fill it (see its log), or run `caapc certs renew`",
            )),
            Some(text) => match certs::bundle_problems(&text, facts.now_secs) {
                Ok(problems) => found.extend(problems.iter().map(|p| finding(p, &one.title))),
                Err(error) => found.push(Finding::new(
                    "ca-unreadable",
                    Severity::Error,
                    &one.title,
                    format!("caBundle: {error}"),
                    "put the PEM of the authority there",
                )),
            },
        }
    }
    found
}

pub(super) fn serving(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &facts.hooks {
        let Some(name) = rotate::called_name(&one.hook.client_config) else {
            continue;
        };
        let title = format!("Secret {}/{}", one.own_namespace, names::SECRET);
        let Some(secret) = &facts.secret else {
            continue;
        };
        let Some(pair) = secret else {
            if one.hook.client_config.service.is_some() && facts.is_live {
                found.push(Finding::new(
                    "certificate-missing",
                    Severity::Error,
                    title,
                    "there is no serving certificate",
                    "caapc install --apply, with the flags it was installed with, makes it again; for one of your own see `caapc certs make`",
                ));
            }
            continue;
        };
        let bundle = bundle_text(one).filter(|text| certs::read(text).is_ok());
        match certs::problems(pair, bundle.as_deref(), &name, facts.now_secs) {
            Ok(problems) => found.extend(problems.iter().map(|p| finding(p, &title))),
            Err(error) => found.push(Finding::new(
                "certificate-unreadable",
                Severity::Error,
                title,
                error.to_string(),
                "caapc certs check says what it should look like",
            )),
        }
    }
    found
}

fn bundle_text(one: &Hook) -> Option<String> {
    let bytes = &one.hook.client_config.ca_bundle.as_ref()?.0;
    let text = String::from_utf8_lossy(bytes);
    (!text.trim().is_empty()).then(|| text.into_owned())
}

fn finding(problem: &Problem, title: &str) -> Finding {
    let severity = if problem.only_a_warning { Severity::Warning } else { Severity::Error };
    Finding::new(problem.code, severity, title, problem.message.clone(), problem.fix.clone())
}
