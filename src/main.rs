//! The binary: hands its arguments to `cli` and ends with the exit code it gives.

fn main() -> std::process::ExitCode {
    millpond::cli::main()
}
