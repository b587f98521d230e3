//! The project's own commands: `cargo xtask COMMAND`.
//!
//! It promises that `test` needs nothing prepared but Rust, a C compiler and the registries, and
//! that every check it runs can be run alone. It may not know what Meridian does.
#![expect(clippy::disallowed_methods, reason = "xtask drives the outside world: files, processes, clocks")]

mod advisories;
mod bench;
mod needs;
mod package;
mod simulate;
mod soak;
mod test;
mod tidy;
mod yanked;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "cargo xtask COMMAND

  test [FILTER..]  install what the tests need, build, and run everything: tests, doc tests, clippy, format
  tidy [--shrink]  the house's rules: floors, heads, names, sizes, leftovers, licences (--shrink records smaller sizes)
  soak [--fleets|--doors] [--minutes N] [--first-seed S]
                   the kernel's model tests over new seeds until the time is up (60 minutes); --fleets: fleets of real
                   processes under faults of all kinds instead
  simulate [--seeds N] [--first-seed S] [--kernels | --only slices|tags|members] [--trace] [--plant BUG]
                   fleets in the simulator, one a seed (10000), on all cores; a seed that fails is made small
  bench NAME [..]  ours beside its peers, in one run (ingest, questions, aggregates): installs the peers that are missing,
                   builds for release; `bench NAME --help` tells what can be set
  deb [--binary PATH] [--out DIR] [--fast]
                   a Debian package of a release build, or of a program that is there; --fast compresses little
  image [--binary PATH] [--out DIR] [--fast]
                   the same as an OCI image layout, without a container engine
  advisories [--db DIR]
                   whether the RustSec database knows of a fault in a version that Cargo.lock names: fetched by git, or a copy
  yanked           asks the registry whether it took back any version that Cargo.lock names
";

/// The workspace's root, as cargo tells it now: clones share what is built, and this program may be another one's.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().expect("xtask stands in the workspace's root").to_path_buf()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = words.split_first().map_or(("help", &[][..]), |(command, rest)| (command.as_str(), rest));
    let result = match command {
        "test" => test::run(rest),
        "tidy" => tidy::run(rest),
        "simulate" => simulate::run(rest),
        "soak" => soak::run(rest),
        "bench" => bench::run(rest),
        "deb" => package::deb::run(rest),
        "image" => package::image::run(rest),
        "advisories" => advisories::run(rest),
        "yanked" => yanked::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command \"{other}\"\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
