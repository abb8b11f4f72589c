//! What a log states about measurements and ends, held against itself: each is numbered without gaps, and a receipt names a
//! measurement that was stated before it, with the seed that was stated then.
//!
//! Whether a seed follows from a round's secret is seen once the round is revealed, by `verify round`.

use protocol::leaf::{Attempt, Ended};
use protocol::{Digest, Receipt, SubmissionId, attempt};
use std::collections::BTreeMap;

/// What was stated by now.
#[derive(Default)]
pub(super) struct Attempts {
    seeds: BTreeMap<SubmissionId, Vec<Digest>>,
    ends: BTreeMap<SubmissionId, u64>,
}

impl Attempts {
    /// A measurement begins.
    pub(super) fn begin(&mut self, stated: &Attempt) -> Result<(), String> {
        let seeds = self.seeds.entry(stated.submission.clone()).or_default();
        let (number, expected) = (stated.number, seeds.len() as u64 + 1);
        seeds.push(stated.seed_sha256);
        if number == expected { Ok(()) } else { Err(format!("measurement {number} stands where {expected} should")) }
    }

    /// A submission ends without a receipt.
    pub(super) fn end(&mut self, stated: &Ended) -> Result<(), String> {
        let ends = self.ends.entry(stated.submission.clone()).or_default();
        *ends += 1;
        let begun = self.seeds.get(&stated.submission).map_or(0, |seeds| seeds.len() as u64);
        match stated {
            Ended { number, .. } if number != ends => Err(format!("end {number} stands where {ends} should")),
            Ended { attempt, .. } if *attempt != begun => {
                Err(format!("it names measurement {attempt}, and {begun} had begun"))
            }
            Ended { code, blame, .. } if code.blame() != *blame => {
                Err(format!("{code} blames the {:?}, not the {blame:?}", code.blame()))
            }
            _ => Ok(()),
        }
    }

    /// A receipt states what came of a measurement.
    pub(super) fn receipt(&self, receipt: &Receipt) -> Result<(), String> {
        let (submission, number) = (&receipt.subject.submission, receipt.subject.attempt);
        let place = number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        let stated = place.and_then(|place| self.seeds.get(submission)?.get(place));
        let seed = attempt::commitment(receipt.measured.data.seed, submission, number);
        match stated {
            None => Err(format!("measurement {number} was not stated before it began")),
            Some(stated) if *stated != seed => Err(format!("measurement {number} was stated with another seed")),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::leaf::Purpose;
    use protocol::submission::{Blame, Code, State};

    fn submission() -> SubmissionId {
        SubmissionId::new(1_800_000_000_000, 1)
    }

    fn attempt(number: u64) -> Attempt {
        let (competition, submission) = ("digits".parse().unwrap(), submission());
        let seed_sha256 = attempt::commitment(number, &submission, number);
        Attempt { competition, submission, number, purpose: Purpose::Submission, round: 1, seed_sha256, at: 1 }
    }

    fn ended(number: u64, attempt: u64, blame: Blame) -> Ended {
        let (competition, submission) = ("digits".parse().unwrap(), submission());
        let (state, code) = (State::Failed, Code::Infrastructure);
        Ended { competition, submission, number, state, code, blame, attempt, at: 1, request: None }
    }

    #[test]
    fn a_gap_another_end_and_another_blame_are_named() {
        let mut attempts = Attempts::default();
        attempts.begin(&attempt(1)).unwrap();
        let gap = attempts.begin(&attempt(3)).unwrap_err();
        assert_eq!(gap, "measurement 3 stands where 2 should");
        attempts.end(&ended(1, 2, Blame::Validator)).unwrap();
        assert!(attempts.end(&ended(1, 2, Blame::Validator)).unwrap_err().contains("end 1 stands where 2 should"));
        assert!(attempts.end(&ended(3, 1, Blame::Validator)).unwrap_err().contains("and 2 had begun"));
        assert!(attempts.end(&ended(4, 2, Blame::Miner)).unwrap_err().contains("infrastructure blames the Validator"));
    }
}
