//! Result files: a written file is read back unchanged, and a broken file is named.

use proptest::prelude::*;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::Path;

use reports::schema::{
    Block, COLUMNS_VERSION, End, Failure, Group, Header, Lane, Record, SCHEMA_VERSION, Sample,
};
use reports::store::{Claim, Limits, Medium, ReadError, WriteError, Writer, read, read_from};

fn header() -> Header {
    Header {
        schema_version: SCHEMA_VERSION,
        run_id: "r1".into(),
        ..Header::default()
    }
}

fn group(block: u64) -> Record {
    Record::Group(Group {
        workload: "spawn.one".into(),
        lane: "thread".into(),
        block_index: block,
        samples: vec![Sample {
            elapsed_ns: 26_000,
            operations_count: 1,
            ..Sample::default()
        }],
        ..Group::default()
    })
}

fn block(index: u64) -> Block {
    Block {
        block_index: index,
        ..Block::default()
    }
}

fn text(records: &[Record]) -> String {
    records
        .iter()
        .map(|record| serde_json::to_string(record).expect("JSON") + "\n")
        .collect()
}

fn read_text(text: &str) -> Result<reports::Run, ReadError> {
    read_from(Cursor::new(text), Path::new("run.jsonl"), Limits::default())
}

fn message(text: &str) -> String {
    read_text(text).expect_err("an error").to_string()
}

#[test]
fn a_written_file_reads_back_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let mut writer = Writer::create(&path, &header()).expect("a new file");
    writer.append(&group(0)).expect("a group");
    writer
        .append(&Record::Failure(Failure::default()))
        .expect("a failure");
    writer.end_block(block(0)).expect("a block");
    writer.finish(End::default()).expect("an end");

    let run = read(&path).expect("a good file");
    assert_eq!(
        (run.groups.len(), run.failures.len(), run.blocks.len()),
        (1, 1, 1)
    );
    let end = run.end.as_ref().expect("an end");
    assert_eq!(
        (end.groups_count, end.samples_count, end.failures_count),
        (1, 1, 1)
    );
    assert!(run.is_complete() && run.warnings.is_empty());
}

#[test]
fn create_over_an_existing_file_is_refused_and_leaves_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    std::fs::write(&path, "precious").expect("a file");
    let error = Writer::create(&path, &header()).expect_err("refused");
    assert!(matches!(error, WriteError::Exists { .. }), "{error}");
    assert_eq!(
        std::fs::read_to_string(&path).expect("the file"),
        "precious"
    );
}

#[test]
fn truncated_last_line_is_left_out_with_a_warning() {
    let whole = text(&[Record::Header(Box::new(header())), group(0), group(1)]);
    let run = read_text(&whole[..whole.len() - 20]).expect("the rest is good");
    assert_eq!(run.groups.len(), 1);
    assert!(run.warnings[0].contains("run.jsonl:3") && run.warnings[0].contains("cut off"));
    assert!(run.warnings[1].contains("no closing line"));
}

#[test]
fn last_line_without_its_newline_but_whole_is_used() {
    let whole = text(&[Record::Header(Box::new(header())), group(0)]);
    let run = read_text(whole.trim_end()).expect("good");
    assert_eq!(run.groups.len(), 1);
}

#[test]
fn garbage_in_the_middle_names_file_and_line() {
    let message = message(&format!(
        "{}%%%\n",
        text(&[Record::Header(Box::new(header())), group(0)])
    ));
    assert!(message.starts_with("run.jsonl:3: not JSON"), "{message}");
}

#[test]
fn file_that_is_not_json_at_all_names_file_and_line() {
    let message = message("<!doctype html>\n");
    assert!(message.starts_with("run.jsonl:1: not JSON"), "{message}");
}

#[test]
fn json_without_a_header_is_refused() {
    let message = message("{\"a\": 1}\n");
    assert!(
        message.contains("not a header") && message.contains("run.jsonl"),
        "{message}"
    );
}

#[test]
fn empty_file_says_so() {
    assert!(message("").contains("empty"));
}

#[test]
fn newer_version_asks_for_a_newer_program() {
    let newer = Header {
        schema_version: COLUMNS_VERSION + 1,
        ..header()
    };
    let message = message(&text(&[Record::Header(Box::new(newer))]));
    assert!(
        message.contains("newer threadbare") && message.contains("run.jsonl:1"),
        "{message}"
    );
}

#[test]
fn version_zero_and_no_version_are_refused() {
    let zero = Header {
        schema_version: 0,
        ..header()
    };
    assert!(message(&text(&[Record::Header(Box::new(zero))])).contains("never written"));
    assert!(message("{\"type\":\"header\"}\n").contains("schema_version"));
}

#[test]
fn missing_file_says_what_to_give() {
    let message = read(Path::new("no/such/run.jsonl"))
        .expect_err("missing")
        .to_string();
    assert!(message.contains("no/such/run.jsonl") && message.contains("run.jsonl that a run"));
}

#[test]
fn second_header_and_records_after_the_end_are_refused() {
    let head = Record::Header(Box::new(header()));
    assert!(message(&text(&[head.clone(), head.clone()])).contains("merge"));
    let end = Record::End(End::default());
    assert!(message(&text(&[head, end, group(0)])).contains("after the end"));
}

/// An endless stream of `x` that counts the bytes read.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b'x');
        self.0 += buffer.len() as u64;
        assert!(
            self.0 < 64 << 20,
            "the reader must stop long before a 1 GiB line is read"
        );
        Ok(buffer.len())
    }
}

#[test]
fn line_of_a_gibibyte_is_refused_before_it_is_read() {
    let head = text(&[Record::Header(Box::new(header()))]);
    let source = BufReader::new(Cursor::new(head).chain(Endless(0).take(1 << 30)));
    let error = read_from(source, Path::new("big.jsonl"), Limits::default()).expect_err("refused");
    let message = error.to_string();
    assert!(
        message.starts_with("big.jsonl:2:") && message.contains("longer than"),
        "{message}"
    );
}

#[test]
fn too_many_lines_samples_or_bytes_are_refused() {
    let lines = text(&[Record::Header(Box::new(header())), group(0), group(1)]);
    let big = Limits::default();
    for (limits, word) in [
        (
            Limits {
                lines_count: 2,
                ..big
            },
            "lines",
        ),
        (
            Limits {
                samples_count: 1,
                ..big
            },
            "samples",
        ),
        (
            Limits {
                file_bytes: 100,
                ..big
            },
            "larger",
        ),
    ] {
        let error = read_from(Cursor::new(&lines), Path::new("f"), limits).expect_err("refused");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn deeply_nested_line_is_refused_and_does_not_overflow_the_stack() {
    let nested = "[".repeat(1 << 20);
    let head = text(&[Record::Header(Box::new(header()))]);
    assert!(message(&format!("{head}{nested}\n")).contains("recursion limit"));
}

#[test]
fn resume_removes_the_lines_after_the_last_block_and_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let mut writer = Writer::create(&path, &header()).expect("a new file");
    writer.append(&group(0)).expect("a group");
    writer.end_block(block(0)).expect("a block");
    writer
        .append(&group(1))
        .expect("a group that will be measured again");
    drop(writer);
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("the file");
    file.write_all(b"{\"type\":\"gro").expect("half a line");

    let mut writer = Writer::resume(Claim::of(&path).expect("claimed")).expect("resumed");
    writer.append(&group(1)).expect("a group");
    writer.end_block(block(1)).expect("a block");
    writer.finish(End::default()).expect("an end");

    let run = read(&path).expect("good");
    assert_eq!(
        run.groups.iter().map(|g| g.block_index).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(run.end.expect("an end").groups_count, 2);
    assert!(
        matches!(
            Claim::of(&path).and_then(Writer::resume),
            Err(WriteError::Exists { .. })
        ),
        "it has ended"
    );
}

#[test]
fn resume_continues_after_an_interrupted_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let mut writer = Writer::create(&path, &header()).expect("a new file");
    writer.append(&group(0)).expect("a group");
    writer.end_block(block(0)).expect("a block");
    let end = End {
        interrupted: true,
        ..End::default()
    };
    writer.finish(end).expect("an end");

    let mut writer = Writer::resume(Claim::of(&path).expect("claimed")).expect("resumed");
    writer.append(&group(1)).expect("a group");
    writer.end_block(block(1)).expect("a block");
    writer.finish(End::default()).expect("an end");

    let run = read(&path).expect("good");
    assert!(run.is_complete() && run.warnings.is_empty(), "{run:?}");
    assert_eq!((run.groups.len(), run.blocks.len()), (2, 2));
    // The records that were cut off are not counted.
    assert_eq!(
        run.end.as_ref().expect("an end").records_count,
        run.records_count()
    );
}

/// A disk with room for `room` bytes.
#[derive(Default)]
struct SmallDisk {
    bytes: Vec<u8>,
    room: usize,
    syncs: u32,
    /// How many of the next cuts fail.
    failing_cuts: u32,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room - self.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for &mut SmallDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        if self.failing_cuts > 0 {
            self.failing_cuts -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.truncate(usize::try_from(len).expect("small"));
        Ok(())
    }
}

#[test]
fn full_disk_keeps_every_line_before_it_and_says_so() {
    let mut disk = SmallDisk {
        room: 1400,
        ..SmallDisk::default()
    };
    let mut writer = Writer::on(&mut disk, Path::new("run.jsonl"));
    writer
        .append(&Record::Header(Box::new(header())))
        .expect("room for the header");
    let mut whole = 0;
    let error = loop {
        match writer.append(&group(whole)) {
            Ok(()) => whole += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, WriteError::Full { lines, .. } if lines == whole + 1),
        "{error}"
    );
    assert!(error.to_string().contains("--resume"), "{error}");
    assert!(whole > 0, "there was room for a group");
    let run = read_text(std::str::from_utf8(&disk.bytes).expect("text")).expect("a good file");
    assert_eq!(run.groups.len() as u64, whole);
}

#[test]
fn line_that_could_not_be_removed_is_removed_before_the_next_one() {
    let header = Record::Header(Box::new(header()));
    // A third group has no room.
    let all_records = [header.clone(), group(0), group(1), group(2)];
    let mut disk = SmallDisk {
        room: text(&all_records).len() - 1,
        failing_cuts: 2,
        ..SmallDisk::default()
    };
    let mut writer = Writer::on(&mut disk, Path::new("run.jsonl"));
    for record in &all_records[..3] {
        writer.append(record).expect("room for it");
    }
    writer
        .append(&all_records[3])
        .expect_err("the disk is full");
    // The line is there in part. While it cannot be removed, nothing is appended to it.
    let mark = Record::Block(block(0));
    writer.append(&mark).expect_err("the second cut fails");
    writer.append(&mark).expect("room for a short line");
    let run = read_text(std::str::from_utf8(&disk.bytes).expect("text")).expect("a good file");
    assert_eq!((run.groups.len(), run.blocks.len()), (2, 1));
}

#[test]
fn end_of_a_block_is_synced() {
    let mut disk = SmallDisk {
        room: 1 << 20,
        ..SmallDisk::default()
    };
    let mut writer = Writer::on(&mut disk, Path::new("run.jsonl"));
    writer.append(&group(0)).expect("a group");
    writer.end_block(block(0)).expect("a block");
    drop(writer);
    assert_eq!(disk.syncs, 1);
}

#[test]
fn lanes_of_old_files_are_read_under_their_present_names() {
    let named = |name: &str, noun: &str, of: Option<&str>| Lane {
        name: name.into(),
        noun: noun.into(),
        variant_of: of.map(str::to_owned),
        ..Lane::default()
    };
    let mut header = header();
    header.design.reference_lane = "goroutine".into();
    header.lanes = vec![
        named("goroutine", "goroutine", None),
        named("goroutine-fixed8k", "8 KiB goroutine", Some("goroutine")),
        named("goroutine@base", "goroutine", None),
        named("go", "Go goroutine", None),
    ];
    let Record::Group(mut group) = group(0) else {
        unreachable!("it is a group");
    };
    group.lane = "goroutine".into();
    let records = [Record::Header(Box::new(header)), Record::Group(group)];
    let run = read_text(&text(&records)).expect("good");
    let lanes = run.header.lanes.iter();
    let lanes: Vec<_> = lanes
        .map(|lane| (lane.name.as_str(), lane.noun.as_str()))
        .collect();
    assert_eq!(
        lanes,
        [
            ("threadbare", "threadbare goroutine"),
            ("threadbare-fixed8k", "8 KiB threadbare goroutine"),
            ("threadbare@base", "threadbare goroutine"),
            ("go", "Go goroutine"),
        ]
    );
    assert_eq!(
        run.header.lanes[1].variant_of.as_deref(),
        Some("threadbare")
    );
    assert_eq!(run.header.design.reference_lane, "threadbare");
    assert_eq!(run.groups[0].lane, "threadbare");
}

#[test]
fn fixture_of_the_first_version_is_still_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1-small.jsonl");
    let run = read(&path).expect("a good file");
    assert_eq!((run.groups.len(), run.samples_count()), (2, 3));
    assert_eq!(run.unknown.len(), 1, "the unknown kind is kept");
    assert!(run.warnings.is_empty(), "{:?}", run.warnings);
}

proptest! {
    #[test]
    fn damaged_file_is_read_or_refused_and_never_panics(
        place in 0_usize..4000,
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        cut in 0_usize..4000,
    ) {
        let fixture = include_bytes!("../fixtures/v1-small.jsonl");
        let mut damaged = fixture.to_vec();
        let place = place.min(damaged.len());
        let end = (place + bytes.len()).min(damaged.len());
        damaged.splice(place..end, bytes);
        damaged.truncate(damaged.len().saturating_sub(cut / 8));
        match read_from(Cursor::new(&damaged), Path::new("run.jsonl"), Limits::default()) {
            // A file that can be read can also be shown without an error.
            Ok(run) => prop_assert!(reports::html::render(&run).ends_with("</html>")),
            Err(error) => prop_assert!(error.to_string().contains("run.jsonl")),
        }
    }
}

#[test]
fn impossible_records_are_refused_by_name() {
    let lane = |name: &str| Lane {
        name: name.into(),
        ..Lane::default()
    };
    let mut doubled = header();
    doubled.lanes = vec![lane("thread"), lane("tokio"), lane("thread")];
    let mut negative = header();
    negative.design.threshold_ratio = -0.05;
    for (header, words) in [
        (doubled, "the lane \"thread\" occurs twice"),
        (negative, "threshold_ratio is below 0"),
    ] {
        let said = message(&text(&[Record::Header(Box::new(header))]));
        assert!(said.contains(words), "{said}");
    }
    let Record::Group(mut long) = group(0) else {
        unreachable!("it makes a group")
    };
    long.samples[0].elapsed_ns = u64::MAX;
    let records = [Record::Header(Box::new(header())), Record::Group(long)];
    assert!(message(&text(&records)).contains("below 2^53"));
}

#[test]
fn files_of_other_systems_are_read_or_named_by_their_kind() {
    let plain = text(&[Record::Header(Box::new(header())), group(0)]);
    let read_bytes = |bytes: Vec<u8>| {
        read_from(
            Cursor::new(bytes),
            Path::new("run.jsonl"),
            Limits::default(),
        )
    };
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend(plain.replace('\n', "\r\n").bytes());
    assert_eq!(read_bytes(marked).expect("a mark, CRLF").groups.len(), 1);
    for (start, words) in [
        (&b"\xff\xfe{\0"[..], "UTF-16"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PK\x03\x04", "zip"),
    ] {
        let said = read_bytes(start.to_vec()).expect_err("refused").to_string();
        assert!(said.contains(words), "{said}");
    }
    // Two frames, as in two files that were joined after compression.
    let pack = |text: &str| {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
    };
    let (first, rest) = plain.split_once('\n').expect("two lines");
    let packed = [pack(&format!("{first}\n")), pack(rest)].concat();
    assert_eq!(read_bytes(packed.clone()).expect("zstd").groups.len(), 1);
    let cut = read_bytes(packed[..packed.len() / 3].to_vec());
    assert!(cut.is_err(), "a broken archive is an error and no panic");
}

#[test]
fn error_of_a_line_has_one_line_number_and_a_file_error_appears_once() {
    let said = message("{\n");
    assert!(!said.contains("line 1"), "{said}");
    let error = read(Path::new("no/such/run.jsonl")).expect_err("not there");
    assert!(
        std::error::Error::source(&error).is_none(),
        "it would be said twice"
    );
    assert_eq!(error.to_string().matches("os error 2").count(), 1);
}

#[test]
fn duplicate_samples_are_refused() {
    let twice = text(&[
        Record::Header(Box::new(header())),
        group(0),
        group(1),
        group(0),
    ]);
    let said = message(&twice);
    assert!(
        said.contains("run.jsonl:4") && said.contains("occur twice"),
        "{said}"
    );
}

#[test]
fn closing_line_that_counts_other_samples_is_a_warning() {
    let end = |samples_count| {
        Record::End(End {
            samples_count,
            ..End::default()
        })
    };
    for (count, warnings) in [(2, 0), (3, 1)] {
        let records = [
            Record::Header(Box::new(header())),
            group(0),
            group(1),
            end(count),
        ];
        let run = read_text(&text(&records)).expect("a file");
        assert_eq!(run.warnings.len(), warnings, "{:?}", run.warnings);
        let is_said = |text: &String| text.contains("says 3 samples, but the file has 2");
        assert!(run.warnings.iter().all(is_said), "{:?}", run.warnings);
    }
}

#[test]
fn full_disk_before_the_first_line_says_to_start_again() {
    let full = |lines| WriteError::Full {
        file: "run.jsonl".into(),
        lines,
        error: io::ErrorKind::StorageFull.into(),
    };
    let (none, some) = (full(0).to_string(), full(7).to_string());
    assert!(
        none.contains("start it again") && !none.contains("--resume"),
        "{none}"
    );
    assert!(
        some.contains("All 7 lines") && some.contains("--resume"),
        "{some}"
    );
}
