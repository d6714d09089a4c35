//! Child processes that damage stores, and who watches them: an abort is one of the things that may happen.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use crate::sample::{KINDS, Outcome, Sample};

/// What children told, and how often.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A range of cases for one child.
pub(crate) struct Job {
    pub(crate) kind: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Job {
    pub(crate) fn one(case: &str) -> Self {
        let (kind, number) = case.split_once(':').expect("a case is kind:number");
        let from = number.parse().expect("a case is kind:number");
        Self { kind: kind.to_owned(), from, to: from + 1 }
    }
}

/// Runs children until all cases are through, and counts what they tell.
pub(crate) fn watch(mut job: Job, sample: &Path) -> Counts {
    let mut counts = Counts::new();
    while job.from < job.to {
        let (last, ended) = run(&job, sample, false, &mut counts);
        let Some(how) = ended else { break };
        job.from = last + 1;
        let case = format!("{}:{last}", job.kind);
        let mut verified = Counts::new();
        let (_, ended_again) = run(&Job::one(&case), sample, true, &mut verified);
        if how == "redb" && ended_again.is_none() && verified.contains_key("refused") {
            *counts.entry("redb".to_owned()).or_default() += 1;
        } else {
            println!("FAILED SESSILE_DAMAGE_CASE={case}: the process ended by {how}; when verified: {verified:?}");
            *counts.entry("aborted".to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Runs one child. Gives the last case that it began, and by what it ended too early.
fn run(job: &Job, sample: &Path, verify: bool, counts: &mut Counts) -> (u64, Option<String>) {
    let this = env::current_exe().expect("a test has a file");
    let mut child = Command::new(this)
        .env("SESSILE_DAMAGE_CHILD", format!("{}:{}:{}", job.kind, job.from, job.to))
        .env("SESSILE_DAMAGE_SAMPLE", sample)
        .env("SESSILE_DAMAGE_VERIFY", if verify { "yes" } else { "no" })
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a test may start itself");
    let (mut last, mut panicked_in) = (job.from, None);
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("begin", case)) => last = case.parse().expect("a child tells numbers"),
            Some(("unwinding", file)) => panicked_in = Some(file.to_owned()),
            Some(("failed", why)) => {
                println!("FAILED SESSILE_DAMAGE_CASE={}:{last}: {why}", job.kind);
                *counts.entry("failed".to_owned()).or_default() += 1;
            }
            _ => *counts.entry(line).or_default() += 1,
        }
    }
    let status = child.wait().expect("it was started here");
    let is_redb = panicked_in.as_ref().is_some_and(|file| file.contains("/redb-"));
    let how = if is_redb { "redb".to_owned() } else { format!("{status}, {panicked_in:?}") };
    (last, (!status.success()).then_some(how))
}

/// In a child: damages stores one by one, and says on each line what came of it.
pub(crate) fn run_cases(range: &str) {
    // Panics are counted where they surface; those inside the database are caught by the store. One that comes while another unwinds
    // ends the process, so where it was has to be told now. The last word, which is the standard library's, is of no interest.
    panic::set_hook(Box::new(|info| {
        if let Some(location) = info.location().filter(|at| thread::panicking() && !at.file().contains("/core/src/")) {
            println!("unwinding {}", location.file());
        }
    }));
    let mut parts = range.split(':');
    let mut part = || parts.next().expect("a range is kind:from:to");
    let name = part();
    let kind = KINDS.iter().find(|(known, _)| *known == name).expect("it is one of the kinds").1;
    let (from, to): (u64, u64) = (part().parse().expect("a number"), part().parse().expect("a number"));
    let sample = Sample::load(Path::new(&env::var_os("SESSILE_DAMAGE_SAMPLE").expect("a child has a sample")));
    for number in from..to {
        println!("begin {number}");
        println!("cases");
        match catch_unwind(AssertUnwindSafe(|| sample.check(kind, number))) {
            Ok(Outcome::Harmless) => println!("harmless"),
            Ok(Outcome::Absent) => println!("absent"),
            Ok(Outcome::Refused) => println!("refused"),
            Ok(Outcome::Failed(why)) => println!("failed {why}"),
            Err(_) => println!("failed a panic"),
        }
    }
}
