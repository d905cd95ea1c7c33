//! The setup of a child between fork and exec: the only `unsafe` code.

use std::io;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::Command;

use crate::host::open_files;

/// Gives a command its own process group, has it killed with this process, and resets what it must not inherit.
#[expect(unsafe_code, reason = "pre_exec is the only way to set a parent-death signal in the child")]
pub(super) fn prepare(command: &mut Command) {
    let parent = getpid();
    let open_files = open_files::engine_limit();
    command.process_group(0).kill_on_drop(true);
    // SAFETY: `between_fork_and_exec` runs in the forked child of a program with threads, where only async-signal-safe
    // functions may be called. It makes plain system calls (prctl, getppid, getrlimit, setrlimit, umask, sigprocmask),
    // allocates nothing, takes no lock, and reads only `parent` and `open_files`, which were copied before the fork.
    unsafe {
        command.pre_exec(move || between_fork_and_exec(parent, open_files));
    }
}

fn between_fork_and_exec(parent: Pid, open_files: Option<rlim_t>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // The worker may have exited between fork and prctl: then this child would never get the signal.
    if getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // A core dump of an engine is as large as its model and holds prompts. The limit is one byte and not zero: where cores
    // are piped to a program, Linux ignores the limit, except for the value 1, at which it dumps none either.
    // With a hard limit of 0 only root may raise it; then the limit stays 0.
    if setrlimit(Resource::RLIMIT_CORE, 1, 1).is_err() {
        let _unchanged = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    }
    if let (Some(soft), Ok((_, hard))) = (open_files, getrlimit(Resource::RLIMIT_NOFILE)) {
        let _unchanged = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
    // Its socket and its files are for our user only.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // A signal that is blocked here would stay blocked, TERM included.
    SigSet::empty().thread_set_mask()?;
    Ok(())
}
