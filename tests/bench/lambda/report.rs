//! What is printed and judged.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::function::{Costs, Function, median};

/// The most that serve may take of the plain function's time on the processor until it asks for its first event. By the
/// clock this part is printed only: whatever else the machine does between the two starts counts there, too.
const INIT_CPU_MAX: f64 = 1.2;
/// The most that it may take of the plain function's time for an answer.
const WARM_MAX: f64 = 0.65;
/// The most that it may weigh.
const ZIP_MB_MAX: f64 = 5.0;
const MEMORY_MB_MAX: f64 = 12.0;

/// What a zip file adds to its one member.
const ZIP_HEADERS_BYTES: usize = 150;

/// One function's rounds.
pub(crate) struct Measured<'a> {
    pub(crate) function: &'a Function,
    pub(crate) rounds: Vec<Costs>,
}

impl Measured<'_> {
    /// The median over the rounds.
    fn of(&self, field: impl Fn(&Costs) -> f64) -> f64 {
        median(&mut self.rounds.iter().map(field).collect::<Vec<_>>())
    }

    fn peak_mb(&self) -> f64 {
        self.rounds.iter().map(|costs| costs.peak_bytes).fold(0.0, f64::max) / 1e6
    }

    fn zip_mb(&self) -> f64 {
        let program = std::fs::read(&self.function.program).expect("it ran a moment ago");
        let mut zip = DeflateEncoder::new(Vec::new(), Compression::default());
        zip.write_all(&program).expect("memory");
        (zip.finish().expect("memory").len() + ZIP_HEADERS_BYTES) as f64 / 1e6
    }

    fn line(&self) -> String {
        format!(
            "{:<10} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.0} {:>9.0} {:>9.0} {:>9.1} {:>9.2}",
            self.function.name,
            self.of(|c| c.init_ms),
            self.of(|c| c.init_cpu_ms),
            self.of(|c| c.first_ms),
            self.of(|c| c.first_cpu_ms),
            self.of(|c| c.p50_us),
            self.of(|c| c.p99_us),
            self.of(|c| c.cpu_us),
            self.peak_mb(),
            self.zip_mb(),
        )
    }

    /// The median of the parts that this took of another's in each round.
    fn part(&self, of: &Self, field: impl Fn(&Costs) -> f64) -> f64 {
        let parts = self.rounds.iter().zip(&of.rounds).map(|(own, other)| field(own) / field(other));
        median(&mut parts.collect::<Vec<_>>())
    }
}

/// Prints all, and says which bounds of `serve` do not hold.
///
/// # Errors
/// Those.
pub(crate) fn print_and_judge([noop, plain, serve]: &[Measured<'_>; 3]) -> Result<(), String> {
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "init ms", "CPU ms", "first ms", "CPU ms", "p50 µs", "p99 µs", "CPU µs", "peak MB", "zip MB"
    );
    for measured in [noop, plain, serve] {
        println!("{}", measured.line());
    }
    println!(
        "\nserve of plain: init {:.2}, first answer {:.2}, init and first answer {:.2}, CPU of a hit {:.2}",
        serve.part(plain, |c| c.init_ms),
        serve.part(plain, |c| c.first_ms),
        serve.part(plain, |c| c.init_ms + c.first_ms),
        serve.part(plain, |c| c.cpu_us),
    );
    let bounds = [
        ("CPU of the init of plain's", serve.part(plain, |c| c.init_cpu_ms), INIT_CPU_MAX),
        ("warm hit of plain's", serve.part(plain, |c| c.p50_us), WARM_MAX),
        ("zip MB", serve.zip_mb(), ZIP_MB_MAX),
        ("memory MB", serve.peak_mb(), MEMORY_MB_MAX),
    ];
    let mut failed = Vec::new();
    for (what, value, most) in bounds {
        let holds = value <= most;
        println!("{} {what}: {value:.2}, {most:.2} at most", if holds { "PASS" } else { "FAIL" });
        if !holds {
            failed.push(what);
        }
    }
    println!("\n{} passed, {} failed", bounds.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("too much: {}", failed.join(", "))) }
}
