//! The Hub protocol with the clients that people have: `huggingface_hub`, `hf`, `transformers`, PyTorch, and `hf-hub` in
//! Rust, unmodified, with `HF_ENDPOINT` set, against a running validator.

mod cards;
mod client;
mod elsewhere;
mod reading;
mod remote;
#[cfg(feature = "hub")]
mod second;
mod writing;
