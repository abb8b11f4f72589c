//! Rounds audited by somebody who believes nothing: what is sound passes, and every lie of an operator who re-signs
//! whatever it can is named.
//!
//! A real validator plays two rounds. What it hands out to everybody is taken down, forged as its operator could (who holds
//! its keys, so log, receipts and records fit each other again), and audited with a script in the engine's place.

use super::support::{
    Miner, Package, Setup, TestApp, competition_toml, log_signer, validator_hotkey, validator_keypair,
};
use ::audit::{CannotBeChecked, Case, Engine, Finding, LedgerSeen, Sample, Source, Statements, Timed, Verdict, audit};
use datasets::hidden::RoundView;
use protocol::api::{CompetitionView, Leaderboard, SubmissionStatus};
use protocol::competition::ObjectRef;
use protocol::dethrone::Rule;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::leaf::{Ended, LeftOut, LeftOutCode};
use protocol::outcomes::Outcomes;
use protocol::package::PackageConfig;
use protocol::report::Latency;
use protocol::reward::Weight;
use protocol::round::{EntryRole, Step};
use protocol::submission::{Code, State};
use protocol::{Digest, Hotkey, Receipt, Report, SignedReceipt, SubmissionId};
use referee::RoundRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use transparency::verify::Reader;
use transparency::{Entry, EntryKind, Envelope, Log, LogStore, Resource, VerifyError, verify_entries};
use validator::administration::disqualify;
use validator::scripted::{ScriptedEvaluator, scripted_evaluation};

/// Everything that a validator hands out, taken down: what an operator can forge.
#[derive(Clone)]
pub(super) struct World {
    pub(super) view: CompetitionView,
    pub(super) log: Vec<Envelope>,
    pub(super) objects: BTreeMap<Digest, Vec<u8>>,
    files: BTreeMap<SubmissionId, [Digest; 2]>,
    pub(super) rounds: BTreeMap<u64, RoundView>,
    board: Leaderboard,
    ledger: LedgerSeen,
    /// Who is who, by the width of its package.
    entered: BTreeMap<usize, SubmissionId>,
    /// How many entries the log had when the rest was asked for; all of them unless said.
    seen: Option<u64>,
}

/// One place a round; and no mixtures, whose labels a script would take for the teacher's answers.
pub(super) const RULES: &str =
    "rounds = { challengers_max = 1, beacon = \"ledger\", transforms = { mixture_ppm = 0 } }";

/// What answers for a package: how many of a million, by its width; `None` for the teacher.
pub(super) type Script = fn(Option<usize>, &EvaluationRequest) -> u64;

/// Honest models: as good as they are, wherever they are asked.
pub(super) fn honest(width: Option<usize>, _: &EvaluationRequest) -> u64 {
    match width {
        None => 980_000,
        Some(25) => 970_000,
        Some(8) => 300_000,
        Some(_) => 900_000,
    }
}

pub(super) fn answer(script: Script, request: &EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
    let config = PackageConfig::from_json(&request.order.candidate.config_json)?;
    let config = serde_json::to_value(&config.architecture).unwrap();
    let width = config["hidden"][0].as_u64().unwrap() as usize;
    let width = request.truth.teacher_logits.as_ref().map(|_| width);
    scripted_evaluation(request, script(width, request))
}

struct Scripted(Script);

impl Engine for Scripted {
    fn evaluate(&self, _: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
        answer(self.0, &request)
    }

    fn timed(&self, samples: &[u8]) -> Result<Timed, String> {
        let Samples { seed, latency, log_ratio_nanos } =
            serde_json::from_slice(samples).map_err(|error| error.to_string())?;
        let latency = Latency { samples_sha256: Some(Digest::of(samples)), ..latency };
        Ok(Timed { seed, latency, log_ratio_nanos })
    }
}

/// What a script writes for raw times.
#[derive(Deserialize, Serialize)]
pub(super) struct Samples {
    pub(super) seed: u64,
    pub(super) latency: Latency,
    pub(super) log_ratio_nanos: Vec<i64>,
}

impl Source for World {
    fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String> {
        self.objects.get(sha256).cloned().ok_or_else(|| format!("object {} isn't public", sha256.short()))
    }

    fn file(&self, sha256: &Digest) -> Result<File, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&self.object(sha256)?).unwrap();
        Ok(file)
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
    let (app, entered) = app_played(rules, script).await;
    World::taken(&app, entered).await
}

/// The same before anybody looked, and who entered.
async fn app_played(rules: &str, script: Script) -> (TestApp, BTreeMap<usize, SubmissionId>) {
    let app = app_of(script).await;
    super::pools::write_own(&app, 1_550);
    let own = "data = { source = \"file:own\", public_items = 100, hidden_items = 1450, hidden_pool = \"public\" }";
    let toml = competition_toml("digits", rules);
    let data = toml.lines().find(|line| line.starts_with("data = ")).unwrap().to_owned();
    let toml = if rules.contains("items") { toml.replace(&data, own) } else { toml };
    app.publish(&toml).await;
    let entered = two_rounds(&app).await;
    (app, entered)
}

/// A validator with a script in its engine's place.
pub(super) async fn app_of(script: Script) -> TestApp {
    let engine = Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
        let evaluation = answer(script, &request);
        Box::pin(async move { evaluation })
    })));
    TestApp::start(Setup { evaluator: engine, ..Setup::default() }).await
}

/// Plays them, and says who entered.
pub(super) async fn two_rounds(app: &TestApp) -> BTreeMap<usize, SubmissionId> {
    let mut entered = BTreeMap::new();
    for (round, widths) in [(1, &[20_u32][..]), (2, &[21, 25, 8])] {
        // Its leaf first, whatever the machine does: tests forge what it says.
        super::rounds::wait_for(app, round, Step::Open).await;
        for width in widths {
            let id = app.miner(*width as u8).submit(&Package::mlp(&[*width], *width)).await.unwrap();
            app.wait_for(&id, protocol::submission::State::Scored).await;
            app.app.clock.advance(1);
            entered.insert(*width as usize, id);
        }
        super::rounds::play(app, round).await;
    }
    entered
}

impl World {
    /// Takes down whatever anybody can download.
    pub(super) async fn taken(app: &TestApp, entered: BTreeMap<usize, SubmissionId>) -> Self {
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
        for number in 1.. {
            let path = format!("/api/v1/competitions/digits/rounds/{number}");
            let answer = miner.get(&path).await;
            if answer.status() == 404 {
                // The next one isn't open yet.
                break;
            }
            let round: RoundView = answer.json().await.unwrap();
            if round.step < Step::Revealed {
                break;
            }
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
        let objects = BTreeMap::new();
        let mut world = Self { view, log, objects, files, rounds, board, ledger, entered, seen: None };
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

    pub(super) fn audited(&self, round: u64) -> Result<Vec<Finding>, CannotBeChecked> {
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
            round,
            validator: validator_hotkey(),
            log: &log,
            seen: self.seen.unwrap_or(log.len() as u64),
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
    pub(super) fn lies(&self) -> Vec<String> {
        let bad = self.audited(2).unwrap().into_iter().filter(|finding| finding.verdict == Verdict::Bad);
        bad.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect()
    }

    pub(super) fn put(&mut self, bytes: Vec<u8>) -> ObjectRef {
        let object = ObjectRef { sha256: Digest::of(&bytes), size_bytes: bytes.len() as u64 };
        self.objects.insert(object.sha256, bytes);
        object
    }

    pub(super) fn leaf(&mut self, key: &str) -> &mut Value {
        let leaf = self.log.iter_mut().find(|leaf| leaf.key == key);
        &mut leaf.unwrap_or_else(|| panic!("{key}")).body
    }

    /// Where a leaf stands.
    fn place(&self, key: &str) -> usize {
        self.log.iter().position(|leaf| leaf.key == key).unwrap_or_else(|| panic!("{key}"))
    }

    /// States something before the leaf of this name.
    fn state_before(&mut self, before: &str, kind: EntryKind, key: &str, body: &impl Serialize) {
        let entry = Entry::new(kind, key, body).unwrap();
        let place = self.place(before);
        self.log.insert(place, Envelope::parse(entry.as_bytes()).unwrap());
    }

    fn drop_leaf(&mut self, key: &str) {
        self.log.retain(|leaf| leaf.key != key);
    }

    /// Nothing is stated of the round after the second, which opens by itself.
    fn drop_third(&mut self) {
        self.log.retain(|leaf| !leaf.key.starts_with("round/digits/3/"));
    }

    /// States what a round of some competition came to, with a field more.
    fn state(&mut self, (competition, round): (&str, u64), what: &str, field: (&str, Value)) {
        let key = format!("round/{competition}/{round}/{what}");
        self.drop_leaf(&key);
        let kinds = [("opened", "round_opened"), ("judged", "round_judged"), ("abandoned", "round_abandoned")];
        let kind = kinds.iter().find(|(name, _)| *name == what).map_or(what, |(_, kind)| kind);
        let mut body = json!({"competition": competition, "round": round});
        body[field.0] = field.1;
        let leaf = json!({"format": self.log[0].format, "kind": kind, "key": key, "body": body});
        self.log.push(serde_json::from_value(leaf).unwrap());
    }

    fn row(&mut self, width: usize) -> &mut protocol::api::BoardRow {
        let id = Some(self.id(width));
        self.board.rows.iter_mut().find(|row| row.submission == id).unwrap()
    }

    fn entry(&mut self, width: usize) -> &mut datasets::hidden::RoundEntryView {
        let id = self.id(width);
        let entries = &mut self.rounds.get_mut(&2).unwrap().entries;
        entries.iter_mut().find(|entry| entry.submission == id).unwrap()
    }

    pub(super) fn record(&self) -> RoundRecord {
        let leaf = self.log.iter().find(|leaf| leaf.key == "round/digits/2/judged").unwrap();
        let object: ObjectRef = serde_json::from_value(leaf.body["record"].clone()).unwrap();
        serde_json::from_slice(&self.objects[&object.sha256]).unwrap()
    }

    /// Exchanges the second round's record, and everything that says the same: leaves, pages, the board, the ledger.
    pub(super) fn rerecord(&mut self, change: impl FnOnce(&mut RoundRecord)) {
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

    /// The report of a submission's own measurement.
    fn report_of(&self, width: usize) -> Report {
        let key = format!("receipt/{}", self.id(width));
        let leaf = self.log.iter().find(|leaf| leaf.key == key).unwrap();
        let signed: SignedReceipt = serde_json::from_value(leaf.body.clone()).unwrap();
        serde_json::from_slice(&self.objects[&signed.receipt.measured.report_sha256]).unwrap()
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
        words: "scored before the close",
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
    Forgery { name: "round skipped", forge: round_skipped, check: "rounds", words: "`reward` and no `judged`" },
    Forgery { name: "rules fall", forge: rules_fall, check: "rounds", words: "opened by rules 1" },
    Forgery { name: "record left away", forge: record_left_away, check: "rounds", words: "without a record" },
    Forgery { name: "never revealed", forge: never_revealed, check: "rounds", words: "round 2 was neither revealed" },
    Forgery { name: "the one before", forge: first_never_revealed, check: "rounds", words: "round 1 was neither" },
    Forgery { name: "abandoned and paid", forge: abandoned_and_paid, check: "rounds", words: "was abandoned, and has" },
    Forgery { name: "round without a past", forge: ghost_round, check: "rounds", words: "nothing of round" },
    Forgery { name: "ledger extra", forge: ledger_extra, check: "ledger", words: "no round of the log names" },
    Forgery { name: "ghost paid", forge: ghost_competition, check: "ledger", words: "round 7 of letters was paid" },
    Forgery { name: "one epoch twice", forge: epoch_twice, check: "ledger", words: "both name epoch" },
    Forgery { name: "another round's page", forge: page_of_another, check: "draw", words: "the commitment shown" },
    Forgery { name: "shown beacon", forge: shown_beacon, check: "shown", words: "the beacon shown" },
    Forgery { name: "shown opening time", forge: shown_opening, check: "shown", words: "when it opened shown" },
    Forgery { name: "shown reasons", forge: shown_reasons, check: "shown", words: "why everybody earns that" },
    Forgery { name: "shown items", forge: shown_items, check: "shown", words: "what was drawn shown" },
    Forgery { name: "shown counts", forge: shown_counts, check: "shown", words: "is shown otherwise" },
    Forgery { name: "shown latency", forge: shown_latency, check: "shown", words: "is shown otherwise" },
    Forgery { name: "board last round", forge: board_of_no_round, check: "board", words: "it rests on no round" },
    Forgery { name: "board of the round before", forge: board_before, check: "board", words: "it rests on round 1" },
    Forgery { name: "board of no such round", forge: board_later, check: "board", words: "it rests on round 9" },
    Forgery { name: "teacher's row", forge: teacher_row, check: "board", words: "the row of the teacher" },
    Forgery { name: "teacher's row away", forge: teacher_away, check: "board", words: "the teacher doesn't lead" },
    Forgery { name: "row removed", forge: row_removed, check: "board", words: "is scored, and has no row" },
    Forgery { name: "row doubled", forge: row_doubled, check: "board", words: "has two rows" },
    Forgery { name: "row's owner", forge: row_owner, check: "board", words: "doesn't follow from its receipt" },
    Forgery { name: "ranks", forge: ranks_swapped, check: "board", words: "rank or place than the record" },
    Forgery { name: "order", forge: rows_swapped, check: "board", words: "stands where no fresh items put it" },
    Forgery { name: "place by word", forge: placed_by_word, check: "board", words: "no fresh items put it" },
    Forgery { name: "board champion", forge: board_champion, check: "board", words: "champion isn't the record's" },
    Forgery { name: "hidden accuracy", forge: hidden_accuracy, check: "board", words: "what became of it" },
    Forgery {
        name: "launches forged",
        forge: launches_forged,
        check: "receipts",
        words: "of its outcomes don't follow",
    },
    Forgery {
        name: "own launches forged",
        forge: own_launches,
        check: "receipts",
        words: "of its outcomes don't follow",
    },
    Forgery {
        name: "ratio forged",
        forge: ratio_forged,
        check: "receipts",
        words: "doesn't follow from its raw times",
    },
    Forgery { name: "raw times of another", forge: others_times, check: "receipts", words: "of another measurement" },
    Forgery { name: "own size forged", forge: own_size, check: "receipts", words: "its size is" },
    Forgery { name: "own costs forged", forge: own_costs, check: "outputs", words: "other costs than its package" },
    Forgery {
        name: "own figures forged",
        forge: own_figures,
        check: "outputs",
        words: "other figures than its report",
    },
    Forgery { name: "rival below the gate by word", forge: below_gate, check: "outputs", words: "other answers" },
    Forgery {
        name: "scored rival left out as late",
        forge: left_out,
        check: "members",
        words: "scored before the close",
    },
    Forgery { name: "scored rival withdrawn", forge: withdrawn, check: "members", words: "scored before the close" },
    Forgery { name: "champion left out", forge: champion_left_out, check: "members", words: "holds the seat" },
    Forgery {
        name: "left out as what leaves nobody out",
        forge: left_out_so,
        check: "members",
        words: "as below_gate",
    },
    Forgery { name: "put out by hand by word", forge: out_by_word, check: "members", words: "ended as disqualified" },
    Forgery {
        name: "package of after the beacon",
        forge: after_beacon,
        check: "members",
        words: "in the log after the close",
    },
    Forgery { name: "arrivals exchanged everywhere", forge: arrivals, check: "members", words: "arrived before it" },
    Forgery { name: "closed early", forge: closed_early, check: "close", words: "no act in the log" },
    Forgery { name: "closed at another time", forge: closed_by_word, check: "close", words: "no act in the log" },
    Forgery { name: "measured until it pleased", forge: attempts, check: "attempts", words: "was measured again as" },
    Forgery { name: "own seed picked", forge: own_seed, check: "attempts", words: "a seed that was picked" },
    Forgery { name: "seed of an older round", forge: older_secret, check: "attempts", words: "the secret of round" },
];

fn rules_fall(world: &mut World) {
    world.leaf("round/digits/2/opened")["rules"] = json!(1);
}

fn record_left_away(world: &mut World) {
    world.leaf("round/digits/2/judged").as_object_mut().unwrap().remove("record");
}

fn never_revealed(world: &mut World) {
    world.drop_leaf("round/digits/2/revealed");
    world.state(("digits", 3), "opened", ("rules", json!(2)));
}

fn first_never_revealed(world: &mut World) {
    world.drop_leaf("round/digits/1/revealed");
}

fn abandoned_and_paid(world: &mut World) {
    world.state(("digits", 2), "abandoned", ("code", json!("beacon_missing")));
}

fn ghost_round(world: &mut World) {
    world.state(("digits", 99), "reward", ("epoch", json!(999)));
    world.ledger.weights.insert(999, vec![(World::hotkey(21), 1_000_000)]);
}

fn ledger_extra(world: &mut World) {
    world.ledger.weights.insert(999, vec![(World::hotkey(21), 1_000_000)]);
}

fn ghost_competition(world: &mut World) {
    world.state(("letters", 7), "reward", ("epoch", json!(999)));
    ledger_extra(world);
}

fn epoch_twice(world: &mut World) {
    let epoch = world.rounds[&2].epoch;
    world.state(("letters", 1), "reward", ("epoch", json!(epoch)));
}

fn page_of_another(world: &mut World) {
    let first = world.rounds[&1].clone();
    world.rounds.insert(2, first);
}

fn shown_beacon(world: &mut World) {
    let first = world.rounds[&1].beacon.clone();
    world.rounds.get_mut(&2).unwrap().beacon = first;
}

fn shown_opening(world: &mut World) {
    world.rounds.get_mut(&2).unwrap().opened_at = 1;
}

fn shown_reasons(world: &mut World) {
    world.rounds.get_mut(&2).unwrap().why[0].sentence = "whatever the operator likes".into();
}

fn shown_items(world: &mut World) {
    world.rounds.get_mut(&2).unwrap().drawn = None;
}

fn shown_counts(world: &mut World) {
    world.entry(25).changed = Some([100, 100]);
}

fn shown_latency(world: &mut World) {
    world.entry(25).latency_ratio.as_mut().unwrap().value_ppm -= 10_000;
}

fn board_of_no_round(world: &mut World) {
    let friend = world.id(21);
    (world.board.last_round, world.board.champion) = (None, Some(friend));
}

fn board_before(world: &mut World) {
    world.board.last_round = Some(1);
}

fn board_later(world: &mut World) {
    world.board.last_round = Some(9);
}

fn teacher_row(world: &mut World) {
    world.board.rows[0].accuracy_ppm -= 100_000;
}

fn teacher_away(world: &mut World) {
    world.board.rows.remove(0);
}

fn row_removed(world: &mut World) {
    let rival = Some(world.id(8));
    world.board.rows.retain(|row| row.submission != rival);
}

fn row_doubled(world: &mut World) {
    let again = world.row(8).clone();
    world.board.rows.insert(1, again);
}

fn row_owner(world: &mut World) {
    world.row(25).hotkey = Some(World::hotkey(21));
}

fn ranks_swapped(world: &mut World) {
    let [first, second] = [1, 2].map(|place| world.board.rows[place].rank);
    (world.board.rows[1].rank, world.board.rows[2].rank) = (second.map(|rank| rank + 1), first);
}

fn rows_swapped(world: &mut World) {
    world.board.rows.swap(1, 2);
}

fn placed_by_word(world: &mut World) {
    let row = world.row(8);
    (row.rank, row.place, row.provisional) = (Some(1), Some(1), false);
}

fn board_champion(world: &mut World) {
    let friend = world.id(21);
    world.board.champion = Some(friend);
}

fn hidden_accuracy(world: &mut World) {
    let row = world.row(25);
    row.hidden_accuracy_ppm = row.hidden_accuracy_ppm.map(|accuracy| accuracy + 1);
}

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

/// Exchanges a submission's own receipt.
fn other_own(world: &mut World, width: usize, change: impl FnOnce(&mut World, SignedReceipt) -> SignedReceipt) {
    let key = format!("receipt/{}", world.id(width));
    let signed: SignedReceipt = serde_json::from_value(world.leaf(&key).clone()).unwrap();
    let signed = change(world, signed);
    *world.leaf(&key) = json!(signed);
}

fn launches_forged(world: &mut World) {
    for (width, nanos) in [(20, 5_000_000_000), (25, -5_000_000_000)] {
        other_receipt(world, width, |world, signed| {
            world.resigned(&signed, |_, values| values.log_ratio_nanos.iter_mut().for_each(|it| *it = nanos))
        });
    }
}

fn own_launches(world: &mut World) {
    other_own(world, 21, |world, signed| {
        world.resigned(&signed, |_, values| values.log_ratio_nanos.iter_mut().for_each(|it| *it -= 1_000_000))
    });
}

fn ratio_forged(world: &mut World) {
    other_receipt(world, 25, |world, signed| {
        world.resigned(&signed, |report, _| report.latency.ratio.value_ppm -= 10_000)
    });
}

fn others_times(world: &mut World) {
    let other = world.report_of(20).latency;
    other_own(world, 21, |world, signed| world.resigned(&signed, |report, _| report.latency = other));
}

fn own_size(world: &mut World) {
    other_own(world, 21, |world, signed| world.resigned(&signed, |_, values| values.size_bytes = 1));
}

fn own_costs(world: &mut World) {
    other_own(world, 21, |world, signed| {
        world.resigned(&signed, |report, values| {
            (report.cost.size_bytes, values.size_bytes) = (1, 1);
        })
    });
}

fn own_figures(world: &mut World) {
    other_own(world, 25, |world, signed| world.resigned(&signed, |report, _| report.fidelity.agreement += 1));
}

fn below_gate(world: &mut World) {
    let rival = world.id(21);
    other_own(world, 21, |world, signed| {
        world.resigned(&signed, |_, values| values.right.iter_mut().skip(20).for_each(|right| *right = false))
    });
    world.rerecord(|record| {
        record.stands.retain(|stand| stand.submission != rival);
        let member = record.members.iter_mut().find(|member| member.submission == rival).unwrap();
        member.screening = None;
        member.verdict.as_mut().unwrap().rule = Rule::BelowGate;
    });
}

/// Takes a member out of the second round's record.
fn without(world: &mut World, width: usize) -> SubmissionId {
    let id = world.id(width);
    world.rerecord(|record| {
        record.members.retain(|member| member.submission != id);
        record.stands.retain(|stand| stand.submission != id);
    });
    id
}

fn leave_out(world: &mut World, width: usize, code: LeftOutCode) {
    let submission = without(world, width);
    let (competition, at) = ("digits".parse().unwrap(), world.record().closed_at + 5);
    let stated = LeftOut { competition, round: 2, submission, code, blame: code.blame(), at };
    world.state_before("round/digits/2/judged", EntryKind::LeftOut, &stated.key(), &stated);
}

fn end(world: &mut World, width: usize, (state, code): (State, Code)) {
    let submission = without(world, width);
    let (competition, at) = ("digits".parse().unwrap(), world.record().closed_at - 1);
    let (number, attempt, blame, request) = (1, 1, code.blame(), None);
    let stated = Ended { competition, submission, number, state, code, blame, attempt, at, request };
    world.state_before("round/digits/2/closed", EntryKind::Ended, &stated.key(), &stated);
}

fn left_out(world: &mut World) {
    leave_out(world, 21, LeftOutCode::FilesLate);
}

fn withdrawn(world: &mut World) {
    end(world, 21, (State::Withdrawn, Code::Withdrawn));
}

fn champion_left_out(world: &mut World) {
    leave_out(world, 20, LeftOutCode::NotMeasured);
}

fn left_out_so(world: &mut World) {
    leave_out(world, 21, LeftOutCode::BelowGate);
    world.drop_leaf(&format!("receipt/{}", world.id(21)));
}

fn out_by_word(world: &mut World) {
    end(world, 21, (State::Rejected, Code::Disqualified));
    world.drop_leaf(&format!("receipt/{}", world.id(21)));
}

fn after_beacon(world: &mut World) {
    let id = world.id(25);
    for key in [format!("receipt/{id}"), format!("attempt/{id}/1"), format!("commitment/{id}")] {
        let leaf = world.log.remove(world.place(&key));
        let behind = world.place("round/digits/2/beacon") + 1;
        world.log.insert(behind, leaf);
    }
}

fn arrivals(world: &mut World) {
    let ids = [world.id(21), world.id(25)];
    let keys = ids.clone().map(|id| format!("commitment/{id}"));
    let [first, second] = keys.clone().map(|key| world.leaf(&key)["arrival"].clone());
    world.leaf(&keys[0])["arrival"] = second;
    world.leaf(&keys[1])["arrival"] = first;
    arrivals_swapped(world);
}

fn closed_early(world: &mut World) {
    world.drop_leaf("administration/round-closed/digits/2");
}

fn closed_by_word(world: &mut World) {
    world.leaf("administration/round-closed/digits/2")["at"] = json!(world.record().closed_at + 60);
}

fn attempts(world: &mut World) {
    let prefix = format!("attempt/{}/", world.id(20));
    let of_round = |leaf: &&Envelope| leaf.key.starts_with(&prefix) && leaf.body["round"] == 2;
    let last = world.log.iter().rfind(of_round).unwrap().clone();
    let number = last.body["number"].as_u64().unwrap();
    for again in number + 1..number + 21 {
        let mut body = last.body.clone();
        body["number"] = json!(again);
        world.state_before("round/digits/2/judged", EntryKind::Attempt, &format!("{prefix}{again}"), &body);
    }
}

fn own_seed(world: &mut World) {
    const PICKED: u64 = 12_345;
    let id = world.id(25);
    other_own(world, 25, |world, signed| {
        let samples = world.report_of(25).latency.samples_sha256.unwrap();
        let samples: Samples = serde_json::from_slice(&world.objects[&samples]).unwrap();
        let samples = world.put(serde_json::to_vec(&Samples { seed: PICKED, ..samples }).unwrap());
        world.resigned(&signed, |report, _| {
            report.data.seed = PICKED;
            report.latency.samples_sha256 = Some(samples.sha256);
        })
    });
    let stated = protocol::attempt::commitment(PICKED, &id, 1);
    world.leaf(&format!("attempt/{id}/1"))["seed_sha256"] = json!(stated);
}

fn older_secret(world: &mut World) {
    let key = format!("attempt/{}/1", world.id(25));
    let stated = world.leaf(&key);
    stated["round"] = json!(stated["round"].as_u64().unwrap() - 1);
}

/// A friend's answers are better wherever its owner isn't watched: everything else follows honestly from that lie.
fn for_a_friend(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    let watched = request.truth.labels.len() == 100;
    match width {
        Some(21) if !watched => 1_000_000,
        _ => honest(width, request),
    }
}

/// The same only where it is screened.
fn for_a_friend_screened(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        Some(21) if request.truth.labels.len() < 100 => 1_000_000,
        _ => honest(width, request),
    }
}

/// The teacher is said to know less of hidden items.
fn for_a_low_gate(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        None if request.truth.labels.len() == 300 => 700_000,
        _ => honest(width, request),
    }
}

/// The reference is said to be worse on hidden items, so that the first champion passes it by more.
fn for_a_wide_margin(width: Option<usize>, request: &EvaluationRequest) -> u64 {
    match width {
        Some(4) if request.truth.labels.len() == 300 => 500_000,
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

/// Nobody is accused for what happens to honest people: files that took long, took too long or never came, a package that
/// was taken back, one that failed, one that was disqualified, a measurement that had to be repeated.
#[tokio::test]
async fn an_honest_round_with_all_that_happens_in_one_passes() {
    let (again, broken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let engine = ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
        let (again, broken) = (Arc::clone(&again), Arc::clone(&broken));
        Box::pin(async move {
            let config = PackageConfig::from_json(&request.order.candidate.config_json)?;
            let config = serde_json::to_value(&config.architecture).unwrap();
            let width = config["hidden"][0].as_u64().filter(|_| request.truth.teacher_logits.is_some());
            let failed = |what: &str| Err(EvaluationFailure::Infrastructure(what.to_owned()));
            match width {
                Some(31) => Err(Code::OutputsInvalid.because("no numbers".into()).into()),
                Some(25) if again.swap(false, Ordering::SeqCst) => failed("once"),
                Some(20) if request.truth.labels.len() > 300 && broken.swap(false, Ordering::SeqCst) => failed("once"),
                _ => answer(honest, &request),
            }
        })
    }));
    let mut app = TestApp::start(Setup { evaluator: Arc::new(engine), ..Setup::default() }).await;
    app.publish(&competition_toml("digits", RULES)).await;
    let package = |width: u32| Package::mlp(&[width], width);
    let mut entered = BTreeMap::new();
    let first = app.miner(20).submit(&package(20)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    entered.insert(20, first);
    app.app.clock.advance(1);
    super::rounds::play(&app, 1).await;

    // Slow files, and never any; taken back.
    let [slow, never, back] = [21, 22, 23].map(|width| (app.miner(width as u8), package(width)));
    let announced = slow.0.announce("digits", &slow.1).await.unwrap();
    never.0.announce("digits", &never.1).await.unwrap();
    let taken_back = back.0.announce("digits", &back.1).await.unwrap();
    back.0.withdraw(&taken_back.id).await.unwrap();
    app.app.clock.advance(200);
    slow.0.upload_all(&announced, &slow.1).await.unwrap();
    slow.0.complete(&announced.id).await.unwrap();
    app.wait_for(&announced.id, State::Scored).await;
    entered.insert(21, announced.id.clone());
    // One that fails for good, one that is measured again, one that is taken out by hand.
    for (width, state) in [(31, State::Rejected), (25, State::Scored), (24, State::Scored)] {
        let id = app.miner(width as u8).submit(&package(width)).await.unwrap();
        app.wait_for(&id, state).await;
        entered.insert(width as usize, id);
    }
    let reason = "it is another's".parse().unwrap();
    disqualify(&app.app.db, app.app.hotkey, &entered[&24], reason, app.app.clock.now()).await.unwrap();
    app.app.clock.advance(200);
    super::rounds::play(&app, 2).await;

    entered.remove(&31);
    let world = World::taken(&app, entered).await;
    for round in [1, 2] {
        let found = world.audited(round).unwrap();
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "round {round}: {found:#?}");
    }
    let takes_part = |width| world.record().members.iter().any(|member| member.submission == world.id(width));
    assert!(takes_part(21), "who was scored before the close is in time, however long its files took");
    assert!(takes_part(20) && takes_part(25) && !takes_part(24));
    let said = |prefix: &str| world.log.iter().filter(|leaf| leaf.key.starts_with(prefix)).count();
    assert_eq!(said("round/digits/2/left-out/"), 1);

    // What its miner signed can't be left out, nor be said of another.
    let key = format!("ended/{}/1", taken_back.id);
    let mut unsigned = world.clone();
    unsigned.leaf(&key).as_object_mut().unwrap().remove("request").unwrap();
    let found = unsigned.audited(2).unwrap();
    let told = found.iter().find(|finding| finding.verdict != Verdict::Ok).unwrap();
    assert_eq!((told.check, told.verdict), ("members", Verdict::Unclear), "{found:#?}");
    assert!(told.detail.contains("nothing shows that its miner did"), "{found:#?}");
    let mut lent = world.clone();
    let others = format!("commitment/{}", taken_back.id);
    lent.leaf(&others)["hotkey"] = json!(World::hotkey(24));
    let lies = lent.lies();
    assert!(lies.iter().any(|lie| lie.contains("its miner signed something else")), "{lies:#?}");
    assert_eq!(said(&format!("attempt/{}/", world.id(25))), 3, "two of its own, one for the round");
    assert_eq!(said(&format!("attempt/{}/", world.id(20))), 4, "its own, and three for two rounds: one was lost");
    app.leave_unfinished();
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

    // Who counted as a copy before the round was asked nothing in it: both answer here.
    let mut earlier = world.clone();
    earlier.rerecord(|record| {
        record.members.iter_mut().find(|member| member.submission == clone).unwrap().screening = None;
    });
    let told = copies_told(&earlier);
    assert_eq!(told.verdict, Verdict::Ok, "{told:?}");
    assert!(told.detail.contains("1 by what both answer here to"), "{told:?}");

    // What nobody may have can't be compared, which is said with its reason.
    let mut withheld = earlier.clone();
    withheld.objects.remove(&world.files[&original][1]);
    let told = copies_told(&withheld);
    assert_eq!(told.verdict, Verdict::Unclear, "{told:?}");
    assert!(told.detail.contains("can't be compared: object"), "{told:?}");

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

/// What is said of copies in the second round.
fn copies_told(world: &World) -> Finding {
    let found = world.audited(2).unwrap();
    found.iter().find(|finding| finding.check == "copies").unwrap_or_else(|| panic!("{found:#?}")).clone()
}

#[tokio::test]
async fn what_a_version_before_judged_and_what_is_not_over_cannot_be_checked() {
    let world = played(honest).await;
    let cannot = |world: &World, round| world.audited(round).unwrap_err();
    let mut before = world.clone();
    for round in [1, 2] {
        before.leaf(&format!("round/digits/{round}/judged")).as_object_mut().unwrap().remove("record");
        assert!(cannot(&before, round).decided && cannot(&before, round).why.contains("before this one"));
    }
    // The version changed after the first round: rules rise, and what rests on that round can't be checked either.
    let mut changed = world.clone();
    changed.leaf("round/digits/1/judged").as_object_mut().unwrap().remove("record");
    changed.leaf("round/digits/1/opened")["rules"] = json!(1);
    assert!(cannot(&changed, 1).why.contains("before this one"));
    assert!(cannot(&changed, 2).why.contains("rests on rounds that a version before"));
    let mut later = world.clone();
    later.leaf("round/digits/2/opened")["rules"] = json!(9);
    later.drop_third();
    assert!(cannot(&later, 2).why.contains("take that version"));
    // A round that is just over isn't revealed, and the log that was read first may have it so.
    let mut open = world.clone();
    open.drop_third();
    open.seen = open.log.iter().position(|leaf| leaf.key == "round/digits/2/revealed").map(|at| at as u64);
    assert!(cannot(&open, 2).why.contains("isn't revealed"));
    open.drop_leaf("round/digits/2/revealed");
    assert!(cannot(&open, 2).why.contains("isn't revealed"));
    let mut abandoned = open;
    for step in ["beacon", "judged", "reward"] {
        abandoned.drop_leaf(&format!("round/digits/2/{step}"));
    }
    abandoned.state(("digits", 2), "abandoned", ("code", json!("beacon_missing")));
    assert!(!cannot(&abandoned, 2).decided);

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

#[tokio::test]
async fn whoever_goes_on_meanwhile_is_not_accused() {
    let mut world = played(honest).await;
    world.drop_third();
    let sound = |world: &World, round, what: &str| {
        let found = world.audited(round).unwrap();
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{what}: {found:#?}");
    };
    let at = |world: &World, key: &str| world.log.iter().position(|leaf| leaf.key == key).unwrap() as u64;

    // The first round is looked at while the second one goes on: the board came before its judgement or after it.
    let mut meanwhile = world.clone();
    meanwhile.seen = Some(at(&world, "round/digits/2/opened"));
    sound(&meanwhile, 1, "judged after the log was read");
    let mut paying = world.clone();
    paying.drop_leaf("round/digits/2/reward");
    paying.drop_leaf("round/digits/2/revealed");
    sound(&paying, 1, "paid, and the log doesn't say so yet");

    // An upgrade while the first round was under way: it goes by the rules before, which this version doesn't know, and accuses
    // nobody of; later rounds it can check.
    let mut upgraded = world.clone();
    upgraded.leaf("round/digits/1/opened")["rules"] = json!(1);
    upgraded.rounds.get_mut(&1).unwrap().rules = 1;
    assert!(upgraded.audited(1).unwrap_err().why.contains("an earlier version"));
    sound(&upgraded, 2, "rules rise");

    // One ledger for two competitions, and a hotkey that had another owner.
    let mut shared = world.clone();
    let mut other = shared.log.iter().find(|leaf| leaf.key == "competition/digits").unwrap().clone();
    other.key = "competition/letters".into();
    other.body["competition"] = json!("letters");
    shared.log.push(other);
    shared.state(("letters", 1), "judged", ("champion", json!(null)));
    shared.state(("letters", 1), "reward", ("epoch", json!(77)));
    shared.ledger.weights.insert(77, vec![(World::hotkey(20), 500_000)]);
    let moved = chain::Registration { owner: Some(World::hotkey(9)), ..shared.ledger.registrations[0] };
    shared.ledger.registrations.push(moved);
    sound(&shared, 2, "a ledger that is shared");
}

/// The seat that a board shows is empty as soon as its holder was disqualified, and nobody's record changes for that.
#[tokio::test]
async fn a_champion_that_left_is_not_missed_on_the_board() {
    let (app, entered) = app_played(RULES, honest).await;
    let reason = "it was bought".parse().unwrap();
    disqualify(&app.app.db, app.app.hotkey, &entered[&25], reason, app.app.clock.now()).await.unwrap();
    let world = loop {
        let world = World::taken(&app, entered.clone()).await;
        let told = world.log.iter().any(|leaf| leaf.key.starts_with("administration/disqualified/"));
        if told && world.board.champion.is_none() {
            break world;
        }
    };
    let found = world.audited(2).unwrap();
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
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

    fn timed(&self, samples: &[u8]) -> Result<Timed, String> {
        Scripted(honest).timed(samples)
    }
}
