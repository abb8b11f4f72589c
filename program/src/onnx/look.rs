//! What a file says of itself, for tools that look at one of no competition, and for its owner. It admits nothing.

use super::decode;
use super::read::{Lowered, read};
use crate::costs::Limits;
use crate::op::Op;
use crate::refusal::{Code, Result};
use crate::signature::{Dim, Port, Signature};
use crate::tensor::Dtype;
use std::collections::BTreeMap;

/// The signature that a file itself states, with `open` for every size that it leaves open: for tools that look at a
/// file of no competition.
///
/// # Errors
/// When the file isn't ONNX, or a port has no shape.
pub fn ports(file: &[u8], open: u32) -> Result<Signature> {
    let Some(graph) = decode::model(file)?.graph else { return Code::Unreadable.err("there is no graph") };
    let initialised: Vec<&str> = graph.initialisers.iter().map(|tensor| tensor.name).collect();
    let port = |port: &decode::Port<'_>, code: Code| {
        let Some((dtype, dims)) = Dtype::numbered(port.dtype).zip(port.dims.as_ref()) else {
            return code.err(format!("`{}` has no type or no shape that is read", port.name));
        };
        let size = |dim: &Option<i64>| Dim::Fixed(dim.and_then(|dim| u32::try_from(dim).ok()).unwrap_or(open));
        Ok(Port { name: port.name.to_owned(), dtype, dims: dims.iter().map(size).collect() })
    };
    let inputs = graph.inputs.iter().filter(|port| !initialised.contains(&port.name));
    Ok(Signature {
        inputs: inputs.map(|input| port(input, Code::Input)).collect::<Result<_>>()?,
        outputs: graph.outputs.iter().map(|output| port(output, Code::Output)).collect::<Result<_>>()?,
    })
}

/// Reads a file by the ports that it states itself, at the size of one where it leaves one open: what we wrote, or what belongs to no
/// competition.
///
/// # Errors
/// As [`read`].
pub fn read_as_stated<'a>(file: &'a [u8], limits: &Limits) -> Result<Lowered<'a>> {
    let mut lowered = read(file, &ports(file, 1)?, limits)?;
    lowered.pop().map_or_else(|| Code::Unreadable.err("it has no length class"), Ok)
}

/// The operators of a file that aren't on the list, and how many nodes have each: a refusal names the first alone.
///
/// # Errors
/// When the file isn't ONNX.
pub fn foreign_operators(file: &[u8]) -> Result<BTreeMap<String, u32>> {
    let Some(graph) = decode::model(file)?.graph else { return Code::Unreadable.err("there is no graph") };
    let mut foreign = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| !is_known(node.operator)) {
        let count: &mut u32 = foreign.entry(node.operator.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    Ok(foreign)
}

/// Whether an operator has a meaning, in some opset.
fn is_known(operator: &str) -> bool {
    matches!(operator, "Constant" | "Dropout") || Op::named(operator).is_some()
}
