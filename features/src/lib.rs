//! Nothing but what `Cargo.toml` says: features that several binaries of this workspace have in common, so that cargo builds
//! burn once for all of them. It knows nothing of Retort.
