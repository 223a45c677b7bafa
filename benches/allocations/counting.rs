//! An allocator that counts what the thread that asks has asked for, and what of it is not given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked { times: 0, bytes: 0 }) };
    /// Asked for and not given back; what one thread asks for and another gives back is not told apart.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// How often memory was asked for, growing included, and for how many bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub times: u64,
    pub bytes: u64,
}

/// What this thread asks for while it works.
pub fn asked_by(work: impl FnOnce()) -> Asked {
    let before = ASKED.get();
    work();
    let after = ASKED.get();
    Asked {
        times: after.times - before.times,
        bytes: after.bytes - before.bytes,
    }
}

/// What this thread holds more of for having what `work` made.
pub fn held_by<T>(work: impl FnOnce() -> T) -> i64 {
    let before = HELD.get();
    let made = work();
    let held = HELD.get() - before;
    drop(made);
    held
}

struct Counting;

fn hold(bytes: usize) {
    HELD.set(HELD.get() + bytes as i64);
}

fn give_back(bytes: usize) {
    HELD.set(HELD.get() - bytes as i64);
}

fn note(bytes: usize) {
    let Asked { times, bytes: all } = ASKED.get();
    ASKED.set(Asked {
        times: times + 1,
        bytes: all + bytes as u64,
    });
}

// SAFETY: everything is done by the system's allocator; this only counts, in a place that is made
// without an allocation and never torn down.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        hold(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        hold(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give_back(layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        hold(size);
        give_back(layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
