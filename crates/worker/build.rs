//! Puts the functions of a running worker side by side in a release: see `link-order.ld`.

fn main() {
    println!("cargo:rerun-if-changed=link-order.ld");
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).as_deref() == Ok(value);
    // A linker of the user's own may not read the file; the default ones of Linux, lld and GNU ld, do.
    let own_linker = std::env::var_os("RUSTC_LINKER").is_some();
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") && !own_linker {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{folder}/link-order.ld");
        // For scripts/link-order.py, which needs the build of the whole workspace: in another one libraries have other
        // features, and functions other names.
        println!("cargo:rerun-if-env-changed=AUXOT_LINK_MAP");
        if let Ok(map) = std::env::var("AUXOT_LINK_MAP") {
            println!("cargo:rustc-link-arg-bins=-Wl,-Map={map}");
            println!("cargo:rustc-link-arg-bins=-Wl,--no-demangle");
        }
    }
}
