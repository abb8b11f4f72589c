//! Latency and size, which no rerun gives again: a report and its answers item by item held against each other and against
//! the raw times.
//!
//! It does NOT know whether the times are true, nor how they are summed up: that is the engine's, which the caller has.

use protocol::Report;
use protocol::outcomes::Outcomes;
use protocol::report::Latency;

/// What raw times say, summed up as the validator's engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// The seed of the measurement.
    pub seed: u64,
    /// A report's latency.
    pub latency: Latency,
    /// ln(candidate / reference) of each launch, billionths.
    pub log_ratio_nanos: Vec<i64>,
}

/// Whether report and outcomes say of latency and size what the times say, and each other.
///
/// # Errors
/// What contradicts what.
pub fn agree(report: &Report, outcomes: &Outcomes, timed: &Timed) -> Result<(), String> {
    let values = outcomes.values();
    if values.size_bytes != report.cost.size_bytes {
        return Err(format!(
            "its size is {} in the report and {} in the outcomes",
            report.cost.size_bytes, values.size_bytes
        ));
    }
    if timed.seed != report.data.seed {
        return Err("its raw times are of another measurement".into());
    }
    if timed.latency != report.latency {
        return Err("its report's latency doesn't follow from its raw times".into());
    }
    if timed.log_ratio_nanos != values.log_ratio_nanos {
        return Err("the latencies of its outcomes don't follow from its raw times".into());
    }
    Ok(())
}
