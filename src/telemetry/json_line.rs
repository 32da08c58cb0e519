//! A log line as one JSON object, written straight from the event into its buffer.
//!
//! tracing-subscriber's own form goes through a serializer and a map for each line, which took
//! longer than deciding a review. Spans are not used in this program and not written.
//! Start at [`JsonLine`].

use std::fmt::{self, Write};
use std::time::SystemTime;

use caapc_vm::facts::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::byte_search::special;

/// `timestamp`, `level`, the fields as they come, `target`.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp { secs, nanos: now.subsec_micros() * 1000 };
        write!(out, r#"{{"timestamp":"{now}","level":"{}""#, metadata.level())?;
        let mut fields = Fields { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writeln!(out, r#","target":"{}"}}"#, metadata.target())
    }
}

struct Fields<'a, W> {
    out: &'a mut W,
    result: fmt::Result,
}

impl<W: Write> Fields<'_, W> {
    /// Writes a field whose value is JSON.
    fn json(&mut self, field: &Field, value: &str) {
        self.write(field, |out| out.write_str(value));
    }

    /// Writes a field whose value is text.
    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.write(field, |out| quoted(out, |out| out.write_fmt(value)));
    }

    fn write(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        self.result = self.result.and_then(|()| {
            self.out.write_str(",\"")?;
            self.out.write_str(field.name())?;
            self.out.write_str("\":")?;
            value(self.out)
        });
    }
}

impl<W: Write> Visit for Fields<'_, W> {
    // PERF: most fields are text as it is or numbers, which need no formatting.
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |out| quoted(out, |out| out.write_str(value)));
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

/// Writes a JSON string of what `text` writes.
fn quoted<W: Write>(
    out: &mut W,
    text: impl FnOnce(&mut Escaped<'_, W>) -> fmt::Result,
) -> fmt::Result {
    out.write_str("\"")?;
    text(&mut Escaped(out))?;
    out.write_str("\"")
}

/// Escapes what is written for the inside of a JSON string.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        loop {
            let (before, after) = rest.split_at(special::<false>(rest.as_bytes(), 0));
            self.0.write_str(before)?;
            match after.as_bytes().first() {
                None => return Ok(()),
                Some(b'"') => self.0.write_str("\\\"")?,
                Some(b'\\') => self.0.write_str("\\\\")?,
                Some(b'\n') => self.0.write_str("\\n")?,
                Some(byte) => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &after[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_the_fields_hold() {
        let sink = Sink::default();
        let to = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .event_format(JsonLine)
            .finish();
        let nobody: Option<u32> = None;
        tracing::subscriber::with_default(subscriber, || {
            let text = "a \"b\" \\ \n \u{1} é";
            tracing::warn!(text, n = 7, minus = -7, yes = true, half = 0.5, nan = f64::NAN, nobody, shown = %text, "said {text}");
        });
        let bytes = sink.0.lock().expect("no panic").clone();
        let line = String::from_utf8(bytes).expect("UTF-8");
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
