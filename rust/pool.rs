//! Threads: one pool, built when first needed and never used across a `fork`.
//!
//! The workers of a pool do not exist in a forked child, and waiting for them hangs (data loaders fork). So the pool
//! belongs to the process that built it; any other process that finds it goes on with one thread of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// More threads than any machine has use for; a guard against a typing error.
const MOST_THREADS: usize = 1024;

/// The process that owns [`POOL`]; 0 = none yet. Asked before the pool is touched: a fork may come while it is built.
static OWNER: AtomicU32 = AtomicU32::new(0);
static POOL: OnceLock<Result<ThreadPool>> = OnceLock::new();

/// Runs `op`, so that rayon's parallel iterators in it use `threads` threads (none = the usual number).
///
/// In a process forked from one that has used the pool, `op` runs on one thread. In a thread of a pool, whosever, `op`
/// stays there if no number is asked for.
pub fn run<T: Send>(threads: Option<usize>, op: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    check(threads)?;
    match threads {
        Some(n) => build(n)?.install(op),
        None if rayon::current_thread_index().is_some() => op(),
        None if forked() => build(1)?.install(op),
        None => match POOL.get_or_init(|| build(usual(|name| std::env::var(name).ok()))) {
            Ok(pool) => pool.install(op),
            Err(error) => Err(error.clone()),
        },
    }
}

/// What `op` makes of every task, in the order of the tasks, or the error of the first task that fails, whichever
/// thread ran it.
///
/// With one thread or one task nothing leaves the calling thread.
pub fn map<T: Send, R: Send>(
    threads: Option<usize>,
    tasks: Vec<T>,
    op: impl Fn(T) -> Result<R> + Sync + Send,
) -> Result<Vec<R>> {
    check(threads)?;
    if threads == Some(1) || tasks.len() < 2 || (threads.is_none() && forked()) {
        return tasks.into_iter().map(op).collect();
    }
    let outcomes: Vec<_> = run(threads, || Ok(tasks.into_par_iter().map(op).collect()))?;
    outcomes.into_iter().collect()
}

/// [`map`] for tasks that write where they were told to and return nothing.
pub fn each<T: Send>(threads: Option<usize>, tasks: Vec<T>, op: impl Fn(T) -> Result<()> + Sync + Send) -> Result<()> {
    map(threads, tasks, op).map(drop)
}

/// The threads of the pool, 0 = what rayon makes of `RAYON_NUM_THREADS` and the cores: those of `OMP_NUM_THREADS`, which
/// torch obeys too and suites set where runs share a machine. Of a list, for nested loops, the first counts.
fn usual(variable: impl Fn(&str) -> Option<String>) -> usize {
    if variable("RAYON_NUM_THREADS").is_some() {
        return 0;
    }
    let given = variable("OMP_NUM_THREADS").unwrap_or_default();
    let first = given.split(',').next().unwrap_or_default().trim();
    first.parse().map_or(0, |threads: usize| threads.min(MOST_THREADS))
}

fn check(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(n) if n == 0 || n > MOST_THREADS => {
            Err(Error::BadParameter { name: "threads", found: n.to_string(), expected: "1 to 1024" })
        }
        _ => Ok(()),
    }
}

/// Whether the pool belongs to another process; makes this one its owner if nobody is.
fn forked() -> bool {
    let me = std::process::id();
    match OWNER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => false,
        Err(owner) => owner != me,
    }
}

fn build(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("unirex-{i}"))
        .build()
        .map_err(|e| Error::NoThreads { reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_on_as_many_threads_as_asked() {
        assert_eq!(run(Some(3), || Ok(rayon::current_num_threads())), Ok(3));
        assert!(run(None, || Ok(rayon::current_num_threads())).is_ok_and(|n| n >= 1));
    }

    #[test]
    fn the_first_failing_task_names_the_error() {
        let fail = |i: usize| if i % 7 == 3 { Err(Error::OffsetsEmpty { name: NAMES[i / 7] }) } else { Ok(()) };
        for threads in [Some(1), Some(2), None] {
            assert_eq!(each(threads, (0..100).collect(), fail), Err(Error::OffsetsEmpty { name: "0" }));
        }
    }

    fn name() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[test]
    fn work_goes_to_the_pool_only_if_there_is_some_to_share() -> Result<()> {
        let at = |threads: Option<usize>, tasks: usize| map(threads, vec![(); tasks], |()| Ok(name()));
        let here = name();
        for (threads, tasks) in [(Some(1), 2), (Some(2), 1), (None, 1)] {
            assert!(at(threads, tasks)?.iter().all(|name| *name == here));
        }
        for threads in [Some(2), None] {
            let names = at(threads, 2)?;
            assert!(names.iter().all(|name| name.as_deref().is_some_and(|name| name.starts_with("unirex-"))));
        }
        Ok(())
    }

    #[test]
    fn one_pool_has_the_usual_threads_and_work_in_a_pool_stays_there() -> Result<()> {
        assert!(!forked());
        assert_eq!(
            run(None, || Ok(rayon::current_num_threads()))?,
            build(usual(|name| std::env::var(name).ok()))?.current_num_threads()
        );
        assert!(run(None, || Ok(name()))?.is_some_and(|name| name.starts_with("unirex-")));
        assert_eq!(run(Some(3), || run(None, || Ok(rayon::current_num_threads()))), Ok(3));
        Ok(())
    }

    const NAMES: [&str; 15] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"];

    #[test]
    fn the_usual_number_is_that_of_openmp_unless_rayon_has_its_own() {
        let given = |omp: Option<&str>, rayon: Option<&str>| {
            usual(|name| if name == "OMP_NUM_THREADS" { omp } else { rayon }.map(str::to_owned))
        };
        for (omp, threads) in [("3", 3), (" 2,1", 2), ("", 0), ("all", 0), ("-1", 0), ("0", 0), ("99999", MOST_THREADS)]
        {
            assert_eq!((given(Some(omp), None), given(Some(omp), Some("5"))), (threads, 0));
        }
        assert_eq!(given(None, None), 0);
    }

    #[test]
    fn refuses_impossible_thread_counts() {
        assert!(run(Some(0), || Ok(())).is_err());
        assert!(each(Some(1025), vec![()], |()| Ok(())).is_err());
        assert!(each(Some(1024), vec![()], |()| Ok(())).is_ok());
    }
}
