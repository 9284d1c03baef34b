use tracing_subscriber::EnvFilter;

use super::format::{Format, word};
use super::setting::section;

section! {
    /// What is logged, and how it is written.
    Log = "log" {
        /// One line of text, or one JSON object, per event.
        format: LogFormat = "text", "DOORBELL_LOG_FORMAT", log_format();
        /// Level, for all or per module: off, error, warn, info, debug, trace.
        filter: String = "info", "DOORBELL_LOG", log_filter();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

fn log_format() -> Format<LogFormat> {
    word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// Kept as text: a filter cannot be copied, and parses again wherever it is needed.
fn log_filter() -> Format<String> {
    Format::new("levels with a comma between, such as info,engine=debug", |text| {
        let parsed = EnvFilter::builder().parse(text);
        parsed.map(|_| text.to_owned()).map_err(|error| format!("is no filter ({error})"))
    })
}
