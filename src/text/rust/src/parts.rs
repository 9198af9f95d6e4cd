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
        let start = |index| thread::Builder::new().spawn_scoped(scope, move || work(part(index)));
        let others: Vec<_> = (1..parts).map(start).collect();
        let mut answers = vec![work(part(0))];
        for (index, other) in (1..parts).zip(others) {
            answers.push(match other {
                Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system gives no more threads.
                Err(_) => work(part(index)),
            });
        }
        answers
    })
}
