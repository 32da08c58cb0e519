//! When a scan stops being recent enough, under which rule of which policy.

use caapc_compiler::policy::{Bound, Comparison, Entry};
use caapc_vm::facts::Timestamp;
use caapc_vm::time::before;

/// A rule with `imageLastScan`, and when its answer for a scan changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// `policy rule 0 (gt 3 days)`.
    pub(super) rule: String,
    /// Whether the criterion holds now.
    pub(super) holds: bool,
    /// From when on it does not, or does; `None`: it stays as it is.
    pub(super) at: Option<Timestamp>,
}

/// Every rule of the policies that looks at the last scan.
pub(super) fn turns(entries: &[Entry], scanned: Timestamp, now: Timestamp) -> Vec<Turn> {
    let mut turns = Vec::new();
    for entry in entries {
        let Entry::Policy(policy) = entry else { continue };
        for (index, rule) in policy.rules.iter().enumerate() {
            let Some(age) = &rule.image_last_scan else { continue };
            let word = match age.operator {
                Comparison::Gt => "gt",
                Comparison::Lt => "lt",
            };
            let holds = |bound: Timestamp| match age.operator {
                Comparison::Gt => scanned > bound,
                Comparison::Lt => scanned < bound,
            };
            let (what, is, at) = match age.bound {
                Bound::At(at) => ("a fixed time".to_owned(), holds(at), None),
                Bound::Span(span) => {
                    let holds = |now: Timestamp| holds(before(now, span));
                    (words(span), holds(now), turn(now, holds))
                }
            };
            let rule = format!("{} rule {index} (imageLastScan {word} {what})", policy.name);
            turns.push(Turn { rule, holds: is, at });
        }
    }
    turns
}

fn words(span: caapc_vm::time::Span) -> String {
    let caapc_vm::time::Span { years, months, days } = span;
    let parts = [(years, "year"), (months, "month"), (days, "day")];
    let parts = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }));
    let text = parts.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0 days".to_owned() } else { text }
}

/// The first second from now on at which the answer is another one. Bounds move forward with the
/// time, in steps of whole seconds, so that it can be searched for by halves.
fn turn(now: Timestamp, holds: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
    const FAR_SECS: i64 = 3_000 * 366 * 86_400;
    let present = holds(now);
    let (mut same, mut other) = (0, FAR_SECS);
    if holds(now.plus_secs(other)) == present {
        return None;
    }
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if holds(now.plus_secs(middle)) == present {
            same = middle;
        } else {
            other = middle;
        }
    }
    Some(now.plus_secs(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_goes_stale_to_the_second() {
        let scanned = Timestamp::from_secs(1_000_000);
        let span = caapc_vm::time::Span { years: 0, months: 0, days: 3 };
        let fresh = |now: Timestamp| scanned > before(now, span);
        let at = turn(scanned, fresh).unwrap();
        assert_eq!(at, scanned.plus_secs(3 * 86_400));
        assert!(fresh(at.plus_secs(-1)) && !fresh(at));
        assert_eq!(turn(at, fresh), None);
    }
}
