//! A progress that remembers.

use std::sync::Mutex;

use plugin_oci::progress::{Event, LogLevel, Progress};

/// Keeps every event.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// The texts of details, notes and warnings.
    pub fn texts(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let text = |event: &Event| match event {
            Event::Detail { text } | Event::Note { text } | Event::Warning { text, .. } | Event::Hazard { text, .. } => {
                Some(text.clone())
            }
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }

    /// The commands of started processes.
    pub fn commands(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let command = |event: &Event| match event {
            Event::Spawned { command } => Some(command.clone()),
            _ => None,
        };
        events.iter().filter_map(command).collect()
    }

    /// What plugins logged.
    pub fn logs(&self) -> Vec<(LogLevel, String)> {
        let events = self.0.lock().unwrap();
        let log = |event: &Event| match event {
            Event::PluginLog { level, text } => Some((*level, text.clone())),
            _ => None,
        };
        events.iter().filter_map(log).collect()
    }
}
