//! The programs that the tests drive. `tests/install.sh` installs them once, before the first of them is started.

use std::{
    env,
    ffi::OsString,
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Whether all programs are installed, or what to do about it.
static INSTALLED: LazyLock<Result<(), String>> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../install.sh");
    let output = Command::new(script)
        .args(["chromium", "nginx", "haproxy"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{script}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
});

/// Makes sure that Chromium, nginx and HAProxy are installed.
///
/// # Panics
/// With the packages to install, if they cannot be installed.
#[track_caller]
pub(crate) fn install() {
    if let Err(error) = &*INSTALLED {
        panic!("the programs that these tests drive cannot be installed: {error}");
    }
}

/// Returns the directories of programs, including those that not every user's `PATH` has.
pub(crate) fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
