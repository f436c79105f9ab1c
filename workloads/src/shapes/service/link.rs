use std::io::{self, ErrorKind};

use crate::service::Settings;
use crate::service::backend::Place;
use crate::service::resp::{self, Reply};
use crate::shapes::{Connection, Database};

pub(super) enum Link<S: Connection> {
    Resp(Resp<S>),
    Database(S::Database),
}

impl<S: Connection> Link<S> {
    pub(super) fn new(settings: &Settings) -> io::Result<Self> {
        let timeout = settings.timeout;
        Ok(match &settings.backend {
            Place::Database(url) => Self::Database(S::Database::connect(url, timeout)?),
            Place::Resp(address) => {
                let stream = S::connect(*address, timeout)?;
                stream.set_timeout(timeout)?;
                Self::Resp(Resp {
                    stream,
                    commands: Vec::new(),
                    received: Vec::new(),
                })
            }
        })
    }

    pub(super) fn get(&mut self, keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        match self {
            Self::Resp(link) => link.get(keys),
            Self::Database(client) => client.get(keys),
        }
    }
}

pub(super) struct Resp<S> {
    stream: S,
    commands: Vec<u8>,
    received: Vec<u8>,
}

impl<S: Connection> Resp<S> {
    fn get(&mut self, keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        self.commands.clear();
        self.received.clear();
        for key in keys {
            resp::command(&mut self.commands, &[b"GET", key.as_bytes()]);
        }
        self.stream.write_all(&self.commands)?;
        let mut values = Some(Vec::with_capacity(keys.len()));
        let mut block = [0; 4 << 10];
        let (mut from, mut left) = (0, keys.len());
        while left > 0 {
            match resp::reply(&self.received[from..]) {
                Ok(Some((reply, end))) => {
                    match (reply, &mut values) {
                        (Reply::Value(value), Some(values)) => {
                            values.push(self.received[from..][value].to_vec());
                        }
                        _ => values = None,
                    }
                    from += end;
                    left -= 1;
                }
                Ok(None) => match self.stream.read(&mut block) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(size) => self.received.extend_from_slice(&block[..size]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                },
                Err(resp::Malformed) => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(values)
    }
}
