//! What the receiver does with a request: answer it, well or badly, or not at all.

use std::time::Duration;

use super::bomb::gzip_bomb;

/// Head of an answer whose headers exceed every sensible limit.
const HUGE_HEADER_BYTES: usize = 1024 * 1024;
const MANY_HEADERS: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) act: Act,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// How many requests must have arrived before this one is dealt with.
    pub(super) after: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The status, headers and body of the reply, correctly.
    Answer,
    /// Nothing, until the client leaves.
    Hang,
    /// TCP reset.
    Reset,
    /// A clean close instead of an answer.
    Close,
    /// These bytes, then a close.
    Raw(Vec<u8>),
    /// The head and a byte of the body, then nothing until the client leaves.
    StallInBody,
    /// One byte of the head after another.
    DripHead(Duration),
    /// One byte of the body after another, without end.
    DripBody(Duration),
    /// A body without end, as fast as it goes.
    Endless,
    /// `100 Continue` without end.
    Informational,
}

impl Reply {
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { act: Act::Answer, status, headers: Vec::new(), body: Vec::new(), after: 0 }
    }

    fn act(act: Act) -> Self {
        Self { act, ..Self::status(200) }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits until this many requests have arrived in all, so that they are under way at once.
    #[must_use]
    pub fn after(mut self, requests: usize) -> Self {
        self.after = requests;
        self
    }

    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    #[must_use]
    pub fn gone() -> Self {
        Self::status(410)
    }

    #[must_use]
    pub fn retry_after(status: u16, value: &str) -> Self {
        Self::status(status).header("retry-after", value)
    }

    #[must_use]
    pub fn hang() -> Self {
        Self::act(Act::Hang)
    }

    #[must_use]
    pub fn reset() -> Self {
        Self::act(Act::Reset)
    }

    #[must_use]
    pub fn close() -> Self {
        Self::act(Act::Close)
    }

    #[must_use]
    pub fn stall_in_body() -> Self {
        Self::act(Act::StallInBody)
    }

    #[must_use]
    pub fn slow_headers(every: Duration) -> Self {
        Self::act(Act::DripHead(every))
    }

    #[must_use]
    pub fn slow_body(every: Duration) -> Self {
        Self::act(Act::DripBody(every))
    }

    #[must_use]
    pub fn endless_body() -> Self {
        Self::act(Act::Endless)
    }

    #[must_use]
    pub fn informational_flood() -> Self {
        Self::act(Act::Informational)
    }

    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::act(Act::Raw(bytes.into()))
    }

    /// Ten bytes where a hundred were announced.
    #[must_use]
    pub fn wrong_length() -> Self {
        Self::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789")
    }

    #[must_use]
    pub fn garbage() -> Self {
        Self::raw("\u{1}\u{2}SSH-2.0-not-http\r\n\r\n")
    }

    /// A megabyte in one header.
    #[must_use]
    pub fn huge_headers() -> Self {
        let value = "h".repeat(HUGE_HEADER_BYTES);
        Self::raw(format!("HTTP/1.1 200 OK\r\nx-huge: {value}\r\ncontent-length: 0\r\n\r\n"))
    }

    /// Ten thousand small headers.
    #[must_use]
    pub fn many_headers() -> Self {
        let mut text = String::from("HTTP/1.1 200 OK\r\n");
        for number in 0..MANY_HEADERS {
            text.push_str(&format!("x-{number}: 1\r\n"));
        }
        Self::raw(text + "content-length: 0\r\n\r\n")
    }

    /// Megabytes of zeros in a few kilobytes of gzip.
    #[must_use]
    pub fn gzip_bomb() -> Self {
        Self::status(200).header("content-encoding", "gzip").body(gzip_bomb())
    }
}
