//! Memory that is free goes back to the system.

/// Gives back what the allocator keeps of memory that is free: glibc keeps for each thread what it freed, and
/// a thread that had much once seldom wants it again. Takes some milliseconds for each 100 MB that are given back.
pub fn give_back_memory() {
    #[cfg(all(target_env = "gnu", not(feature = "mimalloc")))]
    // SAFETY: `malloc_trim` has no precondition, and any thread may call it.
    unsafe {
        libc::malloc_trim(0);
    }
}
