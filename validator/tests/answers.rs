//! A teacher that is known by its answers only: published with its data, committed to with the pool, drawn unchanged, audited
//! without anybody to ask; and each way in which such a competition can be wrong.

use super::audit::{World, app_of, honest, two_rounds};
use super::support::{Package, Setup, TestApp, competition, competition_toml};
use ::audit::{Finding, Verdict};
use datasets::hidden::{Leaves, Reveal};
use datasets::published::{read, table};
use datasets::{Images, Labelled, Logits, arg_max, load_digits};
use protocol::competition::ObjectRef;
use protocol::published::PublishedTeacher;
use protocol::submission::State;
use serde_json::{Value, json};
use validator::Publisher;
use validator::copies::{EntryZero, FreshAnswers, Original, found_copies, on_fresh_items};
use validator::evaluator::silent;

/// In place of a package.
const ANSWERS: &str = "teacher = { answers = { column = \"teacher_logits\", model = \"A <b>large</b> model\", \
    license = \"apache-2.0\", link = \"https://example.com/large\" } }";

/// Answers as confident as a model's: right but for one in fifty.
fn answers(images: &Images) -> Logits {
    let row = |(index, label): (usize, &u16)| {
        let said = if index % 50 == 7 { (label + 1) % 10 } else { *label };
        (0..10)
            .map(|class| if class == said { 6.0 } else { (index * 7 + usize::from(class) * 3) as f32 % 5.0 / 4.0 })
            .collect::<Vec<f32>>()
    };
    Logits { count: images.count, classes: 10, values: images.labels.iter().enumerate().flat_map(row).collect() }
}

/// Digits of the publisher's own beside the manifest, each with an answer.
fn write_answered(app: &TestApp, evaluation: u32) {
    let digits = load_digits().unwrap();
    let own = app.dir.path().join("own");
    std::fs::create_dir_all(&own).unwrap();
    let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    for (name, range) in [("train", 0..200), ("test", 200..200 + evaluation)] {
        let images = digits.select(&range.collect::<Vec<_>>());
        let table = table(&images, &names, Some(&answers(&images))).unwrap();
        std::fs::write(own.join(format!("{name}.parquet")), table).unwrap();
    }
}

/// Rounds of 490 fresh items and 210 fixed ones, from a pool that lasts for two.
fn answered_toml() -> String {
    let data =
        "data = { source = \"parquet:own\", public_items = 100, hidden_items = 1450, hidden_pool = \"private\" }";
    // Nobody is near the gate on the first items, of which a script's answers aren't the first of those to more.
    let rounds = "rounds = { challengers_max = 1, beacon = \"ledger\", items = 700 }\nscore = { gate_ppm = 800000 }";
    let line = |line: &str| match line {
        line if line.starts_with("data = ") => data.to_owned(),
        line if line.starts_with("teacher = ") => ANSWERS.to_owned(),
        line => line.to_owned(),
    };
    competition_toml("digits", rounds).lines().map(line).collect::<Vec<_>>().join("\n")
}

async fn reveal_of(world: &mut World) -> Reveal {
    let object: ObjectRef = serde_json::from_value(world.leaf("round/digits/2/revealed")["reveal"].clone()).unwrap();
    Reveal::from_bytes(&world.objects[&object.sha256]).unwrap()
}

#[tokio::test]
async fn rounds_show_items_as_they_are_and_an_answer_that_was_changed_later_is_named() {
    let mut app = app_of(honest).await;
    write_answered(&app, 1_550);
    let published = app.publish(&answered_toml()).await;
    let PublishedTeacher::Answers(measured) = published.competition.teacher else { panic!("no model was published") };
    assert!(measured.items == 100 && measured.correct >= 95, "{measured:?}");
    assert!(!app.publish(&answered_toml()).await.created, "the same again");
    let entered = two_rounds(&app).await;
    let world = World::taken(&app, entered).await;
    for round in [1, 2] {
        let found = world.audited(round).unwrap();
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "round {round}: {found:#?}");
        let of_teacher = |it: &&Finding| it.check == "teacher" && it.detail.contains("committed to with the pool");
        assert!(found.iter().any(|finding| of_teacher(&finding)), "{found:#?}");
    }

    // Items are digits that nobody published before, pixel by pixel, with the answers that their owner has.
    let drawn = world.rounds[&2].drawn.as_ref().unwrap();
    let shown = Images::from_bytes(&world.objects[&drawn.items.sha256]).unwrap();
    let said = Logits::from_bytes(&world.objects[&drawn.teacher_logits.sha256]).unwrap();
    let table = world.objects[&world.view.competition.tables.evaluation.sha256].clone();
    let public = read(table, published.competition.manifest.input.shape(), 10).unwrap();
    let all = load_digits().unwrap().select(&(200..1_750).collect::<Vec<_>>());
    let to_all = answers(&all);
    let place = |image: &[u8]| (0..all.len()).find(|index| all.image(*index) == image);
    for item in 0..shown.len() {
        let at = place(shown.image(item)).unwrap_or_else(|| panic!("item {item} is no digit as it lies in the pool"));
        assert_eq!((said.row(item), shown.labels[item]), (to_all.row(at), all.labels[at]));
        assert!(
            (0..public.images.len()).all(|it| public.images.image(it) != shown.image(item)),
            "item {item} is public"
        );
    }

    // The operator betters the teacher's record of an item: what was committed to says otherwise.
    let mut forged = world.clone();
    let mut other = said.clone();
    other.values[10 * 400 + 3] += 1.0;
    let object = forged.put(other.to_bytes().unwrap());
    forged.rerecord(|record| record.items.teacher_logits = object);
    forged.rounds.get_mut(&2).unwrap().drawn.as_mut().unwrap().teacher_logits = object;
    let lies = forged.lies();
    let named = "teacher: its recorded answer to item 400 is not the one that was committed to with the pool";
    assert!(lies.iter().any(|lie| lie == named), "{lies:#?}");

    // And in the opening, too: then it isn't the pool's leaf any more.
    let mut reveal = reveal_of(&mut forged).await;
    let mut leaves = reveal.leaves.iter().collect::<Result<Vec<_>, _>>().unwrap();
    *leaves[9].last_mut().unwrap() ^= 1;
    reveal.leaves = Leaves::of(&leaves).unwrap();
    let object = forged.put(reveal.to_bytes().unwrap());
    forged.leaf("round/digits/2/revealed")["reveal"] = json!(object);
    let lies = forged.lies();
    assert!(lies.iter().any(|lie| lie.starts_with("draw: proof of")), "{lies:#?}");
    app.leave_unfinished();
}

#[tokio::test]
async fn what_everybody_is_shown_says_whose_the_answers_are() {
    let app = TestApp::start(Setup::default()).await;
    write_answered(&app, 1_550);
    app.publish(&answered_toml()).await;
    let id = app.miner(1).submit(&Package::mlp(&[20], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let miner = app.miner(2);
    let text = async |target: &str| miner.get(target).await.text().await.unwrap();

    let page = text("/competitions/digits").await;
    for said in [
        "known by its answers only",
        "A &#60;b&#62;large&#60;/b&#62; model",
        "apache-2.0",
        "whoever has that model may enter",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let view: Value = miner.get("/api/v1/competitions/digits").await.json().await.unwrap();
    assert_eq!(view["competition"]["teacher"]["items"], 100);
    assert_eq!(view["competition"]["manifest"]["teacher"]["answers"]["link"], "https://example.com/large");
    assert_eq!(view["competition"]["manifest"]["rounds"]["transforms"]["shift_px_max"], 0, "nothing is changed");
    let board: Value = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let kinds: Vec<&str> = board["rows"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["submission", "reference"], "a teacher that nobody can measure has no row");

    let missing = miner.get("/api/models/teachers/digits").await;
    assert_eq!(missing.status(), 404);
    let models = text("/api/models").await;
    assert!(!models.contains("teachers/digits"), "{models}");
    let card = text("/datasets/arena/digits/resolve/main/README.md").await;
    assert!(card.contains("The teacher is known by its answers only: [A &lt;b&gt;large"), "{card}");
    let student = text(&format!("/submissions/{id}/resolve/main/README.md")).await;
    assert!(student.contains("by its answers in `arena/digits`") && !student.contains("base_model"), "{student}");

    // Training part and public part have its answers; the pool isn't anybody's.
    let stored = app.app.db.competition(&competition("digits")).await.unwrap().unwrap();
    let tables = stored.competition.tables;
    for object in [tables.training, tables.evaluation] {
        let part =
            read(app.app.objects.get(&object.sha256).await.unwrap(), stored.competition.manifest.input.shape(), 10)
                .unwrap();
        let said = part.answers.unwrap();
        let right =
            (0..said.len()).filter(|item| arg_max(said.row(*item)) == usize::from(part.images.labels[*item])).count();
        assert!(right * 100 >= said.len() * 90, "{right}");
    }
    let pool = Labelled::open_pool(app.app.objects.file(&stored.pool_sha256).await.unwrap()).unwrap();
    assert_eq!((pool.count(), pool.answers.as_ref().unwrap().count), (1_450, 1_450));
    let root = pool.commitment(&stored.salt).unwrap().root_hex();
    assert_eq!(root, stored.competition.hidden_root.to_string());
    let mut other = pool;
    other.answers.as_mut().unwrap().values[14_499] += 1.0;
    assert_ne!(other.commitment(&stored.salt).unwrap().root_hex(), root, "answers are committed to");

    // No distance is kept: who says on fresh items what the teacher said is the teacher, however often it is looked at.
    let said = stored_answers(200);
    for _ in 0..2 {
        let own = FreshAnswers { submission: id.clone(), logits: said.clone() };
        on_fresh_items(&app.app, &competition("digits"), vec![own], said.clone(), 10).await.unwrap();
        let found = found_copies(&app.app.db, &competition("digits")).await.unwrap();
        assert_eq!(found.get(&id), Some(&Original::Entry(EntryZero::Teacher)));
    }
}

fn stored_answers(count: u32) -> Vec<f32> {
    answers(&load_digits().unwrap().select(&(0..count).collect::<Vec<_>>())).values
}

#[tokio::test]
async fn what_cant_be_published_says_what_to_write() {
    let app = TestApp::start(Setup::default()).await;
    write_answered(&app, 1_550);
    let data = "parquet:own";
    for (from, to, problem) in [
        (
            "link = \"https://example.com/large\" } }",
            "link = \"https://example.com/large\" }, package = \"teacher\" }",
            "has both `package` and `answers`",
        ),
        (ANSWERS, "teacher = {}", "has neither `package`"),
        ("https://example.com/large", "nowhere", "`teacher.answers.link`: must be an https:// URL"),
        ("license = \"apache-2.0\"", "license = \"\"", "`teacher.answers.license`: must have 1 to 200"),
        ("column = \"teacher_logits\", ", "", "needs either `column`"),
        ("hidden_pool = \"private\"", "hidden_pool = \"public\"", "`data.hidden_pool`: must be \"private\""),
        (
            "items = 700",
            "items = 700, transforms = { shift_px_max = 1 }",
            "nobody can ask it about changed items; leave this out",
        ),
        ("title =", "training_teacher_logits = \"x\"\ntitle =", "`training_teacher_logits`: can't be"),
        ("teacher_distance = \"none\"", "", "must state the teacher's `parameters` and `macs`"),
        ("teacher_logits\"", "vit\"", "there is no column `vit` with a list of f32 or f64"),
        (data, "folder:own", "data source `folder:own` has no columns: write `files`"),
        ("teacher_distance = \"none\"", "", "or write teacher_distance = \"none\" beside `title`"),
    ] {
        let toml = answered_toml();
        assert!(toml.contains(from), "{from}");
        let path = app.write_competition(&toml.replace(from, to));
        let error = Publisher::of(&app.app).publish(&path, silent()).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}\nnot: {problem}");
    }
    // As published by another validator: without answers in the training part.
    let digits = load_digits().unwrap();
    let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let unanswered = table(&digits.select(&(0..200).collect::<Vec<_>>()), &names, None).unwrap();
    std::fs::write(app.dir.path().join("own/train.parquet"), unanswered).unwrap();
    for (source, problem) in [
        (data, "part `train`: row 0 (train.parquet row 0) has no answer of the teacher"),
        ("file:own", "has no `teacher_logits` in its training part"),
    ] {
        let path = app.write_competition(&answered_toml().replace(data, source));
        let error = Publisher::of(&app.app).publish(&path, silent()).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}\nnot: {problem}");
    }
    // Stated costs are held against limits.
    write_answered(&app, 1_550);
    let stated = answered_toml()
        .replace("teacher_distance = \"none\"", "")
        .replace("license =", "parameters = 3000, macs = 5000, license =");
    let error = Publisher::of(&app.app).publish(&app.write_competition(&stated), silent()).await.unwrap_err();
    assert!(error.to_string().contains("2000 is more than half of the teacher's"), "{error}");
    assert!(app.app.db.competitions().await.unwrap().is_empty());
    let stated = stated.replace("parameters = 3000", "parameters = 4000");
    assert!(app.publish(&stated).await.created);
}
