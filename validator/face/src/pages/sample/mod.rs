//! Boards, competitions and submissions that look like real ones, for the tests of the pages. `scripts/screenshots.sh` shows
//! the pages themselves.

mod board;
mod competition;
mod round;
mod submission;

pub use board::board;
pub use competition::competition;
pub use round::round;
pub use submission::{report, status};

use protocol::api::{MinerReward, MinerView, SubmissionSummary};
use protocol::competition::ObjectRef;
use protocol::round::Step;
use protocol::submission::{Code, State};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use service::views::Reign;
use store::db::feed::{FeedEvent, Happening};
use store::db::submissions::Event;

/// When the tests are played.
pub const NOW: u64 = 1_795_386_194;

/// Fails unless tags nest, attributes are quoted and no `<` or `&` stands alone.
pub fn assert_markup(text: &str) {
    const VOID: [&str; 4] = ["meta", "link", "br", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    for piece in text.split('<').skip(1) {
        let (tag, rest) = piece.split_once('>').unwrap_or_else(|| panic!("<{piece} isn't closed"));
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes of <{tag}>");
        assert!(!rest.contains('>'), "a bare > after <{tag}>");
        for entity in rest.split('&').skip(1) {
            assert!(entity.split_once(';').is_some_and(|(name, _)| name.len() <= 6), "a bare & after <{tag}>");
        }
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !VOID.contains(&name.to_lowercase().as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

/// A submission's id that holds `n`.
pub fn id(n: u64) -> SubmissionId {
    SubmissionId::new(NOW * 1_000, u128::from(n) << 40 | 0x5eed)
}

pub fn hotkey(n: u64) -> Hotkey {
    Hotkey::from_bytes(*Digest::of(&n.to_le_bytes()).as_bytes())
}

/// The reign of submission `n`, which began so many seconds ago and goes on.
pub fn reign(n: u64, seconds_ago: u64) -> Reign {
    let (submission, hotkey) = (id(n), hotkey(n));
    Reign {
        submission,
        hotkey,
        architecture: Some("resnet".into()),
        round: n + 1,
        since: NOW - seconds_ago,
        until: None,
    }
}

/// A miner with a submission in every state.
pub fn miner() -> (MinerView, Vec<SubmissionSummary>) {
    let competition: CompetitionId = "fashion-mnist-resnet18".parse().unwrap();
    let summary = |(n, state): (usize, State)| SubmissionSummary {
        id: id(n as u64),
        competition: competition.clone(),
        hotkey: hotkey(1),
        name: (n % 2 == 0).then(|| format!("small net {n}")),
        arrival: n as u64 + 1,
        state,
        code: (state == State::Rejected).then_some(Code::TensorMissing),
        created_at: NOW - 400,
        changed_at: NOW,
        architecture: (state == State::Scored).then(|| "mlp".into()),
        score_ppm: (state == State::Scored).then_some(602_100),
        rank: (state == State::Scored).then_some(8),
    };
    let submissions: Vec<_> = State::ALL.into_iter().enumerate().map(summary).collect();
    let rewards =
        vec![MinerReward { competition: competition.clone(), round: 3, weight_ppm: 400_000, epoch: Some(3), at: NOW }];
    let view = MinerView {
        name: Some("small nets".into()),
        hotkey: hotkey(1),
        submissions: State::ALL.into_iter().map(|state| (state, 1)).collect(),
        best: submissions.iter().filter(|row| row.rank.is_some()).cloned().collect(),
        seats: vec![competition],
        rewards,
    };
    (view, submissions)
}

/// How a submission came to `state`: 60 s for the upload, 2 s for the check, 150 s in the queue, 128 s of measuring.
pub fn history(state: State) -> Vec<Event> {
    let steps = [
        (State::AwaitingUpload, 0),
        (State::Checking, 60),
        (State::Queued, 62),
        (State::Evaluating, 212),
        (State::Scored, 340),
    ];
    let event = |to, after| Event { at: NOW - 340 + after, from: None, to, reason: None };
    let before = steps.iter().position(|(step, _)| *step == state).map_or(
        match state {
            State::Expired | State::Withdrawn => 1,
            State::Rejected => 2,
            _ => 4,
        },
        |at| at,
    );
    steps[..before].iter().map(|(to, after)| event(*to, *after)).chain([event(state, steps[before].1)]).collect()
}

/// What happened lately.
pub fn events() -> Vec<FeedEvent> {
    let competition: CompetitionId = "fashion-mnist-resnet18".parse().unwrap();
    let scored = Happening::Submission {
        submission: id(1),
        hotkey: hotkey(1),
        from: Some(State::Evaluating),
        state: State::Scored,
        code: None,
        score_ppm: Some(602_100),
    };
    let all = [scored, Happening::Round { round: 3, step: Step::Judged }, Happening::Competition { amendment: None }];
    let event = |(id, what)| FeedEvent { id, at: NOW - id, competition: competition.clone(), what };
    (1..).zip(all).map(event).collect()
}

fn object(name: &str, size_bytes: u64) -> ObjectRef {
    ObjectRef { sha256: Digest::of(name.as_bytes()), size_bytes }
}
