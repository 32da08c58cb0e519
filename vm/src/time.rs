//! Calendar arithmetic: the bound of a duration, as Go's `AddDate` computes it.
//!
//! It normalises and does not clamp: one month before March 31 is "February 31", which is
//! March 3 or 2 (spec: policy, "imageLastScan"). Start at [`before`].

use crate::facts::Timestamp;

const DAY_SECS: i64 = 86_400;

/// A calendar span, as a policy's `duration` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
}

impl std::fmt::Display for Span {
    /// `3d`, `1y2m`; `0d` for nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { years, months, days } = *self;
        if years > 0 {
            write!(f, "{years}y")?;
        }
        if months > 0 {
            write!(f, "{months}m")?;
        }
        if days > 0 || (years == 0 && months == 0) {
            write!(f, "{days}d")?;
        }
        Ok(())
    }
}

/// `now` less a span, in UTC. A bound before year 1 is earlier than everything.
pub const fn before(now: Timestamp, span: Span) -> Timestamp {
    on_day(day_before(day(now), span), now)
}

/// The day of a time, in days since 1970-01-01.
pub const fn day(time: Timestamp) -> i64 {
    time.secs.div_euclid(DAY_SECS)
}

/// A day less a span; `None` before year 1.
pub const fn day_before(day: i64, span: Span) -> Option<i64> {
    let (year, month, day) = civil(day);
    let months = year * 12 + (month as i64 - 1) - (span.years as i64 * 12 + span.months as i64);
    let first = days_from_civil(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1);
    let bound = first + (day as i64 - 1) - span.days as i64;
    if bound < YEAR_1 { None } else { Some(bound) }
}

/// The time of day of `now` on another day; no day is earlier than everything.
pub const fn on_day(day: Option<i64>, now: Timestamp) -> Timestamp {
    match day {
        None => Timestamp::MIN,
        Some(day) => {
            Timestamp { secs: day * DAY_SECS + now.secs.rem_euclid(DAY_SECS), nanos: now.nanos }
        }
    }
}

const YEAR_1: i64 = days_from_civil(1, 1, 1);

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; `month` is 1 to 12.
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years are counted from March, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month (1 to 12) and day (1 to 31) of a number of days since 1970-01-01.
pub const fn civil(days: i64) -> (i64, u32, u32) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month =
        (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u32;
    let year = year_of_era + era * 400 + (if month <= 2 { 1 } else { 0 });
    (year, month, day)
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl Timestamp {
    /// RFC 3339 in UTC, with the fraction only where there is one; `-infinity` for the earliest.
    pub fn text(self) -> TimestampText {
        if self == Self::MIN {
            return TimestampText::EARLIEST;
        }
        let (year, month, day) = civil(self.secs.div_euclid(DAY_SECS));
        let rest = self.secs.rem_euclid(DAY_SECS) as u32;
        let mut text = TimestampText { bytes: *TEMPLATE, start: 0, end: SECOND_END };
        text.start = text.year(year);
        let pairs = [month, day, rest / 3_600, rest / 60 % 60, rest % 60];
        for (end, number) in (YEAR_END + 3..).step_by(3).zip(pairs) {
            text.digits(end - 2..end, number);
        }
        if self.nanos > 0 {
            let end = SECOND_END + ".000000000".len();
            text.digits(end - 9..end, self.nanos);
            let zeros = text.bytes.iter().take(end).rev().take_while(|&&digit| digit == b'0');
            text.end = end - zeros.count();
        }
        text.put(text.end, b'Z');
        text.end += 1;
        text
    }
}

/// The text of a time, on the stack.
// PERF: no padded numbers and no formatter; a log line and a denial have several times.
#[derive(Clone, Copy, Debug)]
pub struct TimestampText {
    bytes: [u8; TEMPLATE.len()],
    start: usize,
    end: usize,
}

/// With room for each year that 64 bits of seconds can be in, and its sign.
const TEMPLATE: &[u8; 46] = b"                0000-00-00T00:00:00.000000000Z";
const YEAR_END: usize = 20;
const SECOND_END: usize = YEAR_END + "-00-00T00:00:00".len();

impl TimestampText {
    const EARLIEST: Self =
        Self { bytes: *b"-infinity                                     ", start: 0, end: 9 };

    /// As text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(self.start..self.end);
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// Writes a year with four digits at least, and tells where it starts.
    fn year(&mut self, year: i64) -> usize {
        let mut start = YEAR_END;
        let mut left = year.unsigned_abs();
        while left > 0 || start > YEAR_END - 4 {
            start -= 1;
            self.put(start, b'0' + (left % 10) as u8);
            left /= 10;
        }
        if year < 0 {
            start -= 1;
            self.put(start, b'-');
        }
        start
    }

    /// Writes the last digits of a number.
    fn digits(&mut self, places: std::ops::Range<usize>, mut number: u32) {
        for at in places.rev() {
            self.put(at, b'0' + (number % 10) as u8);
            number /= 10;
        }
    }

    fn put(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: u32, day: u32, hour: i64) -> Timestamp {
        Timestamp::from_secs(days_from_civil(year, month, day) * DAY_SECS + hour * 3_600)
    }

    #[track_caller]
    fn check(now: Timestamp, (years, months, days): (u32, u32, u32), bound: &str) {
        assert_eq!(before(now, Span { years, months, days }).to_string(), bound);
    }

    /// The table of the contract (spec: policy, "imageLastScan").
    #[test]
    fn months_normalise_as_in_go() {
        check(at(2023, 3, 31, 10), (0, 1, 0), "2023-03-03T10:00:00Z");
        check(at(2024, 3, 31, 10), (0, 1, 0), "2024-03-02T10:00:00Z");
        check(at(2024, 2, 29, 10), (1, 0, 0), "2023-03-01T10:00:00Z");
        check(at(2023, 3, 31, 10), (0, 1, 1), "2023-03-02T10:00:00Z");
        check(at(2023, 1, 31, 10), (0, 2, 0), "2022-12-01T10:00:00Z");
        check(at(2024, 2, 29, 10), (1, 12, 0), "2022-03-01T10:00:00Z");
        check(at(2023, 5, 31, 0), (0, 15, 3), "2022-02-28T00:00:00Z");
    }

    #[test]
    fn a_bound_before_year_one_is_minus_infinity() {
        check(at(2026, 1, 1, 0), (2025, 0, 0), "0001-01-01T00:00:00Z");
        check(at(2026, 1, 1, 0), (2025, 0, 1), "-infinity");
        check(at(2026, 1, 1, 0), (u32::MAX, u32::MAX, u32::MAX), "-infinity");
    }

    #[test]
    fn times_of_any_year_have_a_text() {
        let text = |secs, nanos| Timestamp { secs, nanos }.text().as_str().to_owned();
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_768_478_405, 120_000_000), "2026-01-15T12:00:05.12Z");
        assert_eq!(text(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(text(253_402_300_800, 1), "10000-01-01T00:00:00.000000001Z");
        assert_eq!(text(-62_198_755_200, 0), "-0001-01-01T00:00:00Z");
        assert_eq!(text(i64::MAX, 0), "292277026596-12-04T15:30:07Z");
        assert_eq!(text(i64::MIN + 1, 999_999_999).len(), "-292277022657-01-27T".len() + 19);
        assert_eq!(Timestamp::MIN.to_string(), "-infinity");
    }

    #[test]
    fn dates_go_there_and_back() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
    }
}
