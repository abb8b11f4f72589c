//! Errors as the log tells them: each with what caused it. It does not know whose errors they are.

/// An error with its causes, each said once, for a line of the log.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // Some errors repeat their cause in their own words.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("the object store: {0}")]
    struct Repeats(#[source] io::Error);

    #[test]
    fn each_cause_is_said_once() {
        let error = Repeats(io::Error::other("it is away"));
        assert_eq!(Chain(&error).to_string(), "the object store: it is away");
    }
}
