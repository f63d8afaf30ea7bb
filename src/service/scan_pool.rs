//! Threads for what takes longer than a request's own thread may: queries that read more than a few rows, hashes of
//! passwords. Each kind has threads of its own.
//!
//! The queue is bounded; when it is full the answer is 503 and nothing was done. Work whose caller has gone, or whose time
//! is over before its turn, is not begun. A panic in one is an `Internal` error of that one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use crate::error::{Error, Kind, Result};
use crate::limits;

type Job = Box<dyn FnOnce() + Send>;

/// For work on one of the threads that could be shared with others of them.
#[derive(Clone, Debug)]
pub(super) struct Hands {
    jobs: Sender<Job>,
    idle: Arc<AtomicUsize>,
}

impl Hands {
    /// Whether a thread has nothing to do.
    pub(super) fn are_free(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > self.jobs.len()
    }

    /// Gives work to a thread, if one has nothing to do. It must not panic.
    pub(super) fn give(&self, work: impl FnOnce() + Send + 'static) {
        if self.are_free() {
            // Whoever gives it has the whole of it to do, where nobody takes a part.
            let _ = self.jobs.try_send(Box::new(work));
        }
    }
}

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct ScanPool {
    /// Taken at the drop, so that the threads see the end.
    jobs: Option<Sender<Job>>,
    /// Threads that wait for work.
    idle: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    /// What waits in it, as a refusal names it.
    what: &'static str,
}

impl ScanPool {
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub(super) fn start() -> Result<ScanPool> {
        ScanPool::of("scan", "long queries", limits::SCAN_THREADS, limits::SCAN_QUEUE)
    }

    /// One for hashes of passwords.
    ///
    /// # Errors
    /// As [`ScanPool::start`].
    pub(super) fn for_passwords() -> Result<ScanPool> {
        ScanPool::of("hash", "passwords", limits::PASSWORD_THREADS, limits::PASSWORD_QUEUE)
    }

    fn of(name: &str, what: &'static str, threads: usize, waiting: usize) -> Result<ScanPool> {
        let (jobs, queue) = bounded::<Job>(waiting);
        let idle = Arc::new(AtomicUsize::new(threads));
        let start = |number| {
            let (queue, idle): (Receiver<Job>, _) = (queue.clone(), idle.clone());
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            thread.spawn(move || {
                for job in queue {
                    idle.fetch_sub(1, Ordering::Relaxed);
                    job();
                    idle.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| Error::internal(format!("no thread for {what}")).source(error))?;
        Ok(ScanPool { jobs: Some(jobs), idle, threads, what })
    }

    /// For work that could be shared. Those who hold it are at work on a thread, or wait for it: it goes with them.
    pub(super) fn hands(&self) -> Hands {
        let jobs = self.jobs.as_ref().expect("taken only at the drop").clone();
        Hands { jobs, idle: self.idle.clone() }
    }

    /// Queries that wait.
    pub(super) fn queued(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    /// Runs `work` on one of the threads, if it can begin before `deadline`, and waits for it without blocking.
    ///
    /// # Errors
    /// `Unavailable` when too many wait, or it waited too long; `Internal` when it panicked; or its own.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = oneshot::channel();
        let what = self.what;
        let job = Box::new(move || {
            if answer.is_closed() {
                return;
            }
            let done = if Instant::now() >= deadline {
                Err(busy(what))
            } else {
                catch_unwind(AssertUnwindSafe(work))
                    .unwrap_or_else(|_| Err(Error::internal("work on a thread panicked")))
            };
            // A caller that hung up is no fault.
            let _ = answer.send(done);
        });
        let jobs = self.jobs.as_ref().expect("taken only at the drop");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => busy(what),
            TrySendError::Disconnected(_) => Error::internal("the threads are gone"),
        })?;
        outcome.await.unwrap_or_else(|_| Err(Error::internal("the threads are gone")))
    }
}

fn busy(what: &str) -> Error {
    Error::new(Kind::Unavailable, format!("too many {what} are waiting")).code("queue_full")
}

impl Drop for ScanPool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job's panic has been caught.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn later() -> Instant {
        Instant::now() + limits::QUERY_TIME_MAX
    }

    #[tokio::test]
    async fn work_whose_time_is_over_before_its_turn_is_refused_and_not_begun() {
        let pool = ScanPool::start().expect("threads");
        let late = pool.run(Instant::now(), || -> Result<()> { panic!("it was begun") }).await.expect_err("late");
        assert_eq!((late.kind(), late.code_str()), (Kind::Unavailable, "queue_full"));
    }

    #[tokio::test]
    async fn work_is_done_and_a_panic_is_an_error() {
        let pool = ScanPool::start().expect("threads");
        assert_eq!(pool.run(later(), || Ok(7)).await.expect("done"), 7);
        let error = pool.run(later(), || -> Result<()> { panic!("on purpose") }).await.expect_err("a panic");
        assert_eq!(error.kind(), Kind::Internal);
        assert_eq!(pool.run(later(), || Ok(8)).await.expect("the thread lives on"), 8);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let pool = ScanPool::start().expect("threads");
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
        let (began, begun) = mpsc::channel();
        let mut waiting = Vec::new();
        let mut add = |began: Option<mpsc::Sender<()>>| {
            let gate = gate.clone();
            waiting.push(Box::pin(pool.run(later(), move || {
                if let Some(began) = began {
                    began.send(()).expect("the test listens");
                }
                gate.lock().expect("no panic").recv().ok();
                Ok(())
            })));
            let last = waiting.last_mut().expect("pushed");
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            last.as_mut().poll(&mut context)
        };
        for _ in 0..limits::SCAN_THREADS {
            assert!(add(Some(began.clone())).is_pending());
            begun.recv().expect("a thread took it");
        }
        for _ in 0..limits::SCAN_QUEUE {
            assert!(add(None).is_pending());
        }
        match add(None) {
            std::task::Poll::Ready(Err(error)) => assert_eq!(error.kind(), Kind::Unavailable),
            other => panic!("{other:?}"),
        }
        // Callers that have gone: their work is not begun, or the drop would wait for the gate.
        drop(waiting);
        drop(release);
    }
}
