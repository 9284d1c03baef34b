use std::path::PathBuf;

use model::window::QuietHours;

use super::format::{Format, path, whole, yes_or_no};
use super::setting::section;

section! {
    /// When Doorbell keeps house: old data, partitions, indexes.
    Housekeeping = "housekeeping" {
        /// Hours for it, as a cron pattern, minutes and a time zone; empty means at any time.
        quiet_hours: QuietHours = "", "DOORBELL_QUIET_HOURS", quiet_hours();
        /// Days that attempts are kept, counted from their message's day; 0: for ever.
        attempt_retention_days: u32 = "90", "DOORBELL_ATTEMPT_RETENTION_DAYS", whole(0..=36_500);
        /// Days that messages are kept, with their deliveries; those that are not over stay. 0: for ever.
        message_retention_days: u32 = "365", "DOORBELL_MESSAGE_RETENTION_DAYS", whole(0..=36_500);
        /// Days that the audit log is kept; 0: for ever.
        audit_retention_days: u32 = "0", "DOORBELL_AUDIT_RETENTION_DAYS", whole(0..=36_500);
        /// Folder where attempts, messages and audit entries are archived before they are deleted; empty: nowhere.
        archive_dir: Option<PathBuf> = "", "DOORBELL_ARCHIVE_DIR", path().optional();
        /// Whether PostgreSQL's indexes are built anew now and then, without blocking anybody.
        reindex: bool = "false", "DOORBELL_REINDEX", yes_or_no();
    }
}

fn quiet_hours() -> Format<QuietHours> {
    let expects = "a cron pattern, minutes and a time zone, such as 0 1 * * *; 240; Europe/Berlin, or nothing";
    Format::new(expects, |text| {
        text.parse().map_err(|error: model::window::BadQuietHours| error.to_string())
    })
}
