//! The documentation is true: examples are run, tables are complete, generated pages are current.
//!
//! In a page, a block ```` ```yaml NAME ```` is a file, and a block ```` ```console ```` has commands
//! (`$ caapc ...`) with the beginning of what they print. `BLESS=1 cargo test --test docs` writes the
//! generated pages again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use caapc::cli::Cli;
use caapc::telemetry::metrics::{Fate, Metrics, Shelf, State, What};
use caapc_compiler::check;
use clap::CommandFactory;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    let path = root().join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a page: what stands after the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => all.extend(open.take()),
            (Some((_, text)), None) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    all
}

#[test]
fn the_examples_of_the_policy_page() {
    let folder = std::env::temp_dir().join(format!("caapc-docs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut policies, mut commands) = (0, 0);
    for (kind, text) in blocks(&page("policy.md")) {
        if let Some(name) = kind.strip_prefix("yaml ") {
            let reading = check::read(name, &text, &check::Limits::default());
            assert!(!reading.has_errors(), "{name}: {:?}", reading.diagnostics);
            assert_eq!(reading.entries.len(), 1, "{name}");
            std::fs::write(folder.join(name), &text).unwrap();
            policies += 1;
        } else if kind == "console" {
            for example in text.split("$ caapc ").filter(|part| !part.is_empty()) {
                let (arguments, expected) = example.split_once('\n').unwrap();
                let found = run(&folder, arguments);
                assert!(
                    found.starts_with(expected),
                    "$ caapc {arguments}\n{found}\nexpected\n{expected}"
                );
                commands += 1;
            }
        } else {
            panic!("a block of policy.md is neither a policy nor a command: {kind}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(policies >= 5 && commands >= 10, "{policies} policies, {commands} commands");
}

fn run(folder: &PathBuf, arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_caapc"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Every code in the sources of doctor is on its page, and no other.
#[test]
fn every_finding_of_doctor_is_explained() {
    let mut sources = String::new();
    for file in ["access", "certificates", "lockout", "policies", "webhook"] {
        sources += &std::fs::read_to_string(root().join(format!("src/doctor/{file}.rs"))).unwrap();
    }
    sources += &std::fs::read_to_string(root().join("src/install/certs/mod.rs")).unwrap();
    let is_code = |text: &str| {
        text.contains('-') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    // A code is a word in quotes of which kind there is no other in these files, but for these.
    let others = ["cluster-admin", "kube-system"];
    let in_sources: BTreeSet<&str> =
        sources.split('"').filter(|text| is_code(text) && !others.contains(text)).collect();
    let page = page("doctor.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let on_page: BTreeSet<&str> = rows.collect();
    let infrastructure: BTreeSet<&str> = [
        "calico-apiserver",
        "calico-system",
        "cert-manager",
        "kube-flannel",
        "kube-router",
        "metallb-system",
        "openshift-dns",
        "openshift-ovn-kubernetes",
        "openshift-sdn",
        "tigera-operator",
    ]
    .into();
    let in_sources: BTreeSet<&str> = in_sources.difference(&infrastructure).copied().collect();
    assert_eq!(in_sources, on_page);
}

#[test]
fn every_link_leads_somewhere() {
    let folder = root().join("docs");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            assert!(folder.join(target).exists(), "{}: {link}", path.display());
        }
    }
}

/// Metrics that the pages speak of exist.
#[test]
fn metrics_that_are_named_exist() {
    let all = every_metric();
    for name in ["operating.md", "threat-model.md"] {
        for word in
            page(name).split('`').filter(|word| word.starts_with("caapc_") && word.len() > 6)
        {
            let base = word.trim_end_matches("_total");
            assert!(all.contains(&format!("# TYPE {base} ")), "{name}: {word}");
        }
    }
}

/// A page that is generated: compared, or written where blessed.
#[track_caller]
fn generated(name: &str, text: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("BLESS").is_some() && std::env::var_os("CI").is_none() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/{name} is not current; BLESS=1 cargo test --test docs");
}

/// The text of every metric there is.
fn every_metric() -> String {
    let metrics = Metrics::new();
    // A family without a series is not written, so each gets one.
    drop(metrics.overload.get_or_create(&What { what: "queue" }));
    let control = &metrics.control;
    drop(control.policies.get_or_create(&State { state: "compiled" }));
    let shelf = Shelf { shelf: "policies" };
    drop(control.objects.get_or_create(&shelf));
    drop(control.watch_up.get_or_create(&shelf));
    drop(control.watch_heard.get_or_create(&shelf));
    for counter in [&control.watch_errors, &control.watch_lists, &control.malformed] {
        drop(counter.get_or_create(&shelf));
    }
    for counter in [&control.events, &control.namespace_fetches, &control.leader_writes] {
        drop(counter.get_or_create(&Fate { outcome: "sent" }));
    }
    metrics.text()
}

#[test]
fn the_page_of_metrics() {
    let mut text = "# Metrics\n\nServed at `/metrics` of the metrics port, as OpenMetrics. Generated from the program.\n\n| metric | type | |\n|---|---|---|\n".to_owned();
    let all = every_metric();
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    for line in &lines {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let kind = lines.iter().find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        let kind = kind.unwrap_or_else(|| panic!("{name} has no type"));
        let suffix = if kind == "counter" { "_total" } else { "" };
        text.push_str(&format!("| `{name}{suffix}` | {kind} | {} |\n", help.trim_end_matches('.')));
    }
    generated("metrics.md", &text);
}

#[test]
fn the_page_of_commands() {
    let mut text =
        "# Commands\n\nWhat `caapc COMMAND --help` says. Generated from the program.\n".to_owned();
    let mut program = Cli::command().term_width(100);
    program.build();
    for command in program.get_subcommands_mut().filter(|one| one.get_name() != "help") {
        describe(command, "caapc", &mut text);
    }
    generated("commands.md", &text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

fn describe(command: &mut clap::Command, parent: &str, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    // Variables of whoever runs this must not show.
    let mut shown = command.clone().term_width(100).mut_args(|one| one.hide_env_values(true));
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for inner in command.get_subcommands_mut().filter(|one| one.get_name() != "help") {
        describe(inner, &name, text);
    }
}
