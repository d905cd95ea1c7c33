//! What happens in a child between fork and exec: the one place with `unsafe` code.

use std::io;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::Command;

use crate::host::open_files;

/// Gives a command its own group, ties its life to ours, and resets what it must not inherit.
#[expect(unsafe_code, reason = "pre_exec is the only way to set a parent-death signal in the child")]
pub(super) fn prepare(command: &mut Command) {
    let parent = getpid();
    let open_files = open_files::of_engines();
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
    // The worker may have died between fork and prctl: then nobody would ever signal this child.
    if getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // A core of an engine is as large as its model and holds prompts. One byte and not none: where cores go to a program,
    // Linux does not ask for the limit, but for this one value, at which it makes none either.
    // With a hard limit of 0 only root may set it; then the limit is as low as it gets.
    if setrlimit(Resource::RLIMIT_CORE, 1, 1).is_err() {
        let _as_it_is = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    }
    if let (Some(soft), Ok((_, hard))) = (open_files, getrlimit(Resource::RLIMIT_NOFILE)) {
        let _as_ours = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
    // Its socket and whatever else it makes is for our user only.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // A signal that is blocked here would stay blocked for good, TERM included.
    SigSet::empty().thread_set_mask()?;
    Ok(())
}
