//! A log line as one JSON object, written straight from the event into its buffer.
//!
//! tracing-subscriber's own form goes through a serializer and a map for each line, which took
//! longer than deciding a review. Spans are not used in this program and not written.
//! Start at [`JsonLines`].

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use caapc_vm::facts::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::log::Lines;
use crate::byte_search::special;

/// Makes each event a line.
pub(super) struct JsonLines(pub(super) Arc<Lines>);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Only a field whose own form fails can end a line early; it is lost then.
        self.0.add(|line| write_line(line, event));
    }
}

/// `timestamp`, `level`, the fields as they come, `target`.
fn write_line(line: &mut String, event: &Event<'_>) -> fmt::Result {
    let metadata = event.metadata();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let now = Timestamp { secs, nanos: now.subsec_micros() * 1000 };
    let (now, level) = (now.text(), metadata.level().as_str());
    for part in ["{\"timestamp\":\"", now.as_str(), "\",\"level\":\"", level, "\""] {
        line.push_str(part);
    }
    let mut fields = Fields { line, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    for part in [",\"target\":\"", metadata.target(), "\"}\n"] {
        line.push_str(part);
    }
    Ok(())
}

struct Fields<'a> {
    line: &'a mut String,
    result: fmt::Result,
}

impl Fields<'_> {
    /// Writes a field whose value is JSON.
    fn json(&mut self, field: &Field, value: &str) {
        self.name(field, "\":");
        self.line.push_str(value);
    }

    /// Writes a field whose value is text.
    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field, "\":\"");
        self.result = self.result.and(Escaped(self.line).write_fmt(value));
        self.line.push('"');
    }

    /// Writes a field's name and what stands behind it: also the quote before a text.
    fn name(&mut self, field: &Field, behind: &str) {
        for part in [",\"", field.name(), behind] {
            self.line.push_str(part);
        }
    }
}

impl Visit for Fields<'_> {
    // PERF: most fields are text as it is or numbers, which need no formatting.
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field, "\":\"");
        Escaped(self.line).push_str(value);
        self.line.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.json(field, itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.json(field, itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.json(field, if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.json(field, &value.to_string()),
            // JSON has no word for it.
            false => self.text(field, format_args!("{value}")),
        }
    }

    /// Also what is shown with `%`, and messages.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Escapes what is written for the inside of a JSON string.
struct Escaped<'a>(&'a mut String);

impl Escaped<'_> {
    fn push_str(&mut self, text: &str) {
        let mut rest = text;
        loop {
            let (before, after) = rest.split_at(special::<false>(rest.as_bytes(), 0));
            self.0.push_str(before);
            match after.as_bytes().first() {
                None => return,
                Some(b'"') => self.0.push_str("\\\""),
                Some(b'\\') => self.0.push_str("\\\\"),
                Some(b'\n') => self.0.push_str("\\n"),
                Some(byte) => drop(write!(self.0, "\\u{byte:04x}")),
            }
            rest = &after[1..];
        }
    }
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_fields_hold() {
        let (writer, _wakes) = std::sync::mpsc::sync_channel(1);
        let lines = Arc::new(Lines::new(writer));
        let subscriber = tracing_subscriber::registry().with(JsonLines(Arc::clone(&lines)));
        let nobody: Option<u32> = None;
        tracing::subscriber::with_default(subscriber, || {
            let text = "a \"b\" \\ \n \u{1} é";
            tracing::warn!(text, n = 7, minus = -7, yes = true, half = 0.5, nan = f64::NAN, nobody, shown = %text, "said {text}");
        });
        let mut line = Vec::new();
        lines.collect(&mut Default::default(), &mut line).expect("memory");
        let line = String::from_utf8(line).expect("text");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let text = "a \"b\" \\ \n \u{1} é";
        assert_eq!(value["text"], text);
        assert_eq!(value["shown"], text);
        assert_eq!(value["message"], format!("said {text}"));
        assert_eq!((&value["n"], &value["minus"]), (&7.into(), &(-7).into()));
        assert_eq!((&value["yes"], &value["half"]), (&true.into(), &0.5.into()));
        assert_eq!(value["nan"], "NaN");
        assert_eq!(value["level"], "WARN");
        assert!(value.get("nobody").is_none());
        assert!(value["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
        assert!(value["target"].as_str().is_some_and(|at| at.ends_with("json_line::tests")));
    }
}
