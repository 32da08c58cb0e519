//! The life of certificates, by the clock alone.

use super::super::certs::{self, Life, Pair};
use super::state::{Change, State, advance, only};
use k8s_openapi::ByteString;
use std::collections::BTreeMap;

const NOW: i64 = 1_900_000_000;
const DAY: i64 = certs::DAY_SECS;

fn names() -> Vec<String> {
    vec!["a.ns.svc".to_owned()]
}

fn step(state: &State, published: bool, now: i64) -> (State, Vec<Change>) {
    advance(Some(state), &names(), published, now, &Life::default()).unwrap()
}

fn begin() -> State {
    advance(None, &names(), true, NOW, &Life::default()).unwrap().0
}

/// What a client that trusts `bundle` sees.
fn trusted(state: &State, bundle: &str, now: i64) -> bool {
    certs::problems(&state.leaf, Some(bundle), "a.ns.svc", now)
        .unwrap()
        .iter()
        .all(|problem| problem.only_a_warning)
}

#[test]
fn nothing_happens_while_nothing_is_due() {
    let state = begin();
    for days in [0, 1, 30, 59] {
        assert_eq!(step(&state, true, NOW + days * DAY), (state.clone(), vec![]), "{days}");
    }
}

#[test]
fn the_leaf_is_renewed_before_it_ends() {
    let state = begin();
    let (next, changes) = step(&state, true, NOW + 61 * DAY);
    assert_eq!(changes, [Change::Leaf]);
    assert_eq!(next.authorities, state.authorities);
    assert!(trusted(&next, &state.bundle(), NOW + 61 * DAY));
}

#[test]
fn broken_states_start_afresh() {
    let state = begin();
    let other = begin();
    let mixed = State { ca_key: other.ca_key.clone(), ..state.clone() };
    assert_eq!(step(&mixed, true, NOW).1, [Change::Authority, Change::Leaf]);
    let garbage = State { authorities: vec!["x".to_owned()], ..state.clone() };
    assert_eq!(step(&garbage, true, NOW).1, [Change::Authority, Change::Leaf]);
    let swapped = State { leaf: Pair { key: other.leaf.key, ..state.leaf.clone() }, ..state };
    assert_eq!(step(&swapped, true, NOW).1, [Change::Leaf]);
}

#[test]
fn a_new_name_is_certified_at_once() {
    let both = vec!["a.ns.svc".to_owned(), "127.0.0.1".to_owned()];
    let (next, changes) = advance(Some(&begin()), &both, true, NOW, &Life::default()).unwrap();
    assert_eq!(changes, [Change::Leaf]);
    assert!(certs::covers(&only(&next.leaf.certificate).unwrap(), "127.0.0.1"));
}

#[test]
fn the_authority_is_replaced_with_overlap() {
    let mut state = begin();
    let old_bundle = state.bundle();
    // Keep the leaf fresh up to the day the authority is due.
    let due = NOW + (5 * 365 - 364) * DAY;
    state = step(&state, true, due - DAY).0;
    let (state, changes) = step(&state, true, due);
    assert_eq!(changes, [Change::Authority]);
    assert_eq!(state.authorities.len(), 2);
    assert!(trusted(&state, &old_bundle, due), "what is served did not change");
    // Not settled, or not published: nothing more.
    assert_eq!(step(&state, true, due + 60).1, []);
    assert_eq!(step(&state, false, due + 3 * 3600).1, []);
    let later = due + 3600;
    let (state, changes) = step(&state, true, later);
    assert_eq!(changes, [Change::Leaf]);
    assert!(!trusted(&state, &old_bundle, later), "signed by the new authority");
    assert!(trusted(&state, &state.bundle(), later));
    assert_eq!(step(&state, true, later + DAY / 2).1, []);
    let (state, changes) = step(&state, true, later + DAY);
    assert_eq!(changes, [Change::Dropped]);
    assert_eq!(state.authorities.len(), 1);
    assert_eq!(step(&state, true, later + 2 * DAY).1, []);
}

#[test]
fn a_cluster_that_slept_for_years_recovers() {
    let state = begin();
    let late = NOW + 20 * 365 * DAY;
    let (state, changes) = step(&state, true, late);
    assert_eq!(changes, [Change::Authority, Change::Leaf]);
    assert!(trusted(&state, &state.bundle(), late));
}

#[test]
fn data_is_read_back() {
    let state = begin();
    let data = state.to_data().into_iter().map(|(k, v)| (k, ByteString(v.into_bytes()))).collect();
    assert_eq!(State::from_data(&data), Some(state));
    assert_eq!(State::from_data(&BTreeMap::new()), None);
}
