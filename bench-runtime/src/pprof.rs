//! The format of pprof, `profile.proto`: <https://github.com/google/pprof>.
//!
//! A profile is one message of protocol buffers. Fields of the message `Profile`: 1 types of
//! values, 2 samples, 4 locations, 5 functions, 6 text. Text is in a table, and is referred to by
//! its index.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::unwind::Frame;

pub(crate) struct Sample<'a> {
    /// The innermost first.
    pub(crate) frames: &'a [Frame],
    /// One value for each type.
    pub(crate) values: Vec<i64>,
    pub(crate) labels: Vec<(&'a str, &'a str)>,
}

/// `types` are a name and a unit for each value.
pub(crate) fn write<'a>(
    mut out: impl Write,
    types: &[(&str, &str)],
    samples: impl Iterator<Item = Sample<'a>>,
) -> io::Result<()> {
    let mut profile = Message::default();
    let mut strings = Strings::default();
    strings.index("");
    for (name, unit) in types {
        let mut value_type = Message::default();
        value_type.number(1, strings.index(name));
        value_type.number(2, strings.index(unit));
        profile.message(1, &value_type);
    }
    let mut locations: HashMap<&Frame, u64> = HashMap::new();
    let mut functions: HashMap<(&str, Option<&str>), u64> = HashMap::new();
    for Sample {
        frames,
        values,
        labels,
    } in samples
    {
        let mut sample = Message::default();
        for frame in frames {
            let next = locations.len() as u64 + 1;
            let location_id = *locations.entry(frame).or_insert(next);
            sample.number(1, location_id);
            if location_id != next {
                continue;
            }
            let next = functions.len() as u64 + 1;
            let function_id = *functions
                .entry((&frame.function, frame.file.as_deref()))
                .or_insert(next);
            if function_id == next {
                let mut function = Message::default();
                function.number(1, function_id);
                function.number(2, strings.index(&frame.function));
                function.number(3, strings.index(&frame.function));
                function.number(4, strings.index(frame.file.as_deref().unwrap_or("")));
                profile.message(5, &function);
            }
            let mut line = Message::default();
            line.number(1, function_id);
            line.number(2, frame.line.unwrap_or(0).into());
            let mut location = Message::default();
            location.number(1, location_id);
            location.number(3, frame.address);
            location.message(4, &line);
            profile.message(4, &location);
        }
        for value in values {
            sample.number(2, value.cast_unsigned());
        }
        for (key, value) in labels {
            let mut label = Message::default();
            label.number(1, strings.index(key));
            label.number(2, strings.index(value));
            sample.message(3, &label);
        }
        profile.message(2, &sample);
    }
    for text in &strings.all {
        profile.bytes(6, text.as_bytes());
    }
    out.write_all(&profile.0)
}

#[derive(Debug, Default)]
struct Strings {
    all: Vec<String>,
    known: HashMap<String, u64>,
}

impl Strings {
    fn index(&mut self, text: &str) -> u64 {
        if let Some(index) = self.known.get(text) {
            return *index;
        }
        let index = self.all.len() as u64;
        self.all.push(text.to_owned());
        self.known.insert(text.to_owned(), index);
        index
    }
}

#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, message: &Self) {
        self.bytes(field, &message.0);
    }
}
