//! The folder of the control sockets of a user's routers.
//!
//! Each router has one socket in it, under a random name. A router that was killed leaves its socket, which the next start
//! removes: nothing listens on it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use auxot_control_socket::ControlSocket;
use auxot_private_folder::{PrivateFolderError, check, make, open};
use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::ids;

/// The folder in that of the service manager, which other users can enter.
const OF_SERVICE: &str = "control";
/// The folder of the installed service in `/run` and in that of a user's session.
const SERVICE_FOLDER: &str = "auxot-router";
/// The extension of sockets.
const EXTENSION: &str = "sock";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error(transparent)]
    Folder(#[from] PrivateFolderError),
    #[error("cannot listen for commands at {}: {source}", path.display())]
    Listen { path: PathBuf, source: io::Error },
}

/// A path for the socket of a router.
pub(super) fn new_socket(folder: &Path) -> Result<PathBuf, getrandom::Error> {
    Ok(folder.join(ids::hex::<8>("")?).with_extension(EXTENSION))
}

/// Binds a socket, after removing those of routers that are gone from its folder. Blocks.
pub(super) fn bind(path: &Path) -> Result<ControlSocket, FolderError> {
    let failed = |source| FolderError::Listen { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(path);
    make(folder)?;
    // Without the lock, a router that starts at the same time could remove our socket before it listens.
    let gate = open(folder)?;
    gate.lock().map_err(failed)?;
    sockets_in(folder).iter().filter(|path| is_left(path)).for_each(|path| _ = std::fs::remove_file(path));
    ControlSocket::bind(path).map_err(failed)
}

/// The sockets of a folder in which only its owner can put one, or the system. In a folder such as `/tmp` all users can make one
/// under any name.
pub(super) fn trusted_sockets_in(folder: &Path) -> Vec<PathBuf> {
    if is_trusted(folder) { sockets_in(folder) } else { Vec::new() }
}

fn is_trusted(folder: &Path) -> bool {
    let all_users_can_make_it =
        folder.parent().and_then(|parent| parent.metadata().ok()).is_some_and(|m| m.mode() & 0o002 != 0);
    !all_users_can_make_it || check(folder).is_ok()
}

/// The sockets in a folder; some may be of routers that are gone.
pub(super) fn sockets_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sockets: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == EXTENSION)).collect();
    sockets.sort();
    sockets
}

/// Whether nothing listens on a socket. One whose queue is full has a router.
fn is_left(path: &Path) -> bool {
    let refused = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    refused().is_err_and(|fault| fault.kind() == io::ErrorKind::ConnectionRefused)
}

/// The folder of a router, unless one is configured.
pub(crate) fn default_folder(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    // The service manager can give several, separated by colons.
    let first = |name: &str| std::env::split_paths(&variable(name)?).next();
    let absolute = |name: &str| first(name).filter(|folder| folder.is_absolute());
    absolute("RUNTIME_DIRECTORY")
        .map(|folder| folder.join(OF_SERVICE))
        .or_else(|| absolute("XDG_RUNTIME_DIR").map(|folder| folder.join(SERVICE_FOLDER)))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/auxot-router-{}", geteuid())))
}

/// Where running routers of this host may have their sockets: in the configured folder, else in that of this environment, of
/// the installed service, or of a router without either.
pub(crate) fn folders(configured: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![folder.to_owned()];
    }
    let session = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_services = session.into_iter().chain([PathBuf::from("/run")]);
    let of_services = of_services.map(|path| path.join(SERVICE_FOLDER).join(OF_SERVICE)).collect::<Vec<_>>();
    let mut folders = vec![default_folder(variable)];
    folders.extend(of_services.into_iter().chain([default_folder(|_| None)]));
    let mut known = std::collections::HashSet::new();
    folders.retain(|folder| known.insert(folder.clone()));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_start_removes_what_a_killed_router_left_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("control");
        let running = bind(&new_socket(&folder).unwrap()).unwrap();
        let left = folder.join("left.sock");
        drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
        std::fs::write(folder.join("note"), "").unwrap();
        let second = bind(&new_socket(&folder).unwrap()).unwrap();
        assert!(running.is_there() && second.is_there() && !left.exists() && folder.join("note").exists());
        assert_eq!(sockets_in(&folder).len(), 2);
        drop((running, second));
        assert!(sockets_in(&folder).is_empty());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(bind(&new_socket(base.path()).unwrap()).unwrap_err().to_string().contains("others can enter it"));
    }

    #[test]
    fn a_folder_that_another_user_may_have_made_is_not_asked() {
        let permit = |path: &Path, mode| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        let base = tempfile::tempdir().unwrap();
        let (folder, link) = (base.path().join("router"), base.path().join("link"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.sock"), "").unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        permit(&folder, 0o755);
        assert_eq!(trusted_sockets_in(&folder).len(), 1, "only this user can write its parent");
        permit(base.path(), 0o777);
        assert!(trusted_sockets_in(&folder).is_empty(), "others can enter it");
        permit(&folder, 0o700);
        assert_eq!(trusted_sockets_in(&folder).len(), 1);
        assert!(trusted_sockets_in(&link).is_empty(), "a link may lead anywhere");
    }

    #[test]
    fn a_router_is_looked_for_where_one_would_be() {
        let user = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| OsString::from("/run/user/7"));
        let of_user = folders(None, user);
        assert_eq!(
            of_user[..3],
            ["/run/user/7/auxot-router", "/run/user/7/auxot-router/control", "/run/auxot-router/control"]
                .map(PathBuf::from)
        );
        let service = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| OsString::from("/run/auxot-router"));
        assert_eq!(default_folder(service), PathBuf::from("/run/auxot-router/control"));
        assert_eq!(folders(Some(Path::new("/x")), user), [PathBuf::from("/x")]);
    }
}
