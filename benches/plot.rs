//! Draws the measured table as an SVG: a bar for each figure, on a logarithmic scale.
#![allow(dead_code, unreachable_pub, reason = "included by a benchmark")]

use std::fmt::Write;

/// A bar: what was measured, and how long it took in nanoseconds.
pub struct Bar {
    pub name: String,
    pub nanos: f64,
    /// Ours are drawn in another colour.
    pub ours: bool,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 330.0;
const ROW: f64 = 26.0;

/// The picture as text.
pub fn svg(title: &str, bars: &[Bar]) -> String {
    let (low, high) = bars
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), bar| (low.min(bar.nanos), high.max(bar.nanos)));
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let x =
        |nanos: f64| LEFT + (nanos.log10() - low) / (high - low).max(1.0) * (WIDTH - LEFT - 110.0);
    let height = ROW * (bars.len() as f64 + 3.0);
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' \
         font-family='sans-serif' font-size='13'>\n<rect width='100%' height='100%' fill='white'/>\n\
         <text x='12' y='20' font-size='15'>{title}</text>\n"
    );
    for power in low as i32..=high as i32 {
        let at = x(10f64.powi(power));
        let (top, bottom) = (ROW * 1.3, height - ROW * 1.2);
        let _ = writeln!(
            out,
            "<line x1='{at:.1}' y1='{top}' x2='{at:.1}' y2='{bottom}' stroke='#ddd'/>\
             <text x='{at:.1}' y='{:.1}' text-anchor='middle' fill='#555'>{}</text>",
            height - ROW * 0.5,
            unit(10f64.powi(power))
        );
    }
    for (nth, bar) in bars.iter().enumerate() {
        let top = ROW * (nth as f64 + 1.5);
        let colour = if bar.ours { "#1f6feb" } else { "#b0b7c3" };
        let end = x(bar.nanos);
        let _ = writeln!(
            out,
            "<text x='{}' y='{:.1}' text-anchor='end'>{}</text>\
             <rect x='{LEFT}' y='{:.1}' width='{:.1}' height='{}' fill='{colour}'/>\
             <text x='{:.1}' y='{:.1}'>{}</text>",
            LEFT - 8.0,
            top + 14.0,
            bar.name,
            top,
            (end - LEFT).max(1.0),
            ROW - 8.0,
            end + 6.0,
            top + 14.0,
            unit(bar.nanos)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn unit(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e3 => format!("{nanos:.0} ns"),
        nanos if nanos < 1e6 => format!("{:.3} us", nanos / 1e3).replace(".000", ""),
        nanos => format!("{:.3} ms", nanos / 1e6).replace(".000", ""),
    }
}
