//! `caapc selector`: what a selector means, its canonical form and ID, and what it matches.

use std::collections::BTreeMap;

use caapc_compiler::selector::{self, Selector};
use clap::{ArgAction, ArgMatches, Command};
use serde::{Deserialize, Serialize};

use super::batch;
use super::io::{Exit, Failure, Out, Output, read_text, shown};
use crate::scan::report::Unique;

/// Read a selector: its canonical form, its ID, and which label sets it matches.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The selector, such as `env == "prod" && has(team)`; `-` reads it from standard input.
    ///
    /// It is read exactly, without trimming, except from standard input, where white space around
    /// it is dropped as it is in a policy. Put `--` before one that starts with an option, as `-o`.
    #[arg(value_name = "EXPR", required_unless_present = "batch", allow_hyphen_values = true)]
    expr: Option<String>,

    #[command(flatten)]
    sets: LabelSets,

    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "batch")]
    output: Output,

    /// Answer JSON lines from standard input, each `{"s": selector, "l": [{label: value}...]}`.
    ///
    /// Each is answered in the same order with `{"s", "ok", "err"?, "canon"?, "uid"?, "m"?}`, where
    /// `m` has one boolean for each label set. A line that cannot be read is answered with
    /// `"ok": false` and makes the exit code 2.
    #[arg(long, conflicts_with_all = ["expr", "labels", "labels_json"])]
    batch: bool,
}

const EXAMPLES: &str = r#"Examples:
  What a selector is called by Calico, and whether it is one:
    caapc selector 'env=="prod"&&has( team )'

  Which label sets it matches; no labels at all is --labels '':
    caapc selector 'env != "prod"' --labels env=prod --labels env=dev,team=a --labels ''

  Values with commas are given as JSON:
    caapc selector 'note contains ","' --labels-json '{"note": "a,b"}'

  From a file, and for a program:
    caapc selector - -o json < selector.txt

  Many at once:
    echo '{"s": "has(a)", "l": [{"a": "1"}, {}]}' | caapc selector --batch

Operators (a missing label: `!=` and `not in` hold, all others do not):
  a == "v"   a != "v"   a in {"v", "w"}   a not in {"v", "w"}
  a contains "v"   a starts with "v"   a ends with "v"
  has(a)   all()   !x   x && y   x || y   (x)

Exit codes: 0 the selector was read, whatever it matches; 2 it is no selector, or a label set or a
line of the batch cannot be read."#;

/// The label sets of the command line, in the order they were given, whichever flag gave them.
#[derive(Debug, Default)]
struct LabelSets(Vec<Labels>);

type Labels = BTreeMap<String, String>;

impl clap::Args for LabelSets {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                clap::Arg::new("labels")
                    .long("labels")
                    .value_name("K=V,...")
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true)
                    .value_parser(parse_labels)
                    .help("A label set to match; may be given many times, '' is the empty set"),
            )
            .arg(
                clap::Arg::new("labels_json")
                    .long("labels-json")
                    .value_name("JSON")
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true)
                    .value_parser(parse_labels_json)
                    .help("A label set as a JSON object, for values that hold commas"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for LabelSets {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut sets: Vec<(usize, Labels)> = Vec::new();
        for name in ["labels", "labels_json"] {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Labels>(name).into_iter().flatten().cloned();
            sets.extend(places.zip(values));
        }
        sets.sort_by_key(|(place, _)| *place);
        Ok(Self(sets.into_iter().map(|(_, set)| set).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn parse_labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for item in text.split(',') {
        let item = item.trim_start();
        if item.is_empty() {
            continue;
        }
        let Some((key, value)) = item.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!(
                "`{}` is not of the form key=value; for values that hold commas use --labels-json",
                item.escape_debug()
            ));
        };
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the label `{}` is given twice", key.escape_debug()));
        }
    }
    Ok(labels)
}

fn parse_labels_json(text: &str) -> Result<Labels, String> {
    serde_json::from_str::<Unique<String>>(text)
        .map(|labels| labels.0)
        .map_err(|error| format!("{error}; write one object of strings: {{\"env\": \"prod\"}}"))
}

/// A line of the batch. Other fields are ignored, so that answers can be asked again.
#[derive(Deserialize)]
struct Question {
    s: String,
    l: Option<Vec<Unique<String>>>,
}

/// The answer to a selector, one line of JSON.
#[derive(Serialize)]
struct Answer {
    s: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<Vec<bool>>,
}

/// Runs `caapc selector`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let Args { expr, sets: LabelSets(sets), output, batch } = args;
    if batch {
        let shape = r#"{"s": selector, "l": [{label: value}...]}"#;
        return batch::run(out, shape, |Question { s, l }| {
            let sets = |l: Vec<Unique<String>>| l.into_iter().map(|set| set.0).collect::<Vec<_>>();
            answer(s, l.map(sets).as_deref())
        });
    }
    let (place, text) = match expr.as_deref() {
        Some("-") | None => ("standard input", read_text("-".as_ref())?.trim().to_owned()),
        Some(expr) => ("selector", expr.to_owned()),
    };
    let parsed = selector::parse(&text);
    match (output, &parsed) {
        (Output::Json, _) => {
            let line = serde_json::to_string(&answer(text.clone(), Some(&sets)));
            out.line(&line.map_err(|error| Failure::Environment(error.to_string()))?)?;
        }
        (Output::Text, Ok(selector)) => print(selector, &sets, out)?,
        (Output::Text, Err(_)) => {}
    }
    match parsed {
        Ok(_) => Ok(Exit::Fine),
        Err(error) => {
            out.flush()?;
            Err(Failure::Input(error.report(place, &text)))
        }
    }
}

fn answer(s: String, sets: Option<&[Labels]>) -> Answer {
    match selector::parse(&s) {
        Ok(selector) => Answer {
            ok: true,
            err: None,
            canon: Some(selector.canonical()),
            uid: Some(selector.id()),
            m: sets.map(|sets| sets.iter().map(|set| matches(&selector, set)).collect()),
            s,
        },
        Err(error) => {
            let column = s[..error.span.start].chars().count() + 1;
            let help = error.help.map(|help| format!("; {help}")).unwrap_or_default();
            let err = Some(format!("character {column}: {}{help}", error.message));
            Answer { s, ok: false, err, canon: None, uid: None, m: None }
        }
    }
}

fn matches(selector: &Selector, set: &Labels) -> bool {
    let labels: Vec<(&str, &str)> = set.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    selector.matches(&labels)
}

fn print(selector: &Selector, sets: &[Labels], out: &mut Out) -> Result<(), Failure> {
    // A value may hold a line break or an escape: it must not reach the terminal.
    let canonical = shown(&selector.canonical());
    out.line(&format!("canonical  {canonical}\nid         {}", selector.id()))?;
    for set in sets {
        let answer = if matches(selector, set) { "yes" } else { "no" };
        let labels: Vec<String> =
            set.iter().map(|(key, value)| shown(&format!("{key}={value}"))).collect();
        let labels = if labels.is_empty() { "(no labels)".into() } else { labels.join(", ") };
        out.line(&format!("{answer:<9}  {labels}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_keep_the_order_of_the_command_line() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            sets: LabelSets,
        }
        let line = ["x", "--labels", "a=1", "--labels-json", r#"{"a":"2"}"#, "--labels", ""];
        let sets = Line::parse_from(line).sets.0;
        let values: Vec<Option<&str>> =
            sets.iter().map(|set| set.get("a").map(String::as_str)).collect();
        assert_eq!(values, [Some("1"), Some("2"), None]);
    }

    #[test]
    fn label_sets_that_are_none_are_refused() {
        assert!(parse_labels("a").unwrap_err().contains("key=value"));
        assert!(parse_labels("=b").unwrap_err().contains("key=value"));
        assert!(parse_labels("a=1,a=2").unwrap_err().contains("twice"));
        assert_eq!(parse_labels("a=b=c, d=").map(|set| set.len()), Ok(2));
        assert!(parse_labels_json("[1]").unwrap_err().contains("one object of strings"));
    }
}
