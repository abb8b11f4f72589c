//! How alike honest students are, as an operator measures it before publishing: on committed students of the template, which were
//! trained from different seeds.

use crate::support::{repository, retort, stderr, stdout};
use protocol::competition::Manifest;
use protocol::nulls::Nulls;
use std::process::Output;

const COMPETITION: &str = "competitions/fashion-mnist/competition.toml";

fn measured(students: &[&str], more: &[&str]) -> Output {
    let folders = students.iter().map(|name| repository(&format!("models/scale/{name}")));
    let competition = repository(COMPETITION);
    let mut command = retort();
    command.args(["bench", "nulls", "--items", "300"]).args(more).arg("--competition").arg(competition);
    command.args(folders).output().unwrap()
}

#[test]
fn what_is_measured_goes_into_a_manifest_and_the_built_in_one_states_no_less() {
    let mlps = ["mlp-12k-train-1", "mlp-12k-train-2", "mlp-12k-train-3", "mlp-51k-train-1"];
    let students = [&mlps[..], &["resnet-11k-train-1", "resnet-11k-train-2"]].concat();
    let output = measured(&students, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(repository(COMPETITION)).unwrap();
    let (before, _) = text.split_once("[nulls]").unwrap();
    let manifest = Manifest::from_toml(&format!("{before}{}", stdout(&output))).unwrap();
    let (found, stated) = (manifest.nulls.unwrap(), Manifest::from_toml(&text).unwrap().nulls.unwrap());
    assert_eq!((found.pairs, found.families.len()), (15, 2), "{found:?}");
    for (family, null) in &found.families {
        let stated = stated.families[family];
        // Trained ones have something in common, and less than what the thresholds rest on.
        assert!((100_000..=stated.weight_match_max_ppm).contains(&null.weight_match_max_ppm), "{family}: {null:?}");
        assert!(null.residual_correlation_max_ppm <= stated.residual_correlation_max_ppm, "{family}: {null:?}");
    }
    assert!((300_000..=stated.fresh_residual_correlation_max_ppm).contains(&found.fresh_residual_correlation_max_ppm));
    assert!(found.unexplained_min_ppm >= stated.unexplained_min_ppm, "{found:?}");
}

#[test]
fn too_few_students_and_one_model_twice_are_no_null() {
    let few = measured(&["mlp-12k-train-1", "mlp-12k-train-2"], &[]);
    assert!(!few.status.success() && stderr(&few).contains("2 packages: at least 5"), "{}", stderr(&few));
    let students = ["mlp-12k-train-1", "mlp-12k-train-2", "mlp-12k-train-3", "mlp-12k-train-4", "mlp-12k-train-1"];
    let twice = measured(&students, &["--json"]);
    assert!(!twice.status.success() && stderr(&twice).contains("are one model"), "{}", stderr(&twice));
    let json = measured(
        &["mlp-12k-train-1", "mlp-12k-train-2", "mlp-12k-train-3", "mlp-12k-train-4", "mlp-12k-train-5"],
        &["--json"],
    );
    let nulls: Nulls = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(nulls.pairs, 10);
}
