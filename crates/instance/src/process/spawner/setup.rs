//! What happens in a child between fork and exec: the one place with `unsafe` code.

use std::io;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::Command;

/// Gives a command its own group, ties its life to ours, and resets what it must not inherit.
#[expect(unsafe_code, reason = "pre_exec is the only way to set a parent-death signal in the child")]
pub(super) fn prepare(command: &mut Command) {
    let parent = getpid();
    command.process_group(0).kill_on_drop(true);
    // SAFETY: `between_fork_and_exec` runs in the forked child of a program with threads, where only async-signal-safe
    // functions may be called. It makes plain system calls (prctl, getppid, setrlimit, umask, sigprocmask), allocates
    // nothing, takes no lock, and reads only `parent`, which was copied before the fork.
    unsafe {
        command.pre_exec(move || between_fork_and_exec(parent));
    }
}

fn between_fork_and_exec(parent: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // The worker may have died between fork and prctl: then nobody would ever signal this child.
    if getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // A core of an engine is as large as its model and holds prompts. One byte and not none: where cores go to a program,
    // Linux does not ask for the limit, but for this one value, at which it makes none either.
    setrlimit(Resource::RLIMIT_CORE, 1, 1)?;
    // Its socket and whatever else it makes is for our user only.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // A signal that is blocked here would stay blocked for good, TERM included.
    SigSet::empty().thread_set_mask()?;
    Ok(())
}
