//! What must hold of any bytes that are read as a scanner's report.

use caapc::scan::ScanStore;
use caapc::scan::report::{OBJECT_BYTES_MAX, Reading, read_slice};
use caapc_vm::facts::Timestamp;

/// Panics if a report that was read is too large to store, is refused by the store, or is another
/// one when it is read back.
pub(crate) fn check(data: &[u8]) {
    let now = Timestamp::from_secs(1_768_000_000);
    let reading = Reading { image: None, undated: Some(now), latest: None };
    let Ok(reports) = read_slice(data, &reading) else { return };
    let mut store = ScanStore::new();
    for (at, report) in reports.iter().enumerate() {
        let object = serde_json::json!({"kind": "ImageScan", "spec": report.spec});
        let json = object.to_string();
        let is_object = report.format == caapc::scan::report::Format::ImageScan;
        assert!(is_object || json.len() <= OBJECT_BYTES_MAX + 1024, "{} bytes", json.len());
        let again = read_slice(json.as_bytes(), &reading).expect("what was written is read");
        assert_eq!(again.first().map(|one| &one.spec), Some(&report.spec));
        if let Err(why) = store.apply_scan(&at.to_string(), &report.spec) {
            assert!(is_object, "a report was read that cannot be stored: {why}");
        }
    }
    store.snapshot();
}
