//! Why a graph isn't loaded or an answer isn't given. What an engine says itself is cut and cleaned: it may hold anything.

use program::Op;
#[cfg(any(feature = "rten", feature = "burn"))]
use std::any::Any;
#[cfg(any(feature = "rten", feature = "burn"))]
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The longest text of an engine's that is passed on.
const TEXT_MAX: usize = 300;

/// Why an engine doesn't take a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It doesn't have the operator, or not for this type.
    #[error("this engine has no {op} {what}: use another operator or type, or an engine that has it")]
    Unsupported {
        /// The operator.
        op: Op,
        /// Which form of it.
        what: String,
    },
    /// It has an input, an output or a weight of a type that the engine doesn't know.
    #[error("this engine doesn't compute with {0}: export the model in float32, or use an engine that does")]
    Dtype(program::Dtype),
    /// The graph can't take the form that the engine needs.
    #[error("the graph can't be written for this engine: {0}")]
    Form(#[from] program::Refusal),
    /// It took none of what we admitted, in its own words.
    #[error("the engine refused the graph: {0}")]
    Engine(String),
    /// The engine itself isn't there or doesn't start.
    #[error("the engine isn't ready: {0}")]
    NotReady(String),
}

/// Why a session gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The inputs aren't the graph's.
    #[error("the inputs aren't the graph's: {0}")]
    Inputs(String),
    /// The engine failed, in its own words.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// It answered something that isn't what the graph says.
    #[error("the engine's outputs aren't the graph's: {0}")]
    Outputs(String),
}

/// What an engine says, as one short line of printable characters.
#[cfg_attr(not(any(feature = "burn", feature = "rten", feature = "ort")), expect(dead_code, reason = "for engines"))]
pub(crate) fn cleaned(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
    let words: Vec<String> = text.split_whitespace().map(|word| word.chars().map(printable).collect()).collect();
    let mut line = words.join(" ");
    line.truncate(TEXT_MAX);
    line
}

/// What `work` returns, or why it panicked: engines check some things that way.
#[cfg(any(feature = "rten", feature = "burn"))]
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("it panicked: {}", cleaned(words(&*panic))))
}

#[cfg(any(feature = "rten", feature = "burn"))]
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_is_one_short_printable_line() {
        assert_eq!(cleaned("node\u{1b}[31m `n0`:\n\n  no\tkernel"), "node [31m `n0`: no kernel");
        assert_eq!(cleaned(&"é".repeat(1000)).trim(), "");
        assert_eq!(cleaned(&"x".repeat(1000)).len(), TEXT_MAX);
    }
}
