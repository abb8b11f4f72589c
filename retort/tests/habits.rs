//! What people type, interrupt, repeat and copy from what was printed. The real binary, and where one is needed a real validator.

use crate::attacks::until;
use crate::support::{Service, repository, retort, stderr, stdout};
use crate::verify::{published_with, scored_package};
use miner_template::files::PackageFiles;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long what must come is waited for, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The words that a shell makes of what follows `before` in a line of `text`.
fn typed(text: &str, before: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.split_once(before)).unwrap_or_else(|| panic!("{before}: {text}")).1;
    let line = line.split("   (").next().unwrap();
    let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
    stdout(&words).lines().map(str::to_owned).collect()
}

fn fails(output: &Output, says: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains(says), "{says}: {}", stderr(output));
}

#[test]
fn the_manual_goes_where_it_was_said_also_by_a_relative_path() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, next) in [("my pages", "next: man "), ("share/man/man1", "next: man -M ")] {
        let written = retort().current_dir(dir.path()).args(["man", folder]).output().unwrap();
        assert!(written.status.success(), "{}", stderr(&written));
        let pages = dir.path().join(folder);
        assert!(pages.join("retort.1").exists() && pages.join("retort-miner-submit.1").exists());
        let next = typed(&stdout(&written), next);
        let (found, named) = (Path::new(&next[0]), pages.canonicalize().unwrap());
        let expected = if folder == "my pages" { named.join("retort.1") } else { named.parent().unwrap().to_owned() };
        assert_eq!(found.canonicalize().unwrap(), expected);
    }
}

#[test]
fn printed_commands_are_words_that_a_shell_reads_and_default_folders_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("my validator's");
    let init = retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap();
    let home = home.display().to_string();
    assert_eq!(typed(&stdout(&init), "retort validator serve"), ["--dir", &home]);
    assert_eq!(typed(&stdout(&init), "retort validator publish MANIFEST"), ["--dir", &home]);
    let prune = retort().args(["validator", "prune", "--dir", &home]).output().unwrap();
    assert_eq!(typed(&stdout(&prune), "next: retort validator prune --yes"), ["--dir", &home]);
    let example = dir.path().join("my example").display().to_string();
    let written = retort().args(["validator", "example", &example]).output().unwrap();
    let words = typed(&stdout(&written), "retort validator publish ");
    assert!(Path::new(&words[0]).is_file() && words[1] == "--check", "{words:?}");

    let plain = retort().current_dir(dir.path()).args(["validator", "init"]).output().unwrap();
    assert!(!stdout(&plain).contains("--dir"), "{}", stdout(&plain));
    let again = retort().current_dir(dir.path()).args(["validator", "init"]).output().unwrap();
    assert!(
        stdout(&again).contains("was there already") && !stdout(&plain).contains("was there"),
        "{}",
        stdout(&again)
    );
    let nowhere = retort().current_dir(dir.path()).args(["validator", "restore", "nowhere"]).output().unwrap();
    fails(&nowhere, "nowhere is no folder");
    let usage = retort().arg("verify").output().unwrap();
    assert!(usage.status.code() == Some(2) && stderr(&usage).contains("retort verify"), "{}", stderr(&usage));
    let key = dir.path().join("my key");
    assert!(retort().args(["keys", "new"]).arg(&key).output().unwrap().status.success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = retort().args(["keys", "show"]).arg(&key).output().unwrap();
    assert!(stderr(&open).contains(&format!("chmod 600 '{}'", key.display())), "{}", stderr(&open));
}

#[test]
fn what_is_no_key_and_no_package_is_told_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("student.pt");
    fs::write(&file, "weights").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let key = retort().args(["keys", "show"]).arg(&file).output().unwrap();
    fails(&key, "retort keys new FILE");
    assert!(!stderr(&key).contains("chmod"), "another mode makes no key of it: {}", stderr(&key));
    let nowhere = retort().current_dir(dir.path()).args(["keys", "show", "nokey.json"]).output().unwrap();
    fails(&nowhere, "isn't there; `retort keys new nokey.json` makes one");
    let manifest = repository("competitions/fashion-mnist/competition.toml");
    let package = retort().args(["miner", "check"]).arg(&file).arg("--competition").arg(manifest).output().unwrap();
    fails(&package, "save_file(model.state_dict(), \"model.safetensors\")");
    let alone = retort().args(["bench", "latency"]).output().unwrap();
    let told = stdout(&alone) + &stderr(&alone);
    assert!(
        alone.status.code() == Some(2) && told.contains("the true ratio is 1") && told.contains("Examples:"),
        "{told}"
    );
}

/// The folder is there as soon as the story begins.
#[test]
fn a_demo_that_is_interrupted_leaves_nothing_but_a_folder_of_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let temporary = dir.path().join(format!("tmp-{status}"));
        fs::create_dir(&temporary).unwrap();
        let mut demo = retort();
        demo.arg("demo").env("TMPDIR", &temporary).stderr(Stdio::piped()).stdout(Stdio::null());
        let demo = demo.spawn().unwrap();
        let inside =
            || fs::read_dir(&temporary).unwrap().flatten().find(|entry| entry.path().join("validator").exists());
        assert!(until(PATIENCE, inside).is_some(), "it begins");
        kill_process(Pid::from_raw(demo.id() as i32).unwrap(), signal).unwrap();
        let ended = demo.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(status), "{}", stderr(&ended));
        assert!(
            stderr(&ended).contains("nothing is left of it") && !stderr(&ended).contains('{'),
            "{}",
            stderr(&ended)
        );
        let left: Vec<_> = fs::read_dir(&temporary).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    for (own, json) in [(dir.path().join("own"), None), (dir.path().join("scripted"), Some("--json"))] {
        let mut demo = retort();
        demo.args(["demo", "--dir"]).arg(&own).args(json).stderr(Stdio::piped()).stdout(Stdio::piped());
        let demo = demo.spawn().unwrap();
        assert!(until(PATIENCE, || own.join("validator").exists().then_some(())).is_some());
        kill_process(Pid::from_raw(demo.id() as i32).unwrap(), Signal::TERM).unwrap();
        let ended = demo.wait_with_output().unwrap();
        assert!(stderr(&ended).contains(&own.display().to_string()), "{}", stderr(&ended));
        assert!(own.join("validator").exists(), "what somebody named stays");
        // `retort demo > log` has the story; a script reads its one object alone.
        let story = "s] a validator, in ";
        let told = [stdout(&ended).contains(story), stderr(&ended).contains(story)];
        assert_eq!(told, [json.is_none(), json.is_some()], "{}{}", stdout(&ended), stderr(&ended));
        assert!(json.is_none() || ended.stdout.is_empty(), "{}", stdout(&ended));
    }
}

#[test]
fn an_address_of_the_command_line_stands_above_settings_and_a_second_process_hears_who_serves() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap().status.success());
    let unknown = retort().args(["validator", "round", "status", "digitz", "--dir"]).arg(&home).output().unwrap();
    fails(&unknown, "no competition is called digitz");
    // Neither would be served: the first is no address, the second one for others, who must be let in first.
    for listen in ["nowhere", "0.0.0.0:7070"] {
        fs::write(home.join("validator.toml"), format!("listen = \"{listen}\"\n")).unwrap();
        let alone = retort().args(["validator", "serve", "--dir"]).arg(&home).output().unwrap();
        assert_eq!(alone.status.code(), Some(1), "{}", stderr(&alone));
        let service = Service::start(&home);
        let second = retort().args(["validator", "serve", "--listen", "127.0.0.1:0", "--dir"]).arg(&home).output();
        let second = second.unwrap();
        fails(&second, &format!("process {} has the validator in", service.child.id()));
        assert!(stderr(&second).contains(&format!("serves it at {}/", service.address)), "{}", stderr(&second));
        for (list, says) in
            [("competitions", "lists no competition: none is published yet"), ("submissions", "nothing was entered")]
        {
            assert!(stdout(&service.run(&[list])).contains(says), "{}", stdout(&service.run(&[list])));
        }
    }
}

/// A package whose weights are all 0: it names one class whatever it sees.
fn constant(dir: &Path) -> String {
    let source = repository("models/fixtures/mlp");
    let mut weights = PackageFiles::read(&source).unwrap().weights;
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    weights[header..].fill(0);
    fs::create_dir(dir).unwrap();
    fs::copy(source.join("config.json"), dir.join("config.json")).unwrap();
    fs::write(dir.join("model.safetensors"), weights).unwrap();
    dir.display().to_string()
}

#[test]
fn who_submits_hears_of_the_gate_of_copies_and_of_what_was_entered_before() {
    let dir = tempfile::tempdir().unwrap();
    let service =
        Service::start(&published_with(dir.path(), |text| text.replace("gate_ppm = 100000", "gate_ppm = 200000")));
    let resnet = repository("models/fixtures/resnet");
    let original = scored_package(&service, dir.path(), "alice", &resnet);
    let package = resnet.display().to_string();
    let key = |name: &str| dir.path().join(name).display().to_string();
    for name in ["eve", "mallory"] {
        assert!(retort().args(["keys", "new", &key(name)]).output().unwrap().status.success());
    }
    let again = service.run(&["miner", "submit", &package, "--hotkey", &key("alice")]);
    assert!(
        again.status.success() && stderr(&again).contains("this package was entered already"),
        "{}",
        stderr(&again)
    );
    assert!(stdout(&again).contains(&original), "{}", stdout(&again));

    // Whoever waits is told all of it: a copy has no rank, whatever it scored.
    let copy = service.json(&["miner", "submit", &package, "--hotkey", &key("eve"), "--wait"]);
    assert_eq!((copy["state"].as_str(), copy["compared"].as_bool()), (Some("scored"), Some(true)));
    assert!(copy["rank"].is_null() && copy["row"]["why"].as_str().unwrap().contains("counts as"), "{copy}");

    let package = constant(&dir.path().join("constant"));
    let checked = service.run(&["miner", "check", &package]);
    let told = stdout(&checked);
    let gate = told.lines().find(|line| line.starts_with("the gate: ")).unwrap_or_else(|| panic!("{told}"));
    assert!(
        gate.contains("which is 20 % of the teacher's") && gate.ends_with("below, with its whole interval"),
        "{told}"
    );
    let sent = service.run(&["miner", "submit", &package, "--hotkey", &key("mallory")]);
    assert!(sent.status.success(), "it is warned, and goes on: {}", stderr(&sent));
    assert!(stderr(&sent).contains("it would get no rank: its accuracy here is "), "{}", stderr(&sent));
    assert!(stdout(&sent).contains("next: retort miner status"), "{}", stdout(&sent));

    // What lies in the way stays, and what is the same is no other content.
    let pull = |to: &str| service.run(&["pull", &original, to]);
    let place = dir.path().join("pulled");
    let to = place.display().to_string();
    let withheld = pull(&to);
    assert!(withheld.status.success(), "{}", stderr(&withheld));
    assert!(pull(&to).status.success(), "the same again");
    fs::write(place.join("config.json"), "mine").unwrap();
    fails(&pull(&to), "is there with other content");
    assert_eq!(fs::read_to_string(place.join("config.json")).unwrap(), "mine");
}
