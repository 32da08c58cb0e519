//! INVARIANT (no allocation): decode, decide and encode allocate nothing in steady state.
//!
//! All recorded reviews, over policies that reject and allow by path, status and age, in every
//! form of the image path and in every mode; and denials with long messages, escaped strings and
//! bad bodies. Its own test binary, because the allocator counts for the whole process.
#![expect(unsafe_code, reason = "a global allocator cannot be written without it")]

mod reviews;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use caapc::admission::options::{ImagePath, Mode, Options};
use caapc::admission::{Worker, answer};

struct Counting;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    COUNT.with(|count| count.set(count.get().map(|count| count + 1)));
}

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.with(|count| count.set(Some(0)));
    work();
    COUNT.with(|count| count.take()).unwrap_or_default()
}

const POLICIES: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: labelled}
spec:
  selector: app in {'web', 'rc-a'} || has(team)
  namespaceSelector: projectcalico.org/name == 'demo' && env != 'dev'
  order: 1
  rules:
  - action: Allow
    imageScanStatus: {operator: IsOneOf, values: [Pass]}
    imageLastScan: {operator: gt, duration: {days: 3}}
  - action: Reject
    imagePath: {operator: IsOneOf, values: ['nginx:1.2[0-9]$', '(?i)LATEST', '^é.*']}
---
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: reject-failed-and-non-gcr}
spec:
  order: 10
  rules:
  - action: Reject
    imagePath: {operator: IsNoneOf, values: ['^gcr.io/company/production-repository/.*', '^registry', 'library/']}
  - action: Allow
    imageScanStatus: {operator: IsOneOf, values: [Pass, Warn]}
  - action: Reject
";

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 9]))) > 0);
    assert_eq!(allocations(|| assert_eq!(std::hint::black_box(9), 9)), 0);
}

#[test]
fn a_request_allocates_nothing() {
    let snapshot = reviews::snapshot(
        POLICIES,
        &[("demo", &[("env", "prod")])],
        &[
            ("nginx:1.27", "Pass,2d"),
            ("registry.example/bare:5", "Fail,5d"),
            ("busybox:1.36", "Warn,1h"),
        ],
    );
    let mut bodies = reviews::recordings();
    bodies.extend(reviews::odd_bodies());
    let mut worker = Worker::new();
    let (mut denied, mut allowed) = (0, 0);
    for image_path in ImagePath::ALL {
        for mode in Mode::ALL {
            let options = Options { image_path: *image_path, mode: *mode, ..Options::default() };
            // Twice, so that arena and buffers have met everything: that is the steady state.
            for _ in 0..2 {
                for (_, body) in &bodies {
                    answer(&mut worker, &snapshot, &options, reviews::NOW, body);
                }
            }
            for (name, body) in &bodies {
                let mut is_allowed = false;
                let count = allocations(|| {
                    let answer = answer(&mut worker, &snapshot, &options, reviews::NOW, body);
                    is_allowed = answer.decided.is_some_and(|(_, decision)| decision.allowed());
                });
                assert_eq!(count, 0, "{name} with {image_path:?}, {mode:?}");
                *(if is_allowed { &mut allowed } else { &mut denied }) += 1;
            }
        }
    }
    assert!(denied > 30 && allowed > 100, "{denied} denied, {allowed} allowed: both roads are run");
}
