//! Property: pages forwards and backwards contain every record once.

use serde_json::{Value, json};

use super::ids;
use super::parity::Both;

fn cursor<'a>(page: &'a Value, name: &str) -> Option<&'a str> {
    page[name].as_str()
}

#[test]
fn pages_are_the_same_backwards() {
    let both = Both::with(500);
    for (query, order, limit) in [
        ("", "desc", "100"),
        ("", "asc", "73"),
        ("level:warn", "desc", "7"),
        ("level:warn", "asc", "50"),
        ("\"of many\"", "desc", "499"),
    ] {
        let get = |cursor: &str| {
            let page = both.get(
                "/api/v1/records",
                &[("q", query), ("order", order), ("limit", limit), ("cursor", cursor)],
            );
            assert_eq!(page["partial"], false);
            page
        };
        let mut pages = vec![get("")];
        while let Some(next) = cursor(pages.last().unwrap(), "next_cursor") {
            pages.push(get(next));
        }
        assert!(pages.len() > 1);
        for at in (1..pages.len()).rev() {
            let back = get(cursor(&pages[at], "previous_cursor").unwrap());
            assert_eq!(ids(&back), ids(&pages[at - 1]), "{query} {order}");
            // From there, the next page is the same as before.
            let again = get(cursor(&back, "next_cursor").unwrap());
            assert_eq!(ids(&again), ids(&pages[at]), "{query} {order}");
        }
        // Before the first page there is nothing, and the cursor forwards is known.
        let before = get(cursor(&pages[0], "previous_cursor").unwrap());
        assert_eq!(ids(&before), [0; 0]);
        assert_eq!(ids(&get(cursor(&before, "next_cursor").unwrap())), ids(&pages[0]));
        assert_eq!(cursor(&before, "previous_cursor"), cursor(&pages[0], "previous_cursor"));
        // After the last page there is nothing, and the cursor backwards is known.
        let last = *ids(pages.last().unwrap()).last().unwrap();
        let behind = get(&last.to_string());
        assert_eq!((ids(&behind), &behind["next_cursor"]), (vec![], &Value::Null));
        let back = get(cursor(&behind, "previous_cursor").unwrap());
        assert_eq!(ids(&back).last(), Some(&last));
    }
}

#[test]
fn page_before_the_newest_shows_later_records() {
    let both = Both::with(30);
    let first = both.get("/api/v1/records", &[("limit", "10")]);
    let before = cursor(&first, "previous_cursor").unwrap();
    assert_eq!(ids(&both.get("/api/v1/records", &[("cursor", before)])), [0; 0]);
    both.post("{\"time\":1,\"message\":\"one\"}\n{\"time\":2,\"message\":\"two\"}");
    assert_eq!(ids(&both.get("/api/v1/records", &[("cursor", before)])), [48, 47]);
    assert_eq!(ids(&both.get("/api/v1/records", &[("cursor", before), ("limit", "1")])), [47]);
}

#[test]
fn empty_answer_has_cursors_only_if_one_was_given() {
    let both = Both::with(10);
    let none = both.get("/api/v1/records", &[("q", "nothing")]);
    assert_eq!(none, json!({"records": [], "next_cursor": null, "previous_cursor": null, "partial": false}));
    let behind = both.get("/api/v1/records", &[("q", "nothing"), ("cursor", "5")]);
    assert_eq!((&behind["next_cursor"], behind["previous_cursor"].is_string()), (&Value::Null, true));
    for cursor in ["--1", "x", "5 ", "-", "1.0"] {
        assert_eq!(both.answer("/api/v1/records", &[("cursor", cursor)]).status, 400, "{cursor}");
    }
    for (cursor, order) in
        [("0", "desc"), ("-0", "asc"), ("18446744073709551615", "asc"), ("-18446744073709551615", "desc")]
    {
        let answer = both.get("/api/v1/records", &[("cursor", cursor), ("order", order)]);
        assert_eq!(ids(&answer), [0; 0], "{cursor} {order}");
    }
}

/// All records have the same time, so that only their ids distinguish them.
#[test]
fn arriving_records_do_not_shift_pages() {
    let both = Both::start();
    let post = || both.post(&"{\"time\":1,\"message\":\"same\"}\n".repeat(5));
    (0..10).for_each(|_| post());
    for order in ["desc", "asc"] {
        let get = |cursor: &str| {
            both.get(
                "/api/v1/records",
                &[("order", order), ("limit", "7"), ("cursor", cursor), ("q", "same")],
            )
        };
        let mut pages = vec![get("")];
        while pages.len() < 9
            && let Some(next) = cursor(pages.last().unwrap(), "next_cursor")
        {
            post();
            pages.push(get(next));
        }
        let seen: Vec<_> = pages.iter().flat_map(ids).collect();
        let first = seen[0];
        let expected: Vec<_> = match order {
            "asc" => (1..).take(seen.len()).collect(),
            _ => (1..=first).rev().collect(),
        };
        assert_eq!(seen, expected, "{order}");
        for at in (1..pages.len()).rev() {
            post();
            let back = get(cursor(&pages[at], "previous_cursor").unwrap());
            assert_eq!(ids(&back), ids(&pages[at - 1]), "{order}");
        }
    }
}
