//! `service.http` with hyper.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::server::graceful::GracefulShutdown;
// This semaphore works on any executor.
use ::tokio::sync::Semaphore;

use super::Stackless;
use crate::lane::{Failure, Order, Outcome};
use crate::load;
use crate::measure::Meter;
use crate::service::api::{self, Problem, Users};
use crate::service::backend::{self, Place};
use crate::service::database;
use crate::service::http::Target;
use crate::service::resp::{self, Reply};
use crate::service::{IDLE, PAUSE, Route, Settings};

const MOST_BODY_BYTES: usize = 64 << 10;

pub(super) async fn http<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let task_order = order.clone();
    let backend = L::blocking(move || backend::start(&task_order, L::DATABASE)).await??;
    let settings = Settings::new(order, backend.place.clone());
    let meter = Meter::begin(true);
    let (listener, address) = L::listen()
        .await
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let server = Arc::new(Server::new(lane, settings));
    let own = server.clone();
    let serving = lane.spawn(async move {
        own.serve(listener).await;
        0
    });
    let load = load::service::arguments(order, address);
    let report = L::blocking(move || load::run(&load)).await?;
    L::open(&server.ends);
    L::join(serving).await?;
    let outcome = report?.into_outcome(meter.finish());
    L::blocking(move || drop(backend)).await?;
    Ok(outcome)
}

struct Server<L: Stackless> {
    lane: L,
    settings: Settings,
    users: Users,
    in_flight: Semaphore,
    /// Opened when the service ends.
    ends: L::Gate,
    permits: Semaphore,
    /// Idle connections to the backend.
    links: Mutex<Vec<Link<L>>>,
}

impl<L: Stackless> Server<L> {
    fn new(lane: &L, settings: Settings) -> Self {
        Self {
            lane: lane.clone(),
            users: Users::new(settings.rounds),
            in_flight: Semaphore::new(settings.in_flight as usize),
            ends: L::gate(),
            permits: Semaphore::new(settings.pool),
            links: Mutex::default(),
            settings,
        }
    }

    async fn serve(self: Arc<Self>, listener: L::Listener) {
        let open = GracefulShutdown::new();
        loop {
            let stream = ::tokio::select! {
                accepted = L::accept(&listener) => match accepted {
                    Ok(stream) => stream,
                    Err(_) => {
                        L::sleep(PAUSE).await;
                        continue;
                    }
                },
                () = L::wait(&self.ends) => break,
            };
            let server = self.clone();
            let connection = http1::Builder::new()
                .timer(L::timer())
                .header_read_timeout(IDLE)
                .serve_connection(
                    L::io(stream),
                    service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    }),
                );
            // An error ends only this connection.
            let connection = open.watch(connection);
            // `open` waits for the connection's end.
            L::detach(self.lane.spawn(async move {
                let _ = connection.await;
                0
            }));
        }
        drop(listener);
        // A client that does not read may keep its connection open; the connection then ends with
        // the runtime.
        let _ = L::within(IDLE, open.shutdown()).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.reply(request).await {
            Ok(body) => (200, body),
            Err(problem) => (problem.status(), problem.body()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    async fn reply(&self, request: Request<Incoming>) -> Result<Vec<u8>, Problem> {
        let route = match Target::at(request.uri().path()) {
            Target::Route(route) => route,
            Target::Drain => {
                L::open(&self.ends);
                return Ok(b"{}".to_vec());
            }
            Target::Nothing => return Err(Problem::NoSuchPath),
        };
        let _permit = self
            .in_flight
            .try_acquire()
            .map_err(|_| Problem::TooManyRequests)?;
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let user = self.users.user(authorization.unwrap_or_default())?;
        let body = Limited::new(request.into_body(), MOST_BODY_BYTES).collect();
        let body = body.await.map_err(|_| Problem::Malformed)?.to_bytes();
        let item = api::item(&body)?;
        let keys: Vec<_> = route.items(item).map(|item| route.key(item)).collect();
        let values = match keys.as_slice() {
            [one, two, three] => {
                let (one, two, three) =
                    ::tokio::try_join!(self.fetch(one), self.fetch(two), self.fetch(three))?;
                vec![one, two, three]
            }
            [one, ..] => vec![self.fetch(one).await?],
            [] => return Err(Problem::Malformed),
        };
        let steps = self.settings.steps;
        let computed = match route {
            // The computation takes longer than a task may run without yielding.
            Route::Compute => L::blocking(move || api::compute(route, item, steps))
                .await
                .map_err(|_| Problem::Backend)?,
            _ => 0,
        };
        api::answer(route, user, item, computed, &values)
    }

    async fn fetch(&self, key: &str) -> Result<Vec<u8>, Problem> {
        let fetched = L::within(self.settings.timeout, async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            loop {
                let idle_link = self.links().pop();
                let is_reused = idle_link.is_some();
                let link = match idle_link {
                    Some(link) => Ok(link),
                    None => Link::new(&self.settings).await,
                };
                let got = match link {
                    Ok(mut link) => link.get(key).await.map(|value| (link, value)),
                    Err(error) => Err(error),
                };
                match got {
                    Ok((link, value)) => {
                        self.links().push(link);
                        return value.ok_or(Problem::Backend);
                    }
                    // The backend has closed this idle connection: the loop takes another.
                    Err(_) if is_reused => {}
                    Err(_) => return Err(Problem::Backend),
                }
            }
        });
        fetched.await.unwrap_or(Err(Problem::BackendIsLate))
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Link<L>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Link<L: Stackless> {
    Resp(Resp<L>),
    Database(database::Async),
}

impl<L: Stackless> Link<L> {
    async fn new(settings: &Settings) -> io::Result<Self> {
        Ok(match &settings.backend {
            Place::Database(url) => {
                Self::Database(database::Async::connect(url, settings.timeout).await?)
            }
            Place::Resp(address) => Self::Resp(Resp {
                stream: L::connect(*address).await?,
                command: Vec::new(),
                input: Vec::new(),
                block: vec![0_u8; 2 << 10].into_boxed_slice(),
            }),
        })
    }

    /// `None` if the key has no value.
    async fn get(&mut self, key: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Resp(link) => link.get(key).await,
            Self::Database(client) => {
                let values = client.get(&[key.to_owned()]).await?;
                Ok(values.and_then(|mut values| values.pop()))
            }
        }
    }
}

struct Resp<L: Stackless> {
    stream: L::Stream,
    command: Vec<u8>,
    input: Vec<u8>,
    /// In a box, so that the futures of the service's connections are small.
    block: Box<[u8]>,
}

impl<L: Stackless> Resp<L> {
    async fn get(&mut self, key: &str) -> io::Result<Option<Vec<u8>>> {
        self.command.clear();
        self.input.clear();
        resp::command(&mut self.command, &[b"GET", key.as_bytes()]);
        L::write_all(&mut self.stream, &self.command).await?;
        loop {
            match resp::reply(&self.input) {
                Ok(Some((Reply::Value(value), _))) => return Ok(Some(self.input[value].to_vec())),
                Ok(Some(_)) => return Ok(None),
                Ok(None) => match L::read(&mut self.stream, &mut self.block).await? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    size => self.input.extend_from_slice(&self.block[..size]),
                },
                Err(resp::Malformed) => return Err(ErrorKind::InvalidData.into()),
            }
        }
    }
}
