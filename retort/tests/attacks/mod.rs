//! The attack suite: what a stranger does to the whole system, and what becomes of it. One story each.
mod copies;
mod floods;
mod hall;
mod injection;
mod package;
mod packages;
mod signatures;
mod stranger;
mod swaps;
mod workers;
