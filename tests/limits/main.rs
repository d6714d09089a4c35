//! Stores at their limits, compared with a model: which commits may be refused, which sessions are evicted, which ends are
//! reported, and what each count must be.
//!
//! `SESSILE_LIMIT_STEPS=N` sets the number of steps. A failure prints a seed, and `SESSILE_LIMIT_SEED=seed` runs only that
//! life.

#[path = "../crash/rng.rs"]
mod rng;
mod world;

use std::{env, panic, time::Instant};

use rng::Rng;
use world::World;

/// Steps of all lives together.
const STEPS: u64 = 10_000;
/// Steps of one life.
const LIFE: u64 = 250;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; set a number")))
}

fn live(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(&mut rng);
    for nth in 0..LIFE {
        world.step(nth, &mut rng);
    }
    world.end();
}

#[test]
fn no_step_at_a_limit_loses_counts_or_refuses_what_it_must_not() {
    if let Some(seed) = number("SESSILE_LIMIT_SEED") {
        return live(seed);
    }
    let began = Instant::now();
    let first = rng::first_seed();
    let lives = number("SESSILE_LIMIT_STEPS").unwrap_or(STEPS).div_ceil(LIFE);
    for seed in first..first + lives {
        if let Err(panic) = panic::catch_unwind(|| live(seed)) {
            println!("FAILED: SESSILE_LIMIT_SEED={seed}");
            panic::resume_unwind(panic);
        }
    }
    println!("{} steps from seed {first}, {:.1?}", lives * LIFE, began.elapsed());
}
