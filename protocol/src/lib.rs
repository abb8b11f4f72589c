//! What all parties must agree on byte for byte.
pub mod architecture;
