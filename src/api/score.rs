//! CVSS scores in tenths, and severities.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A CVSS score from 0.0 to 10.0. Kept in tenths, because comparing decimal fractions in binary
/// goes wrong at the boundaries (spec: scan, "Status"). Written as a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// The highest score.
    pub const MAX: Self = Self(100);

    /// A score in tenths; `None` above 100.
    pub const fn from_tenths(tenths: u8) -> Option<Self> {
        if tenths <= 100 { Some(Self(tenths)) } else { None }
    }

    /// A score from a number as reports have it, rounded to the nearest tenth; `None` outside
    /// 0.0 to 10.0.
    pub fn from_f64(number: f64) -> Option<Self> {
        // The range holds neither infinities nor NaN, so the cast is exact.
        (0.0..=10.0).contains(&number).then(|| Self((number * 10.0).round() as u8))
    }

    /// The score in tenths, 0 to 100.
    pub const fn tenths(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl std::str::FromStr for Score {
    type Err = String;

    /// Reads `7`, `7.0`, `10.0`: at most one digit after the point, so that nothing is rounded.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a score from 0.0 to 10.0 with one decimal");
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(tenth) || whole.len() > 2 || tenth.len() > 1 {
            return Err(wrong());
        }
        let number = |part: &str| part.parse::<u8>().map_err(|_| wrong());
        Self::from_tenths(number(whole)?.saturating_mul(10).saturating_add(number(tenth)?))
            .ok_or_else(wrong)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 10.0)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::from_f64(number).ok_or_else(|| {
            serde::de::Error::custom(format!("score {number} is outside 0.0 to 10.0"))
        })
    }
}

impl JsonSchema for Score {
    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 10 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A severity in words, as scanners give it; from the lowest to the highest.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Severity {
    /// The scanner does not say.
    #[default]
    Unknown,
    /// Grype's and Debian's word for less than low.
    Negligible,
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS 9.0 and above.
    Critical,
}

impl Severity {
    /// Every severity, from the lowest.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Negligible, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Reads a scanner's word in any case; another word is `Unknown`.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|severity| severity.word().eq_ignore_ascii_case(word)).unwrap_or(
            match word {
                "none" | "NONE" | "None" | "info" | "INFO" => Self::Negligible,
                _ => Self::Unknown,
            },
        )
    }

    /// The word it is written with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Negligible => "Negligible",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// The score that stands for it where the settings say so (spec: scan, "Status"): the lowest
    /// of its CVSS band. `None` for `Unknown`.
    pub const fn band(self) -> Option<Score> {
        match self {
            Self::Unknown => None,
            Self::Negligible => Some(Score(0)),
            Self::Low => Some(Score(1)),
            Self::Medium => Some(Score(40)),
            Self::High => Some(Score(70)),
            Self::Critical => Some(Score(90)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_tenths() {
        for tenths in 0..=100 {
            let score = Score::from_tenths(tenths).unwrap();
            assert_eq!(Score::from_f64(f64::from(tenths) / 10.0), Some(score));
            assert_eq!(score.to_string().parse(), Ok(score));
            let json = serde_json::to_string(&score).unwrap();
            assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score);
        }
        assert_eq!(Score::from_tenths(101), None);
        for wrong in [-0.1, 10.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Score::from_f64(wrong), None, "{wrong}");
        }
        for wrong in ["", "7.", ".7", "7.05", "10.1", "11", "-1", "+1", "7,0", "1e1", "999.9"] {
            assert!(wrong.parse::<Score>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn severities_in_any_case() {
        assert_eq!(Severity::from_word("CRITICAL"), Severity::Critical);
        assert_eq!(Severity::from_word("negligible"), Severity::Negligible);
        assert_eq!(Severity::from_word("none"), Severity::Negligible);
        assert_eq!(Severity::from_word("?"), Severity::Unknown);
    }
}
