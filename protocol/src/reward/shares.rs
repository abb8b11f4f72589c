//! A payment in the making: who gets what so far, and what was said about it. It does NOT know any policy.

use super::{Champion, Entrant, FrontierPoint, PastRound, Payment, Reason, Standing, WHOLE_PPM, Weight};
use crate::{Hotkey, SubmissionId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Shares of hotkeys in parts per million, with sentences and what the history gets.
#[derive(Debug, Default)]
pub(super) struct Shares {
    pub(super) weights_ppm: BTreeMap<Hotkey, u32>,
    pub(super) accepted: Vec<FrontierPoint>,
    pub(super) judged: Vec<SubmissionId>,
    why: Vec<Reason>,
}

impl Shares {
    /// Nothing for anybody yet, and a sentence for each who can't earn whatever the policy is.
    pub(super) fn refusing(standing: &Standing) -> Self {
        let mut shares = Self::default();
        for entrant in &standing.entrants {
            match &entrant.copy_of {
                Some(original) => shares.say(entrant, format!("nothing: a copy of {original}, which came earlier")),
                None if entrant.score_ppm <= 0 => shares.say(entrant, "nothing: below the quality gate".into()),
                None => {}
            }
        }
        shares
    }

    /// Tells an entrant's owner something.
    pub(super) fn say(&mut self, entrant: &Entrant, sentence: String) {
        self.tell(entrant.hotkey, entrant.submission.clone(), sentence);
    }

    /// Tells the owner of a submission something.
    pub(super) fn tell(&mut self, hotkey: Hotkey, submission: SubmissionId, sentence: String) {
        self.why.push(Reason { hotkey, submission, sentence });
    }

    /// Gives a hotkey more.
    pub(super) fn give(&mut self, hotkey: Hotkey, weight_ppm: u32) {
        let weight = self.weights_ppm.entry(hotkey).or_default();
        *weight = weight.saturating_add(weight_ppm);
    }

    /// The finished payment, in an order that doesn't depend on the order of entrants.
    pub(super) fn payment(mut self, round: u64, champion: Option<Champion>) -> Payment {
        let mut weights: Vec<Weight> = self
            .weights_ppm
            .into_iter()
            .filter(|(_, weight_ppm)| *weight_ppm > 0)
            .map(|(hotkey, weight_ppm)| Weight { hotkey, weight_ppm })
            .collect();
        weights.sort_by_key(|weight| (Reverse(weight.weight_ppm), weight.hotkey));
        let paid: u32 = weights.iter().map(|weight| weight.weight_ppm).sum();
        self.why.sort_by(|a, b| (&a.submission, &a.sentence).cmp(&(&b.submission, &b.sentence)));
        Payment {
            weights,
            burnt_ppm: WHOLE_PPM.saturating_sub(paid),
            past: PastRound { round, champion, accepted: self.accepted, judged: self.judged },
            why: self.why,
        }
    }
}

/// Parts per million as per cent for people, without needless zeros: `0.0801`, `20`.
pub(super) fn percent(ppm: impl Into<u64>) -> String {
    let ppm = ppm.into();
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
