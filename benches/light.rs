//! T13: how much a user of the library has to build, beside tower-sessions with its memory store.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use sessile_benches::{Target, is_quick, median, report, row};

fn main() {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there");
    let path = workspace.display();
    let ours = User::new(&workspace, "sessile", &format!("sessile = {{ path = {:?} }}", path.to_string()));
    let ours_axum =
        User::new(&workspace, "sessile-axum", &format!("sessile = {{ path = {:?}, features = [\"axum\"] }}", path.to_string()));
    let tower = User::new(&workspace, "tower", "tower-sessions = \"0.15\"");

    let crates = [&ours, &ours_axum, &tower].map(|user| user.crates() as f64);
    report("T13", "crates in the default build", crates[0], "crates", Target::AtMost(46.0));
    row("sessile", &[(crates[0], "crates")]);
    row("sessile with axum's extractor", &[(crates[1], "crates")]);
    row("tower-sessions with its memory store", &[(crates[2], "crates")]);
    if is_quick() {
        println!("    (a quick run: clean builds are not timed)");
        return;
    }

    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..3 {
        for (user, times) in [&ours, &ours_axum, &tower].into_iter().zip(&mut times) {
            times.push(user.clean_build_secs());
        }
    }
    let [default, axum, peer] = times.map(median);
    report("T13", "clean release build", default / peer, "x tower-sessions with its memory store", Target::AtMost(1.0));
    row("sessile", &[(default, "s")]);
    row("sessile with axum's extractor", &[(axum, "s")]);
    row("tower-sessions with its memory store", &[(peer, "s")]);
}

/// A crate with one dependency, in a directory of its own.
struct User {
    dir: tempfile::TempDir,
}

impl User {
    fn new(workspace: &Path, name: &str, dependency: &str) -> Self {
        let dir = tempfile::tempdir().expect("there is room for a small crate");
        let manifest = format!(
            "[package]\nname = \"user-of-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n\n[workspace]\n"
        );
        fs::create_dir(dir.path().join("src")).expect("the directory is new");
        fs::write(dir.path().join("src/lib.rs"), "").expect("the directory is new");
        fs::write(dir.path().join("Cargo.toml"), manifest).expect("the directory is new");
        // The versions of the benches: nothing is looked up, and all that is needed was fetched for this very bench.
        fs::copy(workspace.join("Cargo.lock"), dir.path().join("Cargo.lock")).expect("the workspace has a lock file");
        Self { dir }
    }

    /// Crates that are built for the user on this machine, procedural macros and what they need too.
    fn crates(&self) -> usize {
        let output = self.cargo(&["tree", "--prefix", "none", "--edges", "normal,build", "--format", "{p}"]);
        let crates: BTreeSet<&str> = output.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        assert!(crates.len() > 10, "{output}");
        // The user is none of its own dependencies.
        crates.len() - 1
    }

    fn clean_build_secs(&self) -> f64 {
        let target = tempfile::tempdir().expect("there is room for a build");
        let start = Instant::now();
        self.cargo(&["build", "--release", "--quiet", "--target-dir", target.path().to_str().expect("it is ASCII")]);
        start.elapsed().as_secs_f64()
    }

    fn cargo(&self, arguments: &[&str]) -> String {
        let mut cargo = Command::new(env!("CARGO"));
        // Without what `cargo bench` tells the processes that it starts: flags and directories of another build.
        cargo.args(arguments).arg("--offline").current_dir(self.dir.path()).env_remove("CARGO_TARGET_DIR");
        let output = cargo.output().expect("cargo started this bench");
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("cargo prints UTF-8")
    }
}
