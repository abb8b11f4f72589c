//! What `upload_file` sends: a commit of one file, whose summary says so. It does not know what becomes of it.

/// Whether a commit with this summary is a part of a package: `Upload config.json`, `Upload config.json with
/// huggingface_hub`.
pub(crate) fn is_part(summary: &str, path: &str) -> bool {
    let rest = summary.strip_prefix("Upload ").and_then(|rest| rest.strip_prefix(path));
    rest.is_some_and(|rest| rest.is_empty() || rest == " with huggingface_hub")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_upload_file_writes_is_a_part() {
        assert!(is_part("Upload config.json", "config.json"));
        assert!(is_part("Upload config.json with huggingface_hub", "config.json"));
        for summary in
            ["Upload folder using huggingface_hub", "Upload folder", "Upload", "mine", "Upload config.json 2"]
        {
            assert!(!is_part(summary, "config.json"), "{summary}");
        }
    }
}
