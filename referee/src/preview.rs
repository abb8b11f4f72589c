//! What rounds would have paid under several rules, side by side. Each column is replayed from an empty history.

use protocol::Hotkey;
use protocol::reward::{History, RewardRules, Standing};
use serde::Serialize;
use std::collections::BTreeMap;

/// Rounds under several rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The columns' rules, as sentences.
    pub policies: Vec<String>,
    /// By rising round.
    pub rounds: Vec<PreviewRound>,
    /// The mean over all rounds, rounded down, the best paid under the first rules first.
    pub mean: Vec<PreviewRow>,
}

/// One round under several rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewRound {
    /// Its number.
    pub round: u64,
    /// Everybody whom at least one column pays, the best paid under the first rules first.
    pub rows: Vec<PreviewRow>,
    /// What each column burns, parts per million.
    pub burnt_ppm: Vec<u32>,
}

/// One hotkey under several rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewRow {
    /// Who.
    pub hotkey: Hotkey,
    /// What each column pays, parts per million.
    pub weights_ppm: Vec<u32>,
}

/// Replays `rounds`, in whatever order they are given, under each of `policies`.
pub fn preview(policies: &[RewardRules], rounds: &[Standing]) -> Preview {
    let mut standings: Vec<&Standing> = rounds.iter().collect();
    standings.sort_by_key(|standing| standing.round);
    let mut histories = vec![History::default(); policies.len()];
    let mut sums: BTreeMap<Hotkey, Vec<u64>> = BTreeMap::new();
    let mut previewed = Vec::with_capacity(standings.len());
    for standing in standings {
        let mut weights: BTreeMap<Hotkey, Vec<u32>> = BTreeMap::new();
        let mut burnt_ppm = Vec::with_capacity(policies.len());
        for (column, (rules, history)) in policies.iter().zip(&mut histories).enumerate() {
            let payment = rules.pay(history, standing);
            for weight in &payment.weights {
                set(&mut weights, weight.hotkey, column, policies.len(), weight.weight_ppm);
                let sum = sums.entry(weight.hotkey).or_insert_with(|| vec![0; policies.len()]);
                if let Some(sum) = sum.get_mut(column) {
                    *sum += u64::from(weight.weight_ppm);
                }
            }
            burnt_ppm.push(payment.burnt_ppm);
            history.rounds.push(payment.past);
        }
        previewed.push(PreviewRound { round: standing.round, rows: sorted(weights), burnt_ppm });
    }
    let rounds = previewed.len().max(1) as u64;
    let mean = |sum: u64| u32::try_from(sum / rounds).unwrap_or(u32::MAX);
    let means = sums.into_iter().map(|(hotkey, sums)| (hotkey, sums.into_iter().map(mean).collect())).collect();
    let policies = policies.iter().map(ToString::to_string).collect();
    Preview { policies, rounds: previewed, mean: sorted(means) }
}

fn set(weights: &mut BTreeMap<Hotkey, Vec<u32>>, hotkey: Hotkey, column: usize, columns: usize, weight_ppm: u32) {
    if let Some(cell) = weights.entry(hotkey).or_insert_with(|| vec![0; columns]).get_mut(column) {
        *cell = weight_ppm;
    }
}

fn sorted(weights: BTreeMap<Hotkey, Vec<u32>>) -> Vec<PreviewRow> {
    let mut rows: Vec<PreviewRow> =
        weights.into_iter().map(|(hotkey, weights_ppm)| PreviewRow { hotkey, weights_ppm }).collect();
    rows.sort_by(|a, b| b.weights_ppm.cmp(&a.weights_ppm).then(a.hotkey.cmp(&b.hotkey)));
    rows
}
