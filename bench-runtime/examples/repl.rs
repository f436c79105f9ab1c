//! A prompt that adds numbers. Long jobs run in the background, and the prompt stays available.
//!
//! `cargo run --release --example repl`, then `add 1 2`, `after 500 add 3 4`, `quit`.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::io::{stdin, stdout};
use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{Runtime, time};

/// An empty line has no answer.
fn evaluate(words: &[&str]) -> String {
    let sum = match words {
        [] => return String::new(),
        ["add", numbers @ ..] => {
            let numbers = numbers.iter().map(|word| word.parse::<i64>());
            numbers.sum::<Result<i64, _>>()
        }
        _ => return "say: add NUMBER…, after MS LINE, or quit".to_owned(),
    };
    match sum {
        Ok(sum) => sum.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Answers lines until `quit` or the end of the input, then waits for the jobs in the background.
///
/// # Errors
///
/// When the terminal fails.
pub(crate) fn repl(input: impl BufRead, output: impl Write + Send + 'static) -> io::Result<()> {
    let output = Arc::new(Mutex::new(output));
    let jobs = WaitGroup::new();
    let prompt = |answer: &str| {
        let mut output = output.lock();
        match answer {
            "" => write!(output, "> ")?,
            _ => write!(output, "{answer}\n> ")?,
        }
        output.flush()
    };
    prompt("")?;
    for line in input.lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["quit"] => break,
            ["after", ms, ..] => {
                let wait = Duration::from_millis(ms.parse().unwrap_or(0));
                let (line, output) = (line.clone(), output.clone());
                jobs.go(move || {
                    time::sleep(wait);
                    let words: Vec<&str> = line.split_whitespace().skip(2).collect();
                    let mut output = output.lock();
                    // If the terminal is closed, the error cannot be written either.
                    let _ = write!(output, "\n{}\n> ", evaluate(&words));
                    let _ = output.flush();
                });
                prompt("")?;
            }
            _ => prompt(&evaluate(&words))?,
        }
    }
    jobs.wait();
    Ok(())
}

fn main() -> io::Result<()> {
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(|| repl(stdin().lock(), stdout()))
}
