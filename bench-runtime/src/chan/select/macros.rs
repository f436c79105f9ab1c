//! `select!`.

/// Waits on several channel operations and futures at once and carries out exactly one of them;
/// blocks the goroutine (or, on a plain thread, the thread) until one is ready. If several are
/// ready, each has the same probability. If one of `n` cases is a future, each ready case has a
/// probability of at least `1 / n`.
///
/// | case                              | taken when                            |
/// |-----------------------------------|---------------------------------------|
/// | `recv(rx) -> value => …`          | a value was received: `Some`; or `rx` is closed and drained: `None` |
/// | `recv(rx) => …`                   | the same, with the value dropped      |
/// | `send(tx, value) -> result => …`  | the value was sent: `Ok`; or `tx` is closed: `Err` returns the value |
/// | `send(tx, value) => …`            | the value was sent                    |
/// | `send_from(tx, slot) -> result => …` | the value was sent: `Ok`, and `slot` is now `None`; or `tx` is closed: `Err`, and the value is still in `slot` |
/// | `future(f) -> output => …`        | the future is ready: [below](#futures) |
/// | `future(f, if condition) -> output => …` | the same; disabled if the condition is false, and then `f` is not evaluated |
/// | `timeout(duration) => …`          | no other case became ready in that time |
/// | `default => …`                    | no other case is ready now           |
///
/// - The names before `=>` are patterns that always match, as in `let`; for other patterns use a
///   `match` inside the arm.
/// - `return`, `break`, `continue` and `?` work in the arms. `break` leaves the loop around the
///   select; in Go it leaves only the select.
/// - `rx` and `tx` may be an end, a reference to one, or an `Option` of these. `None`, a `slot`
///   that is `None`, and a nil end ([`Receiver::never`](crate::Receiver::never)) disable the case.
/// - All operands, also those of cases that are not taken, are evaluated once, in the order in
///   which they are written (a time-out last). Only a future whose condition is false is not. The ends are borrowed only until a case is taken,
///   so an arm may change them.
/// - The `value` of a `send` that is not taken is dropped; `send_from` keeps it
///   in its slot, an `Option` variable, for the next round of a loop.
/// - A select has at most one of `timeout` and `default`. A select without any case blocks for
///   ever.
/// - Up to eight cases need no allocation, more cases need one, and a case that is a future needs a
///   few. The recursion limit of the calling crate allows at least 64 cases by default.
///
/// # Futures
///
/// A `future` case waits for anything that async code can wait for:
///
/// | what for                | the future                                       |
/// |-------------------------|--------------------------------------------------|
/// | a goroutine's end       | [`JoinHandle::join_async`](crate::JoinHandle::join_async) |
/// | a socket, a pipe, any descriptor | its `readable()` or `writable()`, as [`Descriptor::readable`](crate::net::Descriptor::readable) |
/// | whatever another crate offers | any `IntoFuture`; see [`future`](mod@crate::future) for tokio's |
///
/// The future is polled in this goroutine, so it need be neither `Send` nor `'static`. A future
/// whose case is not taken is dropped before the arm runs, like the `value` of a `send`. To wait
/// for the same future again, make it before the loop and pass a `&mut` to it (if it is not
/// `Unpin`, the `Pin` that [`std::pin::pin!`] makes). A case that is not taken then loses nothing.
/// A future that was ready must not be polled again: disable its case by the `if` after it.
///
/// ```
/// use bench_runtime::{Runtime, chan, go, select};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, lines) = chan(1);
///     let mut worker = go(move || (0..3).for_each(|n| tx.send(n).unwrap())).join_async();
///     let (mut running, mut open, mut sum) = (true, true, 0);
///     while running || open {
///         select! {
///             future(&mut worker, if running) -> result => {
///                 result.unwrap();
///                 running = false;
///             }
///             recv(open.then_some(&lines)) -> line => match line {
///                 Some(n) => sum += n,
///                 None => open = false,
///             },
///         }
///     }
///     assert_eq!(sum, 3);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// If `send(tx, value) => …`, without a name for its result, is taken on a closed channel, as in
/// Go.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, select};
/// use std::time::Duration;
///
/// let (work, jobs) = chan(1);
/// let (quit, done) = chan::<()>(0);
///
/// // Room in the buffer, and nothing in `quit`.
/// select! {
///     send(work, 7) => {}
///     recv(done) => unreachable!(),
/// }
/// let got = select! {
///     recv(jobs) -> job => job,
///     timeout(Duration::from_secs(5)) => None,
/// };
/// assert_eq!(got, Some(7));
///
/// drop(quit);
/// let mut next = Some(8);
/// let (full, _keep) = chan(0);
/// select! {
///     send_from(full, next) -> _ => unreachable!("no receive waits"),
///     recv(done) -> end => assert_eq!(end, None),
/// }
/// assert_eq!(next, Some(8));
/// ```
#[macro_export]
macro_rules! select {
    ($($tokens:tt)*) => {
        $crate::__select!(
            ($crate::__private::NoCase)
            []
            ()
            $($tokens)*
        )
    };
}

/// Parses one case in each step. The arguments are the list of cases so far, the arms so far, the
/// `default` or time-out, and the cases that are not parsed yet.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // The optional comma after a block is removed first: it would make the rest ambiguous.
    ($list:tt $arms:tt $otherwise:tt default => $body:block, $($rest:tt)*) => {
        $crate::__select!($list $arms $otherwise default => $body $($rest)*)
    };
    ($list:tt $arms:tt $otherwise:tt
     $kind:ident $args:tt $(-> $name:pat)? => $body:block, $($rest:tt)*) => {
        $crate::__select!($list $arms $otherwise $kind $args $(-> $name)? => $body $($rest)*)
    };

    ($list:tt $arms:tt () default => $body:block $($rest:tt)*) => {
        $crate::__select!($list $arms (($crate::__private::Wait::Poll) $body) $($rest)*)
    };
    ($list:tt $arms:tt () default => $body:expr, $($rest:tt)*) => {
        $crate::__select!($list $arms (($crate::__private::Wait::Poll) $body) $($rest)*)
    };
    ($list:tt $arms:tt () default => $body:expr) => {
        $crate::__select!($list $arms (($crate::__private::Wait::Poll) $body))
    };
    ($list:tt $arms:tt () timeout($time:expr) => $body:block $($rest:tt)*) => {
        $crate::__select!($list $arms (($crate::__private::wait_for($time)) $body) $($rest)*)
    };
    ($list:tt $arms:tt () timeout($time:expr) => $body:expr, $($rest:tt)*) => {
        $crate::__select!($list $arms (($crate::__private::wait_for($time)) $body) $($rest)*)
    };
    ($list:tt $arms:tt () timeout($time:expr) => $body:expr) => {
        $crate::__select!($list $arms (($crate::__private::wait_for($time)) $body))
    };
    ($list:tt $arms:tt ($($otherwise:tt)+) default => $($rest:tt)*) => {
        ::core::compile_error!("select!: at most one `default` or `timeout`")
    };
    ($list:tt $arms:tt ($($otherwise:tt)+) timeout($time:expr) => $($rest:tt)*) => {
        ::core::compile_error!("select!: at most one `default` or `timeout`")
    };

    // A case; each earlier arm's pattern gets one level deeper.
    ($list:tt [$({$pat:pat => $arm:expr})*] $otherwise:tt
     $kind:ident $args:tt $(-> $name:pat)? => $body:block $($rest:tt)*) => {
        $crate::__select!(
            ($crate::__private::And($list, $crate::__select_case!($kind $args $($name)?)))
            [$({$crate::__private::Either::Earlier($pat) => $arm})*
             {$crate::__private::Either::Last(_value) => $crate::__select_arm!(_value $(, $name)? => $body)}]
            $otherwise $($rest)*
        )
    };
    ($list:tt [$({$pat:pat => $arm:expr})*] $otherwise:tt
     $kind:ident $args:tt $(-> $name:pat)? => $body:expr, $($rest:tt)*) => {
        $crate::__select!(
            ($crate::__private::And($list, $crate::__select_case!($kind $args $($name)?)))
            [$({$crate::__private::Either::Earlier($pat) => $arm})*
             {$crate::__private::Either::Last(_value) => $crate::__select_arm!(_value $(, $name)? => $body)}]
            $otherwise $($rest)*
        )
    };
    ($list:tt [$({$pat:pat => $arm:expr})*] $otherwise:tt
     $kind:ident $args:tt $(-> $name:pat)? => $body:expr) => {
        $crate::__select!(
            ($crate::__private::And($list, $crate::__select_case!($kind $args $($name)?)))
            [$({$crate::__private::Either::Earlier($pat) => $arm})*
             {$crate::__private::Either::Last(_value) => $crate::__select_arm!(_value $(, $name)? => $body)}]
            $otherwise
        )
    };

    ($list:tt [$({$pat:pat => $arm:expr})*] ()) => {{
        let answer = $crate::__private::select($list, $crate::__private::Wait::Forever);
        match answer {
            $($pat => $arm,)*
            #[allow(unreachable_patterns, reason = "the only pattern of a select without cases")]
            _ => ::core::unreachable!("select!: ended without a case"),
        }
    }};
    ($list:tt [$({$pat:pat => $arm:expr})*] (($wait:expr) $body:expr)) => {{
        let answer = $crate::__private::select($list, $wait);
        match answer {
            $($pat => $arm,)*
            _ => $body,
        }
    }};
    ($list:tt $arms:tt $otherwise:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "select!: expected `recv(rx) -> value => …`, `send(tx, value) -> result => …`, ",
            "`send_from(tx, slot) -> result => …`, `future(f) -> output => …`, ",
            "`timeout(duration) => …` or `default => …`, found: ",
            ::core::stringify!($($rest)+)
        ))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select_case {
    (recv ($receiver:expr $(,)?) $($name:pat)?) => {
        $crate::__private::RecvCase::new(&$receiver)
    };
    (send ($sender:expr, $value:expr $(,)?) $name:pat) => {
        $crate::__private::SendCase::new(&$sender, $value)
    };
    (send ($sender:expr, $value:expr $(,)?)) => {
        $crate::__private::MustSendCase::new(&$sender, $value)
    };
    (send_from ($sender:expr, $slot:expr $(,)?) $name:pat) => {
        $crate::__private::SendFromCase::new(&$sender, &mut $slot)
    };
    (future ($future:expr, if $condition:expr $(,)?) $($name:pat)?) => {
        $crate::__private::FutureCase::maybe(::core::pin::pin!(match $condition {
            true => ::core::option::Option::Some(::core::future::IntoFuture::into_future($future)),
            false => ::core::option::Option::None,
        }))
    };
    (future ($future:expr $(,)?) $($name:pat)?) => {
        $crate::__private::FutureCase::new(::core::pin::pin!(
            ::core::future::IntoFuture::into_future($future)
        ))
    };
    ($($other:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "select!: not a case (`send_from` needs `-> result`): ",
            ::core::stringify!($($other)*)
        ))
    };
}

/// An arm. Its pattern has its own `match`, where a refutable pattern does not compile. In the
/// `match` over all arms, a value that it does not match would go to the last arm.
#[doc(hidden)]
#[macro_export]
macro_rules! __select_arm {
    ($value:ident => $body:expr) => {
        $body
    };
    ($value:ident, $name:pat => $body:expr) => {
        match $value {
            $name => $body,
        }
    };
}
