//! Where the process runs, by the names of ZooKeeper's `envi`. There is no Java to tell of.
//!
//! Rules from: ZooKeeper 3.9 `Environment#list`.

use super::VERSION;

const MIB: u64 = 1 << 20;

/// Keys and values; what this system does not tell is left out.
pub fn environment() -> Vec<(&'static str, String)> {
    let file = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned())
    };
    let variable = |name: &str| std::env::var(name).ok();
    let directory = std::env::current_dir().ok();
    let memory = Memory::look();
    let mebibytes = |bytes: Option<u64>| bytes.map(|bytes| format!("{}MB", bytes / MIB));
    let known = [
        ("zookeeper.version", Some(VERSION.to_owned())),
        ("host.name", file("/proc/sys/kernel/hostname")),
        ("os.name", Some(os_name().to_owned())),
        ("os.arch", Some(std::env::consts::ARCH.to_owned())),
        ("os.version", file("/proc/sys/kernel/osrelease")),
        (
            "user.name",
            variable("USER").or_else(|| variable("LOGNAME")),
        ),
        ("user.home", variable("HOME")),
        (
            "user.dir",
            directory.map(|directory| directory.display().to_string()),
        ),
        ("os.memory.free", mebibytes(memory.free)),
        ("os.memory.max", mebibytes(memory.total)),
        ("os.memory.total", mebibytes(memory.resident)),
    ];
    known
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// As Java calls it.
fn os_name() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    }
}

/// Bytes: what the machine has left and has, and what this process holds.
#[derive(Default)]
struct Memory {
    free: Option<u64>,
    total: Option<u64>,
    resident: Option<u64>,
}

impl Memory {
    fn look() -> Memory {
        let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let process = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Memory {
            free: kibibytes(&machine, "MemAvailable:"),
            total: kibibytes(&machine, "MemTotal:"),
            resident: kibibytes(&process, "VmRSS:"),
        }
    }
}

/// A line such as `VmRSS:    1234 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_where_kazoo_looks_for_it() {
        let found = environment();
        assert_eq!(found[0].0, "zookeeper.version");
        assert!(found[0].1.starts_with("3.9."), "{}", found[0].1);
    }

    #[test]
    fn memory_is_read_from_lines_in_kibibytes() {
        let text = "Name:\tx\nVmRSS:\t    2048 kB\nVmBad: x kB\n";
        assert_eq!(kibibytes(text, "VmRSS:"), Some(2 << 20));
        assert_eq!(kibibytes(text, "VmBad:"), None);
        assert_eq!(kibibytes(text, "VmSize:"), None);
    }
}
