//! SIGINT and SIGTERM: clean up what would outlive the process, then exit as a shell expects.

/// Starts the thread that waits for a signal.
pub fn watch() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                plugin_oci::interrupt::run_all();
                std::process::exit(128 + signal);
            }
        });
    }
}
