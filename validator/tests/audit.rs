//! Rounds audited by somebody who believes nothing: what is sound passes, and every lie of an operator who re-signs
//! whatever it can is named.
//!
//! A real validator plays two rounds. What it hands out to everybody is taken down, forged as its operator could (who holds
//! its keys, so log, receipts and records fit each other again), and audited with a script in the engine's place.

use super::support::{
    Miner, Package, Setup, TestApp, competition_toml, log_signer, validator_hotkey, validator_keypair,
};
use protocol::api::{CompetitionView, Leaderboard, SubmissionStatus};
use protocol::competition::ObjectRef;
use protocol::dethrone::Rule;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::outcomes::Outcomes;
use protocol::package::PackageConfig;
use protocol::reward::Weight;
use protocol::round::EntryRole;
use protocol::{Digest, Hotkey, Receipt, Report, SignedReceipt, SubmissionId};
use referee::RoundRecord;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use transparency::verify::Reader;
use transparency::{Entry, Envelope, Log, LogStore, Resource, VerifyError, verify_entries};
use validator::audit::{
    CannotBeChecked, Case, Engine, Finding, LedgerSeen, Sample, Source, Statements, Verdict, audit,
};
use validator::evaluator::{ScriptedEvaluator, scripted_evaluation};
use validator::rounds::RoundView;

/// Everything that a validator hands out, taken down: what an operator can forge.
#[derive(Clone)]
struct World {
    view: CompetitionView,
    log: Vec<Envelope>,
    objects: BTreeMap<Digest, Vec<u8>>,
    files: BTreeMap<SubmissionId, [Digest; 2]>,
    rounds: BTreeMap<u64, RoundView>,
    board: Leaderboard,
    ledger: LedgerSeen,
    /// Who is who, by the width of its package.
    entered: BTreeMap<usize, SubmissionId>,
}

/// One place a round; and no mixtures, whose labels a script would take for the teacher's answers.
const RULES: &str = "rounds = { challengers_max = 1, beacon = \"ledger\", transforms = { mixture_ppm = 0 } }";

/// What answers for a package: how many of a million, by its width; `None` for the teacher.
type Script = fn(Option<usize>, &EvaluationRequest) -> u64;

/// Honest models: as good as they are, wherever they are asked.
fn honest(width: Option<usize>, _: &EvaluationRequest) -> u64 {
    match width {
        None => 980_000,
        Some(25) => 970_000,
        Some(8) => 300_000,
        Some(_) => 900_000,
    }
}

fn answer(script: Script, request: &EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
    let config = PackageConfig::from_json(&request.candidate.config_json)?;
    let config = serde_json::to_value(&config.architecture).unwrap();
    let width = config["hidden"][0].as_u64().unwrap() as usize;
    let width = request.items.teacher_logits.as_ref().map(|_| width);
    scripted_evaluation(request, script(width, request))
}

struct Scripted(Script);

impl Engine for Scripted {
    fn evaluate(&self, _: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
        answer(self.0, &request)
    }
}

impl Source for World {
    fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String> {
        self.objects.get(sha256).cloned().ok_or_else(|| format!("object {} isn't public", sha256.short()))
    }

    fn files(&self, submission: &SubmissionId) -> Result<[Digest; 2], String> {
        self.files.get(submission).copied().ok_or_else(|| "no files".into())
    }
}

struct HttpLog<'a>(&'a Miner);

impl Reader for HttpLog<'_> {
    type Error = reqwest::Error;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, reqwest::Error> {
        let response = self.0.http.get(format!("{}/log/{resource}", self.0.base)).send().await?;
        if response.status() == 404 {
            return Ok(None);
        }
        Ok(Some(response.error_for_status()?.bytes().await?.to_vec()))
    }
}

/// A validator with this engine, after two rounds: the first goes to the model of 20 units; in the second the one of 25 is
/// decided, its equal of 21 waits, and one of 8 is below the gate.
async fn played(script: Script) -> World {
    played_by(RULES, script).await
}

async fn played_by(rules: &str, script: Script) -> World {
    let engine = Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
        let evaluation = answer(script, &request);
        Box::pin(async move { evaluation })
    })));
    let app = TestApp::start(Setup { evaluator: engine, ..Setup::default() }).await;
    super::pools::write_own(&app, 1_550);
    let own = "data = { source = \"file:own\", public_items = 100, hidden_items = 1450, hidden_pool = \"public\" }";
    let toml = competition_toml("digits", rules);
    let data = toml.lines().find(|line| line.starts_with("data = ")).unwrap().to_owned();
    let toml = if rules.contains("items") { toml.replace(&data, own) } else { toml };
    app.publish(&toml).await;
    let mut entered = BTreeMap::new();
    for (round, widths) in [(1, &[20_u32][..]), (2, &[21, 25, 8])] {
        for width in widths {
            let id = app.miner(*width as u8).submit(&Package::mlp(&[*width], *width)).await.unwrap();
            app.wait_for(&id, protocol::submission::State::Scored).await;
            app.app.clock.advance(1);
            entered.insert(*width as usize, id);
        }
        super::rounds::play(&app, round).await;
    }
    World::taken(&app, entered).await
}

impl World {
    /// Takes down whatever anybody can download.
    async fn taken(app: &TestApp, entered: BTreeMap<usize, SubmissionId>) -> Self {
        let miner = app.miner(9);
        while app.app.db.count_leaves().await.unwrap().1 > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let mut log = Vec::new();
        let visit = |_, entry: &[u8]| log.push(Envelope::parse(entry).unwrap());
        verify_entries(&HttpLog(&miner), &log_signer().key(), None, visit).await.unwrap();
        let view: CompetitionView = miner.get("/api/v1/competitions/digits").await.json().await.unwrap();
        let board = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
        let (mut rounds, mut ledger, mut files) = (BTreeMap::new(), LedgerSeen::default(), BTreeMap::new());
        ledger.registrations = app.app.ledger.registrations().unwrap();
        for number in [1, 2] {
            let path = format!("/api/v1/competitions/digits/rounds/{number}");
            let round: RoundView = miner.get(&path).await.json().await.unwrap();
            let epoch = round.epoch.unwrap();
            ledger.weights.insert(epoch, app.app.ledger.weights(epoch).unwrap().unwrap());
            let height = round.beacon.as_ref().unwrap().number();
            ledger.hashes.insert(height, app.app.ledger.block_hash(height).unwrap());
            rounds.insert(number, round);
        }
        for id in entered.values() {
            let status: SubmissionStatus = miner.get(&format!("/api/v1/submissions/{id}")).await.json().await.unwrap();
            let digest = |path: &str| status.files.iter().find(|file| file.path == path).unwrap().sha256;
            files.insert(id.clone(), [digest("config.json"), digest("model.safetensors")]);
        }
        let mut world = Self { view, log, objects: BTreeMap::new(), files, rounds, board, ledger, entered };
        let texts = [
            serde_json::to_string(&world.view).unwrap(),
            serde_json::to_string(&world.log).unwrap(),
            serde_json::to_string(&world.rounds).unwrap(),
            serde_json::to_string(&world.files).unwrap(),
        ];
        for text in texts {
            world.follow(&miner, &text).await;
        }
        world
    }

    /// Downloads whatever a text names, and what that names.
    async fn follow(&mut self, miner: &Miner, text: &str) {
        let mut texts = vec![text.to_owned()];
        while let Some(text) = texts.pop() {
            let digests = text.split(|c: char| !c.is_ascii_hexdigit()).filter_map(|word| word.parse::<Digest>().ok());
            for digest in digests.collect::<Vec<_>>() {
                let answer = miner.get(&format!("/api/v1/objects/sha256/{digest}")).await;
                if self.objects.contains_key(&digest) || answer.status() != 200 {
                    continue;
                }
                let bytes = answer.bytes().await.unwrap().to_vec();
                texts.extend(String::from_utf8(bytes.clone()));
                self.objects.insert(digest, bytes);
            }
        }
    }

    /// The log's files, as its key signs them.
    async fn signed_log(&self) -> LogStore {
        let store = Arc::new(object_store::memory::InMemory::new());
        let mut log = Log::open(store.clone(), "log", log_signer()).await.unwrap();
        let entry = |leaf: &Envelope| Entry::new(leaf.kind, &leaf.key, &leaf.body).unwrap();
        log.append(&self.log.iter().map(entry).collect::<Vec<_>>()).await.unwrap();
        LogStore::new(store, "log").unwrap()
    }

    fn audited(&self, round: u64) -> Result<Vec<Finding>, CannotBeChecked> {
        self.audited_by(round, &Scripted(honest))
    }

    fn audited_by(&self, round: u64, engine: &dyn Engine) -> Result<Vec<Finding>, CannotBeChecked> {
        let mut log = Statements::default();
        for (index, envelope) in self.log.iter().enumerate() {
            let entry = Entry::new(envelope.kind, &envelope.key, &envelope.body).unwrap();
            log.take(index as u64, entry.as_bytes());
        }
        let case = Case {
            competition: &self.view.competition,
            validator: validator_hotkey(),
            log: &log,
            shown: &self.rounds[&round],
            board: Some(&self.board),
            ledger: Some(&self.ledger),
            source: self,
            engine,
            sample: Sample::All,
        };
        audit(&case, &mut |_| ())
    }

    /// What is wrong with the second round, each as `check: detail`.
    fn lies(&self) -> Vec<String> {
        let bad = self.audited(2).unwrap().into_iter().filter(|finding| finding.verdict == Verdict::Bad);
        bad.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect()
    }

    fn put(&mut self, bytes: Vec<u8>) -> ObjectRef {
        let object = ObjectRef { sha256: Digest::of(&bytes), size_bytes: bytes.len() as u64 };
        self.objects.insert(object.sha256, bytes);
        object
    }

    fn leaf(&mut self, key: &str) -> &mut Value {
        let leaf = self.log.iter_mut().find(|leaf| leaf.key == key);
        &mut leaf.unwrap_or_else(|| panic!("{key}")).body
    }

    fn drop_leaf(&mut self, key: &str) {
        self.log.retain(|leaf| leaf.key != key);
    }

    fn record(&self) -> RoundRecord {
        let leaf = self.log.iter().find(|leaf| leaf.key == "round/digits/2/judged").unwrap();
        let object: ObjectRef = serde_json::from_value(leaf.body["record"].clone()).unwrap();
        serde_json::from_slice(&self.objects[&object.sha256]).unwrap()
    }

    /// Exchanges the second round's record, and everything that says the same: leaves, pages, the board, the ledger.
    fn rerecord(&mut self, change: impl FnOnce(&mut RoundRecord)) {
        let mut record = self.record();
        change(&mut record);
        let object = self.put(canonical_json(&record).unwrap());
        let judged = self.leaf("round/digits/2/judged");
        judged["record"] = json!(object);
        judged["champion"] = json!(record.champion);
        judged["champion_before"] = json!(record.champion_before);
        self.leaf("round/digits/2/reward")["weights"] = json!(record.weights);
        let shown = self.rounds.get_mut(&2).unwrap();
        shown.record = Some(object);
        shown.champion = record.champion.clone();
        shown.champion_before = record.champion_before.clone();
        shown.shared_by = record.shared_by;
        shown.weights = record.weights.clone();
        shown.champion_age_seconds = record.champion_age_seconds;
        (shown.crowned_at, shown.crowned_in) = (record.crowned_at, record.crowned_in);
        shown.entries.retain(|entry| record.members.iter().any(|member| member.submission == entry.submission));
        for entry in &mut shown.entries {
            let member = record.members.iter().find(|member| member.submission == entry.submission).unwrap();
            (entry.role, entry.arrival, entry.verdict) = (member.role, member.arrival, member.verdict);
            (entry.screening, entry.receipt, entry.failure) =
                (member.screening, member.receipt, member.failure.clone());
        }
        self.board.champion = record.champion.clone();
        let paid = record.weights.iter().map(|it| (it.hotkey, it.weight_ppm)).collect();
        self.ledger.weights.insert(shown.epoch.unwrap(), paid);
    }

    fn id(&self, width: usize) -> SubmissionId {
        self.entered[&width].clone()
    }

    fn hotkey(width: u8) -> Hotkey {
        protocol::auth::Keypair::from_seed(&[width; 32]).hotkey()
    }

    /// A receipt over another report and other answers, signed as all are.
    fn resigned(
        &mut self,
        signed: &SignedReceipt,
        change: impl FnOnce(&mut Report, &mut protocol::outcomes::OutcomeValues),
    ) -> SignedReceipt {
        let mut subject = signed.receipt.subject.clone();
        let report = &self.objects[&signed.receipt.measured.report_sha256];
        let mut report: Report = serde_json::from_slice(report).unwrap();
        let outcomes = Outcomes::from_bytes(&self.objects[&subject.outcomes_sha256]).unwrap();
        let mut values = outcomes.values().clone();
        change(&mut report, &mut values);
        report.quality.correct = values.right.iter().filter(|right| **right).count() as u32;
        subject.outcomes_sha256 = self.put(Outcomes::new(values).unwrap().to_bytes()).sha256;
        self.put(canonical_json(&report).unwrap());
        Receipt::issue(&validator_keypair(), subject, &report, signed.receipt.issued_at).unwrap()
    }
}

#[tokio::test]
async fn an_honest_round_passes_and_every_forgery_is_named() {
    let world = played(honest).await;
    for round in [1, 2] {
        let found = world.audited(round).unwrap();
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "round {round}: {found:#?}");
        assert!(found.len() >= 18, "{found:#?}");
    }
    let record = world.record();
    let role = |width| record.members.iter().find(|it| it.submission == world.id(width)).unwrap();
    assert_eq!(record.champion, Some(world.id(25)));
    assert_eq!((role(25).role, role(21).role), (EntryRole::Challenger, EntryRole::Screened));
    assert_eq!(role(21).verdict.unwrap().rule, Rule::Screened);
    assert_eq!(role(8).verdict.unwrap().rule, Rule::BelowGate);

    let mut unnamed = Vec::new();
    for Forgery { name, forge, check, words } in FORGERIES {
        let mut forged = world.clone();
        forge(&mut forged);
        let lies = forged.lies();
        if !lies.iter().any(|lie| lie.starts_with(&format!("{check}: ")) && lie.contains(words)) {
            unnamed.push(format!("{name}: {check} should say {words:?}, found {lies:#?}"));
        }
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    assert!(FORGERIES.len() >= 15);

    // All of it signed again as another log: sound by itself, and never the one that was seen.
    let mut forged = world.clone();
    weights_to_a_friend(&mut forged);
    let (seen, other) = (world.signed_log().await, forged.signed_log().await);
    let key = log_signer().key();
    let checkpoint = verify_entries(&seen, &key, None, |_, _| ()).await.unwrap().checkpoint;
    verify_entries(&other, &key, None, |_, _| ()).await.unwrap();
    let split = verify_entries(&other, &key, Some(&checkpoint), |_, _| ()).await.unwrap_err();
    assert!(matches!(split, VerifyError::SplitView { .. } | VerifyError::Rewritten { .. }), "{split}");
}

/// A lie of an operator, and what names it.
struct Forgery {
    name: &'static str,
    forge: fn(&mut World),
    check: &'static str,
    words: &'static str,
}

const FORGERIES: &[Forgery] = &[
    Forgery { name: "champion exchanged", forge: champion_exchanged, check: "judgement", words: "the seat goes to" },
    Forgery { name: "all weights to a friend", forge: weights_to_a_friend, check: "payment", words: "the rules pay" },
    Forgery {
        name: "participant removed",
        forge: participant_removed,
        check: "members",
        words: "the log doesn't say why",
    },
    Forgery { name: "rejected rival", forge: rival_rejected, check: "members", words: "the log doesn't say why" },
    Forgery { name: "secret exchanged", forge: secret_exchanged, check: "draw", words: "not what the log bound" },
    Forgery { name: "beacon exchanged", forge: beacon_exchanged, check: "beacon", words: "another beacon" },
    Forgery { name: "arrivals swapped", forge: arrivals_swapped, check: "members", words: "place of arrival" },
    Forgery {
        name: "board row changed",
        forge: board_row_changed,
        check: "board",
        words: "doesn't follow from its receipt",
    },
    Forgery {
        name: "hidden score changed",
        forge: hidden_score_changed,
        check: "board",
        words: "another hidden score",
    },
    Forgery { name: "second commitment", forge: second_commitment, check: "log", words: "stated twice" },
    Forgery { name: "round opened twice", forge: opened_twice, check: "log", words: "a second time" },
    Forgery { name: "swapped ceiling", forge: ceiling_swapped, check: "ceilings", words: "ceilings differ" },
    Forgery { name: "challenger passed over", forge: passed_over, check: "screening", words: "was passed over" },
    Forgery { name: "level shared by another number", forge: level_shared, check: "screening", words: "shared by 1" },
    Forgery { name: "margin changed", forge: margin_changed, check: "standings", words: "the margin is" },
    Forgery { name: "history changed", forge: history_changed, check: "payment", words: "later rounds are paid by" },
    Forgery { name: "ledger paid others", forge: ledger_paid_others, check: "ledger", words: "other weights" },
    Forgery {
        name: "leaf says other weights",
        forge: leaf_pays_others,
        check: "ledger",
        words: "the leaf `reward` says",
    },
    Forgery {
        name: "receipt of another round",
        forge: receipt_of_another_round,
        check: "receipts",
        words: "not of this round",
    },
    Forgery {
        name: "receipt of a stranger",
        forge: receipt_of_a_stranger,
        check: "receipts",
        words: "not a known validator",
    },
    Forgery { name: "answers forged after the fact", forge: answers_forged, check: "outputs", words: "other answers" },
    Forgery { name: "report without its answers", forge: report_forged, check: "receipts", words: "don't agree" },
    Forgery { name: "rival failed by word", forge: rival_failed, check: "outputs", words: "answers here" },
    Forgery {
        name: "rival left out by word",
        forge: rival_left_out,
        check: "screening",
        words: "its own receipt doesn't say",
    },
    Forgery { name: "rival put out for good", forge: rival_put_out, check: "screening", words: "isn't below the gate" },
    Forgery { name: "friend entered late", forge: friend_late, check: "members", words: "announced after the close" },
    Forgery { name: "owner exchanged", forge: owner_exchanged, check: "owners", words: "another owner by the ledger" },
    Forgery { name: "unpaid as a stranger", forge: unpaid_by_word, check: "payment", words: "is registered" },
    Forgery { name: "reign lengthened", forge: reign_lengthened, check: "seat", words: "another length" },
    Forgery { name: "seat taken before", forge: seat_taken_before, check: "seat", words: "held the seat before it" },
    Forgery { name: "verdict exchanged", forge: verdict_exchanged, check: "judgement", words: "another verdict" },
    Forgery { name: "pages say otherwise", forge: pages_say_otherwise, check: "shown", words: "the champion shown" },
    Forgery { name: "rules exchanged", forge: rules_exchanged, check: "competition", words: "the log has sha256" },
    Forgery { name: "package exchanged", forge: package_exchanged, check: "receipts", words: "another package" },
    Forgery { name: "round skipped", forge: round_skipped, check: "record", words: "has no end in the log" },
];

fn champion_exchanged(world: &mut World) {
    let friend = world.id(20);
    world.rerecord(|record| record.champion = Some(friend));
}

fn weights_to_a_friend(world: &mut World) {
    world.rerecord(|record| record.weights = vec![Weight { hotkey: World::hotkey(21), weight_ppm: 1_000_000 }]);
}

fn participant_removed(world: &mut World) {
    let rival = world.id(21);
    world.rerecord(|record| record.members.retain(|member| member.submission != rival));
}

fn rival_rejected(world: &mut World) {
    let rival = world.id(21);
    world.rerecord(|record| record.members.retain(|member| member.submission != rival));
    world.drop_leaf(&format!("receipt/{rival}"));
}

fn secret_exchanged(world: &mut World) {
    let object: ObjectRef = serde_json::from_value(world.leaf("round/digits/2/revealed")["reveal"].clone()).unwrap();
    let mut reveal = datasets::hidden::Reveal::from_bytes(&world.objects[&object.sha256]).unwrap();
    reveal.secret = [7; 32].into();
    let forged = world.put(reveal.to_bytes().unwrap());
    world.leaf("round/digits/2/revealed")["reveal"] = json!(forged);
    world.rounds.get_mut(&2).unwrap().commitment = reveal.terms.commit(&reveal.secret).unwrap();
}

fn beacon_exchanged(world: &mut World) {
    world.leaf("round/digits/2/beacon")["beacon"]["hash"] = json!("11".repeat(32));
}

fn arrivals_swapped(world: &mut World) {
    let (one, other) = (world.id(21), world.id(25));
    world.rerecord(|record| {
        let arrival = |record: &RoundRecord, id: &SubmissionId| {
            record.members.iter().find(|member| member.submission == *id).unwrap().arrival
        };
        let (first, second) = (arrival(record, &one), arrival(record, &other));
        for member in &mut record.members {
            if member.submission == one {
                member.arrival = second;
            } else if member.submission == other {
                member.arrival = first;
            }
        }
    });
}

fn board_row_changed(world: &mut World) {
    let friend = Some(world.id(21));
    world.board.rows.iter_mut().find(|row| row.submission == friend).unwrap().accuracy_ppm += 10_000;
}

fn hidden_score_changed(world: &mut World) {
    let friend = Some(world.id(20));
    let row = world.board.rows.iter_mut().find(|row| row.submission == friend).unwrap();
    row.hidden_score_ppm = row.hidden_score_ppm.map(|score| score + 1);
}

fn second_commitment(world: &mut World) {
    let key = format!("commitment/{}", world.id(21));
    let again = world.log.iter().find(|leaf| leaf.key == key).unwrap().clone();
    world.log.push(again);
}

fn opened_twice(world: &mut World) {
    let mut again = world.log.iter().find(|leaf| leaf.key == "round/digits/2/opened").unwrap().clone();
    again.key = "round/digits/2/opened-again".into();
    world.log.push(again);
}

fn ceiling_swapped(world: &mut World) {
    world.rerecord(|record| record.items.fresh_ceiling.correct -= 3);
}

fn passed_over(world: &mut World) {
    let rival = world.id(25);
    world.rerecord(|record| {
        record.shared_by = 0;
        for member in record.members.iter_mut().filter(|member| member.submission == rival) {
            member.role = EntryRole::Screened;
            member.receipt = None;
            member.verdict = member.verdict.map(|verdict| protocol::dethrone::Verdict {
                rule: Rule::Screened,
                hidden: None,
                rounds: 0,
                ..verdict
            });
        }
    });
}

fn level_shared(world: &mut World) {
    world.rerecord(|record| record.shared_by = 50);
}

fn margin_changed(world: &mut World) {
    world.rerecord(|record| record.margin_ppm = record.margin_ppm.map(|margin| margin / 2));
}

fn history_changed(world: &mut World) {
    world.rerecord(|record| record.past.champion.as_mut().unwrap().composite_ppm = 1);
}

fn ledger_paid_others(world: &mut World) {
    let epoch = world.rounds[&2].epoch.unwrap();
    world.ledger.weights.insert(epoch, vec![(World::hotkey(21), 1_000_000)]);
}

fn leaf_pays_others(world: &mut World) {
    world.leaf("round/digits/2/reward")["weights"] =
        json!([Weight { hotkey: World::hotkey(21), weight_ppm: 1_000_000 }]);
}

/// Exchanges the receipt of a member of the second round.
fn other_receipt(world: &mut World, width: usize, change: impl FnOnce(&mut World, SignedReceipt) -> SignedReceipt) {
    let id = world.id(width);
    let member = world.record().members.into_iter().find(|member| member.submission == id).unwrap();
    let signed = SignedReceipt::parse(&world.objects[&member.receipt.unwrap().sha256]).unwrap();
    let signed = change(world, signed);
    let object = world.put(signed.to_json().unwrap());
    world.rerecord(|record| {
        record.members.iter_mut().find(|member| member.submission == id).unwrap().receipt = Some(object);
    });
}

fn receipt_of_another_round(world: &mut World) {
    other_receipt(world, 25, |world, signed| {
        let report = serde_json::from_slice(&world.objects[&signed.receipt.measured.report_sha256]).unwrap();
        let subject = protocol::receipt::Subject { round: Some(1), ..signed.receipt.subject };
        Receipt::issue(&validator_keypair(), subject, &report, signed.receipt.issued_at).unwrap()
    });
}

fn receipt_of_a_stranger(world: &mut World) {
    other_receipt(world, 25, |world, signed| {
        let report = serde_json::from_slice(&world.objects[&signed.receipt.measured.report_sha256]).unwrap();
        let stranger = protocol::auth::Keypair::from_seed(&[1; 32]);
        Receipt::issue(&stranger, signed.receipt.subject, &report, signed.receipt.issued_at).unwrap()
    });
}

fn answers_forged(world: &mut World) {
    other_receipt(world, 20, |world, signed| {
        world.resigned(&signed, |_, values| values.right.iter_mut().for_each(|right| *right = true))
    });
}

fn report_forged(world: &mut World) {
    other_receipt(world, 25, |world, signed| {
        let mut report: Report =
            serde_json::from_slice(&world.objects[&signed.receipt.measured.report_sha256]).unwrap();
        report.quality.correct -= 40;
        world.put(canonical_json(&report).unwrap());
        Receipt::issue(&validator_keypair(), signed.receipt.subject, &report, signed.receipt.issued_at).unwrap()
    });
}

fn rival_failed(world: &mut World) {
    let rival = world.id(25);
    world.rerecord(|record| {
        let member = record.members.iter_mut().find(|member| member.submission == rival).unwrap();
        (member.receipt, member.failure) = (None, Some("evaluation_crashed: it crashed".into()));
    });
}

fn rival_left_out(world: &mut World) {
    rule_by_word(world, 21, Rule::LatencyBreach, true);
}

fn rival_put_out(world: &mut World) {
    rule_by_word(world, 21, Rule::BelowHiddenGate, false);
}

/// Says another rule of a screened member.
fn rule_by_word(world: &mut World, width: usize, rule: Rule, asked_nothing: bool) {
    let rival = world.id(width);
    world.rerecord(|record| {
        let member = record.members.iter_mut().find(|member| member.submission == rival).unwrap();
        member.verdict.as_mut().unwrap().rule = rule;
        member.screening = member.screening.filter(|_| !asked_nothing);
    });
}

fn friend_late(world: &mut World) {
    let (key, closed_at) = (format!("commitment/{}", world.id(25)), world.record().closed_at);
    world.leaf(&key)["announced_at"] = json!(closed_at);
}

fn owner_exchanged(world: &mut World) {
    let rival = world.id(21);
    world.rerecord(|record| {
        record.members.iter_mut().find(|member| member.submission == rival).unwrap().owner = World::hotkey(20);
    });
}

fn unpaid_by_word(world: &mut World) {
    world.rerecord(|record| record.not_registered = vec![World::hotkey(25)]);
}

fn reign_lengthened(world: &mut World) {
    world.rerecord(|record| record.champion_age_seconds += 86_400);
}

fn seat_taken_before(world: &mut World) {
    world.rerecord(|record| record.champion_before = None);
}

fn verdict_exchanged(world: &mut World) {
    let rival = world.id(25);
    world.rerecord(|record| {
        let member = record.members.iter_mut().find(|member| member.submission == rival).unwrap();
        member.verdict.as_mut().unwrap().rule = Rule::HiddenNotBetter;
    });
}

fn pages_say_otherwise(world: &mut World) {
    let friend = world.id(20);
    world.rounds.get_mut(&2).unwrap().champion = Some(friend);
}

fn rules_exchanged(world: &mut World) {
    world.view.competition.manifest.dethrone.epsilon_ppm = 0;
}

fn package_exchanged(world: &mut World) {
    let key = format!("commitment/{}", world.id(25));
    world.leaf(&key)["package_sha256"] = json!(Digest::of(b"another package"));
}

fn round_skipped(world: &mut World) {
    world.drop_leaf("round/digits/1/judged");
}

/// A friend's answers are better wherever its owner isn't watched: everything else follows honestly from that lie.
fn for_a_friend(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    let watched = request.items.labels.len() == 100;
    match width {
        Some(21) if !watched => 1_000_000,
        _ => honest(width, request),
    }
}

/// The same only where it is screened.
fn for_a_friend_screened(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        Some(21) if request.items.labels.len() < 100 => 1_000_000,
        _ => honest(width, request),
    }
}

/// The teacher is said to know less of hidden items.
fn for_a_low_gate(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        None if request.items.labels.len() == 300 => 700_000,
        _ => honest(width, request),
    }
}

/// The reference is said to be worse on hidden items, so that the first champion passes it by more.
fn for_a_wide_margin(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        Some(4) if request.items.labels.len() == 300 => 500_000,
        _ => honest(width, request),
    }
}

#[tokio::test]
async fn an_engine_that_lies_is_found_out_though_all_else_follows() {
    let lies: [(Script, &str, &str); 4] = [
        (for_a_friend, "outputs", "answers otherwise here, on the same engine"),
        (for_a_friend_screened, "outputs", "answers otherwise here, on the same engine"),
        (for_a_low_gate, "outputs", "the teacher answers otherwise here"),
        (for_a_wide_margin, "outputs", "the reference answers otherwise here"),
    ];
    for (script, check, words) in lies {
        let world = played(script).await;
        let found = world.lies();
        assert!(found.iter().any(|lie| lie.starts_with(&format!("{check}: ")) && lie.contains(words)), "{found:#?}");
    }
}

/// Who says the same as an earlier one is its copy, and everybody can tell: the model of 21 units answers like the one of 20.
#[tokio::test]
async fn copies_are_looked_at_and_a_friend_s_clone_is_found() {
    const MANY: &str =
        "rounds = { challengers_max = 1, beacon = \"ledger\", transforms = { mixture_ppm = 0 }, items = 1450 }";
    let world = played_by(MANY, honest).await;
    let [original, clone] = [20, 21].map(|width| world.id(width));
    let member = |world: &World| world.record().members.into_iter().find(|it| it.submission == clone).unwrap();
    assert_eq!(member(&world).copy_of, Some(original.clone()));
    let found = world.audited(2).unwrap();
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");

    let mut forged = world.clone();
    forged.rerecord(|record| {
        let friend = record.members.iter_mut().find(|member| member.submission == clone).unwrap();
        friend.copy_of = None;
    });
    let lies = forged.lies();
    let named = format!("copies: {clone} says the same as {original}");
    assert!(lies.iter().any(|lie| lie.starts_with(&named)), "{lies:#?}");

    // Known packages may explain it, so it is no lie then; and it is never ok.
    let mut excused = played_by(&format!("{MANY}\nknown = [\"teacher\"]"), honest).await;
    let friend = excused.id(21);
    excused.rerecord(|record| {
        record.members.iter_mut().find(|member| member.submission == friend).unwrap().copy_of = None;
    });
    let found = excused.audited(2).unwrap();
    let told = found.iter().find(|finding| finding.check == "copies").unwrap();
    assert_eq!(told.verdict, Verdict::Unclear, "{found:#?}");
    assert!(told.detail.contains("counts as work of its own"), "{found:#?}");

    // A rival that is like nobody: nothing that can be computed shows it to be a copy, and that is said.
    let mut forged = world.clone();
    let rival = forged.id(25);
    forged.rerecord(|record| {
        record.members.iter_mut().find(|member| member.submission == rival).unwrap().copy_of = Some(original.clone());
    });
    let found = forged.audited(2).unwrap();
    let told = found.iter().find(|finding| finding.check == "copies" && finding.verdict != Verdict::Ok).unwrap();
    assert!(told.detail.contains("which neither weights nor fresh answers show"), "{found:#?}");
}

#[tokio::test]
async fn what_a_version_before_judged_and_what_is_not_over_cannot_be_checked() {
    let world = played(honest).await;
    let mut before = world.clone();
    before.leaf("round/digits/2/judged").as_object_mut().unwrap().remove("record");
    assert!(before.audited(2).unwrap_err().why.contains("a version before this one"));
    let mut open = world.clone();
    open.drop_leaf("round/digits/2/revealed");
    assert!(open.audited(2).unwrap_err().why.contains("isn't revealed"));

    // Another class of machine proves nothing, and is never ok; on the same one a difference is a lie.
    for (flags, expected) in [(vec!["avx512f".to_owned()], Verdict::Unclear), (Vec::new(), Verdict::Bad)] {
        let found = world.audited_by(2, &Elsewhere(flags)).unwrap();
        let verdicts = found.iter().filter(|finding| finding.check == "outputs").map(|finding| finding.verdict);
        assert_eq!(verdicts.collect::<Vec<_>>(), [expected], "{found:#?}");
        let others = found.iter().filter(|finding| finding.check != "outputs");
        assert!(others.clone().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
        assert!(others.clone().all(|finding| !["teacher", "reference"].contains(&finding.check)), "{found:#?}");
    }
}

/// An engine whose outputs differ in the last digits, on a machine with these flags.
struct Elsewhere(Vec<String>);

impl Engine for Elsewhere {
    fn evaluate(&self, _: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
        let mut evaluation = answer(honest, &request)?;
        evaluation.logits[0] += 1e-6;
        evaluation.report.host.cpu_flags = self.0.clone();
        evaluation.report.outputs_sha256 = Digest::of(b"elsewhere");
        let mut values = evaluation.outcomes.values().clone();
        values.js_micronats[0] += 1;
        evaluation.outcomes = Outcomes::new(values).unwrap();
        Ok(evaluation)
    }
}
