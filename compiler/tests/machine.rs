//! Compiler and machine against the oracle, on random policies, workloads and clocks.
//!
//! `CAAPC_SETS=N cargo test -p caapc-compiler --test machine` runs N policy sets (default 1,000),
//! `CAAPC_SEED=S` starts at another seed. A failure names its seed: add it to `KEPT`.
#![allow(missing_docs)]

mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use caapc_compiler::link::Linker;
use caapc_compiler::oracle::{Oracle, Outcome};
use caapc_compiler::policy::{Broken, Entry, Membership, Policy};
use caapc_compiler::set::{InForce, OnInvalid, Set};
use caapc_compiler::{assemble, compile};
use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::listing::{Options, listing};
use caapc_vm::program::{Action, Program};
use caapc_vm::run::{self, Scratch, Verdict};

use random::{Request, Rng};

/// Seeds that failed once.
const KEPT: &[u64] = &[3];

const REQUESTS: usize = 100;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_machine_decides_as_the_oracle_does() {
    let (sets, first) = (number("CAAPC_SETS", 1_000), number("CAAPC_SEED", 1));
    let mut linker = Linker::new();
    let mut decided = 0;
    for seed in KEPT.iter().copied().chain(first..first + sets) {
        decided += check_set(seed, &mut linker);
    }
    // A generator whose policies never matched would prove nothing.
    assert!(decided > sets as usize * REQUESTS / 5, "only {decided} images were decided by a rule");
}

fn check_set(seed: u64, linker: &mut Linker) -> usize {
    let mut rng = Rng::new(seed);
    let entries = random::entries(&mut rng);
    let program = link(linker, &entries);
    let oracle = Oracle::new(&entries).expect("the slow matcher takes every pattern");
    let (mut scratch, mut walked) = (Scratch::new(), Scratch::new());
    let mut decided = 0;
    for nth in 0..REQUESTS {
        let request = random::request(&mut rng, &entries);
        decided += check_request(seed, nth, &program, &oracle, &request, &mut scratch, &mut walked);
    }
    decided
}

fn link(linker: &mut Linker, entries: &[Entry]) -> Program {
    let units: Vec<_> = entries.iter().map(|entry| Arc::new(compile(entry))).collect();
    linker.link(&units).expect("links")
}

fn check_request(
    seed: u64,
    nth: usize,
    program: &Program,
    oracle: &Oracle<'_>,
    request: &Request,
    scratch: &mut Scratch,
    walked: &mut Scratch,
) -> usize {
    let facts = request.facts();
    run::select(program, scratch, &facts);
    let mut decided = 0;
    for image in &request.images {
        let image = image.facts();
        let verdict = run::run(program, scratch, &image);
        let steps = run::run_seen(program, scratch, &image, &mut |_, _, _| {});
        let walk = run::walk(program, walked, &facts, &image, &mut |_| {});
        let expected = oracle.decide(&facts, &image);
        let place = || {
            format!(
                "seed {seed} request {nth}: {request:#?}\n{}",
                listing(program, &Options::default())
            )
        };
        assert_eq!(named(program, verdict), expected, "machine, {}", place());
        assert_eq!(named(program, steps), expected, "machine step by step, {}", place());
        assert_eq!(named(program, walk), expected, "walk, {}", place());
        decided += usize::from(verdict != Verdict::Pass);
    }
    decided
}

fn named(program: &Program, verdict: Verdict) -> Outcome<'_> {
    let action = match verdict {
        Verdict::Pass => return Outcome::Pass,
        Verdict::Allow(_) => Action::Allow,
        Verdict::Reject(_) => Action::Reject,
    };
    let info = verdict.rule().and_then(|rule| program.rule(rule)).expect("a verdict names a rule");
    assert_eq!(info.action, action);
    Outcome::Decided { policy: info.policy, rule: info.index, action }
}

/// The rows over many policies against each selector alone; labels come back, so that what was
/// kept from the request before is used as well.
#[test]
fn crowds_of_policies_select_as_each_selector_does() {
    let mut rng = Rng::new(7);
    for count in [10, 70, 700, 3_000] {
        let entries = random::crowd(&mut rng, count);
        let policies: Vec<&Policy> = entries
            .iter()
            .filter_map(|entry| if let Entry::Policy(policy) = entry { Some(policy) } else { None })
            .collect();
        let program = link(&mut Linker::new(), &entries);
        let mut scratch = Scratch::new();
        let mut applied = 0;
        let mut requests: Vec<[Vec<(String, String)>; 2]> = (0..60)
            .map(|_| {
                let own = random::crowd_labels(&mut rng, count);
                [own, random::crowd_labels(&mut rng, count)]
            })
            .collect();
        // Values that no selector mentions, but into which some look.
        requests.extend((0..10).map(|digit| {
            let labels = [("app", format!("v{digit}-unheard-of")), ("tier", "x".to_owned())];
            [labels.map(|(key, value)| (key.to_owned(), value)).to_vec(), Vec::new()]
        }));
        for nth in (0..requests.len()).flat_map(|nth| [nth, nth, nth + 1, nth / 2]) {
            let nth = nth % requests.len();
            let [own, namespace] = requests[nth].each_ref().map(|labels| random::borrowed(labels));
            let facts = RequestFacts {
                labels: &own,
                namespace_labels: &namespace,
                now: Timestamp::from_secs(0),
                skew_secs: 0,
            };
            run::select(&program, &mut scratch, &facts);
            let applies = |policy: &Policy| {
                policy.selector.matches(&own) && policy.namespace_selector.matches(&namespace)
            };
            let expected: Vec<usize> =
                (0..count).filter(|&policy| applies(policies[policy])).collect();
            assert_eq!(scratch.applied(), expected.len(), "{count} policies, {facts:?}");
            applied += expected.len();
            for status in ScanStatus::ALL {
                let image = ImageFacts { path: "x", canonical: None, status, last_scan: None };
                let verdict = run::run(&program, &mut scratch, &image);
                let first = expected.iter().find(|&&policy| policy % 4 == status as usize);
                assert_eq!(
                    verdict.rule().map(|rule| rule.0 as usize),
                    first.copied(),
                    "{count} policies, {status:?}, {facts:?}"
                );
            }
        }
        assert!(applied > count, "only {applied} policies applied");
    }
}

/// What a linker remembers of earlier sets never shows: policies whose patterns stay, come in
/// another order or go.
#[test]
fn the_program_does_not_depend_on_what_was_linked_before() {
    let mut used = Linker::new();
    for seed in 1..100 {
        let mut entries = random::entries(&mut Rng::new(seed));
        let mut same = |entries: &[Entry]| {
            let fresh = link(&mut Linker::new(), entries).encode();
            assert!(link(&mut used, entries).encode() == fresh, "seed {seed}");
        };
        same(&entries);
        for entry in &mut entries {
            let Entry::Policy(policy) = entry else { continue };
            for rule in &mut policy.rules {
                rule.action = Action::Allow;
                rule.image_last_scan = None;
            }
        }
        same(&entries);
        for (nth, entry) in entries.iter_mut().enumerate() {
            let Entry::Policy(policy) = entry else { continue };
            policy.order = Some(-(nth as f64));
        }
        same(&entries);
        entries.pop();
        same(&entries);
    }
}

/// One scratch for two programs in turn, with walks in between: nothing of the other program, of the
/// labels, the clock or the images before is left. Requests come back with other clocks.
#[test]
fn one_scratch_serves_programs_in_turn() {
    let mut rng = Rng::new(7);
    let mut scratch = Scratch::new();
    for seed in 0..60 {
        let sets = [random::entries(&mut rng), random::entries(&mut rng)];
        let programs = sets.each_ref().map(|entries| link(&mut Linker::new(), entries));
        let oracles = sets.each_ref().map(|entries| Oracle::new(entries).expect("plain patterns"));
        let mut requests: Vec<Request> =
            (0..12).map(|nth| random::request(&mut rng, &sets[nth % 2])).collect();
        for nth in 0..60 {
            let at = rng.below(requests.len());
            let request = &mut requests[at];
            // Five seconds around a midnight at which months are uneven.
            request.now = Timestamp::from_secs(1_709_251_195 + rng.below(10) as i64);
            let (which, mut walked) = (rng.below(8) / 7, Scratch::new());
            let (program, oracle) = (&programs[which], &oracles[which]);
            check_request(seed, nth, program, oracle, request, &mut scratch, &mut walked);
            if rng.below(4) == 0 {
                let (facts, image) = (request.facts(), request.images[0].facts());
                run::walk(&programs[1 - which], &mut scratch, &facts, &image, &mut |_| {});
            }
        }
    }
}

/// Policies that come, go, break, take over one another's rules and turn around: the program is as
/// if all were linked for the first time.
#[test]
fn a_set_links_what_a_fresh_linker_would() {
    let mut rng = Rng::new(11);
    let stock: Vec<Entry> = (0..8).flat_map(|_| random::entries(&mut rng)).take(60).collect();
    let mut set = Set::new(OnInvalid::Deny);
    let mut good: BTreeMap<String, Entry> = BTreeMap::new();
    for step in 0..1_500 {
        let name = format!("policy-{}", rng.below(8));
        let others = good.values().nth(rng.below(good.len() + 1));
        let source = others.filter(|_| rng.below(2) == 0).unwrap_or(&stock[rng.below(stock.len())]);
        match (rng.below(8), source.clone()) {
            (0, _) => {
                set.remove(&name);
                good.remove(&name);
            }
            (turn, Entry::Policy(mut policy)) => {
                policy.name.clone_from(&name);
                match turn {
                    1 => policy.order = Some(rng.below(4) as f64),
                    2 => policy.rules.reverse(),
                    3 => policy.rules.truncate(1),
                    4 => policy.rules.iter_mut().for_each(|rule| {
                        let Some(path) = &mut rule.image_path else { return };
                        path.operator = match path.operator {
                            Membership::IsOneOf => Membership::IsNoneOf,
                            Membership::IsNoneOf => Membership::IsOneOf,
                        };
                    }),
                    _ => {}
                }
                let entry = Entry::Policy(policy);
                assert_eq!(set.apply(&entry), InForce::This);
                good.insert(name, entry);
            }
            (_, Entry::Broken(broken)) => {
                let broken = Entry::Broken(Broken { name: name.clone(), ..broken });
                let in_force = set.apply(&broken);
                let is_first = matches!(good.get(&name), None | Some(Entry::Broken(_)));
                assert_eq!(in_force, if is_first { InForce::None } else { InForce::Last });
                if is_first {
                    good.insert(name, broken);
                }
            }
        }
        let entries: Vec<Entry> = good.values().cloned().collect();
        let fresh = link(&mut Linker::new(), &entries).encode();
        assert!(set.link().expect("links").encode() == fresh, "step {step}");
    }
}

#[test]
fn programs_come_back_from_their_bytes_and_their_listing() {
    let mut linker = Linker::new();
    for seed in 1..200 {
        let entries = random::entries(&mut Rng::new(seed));
        let program = link(&mut linker, &entries);
        let bytes = program.encode();
        let decoded = Program::decode(&bytes).expect("own bytes decode");
        assert_eq!(decoded.encode(), bytes, "seed {seed}");
        let text = listing(&program, &Options::default());
        let assembled =
            assemble(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(listing(&assembled, &Options::default()), text, "seed {seed}");
        assert_eq!(assembled.encode(), bytes, "seed {seed}\n{text}");
    }
}

#[test]
fn damaged_programs_are_refused_or_run_without_a_panic() {
    let mut rng = Rng::new(7);
    let entries = random::entries(&mut Rng::new(11));
    let bytes = link(&mut Linker::new(), &entries).encode();
    let request = random::request(&mut rng, &entries);
    let facts = request.facts();
    let mut accepted = 0;
    for _ in 0..4_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=rng.below(3) {
            let at = 16 + rng.below(damaged.len() - 16);
            damaged[at] = rng.below(256) as u8;
        }
        if rng.below(10) == 0 {
            damaged.truncate(rng.below(damaged.len()));
        }
        random::repair_checksum(&mut damaged);
        let Ok(program) = Program::decode(&damaged) else { continue };
        accepted += 1;
        let mut scratch = Scratch::new();
        run::select(&program, &mut scratch, &facts);
        for image in &request.images {
            let image = image.facts();
            run::run(&program, &mut scratch, &image);
            run::walk(&program, &mut scratch, &facts, &image, &mut |_| {});
        }
        listing(&program, &Options::default());
    }
    assert!(accepted > 0, "damage in texts does no harm");
}
