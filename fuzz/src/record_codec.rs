//! The encoding of records: any records encoded and decoded again, and any bytes as records.

use arbitrary::{Arbitrary, Result, Unstructured};
use logboom::limits::{RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES_MAX};
use logboom::record::{Batch, DecodeError, Origin, RecordRef, Records, origin_of};

use super::records;

/// Checks an input. Its first byte selects whether the rest is records or their encoding.
pub fn check(input: &[u8]) {
    match input {
        [0..0x80, encoded @ ..] => check_decoding(encoded),
        [_, structured @ ..] => {
            let _ = check_encoding(structured); // an error means too few bytes
        }
        [] => {}
    }
}

/// Checks that bytes that cannot be read end the iteration, and that records that can be read are
/// the same when encoded and read again.
fn check_decoding(encoded: &[u8]) {
    let results: Vec<_> = Records::new(encoded).collect();
    assert!(results.iter().rev().skip(1).all(std::result::Result::is_ok), "the walk goes on after an error");
    let whole: Result<Vec<RecordRef<'_>>, DecodeError> =
        results.into_iter().map(|result| result?.record()).collect();
    let Ok(whole) = whole else { return };
    let mut batch = Batch::new();
    whole.iter().for_each(|record| batch.push(record));
    assert_eq!(records::read(&batch), whole);
}

fn check_encoding(structured: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(structured);
    let texts = Texts::new(&mut input)?;
    let input = &mut Unstructured::new(input.take_rest());
    let mut batches = [Batch::new(), Batch::new()];
    let mut pushed = [Vec::new(), Vec::new()];
    let mut origin = origin(&texts, input)?;
    while !input.is_empty() && pushed[0].len() + pushed[1].len() < 64 {
        if input.ratio(1, 3)? {
            origin = self::origin(&texts, input)?;
        }
        let record = record(origin, &texts, input)?;
        let which = usize::from(bool::arbitrary(input)?);
        if !batches[which].is_full() {
            batches[which].push(&record);
            pushed[which].push(record);
        }
    }
    for (batch, pushed) in batches.iter().zip(&pushed) {
        check_batch(batch, pushed);
    }
    check_joined(&batches);
    Ok(())
}

fn check_batch(batch: &Batch, pushed: &[RecordRef<'_>]) {
    let stored = records::read(batch);
    assert_eq!(stored.len(), pushed.len());
    for (stored, pushed) in stored.iter().zip(pushed) {
        match size(pushed) {
            0..=RECORD_BYTES_MAX => assert_eq!(stored, pushed),
            _ => check_cut(stored, pushed),
        }
    }
}

/// Checks that a record that is too large keeps its times, its severity, and the start of its
/// message.
fn check_cut(stored: &RecordRef<'_>, pushed: &RecordRef<'_>) {
    let kept = stored.message.strip_suffix(" [cut by logboom]").expect("a mark");
    assert!(pushed.message.starts_with(kept));
    assert!(size(stored) <= RECORD_BYTES_MAX);
    assert_eq!(
        (stored.timestamp, stored.observed_timestamp, stored.severity_number),
        (pushed.timestamp, pushed.observed_timestamp, pushed.severity_number)
    );
}

/// Checks that batches may be joined end to end, and that equal origins are equal bytes.
fn check_joined(batches: &[Batch; 2]) {
    let joined = [batches[0].bytes(), batches[1].bytes()].concat();
    assert!(joined.len() <= batches.iter().map(size_max).sum());
    let expected: Vec<_> = batches.iter().flat_map(records::read).collect();
    let read: Vec<_> = Records::new(&joined).map(Result::unwrap).collect();
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read.record().unwrap(), *expected);
        assert_eq!(origin_of(read.origin).unwrap(), expected.origin);
    }
    for pair in read.windows(2) {
        let origins = [pair[0], pair[1]].map(|record| origin_of(record.origin).unwrap());
        assert_eq!(origins[0] == origins[1], pair[0].origin == pair[1].origin);
    }
}

fn size_max(batch: &Batch) -> usize {
    batch.count() as usize * RECORD_OVERHEAD_BYTES_MAX + records::read(batch).iter().map(size).sum::<usize>()
}

/// Texts for records, some of them near the bound.
struct Texts {
    long: String,
}

impl Texts {
    fn new(input: &mut Unstructured<'_>) -> Result<Texts> {
        let length = match input.int_in_range(0..=15)? {
            0 => input.int_in_range(RECORD_BYTES_MAX - 64..=RECORD_BYTES_MAX + 64)?,
            1 => input.int_in_range(RECORD_BYTES_MAX / 2 - 64..=RECORD_BYTES_MAX / 2 + 64)?,
            _ => input.int_in_range(0..=300)?,
        };
        let unit = ["x", "\u{fc}", "\u{65e5}", "\u{1f600}"][input.int_in_range(0..=3)?];
        Ok(Texts { long: unit.repeat(length / unit.len()) })
    }

    fn text<'a>(&'a self, input: &mut Unstructured<'a>) -> Result<&'a str> {
        match input.int_in_range(0..=7u8)? {
            0..4 => Ok(""),
            4 => Ok(&self.long),
            _ => <&str>::arbitrary(input),
        }
    }
}

fn origin<'a>(texts: &'a Texts, input: &mut Unstructured<'a>) -> Result<Origin<'a>> {
    Ok(Origin {
        service: texts.text(input)?,
        logger: texts.text(input)?,
        host: texts.text(input)?,
        severity_text: texts.text(input)?,
        file: texts.text(input)?,
        line: input.arbitrary()?,
        function: texts.text(input)?,
        process_id: input.arbitrary()?,
        thread: texts.text(input)?,
    })
}

fn record<'a>(origin: Origin<'a>, texts: &'a Texts, input: &mut Unstructured<'a>) -> Result<RecordRef<'a>> {
    Ok(RecordRef {
        timestamp: input.arbitrary()?,
        observed_timestamp: input.arbitrary()?,
        severity_number: input.arbitrary()?,
        origin,
        message: texts.text(input)?,
        trace_id: texts.text(input)?,
        span_id: texts.text(input)?,
        event_name: texts.text(input)?,
        attributes: texts.text(input)?,
    })
}

fn size(record: &RecordRef<'_>) -> usize {
    let RecordRef { message, trace_id, span_id, event_name, attributes, origin, .. } = record;
    let Origin { service, logger, host, severity_text, file, function, thread, .. } = origin;
    [
        message,
        trace_id,
        span_id,
        event_name,
        attributes,
        service,
        logger,
        host,
        severity_text,
        file,
        function,
        thread,
    ]
    .iter()
    .map(|text| text.len())
    .sum()
}
