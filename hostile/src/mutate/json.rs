//! Changes of one place in a JSON value.

use super::values;
use rand::{Rng, RngExt};
use serde_json::Value;

/// Walks down to a place by chance and changes it.
pub(super) fn edit(value: &mut Value, rng: &mut impl Rng) {
    match value {
        Value::Object(map) if !map.is_empty() && rng.random_bool(0.8) => {
            let key = map.keys().nth(rng.random_range(0..map.len())).cloned().unwrap_or_default();
            match rng.random_range(0..8) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(values::word(rng), values::json(rng))),
                2 => {
                    let moved = map.remove(&key).unwrap_or_default();
                    map.insert(values::word(rng), moved);
                }
                3 => {
                    // An object as a list, as serde's derived readers would take it.
                    *value = Value::Array(map.values().cloned().collect());
                }
                _ => map.get_mut(&key).into_iter().for_each(|inner| edit(inner, rng)),
            }
        }
        Value::Array(list) if !list.is_empty() && rng.random_bool(0.8) => {
            let index = rng.random_range(0..list.len());
            match rng.random_range(0..6) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                2 => list.push(values::json(rng)),
                3 if list.len() < 300 => list.extend(list.clone()),
                _ => edit(&mut list[index], rng),
            }
        }
        Value::Number(number) if rng.random_bool(0.8) => {
            *value = values::number(number.as_u64().unwrap_or_default(), rng).into();
        }
        Value::String(_) if rng.random_bool(0.8) => *value = values::word(rng).into(),
        _ => *value = values::json(rng),
    }
}
