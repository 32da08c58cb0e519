//! Cedar: each rule a `forbid`, all of them asked at once.
//!
//! Cedar has no regular expressions. `like` has only `*`, so classes and counts become `*`: a
//! weaker test and a cheaper one, which is in Cedar's favour. Alternatives become several `like`s.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression,
};

use crate::rules::{STATUS, quoted, rules};
use crate::{Ask, workload};

pub fn engine(policies: usize) -> Ask {
    let mut set = PolicySet::new();
    let mut add = |id: &str, text: String| {
        let policy = Policy::parse(Some(PolicyId::new(id)), text).expect("Cedar");
        set.add(policy).expect("a new name");
    };
    if policies == 1 {
        let path = r#"context.path like "gcr.io/company/production-repository/*""#;
        add("0", format!("forbid(principal, action, resource) unless {{ {path} }};"));
        let status = r#"["Pass", "Warn"].contains(context.status)"#;
        add("1", format!("permit(principal, action, resource) when {{ {status} }};"));
    } else {
        add("allow", "permit(principal, action, resource);".to_owned());
        for (nth, rule) in rules(policies).iter().enumerate() {
            let likes = rule.patterns.iter().flat_map(|pattern| likes(pattern));
            let likes = likes.map(|like| format!("context.path like \"{like}\""));
            add(
                &nth.to_string(),
                format!(
                    "forbid(principal, action, resource) when {{ [{}].contains(context.status) \
                     && context.scanned > {} && ({}) }};",
                    quoted(rule.statuses),
                    rule.after_secs,
                    likes.collect::<Vec<_>>().join(" || "),
                ),
            );
        }
    }
    let (authorizer, entities) = (Authorizer::new(), Entities::empty());
    let requests: Vec<Request> =
        workload::images(policies).iter().map(|path| request(path)).collect();
    Box::new(move |image| {
        let response = authorizer.is_authorized(&requests[image], &set, &entities);
        let allowed = response.decision() == Decision::Allow;
        let reason = response.diagnostics().reason().next()?;
        assert_eq!(allowed, policies == 1);
        let id: &str = reason.as_ref();
        id.parse().ok()
    })
}

fn request(path: &str) -> Request {
    let name = |text: &str| text.parse().expect("a name");
    let context = Context::from_pairs([
        ("path".to_owned(), RestrictedExpression::new_string(path.to_owned())),
        ("status".to_owned(), RestrictedExpression::new_string(STATUS.to_owned())),
        ("scanned".to_owned(), RestrictedExpression::new_long(workload::SCANNED_SECS)),
    ]);
    let (who, what, on) = (name("User::\"u\""), name("Action::\"create\""), name("Pod::\"p\""));
    Request::new(who, what, on, context.expect("three values"), None).expect("a request")
}

/// A pattern of the workload in terms of `*`.
fn likes(pattern: &str) -> Vec<String> {
    let anchored = pattern.starts_with('^');
    let text = pattern.trim_start_matches('^').replace(r"\.", ".");
    let text = text.replace("[a-z0-9-]+", "*").replace("[0-9]+", "*").replace(".*", "*");
    // `(:*)?` of the registry's port, then the alternatives, of which there is one group.
    let texts = match text.split_once("(:*)?") {
        Some((before, after)) => vec![format!("{before}{after}"), format!("{before}:*{after}")],
        None => match text
            .split_once('(')
            .and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
        {
            Some((before, (words, after))) => {
                words.split('|').map(|word| format!("{before}{word}{after}")).collect()
            }
            None => vec![text],
        },
    };
    let whole = |text: String| {
        let start = if anchored { "" } else { "*" };
        match text.strip_suffix('$') {
            Some(text) => format!("{start}{text}"),
            None => format!("{start}{}*", text.trim_end_matches('*')),
        }
    };
    texts.into_iter().map(whole).collect()
}
