//! ONNX files: what a miner uploads as `model.onnx`.

use crate::Rules;
use crate::oracle::check_detail;
use program::package::{Admitted, Package, Published, admit};
use program::{Code, Limits, onnx};
use protocol::competition::Taken;
use protocol::package::{Format, OnnxConfig};
use std::fs;
use std::path::Path;

/// What libFuzzer is given at most (scripts/fuzz.sh).
const SEED_BYTES_MAX: usize = 16 * 1024;
/// Where a file leaves a size open.
const OPEN: u32 = 4;

/// By the ports that a file states, whatever they are, and through the door of a competition of small images.
pub(super) fn onnx(input: &[u8]) {
    let rules = Rules::default();
    let limits = Limits::from(&rules.limits);
    if let Ok(signature) = onnx::ports(input, OPEN) {
        match onnx::read(input, &signature, &limits) {
            Ok(read) => {
                for lowered in &read {
                    let written = onnx::write(&lowered.graph);
                    let again = onnx::read(&written, &signature, &limits).expect("what we wrote is read");
                    assert_eq!(again.first(), Some(lowered), "written and read again");
                }
            }
            Err(refusal) => assert!(Code::ALL.contains(&refusal.code), "{refusal}"),
        }
    }
    let _ = onnx::foreign_operators(input);
    // Of its owner alone: whatever lies beside it.
    let _ = onnx::beside(input).map(|_| onnx::inlined(input, |_| Some(input)));
    door(input, &rules);
}

fn door(input: &[u8], rules: &Rules) {
    let config_json = serde_json::to_vec(&OnnxConfig::new(&rules.labels)).expect("JSON, because we made it");
    let given = |model| Package { format: Format::Onnx, config_json: &config_json, model };
    match admit(&given(input), &rules.admission(), &[Taken::Onnx]) {
        Err(rejection) => check_detail(&rejection.detail).expect("a short printable line"),
        Ok(admitted) => {
            let Ok(Published::Onnx(_, canonical)) = admitted.published(input) else { panic!("it is a graph") };
            let again = admit(&given(&canonical), &rules.admission(), &[Taken::Onnx]).expect("what we wrote");
            let (Admitted::Onnx(first), Admitted::Onnx(again)) = (admitted, again) else { panic!("they are graphs") };
            assert_eq!((&first.canonical, first.costs), (&again.canonical, again.costs), "published again");
        }
    }
}

/// Exports and files that want to hurt, of the crate `program`.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../program/tests"));
    let folders = ["fixtures", "hostile"].into_iter().filter_map(|name| fs::read_dir(tests.join(name)).ok());
    let mut paths: Vec<_> = folders.flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let files = paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    files.filter_map(|path| fs::read(path).ok()).filter(|file| file.len() <= SEED_BYTES_MAX).collect()
}
