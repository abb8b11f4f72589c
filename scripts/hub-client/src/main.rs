//! What a Rust program does with hf-hub, unmodified: HF_ENDPOINT, HF_TOKEN and HF_HOME say where, who and into which cache.
//!
//! ```text
//! hub-client read REPOSITORY REVISION         prints the commit, its files, and where model.safetensors came to lie
//! hub-client range REPOSITORY FILE START END  prints the bytes in hex
//! hub-client upload-folder REPOSITORY FOLDER  prints the commit's address
//! hub-client upload-file REPOSITORY FILE NAME prints the commit's address
//! ```

use hf_hub::HFClient;
use hf_hub::repository::AddSource;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [act, repository, rest @ ..] = arguments.as_slice() else { return Err("say what to do".into()) };
    let (namespace, name) = repository.split_once('/').ok_or("say NAMESPACE/NAME")?;
    let repo = HFClient::new()?.model(namespace, name);
    match (*act, rest) {
        ("read", [revision]) => {
            let info = repo.info().revision(*revision).send().await?;
            let folder = repo.snapshot_download().revision(*revision).send().await?;
            let file = repo.download_file().filename("model.safetensors").revision(*revision).send().await?;
            let refs = repo.list_refs().send().await?;
            let tags: Vec<String> = refs.tags.into_iter().map(|tag| tag.name).collect();
            let missing = repo.download_file().filename("none").send().await;
            println!("{}", info.sha.unwrap_or_default());
            println!("{}", file.display());
            println!("{}", std::fs::read_dir(folder)?.count());
            println!("{}", tags.join(" "));
            println!("{}", missing.map_or_else(|error| error.to_string(), |_| "found".into()).replace('\n', " "));
        }
        ("range", [file, start, end]) => {
            let range = start.parse()?..end.parse()?;
            let bytes = repo.download_file_to_bytes().filename(*file).range(range).send().await?;
            println!("{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        ("upload-folder", [folder]) => {
            let commit = repo.upload_folder().folder_path(*folder).send().await?;
            println!("{}", commit.commit_url.unwrap_or_default());
        }
        ("upload-file", [file, path]) => {
            let source = AddSource::file(*file);
            let commit = repo.upload_file().source(source).path_in_repo(*path).send().await?;
            println!("{}", commit.commit_url.unwrap_or_default());
        }
        _ => return Err("say what to do".into()),
    }
    Ok(())
}
