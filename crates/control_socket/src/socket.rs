//! The listener of a control socket.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::connection;

/// Pause after a failed accept: descriptors need time to become free.
const PAUSE: Duration = Duration::from_secs(5);

/// The bounds of the connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once; further ones wait in the system's queue.
    pub at_once: usize,
    /// The longest time of one connection.
    pub longest: Duration,
}

/// A bound socket; dropping it removes its file.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Binds the socket, in place of a file of this name: the folder is the program's own, so such a file is a socket that
    /// it has lost.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn bind(path: &Path) -> std::io::Result<Self> {
        if let Err(fault) = std::fs::remove_file(path)
            && fault.kind() != std::io::ErrorKind::NotFound
        {
            return Err(fault);
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        tracing::debug!(path = %path.display(), "listening for commands");
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Whether its file is still there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode)
    }

    /// Serves until dropped. The routes are made for the first connection: they cost nothing while none comes.
    pub async fn serve(&self, limits: ConnectionLimits, routes: impl Fn() -> Router) {
        let permits = Arc::new(Semaphore::new(limits.at_once));
        let (mut connections, mut made) = (JoinSet::new(), None);
        loop {
            tokio::select! {
                accepted = self.accept(&permits) => match accepted {
                    Some((stream, permit)) => {
                        let app = made.get_or_insert_with(&routes).clone();
                        let serving = connection::serve(stream, app, limits.longest);
                        connections.spawn(async move { serving.await; drop(permit); });
                    }
                    None => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn accept(&self, permits: &Arc<Semaphore>) -> Option<(UnixStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        let (stream, _) = self.listener.accept().await.ok()?;
        Some((stream, permit))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if self.is_there() {
            let _already_gone = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_user_only_and_removes_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = ControlSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let second = ControlSocket::bind(&path).unwrap();
        assert!(!first.is_there() && second.is_there());
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
