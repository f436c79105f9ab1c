//! The command line.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cpus::Cpus;
use crate::study::Preset;

const EXAMPLES: &str = "\
Examples:
  threadbare list                                  what can run on this host, and why not the rest
  threadbare run --quick                           rough figures in at most 90 seconds
  threadbare run                                   everything, in about 12 minutes
  threadbare peers                                 beside Go, tokio, may, smol, compio, rayon
  threadbare run --lane threadbare,tokio,go --workload spawn,switch.pingpong
  threadbare run --preset service                  how many requests a second an HTTP service bears
  threadbare serve --lane go --listen 10.0.0.1:8080    that service on one host,
  threadbare load 10.0.0.1:8080                    and its load from another
  threadbare show results/RUN                      the figures in the terminal
  threadbare new my-load                           a crate for your own code on every lane";

/// The examples, and the meaning of the words.
fn with_words() -> String {
    format!("{EXAMPLES}\n\nWords:\n{}", reports::glossary::text())
}

/// Measures the costs of concurrency models: goroutines, threads, processes,
/// async tasks. Every lane runs the same work in processes of its own.
#[derive(Debug, Parser)]
#[command(name = "threadbare", version, after_help = EXAMPLES, after_long_help = with_words(), max_term_width = 100)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which workloads each lane can run on this host, and why not the others.
    List(ListArguments),
    /// Measure, and write a result file and a report.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Compare threadbare with its peers: `run --preset peers`.
    #[command(after_help = PEERS_HELP)]
    Peers(RunArguments),
    /// Show how costs grow from one task to a million: `run --preset growth`.
    #[command(after_help = GROWTH_HELP)]
    Growth(RunArguments),
    /// Make a crate for code of your own, to be measured on every lane in Rust.
    #[command(after_help = NEW_HELP)]
    New(NewArguments),
    /// Run service.http on one lane, for a load from another host.
    #[command(after_help = with_parameters(SERVE_HELP))]
    Serve(ServeArguments),
    /// Find how many requests a second a service on another host answers within the limit.
    #[command(after_help = with_parameters(LOAD_HELP))]
    Load(LoadArguments),
    /// Write the report of a run again.
    Report(ReportArguments),
    /// Show a run's figures in the terminal.
    Show(ShowArguments),
    /// Say which differences this host can detect, and how to improve it.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArguments),
    /// Say whether a new run is slower than an old one.
    #[command(after_help = GATE_HELP)]
    Gate(GateArguments),
    /// Show several runs side by side, of one machine or of many.
    Compare(CompareArguments),
    /// Join the parts of one run (`run --shard`).
    #[command(after_help = MERGE_HELP)]
    Merge(MergeArguments),
    /// Write the raw samples as a table for other tools.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArguments),
    /// Copy a run, as a small file, into the collection of runs of many machines.
    #[command(after_help = KEEP_HELP)]
    Keep(KeepArguments),
    /// Say whether files are accepted into the collection of runs (see `keep`).
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArguments),
    /// Write the pages of many machines from a folder of runs.
    #[command(after_help = SITE_HELP)]
    Site(SiteArguments),
    /// List the runs that came back from a fleet of machines, and those that did not.
    #[command(after_help = COLLECT_HELP)]
    Collect(CollectArguments),
    /// Show the runs of one machine over time, with the steps of their figures.
    #[command(after_help = HISTORY_HELP)]
    History(HistoryArguments),
    /// Find the commit that changed a figure, by measuring builds side by side.
    #[command(after_help = BISECT_HELP)]
    Bisect(BisectArguments),
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for readers.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// The arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// Only these lanes: names, or beginnings of names.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub lane: Vec<String>,
    /// Only these workloads: ids, or beginnings of ids, such as `spawn`.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub workload: Vec<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const RUN_EXAMPLES: &str = "\
Examples:
  threadbare run --quick --lane threadbare,thread --workload spawn
  threadbare run --lane go,threadbare --workload switch,share --seed 7 --out results/go
  threadbare run --resume results/go               go on after a crash or a Ctrl-C
  threadbare run --shard 1/3 --seed 7              one third; see `threadbare merge`
  threadbare run --with my-load/ --quick           your own code; see `threadbare new`

Versions side by side: --lane go@1.26,java-virtual@21,tokio,tokio@1.47,threadbare@HEAD~20
A lane in another language needs a line in the table of engines, by its language. It
names a program, relative to the table or on PATH:
  [go]
  \"1.26\" = \"target/toolchains/go-1.26/bin/go\"
  [java]
  \"21\" = \"/usr/lib/jvm/java-21-openjdk-amd64/bin/java\"
A version of tokio, smol, may, rayon or corosensei is a release: cargo builds the last
commit of these sources with it. Any other version of a lane in Rust is a commit of
these sources, or has a line by its lane: a commit, a release, or the lane program of
another build. What is built is kept in target/commits.

A run leaves run.jsonl (all raw samples) and report.html in its folder.
Ctrl-C keeps what was measured and still writes the report; a second one ends at once.
Exit status: 0 success, 1 a lane gave a wrong answer, crashed or hung, or the time was
up before all was measured (--resume goes on), 2 it could not run or could not report
its results, 130 stopped.";

const PEERS_HELP: &str = "\
How to read the table: a line is one workload, a column one lane. Each figure is
a median over fresh processes. The columns at the end compare threadbare with the
best peer of that line: 0.8× means a fifth less time. The winner is the lane with the
best figure; lanes after ≈ are not measurably worse. corosensei only switches stacks
and has no scheduler: it shows the least possible cost, and is not ranked.
To compare one CPU with two: --cpus 0 in one run, --cpus 0,1 in another.";

const GROWTH_HELP: &str = "\
The report shows the cost of an operation against the number of tasks, both axes
logarithmic. A level line means that the total grows in proportion to the tasks; a
rising line means that it grows faster. A lane that cannot hold so many tasks names
the limit.";

/// The arguments of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArguments {
    /// The lanes, by name; `all` for every lane found on this host. [default:
    /// threadbare, thread, process, tokio, rayon, and go if it is found]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub lane: Vec<String>,
    /// The workloads: ids or beginnings of ids, such as `spawn`. Without this option all of them,
    /// or with --quick some of them.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub workload: Vec<String>,
    /// Lanes, workloads and sizes chosen for one purpose; --lane and --workload
    /// narrow the choice down.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Other values for a parameter of the chosen workloads, such as
    /// `tasks_count=1000,100000` or `wait=2ms`. May be given several times; for
    /// an unknown name the error lists the known ones.
    #[arg(long, value_name = "PARAMETER=VALUE,…", value_parser = parse_values)]
    pub set: Vec<(String, Vec<u64>)>,
    /// The backend of service.http: a PostgreSQL database, such as
    /// `postgresql://user:password@host/database`. Only lanes with a client for it are measured:
    /// threadbare, threadbare-migrating, thread, thread-pool, process, process-pool, tokio,
    /// tokio-ct. The run makes the table threadbare_items there. If the database stalls or ends,
    /// the samples of that time fail with the reason, and the run continues. Implies --preset
    /// service.
    #[arg(long, value_name = "ADDRESS")]
    pub service: Option<String>,
    /// Rough figures in at most 90 seconds: fewer workloads, shorter samples. `gate`
    /// refuses such runs.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Twice the processes and the largest sizes.
    #[arg(long)]
    pub full: bool,
    /// Only check that everything works, at the smallest sizes: do not use the figures.
    #[arg(long, conflicts_with_all = ["full", "quick"])]
    pub smoke: bool,
    /// The folder for the results; it must not hold a run yet.
    /// [default: results/TIME-ID]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The seed of every random choice, to repeat a run's order.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The CPUs for every lane, such as 0-3,6. [default: all that are allowed]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<Cpus>,
    /// How long the run may take. It ends sooner if all comparisons are decided.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub budget: Option<u64>,
    /// The exact number of fresh processes for each cell.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub processes: Option<u64>,
    /// Repeat each cell in fresh, short processes until a change of this many
    /// percent would be detected, or the time is up. Runs for `gate` need it.
    /// [default with --base: 4]
    #[arg(long, value_name = "PERCENT", conflicts_with = "processes", value_parser = parse_percent)]
    pub precision: Option<f64>,
    /// Measure every cell twice: each lane against itself. The report then says
    /// how often two measurements of the same lane are called different.
    #[arg(long)]
    pub twice: bool,
    /// How long a lane may take to answer before it is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = parse_seconds)]
    pub timeout: u64,
    /// The lane program of another build: each chosen lane in Rust is measured in both builds,
    /// alternately, and `gate` compares both builds in this one run. Lanes in other languages are
    /// measured only if --lane names them.
    #[arg(long, value_name = "PROGRAM")]
    pub base: Option<PathBuf>,
    /// The table that defines the versions of lanes such as `go@1.26`; see below.
    /// [default: engines.toml in this folder, if it is there]
    #[arg(long, value_name = "FILE")]
    pub engines: Option<PathBuf>,
    /// The folder of a crate that `threadbare new` made: cargo builds it, and it is measured on all
    /// lanes in Rust. Only its workloads are measured, unless --workload names others.
    #[arg(long, value_name = "DIR", conflicts_with = "preset")]
    pub with: Option<PathBuf>,
    /// Measure only part I of N: every N-th workload, with all its lanes.
    #[arg(long, value_name = "I/N", requires = "seed", value_parser = parse_shard)]
    pub shard: Option<(u32, u32)>,
    /// Go on with the run in this folder after its last complete block.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "lane", "workload", "preset", "set", "quick", "full", "smoke", "seed", "cpus", "processes", "precision", "twice", "shard"])]
    pub resume: Option<PathBuf>,
}

const NEW_HELP: &str = "\
Examples:
  threadbare new my-load                           a kernel: a computation in chunks
  threadbare new my-load --service                 and a handler of a TCP server
  (write your code into my-load/src)
  threadbare run --with my-load/ --smoke           does it give the same answer on every lane?
  threadbare run --with my-load/ --quick           rough figures
  threadbare run --with my-load/ --lane all        every lane; say which workloads by --workload own

The crate depends on the checkout of threadbare by path, on the same versions of all
libraries, and is built in the same way. cargo builds it as part of `run`, the first time
with everything that it depends on, which takes some minutes.
docs/own-code.md in the checkout says more.";

/// The arguments of `new`.
#[derive(Args, Debug)]
pub struct NewArguments {
    /// The folder to make; its last part is the name of the crate, such as `my-load`.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Add a handler of a TCP server, in blocking and in async form.
    #[arg(long)]
    pub service: bool,
    /// The checkout of threadbare that the crate depends on. [default: the one that this program
    /// was built from]
    #[arg(long, value_name = "DIR")]
    pub checkout: Option<PathBuf>,
}

const SERVE_HELP: &str = "\
Example:
  host a: threadbare serve --lane tokio --listen 10.0.0.1:8080
  host b: threadbare load 10.0.0.1:8080

`load` raises the rate as a run does, prints the figures, and ends the service, which then
prints what it used. Give both sides the same --set. Anyone who reaches the port can load
and end the service: use a network that you trust. One `serve` lasts for one load; start it
again for the next. A client that cuts its connection costs that connection alone; a backend
that stalls is answered for by 504, and one that is gone by 502.";

const LOAD_HELP: &str = "\
Example:
  host a: threadbare serve --lane tokio --listen 10.0.0.1:8080
  host b: threadbare load 10.0.0.1:8080

The limit is that of the 99th percentile of latency: 20 ms, or --set limit=50ms (limit_ns).
`load` raises the rate as a run does, prints the figures, writes no file, and ends the
service. Requests that fail or are cut off are counted. Where no rate holds it says how many
failed, exits with 2, and leaves the service as it is. Give both sides the same --set.";

/// The help, and the parameters of `service.http`.
fn with_parameters(help: &str) -> String {
    let workload = workloads::catalogue::find("service.http");
    let parameters = workload.map_or(&[][..], |workload| workload.parameters);
    let lines = parameters
        .iter()
        .map(|one| format!("  {:18} {}\n", one.name, one.meaning));
    format!(
        "{help}\n\nParameters for --set:\n{}",
        lines.collect::<String>()
    )
}

/// The arguments of `serve`.
#[derive(Args, Debug)]
pub struct ServeArguments {
    /// The lane that serves.
    #[arg(long, value_name = "NAME", default_value = "threadbare")]
    pub lane: String,
    /// The address to listen on, such as 10.0.0.1:8080. There is no default, so that
    /// nothing is open to a network by accident.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddrV4,
    /// Other values for parameters of service.http, such as `delay=5ms`.
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = parse_values)]
    pub set: Vec<(String, Vec<u64>)>,
}

/// The arguments of `load`.
#[derive(Args, Debug)]
pub struct LoadArguments {
    /// The address of the service.
    #[arg(value_name = "HOST:PORT")]
    pub host: String,
    /// Other values for parameters of service.http, such as `limit=50ms`.
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = parse_values)]
    pub set: Vec<(String, Vec<u64>)>,
}

/// The arguments of `report`.
#[derive(Args, Debug)]
pub struct ReportArguments {
    /// A run: its folder or its run.jsonl.
    pub run: PathBuf,
    /// The file of the page. [default: report.html in the folder of the run]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The arguments of `show`.
#[derive(Args, Debug)]
pub struct ShowArguments {
    /// A run: its folder or its run.jsonl.
    pub run: PathBuf,
    /// Only these lanes; the beginning of a name is enough.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub lane: Vec<String>,
    /// Only these workloads; the beginning of an id is enough.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub workload: Vec<String>,
    /// Every figure of a workload, not only its first.
    #[arg(long)]
    pub all: bool,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const DOCTOR_HELP: &str = "\
It changes nothing on the host. It takes about half a minute: one lane is
compared with itself, so each difference is noise.
Exit status: 0 this host can detect a change of 5%, 1 it cannot.";

/// The arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// The lane that is compared with itself.
    #[arg(long, default_value = "thread", value_name = "NAME")]
    pub lane: String,
    /// The CPUs for this lane, such as 0-3,6. [default: all that are allowed]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<Cpus>,
    /// About how long to measure.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = parse_seconds)]
    pub budget: u64,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const GATE_HELP: &str = "\
Examples:
  cp target/release/threadbare-lane /tmp/base       before the change
  (change something, build it)
  threadbare run --base /tmp/base --lane threadbare,thread --out results/both
  threadbare gate results/both

  threadbare run --precision 4 --lane threadbare,thread,tokio --out results/before
  (change something, build it)
  threadbare run --precision 4 --lane threadbare,thread,tokio --out results/after
  threadbare gate results/before results/after

The first form measures both builds in one run, alternately: a disturbance of the
host affects both. It finds far smaller changes than two runs do.
The second form needs lanes of another model, which the change does not touch, such
as thread. If they differ between the runs by more than their processes do, the
host has changed, and the intervals of all other lanes are widened accordingly.
benches/examples/slow_lane.rs slows a lane down on purpose, to try the gate.
Both runs must be of one machine, and not --quick.
Exit status: 0 pass, 1 something is slower or newly fails, 2 too noisy to
say, 3 the two runs cannot be compared, 4 wrong arguments or an unreadable run.";

/// The arguments of `gate`.
#[derive(Args, Debug)]
pub struct GateArguments {
    /// The old run: its folder or its run.jsonl; or the one run of both builds.
    pub base: PathBuf,
    /// The new run. [default: the other build in the one run]
    pub new: Option<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The arguments of `compare`.
#[derive(Args, Debug)]
pub struct CompareArguments {
    /// The runs: their folders or their run.jsonl.
    #[arg(required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// Write the comparison as a page too.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const MERGE_HELP: &str = "\
Example: threadbare merge one two three --out whole
Exit status: 0 the run is whole, 1 parts are missing or one was cut short, 2 it could not
be done.";

/// The arguments of `merge`.
#[derive(Args, Debug)]
pub struct MergeArguments {
    /// The shards: their folders or their run.jsonl, in any order; a shard that is given twice
    /// counts once.
    #[arg(required = true)]
    pub shards: Vec<PathBuf>,
    /// The folder for the whole run.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

const EXPORT_HELP: &str = "\
Examples:
  threadbare export results --parquet samples.parquet
  duckdb -c \"select lane, median(time_ns) from 'samples.parquet'
             where workload = 'spawn.one' and not control group by lane\"
A row is one raw sample. Parameters and further figures are JSON text; a value
that a sample does not have is null. `control` marks lanes measured a second time, as
a check. The program must be built with --features parquet.";

const KEEP_HELP: &str = "\
Examples:
  threadbare keep results/2026-11-29T08-35-17-299446
  threadbare verify reports/hardware/*/*.zst

The file holds all samples, to the nanosecond, and all reported figures, unchanged.
Histograms of latency have wider buckets, except at the percentiles that are shown. The
host's name and the home folder are left out.
All commands read the file as they read the run. A run that `verify` refuses is not kept,
and a kept file is overwritten only if it is refused.
Exit status: as that of `verify` for the kept files, which is said of each; 2 if one could
not be kept.";

/// The arguments of `keep`.
#[derive(Args, Debug)]
pub struct KeepArguments {
    /// The runs: their folders or their run.jsonl.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// The folder of all machines; the file is written to KEY/RUN.jsonl.zst in it.
    #[arg(long, value_name = "DIR", default_value = "reports/hardware")]
    pub out: PathBuf,
}

const VERIFY_HELP: &str = "\
accepted     a run like any other
quarantined  kept and shown apart, in no average: most blocks disturbed, a CPU quota, a
             node that other jobs share, a lane of another version or commit than its name
             says, sources that are unknown or differ from their commit, a date to come,
             or times that are equal, rounded, of a formula, or another file's
refused      an incomplete run, a --quick run, one outside its machine's folder, or one
             that contradicts itself: its machine its raw facts, its samples their order
It finds files that were edited or mixed up. It cannot show that a file was measured.
`not checked` says what an older file does not record.
Exit status: that of the worst file: 0 accepted, 1 quarantined, 2 refused; 4 wrong
arguments.";

/// The arguments of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// The files, such as reports/hardware/KEY/RUN.jsonl.zst, or folders of runs.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArguments {
    /// The runs: their folders or their run.jsonl, or a folder of such folders.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE")]
    pub parquet: PathBuf,
}

const SITE_HELP: &str = "\
Example: threadbare site reports/hardware --out site, then open site/index.html. The pages
need no server and no network. Files that `threadbare verify` would not accept are listed
with the reason, and are in no figure. Runs of one machine and setup are put together.
Kept runs are copied beside the pages, and the page of their machine links to them. Files
of an earlier site in the folder that are not of this one are removed, and no others; a
folder that holds something else is refused.
Exit status: 0 all files were read, also if some are listed apart; 1 a folder could not
be read; 2 it could not be done.
A list of prices looks as follows:
  date = \"2026-11-01\"
  currency = \"USD\"
  [per_hour]
  \"c7g.large\" = 0.0725";

/// The arguments of `site`.
#[derive(Args, Debug)]
pub struct SiteArguments {
    /// The folder of runs; those in folders below it are read too.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The folder to write the pages to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A list of prices by instance type: the pages then also show how much work a price buys.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
}

const COLLECT_HELP: &str = "\
The scripts in scripts/fleet place runs by Slurm, ReFrame and Ansible, and write into
DIR/expected.tsv what they have sent out; docs/fleet.md has the steps. Each run is whole,
quarantined (see `verify`), double, cut short, refused or missing. Nothing is moved.
Exit status: 0 all runs are whole, 1 not all are, 2 it could not be done.";

/// The arguments of `collect`.
#[derive(Args, Debug)]
pub struct CollectArguments {
    /// The folder with the runs that came back, a folder for each run.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Also keep the whole runs, as small files in this folder, as `keep` does.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const HISTORY_HELP: &str = "\
Example: threadbare history reports/hardware --workload spawn --out history.html
Each machine in the folder has its own table. A step is a change of a figure by more
than 5%, and by more than what that figure usually changes from run to run (Q3 + 3 IQR);
it lasts for two runs or more. No step is looked for in fewer than six runs. Beside each
run stand the facts that are not those of the run before: kernel, compiler, releases, …
To find the commit that made a step: threadbare bisect.
Exit status: 0 all runs were read, 1 a folder could not be read, 2 it could not be done.";

/// The arguments of `history`.
#[derive(Args, Debug)]
pub struct HistoryArguments {
    /// The folder of runs; those in folders below it are read too.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only these lanes; the beginning of a name is enough.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub lane: Vec<String>,
    /// Only these workloads; the beginning of an id is enough.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub workload: Vec<String>,
    /// Also write the history as a page with curves.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const BISECT_HELP: &str = "\
Example:
  threadbare bisect HEAD~20 HEAD --cell spawn.batch/threadbare

git bisect chooses the commits. Each is built in a worktree below target/commits, where
its lane program is kept, and is measured beside GOOD, alternately, in one run. A commit
that does not build, or is too noisy to say after three runs, is skipped. The commit that
is found is measured a second time, beside its parent: the answer says whether it differs
again, by how much, and with which 95% interval.
Exit status: 0 one commit is found and confirmed, 1 several are left, since some were
skipped, or one is left that is not confirmed, 2 it could not run, 3 GOOD and BAD do not
differ, as far as can be told.";

/// The arguments of `bisect`.
#[derive(Args, Debug)]
pub struct BisectArguments {
    /// A commit from before the step.
    pub good: String,
    /// A commit from after the step, better or worse.
    pub bad: String,
    /// The cell: a workload and a lane in Rust, such as spawn.batch/threadbare.
    #[arg(long, value_name = "WORKLOAD/LANE", value_parser = parse_cell)]
    pub cell: (String, String),
    /// The longest time to measure a commit. If the result is too noisy to say, it is measured
    /// again for twice, then for four times as long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = parse_seconds)]
    pub budget: u64,
    /// The folder for the runs. [default: results/bisect-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The repository. [default: the sources of this program]
    #[arg(long, value_name = "DIR")]
    pub repository: Option<PathBuf>,
    /// The shell command that builds a commit. [default: cargo build --release …]
    #[arg(long, value_name = "COMMAND")]
    pub build: Option<String>,
    /// The lane program that the build leaves. [default: target/release/threadbare-lane]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The units of a value: the unit's name, how many of the parameter's own units it has, and how the
/// names of parameters with such values end.
const UNITS: [(&str, u64, &str); 11] = [
    // Longer names first: a value in `ms` also ends with `s`.
    ("ns", 1, "_ns"),
    ("us", 1_000, "_ns"),
    ("µs", 1_000, "_ns"),
    ("ms", 1_000_000, "_ns"),
    ("s", 1_000_000_000, "_ns"),
    ("KiB", 1 << 10, "_bytes"),
    ("MiB", 1 << 20, "_bytes"),
    ("GiB", 1 << 30, "_bytes"),
    ("kB", 1_000, "_bytes"),
    ("MB", 1_000_000, "_bytes"),
    ("B", 1, "_bytes"),
];

/// Parses `tasks_count=1000,1_000_000`, `wait=2ms` or `payload=64KiB`.
fn parse_values(text: &str) -> Result<(String, Vec<u64>), String> {
    let wrong = || {
        "write it as PARAMETER=VALUE,…, such as tasks_count=10,1000, wait=2ms or payload=64KiB"
            .to_owned()
    };
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let mut name = name.trim().to_owned();
    let mut numbers = Vec::new();
    for value in values.split(',').map(str::trim) {
        let unit = UNITS.iter().find(|(unit, ..)| value.ends_with(unit));
        let (digits, scale) = match unit {
            Some((unit, scale, _)) => (value.trim_end_matches(unit).trim_end(), *scale),
            None => (value, 1),
        };
        if let Some((.., ending)) = unit
            && !name.ends_with(ending)
        {
            name.push_str(ending);
        }
        let number = digits.replace('_', "").parse().ok();
        numbers.push(
            number
                .and_then(|number: u64| number.checked_mul(scale))
                .ok_or_else(wrong)?,
        );
    }
    Ok((name, numbers))
}

/// The longest time that an argument may give: adding it to an `Instant` does not overflow.
const LONGEST_SECONDS: u64 = 100 * 365 * 24 * 3600;

fn parse_seconds(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(seconds) if (1..=LONGEST_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err(
            "write it as a whole number of seconds, from 1 to a hundred years, such as 300"
                .to_owned(),
        ),
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if (0.1..=50.0).contains(&percent) => Ok(percent),
        _ => Err("write it as a number from 0.1 to 50, such as 4".to_owned()),
    }
}

fn parse_cell(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((workload, lane)) if !workload.is_empty() && !lane.is_empty() => {
            Ok((workload.to_owned(), lane.to_owned()))
        }
        _ => Err("write it as WORKLOAD/LANE, such as spawn.batch/threadbare".to_owned()),
    }
}

fn parse_shard(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('/').and_then(|(index, count)| {
        Some((
            index.trim().parse::<u32>().ok()?,
            count.trim().parse::<u32>().ok()?,
        ))
    });
    match parts {
        Some((index, count)) if (1..=count).contains(&index) => Ok((index, count)),
        _ => Err("write it as I/N with I from 1 to N, such as 2/3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn values_may_have_units() {
        let parsed = |text| parse_values(text).unwrap();
        assert_eq!(parsed("wait=2ms"), ("wait_ns".into(), vec![2_000_000]));
        assert_eq!(
            parsed("wait_ns=1 s,5us"),
            ("wait_ns".into(), vec![1_000_000_000, 5_000])
        );
        assert_eq!(
            parsed("payload=64KiB"),
            ("payload_bytes".into(), vec![65_536])
        );
        assert_eq!(
            parsed("tasks_count=10,1_000"),
            ("tasks_count".into(), vec![10, 1_000])
        );
        for wrong in [
            "wait",
            "wait=",
            "wait=ms",
            "wait=-1ms",
            "wait=99999999999999s",
        ] {
            assert!(parse_values(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_is_a_whole_number_of_seconds_that_the_clock_can_name() {
        assert_eq!(parse_seconds("300"), Ok(300));
        let longest = Duration::from_secs(parse_seconds("3153600000").unwrap());
        assert!(Instant::now().checked_add(longest).is_some());
        for wrong in [
            "",
            "0",
            "-1",
            "1.5",
            "NaN",
            "inf",
            "5m",
            "18446744073709551615",
        ] {
            let said = parse_seconds(wrong).unwrap_err();
            assert!(said.contains("whole number of seconds"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_shard_is_one_of_its_count() {
        assert_eq!(parse_shard("2/3"), Ok((2, 3)));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
    }
}
