//! The Hub protocol with the clients that people have: `huggingface_hub`, `hf`, `transformers`, PyTorch, and `hf-hub` in
//! Rust, and `@huggingface/hub` in JavaScript, unmodified, with `HF_ENDPOINT` set, against a running validator.

mod cards;
mod client;
mod elsewhere;
mod javascript;
mod reading;
mod remote;
#[cfg(feature = "hub")]
mod second;
mod writing;
