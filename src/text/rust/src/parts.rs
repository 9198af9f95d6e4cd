//! Work that several threads share.

use std::ops::Range;
use std::thread;

/// More would wait for memory, and take cores from those who read the model's weights meanwhile.
const MAX_THREADS: usize = 4;
/// For less, no thread is worth its start.
const LEAST_ITEMS: usize = 1 << 14;

/// Lets `work` answer for consecutive ranges that make up 0..count, on several threads at once where there is enough to
/// do. The answers come in the order of the ranges.
pub fn of_parts<R: Send>(count: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts = cores.min(MAX_THREADS).min(count / LEAST_ITEMS).max(1);
    let part = |index: usize| count * index / parts..count * (index + 1) / parts;
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..parts).map(|index| scope.spawn(move || work(part(index)))).collect();
        let first = work(part(0));
        let wait =
            |other: thread::ScopedJoinHandle<R>| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        std::iter::once(first).chain(others.into_iter().map(wait)).collect()
    })
}
