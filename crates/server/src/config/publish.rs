use super::format::whole;
use super::setting::section;

section! {
    /// What publishers may send, and how long it is kept.
    Publish = "publish" {
        /// Largest payload of one message.
        max_payload_bytes: usize = "1048576", "DOORBELL_MAX_PAYLOAD_BYTES", whole(1024..=10_485_760);
        /// Days that payloads are kept, unless the message says otherwise.
        payload_retention_days: u32 = "90", "DOORBELL_PAYLOAD_RETENTION_DAYS", whole(1..=365);
    }
}
