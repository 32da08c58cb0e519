//! Times as Go reads them.
//!
//! Policies were read by Go's `time.Parse(time.RFC3339, ...)`, which takes more than RFC 3339
//! (a one-digit hour, a comma before the fraction) and less (no lower case, no leap second).
//! Start at [`parse_rfc3339`].

use caapc_vm::facts::Timestamp;
use caapc_vm::time::days_from_civil;

/// Reads a time such as `2022-01-02T15:04:05.5+01:00` as Go does; the fraction is cut after
/// nanoseconds.
///
/// # Errors
/// What is wrong with it, as one clause. (Spec: policy, "imageLastScan".)
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let mut rest = Rest { bytes: text.as_bytes() };
    let year = rest.digits(4, "a year of four digits")?;
    rest.byte(b'-', "`-` after the year")?;
    let month = rest.digits(2, "a month of two digits")?;
    in_range(month, 1..=12, "month")?;
    rest.byte(b'-', "`-` after the month")?;
    let day = rest.digits(2, "a day of two digits")?;
    rest.byte(b'T', "an upper-case `T` after the date")?;
    let hour = rest.hour()?;
    in_range(hour, 0..=23, "hour")?;
    rest.byte(b':', "`:` after the hour")?;
    let minute = rest.digits(2, "minutes of two digits")?;
    in_range(minute, 0..=59, "minute")?;
    rest.byte(b':', "`:` and seconds after the minutes")?;
    let second = rest.digits(2, "seconds of two digits")?;
    in_range(second, 0..=59, "second")?;
    let nanos = rest.fraction();
    let offset_secs = rest.offset()?;
    if !rest.bytes.is_empty() {
        return Err("expected nothing after the offset".to_owned());
    }
    let year = i64::from(year);
    // The year is four digits and the offset under two days: no sum here can overflow.
    let next_month = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let month_days =
        days_from_civil(next_month.0, next_month.1, 1) - days_from_civil(year, month, 1);
    if day == 0 || i64::from(day) > month_days {
        return Err(format!("this month has no day {day:02}"));
    }
    let days = days_from_civil(year, month, day);
    let clock = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Ok(Timestamp { secs: days * 86_400 + clock - offset_secs, nanos })
}

fn in_range(number: u32, range: std::ops::RangeInclusive<u32>, what: &str) -> Result<(), String> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(format!("the {what} {number:02} is not in {:02} to {:02}", range.start(), range.end()))
}

/// What has not been read yet.
struct Rest<'a> {
    bytes: &'a [u8],
}

impl Rest<'_> {
    fn byte(&mut self, wanted: u8, what: &str) -> Result<(), String> {
        match self.bytes.split_first() {
            Some((&byte, rest)) if byte == wanted => {
                self.bytes = rest;
                Ok(())
            }
            _ => Err(format!("expected {what}")),
        }
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize, what: &str) -> Result<u32, String> {
        let Some((digits, rest)) = self.bytes.split_at_checked(count) else {
            return Err(format!("expected {what}"));
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(format!("expected {what}"));
        }
        self.bytes = rest;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// One digit or two.
    fn hour(&mut self) -> Result<u32, String> {
        let two = self.bytes.get(1).is_some_and(u8::is_ascii_digit);
        self.digits(if two { 2 } else { 1 }, "an hour")
    }

    /// `.` or `,` and digits, as nanoseconds; nothing is nothing.
    fn fraction(&mut self) -> u32 {
        let [b'.' | b',', rest @ ..] = self.bytes else { return 0 };
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return 0;
        }
        self.bytes = &rest[count..];
        let digits = rest[..count].iter().map(|digit| u32::from(digit - b'0'));
        digits.chain(std::iter::repeat(0)).take(9).fold(0, |nanos, digit| nanos * 10 + digit)
    }

    /// `Z`, or a sign, hours and minutes; in seconds.
    fn offset(&mut self) -> Result<i64, String> {
        const WHAT: &str = "`Z` or an offset such as `+01:00` at the end";
        let (&sign, rest) = self.bytes.split_first().ok_or(format!("expected {WHAT}"))?;
        self.bytes = rest;
        let sign = match sign {
            b'Z' => return Ok(0),
            b'+' => 1,
            b'-' => -1,
            _ => return Err(format!("expected {WHAT}")),
        };
        let hours = self.digits(2, WHAT)?;
        self.byte(b':', WHAT)?;
        let minutes = self.digits(2, WHAT)?;
        // Go lets 24 hours and 60 minutes pass.
        in_range(hours, 0..=24, "hour of the offset")?;
        in_range(minutes, 0..=60, "minute of the offset")?;
        Ok(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every answer here is Go 1.26's.
    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("2022-01-02T0:00:00Z", "2022-01-02T00:00:00Z"),
            ("2022-01-02T15:04:05Z", "2022-01-02T15:04:05Z"),
            ("2022-01-02T15:04:05.5Z", "2022-01-02T15:04:05.5Z"),
            ("2022-01-02T15:04:05,25Z", "2022-01-02T15:04:05.25Z"),
            ("2022-01-02T15:04:05.1234567899Z", "2022-01-02T15:04:05.123456789Z"),
            ("2022-01-02T15:04:05+01:30", "2022-01-02T13:34:05Z"),
            ("2022-01-02T15:04:05-00:00", "2022-01-02T15:04:05Z"),
            ("2022-01-02T15:04:05+24:60", "2022-01-01T14:04:05Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let found = parse_rfc3339(text).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "2022-01-02",
            "2022-01-02t15:04:05Z",
            "2022-01-02T15:04:05z",
            "2022-01-02 15:04:05Z",
            "2022-01-02T15:04Z",
            "2022-01-02T15:04:05",
            "2022-01-02T15:04:05+0530",
            "2022-01-02T15:04:05+05",
            "2022-01-02T15:04:05+25:00",
            "2022-01-02T15:04:05+00:61",
            "2022-01-02T24:00:00Z",
            "2022-01-02T15:60:00Z",
            "2022-01-02T15:04:60Z",
            "2022-1-02T15:04:05Z",
            "2022-01-2T15:04:05Z",
            "2022-02-30T15:04:05Z",
            "2023-02-29T15:04:05Z",
            "2022-00-01T15:04:05Z",
            "2022-13-01T15:04:05Z",
            "2022-01-00T15:04:05Z",
            "12022-01-02T15:04:05Z",
            "2022-01-02T15:04:05.Z",
            "2022-01-02T15:04:05Z ",
            " 2022-01-02T15:04:05Z",
            "2022-01-02T15:4:05Z",
            "2022-01-02T15:04:5Z",
            "２022-01-02T15:04:05Z",
        ] {
            assert!(parse_rfc3339(text).is_err(), "{text}");
        }
    }
}
