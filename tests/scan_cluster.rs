//! Scan results in a real API server: the schemas, what their rules refuse, the columns, and
//! importing and reading back with the real binary.
//!
//! Needs `KUBEBUILDER_ASSETS`; without it the test says loudly that it did nothing.

mod support;

use std::process::{Command, Output};

use support::cluster::Cluster;

const NOW: &str = "2026-01-11T00:00:00Z";

fn caapc(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
    command.args(args).env("KUBECONFIG", cluster.kubeconfig());
    command.env_remove("CC_FAIL_THRESHOLD").env_remove("CC_WARN_THRESHOLD");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("caapc starts")
}

#[track_caller]
fn prints(cluster: &Cluster, args: &[&str]) -> String {
    let output = caapc(cluster, args);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "caapc {args:?}: {err}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn refused(cluster: &Cluster, object: &str, because: &str) {
    let said = cluster.kubectl_err(&["apply", "-f", "-"], object);
    assert!(said.contains(because), "{said}");
}

#[test]
fn scans_live_in_a_cluster() {
    let Some(cluster) = Cluster::start("scan") else { return };
    let missing = caapc(&cluster, &["scan", "list"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("caapc crds | kubectl apply"), "{said}");

    let crds = prints(&cluster, &["crds"]);
    let applied = cluster.kubectl_ok(&["apply", "--server-side", "-f", "-"], &crds);
    assert!(!applied.to_lowercase().contains("warning"), "{applied}");
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    cluster.kubectl_ok(&wait, "");

    rules_refuse(&cluster);
    import_and_show(&cluster);
    racing_writers(&cluster);
    exceptions(&cluster);
}

fn rules_refuse(cluster: &Cluster) {
    let object = |kind: &str, name: &str, spec: &str| {
        format!(
            // kubectl takes what begins with a brace for JSON.
            "# YAML\n{{apiVersion: caapc.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}}}, \
             spec: {spec}}}"
        )
    };
    for (spec, because) in [
        (r#"{references: ["a/b/c:1"], state: Scanned}"#, "scannedAt is missing"),
        (r#"{scannedAt: "2026-01-01T00:00:00Z"}"#, "a digest or a reference is needed"),
        (r#"{references: [x], scannedAt: "today"}"#, "date-time"),
        (r#"{references: [x], scannedAt: "2026-01-01T00:00:00Z", platform: Linux}"#, "platform"),
        (
            r#"{references: [x], scannedAt: "2026-01-01T00:00:00Z",
               vulnerabilities: [{id: CVE-1, v3: 10.1}]}"#,
            "less than or equal to 10",
        ),
        (r#"{references: [x], scannedAt: "2026-01-01T00:00:00Z", refs: []}"#, "unknown field"),
    ] {
        refused(cluster, &object("ImageScan", "a", spec), because);
    }
    for (spec, because) in [
        ("{vulnerability: C-1, scope: any, repository: x}", "scope any takes no registry"),
        ("{vulnerability: C-1, scope: image, repository: x}", "scope image needs tags"),
        ("{vulnerability: C-1, scope: repo}", "need a repository"),
        ("{vulnerability: C-1, scope: repo, repository: x, tags: [a]}", "scope repo takes no tags"),
        ("{vulnerability: C-1, scope: any, expires: never}", "unknown field"),
    ] {
        refused(cluster, &object("VulnerabilityException", "a", spec), because);
    }
    let kind = "ImageAssuranceSettings";
    refused(cluster, &object(kind, "other", "{}"), "named default");
    let above = "warnThreshold must not be above";
    refused(cluster, &object(kind, "default", "{failThreshold: 3}"), above);
    refused(cluster, &object(kind, "default", "{failThreshold: 5, warnThreshold: 5.1}"), above);
    cluster.kubectl_ok(&["apply", "-f", "-"], &object(kind, "default", "{failThreshold: 9.9}"));

    let policy = "# YAML\n{apiVersion: containersecurity.tigera.io/v1beta1, \
        kind: ContainerAdmissionPolicy, metadata: {name: p}, spec: {order: 1.5, rules: [{action: \
        Allow, imageScanStatsu: {operator: IsOneOf}, imageLastScan: {operator: gt, \
        time: '2022-01-02T0:00:00Z'}}]}}";
    cluster.kubectl_ok(&["apply", "-f", "-"], policy);
    let rules = ["get", "cap", "p", "-o", "jsonpath={.spec.rules}"];
    // Kept, so that the compiler sees it and refuses it.
    assert!(cluster.kubectl_ok(&rules, "").contains("imageScanStatsu"));
    let table = cluster.kubectl_ok(&["get", "cap"], "");
    assert!(table.starts_with("NAME   ORDER   RULES   STATE   AGE"), "{table}");
    refused(cluster, &policy.replace("Allow", "Deny"), "Unsupported value");
}

fn import_and_show(cluster: &Cluster) {
    let report = "golden/scan/reports/trivy-nginx.json";
    let import = ["scan", "import", report, "--now", NOW, "--apply"];
    assert!(prints(cluster, &import).ends_with(" created\n"));
    assert!(prints(cluster, &import).ends_with(" unchanged\n"), "as new, and no worse");
    let table = cluster.kubectl_ok(&["get", "imagescans"], "");
    let heads = table.lines().next().unwrap_or_default();
    let heads: Vec<&str> = heads.split_whitespace().collect();
    let wanted = ["NAME", "IMAGE", "PLATFORM", "STATE", "MAX", "CRITICAL", "HIGH", "SCANNED"];
    assert_eq!(heads, wanted);
    assert!(table.contains("docker.io/library/nginx:1.25"), "{table}");

    // The cluster's settings, then a flag before them.
    let show = ["scan", "show", "nginx:1.25", "--now", NOW, "-o", "json"];
    assert!(prints(cluster, &show).contains(r#""status":"Warn""#));
    let show = ["scan", "show", "nginx:1.25", "--now", NOW, "-f", "7", "-o", "json"];
    assert!(prints(cluster, &show).contains(r#""status":"Fail""#));

    // A newer result takes its place, an older one does not.
    let text = std::fs::read_to_string(report).expect("a report");
    let newer = text.replace("2026-01-10T09", "2026-01-10T10").replace("9.8", "8.8");
    let older = text.replace("2026-01-10T09", "2026-01-10T08");
    for (text, done) in [(newer, "configured"), (older, "unchanged")] {
        let path = cluster.folder.join("report.json");
        std::fs::write(&path, text).expect("a file");
        let path = path.display().to_string();
        let said = prints(cluster, &["scan", "import", &path, "--now", NOW, "--apply"]);
        assert!(said.trim_end().ends_with(done), "{said}");
    }
    let list = prints(cluster, &["scan", "list", "--now", NOW, "-o", "json"]);
    assert!(list.contains(r#""maximum":8.8"#), "{list}");
}

/// Of results that several processes store in the same instant, none of them knowing of the others,
/// the newest stays.
fn racing_writers(cluster: &Cluster) {
    let report = std::fs::read_to_string("golden/scan/reports/trivy-nginx.json").expect("a report");
    for round in 0..5 {
        // A report that names a digest is that image's, whatever else it is called.
        let report = report.replace("sha256:a1a1", &format!("sha256:{round}1a1"));
        let writers = ["12", "09", "11", "10"].map(|hour| {
            let path = cluster.folder.join(format!("racing-{round}-{hour}.json"));
            let at = format!("2026-01-10T{hour}");
            std::fs::write(&path, report.replace("2026-01-10T09", &at)).expect("a file");
            let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
            let image = format!("example.com/racing:{round}");
            command
                .args(["scan", "import", "-q", "--apply", "--now", NOW, "--image", &image])
                .arg(path);
            command.env("KUBECONFIG", cluster.kubeconfig()).stdout(std::process::Stdio::null());
            command.spawn().expect("caapc starts")
        });
        for mut writer in writers {
            assert!(writer.wait().expect("an end").success());
        }
        let image = format!("example.com/racing:{round}");
        let shown = prints(cluster, &["scan", "show", &image, "--now", NOW, "-o", "json"]);
        assert!(shown.contains("2026-01-10T12"), "{shown}");
    }
}

fn exceptions(cluster: &Cluster) {
    let csv = cluster.folder.join("exceptions.csv");
    let text = "CVE,Registry,Repository,Tags,Justification,Scope\n\
        CVE-2023-45853,,,,not reachable,any\n\
        CVE-1,quay.io/tigera,node,\"[\"\"v1.2.3\"\"]\",,image\n";
    std::fs::write(&csv, text).expect("a file");
    let csv = csv.display().to_string();
    let said = prints(cluster, &["exceptions", "import", &csv, "--apply"]);
    assert_eq!(said.matches(" created\n").count(), 2, "{said}");
    let again = prints(cluster, &["exceptions", "import", &csv, "--apply"]);
    assert_eq!(again.matches(" unchanged\n").count(), 2, "{again}");
    let back = prints(cluster, &["exceptions", "export"]);
    let mut lines: Vec<&str> = back.lines().collect();
    let mut wanted: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    let check = caapc(cluster, &["exceptions", "check", "--now", NOW]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains("matches no vulnerability") && said.contains("1 to look at"), "{said}");
}
