//! A package folder on a miner's disk: found, bounded and read.

use protocol::api::FileDeclaration;
use protocol::digest::Digest;
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, EXPECTED_BYTES_MAX, EXPECTED_FILE, Format, ONNX_FILE, README_BYTES_MAX, README_FILE,
    WEIGHTS_FILE, left_out,
};
use protocol::submission::{Code, Rejection};
use std::{fs, path::Path};

/// A model over this size is not even read: far above every competition's limit.
pub const MODEL_BYTES_MAX: u64 = 8 << 30;

/// What is meant by a package.
const IS_A_FOLDER: &str = "a package is a folder with config.json and model.safetensors or model.onnx in it";
/// Who writes what says of a model which architecture it is.
const WRITES_CONFIG: &str = "retort_miner.save(folder, model, architecture, competition) writes it beside the weights, and README.md shows what \
                             is in it";

/// The files of a package, in memory.
#[derive(Clone, Debug)]
pub struct PackageFiles {
    /// Which file the model is in.
    pub format: Format,
    /// `config.json`.
    pub config_json: Vec<u8>,
    /// `model.safetensors` or `model.onnx`, as the format says.
    pub weights: Vec<u8>,
    /// `README.md`, if there is one.
    pub readme: Option<Vec<u8>>,
    /// `expected.safetensors`, if there is one.
    pub expected: Option<Vec<u8>>,
}

impl PackageFiles {
    /// Reads the package in `folder`.
    ///
    /// # Errors
    /// A [`Rejection`] when a file is missing or too large. Files of other names stay where they are.
    pub fn read(folder: &Path) -> Result<Self, Rejection> {
        if folder.is_file() {
            let is_weights = folder.file_name().is_some_and(|name| name == WEIGHTS_FILE);
            let instead = match is_weights {
                true => format!(
                    "; name the folder that {WEIGHTS_FILE} is in, with a {CONFIG_FILE} beside it: {WRITES_CONFIG}"
                ),
                false => foreign(folder).unwrap_or_default(),
            };
            let detail = format!("{} is a file: {IS_A_FOLDER}{instead}", folder.display());
            return Err(Code::FileMissing.because(detail));
        }
        if !folder.exists() {
            return Err(Code::FileMissing.because(format!("there is no folder {}", folder.display())));
        }
        let config_json = read(folder, CONFIG_FILE, CONFIG_BYTES_MAX)?;
        let format = Format::of_config(&config_json);
        let weights = read(folder, format.file(), MODEL_BYTES_MAX)?;
        let Beside { readme, expected } = beside(folder)?;
        Ok(Self { format, config_json, weights, readme, expected })
    }

    /// What lies beside the package in `folder` and isn't sent, as a sentence.
    pub fn left_out(folder: &Path) -> Option<String> {
        let format = Format::of_config(&fs::read(folder.join(CONFIG_FILE)).unwrap_or_default());
        let ours = [CONFIG_FILE, format.file(), README_FILE, EXPECTED_FILE];
        let name = |entry: fs::DirEntry| {
            let slash = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
            format!("{}{slash}", entry.file_name().display())
        };
        let names: Vec<String> = fs::read_dir(folder).ok()?.flatten().map(name).collect();
        left_out(names.iter().map(String::as_str).filter(|name| !ours.contains(name)))
    }

    /// The files by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let readme = self.readme.as_deref().map(|bytes| (README_FILE, bytes));
        let expected = self.expected.as_deref().map(|bytes| (EXPECTED_FILE, bytes));
        let needed = [(CONFIG_FILE, &self.config_json[..]), (self.format.file(), &self.weights[..])];
        needed.into_iter().chain(readme).chain(expected)
    }

    /// What a submission announces.
    pub fn declarations(&self) -> Vec<FileDeclaration> {
        self.iter()
            .map(|(path, bytes)| FileDeclaration {
                path: path.to_owned(),
                size: bytes.len() as u64,
                sha256: Digest::of(bytes),
            })
            .collect()
    }
}

/// What lies in a folder in place of a package, and what to do with it.
fn instead(folder: &Path) -> Option<String> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.filter(|path| path.is_file()).filter_map(|path| foreign(&path)).min()
}

/// What to do with a file of weights of another kind or name, by its ending.
pub fn foreign(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let name = path.file_name()?.display();
    match ending.as_str() {
        "pt" | "pth" | "bin" | "ckpt" | "pkl" => Some(format!(
            "; {name} is PyTorch's own format, which nobody reads here: load it where you trust it, then \
             safetensors.torch.save_file(model.state_dict(), \"{WEIGHTS_FILE}\")"
        )),
        "safetensors" => Some(format!("; {name} has to be called {WEIGHTS_FILE}")),
        "onnx" => Some(format!(
            "; {name} is a model as ONNX: name that file instead of the folder, or call it {ONNX_FILE} (docs/ONNX.md)"
        )),
        "tflite" | "h5" | "keras" | "gguf" | "npz" => Some(format!(
            "; {name} is no format that is read here: export the model that it was made from as ONNX ({ONNX_FILE})"
        )),
        _ => None,
    }
}

/// What may lie beside a model.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// `README.md`.
    pub readme: Option<Vec<u8>>,
    /// `expected.safetensors`.
    pub expected: Option<Vec<u8>>,
}

/// `README.md` and `expected.safetensors` of a folder, if they are there.
///
/// # Errors
/// A [`Rejection`] when one is too large.
pub fn beside(folder: &Path) -> Result<Beside, Rejection> {
    Ok(Beside {
        readme: optional(folder, README_FILE, README_BYTES_MAX)?,
        expected: optional(folder, EXPECTED_FILE, EXPECTED_BYTES_MAX)?,
    })
}

/// A file that may be missing. One that says nothing is left out: no validator takes an empty file.
fn optional(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Rejection> {
    let is_there = fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
    is_there.then(|| read(folder, name, bytes_max)).transpose()
}

/// A file of a folder, if it isn't too large.
///
/// # Errors
/// A [`Rejection`] when it is, or when it isn't there.
pub fn read(folder: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, Rejection> {
    let path = folder.join(name);
    let missing = |error: std::io::Error| {
        let is_weights = |path: &Path| path.join(WEIGHTS_FILE).is_file();
        let instead = match name {
            CONFIG_FILE if is_weights(folder) => Some(format!("; {WRITES_CONFIG}")),
            CONFIG_FILE | WEIGHTS_FILE => instead(folder),
            _ => None,
        };
        Code::FileMissing.because(format!("{}: {error}{}", path.display(), instead.unwrap_or_default()))
    };
    let size = fs::metadata(&path).map_err(missing)?.len();
    if size > bytes_max {
        return Err(Code::FileTooLarge.because(format!("{} has {size} bytes, limit {bytes_max}", path.display())));
    }
    fs::read(&path).map_err(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_another_kind_are_told_how_to_be_saved() {
        let dir = tempfile::tempdir().unwrap();
        let said = |folder: &Path| PackageFiles::read(folder).unwrap_err().to_string();
        for name in ["student.pt", "student.PTH", "pytorch_model.bin", "last.ckpt"] {
            let file = dir.path().join(name);
            fs::write(&file, "weights").unwrap();
            assert!(said(&file).contains("is a file: a package is a folder"), "{}", said(&file));
            assert!(said(&file).contains("save_file(model.state_dict()"), "{}", said(&file));
            fs::write(dir.path().join(CONFIG_FILE), "{}").unwrap();
            assert!(said(dir.path()).contains(&format!("; {name} is PyTorch's own")), "{}", said(dir.path()));
            fs::remove_file(file).unwrap();
        }
        assert!(!said(dir.path()).contains(';'), "nothing is guessed: {}", said(dir.path()));
        let alone = dir.path().join(WEIGHTS_FILE);
        fs::write(&alone, "weights").unwrap();
        assert!(said(&alone).contains("name the folder that model.safetensors is in"), "{}", said(&alone));
        fs::remove_file(dir.path().join(CONFIG_FILE)).unwrap();
        assert!(said(dir.path()).contains("; retort_miner.save("), "{}", said(dir.path()));
        fs::remove_file(alone).unwrap();
        fs::write(dir.path().join("plain.onnx"), "a graph").unwrap();
        assert!(said(dir.path()).contains("plain.onnx is a model as ONNX: name that file"), "{}", said(dir.path()));
        fs::remove_file(dir.path().join("plain.onnx")).unwrap();
        fs::write(dir.path().join(CONFIG_FILE), "{}").unwrap();
        fs::write(dir.path().join("student.safetensors"), "").unwrap();
        assert!(said(dir.path()).contains("student.safetensors has to be called model.safetensors"));
    }
}
