//! The pickle machine: opcodes, limits and damaged pickles.

use super::text::{Fidelity, raw_unicode_escape, surrogate_pass, unquote};
use super::*;

fn converted(convert: impl FnOnce(&mut Vec<u8>) -> Fidelity) -> (String, Fidelity) {
    let mut out = Vec::new();
    let fidelity = convert(&mut out);
    (String::from_utf8(out).unwrap(), fidelity)
}

#[test]
fn surrogates_are_joined_or_replaced() {
    let cases: [(&[u8], &str, Fidelity); 6] = [
        (b"a\xed\xb3\xbfb", "a\u{fffd}b", Fidelity::Lossy),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\u{1f600}", Fidelity::Exact),
        (b"\xed\xa0\xbdx\xed\xb8\x80", "\u{fffd}x\u{fffd}", Fidelity::Lossy),
        (b"\xed\xa0\xbd", "\u{fffd}", Fidelity::Lossy),
        (b"\xff\xc3", "\u{fffd}\u{fffd}", Fidelity::Lossy),
        ("pr\u{fc}ft".as_bytes(), "pr\u{fc}ft", Fidelity::Exact),
    ];
    for (bytes, text, fidelity) in cases {
        assert_eq!(converted(|out| surrogate_pass(bytes, out)), (text.to_owned(), fidelity), "{bytes:?}");
    }
}

#[test]
fn protocol_0_escapes_are_decoded() {
    let cases: [(&[u8], &str); 6] = [
        (b"plain", "plain"),
        (b"\\u000a\\u005c", "\n\\"),
        (b"\xfc", "\u{fc}"),
        (b"\\U0001f600\\ud83d\\ude00", "\u{1f600}\u{1f600}"),
        (b"\\u12", "\\u12"),
        (b"\\uzzzz\\", "\\uzzzz\\"),
    ];
    for (line, text) in cases {
        assert_eq!(converted(|out| raw_unicode_escape(line, out)), (text.to_owned(), Fidelity::Exact));
    }
    assert_eq!(converted(|out| raw_unicode_escape(b"\\Uffffffff", out)).1, Fidelity::Lossy);
}

#[test]
fn python_2_strings_are_unquoted() {
    let cases: [(&[u8], Option<&[u8]>); 9] = [
        (br"'a\'b'", Some(b"a'b")),
        (br#""it's""#, Some(b"it's")),
        (br"'\x00\xff\n\t\\'", Some(b"\0\xff\n\t\\")),
        (br"'\101\7\400'", Some(b"A\x07\0")),
        (br"'\q'", Some(br"\q")),
        (b"''", Some(b"")),
        (b"'", None),
        (b"'a", None),
        (br"'\x1'", None),
    ];
    for (line, expected) in cases {
        assert_eq!(unquote(line).as_deref(), expected, "{line:?}");
    }
}

#[test]
fn large_integers_become_decimal_digits() {
    let cases: [(&[u8], &str); 7] = [
        (&[], "0"),
        (&[0; 12], "0"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 1], "18446744073709551616"),
        (&[0xff; 9], "-1"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0xff], "-18446744073709551616"),
        (&[0, 0, 0, 0, 0, 0, 0, 0x80], "-9223372036854775808"),
        (&[0, 0, 0, 0x80], "-2147483648"),
    ];
    for (bytes, digits) in cases {
        assert_eq!(integer::decimal(bytes), digits, "{bytes:?}");
    }
}

#[test]
fn memo_keeps_dense_and_sparse_numbers() {
    let mut memo = memo::Memo::default();
    let mut arena = Arena::default();
    let ids: Vec<NodeId> = (0..4).map(|value| arena.push(Node::Integer(value))).collect();
    memo.put(1, ids[0]);
    memo.put(1 << 40, ids[1]);
    memo.put(30, ids[2]); // still sparse
    (2..20).for_each(|number| memo.put(number, ids[0]));
    memo.put(30, ids[3]); // dense by now
    assert_eq!((memo.get(1), memo.get(1 << 40), memo.get(30)), (Some(ids[0]), Some(ids[1]), Some(ids[3])));
    assert_eq!((memo.get(0), memo.get(25), memo.get(u64::MAX)), (None, None, None));
    memo.add(ids[2]); // 21 numbers are set
    assert_eq!(memo.get(21), Some(ids[2]));
    memo.clear();
    assert_eq!(memo.get(1), None);
}
