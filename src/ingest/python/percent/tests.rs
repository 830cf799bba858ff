//! Python's `%` formatting, compared with what CPython prints.

use super::super::repr;
use super::*;

fn value(json: &serde_json::Value) -> PercentValue<'_> {
    match json {
        serde_json::Value::Bool(value) => PercentValue::Bool(*value),
        serde_json::Value::String(text) => PercentValue::Text(text),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => PercentValue::Integer(value),
            (None, Some(1e30)) => PercentValue::Long(format!("1{}", "0".repeat(30))),
            (None, value) => PercentValue::Float(value.unwrap()),
        },
        _ => PercentValue::Other("None".to_owned()),
    }
}

fn merged(template: &str, arguments: &serde_json::Value) -> Option<String> {
    match arguments {
        serde_json::Value::Array(values) => {
            let values: Vec<_> = values.iter().map(value).collect();
            format(template, &PercentArguments::Positional(&values))
        }
        serde_json::Value::Object(pairs) => {
            let mut whole = String::new();
            for (name, value) in pairs {
                whole += &repr::text(name);
                whole = format!("{{{whole}: {value}}}");
            }
            let pairs: Vec<_> = pairs.iter().map(|(name, json)| (name.as_str(), value(json))).collect();
            format(template, &PercentArguments::Named(&pairs, &PercentValue::Other(whole)))
        }
        _ => None,
    }
}

/// Compares with the results of Python itself (`tests/data/python/percent.py`).
#[test]
fn format_matches_python() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/python/percent.json");
    let cases: Vec<(String, serde_json::Value, Option<String>)> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() > 3000);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(template, arguments, expected)| {
            let got = merged(template, arguments);
            (got != *expected)
                .then(|| format!("{template:?} % {arguments}: expected {expected:?}, got {got:?}\n"))
        })
        .collect();
    assert_eq!(wrong.concat(), "");
}

#[test]
fn format_beyond_limits_returns_none() {
    let one = [PercentValue::Integer(1)];
    let text = "x".repeat(crate::limits::RECORD_BYTES_MAX / 2);
    let named = [("a", PercentValue::Text(&text))];
    let whole = PercentValue::Other(String::new());
    assert!(format("%1000d", &PercentArguments::Positional(&one)).is_some());
    assert_eq!(format("%1001d", &PercentArguments::Positional(&one)), None);
    assert_eq!(format("%99999999999999999999d", &PercentArguments::Positional(&one)), None);
    assert_eq!(format("%.1001f", &PercentArguments::Positional(&one)), None);
    assert_eq!(format(&"%%".repeat(PERCENT_DIRECTIVES_MAX), &PercentArguments::Positional(&[])), None);
    assert!(format("%(a)s%(a)s", &PercentArguments::Named(&named, &whole)).is_some());
    assert_eq!(format("%(a).0s%(a).0s%(a).0s", &PercentArguments::Named(&named, &whole)), None);
}
