//! Image references: what a container's `image` field names, and its canonical form.
//!
//! The rules are Docker's: which first segment is a host, `docker.io/library/` for a bare name,
//! `latest` for a missing tag. Three things are ours (spec: scan, "Identity"): letters of the host
//! are compared without their case, Docker Hub's four host names are one registry, and a digest
//! alone names nothing. Nothing here allocates; a reference borrows from its text. This is not what
//! `imagePath` patterns see: they get the field as written. Start at [`Reference::parse`].

use std::fmt;

/// The longest host with its port, in bytes. Docker sets no limit; a DNS name has at most 253.
pub const HOST_BYTES_MAX: usize = 255;
/// The longest repository path, in bytes, `library/` included.
pub const PATH_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// The longest text that [`Reference::write_canonical`] writes, in bytes.
pub const CANONICAL_BYTES_MAX: usize = HOST_BYTES_MAX + 1 + PATH_BYTES_MAX + 1 + DIGEST_BYTES_MAX;

/// `sha512:` and 128 digits; not shorter than the longest tag.
const DIGEST_BYTES_MAX: usize = 7 + 128;
const _: () = assert!(DIGEST_BYTES_MAX >= TAG_BYTES_MAX);

const HUB: &str = "docker.io";
const HUB_ALIASES: [&str; 4] =
    [HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
const DIGEST_ALGORITHMS: [(&str, usize); 2] = [("sha256:", 64), ("sha512:", 128)];

/// An image reference that was read and understood.
///
/// ```
/// let reference = caapc::reference::Reference::parse("Quay.io:443/team/app@sha256:\
///     7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa").unwrap();
/// assert_eq!(reference.registry(), "Quay.io:443");
/// assert_eq!(reference.repository(), "team/app");
/// assert!(reference.canonical().starts_with("quay.io:443/team/app@sha256:7cc4"));
/// assert_eq!(caapc::reference::Reference::parse("nginx").unwrap().canonical(),
///     "docker.io/library/nginx:latest");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Docker Hub's name, or the host as written.
    registry: &'a str,
    /// The path is on Docker Hub and has one segment, so that `library/` belongs before it.
    official: bool,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

/// Why a text is not an image reference. The text itself is not in it: the caller knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was written.
    #[error("an image reference is empty")]
    Empty,
    /// 64 hexadecimal digits, or a digest alone, are an image's identifier, not its name.
    #[error(
        "64 hexadecimal digits, or a digest alone, are an image identifier; write \
         `repository@sha256:<digits>`"
    )]
    Identifier,
    /// The part before the first `/` is not a host.
    #[error("the host is not a DNS name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// What follows the host's colon is not a number.
    #[error("the port after the host is not a number")]
    Port,
    /// The host is too long.
    #[error("the host is longer than {HOST_BYTES_MAX} bytes")]
    HostTooLong,
    /// Upper-case letters in the repository.
    #[error("the repository must be in lower case")]
    Uppercase,
    /// The repository has a character or an order of them that is not allowed.
    #[error(
        "the repository must be segments of a-z and 0-9, joined by `/` and inside by `.`, `_`, \
         `__` or dashes"
    )]
    Path,
    /// The repository is too long.
    #[error("the repository is longer than {PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// The tag has a character that is not allowed.
    #[error(
        "the tag must be letters, digits, `_`, `.` and `-`, and begin with none of the last two"
    )]
    Tag,
    /// The tag is too long.
    #[error("the tag is longer than {TAG_BYTES_MAX} bytes")]
    TagTooLong,
    /// The digest is malformed.
    #[error(
        "the digest must be `sha256:` and 64, or `sha512:` and 128 hexadecimal digits in lower case"
    )]
    Digest,
}

impl<'a> Reference<'a> {
    /// Reads a reference without allocating.
    ///
    /// # Errors
    /// [`ReferenceError`] for everything Docker refuses, and for a host over [`HOST_BYTES_MAX`].
    pub fn parse(text: &'a str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        // Where an image is on a node, a kubelet takes either for its identifier.
        if text.len() == 64 && is_lower_hex(text) || is_digest(text) {
            return Err(ReferenceError::Identifier);
        }
        let (named, digest) = split_at_mark(text, b'@');
        let (host, rest) = split_host(named)?;
        let (registry, hub) = match host {
            None => (HUB, true),
            Some(host) => match HUB_ALIASES.iter().any(|alias| host.eq_ignore_ascii_case(alias)) {
                true => (HUB, true),
                false => (host, false),
            },
        };
        let (path, tag) = split_at_mark(rest, b':');
        check_path(path)?;
        tag.map_or(Ok(()), check_tag)?;
        if !digest.is_none_or(is_digest) {
            return Err(ReferenceError::Digest);
        }
        let official = hub && !path.contains('/');
        if path.len() + if official { "library/".len() } else { 0 } > PATH_BYTES_MAX {
            return Err(ReferenceError::PathTooLong);
        }
        Ok(Self { registry, official, path, tag, digest })
    }

    /// The registry: `docker.io` for each of Docker Hub's names, else the host as written, which
    /// may have letters of any case; [`Self::write_canonical`] brings them to one.
    pub fn registry(&self) -> &'a str {
        self.registry
    }

    /// The repository as written: `nginx` for `docker.io/library/nginx` if it was written so.
    pub fn repository(&self) -> &'a str {
        self.path
    }

    /// The tag as written. A reference with a digest may have one too; it does not count then.
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// The digest with its algorithm, `sha256:...`.
    pub fn digest(&self) -> Option<&'a str> {
        self.digest
    }

    /// The tag that counts: the one written, else `latest`; `None` beside a digest.
    pub fn tag_or_latest(&self) -> Option<&'a str> {
        if self.digest.is_some() { None } else { Some(self.tag.unwrap_or("latest")) }
    }

    /// Writes registry and repository in canonical form: `docker.io/library/nginx`.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write_repository(&self, out: &mut impl fmt::Write) -> fmt::Result {
        // PERF: almost every host is in lower case already and is written at once.
        if self.registry.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let small = is_host_in_any_case(self.registry);
            for c in self.registry.chars() {
                out.write_char(if small {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                })?;
            }
        } else {
            out.write_str(self.registry)?;
        }
        out.write_str(if self.official { "/library/" } else { "/" })?;
        out.write_str(self.path)
    }

    /// Writes the canonical form: registry and repository, then `@digest`, or `:tag` if there is
    /// no digest. At most [`CANONICAL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write_canonical(&self, out: &mut impl fmt::Write) -> fmt::Result {
        self.write_repository(out)?;
        match (self.digest, self.tag) {
            (Some(digest), _) => write_two(out, "@", digest),
            (None, Some(tag)) => write_two(out, ":", tag),
            (None, None) => out.write_str(":latest"),
        }
    }

    /// The canonical form as a text of its own, for the control road.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.write_canonical(&mut text).expect("a String takes everything");
        text
    }

    /// Registry and repository in canonical form as a text of its own, for the control road.
    pub fn canonical_repository(&self) -> String {
        let mut text = String::new();
        self.write_repository(&mut text).expect("a String takes everything");
        text
    }
}

impl fmt::Display for Reference<'_> {
    /// The canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_canonical(f)
    }
}

/// Whether a text is a digest: algorithm, colon, and the right number of lower-case digits.
pub fn is_digest(text: &str) -> bool {
    DIGEST_ALGORITHMS.iter().any(|(prefix, digits)| {
        text.strip_prefix(prefix).is_some_and(|hex| hex.len() == *digits && is_lower_hex(hex))
    })
}

fn write_two(out: &mut impl fmt::Write, mark: &str, text: &str) -> fmt::Result {
    out.write_str(mark)?;
    out.write_str(text)
}

/// Whether a text is digits of a digest.
fn is_lower_hex(text: &str) -> bool {
    are_all(text, |byte| byte.is_ascii_digit() | (b'a'..=b'f').contains(&byte))
}

/// Whether all bytes are so.
// PERF: without a branch for each byte, many of them are looked at together.
fn are_all(text: &str, is_so: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is_so(byte))
}

/// What stands before a mark of ASCII, and behind it if there is one.
// PERF: the standard library's search takes several times as long in so short a text.
fn split_at_mark(text: &str, mark: u8) -> (&str, Option<&str>) {
    let at = memchr::memchr(mark, text.as_bytes());
    let parts = at.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    parts.map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// Splits the host off, if the first segment is one; Docker's rule is in [`is_host`].
fn split_host(text: &str) -> Result<(Option<&str>, &str), ReferenceError> {
    let (first, Some(rest)) = split_at_mark(text, b'/') else { return Ok((None, text)) };
    if !is_host(first) {
        return Ok((None, text));
    }
    if first.len() > HOST_BYTES_MAX {
        return Err(ReferenceError::HostTooLong);
    }
    let name_end = match first.starts_with('[') {
        true => first.find(']').map_or(first.len(), |at| at + 1),
        false => first.find(':').unwrap_or(first.len()),
    };
    let (name, port) = first.split_at(name_end);
    let is_name = is_dns_name(name) || is_ipv6(name);
    // Docker reads `foo_bar.com/x` as a repository without a host; its text is the same.
    let is_known = is_name || is_path(name);
    match port.strip_prefix(':') {
        None if is_known && port.is_empty() => Ok((Some(first), rest)),
        Some(port) if is_name && is_port(port) => Ok((Some(first), rest)),
        Some(_) if is_known => Err(ReferenceError::Port),
        _ => Err(ReferenceError::Host),
    }
}

/// Whether Docker takes a first segment for a host: it has a dot, a colon or an upper-case
/// letter, or is `localhost`.
fn is_host(segment: &str) -> bool {
    segment == "localhost" || segment.bytes().any(|byte| matches!(byte, b'.' | b':' | b'A'..=b'Z'))
}

/// Whether a host is one in small letters too. One that is not, such as `LIBRARY`, would then be a
/// repository of Docker Hub, and its scans would be that one's.
fn is_host_in_any_case(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.bytes().any(|byte| matches!(byte, b'.' | b':'))
}

fn is_dns_name(text: &str) -> bool {
    is_joined(text, |byte| byte.is_ascii_alphanumeric(), |byte| byte == b'.' || byte == b'-', b"-")
}

fn is_ipv6(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|text| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_path(text: &str) -> Result<(), ReferenceError> {
    if is_path(text) {
        return Ok(());
    }
    let uppercase = text.bytes().any(|byte| byte.is_ascii_uppercase());
    Err(if uppercase { ReferenceError::Uppercase } else { ReferenceError::Path })
}

/// Whether a text is words of small letters and digits, joined by `/`, `.`, `_`, `__` or dashes.
fn is_path(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() | byte.is_ascii_digit();
    let is_mark = |byte| (byte == b'/') | (byte == b'.') | (byte == b'_') | (byte == b'-');
    let after = |count| text.bytes().skip(count).map(|byte| byte == b'_');
    let threes = after(0).zip(after(1)).zip(after(2));
    !threes.fold(false, |any, ((one, two), three)| any | one & two & three)
        && is_joined(text, is_letter, is_mark, b"_-")
}

/// Whether a text is words of letters joined by marks, of which only these may be `doubled`.
// PERF: nothing branches on a byte, so that many of them are looked at together.
fn is_joined(
    text: &str,
    is_letter: impl Fn(u8) -> bool,
    is_mark: impl Fn(u8) -> bool,
    doubled: &[u8],
) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(|&byte| is_letter(byte));
    let known = are_all(text, |byte| is_letter(byte) | is_mark(byte));
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let joined = pairs.fold(true, |all, (&one, &two)| {
        let twice = doubled.iter().fold(false, |any, &mark| any | (mark == one));
        all & (is_letter(one) | is_letter(two) | (one == two) & twice)
    });
    is_end(bytes.first()) && is_end(bytes.last()) && known && joined
}

fn check_tag(text: &str) -> Result<(), ReferenceError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'_');
    let is_inner = |byte| is_word(byte) | (byte == b'.') | (byte == b'-');
    if !text.bytes().next().is_some_and(is_word) || !are_all(text, is_inner) {
        return Err(ReferenceError::Tag);
    }
    if text.len() > TAG_BYTES_MAX { Err(ReferenceError::TagTooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(Reference::parse(text).map(|r| r.canonical()), Ok(canonical.to_owned()));
    }

    #[track_caller]
    fn refused(text: &str, error: ReferenceError) {
        assert_eq!(Reference::parse(text), Err(error), "{text:?}");
    }

    /// What Docker's own reader answers, with what is ours laid over it: the host in lower case
    /// and Docker Hub's other names.
    #[test]
    fn answers_as_docker_does() {
        let mut differ = Vec::new();
        let mut read = 0;
        for line in include_str!("../golden/reference/docker.jsonl").lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = row["r"].as_str().unwrap();
            let wanted = row["c"].as_str().map(ours);
            // Docker reads an identifier with its algorithm as the tag of a repository `sha256`.
            let wanted = wanted.filter(|_| !is_digest(text));
            let got = Reference::parse(text).ok().map(|reference| reference.canonical());
            read += usize::from(got.is_some());
            if got != wanted {
                differ.push(format!("{text:?}: {got:?}, Docker {wanted:?}"));
            }
        }
        assert!(differ.is_empty(), "{}", differ.join("\n"));
        assert!(read > 500, "only {read} references of the corpus were read");
    }

    fn ours(docker: &str) -> String {
        let (host, rest) = docker.split_once('/').unwrap();
        let fold = if is_host(&host.to_ascii_lowercase()) {
            str::to_ascii_lowercase
        } else {
            str::to_ascii_uppercase
        };
        let host = fold(host);
        if !HUB_ALIASES.contains(&host.as_str()) {
            return format!("{host}/{rest}");
        }
        let library = if rest.contains('/') { "" } else { "library/" };
        format!("docker.io/{library}{rest}")
    }

    #[test]
    fn docker_hub_has_four_names() {
        for host in ["", "docker.io/", "index.docker.io/", "registry-1.docker.io/"] {
            check(&format!("{host}nginx"), "docker.io/library/nginx:latest");
            check(&format!("{host}library/nginx:1"), "docker.io/library/nginx:1");
        }
        check("Registry.Hub.Docker.Com/team/app", "docker.io/team/app:latest");
        check("docker.io:443/nginx", "docker.io:443/nginx:latest");
    }

    /// In small letters they would be repositories of Docker Hub.
    #[test]
    fn a_host_that_only_its_case_makes_one_stays_one() {
        check("LIBRARY/nginx", "LIBRARY/nginx:latest");
        check("Library/nginx", "LIBRARY/nginx:latest");
        check("library/nginx", "docker.io/library/nginx:latest");
        check("Reg.io/nginx", "reg.io/nginx:latest");
        check("REG:5000/nginx", "reg:5000/nginx:latest");
        check("LocalHost/nginx", "localhost/nginx:latest");
    }

    #[test]
    fn a_digest_stands_alone() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let text = format!("Quay.io/a/b:1.2@{digest}");
        let reference = Reference::parse(&text).unwrap();
        assert_eq!(reference.digest(), Some(digest.as_str()));
        assert_eq!((reference.tag(), reference.tag_or_latest()), (Some("1.2"), None));
        check(&text, &format!("quay.io/a/b@{digest}"));
    }

    #[test]
    fn says_what_is_wrong() {
        refused("", ReferenceError::Empty);
        refused(&"0a".repeat(32), ReferenceError::Identifier);
        refused(&format!("sha256:{}", "0a".repeat(32)), ReferenceError::Identifier);
        refused("h-.io/x", ReferenceError::Host);
        refused("host:http/x", ReferenceError::Port);
        refused(&format!("{}.io/x", "a".repeat(253)), ReferenceError::HostTooLong);
        refused("team/App", ReferenceError::Uppercase);
        refused("team//app", ReferenceError::Path);
        refused(&"a".repeat(256), ReferenceError::PathTooLong);
        refused("app:-1", ReferenceError::Tag);
        refused(&format!("app:{}", "1".repeat(129)), ReferenceError::TagTooLong);
        refused("app@sha256:12", ReferenceError::Digest);
        refused("team/app:1/2", ReferenceError::Tag);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-zA-Z0-9_.:/@\\[\\]é \n-]{0,80}") {
            if let Ok(reference) = Reference::parse(&text) {
                let canonical = reference.canonical();
                assert!(canonical.len() <= CANONICAL_BYTES_MAX);
                let again = Reference::parse(&canonical).unwrap();
                assert_eq!(again.canonical(), canonical, "the canonical form is its own");
            }
        }
    }
}
