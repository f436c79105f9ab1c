//! Tasks started before the load. Each accepts a connection, serves it to its end, and accepts
//! another.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use bench_runtime::net::Shared;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Server, is_transient, run};
use crate::lane::{Failure, Order, Outcome};
use crate::service::{IDLE, PAUSE};
use crate::shapes::team::join_all;
use crate::shapes::{Blocking, Connection};

/// Tasks for more connections than the load opens.
const SPARE: u64 = 4;

pub(crate) fn preforked<L>(lane: &L, order: &Order) -> Result<Outcome, Failure>
where
    L: Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>>,
{
    let tasks = order.get("connections_count") + SPARE;
    run(lane, order, move |server| server.serve_preforked(tasks))
}

impl<L: Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>>> Server<L> {
    fn serve_preforked(self: &Arc<Self>, tasks: u64) -> Result<u64, Failure> {
        let start = |_| {
            let server = self.clone();
            self.lane.spawn(move || {
                server
                    .accept_and_converse()
                    .unwrap_or_else(|failure| failure.throw())
            })
        };
        let mut started = Vec::new();
        for task in (0..tasks).map(start) {
            match task {
                Ok(task) => started.push(task),
                Err(failure) => {
                    self.end();
                    join_all(&self.lane, started)?;
                    return Err(failure);
                }
            }
        }
        join_all(&self.lane, started)
    }

    fn accept_and_converse(self: &Arc<Self>) -> Result<u64, Failure> {
        let mut answered = 0;
        loop {
            match self.lane.accept(&self.listener) {
                Ok(mut stream) => {
                    // An error ends only this connection.
                    let _ = stream.set_timeout(IDLE).and_then(|()| {
                        self.converse(&mut stream, &mut answered, |stream| {
                            wait_for_bytes(stream, &self.listener)
                        })
                    });
                    stream.shut(Shutdown::Both);
                }
                Err(_) if self.is_ending() => return Ok(answered),
                Err(error) if is_transient(&error) => self.lane.sleep(PAUSE),
                Err(error) => {
                    self.end();
                    return Err(Failure::host("accepting a connection", &error, "ulimit -n"));
                }
            }
        }
    }
}

/// Blocks the thread until bytes arrive (true), the listener is shut down, or [`IDLE`] has passed.
fn wait_for_bytes(stream: &TcpStream, listener: &TcpListener) -> io::Result<bool> {
    let time = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::NONE);
    let mut waited = [
        PollFd::new(stream.as_fd(), PollFlags::POLLIN),
        // No event is requested: `poll` always reports the hang-up.
        PollFd::new(listener.as_fd(), PollFlags::empty()),
    ];
    match poll(&mut waited, time) {
        Ok(_) => Ok(waited[0].any() == Some(true)),
        // After a signal the caller's read waits for the bytes.
        Err(nix::errno::Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
