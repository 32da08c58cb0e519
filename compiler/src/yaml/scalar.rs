//! What a scalar without quotes means: null, a boolean, a number or a string.
//!
//! The rules are those of the YAML library in `kubectl` (a YAML 1.1 reader with parts of 1.2):
//! `yes`, `on` and `y` are booleans, `010` is eight, `1_000` a thousand, and a time stays text.

/// What a plain scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain {
    /// Nothing, `~`, `null`.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// A whole number that fits `i64` or `u64`.
    Int(i128),
    /// Any other number, the infinities and not-a-number among them.
    Float(f64),
    /// Text.
    String,
}

/// Reads a plain scalar.
pub fn plain(text: &str) -> Plain {
    // PERF: nearly all scalars are words; the first byte tells.
    match text.as_bytes().first() {
        None => Plain::Null,
        Some(b'+' | b'-' | b'0'..=b'9') => number(text),
        Some(b'.') => special(text).unwrap_or_else(|| fraction(text)),
        Some(b'~' | b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => {
            special(text).unwrap_or(Plain::String)
        }
        Some(_) => Plain::String,
    }
}

fn special(text: &str) -> Option<Plain> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Plain::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Plain::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Plain::Null,
        ".nan" | ".NaN" | ".NAN" => Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Plain::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// A number that begins with its point: there, `_` counts only between digits.
fn fraction(text: &str) -> Plain {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let between = |at: usize| digit(at + 1) && at.checked_sub(1).is_some_and(digit);
    let apart = bytes.iter().enumerate().all(|(at, &byte)| byte != b'_' || between(at));
    match float(&text.replace('_', "")).filter(|_| apart) {
        Some(float) => Plain::Float(float),
        None => Plain::String,
    }
}

fn number(text: &str) -> Plain {
    if let Some(special) = special(text) {
        return special;
    }
    // A longer one is no number that means anything, and this bounds the work.
    if text.len() > 400 {
        return Plain::String;
    }
    let digits = text.replace('_', "");
    if let Some(int) = int(&digits) {
        return Plain::Int(int);
    }
    match float(&digits) {
        Some(float) => Plain::Float(float),
        None => Plain::String,
    }
}

/// An integer with Go's prefixes; a leading zero alone means base eight.
fn int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None; // no second sign
    }
    let magnitude = i128::from(u64::from_str_radix(digits, base).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    // A sign in front of a number beyond i64: Go reads neither.
    let signed = text.starts_with(['-', '+']);
    let fits = value >= i128::from(i64::MIN) && (!signed || value <= i128::from(i64::MAX));
    fits.then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, finite.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if digits.is_empty() || !all_digits(digits) {
            return None;
        }
    }
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_takes_them_for() {
        for (text, expected) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("Null", Plain::Null),
            ("nULL", Plain::String),
            ("yes", Plain::Bool(true)),
            ("Off", Plain::Bool(false)),
            ("oN", Plain::String),
            ("Pass", Plain::String),
            ("10", Plain::Int(10)),
            ("+10", Plain::Int(10)),
            ("-0", Plain::Int(0)),
            ("010", Plain::Int(8)),
            ("0o10", Plain::Int(8)),
            ("0x1F", Plain::Int(31)),
            ("0b11", Plain::Int(3)),
            ("1_000", Plain::Int(1000)),
            ("08", Plain::Float(8.0)),
            ("1.5", Plain::Float(1.5)),
            ("1.", Plain::Float(1.0)),
            (".5", Plain::Float(0.5)),
            (".5_1", Plain::Float(0.51)),
            ("._5", Plain::String),
            (".5_", Plain::String),
            ("1e3", Plain::Float(1000.0)),
            ("-1e-3", Plain::Float(-0.001)),
            ("1e400", Plain::String),
            ("18446744073709551615", Plain::Int(u64::MAX as i128)),
            ("18446744073709551616", Plain::Float(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", Plain::Int(i64::MIN as i128)),
            (".inf", Plain::Float(f64::INFINITY)),
            ("-.INF", Plain::Float(f64::NEG_INFINITY)),
            ("inf", Plain::String),
            ("nan", Plain::String),
            (".", Plain::String),
            ("..5", Plain::String),
            ("1.2.3", Plain::String),
            ("1e", Plain::String),
            ("--1", Plain::String),
            ("0x", Plain::String),
            ("1:30", Plain::String),
            ("2022-01-02", Plain::String),
            ("2022-01-02T0:00:00Z", Plain::String),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        assert!(matches!(plain(".nan"), Plain::Float(float) if float.is_nan()));
    }
}
