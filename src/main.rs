//! The program. All code is in the library, so that tests can use it too.

fn main() -> std::process::ExitCode {
    logboom::cli::main()
}
