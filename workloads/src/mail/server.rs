//! A slow mail server: answers each command of SMTP after a delay, and keeps no message.

use std::io::Write;
use std::net::{self, Ipv4Addr};
use std::os::fd::AsFd;
use std::os::linux::net::TcpStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::runtime::Builder;
use ::tokio::time::sleep;
use anyhow::Context;

use super::Accepted;
use crate::host::backlog;
use crate::host::usage::Usage;
use crate::load::helper::Listening;

/// Longer lines end the conversation; RFC 5321 allows 1,000.
const MOST_LINE_BYTES: u64 = 2_000;

/// Prints its address, serves until the input ends, and prints the number of accepted messages.
/// Blocks the thread.
///
/// # Errors
///
/// When it cannot listen, or when its output cannot be written.
pub fn run(delay: Duration, output: &mut impl Write) -> anyhow::Result<()> {
    let accepted = Arc::new(AtomicU64::new(0));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on the loopback")?;
        backlog::lengthen(&listener)?;
        let address = listener.local_addr()?;
        writeln!(output, "{}", serde_json::to_string(&Listening { address })?)?;
        output.flush()?;
        let serve = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(::tokio::spawn(converse(stream, delay, accepted.clone()))),
                    // No descriptor is free until a connection is closed.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let mut input = Vec::new();
        ::tokio::select! {
            () = serve => {}
            ended = async { ::tokio::task::spawn_blocking(move || std::io::Read::read_to_end(&mut std::io::stdin(), &mut input)).await } => {
                ended?.context("reading the input")?;
            }
        }
        anyhow::Ok(())
    })?;
    writeln!(
        output,
        "{}",
        serde_json::to_string(&Accepted {
            accepted_count: accepted.load(Ordering::Relaxed),
            cpu_ns: Usage::now().cpu_ns,
        })?
    )?;
    output.flush().context("reporting")
}

async fn converse(
    stream: TcpStream,
    delay: Duration,
    accepted: Arc<AtomicU64>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // tokio has `set_quickack` only from 1.48 on, and a run may compare older releases.
    let quick = net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    let mut stream = BufReader::new(stream);
    answer(&mut stream, delay, "220 threadbare.invalid").await?;
    loop {
        let Some(line) = read_line(&mut stream).await? else {
            return Ok(());
        };
        let verb = line
            .split_ascii_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => {
                answer(&mut stream, delay, "250 threadbare.invalid").await?
            }
            "DATA" => {
                answer(
                    &mut stream,
                    delay,
                    "354 end with a dot on a line of its own",
                )
                .await?;
                // Without this the kernel acknowledges the message 40 ms later. A client without
                // `TCP_NODELAY` that writes the dot separately waits for that.
                quick.set_quickack(true)?;
                loop {
                    match read_line(&mut stream).await? {
                        // The message is not complete, so it is not accepted.
                        None => return Ok(()),
                        Some(line) if line.trim_end() == "." => break,
                        Some(_) => quick.set_quickack(true)?,
                    }
                }
                accepted.fetch_add(1, Ordering::Relaxed);
                answer(&mut stream, delay, "250 accepted").await?;
            }
            "QUIT" => return answer(&mut stream, delay, "221 bye").await,
            _ => answer(&mut stream, delay, "500 unknown command").await?,
        }
    }
}

async fn answer(
    stream: &mut BufReader<TcpStream>,
    delay: Duration,
    text: &str,
) -> std::io::Result<()> {
    if !delay.is_zero() {
        sleep(delay).await;
    }
    stream
        .get_mut()
        .write_all(format!("{text}\r\n").as_bytes())
        .await
}

/// `None` at the end of the conversation, or if the line is too long.
async fn read_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    stream
        .take(MOST_LINE_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(line
        .ends_with(b"\n")
        .then(|| String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_ends_is_accepted() {
        let accepted = |message: &'static [u8]| {
            let count = Arc::new(AtomicU64::new(0));
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut client = TcpStream::connect(address).await.unwrap();
                let (server, _) = listener.accept().await.unwrap();
                client.write_all(message).await.unwrap();
                client.shutdown().await.unwrap();
                converse(server, Duration::ZERO, count.clone())
                    .await
                    .unwrap();
            });
            count.load(Ordering::Relaxed)
        };
        assert_eq!(accepted(b"DATA\r\ntext\r\n.\r\n"), 1);
        assert_eq!(accepted(b"DATA\r\ntext\r\n"), 0);
    }
}
