//! Settings: what turns a score into a status (spec: scan, "Status").

use caapc_vm::facts::ScanStatus;

use crate::api::{
    ImageAssuranceSettingsSpec, MissingScore, Score, ThresholdBoundary, TrivyOperator,
};

/// The settings in force, each with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Fail, warn, and whether the fail threshold itself fails.
    pub thresholds: Thresholds,
    /// What a vulnerability without a v3 score counts as.
    pub missing_score: MissingScore,
    /// How far a scan time may lie in the future and still count as recent, in seconds.
    pub skew_secs: u32,
    /// Whether trivy-operator's reports are believed.
    pub trivy_operator: TrivyOperator,
    /// How long a superseded ImageScan is kept, in days.
    pub retention_days: u32,
}

/// The two thresholds. INVARIANT (thresholds in order): `warn` is not above `fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    fail: Score,
    warn: Score,
    boundary: ThresholdBoundary,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            missing_score: MissingScore::Ignore,
            skew_secs: 300,
            trivy_operator: TrivyOperator::Ignore,
            retention_days: 30,
        }
    }
}

impl Settings {
    /// The settings of an object; what it leaves out is the default.
    ///
    /// # Errors
    /// One sentence, if the thresholds are in the wrong order.
    pub fn from_spec(spec: &ImageAssuranceSettingsSpec) -> Result<Self, String> {
        let ImageAssuranceSettingsSpec {
            fail_threshold,
            warn_threshold,
            boundary,
            missing_score,
            skew_seconds,
            trivy_operator,
            retention_days,
        } = spec;
        let default = Self::default();
        Ok(Self {
            thresholds: Thresholds::new(
                fail_threshold.unwrap_or(default.thresholds.fail),
                warn_threshold.unwrap_or(default.thresholds.warn),
                boundary.unwrap_or_default(),
            )?,
            missing_score: missing_score.unwrap_or_default(),
            skew_secs: skew_seconds.unwrap_or(default.skew_secs),
            trivy_operator: trivy_operator.unwrap_or_default(),
            retention_days: retention_days.unwrap_or(default.retention_days),
        })
    }
}

impl Default for Thresholds {
    /// Fail at 7.0, warn above 3.9.
    fn default() -> Self {
        let score = |tenths| Score::from_tenths(tenths).unwrap_or(Score::MAX);
        Self { fail: score(70), warn: score(39), boundary: ThresholdBoundary::Bands }
    }
}

impl Thresholds {
    /// Thresholds in the right order.
    ///
    /// # Errors
    /// One sentence, if `warn` is above `fail`.
    pub fn new(fail: Score, warn: Score, boundary: ThresholdBoundary) -> Result<Self, String> {
        if warn > fail {
            return Err(format!(
                "the warn threshold {warn} is above the fail threshold {fail}; the fail threshold \
                 must be the higher one"
            ));
        }
        Ok(Self { fail, warn, boundary })
    }

    /// From where on an image fails.
    pub const fn fail(&self) -> Score {
        self.fail
    }

    /// Above what an image is warned of.
    pub const fn warn(&self) -> Score {
        self.warn
    }

    /// Whether the fail threshold itself fails.
    pub const fn boundary(&self) -> ThresholdBoundary {
        self.boundary
    }

    /// The status of an image whose highest score this is.
    pub fn status(&self, maximum: Score) -> ScanStatus {
        let fails = match self.boundary {
            ThresholdBoundary::Bands => maximum >= self.fail,
            ThresholdBoundary::Exclusive => maximum > self.fail,
        };
        if fails {
            ScanStatus::Fail
        } else if maximum > self.warn {
            ScanStatus::Warn
        } else {
            ScanStatus::Pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_by_both_rules() {
        let status = |tenths, boundary| {
            let default = Thresholds::default();
            let thresholds = Thresholds::new(default.fail, default.warn, boundary).unwrap();
            thresholds.status(Score::from_tenths(tenths).unwrap())
        };
        use ScanStatus::{Fail, Pass, Warn};
        for (tenths, bands, exclusive) in [
            (0, Pass, Pass),
            (39, Pass, Pass),
            (40, Warn, Warn),
            (69, Warn, Warn),
            (70, Fail, Warn),
            (71, Fail, Fail),
            (100, Fail, Fail),
        ] {
            assert_eq!(status(tenths, ThresholdBoundary::Bands), bands, "{tenths}");
            assert_eq!(status(tenths, ThresholdBoundary::Exclusive), exclusive, "{tenths}");
        }
    }

    #[test]
    fn warn_is_not_above_fail() {
        let score = |tenths| Score::from_tenths(tenths).unwrap();
        assert!(Thresholds::new(score(40), score(41), ThresholdBoundary::Bands).is_err());
        assert!(Thresholds::new(score(40), score(40), ThresholdBoundary::Bands).is_ok());
    }
}
