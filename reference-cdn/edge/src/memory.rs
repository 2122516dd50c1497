//! Keeps the process within its memory: looks at what it has resident, and lets the store have what is left.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::store::Store;

/// Between two looks at the process.
const LOOK: Duration = Duration::from_millis(250);

/// Octets of this process that are in memory, as the kernel counts them; `None` where it does not say.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Watches for ever. `resident` says what the process has; without it, only readers are seen to.
pub(crate) async fn watch(store: Arc<Store>, resident: Option<fn() -> Option<u64>>) {
    loop {
        sleep(LOOK).await;
        store.look(resident.and_then(|resident| resident()));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_what_is_resident() {
        let before = super::resident().expect("Linux says");
        let octets = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = super::resident().expect("Linux says");
        assert!(after > before + (32 << 20), "{before} before, {after} with {} more", octets.len());
    }
}
