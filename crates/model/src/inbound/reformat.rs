//! JSON written anew as middleware writes it: whitespace alone is changed. Numbers, escapes and
//! the order of keys stay, so that the result can be exactly what was signed.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// No whitespace.
    Compact,
    /// One space after each comma and colon.
    Spaced,
    /// Two spaces for each level, a line for each item.
    Indented,
}

/// None for what is not valid JSON.
pub(super) fn reformat(body: &[u8], style: Style) -> Option<Vec<u8>> {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).ok()?;
    let mut out = Writer { out: Vec::with_capacity(body.len()), style, depth: 0 };
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'"' {
            let text = after.get(..=end_of_text(after)?)?;
            out.out.push(b'"');
            out.out.extend_from_slice(text);
            rest = after.get(text.len()..)?;
            continue;
        }
        if !byte.is_ascii_whitespace() {
            let next = rest.iter().copied().find(|byte| !byte.is_ascii_whitespace());
            out.write(byte, next);
        }
    }
    Some(out.out)
}

fn end_of_text(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

struct Writer {
    out: Vec<u8>,
    style: Style,
    depth: usize,
}

impl Writer {
    fn write(&mut self, byte: u8, next: Option<u8>) {
        match byte {
            b'{' | b'[' => {
                self.out.push(byte);
                self.depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    self.line();
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if !matches!(self.out.last(), Some(b'{' | b'[')) {
                    self.line();
                }
                self.out.push(byte);
            }
            b',' => {
                self.out.push(byte);
                self.line();
                if self.style == Style::Spaced {
                    self.out.push(b' ');
                }
            }
            b':' => {
                self.out.push(byte);
                if self.style != Style::Compact {
                    self.out.push(b' ');
                }
            }
            _ => self.out.push(byte),
        }
    }

    fn line(&mut self) {
        if self.style == Style::Indented {
            self.out.push(b'\n');
            self.out.extend(std::iter::repeat_n(b' ', 2 * self.depth));
        }
    }
}
