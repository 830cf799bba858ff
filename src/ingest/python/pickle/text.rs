//! Converts texts in the encodings that pickles use to UTF-8.

/// The mark that is written where a text or a value is cut.
pub(crate) const CUT: &str = "[cut by logboom]";

/// Whether a conversion kept everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fidelity {
    /// The text is exactly what the sender had.
    Exact,
    /// Lone surrogates or invalid bytes were replaced by U+FFFD.
    Lossy,
}

/// Appends UTF-8 that may contain surrogates (Python's `surrogatepass`). Pairs are joined and lone
/// surrogates are replaced. Bytes that are neither UTF-8 nor surrogates are replaced too.
pub(super) fn surrogate_pass(mut bytes: &[u8], out: &mut Vec<u8>) -> Fidelity {
    let mut units = Units::new(out);
    while !bytes.is_empty() {
        bytes = match bytes {
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] => {
                units.push(0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f));
                rest
            }
            _ => match valid_prefix(bytes) {
                ("", invalid) => {
                    units.replace();
                    &invalid[1..]
                }
                (valid, rest) => {
                    units.text(valid);
                    rest
                }
            },
        };
    }
    units.finish()
}

fn valid_prefix(bytes: &[u8]) -> (&str, &[u8]) {
    let length = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    let (valid, rest) = bytes.split_at(length);
    (std::str::from_utf8(valid).unwrap_or_default(), rest)
}

/// Appends a line in Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(line: &[u8], out: &mut Vec<u8>) -> Fidelity {
    let mut units = Units::new(out);
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [b'u', digits @ ..] if *first == b'\\' => hexadecimal(digits, 4),
            [b'U', digits @ ..] if *first == b'\\' => hexadecimal(digits, 8),
            _ => None,
        };
        match escape {
            Some((code, after)) => {
                units.push(code);
                rest = after;
            }
            None => {
                units.push(u32::from(*first));
                rest = tail;
            }
        }
    }
    units.finish()
}

fn hexadecimal(bytes: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_at_checked(digits)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let code = head.iter().try_fold(0u32, |code, byte| Some(code << 4 | digit(byte)?))?;
    Some((code, rest))
}

/// Joins code units into characters.
struct Units<'a> {
    out: &'a mut Vec<u8>,
    /// A high surrogate whose low surrogate has not been read yet.
    high: Option<u32>,
    fidelity: Fidelity,
}

impl Units<'_> {
    fn new(out: &mut Vec<u8>) -> Units<'_> {
        Units { out, high: None, fidelity: Fidelity::Exact }
    }

    fn push(&mut self, code: u32) {
        match (self.high.take(), code) {
            (Some(high), 0xdc00..=0xdfff) => {
                self.character(0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00));
                return;
            }
            (Some(_), _) => self.replace(),
            (None, _) => {}
        }
        match code {
            0xd800..=0xdbff => self.high = Some(code),
            _ => self.character(code),
        }
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            if self.high.take().is_some() {
                self.replace();
            }
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn character(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(character) => put(character, self.out),
            None => self.replace(),
        }
    }

    fn replace(&mut self) {
        put(char::REPLACEMENT_CHARACTER, self.out);
        self.fidelity = Fidelity::Lossy;
    }

    fn finish(mut self) -> Fidelity {
        if self.high.take().is_some() {
            self.replace();
        }
        self.fidelity
    }
}

fn put(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Decodes Python 2's `repr` of a byte string, including its quotes. Returns `None` if `line` is
/// not one.
pub(super) fn unquote(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let [quote @ (b'\'' | b'"'), inner @ .., last] = line else { return None };
    if quote != last {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, tail) {
            (b'\\', [escaped, after @ ..]) => rest = unescape(*escaped, after, &mut out)?,
            (b'\\', []) => return None,
            (byte, _) => out.push(byte),
        }
    }
    Some(out)
}

/// Appends the byte that an escape represents, and returns the bytes after the escape.
fn unescape<'a>(escaped: u8, after: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let byte = match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'\\' | b'\'' | b'"' => escaped,
        b'x' => {
            let (code, rest) = hexadecimal(after, 2)?;
            out.push(code as u8); // two digits fit into a byte
            return Some(rest);
        }
        b'0'..=b'7' => return Some(octal(escaped, after, out)),
        other => {
            out.push(b'\\');
            other
        }
    };
    out.push(byte);
    Some(after)
}

/// Appends the byte of one to three octal digits, of which the low 8 bits count. Returns the bytes
/// after them.
fn octal<'a>(first: u8, after: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let more = after.iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let (digits, rest) = after.split_at(more);
    let add = |code: u32, digit: &u8| code * 8 + u32::from(digit - b'0');
    out.push(digits.iter().fold(u32::from(first - b'0'), add) as u8);
    rest
}

/// Converts Latin-1 to UTF-8, cut if that takes more than `bytes_max`.
pub(crate) fn latin1(bytes: &[u8], bytes_max: usize) -> String {
    let shown = &bytes[..bytes.len().min(bytes_max / 2)];
    let text = shown.iter().map(|byte| char::from(*byte));
    text.chain((shown.len() < bytes.len()).then_some(CUT).into_iter().flat_map(str::chars)).collect()
}
