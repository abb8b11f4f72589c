//! Commands that need no validator: help, keys, the rules, predictions, and what goes wrong.

use crate::support::{repository, retort, stderr, stdout};
use datasets::FashionMnist;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const MANIFEST: &str = "competitions/fashion-mnist/competition.toml";

#[test]
fn every_command_teaches_itself() {
    let mut commands = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let output = retort().args(&command).arg("--help").output().unwrap();
        let help = stdout(&output);
        assert!(output.status.success() && help.contains("Usage:"), "{command:?}: {help}{}", stderr(&output));
        seen += 1;
        for name in subcommands(&help) {
            commands.push([command.clone(), vec![name]].concat());
        }
    }
    assert!(seen >= 40, "only {seen} commands were found");
}

/// The names under a help text's "Commands:", each of which has to say in the same place what it does.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Names are indented by two; a description's second line by more.
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn wrong_use_exits_with_2_and_failure_with_1() {
    let wrong = retort().arg("fly").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let failed = retort().args(["board", "--validator", "http://127.0.0.1:9"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("is it running?"), "{}", stderr(&failed));
}

/// As unit files, containers and people write them, where no shell reads them first.
#[test]
fn names_and_home_folders_are_looked_up() {
    let home = tempfile::tempdir().unwrap();
    let init = retort().env("HOME", home.path()).args(["validator", "init", "--dir", "~/mine"]).output().unwrap();
    assert!(init.status.success() && home.path().join("mine/validator.toml").exists(), "{}", stderr(&init));
    let elsewhere = retort().args(["validator", "init", "--dir", "~somebody/mine"]).output().unwrap();
    assert!(stderr(&elsewhere).contains("write the whole path"), "{}", stderr(&elsewhere));
    let mut serve = retort()
        .env("HOME", home.path())
        .args(["validator", "serve", "--dir", "~/mine", "--listen", "localhost:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(serve.stderr.take().unwrap()));
    let page = lines.by_ref().map_while(Result::ok).find(|line| line.contains("the page is at"));
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert!(page.is_some_and(|line| !line.contains(":0/")));
    let wrong = retort().args(["validator", "serve", "--listen", "7070"]).output().unwrap();
    assert!(stderr(&wrong).contains("write HOST:PORT"), "{}", stderr(&wrong));
}

/// Where no shell did it, and where a folder is named by way of another.
#[test]
fn every_path_is_looked_up_at_home_and_loses_its_parents() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = retort().env("HOME", home.path()).current_dir(home.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    let key = run(&["keys", "new", "~/k.json"]);
    assert!(home.path().join("k.json").exists());
    assert_eq!(run(&["keys", "show", "~/k.json"]), key);
    let student = repository("models/fixtures/pytorch_student");
    std::os::unix::fs::symlink(&student, home.path().join("student")).unwrap();
    std::os::unix::fs::symlink(repository(MANIFEST), home.path().join("c.toml")).unwrap();
    assert!(run(&["miner", "check", "~/student", "--competition", "~/c.toml"]).starts_with("admitted"));
    assert!(run(&["predict", "~/student", "fashion-mnist:0", "--json"]).contains("Ankle boot"));
    run(&["validator", "init", "--dir", "nowhere/../mine", "--hotkey", "~/k.json"]);
    // What `init` prints next is a command that works.
    let printed = run(&["validator", "init", "--dir", "nowhere/../mine"]);
    let dir = printed.lines().find_map(|line| line.trim().strip_prefix("retort validator serve --dir ")).unwrap();
    assert!(!dir.contains("..") && dir.ends_with("/mine"), "{printed}");
    run(&["validator", "prune", "--dir", "nowhere/../mine"]);
}

#[test]
fn a_manifest_is_checked_before_anything_is_played() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = crate::support::manifest(dir.path());
    let whole = fs::read_to_string(&manifest).unwrap();
    let check = |text: &str| {
        fs::write(&manifest, text).unwrap();
        let output =
            retort().args(["validator", "publish", "--check", "--dir"]).arg(dir.path()).arg(&manifest).output();
        let output = output.unwrap();
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{}", stderr(&output));
        assert!(!stderr(&output).contains("strategies"), "it plays first: {}", stderr(&output));
        stderr(&output)
    };
    // All of it at once.
    let both = whole
        .replacen("id = ", "closes_at = 2020-01-31T12:00:00Z\nengine = \"onnxruntime\"\nid = ", 1)
        .replacen("fixtures/mlp", "fixtures/nowhere", 1);
    let told = check(&both);
    for problem in ["it has passed", "fixtures/nowhere", "manifest field `engine`"] {
        assert!(told.contains(problem), "{problem}: {told}");
    }
    // And where nothing is wrong, that is said before anything is played, or alone.
    fs::write(&manifest, whole.replace("_max_ppm = 847000", "_max_ppm = 0")).unwrap();
    let checks = ["validator", "publish", "--check", "--no-market"];
    let fine = retort().args(checks).arg(&manifest).arg("--dir").arg(dir.path()).output().unwrap();
    assert!(fine.status.success(), "{}", stderr(&fine));
    let lines: Vec<String> = stdout(&fine).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("nothing is wrong with ") && lines[1].starts_with("next: retort validator publish "));
    assert!(
        stderr(&fine).contains("its [nulls] state 0") && !stderr(&fine).contains("strategies"),
        "{}",
        stderr(&fine)
    );
    fs::write(&manifest, &whole).unwrap();
    let mut plays = retort();
    plays.args(["validator", "publish", "--check", "--dir"]).arg(dir.path()).arg(&manifest);
    let mut plays = plays.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = BufReader::new(plays.stdout.take().unwrap()).lines();
    assert!(first.next().unwrap().unwrap().starts_with("nothing is wrong with "));
    let mut told = BufReader::new(plays.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.any(|line| line.contains("is played now, 3 games of 8 rounds")), "it says what it plays");
    kill_process(Pid::from_raw(plays.id() as i32).unwrap(), Signal::INT).unwrap();
    assert!(told.any(|line| line.contains("the manifest is fine")), "and, interrupted, what is known");
    plays.wait().unwrap();
    let over = whole.replacen("id = ", "closes_at = 2020-01-31T12:00:00Z\nid = ", 1);
    assert!(check(&over).contains("it has passed"), "{}", check(&over));
    let nowhere = whole.replacen("fixtures/mlp", "fixtures/nowhere", 1);
    assert!(check(&nowhere).contains("fixtures/nowhere"), "{}", check(&nowhere));
}

#[test]
fn the_validator_is_named_before_a_command_of_verify_or_behind_it() {
    // Nothing listens there: the error names the address that was taken.
    for args in [["verify", "--validator", "127.0.0.1:1", "log"], ["verify", "log", "--validator", "127.0.0.1:1"]] {
        let output = retort().args(args).output().unwrap();
        assert!(stderr(&output).contains("http://127.0.0.1:1"), "{args:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(2), "nobody who is away lies");
        assert!(stderr(&output).contains("not checked: "), "{}", stderr(&output));
    }
    // Nothing is nobody's address, and a page of a validator means the validator.
    for (written, read) in [("", "http://127.0.0.1:7070"), ("127.0.0.1:1/competitions/x?y", "http://127.0.0.1:1:")] {
        let output = retort().env("RETORT_VALIDATOR", written).args(["competitions"]).output().unwrap();
        assert!(output.status.success() || stderr(&output).contains(read), "{written:?}: {}", stderr(&output));
    }
    let output = retort().args(["competitions", "--validator", "http:/127.0.0.1:7070"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write http://127.0.0.1:7070"), "{}", stderr(&output));
    let output = retort().args(["verify", "--json", "log"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("write the command first"), "{}", stderr(&output));
}

#[test]
fn who_reads_no_further_ends_it_quietly_and_a_full_disk_is_an_error() {
    let student = repository("models/fixtures/pytorch_student").display().to_string();
    for command in [
        &["completions", "bash"][..],
        &["simulate", "dethrone", "--items", "200", "--equals", "1", "--repetitions", "1"],
        &["predict", &student, "fashion-mnist:0", "fashion-mnist:1", "--json"],
    ] {
        let mut child = retort().args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && !stderr(&output).contains("panic"), "{command:?}: {}", stderr(&output));

        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = retort().args(command).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert_eq!(stderr(&output).lines().last(), Some("error: write: No space left on device (os error 28)"));
    }
}

#[test]
fn a_simulation_prints_the_same_table_with_any_number_of_threads() {
    let simulate = |more: &[&str]| {
        let common = ["simulate", "dethrone", "--items", "200", "--equals", "6", "--repetitions", "10"];
        let output = retort().args(common).args(more).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stderr(&output).contains('\r'), "bars are for terminals");
        stdout(&output)
    };
    let table = simulate(&["--threads", "1"]);
    assert_eq!(table, simulate(&["--threads", "3"]));
    assert_ne!(table, simulate(&["--seed", "5"]));
    assert!(table.contains("200 items: 6 equals, 30 rounds"), "{table}");
    assert!(table.contains("3 better by 1 point beside 6 equals and 6 memorisers, 3 rounds"), "{table}");

    let json: serde_json::Value = serde_json::from_str(&simulate(&["--json", "--epsilon", "0.5"])).unwrap();
    assert_eq!(json["rules"]["epsilon_ppm"], 500_000);
    // Equals, clones, half a point alone and beside, three looks each; then one point alone.
    let row = &json["rows"][8];
    assert_eq!((row["gain_ppm"].as_u64(), row["after_rounds"].as_u64()), (Some(10_000), Some(1)), "{row}");
    assert_eq!(row["screened"]["dethroned"], 0, "nobody is better by half of the composite");
    assert!(row["better_wins"]["dethroned"].as_u64() > Some(0), "{row}");
}

#[test]
fn a_simulation_refuses_levels_that_the_rules_refuse() {
    for (option, value, told) in [
        ("--alpha-hidden", "0.00001", "alpha_hidden_ppm is 10, not 200 to 500000"),
        ("--epsilon", "1", "epsilon_ppm is 1000000, not below 1000000"),
        ("--alpha-hidden", "NaN", "not from 0 to 1"),
        ("--items", "5", "5 is not in 100..=1048576"),
    ] {
        let output = retort().args(["simulate", "dethrone", option, value]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(told), "{option}: {}", stderr(&output));
    }
}

#[test]
fn a_new_key_is_private_shows_itself_and_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotkey");
    let made = retort().args(["keys", "new"]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = retort().args(["keys", "show"]).arg(&path).output().unwrap();
    assert_eq!(stdout(&made), stdout(&shown));
    assert!(!retort().args(["keys", "new"]).arg(&path).output().unwrap().status.success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = retort().args(["keys", "show"]).arg(&path).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "a key that others can read is refused");
}

#[test]
fn the_rules_admit_what_pytorch_saved_and_name_what_is_wrong_with_the_rest() {
    let check = |package: &std::path::Path| {
        retort().args(["miner", "check"]).arg(package).arg("--competition").arg(repository(MANIFEST)).output().unwrap()
    };
    let good = check(&repository("models/fixtures/pytorch_student"));
    assert!(good.status.success(), "{}", stderr(&good));
    assert!(stdout(&good).starts_with("admitted: "), "{}", stdout(&good));
    assert!(stderr(&good).is_empty(), "it brings answers, so nothing is assumed: {}", stderr(&good));

    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(repository("models/fixtures/pytorch_student").join(file), dir.path().join(file)).unwrap();
    }
    fs::write(dir.path().join("README.md"), "").unwrap();
    let plain = check(dir.path());
    assert!(plain.status.success(), "an empty README.md says nothing, and is left out: {}", stderr(&plain));
    let assumed = "activation relu, norm_epsilon_ppb 10000, padding symmetric. A model that was trained otherwise";
    assert!(stderr(&plain).contains(assumed), "{}", stderr(&plain));
    let entered = miner_template::files::PackageFiles::read(dir.path()).unwrap().declarations();
    assert_eq!(entered.len(), 2, "{entered:?}");

    let dir = tempfile::tempdir().unwrap();
    let missing = check(dir.path());
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("file_missing"), "{}", stderr(&missing));

    let source = repository("models/fixtures/pytorch_student");
    fs::copy(source.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut weights = fs::read(source.join("model.safetensors")).unwrap();
    weights.pop();
    fs::write(dir.path().join("model.safetensors"), &weights).unwrap();
    let cut = check(dir.path());
    assert!(stderr(&cut).contains("data_length"), "{}", stderr(&cut));
}

#[test]
fn predictions_come_as_pictures_and_as_json() {
    let package = repository("models/fixtures/pytorch_student");
    let shown = retort().arg("predict").arg(&package).args(["fashion-mnist:0", "fashion-mnist:1"]).output().unwrap();
    assert!(shown.status.success(), "{}", stderr(&shown));
    assert!(stdout(&shown).contains('%'));
    let json = retort().arg("predict").arg(&package).args(["fashion-mnist:0", "--json"]).output().unwrap();
    let predictions: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(predictions[0]["truth"], "Ankle boot");
    assert!(predictions[0]["confidence_ppm"].as_i64().unwrap() > 100_000);
    let beyond = retort().arg("predict").arg(&package).arg("fashion-mnist:10000").output().unwrap();
    assert!(stderr(&beyond).contains("there are 10000 test images"), "{}", stderr(&beyond));
}

/// The first test image, an ankle boot, as people have pictures.
#[test]
fn pictures_are_taken_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let boot = FashionMnist::load_test().unwrap();
    let boot = image::GrayImage::from_raw(28, 28, boot.image(0).to_vec()).unwrap();
    let mut negative = boot.clone();
    image::imageops::invert(&mut negative);
    let large = image::imageops::resize(&boot, 84, 84, image::imageops::FilterType::Triangle);
    let alpha_alone = image::RgbaImage::from_fn(28, 28, |x, y| image::Rgba([255, 255, 255, boot.get_pixel(x, y).0[0]]));
    boot.save(dir.path().join("a.png")).unwrap();
    boot.save(dir.path().join("b.jpg")).unwrap();
    large.save(dir.path().join("c.bmp")).unwrap();
    alpha_alone.save(dir.path().join("d.png")).unwrap();
    fs::write(dir.path().join("notes.txt"), "no picture").unwrap();
    negative.save(dir.path().join("paper.webp.png")).unwrap();
    fs::rename(dir.path().join("paper.webp.png"), dir.path().join("paper")).unwrap();

    let package = repository("models/fixtures/pytorch_student");
    let ask = |more: &[&str]| retort().arg("predict").arg(&package).args(more).arg("--json").output().unwrap();
    let folder = dir.path().display().to_string();
    let answered = ask(&[&folder]);
    let predictions: Vec<serde_json::Value> = serde_json::from_slice(&answered.stdout).unwrap();
    let labels: Vec<&str> = predictions.iter().map(|prediction| prediction["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Ankle boot"; 4], "{}", stderr(&answered));
    assert!(stderr(&answered).contains("resized from 84 x 84 to 28 x 28 pixels"), "{}", stderr(&answered));

    assert!(stderr(&answered).contains("2 files left out, no pictures by their names"), "{}", stderr(&answered));
    // As ImageFolder has them, beside what file managers leave.
    let classes = tempfile::tempdir().unwrap();
    for class in ["boot", "bag/left"] {
        fs::create_dir_all(classes.path().join(class)).unwrap();
        boot.save(classes.path().join(class).join("1.png")).unwrap();
    }
    fs::write(classes.path().join("boot/.DS_Store"), "").unwrap();
    let answered = ask(&[&classes.path().display().to_string()]);
    let predictions: Vec<serde_json::Value> = serde_json::from_slice(&answered.stdout).unwrap();
    assert!(predictions.len() == 2 && stderr(&answered).is_empty(), "{predictions:?}{}", stderr(&answered));
    let missing = retort().current_dir(dir.path()).args(["predict", "champion", "a.png"]).output().unwrap();
    assert!(stderr(&missing).contains("retort pull COMPETITION champion"), "{}", stderr(&missing));

    let paper = format!("{folder}/paper");
    let told = stderr(&ask(&[&paper])).clone();
    assert!(told.contains("its border is light") && told.contains("--invert"), "{told}");
    let turned = ask(&[&paper, "--invert"]);
    assert!(stdout(&turned).contains("Ankle boot") && stderr(&turned).is_empty(), "{}", stderr(&turned));
    let tall = image::imageops::resize(&negative, 28, 84, image::imageops::FilterType::Triangle);
    tall.save(dir.path().join("tall.bmp")).unwrap();
    let told = stderr(&ask(&[&format!("{folder}/tall.bmp")]));
    assert!(told.contains("its border is light"), "paper is paper in any shape: {told}");
    // As many pixels, in another shape: that is no reason to read them in another order.
    image::GrayImage::from_raw(14, 56, vec![9; 784]).unwrap().save(dir.path().join("strip.png")).unwrap();
    let told = stderr(&ask(&[&format!("{folder}/strip.png")]));
    assert!(told.contains("resized from 14 x 56 to 28 x 28 pixels"), "{told}");
    let text = ask(&[&format!("{folder}/notes.txt")]);
    assert!(stderr(&text).contains("no picture of a known format"), "{}", stderr(&text));
}

/// A line a picture is for few; of many it is counted, and class folders say what is right.
#[test]
fn a_folder_of_many_pictures_is_a_table_and_class_folders_give_an_accuracy() {
    let dir = tempfile::tempdir().unwrap();
    let test = FashionMnist::load_test().unwrap();
    let names = ["Trouser", "Bag", "unsorted"];
    for index in 0..60 {
        let Some(place) = [1, 8, 0].iter().position(|class| *class == test.labels[index]) else { continue };
        let class = dir.path().join("test").join(names[place]);
        fs::create_dir_all(&class).unwrap();
        let image = image::GrayImage::from_raw(28, 28, test.image(index).to_vec()).unwrap();
        image::imageops::resize(&image, 56, 56, image::imageops::FilterType::Nearest)
            .save(class.join(format!("{index}.png")))
            .unwrap();
    }
    let predict = |more: &[&str]| {
        let package = repository("models/fixtures/pytorch_student");
        let output =
            retort().env("COLUMNS", "60").arg("predict").arg(&package).arg(dir.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let all: Vec<serde_json::Value> = serde_json::from_slice(&predict(&["--json"]).stdout).unwrap();
    let known: Vec<&serde_json::Value> = all.iter().filter(|answer| !answer["truth"].is_null()).collect();
    assert!(
        all.len() > 12
            && known.len() < all.len()
            && known.iter().all(|it| names.contains(&it["truth"].as_str().unwrap()))
    );
    let right = known.iter().filter(|answer| answer["truth"] == answer["label"]).count();
    let answered = predict(&[]);
    let (told, lines) = (stdout(&answered), stdout(&answered).lines().count());
    assert!(told.contains(&format!("right: {right} of {} pictures", known.len())), "{told}");
    assert!(!told.contains(".png") && lines <= 13 && told.lines().all(|line| line.chars().count() <= 70), "{told}");
    let remarks = stderr(&answered);
    assert_eq!(remarks.matches("resized from 56 x 56").count(), 1, "{remarks}");
    assert!(remarks.contains(&format!("and {} more are like it", all.len() - 1)), "{remarks}");
    assert_eq!(stdout(&predict(&["--each"])).matches(".png: ").count(), all.len());
}

/// As the validator has it: the first of equals, and nothing that isn't finite.
#[test]
fn a_prediction_is_what_a_validator_would_count() {
    let dir = tempfile::tempdir().unwrap();
    let predict = |hidden: &[usize], value: f32| {
        let ends = std::iter::once(784).chain(hidden.iter().copied()).zip(hidden.iter().copied().chain([10]));
        let mut tensors = Vec::new();
        for (layer, (inputs, outputs)) in ends.enumerate() {
            let sign = |index: usize| if index.is_multiple_of(2) { value } else { -value };
            let weight: Vec<u8> = (0..inputs * outputs).flat_map(|index| sign(index / inputs).to_le_bytes()).collect();
            tensors.push((format!("{}.weight", 2 * layer + 1), vec![outputs, inputs], weight));
            tensors.push((format!("{}.bias", 2 * layer + 1), vec![outputs], vec![0; 4 * outputs]));
        }
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
        });
        fs::write(dir.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        let mut config: serde_json::Value =
            serde_json::from_slice(&fs::read(repository("models/fixtures/pytorch_student/config.json")).unwrap())
                .unwrap();
        config["architecture"] = serde_json::json!({"kind": "mlp", "hidden": hidden});
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        retort().arg("predict").arg(dir.path()).args(["fashion-mnist:0", "--json"]).output().unwrap()
    };
    let tie = predict(&[2], 0.0);
    let said: serde_json::Value = serde_json::from_slice(&tie.stdout).unwrap();
    assert_eq!(said[0]["label"], "T-shirt/top", "{said}");
    let wild = predict(&[4; 8], 1e6);
    assert_eq!(wild.status.code(), Some(1));
    assert!(stderr(&wild).contains("isn't finite"), "{}", stderr(&wild));
}

/// Copied elsewhere, begun at the root, with the clone gone: data and models that it brings are in it.
#[test]
fn a_binary_that_was_copied_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("retort");
    let binary = env!("CARGO_BIN_EXE_retort");
    if fs::hard_link(binary, &alone).is_err() {
        fs::copy(binary, &alone).unwrap();
    }
    for file in ["config.json", "model.safetensors"] {
        fs::copy(repository("models/fixtures/pytorch_student").join(file), dir.path().join(file)).unwrap();
    }
    fs::copy(repository(MANIFEST), dir.path().join("competition.toml")).unwrap();
    let clone = repository("").canonicalize().unwrap();
    let hidden = dir.path().join("nothing");
    fs::create_dir(&hidden).unwrap();
    // What is above the clone stays, so that the shell can be found; the clone looks empty.
    let story = "set -e; mount --bind \"$NOTHING\" \"$CLONE\"; test -z \"$(ls \"$CLONE\")\"; cd /
        \"$ALONE/retort\" predict \"$ALONE\" fashion-mnist:0 --json
        \"$ALONE/retort\" validator init --dir \"$ALONE/v\" > /dev/null
        \"$ALONE/retort\" validator publish fashion-mnist --dir \"$ALONE/v\" --insecure-sandbox
        \"$ALONE/retort\" validator publish competitions/fashion-mnist/competition.toml --dir \"$ALONE/v\"
        \"$ALONE/retort\" validator publish \"$ALONE/competition.toml\" --dir \"$ALONE/v\"
        \"$ALONE/retort\" validator example \"$ALONE/own\"
        \"$ALONE/retort\" validator publish \"$ALONE/own/competitions/fashion-mnist/competition.toml\" --dir \"$ALONE/v\"
        \"$ALONE/retort\" validator doctor --dir \"$ALONE/v\" || true
        \"$ALONE/retort\" bench latency --aa --model mlp --measurements 1 --effort quick --launch-ms 20 --insecure-sandbox";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "bash", "-c", story])
        .envs([("NOTHING", &hidden), ("CLONE", &clone), ("ALONE", &dir.path().to_owned())])
        .env("HOME", dir.path())
        .env("RETORT_LATENCY", "quick")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("Ankle boot"), "{}", stdout(&output));
    assert!(stdout(&output).contains("published fashion-mnist"), "{}", stdout(&output));
    assert_eq!(stdout(&output).matches("already there: fashion-mnist").count(), 3, "{}", stdout(&output));
    let doctor = stdout(&output).lines().find(|line| line.contains("competitions ")).map(str::to_owned);
    assert!(doctor.as_ref().is_some_and(|line| line.contains("1, with all their data")), "{}", stdout(&output));
}

/// A copy of its manifest that was changed looks for the models beside it.
#[test]
fn a_copied_manifest_without_its_models_says_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("a/b/competition.toml");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let text = fs::read_to_string(repository(MANIFEST)).unwrap();
    let check = || {
        let asked =
            retort().args(["validator", "publish", "--check"]).arg(&own).args(["--dir"]).arg(dir.path()).output();
        asked.unwrap()
    };
    let over = "closes_at = 2020-01-31T12:00:00Z\nid = \"mine\"";
    fs::write(&own, text.replace("id = \"fashion-mnist\"", over)).unwrap();
    let missing = check();
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("`retort validator example DIR`"), "{}", stderr(&missing));
    for model in ["models/teacher/config.json", "models/reference/config.json"] {
        assert!(stderr(&missing).contains(model), "all at once: {}", stderr(&missing));
    }
    let written = retort().args(["validator", "example"]).arg(dir.path()).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let told = stderr(&check());
    assert!(told.contains("it has passed") && !told.contains("os error") && !told.contains("example"), "{told}");
    fs::write(dir.path().join(MANIFEST), "changed").unwrap();
    let again = retort().args(["validator", "example"]).arg(dir.path()).output().unwrap();
    assert!(!again.status.success() && stderr(&again).contains("was changed"), "{}", stderr(&again));
}

#[test]
fn a_folder_that_is_no_validator_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = retort().args(["validator", "serve", "--dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("retort validator init"), "{}", stderr(&output));
}

#[test]
fn a_known_slow_down_is_measured_beside_busy_processes_that_end_with_it() {
    let words = ["bench", "latency", "--ab", "--slow-down-ppm", "1000000", "--model", "mlp", "--measurements", "1"];
    let more = ["--effort", "quick", "--launch-ms", "20", "--load", "1", "--json"];
    let output = retort().args(words).args(more).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ratio = figures["measurements"][0]["ratio"]["value_ppm"].as_i64().unwrap();
    // Twice as slow, in next to no time on a crowded machine: only the order of magnitude is sure.
    assert!((1_300_000..3_000_000).contains(&ratio), "{figures}");
    assert_eq!(figures["summary"]["true_ratio_ppm"], 2_000_000);
}

#[test]
fn bench_latency_wants_exactly_one_question() {
    for words in [&["bench", "latency"][..], &["bench", "latency", "--aa", "--ab"]] {
        assert_eq!(retort().args(words).output().unwrap().status.code(), Some(2), "{words:?}");
    }
    let crowd = retort().args(["bench", "latency", "--aa", "--load", "1000"]).output().unwrap();
    assert_eq!(crowd.status.code(), Some(1));
    assert!(stderr(&crowd).contains("64 at most"), "{}", stderr(&crowd));
}
