//! Randomness that follows from the seed, also where no seed can be handed in: openraft's election
//! time-outs, tokio's `select!`, the order of hash maps, session passwords.
//!
//! All of them begin with the C library's `getrandom`, and this program has its own. On a thread that
//! was given a seed, and on those that know none of their own while a simulation runs, it returns
//! what follows from that seed; otherwise it asks the system. Generators are kept per thread, so each
//! simulation has a thread of its own.

use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// The seed that threads begin with which have none yet; 0 outside of simulations.
static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Lets everything random in threads that begin from now on follow from `seed`.
pub fn seed(seed: u64) {
    SEED.store(seed | 1 << 63, Ordering::SeqCst);
    STATE.set(0);
}

/// Asks the system again. What drew its seed before keeps it.
pub fn release() {
    SEED.store(0, Ordering::SeqCst);
}

/// The next number of this thread (SplitMix64).
fn next(first: u64) -> u64 {
    let state = match STATE.get() {
        0 => first,
        state => state,
    }
    .wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// # Safety
/// As the C library's function: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    let seed = SEED.load(Ordering::SeqCst);
    if seed == 0 {
        // SAFETY: the caller's promise is handed on to the system call as it is.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) } as isize;
    }
    // SAFETY: the caller promises room for `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&next(seed).to_le_bytes()[..part.len()]);
    }
    length as isize
}

#[test]
fn what_is_random_follows_from_the_seed() {
    use std::hash::{BuildHasher, RandomState};
    let draw = || {
        let drawn = std::thread::spawn(|| (RandomState::new().hash_one(1), rand::random::<u64>()));
        drawn.join().unwrap()
    };
    let _alone = super::alone();
    seed(7);
    let (first, again) = (draw(), draw());
    seed(8);
    let other = draw();
    release();
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert_ne!(first.1, other.1);
    assert_ne!(draw().0, draw().0);
}
