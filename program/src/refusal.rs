//! Why a graph isn't admitted: a stable code, where it was found, and what to do instead.
//!
//! Texts hold nothing of a stranger's but names that were checked to be short and printable.

use protocol::submission::Rejection;
use std::fmt;

/// A reason with the place and the value that gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What was found, and where.
    pub detail: String,
}

/// Either a value or why there is none.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

macro_rules! codes {
    ($($variant:ident => $code:ident;)*) => {
        /// Why a graph isn't admitted. Its text and its hint are those of `protocol`, where a submission's are, too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = stringify!($code)] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What a submission is rejected for.
            pub fn of_submission(self) -> protocol::submission::Code {
                match self { $(Self::$variant => protocol::submission::Code::$code,)* }
            }
        }
    };
}

codes! {
    Unreadable => OnnxUnreadable;
    UnknownField => OnnxUnknownField;
    IrVersion => OnnxIrVersion;
    Opset => OnnxOpset;
    Domain => OnnxDomain;
    Function => OnnxFunction;
    ControlFlow => OnnxControlFlow;
    External => OnnxExternalData;
    Sparse => OnnxSparse;
    Training => OnnxTraining;
    Operator => OnnxOperator;
    Attribute => OnnxAttribute;
    Arity => OnnxArity;
    Dtype => OnnxDtype;
    Name => OnnxName;
    DuplicateName => OnnxDuplicateName;
    Undefined => OnnxUndefinedValue;
    Cycle => OnnxCycle;
    UnusedInitialiser => OnnxUnusedInitialiser;
    Unreachable => OnnxUnreachableNode;
    Initialiser => OnnxInitialiser;
    Shape => OnnxShape;
    DynamicShape => OnnxDynamicShape;
    Input => OnnxInput;
    Output => OnnxOutput;
    TooMany => OnnxTooMany;
    GraphTooLarge => OnnxGraphTooLarge;
    OverLimit => OverLimit;
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        refusal.code.of_submission().because(refusal.detail)
    }
}

impl Code {
    /// The code as text.
    pub fn as_str(self) -> &'static str {
        self.of_submission().as_str()
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        self.of_submission().hint()
    }

    /// The code with what was found.
    pub fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal { code: self, detail: detail.into() }
    }

    pub(crate) fn err<T>(self, detail: impl Into<String>) -> Result<T> {
        Err(self.because(detail))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// At most forty printable characters of bytes that a stranger wrote.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..40.min(bytes.len())).unwrap_or_default());
    text.escape_debug().take(80).collect()
}
