//! The board through its public door: groups, divisions, reasons, what rounds add, and what happens to lost replicates.

use super::lifecycle::script;
use super::rounds::{self, by_size, play};
use super::support::{Package, Setup, TestApp, competition, competition_toml};
use protocol::SubmissionId;
use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::dethrone::Rule;
use protocol::score::share_ppm;
use protocol::standing::Division;
use protocol::submission::State;
use validator::scripted::scripted_evaluation;

/// A validator whose teacher is right on 96 % and whose submissions, in order, on these.
async fn app(correct_ppm: &'static [u64]) -> TestApp {
    app_with(correct_ppm, "").await
}

/// The same with more at the end of the manifest.
async fn app_with(correct_ppm: &'static [u64], manifest: &str) -> TestApp {
    let evaluator = script(move |request, submission| {
        let correct_ppm = match request.truth.teacher_logits {
            None => 960_000,
            Some(_) => *correct_ppm.get(submission as usize).unwrap_or(&900_000),
        };
        scripted_evaluation(&request, correct_ppm)
    });
    let app = TestApp::start(Setup { evaluator, ..Setup::default() }).await;
    app.publish(&(competition_toml("digits", "") + manifest)).await;
    app
}

/// Submits one package after the other, each with another hotkey unless `owner` is given.
async fn submit(app: &TestApp, count: u8, owner: Option<u8>) -> Vec<SubmissionId> {
    let mut ids = Vec::new();
    for seed in 1..=count {
        let id = app.miner(owner.unwrap_or(seed)).submit(&Package::mlp(&[8], u32::from(seed))).await.unwrap();
        app.wait_for(&id, State::Scored).await;
        ids.push(id);
    }
    ids
}

async fn board(app: &TestApp) -> Leaderboard {
    app.miner(9).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap()
}

fn row<'a>(board: &'a Leaderboard, id: &SubmissionId) -> &'a BoardRow {
    board.rows.iter().find(|row| row.submission.as_ref() == Some(id)).unwrap()
}

#[tokio::test]
async fn equal_models_share_a_rank_that_the_earlier_leads_and_a_clearly_better_one_has_its_own() {
    let app = app(&[880_000, 880_000, 950_000, 890_000]).await;
    let ids = submit(&app, 4, None).await;
    let board = board(&app).await;
    let places: Vec<_> = [2, 3, 0, 1].map(|index: usize| row(&board, &ids[index])).into();
    let expected =
        [(1, 1, 1), (2, 2, 3), (2, 3, 3), (2, 4, 3)].map(|(rank, place, size)| (Some(rank), Some(place), Some(size)));
    assert_eq!(places.iter().map(|row| (row.rank, row.place, row.group_size)).collect::<Vec<_>>(), expected);
    assert_eq!(
        (&board.champion, &board.leader),
        (&None, &Some(ids[2].clone())),
        "nobody sits before a round is judged"
    );
    let in_order: Vec<_> = board.rows.iter().filter(|row| row.kind == RowKind::Submission).collect();
    assert_eq!(in_order, places, "rows come in order of their places");
    assert!(places.windows(2).all(|pair| pair[0].sort_key < pair[1].sort_key));

    let [low, high] = places[1].behind_leader_interval_ppm.unwrap();
    assert!(0 < low && low <= places[1].behind_leader_ppm.unwrap() && places[1].behind_leader_ppm.unwrap() <= high);
    assert_eq!((places[0].behind_leader_ppm, places[0].behind_leader_interval_ppm), (Some(0), Some([0, 0])));
    assert!(places[0].why.starts_with("leads by ") && !places[0].why.contains("luck"), "{}", places[0].why);
    assert!(!places[0].why.contains("leads by 0.00"), "{}", places[0].why);
    assert!(
        places[1].why.contains(" behind place 1: more than luck; 2 more can't be told from it"),
        "{}",
        places[1].why
    );
    assert!(places[2].why.contains(" behind place 2, whose rank it shares"), "{}", places[2].why);
    assert!(places[2].why.contains("(accuracy +"), "{}", places[2].why);
    assert_eq!(app.miner(1).status(&ids[0]).await.row.as_ref(), Some(places[2]), "the status shows the same row");
}

#[tokio::test]
async fn the_very_same_answers_lead_when_they_came_earlier() {
    let app = app(&[900_000, 900_000]).await;
    let ids = submit(&app, 2, None).await;
    let board = board(&app).await;
    let [earlier, later] = [&ids[0], &ids[1]].map(|id| row(&board, id));
    assert_eq!((earlier.rank, earlier.place, later.rank, later.place), (Some(1), Some(1), Some(1), Some(2)));
    assert_eq!(board.leader, earlier.submission);
    assert!(earlier.provisional && later.provisional);
    let why = "the same score as place 1, which came earlier: both rank 1, provisional: by public items alone";
    assert_eq!(later.why, why);
    assert_eq!(later.rank_label().as_deref(), Some("=1"));
    assert_eq!(later.needs, None, "there was no bout yet");
}

#[tokio::test]
async fn divisions_hold_who_is_close_enough_to_the_teacher() {
    // 97 % of the teacher's 96 right answers are 93.1, 99 % are 95.04; the gate lies at 86.4.
    let app = app(&[960_000, 940_000, 870_000, 500_000]).await;
    let ids = submit(&app, 4, None).await;
    let board = board(&app).await;
    let entries = |of| board.divisions.iter().find(|board| board.division == of).unwrap().entries.clone();
    assert_eq!(entries(Division::C99), ids[..1]);
    assert_eq!(entries(Division::C97), ids[..2]);
    assert_eq!(entries(Division::Open), ids[..1], "equal sizes and latencies, so the most accurate beats the others");
    let places = |id| row(&board, id).divisions.iter().map(|at| (at.division, at.place)).collect::<Vec<_>>();
    assert_eq!(places(&ids[1]), [(Division::C97, 2)]);
    assert_eq!((places(&ids[2]), places(&ids[3])), (vec![], vec![]));
    assert_eq!(row(&board, &ids[3]).rank, None);
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    assert!(page.contains("c99") && page.contains("97 %"), "the page shows them");
}

#[tokio::test]
async fn an_owner_hears_whether_an_entry_is_a_step() {
    // Far from the gate: resamples that fall below it would count as luck too.
    let app = app_with(&[880_000, 870_000, 950_000, 900_000], "[score]\ngate_ppm = 500000\n").await;
    let ids = submit(&app, 4, Some(1)).await;
    let board = board(&app).await;
    let own = |index: usize| row(&board, &ids[index]).own_best.clone().map(|own| (own.submission, own.clearly_better));
    assert_eq!(own(0), None);
    assert_eq!(own(1), Some((ids[0].clone(), false)));
    assert_eq!(own(2), Some((ids[0].clone(), true)), "the second try was no step, so the first is still the best");
    assert_eq!(own(3), Some((ids[2].clone(), false)));
    let details = &row(&board, &ids[3]).details;
    let sentence =
        details.iter().find(|text| text.starts_with("Not clearly better than its owner's best before")).unwrap();
    assert!(sentence.contains(&format!("{}: -", ids[2])), "{sentence}");
}

#[tokio::test]
async fn what_rounds_found_is_on_the_board() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let first = rounds::submit(&app, &app.miner(1), 20).await;
    let round = play(&app, 1).await;
    let seat = board(&app).await;
    let holder = row(&seat, &first);
    assert_eq!((seat.champion.as_ref(), holder.needs), (Some(&first), None));
    let entry = round.entries.iter().find(|entry| entry.submission == first).unwrap();
    let share = |[right, items]: [u32; 2]| share_ppm(right.into(), items.into());
    let (clean, changed) = (share(entry.clean.unwrap()), share(entry.changed.unwrap()));
    assert_eq!((holder.hidden_accuracy_ppm, holder.gap_ppm), (Some(changed), Some(clean - changed)));
    assert_eq!(seat.rows[0].gap_ppm, holder.teacher_gap_ppm, "the teacher's row shows its own");
    assert!(seat.rows[0].hidden_accuracy_ppm.is_some_and(|ppm| (0..=1_000_000).contains(&ppm)));
    assert!(holder.details.iter().any(|text| text.contains("; the teacher ")), "{:?}", holder.details);

    // The same answers in another package, which the round judges, and a better one, which it hasn't seen.
    let equal = rounds::submit(&app, &app.miner(2), 21).await;
    let round = play(&app, 2).await;
    let better = rounds::submit(&app, &app.miner(3), 25).await;
    let board = board(&app).await;
    assert_eq!(board.champion.as_ref(), Some(&first), "the seat changes hands in rounds only");
    let leader = row(&board, &better);
    assert_eq!((leader.place, leader.last_attempt, leader.hidden_accuracy_ppm), (Some(3), None, None));
    assert!(leader.provisional && leader.why.starts_with("provisional: below all"), "{}", leader.why);
    assert_ne!(board.leader, Some(better), "by fresh items, whatever public ones say");
    let challenger = row(&board, &equal);
    assert!(!challenger.provisional && challenger.fresh_items > Some(200) && challenger.hidden_score_ppm > Some(0));
    assert!(challenger.needs.is_some_and(|needs| needs.missing_ppm > 0), "{:?}", challenger.needs);
    let attempt = challenger.last_attempt.unwrap();
    let verdict = round.entries.iter().find(|entry| entry.submission == equal).unwrap().verdict.unwrap();
    assert_eq!((attempt.round, attempt.verdict, verdict.rule), (2, verdict, Rule::HiddenNotBetter));
    let said = challenger.details.join(" ");
    let expected = "Round 2: The challenger is not significantly better on fresh hidden items; its evidence is kept. \
                    (rule hidden_not_better; hidden p ";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains(" > 0.05)"), "{said}");

    let csv = app.miner(1).get("/api/v1/competitions/digits/leaderboard.csv").await.text().await.unwrap();
    assert!(csv.contains(",2,hidden_not_better,"), "{csv}");
    let columns = csv.lines().next().unwrap().split(',').count();
    let commas = |line: &str| line.split('"').step_by(2).map(|outside| outside.matches(',').count()).sum::<usize>();
    assert!(csv.lines().all(|line| commas(line) + 1 == columns), "{csv}");
    let page = app.miner(1).get(&format!("/submissions/{equal}")).await.text().await.unwrap();
    assert!(page.contains("hidden_not_better") && page.contains("Negative flips"), "the submission's page says so too");
}

#[tokio::test]
async fn lost_replicates_are_drawn_again_and_unreadable_ones_too() {
    let app = app(&[950_000, 880_000]).await;
    let ids = submit(&app, 2, None).await;
    let before = board(&app).await;
    let change = |sql: &'static str| {
        let pool = app.app.db.pool().clone();
        async move { assert!(sqlx::query(sql).execute(&pool).await.unwrap().rows_affected() > 0) }
    };
    for damage in ["DELETE FROM replicates", "UPDATE replicates SET bytes = x'00'"] {
        change(damage).await;
        app.app.board.changed(&competition("digits"));
        assert_eq!(board(&app).await, before, "{damage}");
    }
    // With the outcomes gone too, the entry has no rank, and the others keep theirs.
    change("DELETE FROM replicates WHERE submission_id = (SELECT id FROM submissions ORDER BY arrival DESC LIMIT 1)")
        .await;
    change(
        "UPDATE evaluations SET outcomes_sha256 = lower(hex(zeroblob(32)))
         WHERE submission_id NOT IN (SELECT submission_id FROM replicates)",
    )
    .await;
    app.app.board.changed(&competition("digits"));
    let without = board(&app).await;
    assert_eq!((row(&without, &ids[0]).rank, row(&without, &ids[1]).rank), (Some(1), None));
    assert!(row(&without, &ids[1]).why.contains("can't be read"), "{}", row(&without, &ids[1]).why);
}
