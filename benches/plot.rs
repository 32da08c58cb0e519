//! Draws measured times as an SVG: groups of bars on a logarithmic scale.
#![allow(dead_code, unreachable_pub, reason = "included with `#[path]`")]

use std::fmt::Write;

/// What took how long.
pub struct Bar {
    pub name: String,
    pub nanos: f64,
    /// Ours are drawn in another colour.
    pub ours: bool,
}

/// Bars under a heading.
pub struct Group {
    pub name: String,
    pub bars: Vec<Bar>,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 22.0;
const TOP: f64 = 34.0;

/// The picture as text.
pub fn svg(title: &str, groups: &[Group]) -> String {
    let nanos = || groups.iter().flat_map(|group| &group.bars).map(|bar| bar.nanos);
    let low = nanos().fold(f64::MAX, f64::min).log10().floor();
    let high = nanos().fold(f64::MIN, f64::max).log10().ceil().max(low + 1.0);
    let x = |nanos: f64| LEFT + (nanos.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let rows: usize = groups.iter().map(|group| group.bars.len() + 1).sum();
    let bottom = TOP + ROW * rows as f64 + 6.0;
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {}' \
         font-family='sans-serif' font-size='12'>\n<title>{title}</title>\n\
         <rect width='100%' height='100%' fill='white'/>\n\
         <text x='12' y='20' font-size='15'>{title}</text>\n",
        bottom + 24.0
    );
    for power in low as i32..=high as i32 {
        let (at, label) = (x(10_f64.powi(power)), unit(10_f64.powi(power)));
        let _ = writeln!(
            out,
            "<path d='M{at:.1} {TOP}V{bottom}' stroke='#ddd'/>\
             <text x='{at:.1}' y='{}' text-anchor='middle' fill='#555'>{label}</text>",
            bottom + 16.0
        );
    }
    let mut y = TOP;
    for group in groups {
        let _ = writeln!(
            out,
            "<text x='12' y='{:.1}' font-weight='bold'>{}</text>",
            y + 15.0,
            group.name
        );
        y += ROW;
        for bar in &group.bars {
            draw(&mut out, bar, y, x(bar.nanos));
            y += ROW;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, Bar { name, nanos, ours }: &Bar, y: f64, end: f64) {
    let colour = if *ours { "#1f6feb" } else { "#b0b7c3" };
    let (width, height, text) = ((end - LEFT).max(1.0), ROW - 6.0, y + 15.0);
    let _ = writeln!(
        out,
        "<text x='{}' y='{text:.1}' text-anchor='end'>{name}</text>\
         <rect x='{LEFT}' y='{:.1}' width='{width:.1}' height='{height}' fill='{colour}'/>\
         <text x='{:.1}' y='{text:.1}'>{}</text>",
        LEFT - 8.0,
        y + 3.0,
        end + 6.0,
        unit(*nanos)
    );
}

/// `290 ns`, `4.27 us`, `131 ms`: three digits.
pub fn unit(nanos: f64) -> String {
    let (value, unit) = match nanos {
        nanos if nanos < 999.5 => (nanos, "ns"),
        nanos if nanos < 999.5e3 => (nanos / 1e3, "us"),
        nanos if nanos < 999.5e6 => (nanos / 1e6, "ms"),
        nanos => (nanos / 1e9, "s"),
    };
    let digits = if unit == "ns" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}
