//! What other rules would have paid, from rounds that were played.

use protocol::reward::{Axes, Entrant, LastChampions, RewardPolicy, RewardRules, Standing};
use protocol::score::Utilities;
use protocol::{Hotkey, SubmissionId};
use referee::preview::{PreviewRow, preview};

/// Submission, arrival, rank and owner have one number.
fn entrant(number: u8) -> Entrant {
    let hotkey = Hotkey::from_bytes([number; 32]);
    Entrant {
        decided: true,
        submission: SubmissionId::new(number.into(), 0),
        hotkey,
        owner: hotkey,
        arrival: number.into(),
        rank: number.into(),
        score_ppm: 500_000,
        utilities_ppm: Utilities::default(),
        half_widths_ppm: Utilities::default(),
        copy_of: None,
    }
}

fn won_by(champion: u8, round: u64) -> Standing {
    let axes = Axes { accuracy: true, fidelity: false, latency: true, size: false };
    let champion = Some(SubmissionId::new(champion.into(), 0));
    Standing { round, axes, entrants: vec![entrant(1), entrant(2)], champion, margin_ppm: None }
}

#[test]
fn a_preview_shows_rounds_under_each_policy() {
    let policies = [RewardPolicy::WinnerTakesAll, RewardPolicy::LastChampions(LastChampions::default())];
    let table = preview(&policies.map(RewardRules::from), &[won_by(2, 2), won_by(1, 1)]);
    let row = |row: &PreviewRow| (row.hotkey.as_bytes()[0], row.weights_ppm.clone());
    assert_eq!(table.policies[0], "winner takes all");
    assert_eq!(table.rounds.iter().map(|round| round.round).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(table.rounds[0].burnt_ppm, [0, 600_000]);
    assert_eq!(table.rounds[0].rows.iter().map(row).collect::<Vec<_>>(), [(1, vec![1_000_000, 400_000])]);
    let second: Vec<_> = table.rounds[1].rows.iter().map(row).collect();
    assert_eq!(second, [(2, vec![1_000_000, 400_000]), (1, vec![0, 250_000])]);
    assert_eq!(
        table.mean.iter().map(row).collect::<Vec<_>>(),
        [(1, vec![500_000, 325_000]), (2, vec![500_000, 200_000])]
    );
}
