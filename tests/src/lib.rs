//! The harness of the whole-program suites: scratch folders, model files, programs under watch.
