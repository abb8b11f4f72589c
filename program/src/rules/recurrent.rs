//! LSTM and GRU over whole sequences, as PyTorch exports them.

use super::{Site, Step, signed};
use crate::op::Attribute;
use crate::refusal::{Code, Result};
use crate::tensor::TensorType;

pub(super) fn lstm(site: &Site<'_>) -> Result<Step> {
    recurrent(site, 4, 2)
}

pub(super) fn gru(site: &Site<'_>) -> Result<Step> {
    recurrent(site, 3, 1)
}

/// A layer of `gates` gates and `states` states.
fn recurrent(site: &Site<'_>, gates: u64, states: usize) -> Result<Step> {
    let ty = site.float(0)?;
    for index in [1, 2, 3, 5, 6] {
        if site.has(index) && site.dtype(index)? != ty.dtype {
            return Code::Dtype.err(format!("input {index} is {}, not {}", site.dtype(index)?, ty.dtype));
        }
    }
    if site.has(4) {
        return Code::DynamicShape.err("lengths of sequences are given beside them");
    }
    let directions = if site.text("direction") == "bidirectional" { 2 } else { 1 };
    let ([steps, batch, width], [_, _, hidden]) = (site.dims(0)?, site.dims(2)?) else {
        return Code::Shape.err(format!("{} isn't steps, batch and width", ty.shape));
    };
    let rows = hidden.saturating_mul(gates);
    site.expect(1, &[directions, rows, *width])?;
    site.expect(2, &[directions, rows, *hidden])?;
    site.expect(3, &[directions, rows.saturating_mul(2)])?;
    let state = [directions, *batch, *hidden];
    site.expect(5, &state)?;
    site.expect(6, &state)?;
    if site.int("hidden_size").is_ok_and(|given| given != signed(*hidden)) {
        return Code::Shape.err(format!("hidden_size isn't {hidden}, as the weights have it"));
    }
    let mut outputs = vec![TensorType::new(ty.dtype, vec![*steps, directions, *batch, *hidden])?];
    for _ in 0..states {
        outputs.push(TensorType::new(ty.dtype, state.to_vec())?);
    }
    outputs.truncate(site.outputs);
    let each = steps.checked_mul(*batch).and_then(|places| places.checked_mul(rows)?.checked_mul(directions));
    let macs = each.and_then(|each| each.checked_mul(width.checked_add(*hidden)?));
    site.run(outputs).with("hidden_size", Attribute::Int(signed(*hidden))).macs(macs).map(Step::Run)
}
