//! What the operating system knows of this process, by the names that Prometheus' own client libraries use. Only Linux tells.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::text::Text;

/// `USER_HZ`: the same on every architecture that is built for.
const TICKS_PER_SECOND: u64 = 100;

pub(super) fn render(text: &mut Text) {
    text.family("gateway_build_info", "gauge", "Always 1; the version of the gateway.");
    text.sample("gateway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    if let Some(stat) = Stat::read() {
        let cpu = stat.cpu_ticks;
        let cpu = format_args!("{}.{:02}", cpu / TICKS_PER_SECOND, cpu % TICKS_PER_SECOND);
        text.single("process_cpu_seconds_total", "counter", "Time on processors, of the user and of the system.", cpu);
        if let Some(boot) = boot_time() {
            let started = boot + stat.start_ticks / TICKS_PER_SECOND;
            let help = "When the process was started, since 1970.";
            text.single("process_start_time_seconds", "gauge", help, started);
        }
        text.single("process_threads", "gauge", "Threads of the operating system.", stat.threads);
        text.single("process_virtual_memory_bytes", "gauge", "Memory that is mapped.", stat.virtual_bytes);
    }
    if let Some(resident) = resident_bytes() {
        text.single("process_resident_memory_bytes", "gauge", "Memory that is in use.", resident);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        text.single("process_open_fds", "gauge", "Open file descriptors.", open.count().saturating_sub(1));
    }
    let most = getrlimit(Resource::Nofile).current;
    let most = most.map_or_else(|| "+Inf".to_owned(), |most| most.to_string());
    text.single("process_max_fds", "gauge", "How many file descriptors may be open.", most);
}

struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The fields of proc(5), counted from the third: the second is the program's name, which may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(14)? + number(15)?,
            threads: number(20)?,
            start_ticks: number(22)?,
            virtual_bytes: number(23)?,
        })
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// In seconds since 1970.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_strange_name_has_its_numbers() {
        let stat = "42 (a) b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 12345 1000000 200";
        let stat = Stat::parse(stat).unwrap();
        let found = (stat.cpu_ticks, stat.threads, stat.start_ticks, stat.virtual_bytes);
        assert_eq!(found, (300, 7, 12345, 1_000_000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_files() {
        let mut text = Text::new();
        render(&mut text);
        let text = text.finish();
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            assert!(value.is_some_and(|value| value.parse::<u64>().unwrap() > 0), "{name}\n{text}");
        }
    }
}
