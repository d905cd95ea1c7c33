//! Listening, and one task per connection.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::connection::{Connection, Gone, Socket};
use crate::engine::{Engine, Phase, stopping};
use crate::http::{self, Request};
use crate::{api, chat, log};

/// How long a connection without a request is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Binds as the arguments say. A socket file that exists is an error, and ours is not removed, as with the engine.
    pub(crate) async fn bind(arguments: &Arguments) -> Result<Listener, String> {
        let (host, port) = (&arguments.host, arguments.port);
        let bound = if host.ends_with(".sock") {
            UnixListener::bind(host).map(Listener::Unix)
        } else {
            TcpListener::bind((host.as_str(), port)).await.map(Listener::Tcp)
        };
        bound.map_err(|_| format!("start: couldn't bind HTTP server socket, hostname: {host}, port: {port}"))
    }

    /// The address as the engine logs it.
    pub(crate) fn shown(&self, arguments: &Arguments) -> String {
        match self {
            Listener::Unix(_) => format!("unix://{}", arguments.host),
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(_) => format!("http://{}:{}", arguments.host, arguments.port),
            },
        }
    }

    async fn accept(&self) -> std::io::Result<Socket> {
        match self {
            Listener::Unix(listener) => listener.accept().await.map(|(socket, _)| Socket::Unix(socket)),
            Listener::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok(Socket::Tcp(socket))
            }
        }
    }
}

/// Serves until the engine stops and every client has gone.
pub(crate) async fn serve(engine: Arc<Engine>, listener: Listener) {
    let mut phase = engine.phase.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(socket) => { connections.spawn(connection(engine.clone(), socket)); }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return log::line('E', "srv", &format!("accept: {error}")),
            },
            Some(_) = connections.join_next() => {}
            () = stopping(&mut phase) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(engine: Arc<Engine>, socket: Socket) {
    let mut connection = Connection::new(socket);
    let mut phase = engine.phase.subscribe();
    let mut is_kept = false;
    loop {
        let request = tokio::select! {
            request = tokio::time::timeout(KEEP_ALIVE, http::read_request(&mut connection)) => request,
            () = stopping(&mut phase) => return,
        };
        let Ok(Ok(request)) = request else { return };
        let is_post = request.method == "POST";
        if is_post && std::mem::replace(&mut is_kept, true) && engine.switches.close_kept {
            return engine.report.say("closed", serde_json::json!({}));
        }
        if route(&engine, &mut connection, &request).await.is_err() {
            return;
        }
    }
}

async fn route(engine: &Engine, connection: &mut Connection, request: &Request) -> Result<(), Gone> {
    let path = request.path.split('?').next().unwrap_or_default();
    let health = matches!(path, "/health" | "/v1/health");
    if health && engine.switches.hang_health {
        return Err(connection.gone().await);
    }
    if *engine.phase.borrow() == Phase::Loading {
        let body = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
        return refuse(connection, 503, body).await;
    }
    let open = health || matches!(path, "/v1/models" | "/models");
    let refused = engine.arguments.api_key.is_some() && engine.arguments.api_key != request.key;
    if (refused || engine.switches.own_key) && !open {
        let body = r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#;
        return refuse(connection, 401, body).await;
    }
    match (request.method.as_str(), path) {
        ("GET", "/health" | "/v1/health") => http::answer(connection, 200, r#"{"status":"ok"}"#).await,
        ("GET", "/props") => http::answer(connection, 200, &api::props(engine).to_string()).await,
        ("GET", "/v1/models" | "/models") => http::answer(connection, 200, &api::models(engine).to_string()).await,
        ("GET", "/slots") if engine.arguments.slots_endpoint => {
            http::answer(connection, 200, &api::slots(engine).to_string()).await
        }
        ("GET", "/metrics") if engine.arguments.metrics => {
            http::answer_as(connection, 200, "text/plain; version=0.0.4", &api::metrics(engine)).await
        }
        ("GET", "/slots" | "/metrics") => {
            let name = path.trim_start_matches('/');
            let message = format!("This server does not support {name} endpoint. Start it with `--{name}`");
            refuse(connection, 501, &http::error_body(501, "not_supported_error", &message)).await
        }
        ("POST", "/v1/chat/completions" | "/chat/completions") => chat::answer(engine, connection, request).await,
        _ => {
            let body = r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#;
            refuse(connection, 404, body).await
        }
    }
}

async fn refuse(connection: &mut Connection, status: u16, body: &str) -> Result<(), Gone> {
    http::answer(connection, status, body).await?;
    Err(Gone)
}
