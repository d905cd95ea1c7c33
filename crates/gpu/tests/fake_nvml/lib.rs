//! A stand-in for NVIDIA's management library, for tests on machines without such a card.
//!
//! Compile it as one file (`rustc --crate-type cdylib`) with `FAKE_NVML_STATE` naming a text file, or
//! set the variable when the program runs. The file is read anew at every call:
//!
//! ```text
//! gpu <total> <used> <name…>      one per card
//! proc <gpu> <pid> <bytes|na>     a process that computes
//! draw <gpu> <pid> <bytes|na>     a process that draws
//! slice <gpu> <total> <used>      the card is cut into slices, and this is one
//! heat <gpu> <degrees> <percent>  how warm the card is, and how busy
//! lost <gpu>                      the card fell off the bus
//! mute <gpu>                      the card does not tell its memory
//! broken                          the driver does not answer at all
//! ```
#![allow(non_snake_case, clippy::missing_safety_doc)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::time::SystemTime;

const OK: c_int = 0;
const INVALID: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NOT_FOUND: c_int = 6;
const TOO_SMALL: c_int = 7;
const NOT_LOADED: c_int = 9;
const LOST: c_int = 15;
const UNKNOWN: c_int = 999;

#[derive(Default, Clone)]
struct Card {
    total: u64,
    used: u64,
    name: String,
    lost: bool,
    mute: bool,
    heat: Option<(u32, u32)>,
    computing: Vec<(u32, u64)>,
    drawing: Vec<(u32, u64)>,
    slices: Vec<Card>,
}

/// What was read last, and of which state of the file: a driver answers in microseconds, and so should this.
static LAST: Mutex<Option<((u64, SystemTime, u64), Option<Vec<Card>>)>> = Mutex::new(None);

/// None when the driver is broken.
fn state() -> Option<Vec<Card>> {
    let path = std::env::var_os("FAKE_NVML_STATE").or(option_env!("FAKE_NVML_STATE").map(Into::into))?;
    let meta = std::fs::metadata(&path).ok()?;
    let of = (meta.len(), meta.modified().ok()?, meta.ino());
    let mut last = LAST.lock().ok()?;
    if let Some((known, cards)) = &*last
        && *known == of
    {
        return cards.clone();
    }
    let cards = read(&std::fs::read_to_string(path).ok()?);
    *last = Some((of, cards.clone()));
    cards
}

fn read(text: &str) -> Option<Vec<Card>> {
    let mut cards: Vec<Card> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let n = |i: usize| words.get(i).and_then(|word| word.parse::<u64>().ok());
        match words.first() {
            None => {}
            Some(&"broken") => return None,
            Some(&"gpu") => {
                cards.push(Card { total: n(1)?, used: n(2)?, name: words[3..].join(" "), ..Card::default() });
            }
            Some(verb) => {
                let card = cards.get_mut(n(1)? as usize)?;
                match *verb {
                    "proc" => card.computing.push((n(2)? as u32, n(3).unwrap_or(u64::MAX))),
                    "draw" => card.drawing.push((n(2)? as u32, n(3).unwrap_or(u64::MAX))),
                    "lost" => card.lost = true,
                    "mute" => card.mute = true,
                    "heat" => card.heat = Some((n(2)? as u32, n(3)? as u32)),
                    "slice" => {
                        let name = format!("{} slice", card.name);
                        card.slices.push(Card { total: n(2)?, used: n(3)?, name, ..Card::default() });
                    }
                    _ => return None,
                }
            }
        }
    }
    Some(cards)
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
    with(handle, |_, number| unsafe { put(&format!("GPU-fake-{number:04}"), buffer, len) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(handle: *mut c_void, memory: *mut Memory) -> c_int {
    with(handle, |card, _| {
        if card.mute {
            return NOT_SUPPORTED;
        }
        let Card { total, used, .. } = *card;
        unsafe { *memory = Memory { version: (*memory).version, total, reserved: 0, free: total - used, used } };
        OK
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(handle: *mut c_void, _sensor: c_int, degrees: *mut c_uint) -> c_int {
    with(handle, |card, _| match card.heat {
        Some((told, _)) => {
            unsafe { *degrees = told };
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
    with(handle, |card, _| unsafe { list(&card.computing, count, buffer) })
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
