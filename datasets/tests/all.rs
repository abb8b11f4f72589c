//! The crate through its public door, on real files; one module per room. It knows no private item.

mod digits;
mod fashion_mnist;
mod formats;
mod hidden;
mod idx;
mod round;
mod split;
