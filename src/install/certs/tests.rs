//! What is made is right, and each fault has its name.

use super::*;

const NOW: i64 = 1_900_000_000;
const NAME: &str = "hook.ns.svc";

fn made() -> (Pair, Pair) {
    let ca = authority(NOW, &Life::default()).unwrap();
    let pair =
        leaf(&ca, &[NAME.to_owned(), "127.0.0.1".to_owned()], NOW, &Life::default()).unwrap();
    (ca, pair)
}

fn codes(pair: &Pair, bundle: Option<&str>, name: &str, now: i64) -> Vec<&'static str> {
    problems(pair, bundle, name, now).unwrap().iter().map(|p| p.code).collect()
}

#[test]
fn what_is_made_is_right() {
    let (ca, pair) = made();
    assert_eq!(codes(&pair, Some(&ca.certificate), NAME, NOW), [""; 0]);
    assert_eq!(codes(&pair, Some(&ca.certificate), "127.0.0.1", NOW), [""; 0]);
}

#[test]
fn each_fault_is_named() {
    let (ca, pair) = made();
    let (other_ca, other) = made();
    let ca = Some(ca.certificate.as_str());
    assert_eq!(codes(&pair, ca, "other.ns.svc", NOW), ["certificate-name"]);
    assert_eq!(codes(&pair, ca, "10.0.0.1", NOW), ["certificate-name"]);
    assert_eq!(codes(&pair, ca, NAME, NOW + 91 * DAY_SECS), ["certificate-expired"]);
    assert_eq!(codes(&pair, ca, NAME, NOW + 80 * DAY_SECS), ["certificate-expiring"]);
    assert_eq!(codes(&pair, ca, NAME, NOW - DAY_SECS), ["certificate-not-yet-valid"]);
    assert_eq!(codes(&pair, Some(&other_ca.certificate), NAME, NOW), ["ca-mismatch"]);
    let mixed = Pair { key: other.key, ..pair };
    assert_eq!(codes(&mixed, ca, NAME, NOW), ["certificate-key-mismatch"]);
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let short = Life { ca_secs: 10 * DAY_SECS, ..Life::default() };
    let ca = authority(NOW, &short).unwrap();
    let pair = leaf(&ca, &[NAME.to_owned()], NOW, &short).unwrap();
    assert_eq!(read(&pair.certificate).unwrap()[0].not_after_secs, NOW + 10 * DAY_SECS);
}

#[test]
fn bundles() {
    let (ca, _) = made();
    let old = authority(NOW - 6 * 365 * DAY_SECS, &Life::default()).unwrap();
    let both = format!("{}{}", ca.certificate, old.certificate);
    assert!(bundle_problems(&both, NOW).unwrap().is_empty());
    assert_eq!(bundle_problems(&old.certificate, NOW).unwrap()[0].code, "ca-expired");
    assert!(bundle_problems("nonsense", NOW).is_err());
}

#[test]
fn signatures() {
    let (ca, pair) = made();
    let (other, _) = made();
    let child = &read(&pair.certificate).unwrap()[0];
    assert!(is_signed_by(child, &read(&ca.certificate).unwrap()[0], NOW));
    assert!(!is_signed_by(child, &read(&other.certificate).unwrap()[0], NOW));
}

#[test]
fn wildcards() {
    let ca = authority(NOW, &Life::default()).unwrap();
    let pair = leaf(&ca, &["*.ns.svc".to_owned()], NOW, &Life::default()).unwrap();
    let wild = &read(&pair.certificate).unwrap()[0];
    assert!(covers(wild, "Hook.ns.svc"));
    assert!(!covers(wild, "a.b.ns.svc"));
    assert!(!covers(wild, "ns.svc"));
}

#[test]
fn a_key_is_never_in_debug_output() {
    let (ca, _) = made();
    assert_eq!(format!("{ca:?}"), "Pair(key withheld)");
}

#[test]
fn names_that_cannot_be_certified() {
    let ca = authority(NOW, &Life::default()).unwrap();
    let made = |name: &str| leaf(&ca, &[name.to_owned()], NOW, &Life::default());
    for fine in ["localhost", "a.b.svc", "*.b.svc", "::1", "10.0.0.1"] {
        assert!(made(fine).is_ok(), "{fine}");
    }
    for bad in ["", "a b", "a..b", "-a", "a.*.b", "not a name!", &"a".repeat(64)] {
        assert!(made(bad).is_err(), "{bad}");
    }
}
