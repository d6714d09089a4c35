//! G1, G2 and G3 with real processes. A child commits, rotates and destroys as fast as it can, and prints what was
//! acknowledged. It is killed at a random moment, and what it left behind must match what it printed.
//!
//! `SESSILE_KILLS` sets the number of kills (default 40). `SESSILE_SEED` repeats the choices, though not the moments.
//!
//! The same binary is parent and child, so it has its own `main`.

mod child;
mod parent;
mod record;

use std::{env, process::ExitCode, time};

fn main() -> ExitCode {
    if let Some(path) = env::var_os(child::STORE) {
        child::run(path.as_ref());
    }
    let number = |name| env::var(name).ok().map(|text| text.parse().expect("the variable is a number"));
    let seed = number("SESSILE_SEED").unwrap_or_else(|| {
        let since_epoch = time::SystemTime::now().duration_since(time::UNIX_EPOCH).expect("it is later than 1970");
        u64::from(since_epoch.subsec_nanos()) << 32 | since_epoch.as_secs() & 0xffff_ffff
    });
    println!("seed: {seed}");
    let verdict = parent::run(number("SESSILE_KILLS").unwrap_or(40), seed);
    println!("{verdict}");
    if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
