//! What a process holds of memory, as the system tells it: all of it, whatever it is for.

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The most since it began, or since `forget_peak`.
    pub peak: u64,
    /// Now.
    pub now: u64,
}

/// The resident memory of a process; nothing where the system does not tell.
pub fn resident(pid: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    Memory { peak: of("VmHWM:").unwrap_or(0), now: of("VmRSS:").unwrap_or(0) }
}

/// Lets the peak of a process begin anew. Where the system refuses, it stays that of its whole life: never less.
#[expect(clippy::disallowed_methods, reason = "a switch of the system, not a file")]
pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
