//! The whole journey with real processes: init, publish, serve, submit, evaluate, rank, pull, predict, pay; and a
//! restart in the middle.

use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use crate::verify::{with_late_witness, with_log};
use miner_template::client::Client;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use transparency::WitnessSigner;

#[test]
fn a_model_travels_from_pytorch_to_the_board_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    let init = retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap();
    assert!(init.status.success(), "{}", stderr(&init));
    let manifest = manifest(dir.path());
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"at_once\"", "\"at_reveal\"")).unwrap();
    for expected in ["published fashion-mnist", "already there: fashion-mnist"] {
        let output = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
        assert!(stdout(&output).starts_with(expected), "{}{}", stdout(&output), stderr(&output));
        assert!(!stderr(&output).contains('{'), "no log among what it says: {}", stderr(&output));
    }

    let hotkey = dir.path().join("hotkey");
    assert!(retort().args(["keys", "new"]).arg(&hotkey).status().unwrap().success());
    let package = repository("models/fixtures/resnet").display().to_string();
    let hotkey = hotkey.display().to_string();

    let service = Service::start(&home);
    let checked = service.json(&["miner", "check", &package]);
    assert_eq!(checked["predicted_rank"], 1);
    let submitted = service.json(&["miner", "submit", &package, "--hotkey", &hotkey]);
    let id = submitted["id"].as_str().unwrap().to_owned();
    let follow = ["miner", "status", &id, "--follow", "--json", "--validator", &service.address];
    let mut follower = retort().args(follow).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = BufReader::new(follower.stdout.take().unwrap()).lines();
    heard.next().expect("it hears where the submission is").unwrap();
    // Killed while the submission is on its way: nothing acknowledged is lost, and who waits goes on waiting.
    let address = service.address.clone();
    drop(service);

    let service = Service::start_again(&home, &address);
    let last = heard.map_while(Result::ok).last().expect("it hears more after the restart");
    assert!(last.contains(r#""state":"scored""#) && follower.wait().unwrap().success(), "{last}");
    let again = service.json(&["miner", "submit", &package, "--hotkey", &hotkey, "--wait"]);
    assert_eq!(again["id"], id.as_str(), "the same package is the same submission");
    assert_eq!(again["state"], "scored");
    assert_eq!(again["report"]["package_sha256"], checked["package_sha256"]);

    let board = service.json(&["board"]);
    assert!(board["champion"].is_null(), "nobody sits before a round is judged");
    assert_eq!(board["leader"], id.as_str());
    assert_eq!(board["rows"].as_array().unwrap().len(), 3, "teacher, submission, reference");
    assert_eq!(service.json(&["submissions", "--competition", "fashion-mnist"])[0]["id"], id.as_str());
    let listed = service.run(&["competitions"]);
    assert!(stdout(&listed).contains("fashion-mnist") && stdout(&listed).contains("ladder"), "{}", stdout(&listed));
    let tail = format!("…{}", &id[18..]);
    assert_eq!(service.json(&["miner", "status", &tail])["id"], id.as_str(), "the end of an id will do");
    assert_eq!(service.json(&["miner", "why", &id[20..]])["submission"], id.as_str());
    let unknown = service.run(&["miner", "status", "ZZZZZZZZ"]);
    assert!(stderr(&unknown).contains("no submission's id ends with ZZZZZZZZ"), "{}", stderr(&unknown));
    let table = service.run(&["board"]);
    assert!(stdout(&table).contains(&id[18..]), "the board shows it: {}", stdout(&table));
    let line = format!("stty cols 80; exec {} board --validator {}", env!("CARGO_BIN_EXE_retort"), service.address);
    let terminal = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
    let shown = stdout(&terminal);
    let row = shown.lines().find(|line| line.contains(&id[18..]) && line.contains('±')).expect("a row of the board");
    assert!(row.trim_end().chars().count() <= 80, "a terminal of 80 columns: {shown}");
    assert!(stdout(&table).contains("teacher") && stdout(&table).contains('±'), "{}", stdout(&table));

    assert!(
        stdout(&table).contains(&format!("--hotkey KEY --competition fashion-mnist --validator {}", service.address))
    );
    let listed =
        format!("stty cols 80; exec {} submissions --validator {}", env!("CARGO_BIN_EXE_retort"), service.address);
    let terminal = stdout(&Command::new("script").args(["-qec", &listed, "/dev/null"]).output().unwrap());
    let row = terminal.lines().find(|line| line.contains(&id[18..])).expect("a row of the list");
    assert!(row.contains("scored") && terminal.lines().all(|line| line.trim_end().chars().count() <= 80), "{terminal}");
    let link = retort().args(["validator", "operator", "--dir"]).arg(&home).output().unwrap();
    assert!(stdout(&link).starts_with(&format!("{}/operator#", service.address)), "{}", stdout(&link));

    let champion = dir.path().join("champion").display().to_string();
    let early = service.run(&["pull", &id, &champion]);
    assert!(
        !early.status.success() && stderr(&early).contains("kept back until round 1 is revealed"),
        "{}",
        stderr(&early)
    );
    let unclear = service.run(&["verify", &id, "--outputs-only"]);
    assert!(stdout(&unclear).contains("?    package      the package of"), "{}", stdout(&unclear));
    drop(service);

    let round = retort().args(["validator", "round", "run", "fashion-mnist", "--dir"]).arg(&home).output().unwrap();
    let told = stdout(&round);
    assert!(told.contains(&format!("the seat is {id}'s")), "{told}{}", stderr(&round));
    assert!(told.contains("round 1 of fashion-mnist is on the ledger"), "{told}");
    let service = Service::start(&home);
    let pulled = service.json(&["pull", "fashion-mnist", &champion]);
    assert_eq!(pulled["verified"], true);
    // Other bytes than PyTorch wrote, and the same model.
    let files = |folder: &str| fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert_ne!(files(&champion), files(&package));
    let published = service.json(&["miner", "check", &champion]);
    assert_eq!(published["report"]["outputs_sha256"], checked["report"]["outputs_sha256"]);
    let predicted = retort().args(["predict", &champion, "fashion-mnist:0", "--json"]).output().unwrap();
    assert!(predicted.status.success(), "{}", stderr(&predicted));
    let why = service.json(&["miner", "why", &id]);
    let seat = "it holds the seat at the end of the round";
    assert!(why["facts"].as_array().unwrap().iter().any(|fact| fact["sentence"] == seat), "{why}");

    let said = service.run(&["miner", "appeal", &id, "--text", "I was measured twice", "--hotkey", &hotkey]);
    assert!(said.status.success(), "{}", stderr(&said));
    let answer = ["validator", "answer-appeal", &id, "1", "--text", "so is everybody", "--dir"];
    let answered = retort().args(answer).arg(&home).output().unwrap();
    assert!(answered.status.success(), "{}", stderr(&answered));
    let told = stdout(&service.run(&["miner", "why", &id]));
    assert!(told.contains("I was measured twice") && told.contains("so is everybody"), "{told}");

    let again = service.run(&["verify", "round", "fashion-mnist", "1"]);
    assert!(again.status.success(), "{}{}", stdout(&again), stderr(&again));
    assert!(stdout(&again).contains(&format!("the seat is {id}'s")), "{}", stdout(&again));
    let watched = service.run(&["verify", "watch", "fashion-mnist", "--until", "1"]);
    assert!(watched.status.success(), "{}{}", stdout(&watched), stderr(&watched));
    assert!(stdout(&watched).contains("round 1 of fashion-mnist"), "{}", stdout(&watched));
    its_receipt_is_the_one_that_the_record_names(&service);
    who_hides_a_round_is_found_out(&home, &service);
    no_page_says_which_beacon_witnesses_are_held_against(&home, &service);
    drop(service);
    let args = ["validator", "rewards", "fashion-mnist", "--preview", "winner_takes_all", "frontier", "--dir"];
    let rewards = retort().args(args).arg(&home).output().unwrap();
    assert!(rewards.status.success(), "{}", stderr(&rewards));
    assert!(stdout(&rewards).contains("100.00 %") && stdout(&rewards).contains("burnt"), "{}", stdout(&rewards));
    let narrow = format!("stty cols 80; exec {} {} {}", env!("CARGO_BIN_EXE_retort"), args.join(" "), home.display());
    let narrow = stdout(&Command::new("script").args(["-qec", &narrow, "/dev/null"]).output().unwrap());
    let key = stdout(&retort().args(["keys", "show", &hotkey]).output().unwrap());
    let row = narrow.lines().find(|line| line.contains(&key[..6])).expect("a row of the miner");
    assert!(row.contains('%') && row.trim_end().chars().count() <= 80, "{narrow}");
    let doctor = retort().args(["validator", "doctor", "--dir"]).arg(&home).output().unwrap();
    assert!(doctor.status.success(), "{}", stdout(&doctor));
}

/// A round's receipt is no leaf of its own: the record that the leaf `judged` binds names it.
fn its_receipt_is_the_one_that_the_record_names(service: &Service) {
    let client = Client::new(&service.address);
    let round: Value = client.get_json("/api/v1/competitions/fashion-mnist/rounds/1").unwrap();
    let receipt = round["entries"][0]["receipt"]["sha256"].as_str().unwrap();
    let address = format!("{}/api/v1/objects/sha256/{receipt}", service.address);
    let told = stdout(&service.run(&["verify", "receipt", &address, "--outputs-only"]));
    assert!(told.contains("ok   log          named by the record of round 1") && !told.contains("BAD"), "{told}");
}

/// The log says which beacon it was: one that a page names proves no witness early.
fn no_page_says_which_beacon_witnesses_are_held_against(home: &Path, service: &Service) {
    let witness = WitnessSigner::from_seed("witness.test/1", &[1; 32]).unwrap();
    let page = "/api/v1/competitions/fashion-mnist/rounds/1";
    let late = with_late_witness(home, service, page, &witness);
    let found = late.run(&["verify", "round", "fashion-mnist", "1", "--witness", &witness.key().to_string()]);
    assert_eq!(found.status.code(), Some(1));
    let told = stdout(&found);
    assert!(told.contains("?    witnesses    not shown to be before the beacon"), "{told}{}", stderr(&found));
    assert!(told.contains("BAD  shown        the beacon shown is not the record's"), "{told}");
}

/// Another log that its operator signed: a round that can't be checked ends a watch, and one that was hidden is a lie.
fn who_hides_a_round_is_found_out(home: &Path, service: &Service) {
    let watch = ["verify", "watch", "fashion-mnist", "--until", "1"];
    let key = |what: &str| format!("round/fashion-mnist/1/{what}");
    let later = with_log(home, service, |leaves| {
        leaves.iter_mut().find(|leaf| leaf.key == key("opened")).unwrap().body["rules"] = json!(9);
        // Its successor says the same, or the rules would fall.
        leaves.retain(|leaf| !leaf.key.starts_with("round/fashion-mnist/2/"));
    });
    let watched = later.run(&watch);
    assert_eq!(watched.status.code(), Some(2), "{}{}", stdout(&watched), stderr(&watched));
    assert!(stdout(&watched).contains("?    round 1") && stderr(&watched).contains("--from 2"), "{}", stderr(&watched));

    let hidden = with_log(home, service, |leaves| {
        let mut next = leaves.iter().find(|leaf| leaf.key == key("opened")).unwrap().clone();
        leaves.retain(|leaf| leaf.key != key("revealed") && !leaf.key.starts_with("round/fashion-mnist/2/"));
        (next.key, next.body["round"]) = ("round/fashion-mnist/2/opened".into(), json!(2));
        leaves.push(next);
    });
    for args in [&watch[..], &["verify", "round", "fashion-mnist", "1"]] {
        let found = hidden.run(args);
        assert_eq!(found.status.code(), Some(1), "{}{}", stdout(&found), stderr(&found));
        let named = "round 1 was neither revealed nor abandoned before the next one opened";
        assert!(stdout(&found).contains(named), "{}{}", stdout(&found), stderr(&found));
    }
}

#[test]
fn a_port_in_use_says_how_to_choose_another() {
    let dir = tempfile::tempdir().unwrap();
    assert!(retort().args(["validator", "init", "--dir"]).arg(dir.path()).status().unwrap().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = retort().args(["validator", "serve", "--listen", &address, "--dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("choose one with --listen"), "{}", stderr(&output));
}
