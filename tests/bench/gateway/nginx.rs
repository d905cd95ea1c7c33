//! nginx with the gateway's job, where it is installed: a request goes over a kept connection to the engine's socket.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::rig::DEADLINE;

/// A running nginx; dropping it ends it.
pub(super) struct Nginx {
    _process: Child,
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
}

impl Nginx {
    /// Starts it with its files in this folder; `None` where it is not installed.
    pub(super) async fn start(folder: &Path, socket: &Path) -> anyhow::Result<Option<Nginx>> {
        std::fs::create_dir_all(folder)?;
        // It cannot choose a port itself.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let place = folder.display();
        let socket = socket.display();
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\nevents {{}}\n\
             http {{\n access_log off; client_max_body_size 64m; client_body_buffer_size 4m;\n\
             client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
             uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
             upstream engine {{ server unix:{socket}; keepalive 16; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://engine; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_buffering off; proxy_read_timeout 1h; }} }}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).kill_on_drop(true);
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(process) = started else { return Ok(None) };
        let pid = process.id().context("nginx has ended")?;
        let listening = async {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while TcpStream::connect(address).await.is_err() {
                tick.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, listening).await.context("nginx does not listen")?;
        Ok(Some(Nginx { _process: process, address, pid }))
    }
}
