//! Reads ONNX files by the signature that each states, says what it costs or why it is refused, and writes its
//! canonical bytes:
//!
//!     cargo run -p program --example canonical -- OUT_FOLDER FILE...

use program::{Limits, Op, onnx};
use std::collections::BTreeMap;
use std::path::Path;

const LIMITS: Limits =
    Limits { file_bytes_max: 1 << 30, parameters_max: 1 << 30, macs_max: 1 << 40, activation_bytes_max: 1 << 30 };

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(out) = arguments.next() else {
        eprintln!("usage: canonical OUT_FOLDER FILE...");
        std::process::exit(2);
    };
    std::fs::create_dir_all(&out)?;
    for path in arguments {
        let path = Path::new(&path);
        let file = std::fs::read(path)?;
        let name = path.file_name().unwrap_or_default();
        match onnx::read_as_stated(&file, &LIMITS) {
            Err(refusal) => println!("{}: REFUSED {refusal}\n    {}", path.display(), refusal.code.hint()),
            Ok(lowered) => {
                let mut operators: BTreeMap<Op, u32> = BTreeMap::new();
                for node in &lowered.graph.nodes {
                    *operators.entry(node.op).or_default() += 1;
                }
                println!("{}: {} {:?}", path.display(), onnx::digest(&lowered.graph).short(), lowered.costs);
                println!("    {operators:?}");
                std::fs::write(Path::new(&out).join(name), onnx::write(&lowered.graph))?;
            }
        }
    }
    Ok(())
}
