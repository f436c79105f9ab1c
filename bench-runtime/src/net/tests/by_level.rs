//! Pipes that became level-triggered; see `netpoll::level`.

use super::*;
use crate::net::{PipeReader, PipeWriter};
use std::sync::mpsc;

/// The message that ends a reader.
const LAST: u64 = u64::MAX;

fn send(writer: &PipeWriter, messages: &[u64]) {
    let bytes: Vec<u8> = messages.iter().flat_map(|m| m.to_le_bytes()).collect();
    let mut writer = writer;
    writer.write_all(&bytes).unwrap();
}

fn receive(reader: &PipeReader) -> io::Result<u64> {
    let mut reader = reader;
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A level-triggered pipe, as if its reader had waited for each of many messages. It stays
/// level-triggered only while no data comes, because the poller of these tests polls again before
/// the readied thread has read.
fn watched_by_level(rt: &Runtime) -> (Arc<PipeReader>, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let first = {
        let reader = reader.clone();
        rt.go(move || receive(&reader).unwrap())
    };
    rt.until_waiting(1);
    assert!(!reader.is_watched_by_level());
    send(&writer, &[0]);
    assert_eq!(first.join().unwrap(), 0);
    reader.watch_by_level();
    assert!(reader.is_watched_by_level());
    (reader, writer)
}

#[test]
fn messages_that_come_by_one_and_by_many_are_all_read() {
    let rt = Runtime::new();
    let (reader, writer) = watched_by_level(&rt);
    let reading = rt.go(move || {
        let messages = std::iter::from_fn(|| receive(&reader).ok());
        messages.collect::<Vec<_>>()
    });
    let mut next = 0;
    for round in 0..2_000 {
        let burst = [1, 1, 2, 1, 7, 1, 1, 40][round % 8];
        let messages: Vec<u64> = (next..next + burst).collect();
        send(&writer, &messages);
        next += burst;
        if round % 5 == 0 {
            rt.until_waiting(1);
        }
    }
    drop(writer);
    assert_eq!(reading.join().unwrap(), (0..next).collect::<Vec<_>>());
}

#[test]
fn messages_without_a_reader_end_the_watch_by_level_and_are_read_later() {
    let rt = Runtime::new();
    let (reader, writer) = watched_by_level(&rt);
    send(&writer, &[1, 2, 3]);
    while reader.is_watched_by_level() {
        // The poller's thread finds the pipe readable, without a waiter.
        thread::yield_now();
    }
    let reading = {
        let reader = reader.clone();
        rt.go(move || [(); 5].map(|()| receive(&reader).unwrap()))
    };
    rt.until_waiting(1);
    send(&writer, &[4]);
    rt.until_waiting(1);
    send(&writer, &[5]);
    assert_eq!(reading.join().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn end_of_a_stream_without_a_reader_ends_the_watch_by_level_and_is_read_later() {
    let rt = Runtime::new();
    let (reader, writer) = watched_by_level(&rt);
    drop(writer);
    while reader.is_watched_by_level() {
        thread::yield_now();
    }
    let kind = rt.run(move || receive(&reader).unwrap_err().kind());
    assert_eq!(kind, io::ErrorKind::UnexpectedEof);
}

#[test]
fn deadline_and_close_end_a_wait_without_a_try() {
    let rt = Runtime::new();
    let (reader, writer) = watched_by_level(&rt);
    // After the first message, the reader waits for the second without a try.
    let second_of = |first: u64| {
        let (tell, told) = mpsc::channel();
        let reading = {
            let reader = reader.clone();
            rt.go(move || {
                tell.send(receive(&reader).unwrap()).unwrap();
                receive(&reader).unwrap_err()
            })
        };
        rt.until_waiting(1);
        send(&writer, &[first]);
        assert_eq!(told.recv(), Ok(first));
        rt.until_waiting(1);
        reading
    };
    let reading = second_of(7);
    reader.set_deadline(Some(Instant::now()));
    assert_eq!(reading.join().unwrap().kind(), io::ErrorKind::TimedOut);
    reader.set_deadline(None);
    let reading = second_of(8);
    reader.close().unwrap();
    assert!(is_closed_error(&reading.join().unwrap()));
}

#[test]
fn several_readers_take_each_message_once() {
    let rt = Runtime::new();
    let (reader, writer) = watched_by_level(&rt);
    let readers = [(); 3].map(|()| {
        let reader = reader.clone();
        rt.go(move || {
            let messages = std::iter::from_fn(|| receive(&reader).ok());
            messages.take_while(|&m| m != LAST).collect::<Vec<_>>()
        })
    });
    for first in (0..3_000).step_by(3) {
        send(&writer, &[first, first + 1, first + 2]);
    }
    send(&writer, &[LAST; 3]);
    let mut all: Vec<u64> = readers
        .into_iter()
        .flat_map(|reader| reader.join().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..3_000).collect::<Vec<_>>());
}

#[test]
fn pipe_of_two_pollers_is_read_through_both() {
    let (one, other) = (Runtime::new(), Runtime::new());
    let (reader, writer) = watched_by_level(&one);
    for message in 0..300 {
        let rt = if message % 3 == 0 { &one } else { &other };
        let reading = {
            let reader = reader.clone();
            rt.go(move || receive(&reader).unwrap())
        };
        if message % 2 == 0 {
            rt.until_waiting(1);
        }
        send(&writer, &[message]);
        assert_eq!(reading.join().unwrap(), message);
    }
}
