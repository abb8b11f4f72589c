//! Computing with small constants: what exporters leave of sizes, and the scalars that they make of them.
//!
//! Only what every machine computes alike: whole numbers without overflow, and of floats what IEEE 754 rounds exactly.
//! What isn't computed here stays a node. Shapes were checked by the rules before.

use crate::graph;
use crate::op::{Attribute, Attributes, Op};
use crate::rules::broadcast;
use crate::tensor::{Constant, Dtype, FOLDED_ELEMENTS_MAX, TensorType, Values};

/// An operation whose inputs are known.
pub(crate) struct Known<'w> {
    pub(crate) op: Op,
    pub(crate) attributes: &'w Attributes,
    pub(crate) inputs: Vec<Option<&'w Constant<'w>>>,
    pub(crate) outputs: &'w [TensorType],
}

impl Known<'_> {
    /// The only output; `None` where it isn't computed.
    pub(crate) fn evaluate(&self) -> Option<Constant<'static>> {
        let [output] = self.outputs else { return None };
        if output.shape.elements() > FOLDED_ELEMENTS_MAX || graph::int(self.attributes, "fmod") == Some(1) {
            return None;
        }
        let values = match self.op {
            Op::Reshape => self.values(0)?,
            Op::Cast => cast(self.values(0)?, output.dtype)?,
            Op::Transpose | Op::Slice | Op::Gather | Op::Expand | Op::Concat => self.moved(output)?,
            Op::Where => self.choice(output)?,
            Op::Not => ints(self.values(0)?)?.iter().map(|bit| i64::from(*bit == 0)).collect::<Vec<_>>().into(),
            Op::Neg | Op::Abs | Op::Sqrt | Op::Reciprocal | Op::Floor | Op::Ceil => self.unary()?,
            Op::ReduceProd | Op::ReduceSum | Op::ReduceMax | Op::ReduceMin => self.reduced(output)?,
            _ => self.binary(output)?,
        };
        Constant::of(output.clone(), &values)
    }

    fn input(&self, index: usize) -> Option<&Constant<'_>> {
        self.inputs.get(index).copied().flatten()
    }

    fn values(&self, index: usize) -> Option<Values> {
        self.input(index)?.values()
    }

    fn dims(&self, index: usize) -> Option<Vec<usize>> {
        as_usize(self.input(index)?.ty().shape.dims())
    }

    /// Input `index` stretched to the output's shape.
    fn stretched(&self, index: usize, output: &TensorType) -> Option<Values> {
        let to = as_usize(output.shape.dims())?;
        let from = self.dims(index)?;
        let skipped = to.len().checked_sub(from.len())?;
        let source = |place: &[usize]| {
            let place = place.get(skipped..)?.iter().zip(&from).map(|(at, dim)| if *dim == 1 { 0 } else { *at });
            flat(&place.collect::<Vec<_>>(), &from)
        };
        self.values(index)?.picked(&places(&to).map(|place| source(&place)).collect::<Option<Vec<_>>>()?)
    }

    fn choice(&self, output: &TensorType) -> Option<Values> {
        let condition = ints(self.stretched(0, output)?)?;
        match (self.stretched(1, output)?, self.stretched(2, output)?) {
            (Values::Ints(yes), Values::Ints(no)) => Some(chosen(&condition, &yes, &no).into()),
            (Values::Floats(yes), Values::Floats(no)) => Some(Values::Floats(chosen(&condition, &yes, &no))),
            _ => None,
        }
    }

    fn unary(&self) -> Option<Values> {
        Some(match self.values(0)? {
            Values::Ints(ints) => {
                let compute = |int: &i64| match self.op {
                    Op::Neg => int.checked_neg(),
                    Op::Abs => int.checked_abs(),
                    _ => None,
                };
                ints.iter().map(compute).collect::<Option<Vec<_>>>()?.into()
            }
            Values::Floats(floats) => {
                let compute = |float: &f32| match self.op {
                    Op::Neg => Some(-float),
                    Op::Abs => Some(float.abs()),
                    Op::Sqrt => Some(float.sqrt()),
                    Op::Reciprocal => Some(1.0 / float),
                    Op::Floor => Some(float.floor()),
                    Op::Ceil => Some(float.ceil()),
                    _ => None,
                };
                Values::Floats(floats.iter().map(compute).collect::<Option<_>>()?)
            }
        })
    }

    fn binary(&self, output: &TensorType) -> Option<Values> {
        if self.inputs.len() != 2 {
            return None;
        }
        let stretched = TensorType { shape: broadcast_of(self)?, ..output.clone() };
        match (self.stretched(0, &stretched)?, self.stretched(1, &stretched)?) {
            (Values::Ints(a), Values::Ints(b)) => {
                let all = a.iter().zip(&b).map(|(a, b)| of_ints(self.op, *a, *b));
                Some(all.collect::<Option<Vec<_>>>()?.into())
            }
            (Values::Floats(a), Values::Floats(b)) => {
                let pairs = || a.iter().copied().zip(b.iter().copied());
                if output.dtype == Dtype::Bool {
                    let all = pairs().map(|(a, b)| compared(self.op, a.partial_cmp(&b)?));
                    return Some(all.collect::<Option<Vec<_>>>()?.into());
                }
                let all = pairs().map(|(a, b)| of_floats(self.op, a, b));
                Some(Values::Floats(all.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    fn reduced(&self, output: &TensorType) -> Option<Values> {
        let values = ints(self.values(0)?)?;
        // All axes: what exporters do to sizes.
        if output.shape.elements() != 1 {
            return None;
        }
        let mut rest = values.iter().copied();
        let first = rest.next()?;
        let sum = rest.try_fold(first, |sum, value| match self.op {
            Op::ReduceProd => sum.checked_mul(value),
            Op::ReduceSum => sum.checked_add(value),
            Op::ReduceMax => Some(sum.max(value)),
            _ => Some(sum.min(value)),
        })?;
        Some(vec![sum].into())
    }

    /// Elements of the inputs in other places.
    fn moved(&self, output: &TensorType) -> Option<Values> {
        let to = as_usize(output.shape.dims())?;
        let from = self.dims(0)?;
        match self.op {
            Op::Expand => self.stretched(0, output),
            Op::Transpose => {
                let Attribute::Ints(perm) = self.attributes.get("perm")? else { return None };
                self.picked_by(&to, &from, |place| {
                    let mut source = vec![0; from.len()];
                    for (at, axis) in place.iter().zip(perm) {
                        *source.get_mut(usize::try_from(*axis).ok()?)? = *at;
                    }
                    Some(source)
                })
            }
            Op::Slice => {
                let [starts, axes, steps] = [1, 3, 4].map(|index| self.input(index).and_then(Constant::ints));
                let (starts, axes, steps) = (starts?, axes?, steps?);
                self.picked_by(&to, &from, |place| {
                    let mut source = place.to_vec();
                    for ((start, axis), step) in starts.iter().zip(&axes).zip(&steps) {
                        let at = source.get_mut(usize::try_from(*axis).ok()?)?;
                        let moved = start.checked_add(step.checked_mul(i64::try_from(*at).ok()?)?)?;
                        *at = usize::try_from(moved).ok()?;
                    }
                    Some(source)
                })
            }
            Op::Gather => {
                let axis = usize::try_from(graph::int(self.attributes, "axis")?).ok()?;
                let (chosen, indices) = (self.dims(1)?, ints(self.values(1)?)?);
                let size = i64::try_from(*from.get(axis)?).ok()?;
                self.picked_by(&to, &from, |place| {
                    let (before, rest) = place.split_at_checked(axis)?;
                    let (which, after) = rest.split_at_checked(chosen.len())?;
                    let index = *indices.get(flat(which, &chosen)?)?;
                    let index = usize::try_from(if index < 0 { index.checked_add(size)? } else { index }).ok()?;
                    Some([before, &[index], after].concat())
                })
            }
            _ => self.concatenated(&to),
        }
    }

    fn picked_by(
        &self,
        to: &[usize],
        from: &[usize],
        source: impl Fn(&[usize]) -> Option<Vec<usize>>,
    ) -> Option<Values> {
        let all = places(to).map(|place| flat(&source(&place)?, from));
        self.values(0)?.picked(&all.collect::<Option<Vec<_>>>()?)
    }

    fn concatenated(&self, to: &[usize]) -> Option<Values> {
        let axis = usize::try_from(graph::int(self.attributes, "axis")?).ok()?;
        let outer: usize = to.get(..axis)?.iter().product();
        let parts = (0..self.inputs.len())
            .map(|index| Some((self.values(index)?, self.dims(index)?.get(axis..)?.iter().product())))
            .collect::<Option<Vec<(Values, usize)>>>()?;
        let mut joined = match parts.first()?.0 {
            Values::Ints(_) => Values::Ints(Vec::new()),
            Values::Floats(_) => Values::Floats(Vec::new()),
        };
        for row in 0..outer {
            for (values, width) in &parts {
                let range = row.checked_mul(*width)?..row.checked_add(1)?.checked_mul(*width)?;
                match (&mut joined, values) {
                    (Values::Ints(joined), Values::Ints(part)) => joined.extend(part.get(range)?),
                    (Values::Floats(joined), Values::Floats(part)) => joined.extend(part.get(range)?),
                    _ => return None,
                }
            }
        }
        Some(joined)
    }
}

impl Values {
    fn picked(&self, places: &[usize]) -> Option<Self> {
        Some(match self {
            Self::Ints(ints) => Self::Ints(places.iter().map(|at| ints.get(*at).copied()).collect::<Option<_>>()?),
            Self::Floats(floats) => {
                Self::Floats(places.iter().map(|at| floats.get(*at).copied()).collect::<Option<_>>()?)
            }
        })
    }
}

impl From<Vec<i64>> for Values {
    fn from(ints: Vec<i64>) -> Self {
        Self::Ints(ints)
    }
}

fn ints(values: Values) -> Option<Vec<i64>> {
    match values {
        Values::Ints(ints) => Some(ints),
        Values::Floats(_) => None,
    }
}

fn chosen<T: Copy>(condition: &[i64], yes: &[T], no: &[T]) -> Vec<T> {
    let pairs = yes.iter().zip(no).zip(condition);
    pairs.map(|((yes, no), holds)| if *holds == 1 { *yes } else { *no }).collect()
}

fn broadcast_of(known: &Known<'_>) -> Option<crate::tensor::Shape> {
    let shape = |index| Some(&known.input(index)?.ty().shape);
    broadcast(shape(0)?.dims(), shape(1)?.dims()).ok()
}

fn as_usize(dims: &[u64]) -> Option<Vec<usize>> {
    dims.iter().map(|dim| usize::try_from(*dim).ok()).collect()
}

/// The number of a place in a tensor of these sizes.
fn flat(place: &[usize], dims: &[usize]) -> Option<usize> {
    place.iter().zip(dims).try_fold(
        0usize,
        |sum, (at, dim)| {
            if at < dim { sum.checked_mul(*dim)?.checked_add(*at) } else { None }
        },
    )
}

/// All places of a tensor, in order.
fn places(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count: usize = dims.iter().product();
    (0..count).map(move |index| {
        let mut rest = index;
        let mut place: Vec<usize> = dims
            .iter()
            .rev()
            .map(|dim| {
                let at = rest.checked_rem(*dim).unwrap_or(0);
                rest = rest.checked_div(*dim).unwrap_or(0);
                at
            })
            .collect();
        place.reverse();
        place
    })
}

fn cast(values: Values, to: Dtype) -> Option<Values> {
    Some(match values {
        Values::Ints(ints) if to == Dtype::Bool => {
            ints.iter().map(|int| i64::from(*int != 0)).collect::<Vec<_>>().into()
        }
        // What doesn't fit the new type is not computed, as engines differ there.
        Values::Ints(ints) if to.is_integer() => ints.into(),
        Values::Ints(ints) if to == Dtype::F32 => {
            #[expect(clippy::cast_precision_loss, reason = "rounded to the nearest, as a cast of ONNX is")]
            let floats = ints.iter().map(|int| *int as f32).collect();
            Values::Floats(floats)
        }
        Values::Floats(floats) if to.is_integer() => {
            floats.iter().map(|float| whole(*float)).collect::<Option<Vec<_>>>()?.into()
        }
        Values::Floats(floats) if to == Dtype::Bool => {
            floats.iter().map(|float| i64::from(*float != 0.0)).collect::<Vec<_>>().into()
        }
        _ => return None,
    })
}

/// A float without what follows the point; none where few whole numbers are floats, or it isn't finite.
fn whole(float: f32) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (float.abs() < 16_777_216.0).then_some(float as i64)
}

fn of_ints(op: Op, a: i64, b: i64) -> Option<i64> {
    match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        // Towards zero, as C does; a remainder has the divisor's sign, as Python's.
        Op::Div => a.checked_div(b),
        Op::Mod => {
            a.checked_rem(b).map(|rest| if (rest < 0) == (b > 0) && rest != 0 { rest.wrapping_add(b) } else { rest })
        }
        Op::Min => Some(a.min(b)),
        Op::Max => Some(a.max(b)),
        Op::And => Some(a & b),
        Op::Or => Some(a | b),
        _ => compared(op, a.cmp(&b)),
    }
}

fn of_floats(op: Op, a: f32, b: f32) -> Option<f32> {
    match op {
        Op::Add => Some(a + b),
        Op::Sub => Some(a - b),
        Op::Mul => Some(a * b),
        Op::Div => Some(a / b),
        _ => None,
    }
}

fn compared(op: Op, order: std::cmp::Ordering) -> Option<i64> {
    Some(i64::from(match op {
        Op::Equal => order.is_eq(),
        Op::Less => order.is_lt(),
        Op::Greater => order.is_gt(),
        Op::LessOrEqual => order.is_le(),
        Op::GreaterOrEqual => order.is_ge(),
        _ => return None,
    }))
}
