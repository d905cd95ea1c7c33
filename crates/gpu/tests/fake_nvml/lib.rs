//! A stand-in for NVIDIA's management library, for tests on machines without such a card.
//!
//! Compile it as one file (`rustc --crate-type cdylib --crate-name fake_nvml`). Its cards are those of the folder in
//! which the compiled library lies, read anew at every call; `cards` says how they are written down.
#![allow(non_snake_case, clippy::missing_safety_doc)]

mod cards;

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::SystemTime;

use cards::{Card, Held, held};

const OK: c_int = 0;
const INVALID: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NOT_FOUND: c_int = 6;
const TOO_SMALL: c_int = 7;
const NOT_LOADED: c_int = 9;
const LOST: c_int = 15;
const UNKNOWN: c_int = 999;

/// Where this library lies: what the kernel has mapped at the place of its own code, as a program may have opened
/// several.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let (here, maps) = (state as *const () as usize, std::fs::read_to_string("/proc/self/maps"));
    let own = |line: &&str| {
        let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = ends.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)));
        matches!(ends, Some((Ok(from), Ok(to))) if (from..to).contains(&here))
    };
    let maps = maps.unwrap_or_default();
    let path = maps.lines().find(own).and_then(|line| Some(Path::new(&line[line.find('/')?..])));
    path.and_then(Path::parent).unwrap_or(Path::new("/nowhere")).to_owned()
});

/// What was read last, and of which state of the file: a driver answers in microseconds, and so should this.
static LAST: Mutex<Option<((u64, SystemTime, u64), Option<Vec<Card>>)>> = Mutex::new(None);

/// None when the driver is broken.
fn state() -> Option<Vec<Card>> {
    let path = cards::state(&FOLDER);
    let meta = std::fs::metadata(&path).ok()?;
    let of = (meta.len(), meta.modified().ok()?, meta.ino());
    let mut last = LAST.lock().ok()?;
    if let Some((known, cards)) = &*last
        && *known == of
    {
        return cards.clone();
    }
    let cards = cards::read(&std::fs::read_to_string(path).ok()?);
    *last = Some((of, cards.clone()));
    cards
}

/// A handle is 1 + 100 × card + slice, slices counted from 1; never null.
fn with(handle: *mut c_void, answer: impl FnOnce(&Card, usize) -> c_int) -> c_int {
    let number = handle as usize - 1;
    let Some(cards) = state() else { return UNKNOWN };
    let Some(card) = cards.get(number / 100) else { return INVALID };
    let card = if number % 100 == 0 { Some(card) } else { card.slices.get(number % 100 - 1) };
    match card {
        Some(card) if card.lost => LOST,
        Some(card) => answer(card, number),
        None => INVALID,
    }
}

unsafe fn put(text: &str, buffer: *mut c_char, len: c_uint) -> c_int {
    if text.len() >= len as usize {
        return TOO_SMALL;
    }
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        *buffer.add(text.len()) = 0;
    }
    OK
}

#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

#[repr(C)]
pub struct Process {
    pid: c_uint,
    memory: u64,
    instance: c_uint,
    compute: c_uint,
}

unsafe fn list(processes: &[(u32, u64)], count: *mut c_uint, buffer: *mut Process) -> c_int {
    unsafe {
        let room = *count as usize;
        *count = processes.len() as c_uint;
        if room < processes.len() {
            return TOO_SMALL;
        }
        for (i, (pid, memory)) in processes.iter().enumerate() {
            *buffer.add(i) = Process { pid: *pid, memory: *memory, instance: u32::MAX, compute: u32::MAX };
        }
    }
    OK
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    if state().is_some() { OK } else { NOT_LOADED }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(buffer: *mut c_char, len: c_uint) -> c_int {
    unsafe { put("580.95.05", buffer, len) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    let Some(cards) = state() else { return UNKNOWN };
    unsafe { *count = cards.len() as c_uint };
    OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, handle: *mut *mut c_void) -> c_int {
    unsafe { *handle = (index as usize * 100 + 1) as *mut c_void };
    OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(handle: *mut c_void, buffer: *mut c_char, len: c_uint) -> c_int {
    with(handle, |card, _| unsafe { put(&card.name, buffer, len) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(handle: *mut c_void, buffer: *mut c_char, len: c_uint) -> c_int {
    with(handle, |card, _| unsafe { put(&card.id, buffer, len) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(handle: *mut c_void, memory: *mut Memory) -> c_int {
    with(handle, |card, _| {
        if card.mute {
            return NOT_SUPPORTED;
        }
        let held: u64 = held(&FOLDER, &card.id).iter().map(|held| held.bytes).sum();
        let (total, used) = (card.total, (card.used + held).min(card.total));
        unsafe { *memory = Memory { version: (*memory).version, total, reserved: 0, free: total - used, used } };
        OK
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(handle: *mut c_void, _sensor: c_int, degrees: *mut c_uint) -> c_int {
    with(handle, |card, _| match card.heat {
        Some((value, _)) => {
            unsafe { *degrees = value };
            OK
        }
        None => NOT_SUPPORTED,
    })
}

#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(handle: *mut c_void, rates: *mut Utilization) -> c_int {
    with(handle, |card, _| match card.heat {
        Some((_, gpu)) => {
            unsafe { *rates = Utilization { gpu, memory: 0 } };
            OK
        }
        None => NOT_SUPPORTED,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    handle: *mut c_void,
    count: *mut c_uint,
    buffer: *mut Process,
) -> c_int {
    with(handle, |card, _| {
        let living = held(&FOLDER, &card.id).into_iter().filter(|held| held.alive && !card.secret);
        let mut computing = card.computing.clone();
        computing.extend(living.map(|Held { pid, bytes, .. }| (pid, bytes)));
        unsafe { list(&computing, count, buffer) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    handle: *mut c_void,
    count: *mut c_uint,
    buffer: *mut Process,
) -> c_int {
    with(handle, |card, _| unsafe { list(&card.drawing, count, buffer) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(handle: *mut c_void, now: *mut c_uint, next: *mut c_uint) -> c_int {
    with(handle, |card, _| {
        let mode = c_uint::from(!card.slices.is_empty());
        unsafe { (*now, *next) = (mode, mode) };
        OK
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(_: *mut c_void, count: *mut c_uint) -> c_int {
    unsafe { *count = 7 };
    OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    handle: *mut c_void,
    index: c_uint,
    slice: *mut *mut c_void,
) -> c_int {
    with(handle, |card, number| {
        if index as usize >= card.slices.len() {
            return NOT_FOUND;
        }
        unsafe { *slice = (number + 1 + index as usize + 1) as *mut c_void };
        OK
    })
}
