//! A worker and its router over TLS.

use std::process::Command;

use auxot_tests::{DEADLINE, Program, Scratch, Worker, binaries};

use crate::chain::keys;

#[tokio::test]
async fn a_worker_trusts_the_routers_certificate_by_the_operators_file_of_authorities() {
    let scratch = Scratch::new();
    let (worker_key, _) = keys(&scratch);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut command = Command::new(binaries::program("auxot-router"));
    command.args(["serve", "--port", "0", "--keys-file"]).arg(scratch.join("keys.toml")).env_clear();
    command.env("NO_COLOR", "1").env("AUXOT_ROUTER_RUNTIME_DIR", scratch.join("router"));
    command.env("AUXOT_TLS_CERTIFICATE", &certificate).env("AUXOT_TLS_KEY", &key);
    let mut router = Program::start(command);
    let line = router.line("router listens", DEADLINE).await;
    let port = line.split_whitespace().find_map(|word| word.strip_prefix("addr=127.0.0.1:")).unwrap();
    let command = || {
        let mut command = Worker::command(&scratch, &format!("localhost:{port}"));
        command.env("AUXOT_GPU_KEY", &worker_key);
        command
    };
    let mut untrusting = Worker::start(command()).await;
    untrusting.line("UnknownIssuer").await;
    drop(untrusting);
    let mut trusting = command();
    trusting.env("AUXOT_ROUTER__CA_FILE", &certificate);
    let _worker = Worker::start(trusting).await;
    router.line("worker joined", DEADLINE).await;
}
