//! The table of what was measured against what must be, and what is aimed at. Included with
//! `#[path]`.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use serde_json::{Value, json};

use crate::plot::unit;

/// A figure: `measured` is what is bounded, `detail` says what it was made from. What is aimed at
/// beyond what must be tells whether less or more is better.
struct Row {
    /// Which promise it answers.
    row: u8,
    what: String,
    detail: String,
    measured: f64,
    must: f64,
    aim: f64,
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn ratio(
        &mut self,
        row: u8,
        what: &str,
        (ours, other): (f64, f64),
        (must, aim): (f64, f64),
    ) {
        let detail = format!("{} / {}", unit(ours), unit(other));
        self.rows.push(Row {
            row,
            what: what.to_owned(),
            detail,
            measured: ours / other,
            must,
            aim,
        });
    }

    pub(crate) fn figure(
        &mut self,
        row: u8,
        what: &str,
        measured: f64,
        detail: String,
        (must, aim): (f64, f64),
    ) {
        self.rows.push(Row { row, what: what.to_owned(), detail, measured, must, aim });
    }

    pub(crate) fn print(&mut self) {
        self.rows.sort_by_key(|row| row.row);
        println!(
            "\n{:>3} {:<62} {:>24} {:>9} {:>9} {:>9}",
            "row", "what", "", "measured", "must", "aim"
        );
        for Row { row, what, detail, measured, must, aim } in &self.rows {
            let sign = if aim > must { -1.0 } else { 1.0 };
            let mark = match sign * measured {
                measured if measured <= sign * aim => "aim",
                measured if measured <= sign * must => "must",
                _ => "MISSED",
            };
            println!("{row:>3} {what:<62} {detail:>24} {measured:>9.4} {must:>9} {aim:>9}  {mark}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|Row { row, what, detail, measured, must, aim }| {
            let measured = (measured * 1e5).round() / 1e5;
            json!({"row": row, "what": what, "detail": detail, "measured": measured, "must": must, "aim": aim})
        });
        rows.collect()
    }
}
