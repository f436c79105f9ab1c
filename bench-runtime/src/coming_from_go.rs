// Why this file is long: it is one page of documentation.
//! For programmers who know Go: its idioms, and how to write them here.
//!
//! Goroutines, channels, `select`, contexts, timers, sockets, signals and children have Go's
//! semantics. This page shows how they look in Rust, and where they differ and why.
//!
//! # First, the contract
//!
//! 1. **Building a runtime is `unsafe`, once in a program.** A goroutine must not wait inside a
//!    thread-local's initialiser or scope. [`Builder::build`](crate::Builder::build) has the few
//!    rules, and a table of well-known crates.
//! 2. **A goroutine stays on its thread** once it has started, unless the runtime is migrating
//!    ([which mode](crate#which-mode)). So code that blocks the thread also blocks other
//!    goroutines: [the front page](crate#what-blocks-a-thread) lists such code, and what to use
//!    instead.
//! 3. **A goroutine that computes** delays the others of its thread until it calls the runtime.
//!    [`GoBuilder::cpu_bound`](crate::GoBuilder::cpu_bound) starts it on a thread of its own. If
//!    goroutines wait for its thread for most of a second, a warning on stderr names it and the
//!    goroutines that wait. In a migrating runtime it delays no other goroutine.
//! 4. **There is no garbage collector.** Values that goroutines share are moved, cloned, in an
//!    `Arc`, or borrowed in a [`scope`](crate::scope()). A data race does not compile.
//! 5. **Stacks do not move.** The first ten thousand goroutines have 14 MiB of address space each,
//!    further ones 192 KiB, unless [`Builder::stack`](crate::Builder::stack) says otherwise. An
//!    overflow ends the program with a message that names the goroutine.
//! 6. **The end of `run` is the end of Go's `main`**, but it does not end the program: goroutines
//!    continue until the runtime is dropped, or until [`shutdown`](crate::Runtime::shutdown), which
//!    returns a list of the goroutines that have not ended.
//!
//! A program begins like this; the examples below leave it out:
//!
//! ```
//! use bench_runtime::{Runtime, go};
//!
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! let runtime = unsafe { Runtime::builder().build() }?;
//! let sum = runtime.run(|| go(|| 1 + 1).join().unwrap());
//! assert_eq!(sum, 2);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Goroutines
//!
//! ## 1. Start a goroutine
//!
//! ```go
//! go work()
//! ```
//!
//! ```
//! use bench_runtime::{chan, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (done, wait) = chan(0);
//! go!(done.send("worked").unwrap());
//! assert_eq!(wait.recv(), Some("worked"));
//! # });
//! ```
//!
//! The body of `go!` becomes a closure that takes ownership of every variable that it uses. A
//! program starts in [`Runtime::run`](crate::Runtime::run), whose closure is Go's `main`.
//!
//! ## 2. Get a goroutine's result
//!
//! ```go
//! result := make(chan int, 1)
//! go func() { result <- compute() }()
//! fmt.Println(<-result)
//! ```
//!
//! ```
//! use bench_runtime::go;
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let compute = || 6 * 7;
//! let handle = go(compute);
//! assert_eq!(handle.join().unwrap(), 42);
//! # });
//! ```
//!
//! [`go`](fn@crate::go) returns a handle, so no channel is needed. A goroutine continues after its
//! handle is dropped. The join returns an error if the goroutine panicked: see 25.
//!
//! ## 3. Goroutines that borrow
//!
//! ```go
//! var wg sync.WaitGroup
//! for _, half := range [][]int{data[:n], data[n:]} {
//!     wg.Go(func() { add(half) })
//! }
//! wg.Wait()
//! ```
//!
//! ```
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//! let data: Vec<u64> = (1..=100).collect();
//! let (low, high) = data.split_at(50);
//! let sum = bench_runtime::scope(|s| {
//!     let low = s.go(|| low.iter().sum::<u64>());
//!     high.iter().sum::<u64>() + low.join().unwrap()
//! });
//! assert_eq!(sum, 5050);
//! # });
//! ```
//!
//! Go's collector keeps `data` alive. Here [`scope`](crate::scope()) does not return before its
//! goroutines have ended, so they may borrow variables of the caller.
//!
//! # Channels
//!
//! ## 4. Hand a value over: a channel without a buffer
//!
//! ```go
//! c := make(chan string)
//! go func() { c <- "ping" }()
//! fmt.Println(<-c)
//! ```
//!
//! ```
//! use bench_runtime::{chan, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (tx, rx) = chan(0);
//! go!(tx.send("ping").unwrap());
//! assert_eq!(rx.recv(), Some("ping"));
//! # });
//! ```
//!
//! The two ends are Go's `chan<- T` and `<-chan T`. Both can be cloned. A send moves its value.
//!
//! ## 5. A channel with a buffer
//!
//! ```go
//! c := make(chan int, 2)
//! c <- 1
//! c <- 2
//! fmt.Println(len(c), cap(c))
//! ```
//!
//! ```
//! let (tx, rx) = bench_runtime::chan(2);
//! tx.send(1).unwrap();
//! tx.send(2).unwrap();
//! assert_eq!((rx.len(), rx.capacity()), (2, 2));
//! ```
//!
//! A send blocks the goroutine while the buffer is full. The buffer is allocated once.
//!
//! ## 6. Range over a channel until it is closed
//!
//! ```go
//! go func() {
//!     defer close(c)
//!     for i := range 5 { c <- i }
//! }()
//! for v := range c { sum += v }
//! ```
//!
//! ```
//! use bench_runtime::{chan, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (tx, rx) = chan(0);
//! go!(for i in 0..5 {
//!     tx.send(i).unwrap();
//! });
//! assert_eq!(rx.iter().sum::<i32>(), 10);
//! # });
//! ```
//!
//! The channel closes when its last sender is dropped, here at the end of the goroutine.
//! [`close`](crate::Sender::close) closes it earlier. The channel also closes when its last
//! receiver is dropped, and then a send fails; in Go the sender would wait for ever.
//!
//! ## 7. Receive with `ok`; send on a closed channel
//!
//! ```go
//! v, ok := <-c    // ok is false: closed and empty
//! c <- 1          // panics if c is closed
//! ```
//!
//! ```
//! let (tx, rx) = bench_runtime::chan(1);
//! tx.send(7).unwrap();
//! tx.close();
//! assert_eq!(rx.recv(), Some(7));
//! assert_eq!(rx.recv(), None);
//! assert_eq!(tx.send(8).unwrap_err().0, 8);
//! ```
//!
//! A send on a closed channel returns an error that contains the value, instead of a panic: in a
//! correct program the receivers may be dropped first.
//!
//! ## 8. Worker pool
//!
//! ```go
//! for range 3 {
//!     wg.Go(func() { for j := range jobs { results <- j * j } })
//! }
//! ```
//!
//! ```
//! use bench_runtime::{chan, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (jobs, queue) = chan(0);
//! let (results, squares) = chan(0);
//! for _ in 0..3 {
//!     let (queue, results) = (queue.clone(), results.clone());
//!     go!(for job in queue {
//!         results.send(job * job).unwrap();
//!     });
//! }
//! drop(results);
//! go!((1..=4).for_each(|job| jobs.send(job).unwrap()));
//! assert_eq!(squares.iter().sum::<i32>(), 30);
//! # });
//! ```
//!
//! When `jobs` is dropped, the workers end, and then `squares` closes: no WaitGroup is needed. Drop
//! clones that are not used, such as the first `results`: they keep the channel open.
//!
//! ## 9. WaitGroup
//!
//! ```go
//! var wg sync.WaitGroup
//! for range 10 { wg.Go(work) }
//! wg.Wait()
//! ```
//!
//! ```
//! use bench_runtime::sync::WaitGroup;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (group, count) = (WaitGroup::new(), Arc::new(AtomicU32::new(0)));
//! for _ in 0..10 {
//!     let count = count.clone();
//!     group.go(move || drop(count.fetch_add(1, Ordering::Relaxed)));
//! }
//! group.wait();
//! assert_eq!(count.load(Ordering::Relaxed), 10);
//! # });
//! ```
//!
//! [`wait`](crate::sync::WaitGroup::wait) raises the panic of a task again, while Go ends the
//! program at once. So a server whose handlers are tasks of a group sees their panics only when it
//! waits, at its end. If a panic must not end a handler, put the handler's work into
//! `std::panic::catch_unwind`. Atomics are std's, because they do not block.
//!
//! # Select
//!
//! ## 10. Select
//!
//! ```go
//! select {
//! case v := <-a:  use(v)
//! case b <- 1:    sent()
//! }
//! ```
//!
//! ```
//! use bench_runtime::{chan, select};
//!
//! let (_alive, a) = chan::<i32>(0);
//! let (b, out) = chan(1);
//! select! {
//!     recv(a) -> v => unreachable!("nothing came, and not {v:?}"),
//!     send(b, 1) => {}
//! }
//! assert_eq!(out.recv(), Some(1));
//! ```
//!
//! [`select!`](crate::select) has Go's rules: operands are evaluated once, and one of the ready
//! cases is chosen at random. It is an expression. `break` in an arm leaves the loop around the
//! select; in Go it leaves only the select. A value whose case is not taken is dropped; `send_from`
//! keeps it. A case may be a future, or a socket that becomes readable. [`Select`](crate::Select)
//! is for cases known only at run time (`reflect.Select`).
//!
//! ## 11. Do not block, or block for a limited time
//!
//! ```go
//! select {
//! case v := <-c: use(v)
//! default:       idle()
//! }
//! select {
//! case v := <-c:
//! case <-time.After(time.Second):
//! }
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bench_runtime::{TryRecvError, chan, select};
//!
//! let (_tx, rx) = chan::<i32>(0);
//! let now = select! {
//!     recv(rx) -> v => v,
//!     default => None,
//! };
//! let soon = select! {
//!     recv(rx) -> v => v,
//!     timeout(Duration::from_millis(1)) => None,
//! };
//! assert_eq!((now, soon), (None, None));
//! assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
//! assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
//! ```
//!
//! For one operation the methods are shorter. A time-out leaves no timer behind;
//! [`time::after`](crate::time::after()) exists as well.
//!
//! ## 12. Disable a case: a nil channel
//!
//! ```go
//! var out chan int        // nil: never ready
//! if len(queue) > 0 { out = c }
//! select {
//! case out <- first:
//! case v := <-in:
//! }
//! ```
//!
//! ```
//! use bench_runtime::{chan, select};
//!
//! let ((feed, input), (output, _taken)) = (chan(1), chan(1));
//! feed.send(5).unwrap();
//! let mut first = None;
//! select! {
//!     send_from(output, first) -> _ => unreachable!("there is nothing to send"),
//!     recv(input) -> v => first = v,
//! }
//! assert_eq!(first, Some(5));
//! ```
//!
//! A slot or an end that is `None` disables its case. As in Go, operands are evaluated even if
//! their case is disabled: `send(out, queue[0])` would panic here.
//!
//! # Contexts
//!
//! ## 13. A generator that can be stopped
//!
//! ```go
//! func count(ctx context.Context) <-chan int {
//!     c := make(chan int)
//!     go func() {
//!         for i := 0; ; i++ {
//!             select {
//!             case c <- i:
//!             case <-ctx.Done(): return
//!             }
//!         }
//!     }()
//!     return c
//! }
//! ```
//!
//! ```
//! use bench_runtime::{Receiver, chan, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! fn count() -> Receiver<u64> {
//!     let (tx, rx) = chan(0);
//!     go!(for i in 0.. {
//!         if tx.send(i).is_err() {
//!             return;
//!         }
//!     });
//!     rx
//! }
//! assert_eq!(count().iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
//! # });
//! ```
//!
//! When the last receiver is dropped, `send` fails and the goroutine ends, so this generator needs
//! no context. A goroutine that waits for something else takes a context, as in the next section.
//!
//! ## 14. Cancel
//!
//! ```go
//! ctx, cancel := context.WithCancel(parent)
//! defer cancel()
//! go worker(ctx)
//! ```
//!
//! ```
//! use bench_runtime::context::Context;
//! use bench_runtime::go;
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let worker = {
//!     let (ctx, cancel) = Context::background().with_cancel();
//!     let _cancel = cancel.on_drop();
//!     go(move || {
//!         ctx.done().recv();
//!         ctx.err()
//!     })
//! };
//! assert_eq!(worker.join().unwrap().unwrap().to_string(), "context cancelled");
//! # });
//! ```
//!
//! [`Cancel::on_drop`](crate::context::Cancel::on_drop) is `defer cancel()`. When the last handle
//! of a context is dropped, the context is removed from its parent, its `done` closes, and the
//! functions given to `after_func` are dropped without a call. So pass the context to a goroutine,
//! not only a clone of `done`. In Go a context that is not cancelled lives until its parent ends or
//! its deadline passes.
//!
//! ## 15. Deadline of a whole operation
//!
//! ```go
//! ctx, cancel := context.WithTimeout(parent, time.Second)
//! defer cancel()
//! err := call(ctx)
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bench_runtime::context::{Context, ContextError};
//! use bench_runtime::sync::Semaphore;
//!
//! let busy = Semaphore::new(1);
//! let _held = busy.acquire(1);
//! let (ctx, cancel) = Context::background().with_timeout(Duration::from_millis(1));
//! let _cancel = cancel.on_drop();
//! assert!(busy.acquire_with(&ctx, 1).is_err());
//! assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
//! ```
//!
//! Calls that take a context end with it: [`acquire_with`](crate::sync::Semaphore::acquire_with), [`Command::context`](crate::process::Command::context),
//! [`block_on_with`](crate::future::block_on_with). Sockets have deadlines: see 27.
//!
//! ## 16. A value of a request
//!
//! ```go
//! ctx = context.WithValue(ctx, userKey, "ann")
//! user := ctx.Value(userKey).(string)
//! ```
//!
//! ```
//! use bench_runtime::context::Context;
//!
//! struct User(&'static str);
//!
//! let ctx = Context::background().with_value(User("ann"));
//! assert_eq!(ctx.value::<User>().unwrap().0, "ann");
//! ```
//!
//! The type is the key, so no type assertion is needed. No other code can use a private type.
//!
//! ## 17. Call something when a context ends
//!
//! ```go
//! stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })
//! defer stop()
//! ```
//!
//! ```
//! use std::io::Read;
//! use std::sync::Arc;
//! use std::time::Instant;
//! use bench_runtime::context::Context;
//! use bench_runtime::net::UnixStream;
//!
//! let (ctx, cancel) = Context::background().with_cancel();
//! let (ours, _theirs) = UnixStream::pair()?;
//! let ours = Arc::new(ours);
//! let conn = ours.clone();
//! let stop = ctx.after_func(move || conn.set_read_deadline(Some(Instant::now())));
//! cancel.cancel();
//! let late = (&*ours).read(&mut [0]).unwrap_err();
//! assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
//! assert!(!stop.stop(), "it has run");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! In this way a context ends a wait for a socket. The function runs in a goroutine of its own. To
//! limit a single request, use `set_read_timeout`: a later `set_read_deadline` would replace the
//! deadline that the context has set.
//!
//! # Tasks together
//!
//! ## 18. Several tasks that may fail: errgroup
//!
//! ```go
//! g, ctx := errgroup.WithContext(ctx)
//! g.SetLimit(2)
//! for _, url := range urls { g.Go(func() error { return get(ctx, url) }) }
//! err := g.Wait()
//! ```
//!
//! ```
//! use bench_runtime::context::Context;
//! use bench_runtime::sync::ErrGroup;
//!
//! let (group, ctx) = ErrGroup::with_context_and_limit(&Context::background(), 2);
//! for n in 0..4 {
//!     let ctx = ctx.clone();
//!     group.go(move || match n {
//!         1 => Err(format!("{n} is bad")),
//!         _ if ctx.is_done() => Err("cancelled".to_owned()),
//!         _ => Ok(()),
//!     });
//! }
//! assert_eq!(group.wait(), Err("1 is bad".to_owned()));
//! ```
//!
//! The first error cancels the context, and one call of [`wait`](crate::sync::ErrGroup::wait)
//! returns it. Unlike in Go, the error is not the context's cause;
//! [`with_context`](crate::sync::ErrGroup::with_context) says how to set the cause.
//! [`Scope::go_in`](crate::Scope::go_in) starts tasks that borrow.
//!
//! ## 19. Limit how many run at once
//!
//! ```go
//! slots := make(chan struct{}, 3)
//! slots <- struct{}{}
//! defer func() { <-slots }()
//! ```
//!
//! ```
//! use bench_runtime::sync::Semaphore;
//!
//! let slots = Semaphore::new(3);
//! let slot = slots.acquire(1);
//! assert_eq!(slots.available(), 2);
//! drop(slot);
//! assert_eq!(slots.available(), 3);
//! ```
//!
//! Like `golang.org/x/sync/semaphore`, with a permit that is released when it is dropped.
//! `acquire_owned` returns a permit that can be moved into a goroutine.
//!
//! # Locks and time
//!
//! ## 20. Mutex
//!
//! ```go
//! mu.Lock()
//! defer mu.Unlock()
//! count++
//! ```
//!
//! ```
//! use bench_runtime::sync::Mutex;
//!
//! static COUNT: Mutex<u32> = Mutex::new(0);
//!
//! *COUNT.lock() += 1;
//! assert_eq!(*COUNT.lock(), 1);
//! ```
//!
//! The mutex owns the value that it protects, and the drop of the guard unlocks it. Use
//! [`sync::Mutex`](crate::sync::Mutex), not std's, if a goroutine may wait while it holds the
//! guard: std's mutex blocks the thread. A panic does not poison it. The same is true of
//! [`RwMutex`](crate::sync::RwMutex) and [`Cond`](crate::sync::Cond).
//!
//! ## 21. Do it once
//!
//! ```go
//! var config = sync.OnceValue(load)
//! ```
//!
//! ```
//! use bench_runtime::sync::OnceCell;
//!
//! static CONFIG: OnceCell<String> = OnceCell::new();
//!
//! let config = CONFIG.get_or_init(|| "loaded".to_owned());
//! assert_eq!(config, "loaded");
//! ```
//!
//! While one goroutine computes, the others that need the value park. std's `OnceLock` would block
//! their thread.
//!
//! ## 22. A map that goroutines share: sync.Map, singleflight
//!
//! ```go
//! var m sync.Map
//! m.Store("a", 1)
//! v, ok := m.Load("a")
//! ```
//!
//! ```
//! use std::collections::HashMap;
//! use bench_runtime::sync::RwMutex;
//!
//! let map = RwMutex::new(HashMap::new());
//! map.write().insert("a", 1);
//! assert_eq!(map.read().get("a"), Some(&1));
//! ```
//!
//! Other crates work as well: `dashmap` for many writers (hold none of its guards while you wait),
//! and `moka::future`, called by [`block_on`](crate::future::block_on); its `get_with` is
//! singleflight. `moka::sync` blocks threads. [`GoroutineLocal`](crate::GoroutineLocal) holds a
//! value for each goroutine.
//!
//! ## 23. Sleep and tick
//!
//! ```go
//! t := time.NewTicker(time.Millisecond)
//! defer t.Stop()
//! <-t.C
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bench_runtime::time::{Ticker, sleep};
//!
//! sleep(Duration::from_millis(1));
//! let ticker = Ticker::new(Duration::from_millis(1));
//! assert!(ticker.receiver().recv().is_some());
//! ```
//!
//! `std::thread::sleep` blocks the thread. A ticker that is dropped stops and closes its channel.
//! [`Timer`](crate::time::Timer) and [`after_func`](crate::time::after_func) are as in Go.
//!
//! # Errors and ends
//!
//! ## 24. `defer`
//!
//! ```go
//! f, err := os.Open(name)
//! if err != nil { return err }
//! defer f.Close()
//! ```
//!
//! ```
//! use std::io::Read;
//! use bench_runtime::fs::File;
//!
//! let mut name = String::new();
//! File::open("/proc/self/comm")?.read_to_string(&mut name)?;
//! assert!(!name.is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A value's `Drop` runs at the end of its block, after a panic and after [`goexit`](crate::goexit)
//! too. Files of [`fs`](crate::fs) are like std's, and block only the goroutine.
//!
//! ## 25. Panic and recover
//!
//! ```go
//! defer func() {
//!     if r := recover(); r != nil { log.Println(r) }
//! }()
//! ```
//!
//! ```
//! use bench_runtime::{JoinError, go};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let Err(JoinError::Panicked(why)) = go(|| panic!("out of cheese")).join() else {
//!     unreachable!()
//! };
//! assert_eq!(why.to_string(), "out of cheese");
//! # });
//! ```
//!
//! A panic ends its goroutine, and the join returns it; in Go it ends the program.
//! `std::panic::catch_unwind` works as on a thread. A panic is also printed on stderr, as in a
//! thread.
//!
//! # The world outside
//!
//! ## 26. A TCP server
//!
//! ```go
//! ln, err := net.Listen("tcp", "127.0.0.1:0")
//! for {
//!     conn, err := ln.Accept()
//!     if err != nil { return err }
//!     go handle(conn)
//! }
//! ```
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use bench_runtime::go;
//! use bench_runtime::net::{TcpListener, TcpStream};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! go!(for stream in listener.incoming().flatten() {
//!     go!(for line in BufReader::new(&stream).lines().map_while(Result::ok) {
//!         writeln!(&stream, "you said {line}").unwrap();
//!     });
//! });
//! let client = TcpStream::connect(address)?;
//! writeln!(&client, "hello")?;
//! let mut answer = String::new();
//! BufReader::new(&client).read_line(&mut answer)?;
//! assert_eq!(answer, "you said hello\n");
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! Sockets have std's methods, and `Read` and `Write`, so std's readers and crates such as `rustls`
//! and `tungstenite` work on them. `TCP_NODELAY` is on, as in Go, and a call of `write!` sends its
//! text as one piece. `incoming` waits while the process is out of descriptors. To end the loop,
//! share the listener by an `Arc` and close it, as `ctx.after_func(move || drop(listener.close()))`
//! does at the end of a context; see `examples/graceful_server.rs`.
//!
//! ## 27. Deadlines of a connection
//!
//! ```go
//! conn.SetReadDeadline(time.Now().Add(time.Second))
//! _, err := conn.Read(buf)    // os.ErrDeadlineExceeded
//! ```
//!
//! ```
//! use std::io::{ErrorKind, Read};
//! use std::time::{Duration, Instant};
//! use bench_runtime::net::UnixStream;
//!
//! let (ours, _theirs) = UnixStream::pair()?;
//! ours.set_read_deadline(Some(Instant::now() + Duration::from_millis(1)));
//! assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A deadline is a point in time, and may be set while another goroutine reads. `set_read_timeout`
//! limits each read, as in std. To wait for any other descriptor (inotify, a pty, a C library's
//! socket), use [`Descriptor`](crate::net::Descriptor).
//!
//! ## 28. A connection that two goroutines use
//!
//! ```go
//! go io.Copy(conn, os.Stdin)      // one writes
//! io.Copy(os.Stdout, conn)        // one reads
//! ```
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use bench_runtime::go;
//! use bench_runtime::net::{Shared, UnixStream};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (ours, theirs) = UnixStream::pair()?;
//! let reader = Shared::new(ours);
//! let mut writer = reader.clone();
//! let writes = go(move || writer.write_all(b"ping\n"));
//! let mut line = String::new();
//! BufReader::new(&theirs).read_line(&mut line)?;
//! (&theirs).write_all(b"pong\n")?;
//! BufReader::new(reader).read_line(&mut line)?;
//! writes.join().unwrap()?;
//! assert_eq!(line, "ping\npong\n");
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! Here `&TcpStream` reads and writes, so in a [`scope`](crate::scope()) a reference is enough.
//! Goroutines that outlive the caller share an `Arc<TcpStream>` and use `&*conn`, as in 17.
//! [`Shared`](crate::net::Shared) is such an `Arc` for code that takes a reader or a writer by
//! value. Every owner may call `close` and `set_deadline`, which end the waits of all.
//!
//! ## 29. A signal ends a context: signal.NotifyContext
//!
//! ```go
//! ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//! defer stop()
//! <-ctx.Done()
//! ```
//!
//! ```
//! use bench_runtime::context::Context;
//! use bench_runtime::go;
//! use bench_runtime::signal::{self, Signal};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let (ctx, cancel) = Context::background().with_cancel();
//! let signals = signal::notify(&[Signal::TERM, Signal::INT])?;
//! go!(if let Some(signal) = signals.recv() { cancel.cancel_with(signal.to_string()) });
//! # bench_runtime::process::Command::new("kill").arg(std::process::id().to_string()).status()?;
//! // Another process sends a signal.
//! ctx.done().recv();
//! assert_eq!(ctx.cause().unwrap().to_string(), "SIGTERM");
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! The goroutine ends after the first signal, and drops the result of
//! [`notify`](crate::signal::notify): a second Ctrl-C then ends the program. The channel has room
//! for one signal of each number, so none is missed. See `examples/graceful_server.rs`.
//!
//! ## 30. A child under a context
//!
//! ```go
//! cmd := exec.CommandContext(ctx, "server", "-v")
//! cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
//! cmd.WaitDelay = 5 * time.Second
//! out, err := cmd.Output()
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bench_runtime::context::Context;
//! use bench_runtime::process::{Command, Ended};
//! use bench_runtime::signal::Signal;
//!
//! let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(20));
//! let mut command = Command::new("sleep");
//! command.arg("1000").context(&ctx).grace(Signal::TERM, Duration::from_secs(5));
//! let error = command.output().unwrap_err();
//! let ended = error.downcast::<Ended>().unwrap();
//! assert!(ended.stdout.is_empty());
//! println!("{ended}"); // Why, and the child's status.
//! ```
//!
//! As in Go, the output until the end of the context is in the error. With
//! [`own_group`](crate::process::Command::own_group) the signal reaches the child's own children
//! too (Go's `Setpgid`). [`Child::process`](crate::process::Child::process) is `cmd.Process`. A
//! child's pipes and its wait block only the goroutine.
//!
//! ## 31. Exit with a status
//!
//! ```go
//! if err := run(); err != nil {
//!     fmt.Fprintln(os.Stderr, err)
//!     os.Exit(1)
//! }
//! ```
//!
//! ```
//! use std::process::ExitCode;
//! use bench_runtime::Runtime;
//!
//! fn main() -> ExitCode {
//!     // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//!     let runtime = unsafe { Runtime::builder().build() }.unwrap();
//!     let result: std::io::Result<()> = runtime.run(|| Ok(()));
//!     match result {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(error) => {
//!             eprintln!("{error}");
//!             ExitCode::FAILURE
//!         }
//!     }
//! }
//! ```
//!
//! The status is what `main` returns, so destructors run. A goroutine that must end the program at
//! once, as `os.Exit` does, calls `blocking(|| std::process::exit(code))`; the reason is at
//! [`Builder::build`](crate::Builder::build).
//!
//! ## 32. Code that blocks its thread: cgo, a database, a future
//!
//! ```go
//! rows, err := db.Query("select 1")    // Go moves other goroutines away
//! ```
//!
//! ```
//! use bench_runtime::{blocking, future};
//! # // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! # unsafe { bench_runtime::Runtime::builder().build() }.unwrap().run(|| {
//!
//! let mut numbers = vec![3, 1, 2];
//! let largest = blocking(|| {
//!     // A call of a C library, SQLite, a long computation.
//!     numbers.sort();
//!     numbers[2]
//! });
//! assert_eq!(largest, 3);
//! let answer = future::block_on(async { 42 });
//! assert_eq!(answer, 42);
//! # });
//! ```
//!
//! The runtime does not know that foreign code blocks: call it in [`blocking`](crate::blocking()),
//! or it delays the goroutines that share the thread. [`block_on`](crate::future::block_on) waits
//! for any future, and needs no thread; [`future`](crate::future) describes how to use tokio in the
//! same program.
//!
//! # Tests
//!
//! ## 33. Test with a clock that does not wait: synctest
//!
//! ```go
//! synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour); synctest.Wait() })
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bench_runtime::{Runtime, synctest, time};
//!
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! let bubble = unsafe { Runtime::builder().fake_time().build() }?;
//! synctest::run(bubble, || {
//!     time::sleep(Duration::from_secs(3600));
//!     synctest::wait();
//!     assert_eq!(synctest::now().as_secs(), 3600);
//! });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`time::now`](crate::time::now) is `time.Now`: it reads the bubble's clock in a bubble, else the
//! host's. `Instant::now` always reads the host's. [`Builder::seed`](crate::Builder::seed) makes
//! the order of goroutines repeatable. Unlike in Go, a goroutine that waits for a mutex counts as
//! durably blocked.
//!
//! # What has another name
//!
//! | Go | here |
//! |---|---|
//! | `runtime.Gosched`, `Goexit`, `NumGoroutine` | [`yield_now`](crate::yield_now), [`goexit`](crate::goexit), [`num_goroutine`](crate::num_goroutine) |
//! | `GOMAXPROCS` | the same variable, [`Builder::procs`](crate::Builder::procs), [`gomaxprocs`](crate::gomaxprocs) |
//! | `os.Exit` | what `main` returns: see 31 |
//! | `signal.NotifyContext`, `exec.CommandContext` | see 29 and 30 |
//! | `runtime.LockOSThread` | [`lock_os_thread`](crate::lock_os_thread); in a pinned runtime every goroutine stays on its thread, but shares it |
//! | `sync.Pool`, `sync.Cond`, `sync.RWMutex` | [`Pool`](crate::sync::Pool), [`Cond`](crate::sync::Cond), [`RwMutex`](crate::sync::RwMutex) |
//! | `io.Copy`, `bufio` | `std::io::copy`, `std::io::BufReader` |
//! | `os.ReadFile`, `os.Stdin` | [`fs::read`](crate::fs::read), [`io::stdin`](crate::io::stdin) |
//! | `net.Dialer.Timeout`, `DialContext` | [`TcpStream::connect_timeout`](crate::net::TcpStream::connect_timeout), whose page has a `dial(ctx, name)` |
//! | `SIGQUIT`'s dump | [`Builder::dumps_on_quit`](crate::Builder::dumps_on_quit), [`goroutines`](crate::goroutines) |
//! | `pprof`, its labels | [`GoBuilder::labels`](crate::GoBuilder::labels), which children do not inherit; `go_with` sets those of a group's task; [`goroutine_profile`](crate::goroutine_profile), [`block_profile`](crate::block_profile), [`mutex_profile`](crate::mutex_profile) |
//! | `go tool trace`, `GODEBUG=schedtrace` | [`trace`](crate::trace), `THREADBARE_SCHEDTRACE` |
//! | `go vet -copylocks`, the race detector | the compiler |
//! | `net/http` | a crate: hyper beside tokio ([`future`](crate::future)), or a blocking one such as `tiny_http`, by [`blocking`](crate::blocking()) |
//! | `database/sql` | a crate: a blocking driver by [`blocking`](crate::blocking()), an async one by [`block_on`](crate::future::block_on) |
//! | `golang.org/x/time/rate` | the crate `governor`, with [`time::sleep`](crate::time::sleep()) for its waits |
//!
//! `CONFORMANCE.md`, in the crate, lists which assertions of Go's own tests hold here.
