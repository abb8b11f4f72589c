//! Boards, competitions and submissions that look like real ones, for the tests of the pages. `scripts/screenshots.sh` shows
//! the pages themselves.

use datasets::hidden::{AbandonCode, Abandonment, Beacon, BeaconRule, RoundCommitment};
use datasets::hidden::{BeaconWait, Drawn, Seen};
use datasets::hidden::{RoundEntryView, RoundView};
use protocol::api::{
    BoardRow, CompetitionView, DivisionBoard, DivisionPlace, FileDeclaration, Leaderboard, MinerReward, MinerView,
    Reason, RowKind, SubmissionStatus, SubmissionSummary,
};
use protocol::architecture::{Architecture, Costs, Mlp, Resnet};
use protocol::competition::{Manifest, ObjectRef};
use protocol::dethrone::{Comparison, Rule, Verdict};
use protocol::evaluation::Screened;
use protocol::needs::Needs;
use protocol::package::PackageConfig;
use protocol::published::{Competition, PublishedModel, PublishedTeacher, Tables};
use protocol::report::{Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality, Report};
use protocol::reward::{self, Weight};
use protocol::round::{EntryRole, Screening, Step};
use protocol::score::{Ceiling, score};
use protocol::significance::{Disputed, SequentialP};
use protocol::standing::Division;
use protocol::submission::{Blame, Code, State};
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

/// Family, accuracy, latency ratio, µs, bytes, score: what a good day's submissions look like.
const MODELS: [(&str, i64, i64, u64, u64, i64); 12] = [
    ("resnet", 931_200, 612_000, 905, 312_400, 742_000),
    ("depthwise_cnn", 918_300, 233_000, 344, 121_800, 731_000),
    ("mobilenet_v2", 926_400, 498_000, 737, 268_200, 722_500),
    ("resnet", 934_600, 1_420_000, 2_101, 1_240_000, 705_300),
    ("resnet", 936_100, 2_870_000, 4_247, 2_810_000, 671_400),
    ("depthwise_cnn", 905_800, 128_000, 189, 61_400, 668_800),
    ("depthwise_cnn", 910_100, 251_000, 371, 143_000, 655_200),
    ("mlp", 889_300, 41_000, 61, 407_000, 602_100),
    ("mlp", 881_700, 24_500, 36, 203_500, 588_000),
    ("mobilenet_v2", 908_000, 780_000, 1_154, 512_000, 571_900),
    ("vit", 896_200, 3_310_000, 4_898, 1_630_000, 431_000),
    ("mlp", 862_400, 19_000, 28, 102_000, 0),
];

/// A board with `models` ranked submissions between the teacher and the reference.
pub fn board(models: usize) -> Leaderboard {
    let teacher = row(RowKind::Teacher, ("resnet", 946_300, 14_800_000, 21_900, 44_700_000, 0));
    let reference = row(RowKind::Reference, ("resnet", 902_500, 1_000_000, 1_480, 315_000, 598_000));
    let mut submissions: Vec<BoardRow> = (0..models).map(|n| submission(n as u64)).collect();
    let ranks: Vec<Option<u32>> = submissions.iter().map(|row| row.rank).collect();
    for row in &mut submissions {
        let sharing = ranks.iter().filter(|rank| rank.is_some() && **rank == row.rank).count();
        row.group_size = row.rank.map(|_| sharing as u32);
    }
    let divisions = Division::ALL.map(|of| division(of, &mut submissions)).into();
    Leaderboard {
        competition: "fashion-mnist-resnet18".parse().unwrap(),
        champion: (models > 0).then(|| id(0)),
        leader: (models > 0).then(|| id(0)),
        last_round: (models > 3).then_some(12),
        rows: [teacher].into_iter().chain(submissions).chain([reference]).collect(),
        divisions,
    }
}

/// The ranks of the first twelve: places 2 and 3 can't be told apart, and so on.
const RANKS: [u32; 12] = [1, 2, 2, 4, 5, 5, 5, 8, 8, 10, 11, 12];

fn division(of: Division, rows: &mut [BoardRow]) -> DivisionBoard {
    let floor = match of {
        Division::C99 => 936_000,
        Division::C97 => 918_000,
        Division::Open => 0,
    };
    let beaten = |row: &BoardRow, rows: &[BoardRow]| {
        rows.iter().any(|r| r.accuracy_ppm > row.accuracy_ppm && r.latency_ratio_ppm < row.latency_ratio_ppm)
    };
    let inside = |row: &&BoardRow| {
        row.rank.is_some() && row.accuracy_ppm >= floor && (of != Division::Open || !beaten(row, rows))
    };
    let mut entries: Vec<(i64, SubmissionId)> = rows
        .iter()
        .filter(inside)
        .map(|row| (if of == Division::Open { -row.score_ppm } else { row.latency_ratio_ppm }, row.submission.clone()))
        .filter_map(|(key, id)| Some((key, id?)))
        .collect();
    entries.sort();
    for (place, (_, id)) in (1..).zip(&entries) {
        let row = rows.iter_mut().find(|row| row.submission.as_ref() == Some(id)).unwrap();
        row.divisions.push(DivisionPlace { division: of, place });
    }
    DivisionBoard { division: of, entries: entries.into_iter().map(|(_, id)| id).collect() }
}

fn submission(n: u64) -> BoardRow {
    // Beyond the first twelve, variations of them scattered by a fixed walk.
    let (family, accuracy, ratio, us, size, score) = MODELS[n as usize % MODELS.len()];
    let lap = n as i64 / MODELS.len() as i64;
    let (shift, stretch) = (lap * 7_919 % 41_000, 1_000_000 + (lap * 104_729 % 1_700_000));
    let ratio = ratio * stretch / 1_000_000;
    let mut row = row(RowKind::Submission, (family, accuracy - shift, ratio, us, size, (score - lap * 100).max(0)));
    let rank = RANKS.get(n as usize).copied().unwrap_or(n as u32 + 1);
    row.rank = (score > 0).then_some(rank);
    row.place = row.rank.map(|_| n as u32 + 1);
    // Some rose, some fell, some are new.
    row.last_round_rank = row.rank.filter(|_| n % 4 != 3).map(|rank| rank + [0, 3, 1][(n % 3) as usize]);
    let behind = MODELS[0].5 - row.score_ppm;
    if row.rank.is_some() {
        row.behind_leader_ppm = Some(behind);
        row.behind_leader_interval_ppm = Some(if n == 0 { [0, 0] } else { [behind - 4_100, behind + 4_300] });
    }
    if n > 0 && row.rank.is_some() {
        row.needs = Needs::of(&verdict(Rule::HiddenNotBetter, behind));
        row.details.push(row.needs.unwrap().to_string());
    }
    if matches!(n, 0 | 1 | 2 | 7) {
        (row.hidden_accuracy_ppm, row.gap_ppm, row.teacher_gap_ppm) =
            (Some(accuracy - 24_300), Some(24_300), Some(19_100));
        row.details.push(
            "Round 12: The challenger is not significantly better on fresh hidden items; its evidence is kept. (rule \
             hidden_not_better; hidden p 0.31 > 0.002)"
                .into(),
        );
        row.details.push("On hidden items 90.69 % is right: it loses 2.43 %; the teacher loses 1.91 %.".into());
    }
    row.submission = Some(id(n));
    row.model_name = (n.is_multiple_of(3)).then(|| format!("small net {n}"));
    row.hotkey = Some(hotkey(n));
    row.why = match n {
        0 => "leads by 1.10 points of score [0.69, 1.53] (accuracy +3.44, latency -4.20)".into(),
        1 => "1.10 points of score [0.69, 1.53] (accuracy +3.44, latency -4.20) behind place 1: more than luck; one more \
              can't be told from it and share rank 2"
            .into(),
        2 => "1.95 points of score [1.54, 2.38] (latency +1.20, size +0.80) behind place 1; only 0.85 [-0.10, 1.70] \
              behind place 2, whose rank it shares"
            .into(),
        11 => "below the accuracy gate: 86.24 % is right, 87.06 % is needed".into(),
        _ => format!("{:.2} points of score [{:.2}, {:.2}] behind place 1: more than luck", 1.1 * n as f64, n as f64, 1.2 * n as f64),
    };
    row
}

fn row(kind: RowKind, (family, accuracy, ratio, us, size, score): (&str, i64, i64, u64, u64, i64)) -> BoardRow {
    BoardRow {
        kind,
        rank: None,
        provisional: false,
        hidden_score_ppm: (kind == RowKind::Submission).then_some(score - 31_000),
        fresh_items: (kind == RowKind::Submission).then_some(3_500),
        submission: None,
        hotkey: None,
        architecture: family.into(),
        accuracy_ppm: accuracy,
        accuracy_interval_ppm: [accuracy - 5_300, accuracy + 5_000],
        agreement_ppm: accuracy + 14_000,
        owner_name: Some("small nets".into()),
        model_name: None,
        brings_answers: true,
        latency_ratio_ppm: ratio,
        latency_ratio_interval_ppm: [ratio * 95 / 100, ratio * 106 / 100],
        latency_verdict: protocol::latency::LatencyVerdict::Sound,
        latency_us_p50: us,
        latency_us_p90: Some(us * 11 / 10),
        size_bytes: size,
        parameters: size / 4,
        macs: us * 14_000,
        score_ppm: score,
        score_interval_ppm: [(score - 9_000).max(0), score + 9_000],
        state: State::Scored,
        why: match kind {
            RowKind::Teacher => "the model to distil".into(),
            _ => "the model that latencies are ratios to".into(),
        },
        place: None,
        group_size: None,
        last_round_rank: None,
        sort_key: None,
        behind_leader_ppm: None,
        behind_leader_interval_ppm: None,
        divisions: Vec::new(),
        own_best: None,
        needs: None,
        last_attempt: None,
        hidden_accuracy_ppm: None,
        gap_ppm: None,
        teacher_gap_ppm: None,
        details: Vec::new(),
    }
}

const MANIFEST: &str = r#"
format = "retort-competition/1"
id = "fashion-mnist-resnet18"
title = "Fashion-MNIST: distil a ResNet-18"
description = "Ten kinds of clothing in 28 × 28 grey pixels. The teacher is a ResNet-18 that a laptop's CPU runs in 22 ms; find the student that keeps its accuracy at a hundredth of the cost."
task = "image_classification"
closes_at = 1798761600
labels = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

[input]
channels = 1
height = 28
width = 28
mean_ppm = [286041]
deviation_ppm = [353024]

[data]
source = "fashion-mnist"
public_items = 5000
hidden_items = 5000

[teacher]
package = "teacher"

[reference]
package = "reference"

[limits]
size_bytes_max = 4000000
parameters_max = 1000000
macs_max = 100000000
activation_bytes_max = 16000000
submissions_per_day = 20

[rounds]
beacon = "drand"
"#;

/// A published competition.
pub fn competition() -> CompetitionView {
    let manifest = Manifest::from_toml(MANIFEST).unwrap();
    let model = |name: &str, width, size, correct| PublishedModel {
        config: PackageConfig {
            format: "retort/1".into(),
            architecture: Architecture::Resnet(Resnet {
                width,
                blocks: vec![2, 2, 2],
                stem_stride: 1,
                ..Resnet::default()
            }),
            input: manifest.input.clone(),
            labels: manifest.labels.clone(),
        },
        config_json: object(&format!("{name} config"), 512),
        weights: object(name, size),
        correct,
        items: 10_000,
    };
    let competition = Competition {
        teacher: PublishedTeacher::Model(model("teacher", 64, 44_700_000, 9_463)),
        reference: model("reference", 16, 315_000, 9_025),
        tables: Tables {
            training: object("training table", 31_000_000),
            evaluation: object("public table", 2_800_000),
        },
        hidden_root: Digest::of(b"hidden"),
        probes_sha256: Digest::of(b"probes"),
        published_at: NOW - 86_400 * 3,
        manifest,
    };
    let sha256 = Digest::of_json(&competition).unwrap();
    CompetitionView {
        sha256,
        validator: hotkey(77),
        competition,
        champion: Some(id(0)),
        amendments: Vec::new(),
        reward_changes: Vec::new(),
        probe_seed: None,
    }
}

/// A submission in `state`.
pub fn status(state: State) -> SubmissionStatus {
    let report = (state == State::Scored).then(report);
    let rules = competition().competition.manifest.score;
    let code = match state {
        State::Rejected => Some((Code::TensorMissing, "layer3.0.conv2.weight [64, 64, 3, 3]")),
        State::Failed => Some((Code::EvaluationCrashed, "the worker ended with signal 9, three times")),
        State::Withdrawn => Some((Code::Withdrawn, "its miner took it back")),
        State::Expired => Some((Code::UploadExpired, "model.safetensors never arrived")),
        _ => None,
    };
    let file = |path: &str, size| FileDeclaration { path: path.into(), size, sha256: Digest::of(path.as_bytes()) };
    SubmissionStatus {
        id: id(1),
        competition: "fashion-mnist-resnet18".parse().unwrap(),
        hotkey: hotkey(1),
        name: Some("small net 1".into()),
        state,
        reason: code.map(|(code, detail)| Reason::from(code.because(detail.into()))),
        queue_position: (state == State::Queued).then_some(3),
        eta_seconds: matches!(state, State::Queued | State::Evaluating).then_some(150),
        created_at: NOW - 340,
        changed_at: NOW,
        architecture: Some(Architecture::Mlp(Mlp::of(vec![128])).into()),
        costs: Some(Costs { parameters: 101_770, macs: 101_632, activation_bytes_peak: 3_648, size_bytes: 203_540 }),
        files: vec![file("config.json", 612), file("model.safetensors", 407_320), file("README.md", 1_204)],
        published: vec![file("config.json", 540), file("model.safetensors", 407_280)],
        withheld_until_round: None,
        score: report.as_ref().map(|report| score(report, Ceiling { correct: 9_463, items: 10_000 }, &rules)),
        rank: report.as_ref().map(|_| 8),
        receipt: report.as_ref().map(|_| Digest::of(b"receipt")),
        receipt_log_index: report.as_ref().map(|_| 41),
        row: report.as_ref().map(|_| board(12).rows[8].clone()),
        latency_verdict: report.as_ref().map(|report| protocol::latency::judge(&report.latency)),
        compared: report.as_ref().map(|_| true),
        report,
    }
}

pub fn report() -> Report {
    let confusion: Vec<Vec<u32>> = vec![
        vec![846, 1, 15, 16, 4, 1, 112, 0, 5, 0],
        vec![2, 978, 0, 13, 3, 0, 2, 0, 2, 0],
        vec![14, 1, 828, 9, 74, 0, 73, 0, 1, 0],
        vec![15, 6, 10, 904, 31, 0, 31, 0, 3, 0],
        vec![0, 1, 66, 27, 842, 0, 62, 0, 2, 0],
        vec![0, 0, 0, 0, 0, 967, 0, 20, 1, 12],
        vec![109, 1, 73, 24, 61, 0, 722, 0, 10, 0],
        vec![0, 0, 0, 0, 0, 14, 0, 967, 0, 19],
        vec![3, 1, 3, 3, 3, 2, 5, 4, 976, 0],
        vec![0, 0, 0, 0, 0, 7, 1, 35, 0, 957],
    ];
    let correct = (0..10).map(|n| confusion[n][n]).sum();
    Report {
        format: protocol::report::REPORT_FORMAT.into(),
        package_sha256: Digest::of(b"package"),
        engine: "eval 0.1.0 (burn 0.22.1)".into(),
        host: Host {
            cpu_model: "AMD EPYC 7763 64-Core Processor".into(),
            cpu_flags: vec!["avx2".into(), "fma".into()],
            cores: 2,
            kernel: "Linux 6.1.0".into(),
            flush_to_zero: true,
            sandbox: "strict ns=user,pid,net,mnt,ipc,uts".into(),
            pinned_core: Some(1),
            priority_raised: true,
        },
        device: "flex".into(),
        data: DataSeen { images_sha256: Digest::of(b"images"), seed: 7, items: 10_000, public_items: 5_000 },
        outputs_sha256: Digest::of(b"outputs"),
        quality: Quality { correct, public_correct: correct / 2, confusion, negative_flips: 702, positive_flips: 226 },
        fidelity: Fidelity { agreement: 9_104, kl_micronats: 161_200, js_micronats: 33_410, js_micronats_se: 812 },
        calibration: Calibration { ece_ppm: 21_400, brier_ppm: 152_700, nll_micronats: 291_800 },
        latency: Latency {
            ratio: Estimate { value_ppm: 41_000, low_ppm: 39_200, high_ppm: 43_100 },
            launches: 10,
            pairs: 400,
            p50_ns: 61_300,
            p90_ns: Some(66_900),
            reference_p50_ns: 1_480_000,
            cold_load_ns: 8_300_000,
            samples_sha256: Some(Digest::of(b"samples")),
            ..Latency::default()
        },
        cost: Cost {
            size_bytes: 203_540,
            file_bytes: 407_320,
            parameters: 101_770,
            macs: 101_632,
            activation_bytes: 3_648,
            peak_rss_bytes: 38_700_000,
            throughput_milli: 48_200_000,
        },
        phases_ms: Phases { load: 9, accuracy: 412, latency: 20_800, metrics: 31 },
    }
}

/// A round in which a challenger took the seat, as far as `step` shows it.
pub fn round(step: Step) -> RoundView {
    let (judged, revealed) = (step >= Step::Judged, step == Step::Revealed);
    let ceiling = |correct, items| Ceiling { correct, items };
    let teacher = competition().competition.teacher.ceiling();
    let drawn = Drawn {
        items: object("items", 4_000_000),
        teacher_logits: object("logits", 200_000),
        fixed: 1_500,
        fixed_seed: Digest::of(b"fixed"),
        seed: Digest::of(b"seed"),
        cut: Screening::default().cut(3_500),
        reference_outcomes: object("reference", 25_000),
        known_ceiling: ceiling(teacher.correct + 1_354, teacher.items + 1_500),
        fresh_ceiling: ceiling(3_161, 3_500),
    };
    let entries = vec![
        round_entry(1, EntryRole::Champion, [4_610, 5_000], [4_302, 5_000], None),
        round_entry(2, EntryRole::Challenger, [4_655, 5_000], [4_390, 5_000], Some(Rule::Dethrones)),
        RoundEntryView {
            clean: None,
            changed: None,
            latency_ratio: None,
            seen: Some(Seen {
                items: 300,
                correct: 243,
                teacher_correct: 271,
                standing_ppm: Some(410_000),
                least_ppm: Some(473_000),
            }),
            ..round_entry(3, EntryRole::Screened, [0, 0], [0, 0], Some(Rule::Screened))
        },
    ];
    RoundView {
        competition: competition().competition.manifest.id,
        round: 3,
        rules: protocol::rules::RULES,
        step,
        opened_at: NOW - 90_000,
        closes_at: Some(NOW - 3_600),
        changed_at: NOW - 3_000,
        commitment: RoundCommitment {
            format: "retort-round-commitment/1".into(),
            competition: "fashion-mnist".into(),
            round: 3,
            root: [0xab; 32],
        },
        beacon_rule: (step > Step::Open).then_some(BeaconRule::LedgerFrom { height_min: 17 }),
        wait: (step == Step::Closed).then(|| BeaconWait {
            due_at: NOW - 3_600,
            abandoned_at: NOW + 18_000,
            problem: Some("the relay: no answer in time".into()),
        }),
        beacon: (step > Step::Abandoned).then_some(Beacon::Ledger { height: 17, hash: [0xcd; 32] }),
        abandoned: (step == Step::Abandoned).then(|| Abandonment {
            code: AbandonCode::BeaconMissing,
            blame: Blame::Validator,
            detail: "no entry of the ledger after 21600 s: it wasn't there".into(),
        }),
        champion_before: Some(id(1)),
        champion: judged.then(|| id(2)),
        crowned_at: NOW - 3_600,
        crowned_in: 3,
        shared_by: 1,
        champion_age_seconds: 172_800,
        weights: if judged { vec![Weight { hotkey: hotkey(2), weight_ppm: 700_000 }] } else { Vec::new() },
        why: vec![reward::Reason { hotkey: hotkey(2), submission: id(2), sentence: "holds the seat".into() }],
        epoch: judged.then_some(3),
        drawn: revealed.then_some(drawn),
        entries: if judged { entries } else { Vec::new() },
        record: revealed.then(|| object("record", 9_000)),
        reveal: revealed.then(|| object("reveal", 3_000_000)),
    }
}

/// Of a challenger that is so far behind.
fn verdict(rule: Rule, behind_ppm: i64) -> Verdict {
    let (low_ppm, high_ppm) = (-behind_ppm - 6_300, 6_400 - behind_ppm);
    let comparison = Comparison {
        accuracy: Disputed { items: 2_500, challenger_only: 240, champion_only: 195 }.test(),
        composite: Estimate { value_ppm: -behind_ppm, low_ppm, high_ppm },
        p: SequentialP { hits: 42, draws: 20_000 },
    };
    Verdict { rule, epsilon_ppm: 1_000, alpha_hidden_ppm: 1_600, shared_by: 1, rounds: 1, hidden: Some(comparison) }
}

fn round_entry(n: u64, role: EntryRole, clean: [u32; 2], changed: [u32; 2], rule: Option<Rule>) -> RoundEntryView {
    let verdict = rule.map(|rule| Verdict {
        hidden: verdict(rule, -9_400).hidden.filter(|_| rule.dethrones()),
        ..verdict(rule, -9_400)
    });
    RoundEntryView {
        submission: id(n),
        arrival: n,
        role,
        clean: Some(clean),
        changed: Some(changed),
        latency_ratio: Some(Estimate { value_ppm: 412_000, low_ppm: 405_000, high_ppm: 420_000 }),
        fresh_items: Some(if role == EntryRole::Screened { 300 } else { 3_500 }),
        screening: Some(Screened {
            outcomes: object("screening", 1_000),
            outputs_sha256: Digest::of(b"screening"),
            logits: object("screening-logits", 12_000),
            items: 300,
        }),
        seen: None,
        report: Some(object("report", 2_000)),
        outcomes: Some(object("outcomes", 41_000)),
        receipt: Some(object("receipt", 1_500)),
        failure: None,
        verdict,
    }
}
