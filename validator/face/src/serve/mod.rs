//! Serving: [`accept()`] takes connections, `stream` gives up on clients that take nothing, `head` finds what is odd
//! about a request, `ask_for` wants enough descriptors. It does not know what is served.

mod accept;
mod descriptors;
mod head;
mod stream;

pub use accept::accept;
pub use descriptors::ask_for;
pub use head::Oddity;
