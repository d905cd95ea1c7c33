//! usage: `fake-hub ROOT [PORT]`
//!
//! A fake hub of models: Hugging Face's protocol for the repositories of a folder, with a switch for every fault.
//!
//! `ROOT/owner/repo/` is a repository; all its revisions are one commit. `ROOT/switches` is read for each request
//! ([`switches`]), and `ROOT/requests` gets one line for each. The content comes from a second port, as from another host,
//! by an address that is signed. The first line of its output names both.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its first line is its interface, its errors are for a person"
)]

mod api;
mod content;
mod log;
mod repositories;
mod switches;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

/// What all requests share.
struct Server {
    repositories: repositories::Repositories,
    switches: switches::Switches,
    log: log::RequestLog,
    /// The address of the content.
    content: String,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (root, port) = (words.next(), words.next().map_or(Ok(0), |port| port.parse::<u16>()));
    let (Some(root), Ok(port)) = (root, port) else {
        eprintln!("usage: fake-hub ROOT [PORT]");
        return ExitCode::from(64);
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fake-hub: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(root.into(), port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-hub: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(root: PathBuf, port: u16) -> std::io::Result<()> {
    let (hub, content) = (TcpListener::bind(("127.0.0.1", port)).await?, TcpListener::bind("127.0.0.1:0").await?);
    let server = Arc::new(Server {
        repositories: repositories::Repositories::new(root.clone()),
        switches: switches::Switches::new(root.join("switches")),
        log: log::RequestLog::new(root.join("requests")),
        content: format!("http://{}", content.local_addr()?),
    });
    println!("hub http://{} content {}", hub.local_addr()?, server.content);
    let api = Router::new()
        .route("/api/models/{owner}/{name}", get(api::info))
        .route("/api/models/{owner}/{name}/revision/{revision}", get(api::info))
        .route("/api/models/{owner}/{name}/tree/{revision}", get(api::tree))
        .route("/{owner}/{name}/resolve/{revision}/{*path}", get(api::resolve))
        .with_state(Arc::clone(&server));
    let bodies = Router::new().route("/signed/{owner}/{name}/{*path}", get(content::signed)).with_state(server);
    tokio::select! {
        ended = async { axum::serve(hub, api).await } => ended,
        ended = async { axum::serve(content, bodies).await } => ended,
    }
}
