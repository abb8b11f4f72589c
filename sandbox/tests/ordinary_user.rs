//! All of it again as somebody who may do nothing, since a validator shouldn't be the superuser's.

use sandbox::Host;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Where this file's own test would start itself.
const AGAIN: &str = "HOSTILE_WORKER";

#[test]
fn an_ordinary_user_confines_as_well() {
    if !Host::of_this_machine().is_root || std::env::var_os(AGAIN).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = |from: &std::path::Path, name: &str| {
        let to = folder.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let worker = copy(env!("CARGO_BIN_EXE_hostile-worker").as_ref(), "hostile-worker");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"];
    let mut command = Command::new("setpriv");
    command.args(nobody).arg(&tests).env_clear().env(AGAIN, &worker).current_dir(folder.path());
    let output = command.output().expect("setpriv, because util-linux is everywhere");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("whatever_is_not_computing_ends_a_strict_worker ... ok"), "{text}");
}
