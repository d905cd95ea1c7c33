//! Each measured exit gets its class.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::*;

const NEW: ExitContext = ExitContext { loaded: false, left_behind: 0, task_limit: true };
const LOADED: ExitContext = ExitContext { loaded: true, ..NEW };

#[test]
fn a_thread_that_cannot_be_created_is_a_task_limit_unless_memory_is_limited() {
    let text = "libgomp: Thread creation failed: Resource temporarily unavailable";
    let report = ExitReport::classify(exit(1), lines(text), NEW);
    assert_eq!(report.class, ExitClass::TaskLimit);
    assert!(report.to_string().contains("TasksMax"), "{report}");
    let report = ExitReport::classify(exit(1), lines(text), ExitContext { task_limit: false, ..NEW });
    assert_eq!(report.class, ExitClass::HostMemory);
    let fault = std::io::Error::from_raw_os_error(libc::EAGAIN);
    let report = ExitReport::not_started(&fault);
    assert!(report.class == ExitClass::SpawnTrouble && report.to_string().contains("TasksMax"), "{report}");
}

#[test]
fn a_program_that_goes_into_the_background_is_reported_as_detached() {
    let report = ExitReport::classify(exit(0), lines("ready"), ExitContext { left_behind: 2, ..NEW });
    assert_eq!(report.class, ExitClass::Detached);
    let report = ExitReport::classify(exit(1), lines("ready"), ExitContext { left_behind: 2, ..NEW });
    assert_eq!(report.class, ExitClass::Other, "it failed, and that is the cause");
}

#[test]
fn every_cause_but_a_fault_of_file_or_arguments_can_pass() {
    let stays = |class: &&ExitClass| !class.can_pass();
    let stay: Vec<_> = ExitClass::ALL.iter().filter(stays).collect();
    assert_eq!(stay, [&ExitClass::BadFile, &ExitClass::UnknownArchitecture, &ExitClass::BadArgument]);
}

fn exit(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Exit status and last lines as captured from b10434 and b11434, with the class they must get.
const TABLE: &[(ExitClass, i32, &str)] = &[
    (ExitClass::BadArgument, 1, "error: invalid argument: --x"),
    (ExitClass::BadArgument, 1, "error while handling argument \"-c\": stoi\n\nusage:\n-c, --ctx-size N"),
    (ExitClass::BadArgument, 1, "error while handling argument \"-dev\": invalid device: CUDA0"),
    (ExitClass::BadArgument, 1, "error while handling environment variable \"LLAMA_ARG_CTX_SIZE\": stoi"),
    (ExitClass::BadArgument, 1, "error: the supplied chat template is not supported: x"),
    (ExitClass::BadArgument, 1, "0.00.1 E n_seq_max must be <= 256"),
    (ExitClass::BadArgument, 1, "quantized V cache requires flash_attn to be enabled"),
    (
        ExitClass::Bind,
        1,
        "0.00.010.001 E srv start: couldn't bind HTTP server socket, hostname: x.sock, port: 8080\nexiting due to HTTP server error",
    ),
    (ExitClass::BadFile, 1, "E gguf_init_from_file: failed to open GGUF file 'x' (No such file or directory)"),
    (ExitClass::BadFile, 1, "E gguf_init_from_reader: invalid magic characters: '<htm', expected 'GGUF'"),
    (ExitClass::BadFile, 1, "failed to read magic\nE srv load_model: failed to load model, 'x'"),
    (ExitClass::BadFile, 1, "failed to read key-value pairs"),
    (
        ExitClass::BadFile,
        1,
        "tensor 'blk.0.ffn' data is not within the file bounds, model is corrupted or incomplete\nE srv load_model: failed to load model, 'x'",
    ),
    (
        ExitClass::BadFile,
        1,
        "error loading model hyperparameters: key not found in model: llama.context_length\nexiting due to model loading error",
    ),
    (ExitClass::BadFile, 1, "failed to load multimodal model, 'x'"),
    (
        ExitClass::BadFile,
        1,
        "0.00.1 E llama_model_load: error loading model: check_tensor_dims: tensor 'blk.0.attn_k.weight' not found\n0.00.2 I srv cleaning up before exit...",
    ),
    (
        ExitClass::BadFile,
        1,
        "0.00.1 E llama_model_load: error loading model: check_tensor_dims: tensor 'x' has wrong shape; expected 64, 32, got 32, 64",
    ),
    (
        ExitClass::BadFile,
        1,
        "0.00.1 E llama_model_load: error loading model: done_getting_tensors: wrong number of tensors; expected 10, got 9",
    ),
    (
        ExitClass::BadFile,
        1,
        "0.00.1 E llama_model_load: error loading model: error loading model vocabulary: unknown tokenizer: 'x'",
    ),
    (
        ExitClass::BadFile,
        1,
        "0.00.1 E gguf_init_from_reader: tensor 'x' has offset 1344, expected 1280\n0.00.2 E gguf_init_from_reader: failed to read tensor data",
    ),
    (ExitClass::DeviceMemory, 1, "0.00.1 E llama_model_load: error loading model: unable to allocate CUDA0 buffer"),
    (
        ExitClass::DriverLost,
        1,
        "0.00.1 E llama_model_load: error loading model: vk::PhysicalDevice::createDevice: ErrorInitializationFailed",
    ),
    (ExitClass::Other, 1, "0.00.1 E llama_model_load: error loading model: read error: Input/output error"),
    (ExitClass::SpawnRefused, 1, "0.00.1 E llama_model_load: error loading model: no CPU backend found"),
    (ExitClass::UnknownArchitecture, 1, "this GGUF file is version 99 but this software only supports up to version 3"),
    (ExitClass::UnknownArchitecture, 1, "error loading model: unknown model architecture: 'notallama'"),
    (
        ExitClass::HostMemory,
        1,
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 1 MB)\nfailed to initialize the context: failed to allocate buffer for kv cache",
    ),
    (
        ExitClass::TaskLimit,
        1,
        "terminate called after throwing an instance of 'std::system_error'\n  what():  Resource temporarily unavailable",
    ),
    (
        ExitClass::DeviceMemory,
        1,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory\nunable to allocate CUDA0 buffer",
    ),
    (ExitClass::DeviceMemory, 1, "ggml_vulkan: Device memory allocation of size 1048576 failed."),
    (ExitClass::SpawnRefused, 127, "llama-server: error while loading shared libraries: libgomp.so.1: cannot open"),
    (ExitClass::Other, 1, "something never seen before"),
    (ExitClass::UnexpectedExit, 0, ""),
];

#[test]
fn every_row_of_the_exit_table_has_its_class() {
    for (class, code, text) in TABLE {
        let report = ExitReport::classify(exit(*code), lines(text), NEW);
        assert_eq!(report.class, *class, "{text}");
        assert_eq!(report.code, Some(*code));
    }
}

#[test]
fn an_unknown_cause_is_shown_by_its_first_error_and_not_by_the_last_line() {
    let text = "0.00.1 I srv load: starts\n0.00.2 E srv load_model: an unknown fault\n0.00.3 E srv exiting\n0.00.4 I srv cleaning up before exit...";
    let report = ExitReport::classify(exit(1), lines(text), NEW);
    assert_eq!(report.class, ExitClass::Other);
    assert!(report.reason.unwrap().ends_with("an unknown fault"));
    let report = ExitReport::classify(exit(1), lines(text), LOADED);
    assert!(report.reason.unwrap().ends_with("E srv exiting"), "the last line of an engine that served");
}

#[test]
fn signals_are_named_unless_the_output_says_why() {
    let killed = ExitReport::classify(ExitStatus::from_raw(9), lines("srv update_slots: all slots are idle"), LOADED);
    assert_eq!((killed.class, killed.signal, killed.code), (ExitClass::Signal, Some(9), None));
    assert!(killed.to_string().contains("memory"), "{killed}");

    let text = "CUDA error: out of memory\n  current device: 0, in function f at x.cu:1";
    let aborted = ExitReport::classify(ExitStatus::from_raw(6), lines(text), LOADED);
    assert_eq!(aborted.class, ExitClass::DeviceMemory);

    let text = "CUDA error: unspecified launch failure";
    assert_eq!(ExitReport::classify(ExitStatus::from_raw(6), lines(text), LOADED).class, ExitClass::DriverLost);

    let report = ExitReport::classify(ExitStatus::from_raw(4), lines("AMX is not ready to be used!"), NEW);
    assert_eq!((report.class, report.class.recovery()), (ExitClass::WrongProcessor, Recovery::Fail));

    let text = "ggml.c:12: GGML_ASSERT(n > 0) failed";
    assert_eq!(ExitReport::classify(ExitStatus::from_raw(6), lines(text), NEW).class, ExitClass::Assertion);
}

#[test]
fn a_process_that_was_ready_never_fails_for_its_file() {
    let report = ExitReport::classify(exit(1), lines("user text: unknown model architecture"), LOADED);
    assert_eq!(report.class, ExitClass::Other);
}

#[test]
fn the_message_has_the_line_with_the_cause_and_not_the_last_one() {
    let text = "error loading model: unknown model architecture: 'x'\nexiting due to model loading error\n";
    let report = ExitReport::classify(exit(1), lines(text), NEW);
    assert_eq!(
        report.to_string(),
        "the engine does not know this kind of model (exit status 1): \
         error loading model: unknown model architecture: 'x'"
    );
}

#[test]
fn a_missing_program_is_refused_and_a_full_process_table_is_temporary() {
    let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
    assert_eq!(ExitReport::not_started(&missing).class, ExitClass::SpawnRefused);
    let full = std::io::Error::from_raw_os_error(libc::EAGAIN);
    assert_eq!(ExitReport::not_started(&full).class, ExitClass::SpawnTrouble);
    let text_file = std::io::Error::from_raw_os_error(libc::ENOEXEC);
    assert_eq!(ExitReport::not_started(&text_file).class, ExitClass::SpawnRefused);
}
