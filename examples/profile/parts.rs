//! Which part of the program a sampled stack is charged to.
//!
//! In the kernel the outermost function that is known decides: a wake-up inside of a send belongs to the network.
//! Elsewhere it is the innermost: what the standard library, a table or a copy of bytes costs belongs to who calls it.

/// How the names of a part's functions begin; one that ends in none of `:`, `_` and `-` is a whole name. Of several
/// that fit, the longest counts. Threads stand with their functions: what is known by nothing else is its thread's.
type Part = (&'static str, &'static [&'static str]);

const PROGRAM: &[Part] = &[
    ("server: the ZooKeeper door", &["vivarium::server::"]),
    ("wire", &["vivarium::wire::"]),
    ("member", &["vivarium::member::"]),
    ("session", &["vivarium::session::"]),
    ("watch", &["vivarium::watch::"]),
    (
        "raft: consensus (openraft)",
        &["vivarium::raft::", "openraft::", "openraft_rt_tokio::"],
    ),
    (
        "raft::network with its transport",
        &[
            "vivarium::raft::network::",
            "vivarium::proto::",
            "h2::",
            "http::",
            "hyper::",
            "hyper_util::",
            "prost::",
            "tonic::",
            "tonic_prost::",
            "tower::",
        ],
    ),
    (
        "raft::log",
        &[
            "vivarium::raft::log::",
            "vivarium::raft::log_store::",
            "log-spares",
            "log-writer",
        ],
    ),
    ("store: tree and codec", &["vivarium::store::", "bincode::"]),
    (
        "checkpoint (sled)",
        &[
            "vivarium::raft::checkpoint::",
            "vivarium::store::disk::",
            "checkpoint",
            "sled-io-",
            "sled::",
        ],
    ),
    (
        "change log",
        &[
            "vivarium::member::changes::",
            "vivarium::store::disk::changes::",
        ],
    ),
    (
        "metrics and tracing",
        &[
            "vivarium::metrics::",
            "hdrhistogram::",
            "metrics::",
            "metrics_exporter_prometheus::",
            "metrics_util::",
            "quanta::",
            "tracing::",
            "tracing_core::",
            "tracing_subscriber::",
        ],
    ),
    ("model: paths, commands", &["vivarium::model::"]),
    ("the rest of vivarium", &["vivarium::"]),
    (
        "tokio: tasks, channels, timers",
        &[
            "mio::",
            "tokio-rt-worker",
            "tokio::",
            "tokio_stream::",
            "tokio_util::",
        ],
    ),
    (
        "allocation",
        &[
            "__libc_",
            "__rust_alloc",
            "__rust_dealloc",
            "__rust_realloc",
            "__rustc::",
            "_int_",
            "_mi_",
            "_rjem_",
            "calloc",
            "cfree",
            "do_rallocx",
            "free",
            "malloc",
            "malloc_",
            "mi_",
            "realloc",
            "sysmalloc",
            "systrim",
            "tcache_",
            "unlink_chunk",
        ],
    ),
    ("libraries, called by none of these", &[]),
];

/// System calls without what the processor's family puts before them.
const KERNEL: &[Part] = &[
    (
        "kernel: network",
        &[
            "__sys_recv",
            "__sys_send",
            // Nothing but sockets is written from several pieces.
            "do_writev",
            "inet_",
            "net_rx_action",
            "sock_",
            "sys_accept4",
            "sys_recv",
            "sys_recvfrom",
            "sys_recvmsg",
            "sys_sendmsg",
            "sys_sendto",
            "sys_shutdown",
            "sys_writev",
            "tcp_",
        ],
    ),
    (
        "kernel: disk",
        &[
            "blk_",
            "btrfs_",
            "ext4_",
            "generic_perform_write",
            "iomap_",
            "jbd2_",
            "submit_bio",
            "sys_fallocate",
            "sys_fdatasync",
            "sys_fsync",
            "sys_openat",
            "sys_pread64",
            "sys_preadv",
            "sys_pwrite64",
            "sys_pwritev",
            "sys_renameat",
            "sys_sync_file_range",
            "sys_unlink",
            "xfs_",
        ],
    ),
    (
        "kernel: scheduling and waking",
        &[
            "__schedule",
            "asm_sysvec_reschedule_ipi",
            "eventfd_",
            "exit_to_user_mode_loop",
            "hrtimer_",
            "ret_from_fork",
            "ret_from_fork_asm",
            "schedule",
            "sys_clock_nanosleep",
            "sys_epoll_",
            "sys_futex",
            "sys_sched_",
            "tick_",
        ],
    ),
    (
        "kernel: memory",
        &[
            "asm_exc_page_fault",
            "exc_page_fault",
            "sys_brk",
            "sys_madvise",
            "sys_mmap",
            "sys_mprotect",
            "sys_mremap",
            "sys_munmap",
        ],
    ),
    ("kernel: entering, interrupts", &[]),
];

/// All parts, in the order in which they are shown.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAM.iter().chain(KERNEL).map(|(name, _)| *name)
}

/// The part that a stack is charged to: its thread, and its frames from the outermost on.
pub fn charged(frames: &[&str]) -> &'static str {
    let mut in_kernel = frames.iter().filter_map(|frame| kernel_function(frame));
    let (parts, found) = if in_kernel.clone().next().is_some() {
        (KERNEL, in_kernel.find_map(|name| part_of(KERNEL, name)))
    } else {
        let mut names = frames.iter().rev();
        let found = names.find_map(|frame| part_of(PROGRAM, function(frame)));
        (PROGRAM, found)
    };
    found.unwrap_or(parts[parts.len() - 1].0)
}

/// The kernel's frames are marked; what it lends to programs (`[vdso]`) is marked too, and belongs to its caller.
fn kernel_function(frame: &str) -> Option<&str> {
    let name = frame.strip_suffix("_[k]")?;
    if name.starts_with("__vdso_") || name == "[[vdso]]" {
        return None;
    }
    let call = ["__x64_", "__arm64_", "__se_", "__do_"];
    let bare = call.iter().find_map(|family| name.strip_prefix(family));
    Some(bare.filter(|bare| bare.starts_with("sys_")).unwrap_or(name))
}

/// Without the brackets of an implementation, and without what a compiler puts behind.
fn function(frame: &str) -> &str {
    let name = frame.trim_start_matches(['<', '&']);
    match name.split_once(['.', '@']) {
        Some((before, _)) if !name.contains("::") => before,
        _ => name,
    }
}

fn part_of(parts: &'static [Part], name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| match pattern.ends_with([':', '_', '-']) {
        true => name.starts_with(pattern),
        false => name == pattern,
    };
    let all = parts
        .iter()
        .flat_map(|(part, patterns)| patterns.iter().map(move |pattern| (*part, *pattern)));
    let fitting = all.filter(|(_, pattern)| fits(pattern));
    let (part, _) = fitting.max_by_key(|(_, pattern)| pattern.len())?;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_charged_to_the_innermost_part_that_is_known() {
        for (stack, part) in [
            (
                "tokio::runtime::a;vivarium::wire::jute::read;core::str::from_utf8",
                "wire",
            ),
            (
                "vivarium::store::tree::Tree::apply;__memmove_avx512",
                "store: tree and codec",
            ),
            (
                "<vivarium::raft::machine::Machine as x::Y>::apply;hashbrown::insert",
                "raft: consensus (openraft)",
            ),
            (
                "vivarium::raft::network::sending::send;h2::proto::poll",
                "raft::network with its transport",
            ),
            (
                "vivarium::raft::log::writer::run;crc32c::append",
                "raft::log",
            ),
            ("vivarium::raft::log_store::append", "raft::log"),
            (
                "vivarium::store::disk::files::write;std::fs::write",
                "checkpoint (sled)",
            ),
            ("vivarium::store::disk::changes::writer::put", "change log"),
            ("vivarium::member::changes::hub::tell", "change log"),
            (
                "vivarium::member::desk::run;tokio::sync::mpsc::send",
                "tokio: tasks, channels, timers",
            ),
            (
                "vivarium::member::desk::run;malloc;unlink_chunk.constprop.0",
                "allocation",
            ),
            (
                "vivarium::member::desk::run;std::time::now;__vdso_clock_gettime_[k]",
                "member",
            ),
            ("log-writer;std::thread::run", "raft::log"),
            ("sled-io-3;syscall", "checkpoint (sled)"),
            ("log-writer;cfree@GLIBC_2.2.5", "allocation"),
            (
                "vivarium::raft::log::x;do_rallocx;_rjem_je_large_ralloc;pac_alloc_impl",
                "allocation",
            ),
            ("vivarium::runtime::clock::now", "the rest of vivarium"),
            (
                "mystery;std::thread::run",
                "libraries, called by none of these",
            ),
        ] {
            let frames: Vec<&str> = stack.split(';').collect();
            assert_eq!(charged(&frames), part, "{stack}");
        }
    }

    #[test]
    fn in_the_kernel_the_outermost_function_that_is_known_decides() {
        for (stack, part) in [
            (
                "__x64_sys_sendto_[k];tcp_sendmsg_[k];schedule_[k]",
                "kernel: network",
            ),
            (
                "__x64_sys_writev_[k];vfs_writev_[k];sock_write_iter_[k]",
                "kernel: network",
            ),
            ("__arm64_sys_fdatasync_[k];schedule_[k]", "kernel: disk"),
            (
                "__x64_sys_write_[k];eventfd_write_[k];try_to_wake_up_[k]",
                "kernel: scheduling and waking",
            ),
            (
                "vivarium::wire::x;malloc;asm_exc_page_fault_[k]",
                "kernel: memory",
            ),
            (
                "vivarium::wire::x;do_syscall_64_[k]",
                "kernel: entering, interrupts",
            ),
        ] {
            let frames: Vec<&str> = stack.split(';').collect();
            assert_eq!(charged(&frames), part, "{stack}");
        }
    }

    #[test]
    fn no_pattern_stands_for_two_parts() {
        for parts in [PROGRAM, KERNEL] {
            let mut all: Vec<&str> = parts.iter().flat_map(|(_, all)| *all).copied().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }
}
