//! Memory on the CPU device: what is held beside the stored weights and state, and what steady decoding allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use fastweight::device::Device;
use fastweight::generate::{Model, Purpose};
use fastweight_tests::fixtures::shipped;
use pollster::block_on;

/// The system's allocator, counting.
struct Counting;

/// Bytes held now, and the most that were.
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Allocations of at least [`LARGE`] bytes since watching began.
static WATCHING: AtomicBool = AtomicBool::new(false);
static LARGE_ONES: AtomicUsize = AtomicUsize::new(0);
const LARGE: usize = 64 << 10;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; every call is the system's own")]
// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        if WATCHING.load(Relaxed) && layout.size() >= LARGE {
            LARGE_ONES.fetch_add(1, Relaxed);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn shipped_model_stays_within_twice_its_stored_bytes_and_decodes_without_large_allocations() {
    let before = HELD.load(Relaxed);
    let model = block_on(Model::open(shipped(), &Device::cpu())).expect("the shipped model");
    let mut session = block_on(model.session()).expect("a session");
    let ids: Vec<u32> = (0..600).map(|i| i * 7919 % 4096).collect();
    block_on(session.prefill(&ids)).expect("prefill");
    for _ in 0..20 {
        block_on(session.next()).expect("a token");
    }
    let plan = model.plan(Purpose::Decode, 1).expect("a plan");
    let stored = (plan.weight_bytes() + plan.states.bytes()) as usize;
    let peak = PEAK.load(Relaxed) - before;
    println!("stored {stored}, peak {peak}");
    assert!(peak <= 2 * stored, "the peak of {peak} bytes is over twice the {stored} stored");

    WATCHING.store(true, Relaxed);
    for _ in 0..64 {
        block_on(session.next()).expect("a token");
    }
    WATCHING.store(false, Relaxed);
    assert_eq!(LARGE_ONES.load(Relaxed), 0, "allocations of {LARGE} bytes or more in 64 decode steps");
    // The counter does count.
    WATCHING.store(true, Relaxed);
    drop(std::hint::black_box(vec![1u8; LARGE]));
    assert_eq!(LARGE_ONES.load(Relaxed), 1);
}
