//! Input that is meant to hurt, given to the real binary: nobody listens on standard error, names
//! that would steer a terminal, lists without end. Each answer is one sentence and the exit code
//! that is documented, in little time.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const POLICY: &str = "apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: nothing}
spec: {rules: [{action: Reject}]}
";
const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: unlisted}, \
                   spec: {containers: [{name: web, image: nginx}]}}\n";

fn caapc(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("caapc-bad-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("folder");
    path
}

fn file(folder: &str, name: &str, text: &str) -> String {
    let path = self::folder(folder).join(name);
    std::fs::write(&path, text).expect("file");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[track_caller]
fn refused(done: &Output, sentence: &str) {
    refused_with(done, 2, sentence);
}

#[track_caller]
fn refused_with(done: &Output, code: i32, sentence: &str) {
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(error.contains(sentence), "{error}");
    assert_eq!(done.status.code(), Some(code), "{error}");
}

/// `caapc ... 2>&1 | head -1`: the reader goes away, and the exit code still says what was found.
#[test]
fn nobody_listening_changes_no_exit_code() {
    let (policy, pod) = (file("pipe", "policy.yaml", POLICY), file("pipe", "pod.yaml", POD));
    let commands: [(&[&str], i32); 3] = [
        (&["lint", "/no/such/file"], 2),
        (&["lint", &policy], 0),
        (&["eval", "-p", &policy, "-f", &pod], 1),
    ];
    for (args, code) in commands {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let status = caapc(args).stdout(Stdio::null()).stderr(writer).status().expect("caapc");
        assert_eq!(status.code(), Some(code), "{args:?}");
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let status = caapc(args).stdout(writer).stderr(Stdio::null()).status().expect("caapc");
        assert_eq!(status.code(), Some(code), "{args:?}, nobody reads the results");
    }
    std::fs::remove_dir_all(folder("pipe")).expect("clean");
}

/// What is written to keeps what it is: a link, its permissions, a device.
#[test]
#[cfg(unix)]
fn a_file_that_is_written_to_stays_what_it_is() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let policy = file("write", "policy.yaml", POLICY);
    let at = |name: &str| folder("write").join(name);
    let compile = |name: &str| {
        let to = at(name).display().to_string();
        caapc(&["compile", "-o", &to, &policy]).output().expect("caapc")
    };
    file("write", "secret", "old");
    std::fs::set_permissions(at("secret"), PermissionsExt::from_mode(0o600)).expect("mode");
    symlink(at("secret"), at("link")).expect("a link");
    assert!(compile("link").status.success());
    assert!(at("link").symlink_metadata().expect("a link").is_symlink());
    let meta = at("secret").metadata().expect("a file");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read(at("secret")).expect("a file").starts_with(b"caapc"));

    file("write", "kept", "old");
    std::fs::set_permissions(at("kept"), PermissionsExt::from_mode(0o444)).expect("mode");
    refused_with(&compile("kept"), 3, "may not be written to");
    assert_eq!(std::fs::read(at("kept")).expect("a file"), b"old");

    let fifo = at("fifo").display().to_string();
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    if made.is_ok_and(|status| status.success()) {
        let reader = std::thread::spawn(move || std::fs::read(fifo).expect("a pipe"));
        assert!(compile("fifo").status.success());
        assert!(reader.join().expect("it reads").starts_with(b"caapc"));
        assert!(at("fifo").metadata().expect("a pipe").file_type().is_fifo());
    }
    let left: Vec<_> = std::fs::read_dir(folder("write")).expect("a folder").flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".part")));
    std::fs::remove_dir_all(folder("write")).expect("clean");
}

#[test]
fn names_of_files_do_not_steer_the_terminal() {
    for args in [&["lint"][..], &["compile"], &["test"], &["exceptions", "import"]] {
        let mut args = args.to_vec();
        args.push("/no\u{1b}[31m\r\u{202e}\u{200f}such");
        let done = caapc(&args).output().expect("caapc");
        refused(&done, "/no\\u{1b}[31m\\r\\u{202e}\\u{200f}such");
    }
}

#[test]
fn many_names_of_an_image_take_little_time() {
    let mut tags = String::new();
    for n in 0..100_000 {
        let _ = write!(tags, "\"a/b:{n}\",");
    }
    let tags = tags.trim_end_matches(',');

    let report = format!(
        r#"{{"SchemaVersion":2,"CreatedAt":"2026-01-01T00:00:00Z","ArtifactName":"a/b:1",
        "Metadata":{{"RepoTags":[{tags}]}},"Results":[{{"Class":"os-pkgs"}}]}}"#
    );
    let report = file("names", "trivy.json", &report);
    let start = Instant::now();
    let done = caapc(&["scan", "import", &report]).output().expect("caapc");
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && error.contains("100000 names; kept the first 64"), "{error}");

    let scan = format!(
        r#"{{"apiVersion":"caapc.dev/v1alpha1","kind":"ImageScan","metadata":{{"name":"x"}},
        "spec":{{"references":[{tags}],"platform":"linux/amd64",
        "scannedAt":"2026-01-01T00:00:00Z","state":"Scanned"}}}}"#
    );
    let scan = file("names", "scan.json", &scan);
    let done = caapc(&["scan", "show", "a/b:1", "--scans", &scan]).output().expect("caapc");
    refused(&done, "100000 references and digests, the limit is 192");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    std::fs::remove_dir_all(folder("names")).expect("clean");
}

/// Both forms of one scan in a folder: the newest of them is what a report is compared with, and
/// only one stays.
#[test]
fn a_report_is_compared_with_all_that_is_stored() {
    let report = include_str!("../golden/scan/reports/trivy-failed.json");
    let at = |time: &str| report.replace("2026-01-10T09:00:00Z", time);
    let to = folder("stored").join("scans");
    let import = |name: &str, time: &str, form: &str| {
        let report = file("stored", name, &at(time));
        let to = to.to_str().expect("a path in UTF-8");
        let args = ["scan", "import", &report, "--to", to, "-o", form, "-q"];
        let done = caapc(&args).args(["--now", "2026-01-11T00:00:00Z"]).output().expect("caapc");
        let said = String::from_utf8(done.stdout).expect("text");
        said.trim_end().rsplit(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!(import("old.json", "2026-01-08T09:00:00Z", "json"), "created");
    let json = std::fs::read_dir(&to).expect("scans").next().expect("one").expect("a file").path();
    let old = std::fs::read(&json).expect("a scan");
    std::fs::remove_file(&json).expect("removed");
    assert_eq!(import("new.json", "2026-01-10T09:00:00Z", "yaml"), "created");
    std::fs::write(&json, old).expect("both");
    assert_eq!(import("between.json", "2026-01-09T09:00:00Z", "json"), "unchanged");
    assert_eq!(std::fs::read_dir(&to).expect("scans").count(), 2);
    assert_eq!(import("newest.json", "2026-01-10T10:00:00Z", "json"), "replaced");
    assert_eq!(std::fs::read_dir(&to).expect("scans").count(), 1);
    std::fs::remove_dir_all(folder("stored")).expect("clean");
}

/// What `exceptions import` writes can be read, however many there are.
#[test]
fn many_documents_in_one_file_are_read() {
    let mut rows = "CVE,Registry,Repository,Tags,Justification,Scope\n".to_owned();
    for n in 0..1_100 {
        let _ = writeln!(rows, "CVE-2026-{n},,,,,any");
    }
    let rows = file("documents", "many.csv", &rows);
    let yaml = caapc(&["exceptions", "import", &rows]).output().expect("caapc");
    let yaml = file("documents", "many.yaml", &String::from_utf8_lossy(&yaml.stdout));
    let again = caapc(&["exceptions", "export", &yaml]).output().expect("caapc");
    assert_eq!(String::from_utf8_lossy(&again.stdout).lines().count(), 1_101);
    let deep =
        file("documents", "deep.yaml", &format!("a: {}1{}\n", "[".repeat(200), "]".repeat(200)));
    let done = caapc(&["exceptions", "export", &deep]).output().expect("caapc");
    refused(&done, "nest deeper than 100");
    std::fs::remove_dir_all(folder("documents")).expect("clean");
}

/// What is for `--image` alone is not silently without effect on files.
#[test]
fn facts_of_one_image_are_not_for_files() {
    let (policy, pod) = (file("facts", "policy.yaml", POLICY), file("facts", "pod.yaml", POD));
    for fact in [["--status", "Pass"], ["--labels", "a=b"]] {
        let done = caapc(&["eval", "-p", &policy, "-f", &pod]).args(fact).output().expect("caapc");
        refused(&done, "cannot be used with");
    }
    std::fs::remove_dir_all(folder("facts")).expect("clean");
}

/// A parser may quote what it did not expect, whole files of it.
#[test]
fn no_message_is_as_long_as_the_file() {
    let text = "a".repeat(2 << 20);
    let files = [
        file("long", "text.yaml", &text),
        file("long", "kind.json", &format!(r#"{{"kind":"{text}"}}"#)),
        file("long", "trivy.json", &format!(r#"{{"SchemaVersion":2,"Metadata":"{text}"}}"#)),
    ];
    for file in &files {
        for args in [["scan", "import", file], ["exceptions", "export", file]] {
            let done = caapc(&args).output().expect("caapc");
            refused(&done, "caapc: ");
            assert!(done.stderr.len() < 2_000, "{args:?}: {} bytes", done.stderr.len());
        }
    }
    std::fs::remove_dir_all(folder("long")).expect("clean");
}
