//! Pickles that no logger sends: each must cost little, execute nothing, and never cause the loss
//! of another record.

use proptest::prelude::*;

use super::golden_tests::{ARRIVAL, as_json, goldens, outcome};
use super::*;
use crate::limits::*;
use crate::record::{RecordRef, Records};

/// Returns the pickle of a record whose member `x` is the value that some opcodes leave on the
/// stack.
fn with(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(U\x03msgU\x01mU\x01x", value, b"u."].concat()
}

/// Returns the attribute `x` of the record that `with` builds.
fn shown(value: &[u8]) -> serde_json::Value {
    outcome(&with(value))["attributes"]["x"].clone()
}

fn reason(pickle: &[u8]) -> String {
    outcome(pickle)["rejected"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn calls_become_text() {
    assert_eq!(shown(b"cos\nsystem\n(U\x06rm -rftR"), "os.system('rm -rf')");
    assert_eq!(shown(b"c__builtin__\neval\n(U\x031+1tR"), "eval('1+1')");
    // Malformed: the tuple after `INST` is a key without a value.
    assert_eq!(shown(b"(ios\nsystem\nU\x02ls\x85"), serde_json::Value::Null);
    assert_eq!(shown(b"(U\x02lsios\nsystem\n"), "os.system('ls')");
    assert_eq!(shown(b"(cos\nsystem\nU\x02lso"), "os.system('ls')");
    assert_eq!(shown(b"U\x02osU\x06system\x93U\x02ls\x85\x81"), "ls");
    assert_eq!(shown(b"c__builtin__\ngetattr\n(cos\nos\nU\x06systemtRU\x02ls\x85R"), "os.os.system('ls')");
}

#[test]
fn long_shared_key_is_read_only_within_attribute_limit() {
    let name = [&b"X\xe8\x03\0\0"[..], &[b'k'; 1000], b"q\x01"].concat();
    let members = b"h\x01K\x02".repeat(5000);
    let pickle = [b"\x80\x02}(U\x03msgU\x01m", &name[..], b"K\x01", &members, b"u."].concat();
    let attributes = &outcome(&pickle)["attributes"];
    assert_eq!(attributes["k".repeat(1000)], 2);
    assert_eq!(attributes["logboom.dropped_attributes"], 5001 - ATTRIBUTES_BYTES_MAX / 1000);
}

#[test]
fn external_references_become_placeholders() {
    assert_eq!(shown(b"Pabc\n"), "<persid>('abc')");
    assert_eq!(shown(b"K\x05Q"), "<persid>(5)");
    assert_eq!(shown(b"\x82\x07"), "<ext>(7)");
    assert_eq!(shown(b"\x83\x01\x01"), "<ext>(257)");
    assert_eq!(shown(b"\x84\x00\x00\x01\x00"), "<ext>(65536)");
    assert_eq!(shown(b"\x97\x98"), "<buffer>()");
}

#[test]
fn opcodes_no_pickler_writes_are_handled() {
    assert_eq!(shown(b"K\x01K\x020"), 1);
    assert_eq!(shown(b"K\x01(K\x02K\x031"), 1);
    assert_eq!(shown(b"K\x01(0"), 1);
    assert_eq!(shown(b"K\x012\x86"), serde_json::json!([1, 1]));
    assert_eq!(shown(b"I+4\nL+5L\n\x86"), serde_json::json!([4, 5]));
    assert_eq!(reason(&with(b"I+-4\n")), "malformed");
    assert_eq!(reason(b"K\x01."), "not_a_record");
    assert_eq!(outcome(&[&with(b"N")[..], b"trailing"].concat())["message"], "m");
    assert_eq!(outcome(&[b"K\x01K\x02", &with(b"N")[..]].concat())["message"], "m");
}

#[test]
fn bytes_that_are_no_pickle_are_rejected() {
    for bytes in
        [&b""[..], b"}", b"\x80", b"U\xff", b"X\xff\xff\xff\xff", b"(", b"I1", b"\x95\x09\0\0\0\0\0\0\0."]
    {
        assert_eq!(reason(bytes), "truncated", "{bytes:?}");
    }
    let malformed: [&[u8]; 16] = [
        b".",
        b"0",
        b"1",
        b"a",
        b"\xff",
        b"t",
        b"(o",
        b"h\x00",
        b"N}b.",
        b"N}s",
        b"T\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
        b"Ix\n",
        b"Fx\n",
        b"Sx\n",
        b"}(Nu.",
    ];
    for bytes in malformed {
        assert_eq!(reason(bytes), "malformed", "{bytes:?}");
    }
}

#[test]
fn declared_lengths_are_not_trusted() {
    for opcode in [0x8d, 0x8e, 0x96] {
        assert_eq!(reason(&[&[opcode][..], &[0xff; 8]].concat()), "truncated");
    }
    assert_eq!(shown(b"K\x01r\xff\xff\xff\xff"), 1);
    assert_eq!(shown(b"K\x01p18446744073709551615\n"), 1);
    assert_eq!(reason(&with(b"K\x01p99999999999999999999\n")), "malformed");
    assert_eq!(shown(b"K\x01r\xff\xff\xff\xff0j\xff\xff\xff\xff"), 1);
}

/// Protocols 0 to 2 have no opcode for bytes and write them as a call. Two such keys must not
/// become one key.
#[test]
fn keys_of_simple_types_stay_distinct() {
    let encoded = |text: &[u8]| [b"c_codecs\nencode\n(V", text, b"\nVlatin1\ntR"].concat();
    let pairs =
        [&encoded(b"a")[..], b"K\x01", &encoded(b"b"), b"K\x02\x8a\x09\0\0\0\0\0\0\0\0\x01K\x03"].concat();
    let dict = [b"}(", &pairs[..], b"u"].concat();
    assert_eq!(shown(&dict), serde_json::json!({"b'a'": 1, "b'b'": 2, "18446744073709551616": 3}));
}

#[test]
fn nesting_beyond_limit_ends_with_mark() {
    const DEPTH: usize = 100_000;
    let lists = [&b"]".repeat(DEPTH)[..], &b"a".repeat(DEPTH - 1)].concat();
    let tuples = [&b")"[..], &b"\x85".repeat(DEPTH)].concat();
    let objects = [&b"cos\nsystem\n)R"[..], &b"\x85cos\nsystem\nq\x000h\x00)R0".repeat(1000)].concat();
    for value in [lists, tuples, objects] {
        let text = shown(&value).to_string();
        assert!(text.contains("[too deep]") && text.len() < 1000, "{text}");
    }
    assert_eq!(reason(&b"(".repeat(DEPTH)), "truncated");
    let calls = [&b"N"[..], &b"\x85q\x000cos\nf\nh\x00R".repeat(20_000)].concat();
    assert!(shown(&calls).as_str().unwrap().contains("[too deep]"));
    let subclasses = [&b"N"[..], &b"\x85q\x000cos\nf\nh\x00\x81".repeat(20_000)].concat();
    assert_eq!(shown(&subclasses), "[too deep]");
}

#[test]
fn self_reference_becomes_mark() {
    assert_eq!(shown(b"]q\x01h\x01a"), serde_json::json!(["[contains itself]"]));
    assert_eq!(shown(b"}q\x01U\x01kh\x01s"), serde_json::json!({"k": "[contains itself]"}));
    assert_eq!(shown(b"cos\nf\n)Rq\x01h\x01b"), "os.f(**'[contains itself]')");
    // An object whose arguments are a list that contains the object itself.
    let of_itself = b"cos\nf\n]q\x01\x81q\x02h\x01h\x02a0";
    assert!(shown(of_itself).to_string().len() < 100);
}

/// A few bytes that represent far more values, or bytes, than the limits allow.
#[test]
fn bombs_are_cut_short() {
    let doubled = [&b"]"[..], &b"2\x86".repeat(100)].concat();
    let lists = {
        let mut bytes = b"]q\x00U\x01xa".to_vec();
        for level in 0..30u8 {
            bytes.extend([b']', b'q', level + 1, b'(']);
            bytes.extend([b'h', level].repeat(10));
            bytes.push(b'e');
        }
        bytes
    };
    let texts =
        [&b"](X\x00\x04\x00\x00"[..], &[b'x'; 1024], b"q\x01", &b"h\x01".repeat(100_000), b"e"].concat();
    let keys =
        [&b"X\x00\x04\x00\x00"[..], &[b'k'; 1024], b"q\x010}(", &b"h\x01N".repeat(50_000), b"u"].concat();
    for bomb in [doubled, lists, texts, keys] {
        let pickle = with(&bomb);
        let record = outcome(&pickle);
        let text = record["attributes"].to_string();
        assert!(text.contains("[cut by logboom]") || text.contains("[too deep]"), "{}", &text[..100]);
        assert!(text.len() < ATTRIBUTES_BYTES_MAX);
        assert_eq!(record["message"], "m");
    }
}

#[test]
fn text_shared_by_members_stays_within_limit() {
    let mut pickle = b"}(U\x03msgU\x01mX\x00\x00\x08\x00".to_vec();
    pickle.extend(b"x".repeat(512 << 10));
    pickle.extend(b"q\x000");
    for member in 0..1000u16 {
        pickle.extend(format!("U\x04{member:04}h\x00").bytes());
    }
    pickle.extend(b"u.");
    let record = outcome(&pickle);
    assert!(record["attributes"].to_string().len() <= ATTRIBUTES_BYTES_MAX);
    assert_eq!(record["message"], "m");
}

#[test]
fn oversized_integers_are_replaced_by_their_size() {
    let digits = |count: usize| [&b"L"[..], &b"9".repeat(count), b"L\n"].concat();
    assert_eq!(shown(&digits(4300)), "9".repeat(4300));
    assert_eq!(shown(&digits(200_000)), "<int of 200000 digits>");
    let binary = |count: u32| [&b"\x8b"[..], &count.to_le_bytes(), &vec![0x7f; count as usize]].concat();
    assert_eq!(shown(&binary(200_000)), "<int of 200000 bytes>");
    assert_eq!(shown(&binary(1024)).as_str().unwrap().len(), 2466);
    assert_eq!(shown(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\xff"), "-9223372036854775808");
    assert_eq!(shown(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x80"), "-2361183241434822606848");
    assert_eq!(shown(b"\x8a\x00"), 0);
}

#[test]
fn duplicate_keys_keep_last_value() {
    let equal =
        [&b"}(U\x03msgU\x01a"[..], &b"U\x01kK\x01".repeat(100_000), b"U\x01kK\x02U\x03msgU\x01bu."].concat();
    let record = outcome(&equal);
    assert_eq!((&record["message"], &record["attributes"]), (&"b".into(), &serde_json::json!({"k": 2})));
}

#[test]
fn excess_members_are_counted() {
    let mut pickle = b"}(".to_vec();
    for member in 0..100_000 {
        pickle.extend(format!("U\x06{member:06}N").bytes());
    }
    pickle.extend(b"U\x03msgU\x01mu.");
    let record = outcome(&pickle);
    assert_eq!(record["message"], "m");
    assert_eq!(record["attributes"]["logboom.dropped_attributes"], 100_000 - ATTRIBUTES_MAX as u64);
}

#[test]
fn too_many_opcodes_are_rejected() {
    assert_eq!(reason(&b"N".repeat(4 << 20)), "too_complex");
    assert_eq!(reason(&b"N0".repeat(1 << 20)), "too_complex");
}

#[test]
fn memory_is_released_after_huge_frame() {
    let mut scratch = PickleScratch::default();
    let huge = [&b"](q\x01"[..], &b"]".repeat(200_000), b"e."].concat();
    let plain = with(b"]");
    let mut batch = Batch::new();
    for pickle in [&huge, &plain, &plain] {
        let _ = decode(pickle, &ARRIVAL, &mut scratch, &mut batch);
    }
    assert_eq!(batch.count(), 2);
    assert!(scratch.machine.arena.capacity_bytes() < 100 * DECODER_SCRATCH_MAX);
}

#[test]
fn truncated_golden_is_rejected() {
    let mut scratch = PickleScratch::default();
    let goldens = goldens();
    let small =
        goldens.iter().filter(|golden| golden.pickle.len() < 3000 && golden.name != "reject_not_a_record");
    let kinds = [("2.7", "p0"), ("2.7", "stock"), ("3.13", "p1"), ("3.13", "p5")];
    for golden in small.filter(|golden| kinds.contains(&(&golden.python, &golden.variant))) {
        for length in 0..golden.pickle.len() {
            let mut batch = Batch::new();
            let result = decode(&golden.pickle[..length], &ARRIVAL, &mut scratch, &mut batch);
            let rejection = result.expect_err(&golden.name);
            assert!(["truncated", "malformed"].contains(&rejection.reason), "{rejection:?}");
            assert!(batch.is_empty());
        }
    }
}

/// Returns true if the attributes of a decoded record are empty or one valid JSON object.
fn is_whole(record: &RecordRef<'_>) -> bool {
    record.attributes.is_empty()
        || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(record.attributes).is_ok()
}

proptest! {
    #[test]
    fn damaged_goldens_never_panic(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        thread_local!(static GOLDENS: Vec<Vec<u8>> = goldens().into_iter().map(|golden| golden.pickle).collect());
        let mut pickle = GOLDENS.with(|goldens| which.get(goldens).clone());
        for (at, byte) in flips {
            let at = at.index(pickle.len());
            pickle[at] = byte;
        }
        let mut batch = Batch::new();
        if decode(&pickle, &ARRIVAL, &mut PickleScratch::default(), &mut batch).is_ok() {
            let record = Records::new(batch.bytes()).next().unwrap().unwrap().record().unwrap();
            prop_assert!(is_whole(&record), "{}", record.attributes);
        } else {
            prop_assert!(batch.is_empty());
        }
    }

    /// Random programs made of real opcodes reach far more states than random bytes.
    #[test]
    fn random_programs_never_panic(opcodes in prop::collection::vec(0..28usize, 0..200)) {
        const PARTS: [&[u8]; 28] = [
            b"(", b"N", b"K\x01", b"U\x01a", b"U\x03msg", b"]", b"}", b")", b"t", b"\x85", b"\x86", b"l", b"d", b"a",
            b"e", b"s", b"u", b"q\x01", b"h\x01", b"cos\nsystem\n", b"R", b"\x81", b"b", b"2", b"0", b"1",
            b"ccollections\nOrderedDict\n", b"\x92",
        ];
        let mut pickle = b"}q\x01".to_vec();
        pickle.extend(opcodes.iter().flat_map(|opcode| PARTS[*opcode]));
        for end in [&b"."[..], b"U\x01ah\x01s.", b"0}U\x01ah\x01s."] {
            let mut batch = Batch::new();
            let pickle = [&pickle, end].concat();
            if decode(&pickle, &ARRIVAL, &mut PickleScratch::default(), &mut batch).is_ok() {
                prop_assert!(as_json(&batch).is_object());
            }
        }
    }
}
