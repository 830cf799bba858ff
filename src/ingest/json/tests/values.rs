//! Splitting bodies into values.

use proptest::prelude::*;

use super::*;
use crate::limits::JSON_RECORD_BYTES_MAX;

/// Returns the values of a body that arrives in these chunks, or the reasons why there are none.
fn cut<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    framing: Framing,
) -> Vec<(u64, Result<String, String>)> {
    let mut values = Vec::new();
    let mut take = |line, value: Result<&[u8], Rejection>| {
        let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
        values.push((line, value.map_err(|rejection| format!("{}: {rejection}", rejection.reason))));
    };
    let mut splitter = Splitter::new(framing);
    for chunk in chunks {
        splitter.push(chunk, &mut take);
    }
    splitter.finish(&mut take);
    values
}

/// Returns the values of a body, and asserts that they are the same in chunks of any size.
fn values(body: &str, framing: Framing) -> Vec<(u64, Result<String, String>)> {
    let whole = cut([body.as_bytes()], framing);
    for size in [1, 2, 3, 7, 16] {
        assert_eq!(cut(body.as_bytes().chunks(size), framing), whole, "in chunks of {size}");
    }
    whole
}

fn good(line: u64, value: &str) -> (u64, Result<String, String>) {
    (line, Ok(value.to_owned()))
}

fn bad(line: u64, error: &str) -> (u64, Result<String, String>) {
    (line, Err(error.to_owned()))
}

#[test]
fn content_type_determines_framing() {
    for lines in ["application/x-ndjson", "Application/JSONL; charset=utf-8", "application/ndjson"] {
        assert_eq!(Framing::of_content_type(lines), Framing::Lines, "{lines}");
    }
    for sniffed in ["", "application/json", "text/plain", "application/json; a=application/jsonl"] {
        assert_eq!(Framing::of_content_type(sniffed), Framing::Sniff, "{sniffed}");
    }
}

#[test]
fn lines_are_values() {
    let body = "\u{feff}\r\n{\"a\":1}\r\n\n  {\"b\":\"}{\"}\nnonsense\n{\"c\":\n{\"d\":4}";
    let expected = [
        good(2, "{\"a\":1}"),
        good(4, "  {\"b\":\"}{\"}"),
        good(5, "nonsense"),
        good(6, "{\"c\":"),
        good(7, "{\"d\":4}"),
    ];
    let mut values = values(body, Framing::Lines);
    values[1].1 = values[1].1.clone().map(|value| format!("  {}", value.trim_start()));
    assert_eq!(values, expected);
}

#[test]
fn braces_in_strings_do_not_affect_objects() {
    let body = "{\"a\":\"{\"} {\"b\":\"}\"}\n{\"a\":\"{\"}}\n{\"a\":\"\\\"{\"} {\"b\":\"}\"}\n{\"a\":{\"b\":\"\\\"\"}}\n";
    let expected = [
        good(1, "{\"a\":\"{\"}"),
        good(1, "{\"b\":\"}\"}"),
        good(2, "{\"a\":\"{\"}"),
        good(2, "}"),
        good(3, "{\"a\":\"\\\"{\"}"),
        good(3, "{\"b\":\"}\"}"),
        good(4, "{\"a\":{\"b\":\"\\\"\"}}"),
    ];
    assert_eq!(values(body, Framing::Sniff), expected);
}

#[test]
fn objects_of_any_layout_are_found() {
    let body = "{\"a\":1}{\"b\":{\"c\":[{}]}} {\"d\":\"}{\"}\n{\n  \"e\": {\"f\": 1}\n}\n{\"g\":1},\n{}\n{\"h\":[\n{\"i\":1},\n\
        {\"j\":1}\n]}";
    let expected = [
        good(1, "{\"a\":1}"),
        good(1, "{\"b\":{\"c\":[{}]}}"),
        good(1, "{\"d\":\"}{\"}"),
        good(2, "{\n  \"e\": {\"f\": 1}\n}"),
        good(5, "{\"g\":1}"),
        good(6, "{}"),
        good(7, "{\"h\":[\n{\"i\":1},\n{\"j\":1}\n]}"),
    ];
    assert_eq!(values(body, Framing::Sniff), expected);
}

#[test]
fn broken_object_costs_only_itself() {
    for broken in [
        "{\"a\":1,\"b",
        "{\"a\":1,",
        "{\"a\":[1}",
        "{\"a\":{\"b\":1}",
        "{",
        "{\"a\" {}}",
        "oops",
        "}",
        "{\"a\":\"\\",
    ] {
        let body = format!("{{\"x\":1}}\n{broken}\n{{\"y\":2}}\n{{\"z\":3}}\n");
        let values = values(&body, Framing::Sniff);
        let lines: Vec<_> = values.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4], "{broken}");
        assert_eq!(values[2..], [good(3, "{\"y\":2}"), good(4, "{\"z\":3}")], "{broken}");
        let (batch, rejections) = take(body.as_bytes(), Framing::Sniff);
        assert_eq!((batch.count(), rejections.len(), rejections[0].0), (3, 1, 2), "{broken}");
    }
}

#[test]
fn object_cut_after_colon_takes_next_object() {
    let (batch, rejections) = take(b"{\"x\":\n{\"y\":1}\n{\"z\":1}\n", Framing::Sniff);
    assert_eq!((batch.count(), rejections.len(), rejections[0].0), (1, 1, 1));
    let (batch, rejections) = take(b"{\"x\":\n{\"y\":1}\n{\"z\":1}\n", Framing::Lines);
    assert_eq!((batch.count(), rejections.len(), rejections[0].0), (2, 1, 1));
}

#[test]
fn array_elements_are_values() {
    let body = " [\n{\"a\":\"]\"},\n  {\"b\":\n2}, 17 ,\"s\" , [1]\n,null]\n";
    let expected = [
        good(2, "{\"a\":\"]\"}"),
        good(3, "{\"b\":\n2}"),
        good(4, "17"),
        good(4, "\"s\""),
        good(4, "[1]"),
        good(5, "null"),
    ];
    assert_eq!(values(body, Framing::Sniff), expected);
    assert_eq!(values(body, Framing::Lines), expected);
    assert_eq!(values("[]", Framing::Sniff), []);
}

#[test]
fn broken_array_keeps_preceding_elements() {
    let cases = [
        (
            "[{\"a\":1},\n{\"b\":[}]",
            bad(2, "malformed: a closing bracket does not match an opening bracket: the rest was not read"),
        ),
        ("[{\"a\":1},\n{\"b", bad(2, "malformed: the body ends before the array does")),
        ("[{\"a\":1}\n", bad(2, "malformed: the body ends before the array does")),
        (
            "[{\"a\":1}\n{\"b\":2}]",
            bad(2, "malformed: expected `,` or `]` after an element: the rest was not read"),
        ),
        ("[{\"a\":1}]\n{}", bad(2, "malformed: the array has ended: the rest was not read")),
    ];
    for (body, error) in cases {
        assert_eq!(values(body, Framing::Sniff), [good(1, "{\"a\":1}"), error], "{body}");
    }
}

#[test]
fn too_large_value_is_skipped_unbuffered() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(JSON_RECORD_BYTES_MAX));
    for (body, framing) in [
        (format!("{{}}\n{large}\n{{}}\n"), Framing::Sniff),
        (format!("{{}}\n{large}\n{{}}\n"), Framing::Lines),
        (format!("[{{}},\n{large},\n{{}}]"), Framing::Sniff),
    ] {
        for size in [1 << 12, 1 << 16, body.len()] {
            let values = cut(body.as_bytes().chunks(size), framing);
            let too_large = bad(2, "too_large: the record is larger than 1048576 bytes");
            assert_eq!(values, [good(1, "{}"), too_large, good(3, "{}")], "in chunks of {size}");
        }
    }
}

#[test]
fn empty_body_has_no_values() {
    for body in ["", "\n\r\n  ", "\u{feff}"] {
        assert_eq!(values(body, Framing::Sniff), []);
        assert_eq!(values(body, Framing::Lines), []);
    }
}

fn any_object() -> impl Strategy<Value = String> {
    let text = "[a\"\\\\{}\\[\\],:\u{e9} ]{0,8}";
    let members = proptest::collection::vec((text, text, any::<bool>()), 0..4);
    (members, any::<bool>()).prop_map(|(members, pretty)| {
        let mut object = serde_json::Map::new();
        for (name, value, nested) in members {
            let value = if nested { serde_json::json!([{ "a": value }]) } else { value.into() };
            object.insert(name, value);
        }
        if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap()
    })
}

proptest! {
    #[test]
    fn objects_are_split_in_any_chunks(
        objects in proptest::collection::vec(any_object(), 0..6),
        between in "[\r\n ]{0,3}",
        as_array in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let body = match as_array {
            true => format!("[{between}{}]", objects.join(&format!("{between},"))),
            false => objects.join(&between),
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]);
        let found: Vec<_> = cut(chunks, Framing::Sniff).into_iter().map(|(_, value)| value.unwrap()).collect();
        prop_assert_eq!(found, objects);
    }

    #[test]
    fn arbitrary_bodies_never_panic(body in "[a{}\\[\\]\",:\\\\\n 1]{0,60}", size in 1usize..9) {
        for framing in [Framing::Sniff, Framing::Lines] {
            cut(body.as_bytes().chunks(size), framing);
            let (batch, _) = take(body.as_bytes(), framing);
            prop_assert_eq!(as_json(&batch).lines().count(), batch.count() as usize);
        }
    }
}
