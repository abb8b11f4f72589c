//! Stolen crowns (rows 29 to 33 and 36, incidents E4, E5 and E7): the champion's own numbers, downloaded, written again
//! in another way and entered under another key; and the same bytes once more. What is paid for them is on the ledger.

use super::hall::Hall;
use super::package::Package;
use super::stranger::Stranger;
use crate::support::{retort, stderr, stdout};
use copies::disguise::{self, Encoding};
use protocol::submission::State;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_resaved_copy_and_the_same_bytes_under_other_keys_count_as_the_earlier_model_and_earn_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hall = Hall::of_ones_own(dir.path());
    let [alice, mallory, trent] = [(); 3].map(|()| Stranger::new(&hall));
    let original = alice.submit(&Package::fixture("resnet"));
    assert_eq!(alice.end(&original).state, State::Scored);

    // Mallory takes what everybody may take, shuffles the units and saves it in half of the bytes.
    let taken = dir.path().join("taken");
    let pulled = hall.service.run(&["pull", &original, &taken.display().to_string()]);
    assert!(pulled.status.success(), "{}", stderr(&pulled));
    let read = |file: &str| fs::read(taken.join(file)).unwrap();
    let stolen = Package { config: read("config.json"), weights: read("model.safetensors") };
    let resaved = stolen
        .rewritten(|plan, weights| disguise::encoded(&disguise::permuted(plan, &weights, 5), Encoding::F16).unwrap());
    let folder = dir.path().join("mine");
    resaved.write(&folder);
    let checked = hall.service.run(&["miner", "check", &folder.display().to_string(), "--rules-only"]);
    let told = stdout(&checked) + &stderr(&checked);
    assert!(
        told.contains(&format!("it equals {original}: it would count as a copy")),
        "said before the upload: {told}"
    );
    let (success, told) = mallory.submit_by_command(&folder);
    assert!(success, "it is a sound package: {told}");
    let copy = mallory.entered()[0]["id"].as_str().unwrap().to_owned();
    let same = trent.submit(&Package::fixture("resnet"));
    assert_eq!(trent.end(&same).state, State::Scored);

    for (later, relation) in [(&copy, "symmetric"), (&same, "bytes")] {
        // What is scored is compared a moment later.
        let compared = || -> Value { trent.get(&format!("/api/v1/copies/{later}/{original}")).json() };
        let deadline = Instant::now() + Duration::from_secs(60);
        while compared()["earlier"].is_null() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
        }
        let pair = compared();
        assert_eq!((&pair["earlier"], &pair["later"]), (&Value::from(&*original), &Value::from(&**later)));
        assert_eq!(pair["has_consequences"], true, "{pair}");
        assert!(pair["relation"].to_string().to_lowercase().contains(relation), "{}", pair["relation"]);
        let found = hall.service.run(&["verify", "copy", &original, later]);
        let found = stdout(&found) + &stderr(&found);
        assert!(found.contains("the later one counts as the earlier one"), "anybody finds the same: {found}");
        let page = trent.get(&format!("/submissions/{later}")).text();
        assert!(page.contains("this submission counts as that one"), "{page}");
    }
    let board: Value = hall.service.json(&["board"]);
    // Half of the bytes would be a better score, which wins Mallory neither the seat nor a place before it is judged.
    assert_eq!((&board["champion"], board["leader"].as_str()), (&Value::Null, Some(&*original)), "{board}");
    for later in [&copy, &same] {
        let row = board["rows"].as_array().unwrap().iter().find(|row| row["submission"] == **later).unwrap();
        assert!(row["rank"].is_null() && row["why"].as_str().unwrap().contains(&original), "{row}");
    }

    let keys = [&alice, &mallory, &trent].map(|miner| miner.key.hotkey().to_string());
    let home = hall.home.clone();
    drop(hall.service);
    let round = retort().args(["validator", "round", "run", "fashion-mnist", "--dir"]).arg(&home).output().unwrap();
    let told = stdout(&round) + &stderr(&round);
    assert!(told.contains(&format!("the seat is {original}'s")) && told.contains("is on the ledger"), "{told}");
    // The frontier asks more of a first model than this one, which learnt for seconds, adds.
    let policies = ["winner_takes_all", "ladder", "last_champions"];
    let mut preview = retort();
    preview
        .args(["validator", "rewards", "fashion-mnist", "--json", "--dir"])
        .arg(&home)
        .arg("--preview")
        .args(policies);
    let output = preview.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let preview: Value = serde_json::from_slice(&output.stdout).unwrap();
    let paid = |hotkey: &str| -> Vec<u64> {
        let rows = preview["rounds"][0]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["hotkey"] == hotkey);
        let weights = row.map(|row| row["weights_ppm"].as_array().unwrap().iter().map(|ppm| ppm.as_u64().unwrap()));
        weights.map(Iterator::collect).unwrap_or_default()
    };
    assert!(paid(&keys[0]).iter().all(|ppm| *ppm > 0) && paid(&keys[0]).len() == 4, "{preview}");
    for key in &keys[1..] {
        assert!(paid(key).iter().all(|ppm| *ppm == 0), "{key} is paid for what it took: {preview}");
    }
}
