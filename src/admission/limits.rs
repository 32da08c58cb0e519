//! Every upper bound of the request road, in one place. Each is named in its message.

/// The largest body of one review, in bytes (spec: webhook, "Answers").
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Container images of one object, over all its container lists and image volumes.
pub const IMAGES_MAX: usize = 1000;
/// Bytes of one image string. The longest reference that a registry can serve has about 530.
pub const IMAGE_BYTES_MAX: usize = 4096;
// The scratch of a pattern search is sized for so much; a longer string would make it grow.
const _: () = assert!(IMAGE_BYTES_MAX <= caapc_vm::matcher::TEXT_MAX);
/// Bytes of one container or volume name; Kubernetes itself allows 63.
pub const NAME_BYTES_MAX: usize = 253;
/// Labels of one object.
pub const LABELS_MAX: usize = 1000;
/// Bytes of one label key, as in a selector; Kubernetes itself allows 317.
pub const LABEL_KEY_BYTES_MAX: usize = 512;
/// Bytes of one label value; Kubernetes itself allows 63.
pub const LABEL_VALUE_BYTES_MAX: usize = 512;
/// Owner references of one object.
pub const OWNERS_MAX: usize = 1000;
/// Bytes of a review's uid, which is echoed; the API server sends 36.
pub const UID_BYTES_MAX: usize = 253;
/// Bytes of `status.message` in a denial (spec: webhook, "Answers").
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Characters of all warnings of one answer together (spec: webhook, "Answers").
pub const WARNING_CHARS_MAX: usize = 4096;
/// Bytes of one audit annotation's value.
pub const ANNOTATION_BYTES_MAX: usize = 1024;
/// Images that one audit annotation names before it counts the rest.
pub const ANNOTATION_IMAGES_MAX: usize = 16;
/// How long before an exception expires a warning says so, in seconds: a week.
pub const EXPIRY_WARNING_SECS: i64 = 7 * 86_400;
