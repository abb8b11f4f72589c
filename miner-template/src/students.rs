//! Students to begin with: a name for each, from a quick one to one that comes close to the teacher.

use crate::paths::at_home;
use protocol::architecture::Architecture;
use std::fs;

/// The students that `--student` knows by name, with what they are good for.
pub const STUDENTS: [(&str, &str, &str); 8] = [
    ("mlp", "fastest to train, for a first look", r#"{"kind":"mlp","hidden":[64]}"#),
    (
        "resnet-tiny",
        "10 K parameters, quick everywhere",
        r#"{"kind":"resnet","width":12,"blocks":[1,1],"stem_stride":2}"#,
    ),
    (
        "resnet-half",
        "77 K parameters at half resolution",
        r#"{"kind":"resnet","width":32,"blocks":[1,1],"stem_stride":2}"#,
    ),
    ("resnet-8", "78 K parameters, the default", r#"{"kind":"resnet","width":16,"blocks":[1,1,1]}"#),
    (
        "depthwise",
        "separable convolutions, few multiplications",
        r#"{"kind":"depthwise_cnn","stem":16,"stem_stride":2,"blocks":[{"channels":32,"stride":1},{"channels":64,"stride":2},{"channels":64,"stride":1}]}"#,
    ),
    (
        "mobilenet",
        "inverted residuals",
        r#"{"kind":"mobilenet_v2","stem":16,"stem_stride":2,"blocks":[{"expansion":1,"channels":16,"repeats":1,"stride":1},{"expansion":4,"channels":24,"repeats":2,"stride":2},{"expansion":4,"channels":40,"repeats":2,"stride":2}],"head":96}"#,
    ),
    ("vit", "a small transformer", r#"{"kind":"vit","patch":4,"width":64,"depth":4,"heads":4,"mlp_width":128}"#),
    ("teacher", "what the repository's teacher is", r#"{"kind":"resnet","width":56,"blocks":[1,1,1],"stem_stride":2}"#),
];

/// The default of `--student`.
pub const DEFAULT_STUDENT: &str = "resnet-8";

/// What `--student` takes, in words for whoever has no list at hand.
#[must_use]
pub fn choices() -> String {
    let names: Vec<&str> = STUDENTS.iter().map(|(name, ..)| *name).collect();
    let (_, _, json) = STUDENTS[0];
    format!("{}, or a JSON file with an architecture of the README's catalogue, as {json}", names.join(", "))
}

/// Finds a student by name, or reads an architecture from a JSON file.
///
/// # Errors
/// A sentence for the command line when it is neither.
pub fn student(name_or_file: &str) -> Result<Architecture, String> {
    let file = at_home(name_or_file)?;
    let json = match STUDENTS.iter().find(|(name, ..)| *name == name_or_file) {
        Some((_, _, json)) => (*json).to_owned(),
        None if file.exists() => fs::read_to_string(&file).map_err(|error| format!("read {name_or_file}: {error}"))?,
        None => return Err(format!("no student is called {name_or_file:?}; choose {}", choices())),
    };
    serde_json::from_str(&json).map_err(|error| format!("{name_or_file} is no architecture: {error}"))
}
