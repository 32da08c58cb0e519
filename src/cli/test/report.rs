//! How the cases of `caapc test` are told: a table and differences, JSON lines, JUnit.
//!
//! Start at [`text`].

use std::fmt::Write;

use serde::Serialize;

use crate::cli::io::{Failure, shown};
use crate::cli::offline::report::table;

/// One case that ran.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The test's name.
    pub test: String,
    /// Where the expectation stands: `file:line`.
    pub source: String,
    /// `Deployment demo/web`.
    pub object: String,
    /// The expected decision.
    pub expected: String,
    /// Whether all is as expected.
    pub passed: bool,
    /// What differs: field, expected, found.
    pub differences: Vec<Difference>,
}

/// One field that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Such as `decision` or `images[web].verdict`.
    pub field: String,
    /// What the test says.
    pub expected: String,
    /// What was decided.
    pub found: String,
}

/// All cases for people: a table of the cases, then what differs, then a count.
///
/// # Errors
/// None that a user can meet.
pub fn text(cases: &[Case], colour: bool) -> Result<String, Failure> {
    let mut rows = "RESULT\tTEST\tOBJECT\tEXPECTED\tSOURCE\n".to_owned();
    for case in cases {
        let result = if case.passed { "pass" } else { "FAIL" };
        let _ = writeln!(
            rows,
            "{result}\t{}\t{}\t{}\t{}",
            shown(&case.test),
            shown(&case.object),
            case.expected,
            shown(&case.source)
        );
    }
    let mut text = table(&rows)?;
    let paint = |on: &'static str| if colour { on } else { "" };
    let (red, green, plain) = (paint("\u{1b}[31m"), paint("\u{1b}[32m"), paint("\u{1b}[0m"));
    for case in cases.iter().filter(|case| !case.passed) {
        let _ = writeln!(text, "\n{}: {}", shown(&case.source), shown(&case.object));
        for Difference { field, expected, found } in &case.differences {
            let (field, expected, found) = (shown(field), shown(expected), shown(found));
            let _ = writeln!(text, "  {red}- {field}: {expected}{plain}");
            let _ = writeln!(text, "  {green}+ {field}: {found}{plain}");
        }
    }
    let failed = cases.iter().filter(|case| !case.passed).count();
    let count =
        if cases.len() == 1 { "1 case".to_owned() } else { format!("{} cases", cases.len()) };
    let _ = writeln!(text, "\n{count}: {} passed, {failed} failed", cases.len() - failed);
    Ok(text)
}

/// One JSON object a line.
///
/// # Errors
/// None that a user can meet.
pub fn json(cases: &[Case]) -> Result<String, Failure> {
    let mut text = String::new();
    for case in cases {
        let line = serde_json::to_string(case);
        text.push_str(&line.map_err(|error| Failure::Environment(error.to_string()))?);
        text.push('\n');
    }
    Ok(text)
}

/// JUnit's XML: one suite for each test.
pub fn junit(cases: &[Case]) -> String {
    let failures = |cases: &[Case]| cases.iter().filter(|case| !case.passed).count();
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(
        text,
        "<testsuites name=\"caapc\" tests=\"{}\" failures=\"{}\">",
        cases.len(),
        failures(cases)
    );
    for suite in cases.chunk_by(|one, two| one.test == two.test) {
        let name = suite.first().map(|case| xml(&case.test)).unwrap_or_default();
        let (tests, failures) = (suite.len(), failures(suite));
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
        );
        for case in suite {
            let (object, source) = (xml(&case.object), xml(&case.source));
            let _ = write!(text, "    <testcase classname=\"{name}\" name=\"{object} ({source})\"");
            if case.passed {
                text.push_str("/>\n");
                continue;
            }
            let differences: Vec<String> = case
                .differences
                .iter()
                .map(|one| format!("{}: expected {}, found {}", one.field, one.expected, one.found))
                .collect();
            let message = differences.first().map(|first| xml(first)).unwrap_or_default();
            let all = xml(&differences.join("\n"));
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{message}\">{all}</failure>\n    </testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// Text for XML: escaped, without the characters that XML has not.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' | '\u{20}'..='\u{fffd}' | '\u{10000}'.. if !c.is_control() => escaped.push(c),
            other => escaped.extend(other.escape_default()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> Vec<Case> {
        let case = |object: &str, differences: Vec<Difference>| Case {
            test: "a <test>".to_owned(),
            source: "t.yaml:3".to_owned(),
            object: object.to_owned(),
            expected: "Allow".to_owned(),
            passed: differences.is_empty(),
            differences,
        };
        let difference = Difference {
            field: "decision".to_owned(),
            expected: "Allow".to_owned(),
            found: "Reject \u{1b}[31m\"&".to_owned(),
        };
        vec![case("Pod a/b", Vec::new()), case("Pod a/c", vec![difference])]
    }

    #[test]
    fn failures_are_a_table_and_a_difference() {
        let expected = "\
RESULT   TEST       OBJECT    EXPECTED   SOURCE
pass     a <test>   Pod a/b   Allow      t.yaml:3
FAIL     a <test>   Pod a/c   Allow      t.yaml:3

t.yaml:3: Pod a/c
  - decision: Allow
  + decision: Reject \\u{1b}[31m\"&

2 cases: 1 passed, 1 failed
";
        assert_eq!(text(&cases(), false).unwrap(), expected);
    }

    #[test]
    fn junit_is_escaped() {
        let xml = junit(&cases());
        assert!(xml.contains("<testsuites name=\"caapc\" tests=\"2\" failures=\"1\">"));
        assert!(
            xml.contains("<testcase classname=\"a &lt;test&gt;\" name=\"Pod a/b (t.yaml:3)\"/>")
        );
        assert!(
            xml.contains(
                "message=\"decision: expected Allow, found Reject \\u{1b}[31m&quot;&amp;\""
            )
        );
        assert!(!xml.contains('\u{1b}'));
    }
}
