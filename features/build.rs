//! Does nothing: without a build script cargo leaves build dependencies, and their features, aside.

fn main() {}
