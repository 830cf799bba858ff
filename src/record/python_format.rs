//! Directives of Python's `%` operator: flags, width and precision, and the padding of texts and
//! numbers.
//!
//! ```text
//! %[(name)][flags][width][.precision]conversion
//! ```
//!
//! Shared by the merging of messages and by the format of log files, which have their own names,
//! conversions and limits. See "printf-style String Formatting" of Python's library reference.

use std::io::Write;

/// The flags, the width and the precision of a directive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FormatSpec {
    /// `-`: at the left end of its width.
    pub(crate) left: bool,
    /// `0`: numbers are padded with zeros.
    pub(crate) zeros: bool,
    /// `+`: always with a sign.
    pub(crate) plus: bool,
    /// A space: in the place of a missing sign.
    pub(crate) space: bool,
    /// `#`: with the prefix of another base, or always with a decimal point.
    pub(crate) alternate: bool,
    /// In characters.
    pub(crate) width: usize,
    /// Maximum characters of a text, minimum digits of a whole number, or exact digits after the
    /// point.
    pub(crate) precision: Option<usize>,
}

impl FormatSpec {
    /// Parses what a text begins with. `number` reads the width or the precision, if there is one.
    pub(crate) fn parse<'t, E>(
        text: &mut &'t str,
        mut number: impl FnMut(&mut &'t str) -> Result<Option<i64>, E>,
    ) -> Result<FormatSpec, E> {
        let mut spec = take_flags(text);
        let width = number(text)?.unwrap_or(0);
        spec.left |= width < 0;
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        if let Some(after) = text.strip_prefix('.') {
            *text = after;
            let precision = number(text)?.unwrap_or(0).max(0);
            spec.precision = Some(usize::try_from(precision).unwrap_or(usize::MAX));
        }
        Ok(spec)
    }

    /// Appends a text.
    pub(crate) fn put_text(self, out: &mut Vec<u8>, text: &str) {
        let text = match self.precision {
            Some(characters) if text.len() > characters => {
                &text[..text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end)]
            }
            _ => text,
        };
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        fill(out, start, start, self.width, self.left, b' ');
    }

    /// Appends a whole number: the precision adds zeros before the digits, which `put_digits`
    /// appends.
    pub(crate) fn put_whole(
        self,
        out: &mut Vec<u8>,
        is_negative: bool,
        prefix: &str,
        put_digits: impl FnOnce(&mut Vec<u8>),
    ) {
        self.put_number(out, is_negative, prefix, |out| {
            let start = out.len();
            put_digits(out);
            fill(out, start, start, self.precision.unwrap_or(0), false, b'0');
        });
    }

    /// Appends a finite number with a fixed number of digits after the point.
    pub(crate) fn put_fixed(self, out: &mut Vec<u8>, number: f64) {
        let precision = self.precision.unwrap_or(6);
        self.put_number(out, number.is_sign_negative(), "", |out| {
            let _ = write!(out, "{:.precision$}", number.abs()); // a Vec accepts any text
            if precision == 0 && self.alternate {
                out.push(b'.');
            }
        });
    }

    /// Appends a number, of which `put_digits` appends everything after sign and prefix. Zeros for
    /// the width go before these digits.
    pub(crate) fn put_number(
        self,
        out: &mut Vec<u8>,
        is_negative: bool,
        prefix: &str,
        put_digits: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = out.len();
        match (is_negative, self.plus, self.space) {
            (true, ..) => out.push(b'-'),
            (_, true, _) => out.push(b'+'),
            (_, _, true) => out.push(b' '),
            _ => {}
        }
        out.extend_from_slice(prefix.as_bytes());
        let digits = out.len();
        put_digits(out);
        match self.zeros && !self.left {
            true => fill(out, start, digits, self.width, false, b'0'),
            false => fill(out, start, start, self.width, self.left, b' '),
        }
    }
}

fn take_flags(text: &mut &str) -> FormatSpec {
    let mut spec = FormatSpec::default();
    loop {
        let flag = match text.bytes().next() {
            Some(b'-') => &mut spec.left,
            Some(b'0') => &mut spec.zeros,
            Some(b'+') => &mut spec.plus,
            Some(b' ') => &mut spec.space,
            Some(b'#') => &mut spec.alternate,
            _ => return spec,
        };
        *flag = true;
        *text = &text[1..]; // each flag is one byte
    }
}

/// Takes the digits that a text begins with; they may be empty.
pub(crate) fn take_digits<'t>(text: &mut &'t str) -> &'t str {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    *text = rest;
    digits
}

/// Appends the decimal digits of a number.
pub(crate) fn put_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20]; // the number of digits of u64::MAX
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[first..]);
        }
    }
}

/// Pads what was appended since `start` to a width in characters: at its end if `left`, otherwise
/// at `place`.
fn fill(out: &mut Vec<u8>, start: usize, place: usize, width: usize, left: bool, with: u8) {
    let end = out.len();
    if end - start >= width.saturating_mul(4) {
        return; // no character has more than four bytes
    }
    let characters = out[start..].iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
    let missing = width.saturating_sub(characters);
    if missing == 0 {
        return;
    }
    out.resize(end + missing, with);
    if !left {
        out.copy_within(place..end, place + missing);
        out[place..place + missing].fill(with);
    }
}
