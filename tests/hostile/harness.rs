//! How hostile cases are run: panics caught, memory counted, time watched, failures collected.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// The most that one allocation may ask for; more is refused, so that a mistake can't take the machine with it.
const LARGEST: usize = 256 << 20;
/// Bytes that a case may hold at once besides a few times its files: what a whole small model takes, or a pattern of a tokenizer.
const ALLOWED: usize = 32 << 20;
/// What a case may take at most.
const TIME: Duration = Duration::from_secs(60);

/// The system's allocator, which counts what each thread holds.
struct Counting;

thread_local! {
    /// What the thread holds now, and the most it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // A thread that ends has no cell any more.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + change, peak.max(now + change)));
    });
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one hands everything on to the system's")]
// SAFETY: every block comes from the system's allocator and goes back to it with the layout that it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The case that each thread is at, and since when. A thread of its own ends the process when one hangs.
static RUNNING: LazyLock<Mutex<HashMap<ThreadId, (String, Instant)>>> = LazyLock::new(|| {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((name, _)) = running.values().find(|(_, since)| since.elapsed() > TIME) {
                eprintln!("{name}: no answer after {TIME:?}");
                std::process::abort();
            }
        }
    });
    Mutex::default()
});

/// Hostile cases of one kind, and what went wrong with them.
pub(crate) struct Cases {
    kind: &'static str,
    count: usize,
    most: isize,
    slowest: Duration,
    failures: Vec<String>,
}

impl Cases {
    /// No case yet.
    pub(crate) fn new(kind: &'static str) -> Cases {
        // Backtraces would count as what a case holds.
        static QUIET: Once = Once::new();
        QUIET.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
        Cases { kind, count: 0, most: 0, slowest: Duration::ZERO, failures: Vec::new() }
    }

    /// Notes a failure.
    pub(crate) fn fail(&mut self, what: impl Display) {
        self.failures.push(what.to_string());
    }

    /// A run that must fail with a clear message, which has each of these words (`a|b` is one or the other). `bytes` is the size
    /// of what the run is given.
    pub(crate) fn refused<T, E: Display>(
        &mut self,
        name: impl Display,
        bytes: usize,
        words: &[&str],
        run: impl FnOnce() -> Result<T, E>,
    ) {
        match self.run(&name, bytes, run) {
            None => {}
            Some(Ok(_)) => self.fail(format!("{name}: taken, wanted an error with {words:?}")),
            Some(Err(message)) => {
                let lacking: Vec<_> = words.iter().filter(|w| !w.split('|').any(|w| message.contains(w))).collect();
                if !lacking.is_empty() {
                    self.fail(format!("{name}: the message lacks {lacking:?}: {}", shown(&message)));
                }
            }
        }
    }

    /// A run that may succeed or fail.
    pub(crate) fn survived<T, E: Display>(
        &mut self,
        name: impl Display,
        bytes: usize,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<T, String>> {
        self.run(&name, bytes, run)
    }

    /// A run that must succeed.
    pub(crate) fn taken<T, E: Display>(
        &mut self,
        name: impl Display,
        bytes: usize,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Option<T> {
        match self.run(&name, bytes, run)? {
            Ok(value) => Some(value),
            Err(message) => {
                self.fail(format!("{name}: {}", shown(&message)));
                None
            }
        }
    }

    /// Runs a case: no panic, no hang, no large allocation, no message that a terminal could not show.
    fn run<T, E: Display>(
        &mut self,
        name: &impl Display,
        bytes: usize,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<T, String>> {
        self.count += 1;
        let (thread, start) = (thread::current().id(), Instant::now());
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(thread, (format!("{}: {name}", self.kind), start));
        let before = HELD.get().0;
        HELD.set((before, before));
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let held = HELD.get().1 - before;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&thread);
        (self.most, self.slowest) = (self.most.max(held), self.slowest.max(start.elapsed()));
        if held > (ALLOWED + 4 * bytes) as isize {
            self.fail(format!("{name}: holds {held} bytes for {bytes} that it was given"));
        }
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                self.fail(format!("{name}: panics: {}", shown(text.unwrap_or("without a text"))));
                return None;
            }
        };
        let outcome = outcome.map_err(|e| e.to_string());
        if let Err(message) = &outcome {
            if message.len() > 1000 {
                self.fail(format!("{name}: a message of {} bytes: {}", message.len(), shown(message)));
            }
            if message.chars().any(char::is_control) {
                self.fail(format!("{name}: control characters in the message: {}", shown(message)));
            }
        }
        Some(outcome)
    }

    /// Reports the failures, all of them.
    pub(crate) fn finish(self) {
        let Cases { kind, count, most, slowest, failures } = self;
        println!("{kind}: {count} cases, at most {} KiB and {slowest:?}", most / 1024);
        assert!(failures.is_empty(), "{kind}: {} failures in {count} cases:\n{}", failures.len(), failures.join("\n"));
    }
}

/// The beginning of a message, as a terminal can show it.
fn shown(message: &str) -> String {
    message.chars().take(300).flat_map(char::escape_debug).collect()
}
