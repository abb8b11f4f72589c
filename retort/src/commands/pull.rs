//! `retort pull`: download a package and verify every byte of it.

use super::miner::graph_told;
use super::{competition, model, print_json};
use crate::cli::{PullArgs, Which};
use crate::{table, typed};
use anyhow::{Context, Result, bail};
use miner_template::client::Client;
use miner_template::outputs;
use protocol::SubmissionId;
use protocol::api::{FileDeclaration, FormView, ModelForm};
use protocol::competition::ObjectRef;
use serde::Serialize;
use std::{fs, path::Path};

/// What was pulled.
#[derive(Debug, Serialize)]
pub(crate) struct Pulled {
    /// The submission.
    pub(crate) submission: SubmissionId,
    /// The folder.
    pub(crate) dir: String,
    /// The files.
    pub(crate) files: Vec<FileDeclaration>,
    /// What it is, where it is an ONNX graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) graph: Option<String>,
    /// Whether every digest matched; a mismatch is an error, so this is always true.
    pub(crate) verified: bool,
    /// The model as ONNX, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) onnx: Option<String>,
    /// What the validator measured of that form; nothing where it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) form: Option<FormView>,
}

pub(crate) fn run(args: &PullArgs) -> Result<()> {
    // Competitions are written in small letters.
    let is_submission = |what: &&Which| {
        what.whole().is_some() || args.what.chars().any(|char| !char.is_ascii_lowercase() && !char.is_ascii_digit())
    };
    let (client, submission, name) = match args.what.parse::<Which>().ok().as_ref().filter(is_submission) {
        Some(which) => {
            let client = Client::new(which.validator(&args.validator.validator));
            let submission = super::submission(&client, which)?;
            let name = submission.to_string();
            (client, submission, name)
        }
        None => {
            let (client, id) = competition(&args.what, &args.validator.validator)?;
            let Some(champion) = client.competition(&id)?.champion else {
                bail!("{id} has no champion yet; `retort board {id}{}` shows what there is", super::at(&client));
            };
            (client, champion, id.to_string())
        }
    };
    let form = args.format.map(ModelForm::from);
    // Before anything is written.
    let published = form.map_or(Ok(None), |form| published(&client, &submission, form))?;
    let mut pulled = pull(&client, &submission, args.dir.as_deref().unwrap_or(Path::new(&name)))?;
    if let Some(form) = form {
        put_form(&client, &mut pulled, form, published)?;
    }
    if args.json {
        return print_json(&pulled);
    }
    for file in &pulled.files {
        println!("{:20} {:>10} B  sha256:{}", file.path, file.size, file.sha256);
    }
    pulled.graph.iter().for_each(|told| println!("{told}"));
    println!("verified {} in {}", pulled.submission, pulled.dir);
    if let Some(file) = &pulled.onnx {
        println!("as ONNX: {file}");
    }
    if let Some(FormView { items, agreed, correct, engine, .. }) = &pulled.form {
        println!(
            "of {items} public items it says the original's class to {agreed}, the right one to {correct}; measured on {engine}"
        );
    }
    Ok(())
}

/// What the validator measured of a form. In float32 one can be made of any model, and `None` says that it has to be.
fn published(client: &Client, submission: &SubmissionId, form: ModelForm) -> Result<Option<FormView>> {
    let published = client.status(submission)?.forms.into_iter().find(|published| published.form == form);
    if published.is_none() && form != ModelForm::Onnx {
        bail!(
            "{submission} has no form {form}: champions have, as soon as it is measured; `retort model onnx` makes one of what was pulled"
        );
    }
    Ok(published)
}

/// Puts a form beside the model that was pulled.
fn put_form(client: &Client, pulled: &mut Pulled, form: ModelForm, published: Option<FormView>) -> Result<()> {
    let dir = Path::new(&pulled.dir);
    let file = match &published {
        Some(published) => {
            let file = dir.join(form.path());
            model::write(&file, &client.object(&published.object)?)?;
            file
        }
        None => model::onnx_beside(dir)?,
    };
    pulled.onnx = Some(file.display().to_string());
    pulled.form = published;
    Ok(())
}

/// Downloads the model of `submission` into `dir`, in the bytes that the validator wrote of it.
pub(crate) fn pull(client: &Client, submission: &SubmissionId, dir: &Path) -> Result<Pulled> {
    outputs::try_folder(dir).with_context(|| format!("{} can't be written", dir.display()))?;
    let status = client.status(submission)?;
    let graph = graph_told(&status);
    // One that was admitted before models were published anew has only what was uploaded.
    let files = if status.published.is_empty() { status.files } else { status.published };
    if files.is_empty() {
        bail!("{submission} is {}, and only scored submissions can be pulled", status.state);
    }
    // All of it is here before anything is written, so that nothing is left of half a model.
    let mut bodies = Vec::new();
    for file in &files {
        if Path::new(&file.path).file_name().is_none_or(|name| name != file.path.as_str()) {
            bail!("the validator names a file {:?}, which is no plain name", file.path);
        }
        bodies.push(client.object(&ObjectRef { sha256: file.sha256, size_bytes: file.size })?);
    }
    // What lies there may be somebody's work, or another model that was pulled before.
    let other = |(file, bytes): &(&FileDeclaration, &Vec<u8>)| {
        let path = dir.join(&file.path);
        path.symlink_metadata().is_ok() && fs::read(&path).ok().as_ref() != Some(*bytes)
    };
    if let Some((file, _)) = files.iter().zip(&bodies).find(other) {
        let (path, fresh) = (dir.join(&file.path), format!("{}-{}", dir.display(), table::tail(submission)));
        let fresh = typed::word(Path::new(&fresh));
        bail!("{} is there with other content, and stays: name another folder, such as {fresh}", path.display());
    }
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    for (file, bytes) in files.iter().zip(bodies) {
        let path = dir.join(&file.path);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    let dir = dir.display().to_string();
    Ok(Pulled { submission: submission.clone(), dir, files, graph, verified: true, onnx: None, form: None })
}
