//! Parquet tables: the samples of several runs, and the figures of many machines.
//!
//! Fields that vary by workload (parameters, metrics) are JSON text. A missing field is null, never
//! 0.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::run::Run;
use crate::schema::{Group, Memory, Sample};
use crate::site::{Collection, Figure, Machine, Place, Setup};
use crate::stats::Verdict;
use crate::stats::histogram::percentile;

struct Row<'a> {
    run: &'a Run,
    machine_key: &'a str,
    group: &'a Group,
    sample_index: usize,
    sample: &'a Sample,
}

enum Column<R> {
    Text(fn(&R) -> String),
    Whole(fn(&R) -> Option<i64>),
    Real(fn(&R) -> Option<f64>),
    Flag(fn(&R) -> bool),
}

fn columns<'a>() -> Vec<(&'static str, Column<Row<'a>>)> {
    vec![
        ("run_id", Column::Text(|row| row.run.header.run_id.clone())),
        (
            "started",
            Column::Text(|row| row.run.header.started.clone()),
        ),
        (
            "depth",
            Column::Text(|row| {
                json(&row.run.header.design.depth)
                    .trim_matches('"')
                    .to_owned()
            }),
        ),
        ("host", Column::Text(|row| row.run.header.host.name.clone())),
        (
            "machine_key",
            Column::Text(|row| row.machine_key.to_owned()),
        ),
        (
            "cpu_model",
            Column::Text(|row| row.run.header.host.machine.cpu_model.clone()),
        ),
        ("workload", Column::Text(|row| row.group.workload.clone())),
        ("lane", Column::Text(|row| row.group.lane.clone())),
        (
            "parameters",
            Column::Text(|row| json(&row.group.parameters)),
        ),
        (
            "process_index",
            Column::Whole(|row| whole(row.group.process_index)),
        ),
        (
            "block_index",
            Column::Whole(|row| whole(row.group.block_index)),
        ),
        (
            "order_index",
            Column::Whole(|row| whole(row.group.order_index)),
        ),
        (
            "sample_index",
            Column::Whole(|row| i64::try_from(row.sample_index).ok()),
        ),
        ("control", Column::Flag(|row| row.group.control)),
        ("at_ns", Column::Whole(|row| whole(row.group.at_ns))),
        (
            "migrations_count",
            Column::Whole(|row| whole(row.group.migrations_count?)),
        ),
        (
            "iterations",
            Column::Whole(|row| whole(row.group.iterations)),
        ),
        (
            "elapsed_ns",
            Column::Whole(|row| whole(row.sample.elapsed_ns)),
        ),
        (
            "operations_count",
            Column::Whole(|row| whole(row.sample.operations_count)),
        ),
        (
            "time_ns",
            Column::Real(|row| {
                Some(row.sample.elapsed_ns as f64 / row.sample.operations_count as f64)
            }),
        ),
        ("cpu_ns", Column::Whole(|row| whole(row.sample.cpu_ns))),
        (
            "voluntary_switches_count",
            Column::Whole(|row| whole(row.sample.voluntary_switches_count)),
        ),
        (
            "involuntary_switches_count",
            Column::Whole(|row| whole(row.sample.involuntary_switches_count)),
        ),
        (
            "tasks_count",
            Column::Whole(|row| whole(row.sample.memory?.tasks_count)),
        ),
        (
            "available_bytes",
            Column::Whole(|row| memory(row, |memory| memory.available_bytes)),
        ),
        (
            "anonymous_bytes",
            Column::Whole(|row| memory(row, |memory| memory.anonymous_bytes)),
        ),
        (
            "kernel_stack_bytes",
            Column::Whole(|row| memory(row, |memory| memory.kernel_stack_bytes)),
        ),
        (
            "slab_bytes",
            Column::Whole(|row| memory(row, |memory| memory.slab_bytes)),
        ),
        (
            "page_tables_bytes",
            Column::Whole(|row| memory(row, |memory| memory.page_tables_bytes)),
        ),
        (
            "percpu_bytes",
            Column::Whole(|row| memory(row, |memory| memory.percpu_bytes)),
        ),
        (
            "virtual_bytes",
            Column::Whole(|row| memory(row, |memory| memory.virtual_bytes)),
        ),
        ("latency_ns_p50", Column::Whole(|row| latency(row, 0.5))),
        ("latency_ns_p99", Column::Whole(|row| latency(row, 0.99))),
        ("latency_ns_p999", Column::Whole(|row| latency(row, 0.999))),
        (
            "offered_per_s",
            Column::Real(|row| row.sample.latency.as_ref()?.offered_per_s),
        ),
        (
            "achieved_per_s",
            Column::Real(|row| Some(row.sample.latency.as_ref()?.achieved_per_s)),
        ),
        ("metrics", Column::Text(|row| json(&row.sample.metrics))),
    ]
}

fn whole(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn memory(row: &Row<'_>, part: fn(&Memory) -> i64) -> Option<i64> {
    row.sample.memory.as_ref().map(part)
}

fn latency(row: &Row<'_>, share: f64) -> Option<i64> {
    whole(percentile(&row.sample.latency.as_ref()?.buckets, share)?)
}

/// A map from names to numbers, or an enum, as JSON text.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Writes the samples of `runs`, a row group for each run, and returns the number of rows.
///
/// # Errors
///
/// The error of the Parquet writer, which contains that of `out`.
pub fn write(runs: &[Run], out: impl Write + Send) -> Result<usize, ParquetError> {
    let columns = columns();
    let mut writer = writer("samples", &columns, out)?;
    let mut count = 0;
    let keys: Vec<String> = runs
        .iter()
        .map(|run| run.header.host.machine.key())
        .collect();
    for (run, machine_key) in runs.iter().zip(&keys) {
        let rows: Vec<Row<'_>> = run
            .groups
            .iter()
            .flat_map(|group| {
                let samples = group.samples.iter().enumerate();
                samples.map(move |(sample_index, sample)| (group, sample_index, sample))
            })
            .map(|(group, sample_index, sample)| Row {
                run,
                machine_key,
                group,
                sample_index,
                sample,
            })
            .collect();
        count += rows.len();
        write_rows(&mut writer, &columns, &rows)?;
    }
    writer.close()?;
    Ok(count)
}

struct FigureRow<'a> {
    machine: &'a Machine,
    setup: &'a Setup,
    place: &'a Place,
    lane: &'a str,
    figure: &'a Figure,
}

macro_rules! fact {
    ($name:literal) => {
        Column::Text(|row| row.setup.fact($name).to_owned())
    };
}

fn figure_columns<'a>() -> Vec<(&'static str, Column<FigureRow<'a>>)> {
    vec![
        ("machine_key", Column::Text(|row| row.machine.key.clone())),
        ("cpu", fact!("CPU")),
        (
            "architecture",
            Column::Text(|row| row.machine.inputs.architecture.clone()),
        ),
        (
            "cores_count",
            Column::Whole(|row| known(row.machine.inputs.cores_count)),
        ),
        (
            "threads_count",
            Column::Whole(|row| known(row.machine.inputs.threads_count)),
        ),
        (
            "cpus_count",
            Column::Whole(|row| i64::try_from(row.setup.cpus_count).ok()),
        ),
        ("virtual", fact!("virtual")),
        ("memory", fact!("memory")),
        ("system", fact!("system")),
        ("mitigations", fact!("mitigations")),
        ("governor", fact!("governor")),
        ("huge_pages", fact!("huge pages")),
        ("allocator", fact!("allocator")),
        ("rust", fact!("Rust")),
        ("go", fact!("Go")),
        ("tokio", fact!("tokio")),
        ("suite", fact!("suite")),
        (
            "disturbances",
            Column::Text(|row| {
                let found = row.setup.disturbances();
                let texts = found.iter().map(|one| one.text(row.setup.runs.len()));
                texts.collect::<Vec<_>>().join("; ")
            }),
        ),
        (
            "last_run",
            Column::Text(|row| row.setup.runs[0].started.clone()),
        ),
        ("derived", Column::Flag(|row| row.setup.derived)),
        ("workload", Column::Text(|row| row.place.workload.clone())),
        ("parameters", Column::Text(|row| json(&row.place.case))),
        ("quantity", Column::Text(|row| row.place.quantity.clone())),
        ("lane", Column::Text(|row| row.lane.to_owned())),
        ("value", Column::Real(|row| Some(row.figure.value))),
        ("low", Column::Real(|row| Some(row.figure.interval?.low))),
        ("high", Column::Real(|row| Some(row.figure.interval?.high))),
        (
            "runs_count",
            Column::Whole(|row| i64::try_from(row.figure.runs_count).ok()),
        ),
        ("is_bound", Column::Flag(|row| !row.figure.sign.is_empty())),
        ("ratio", Column::Real(|row| row.figure.ratio)),
        (
            "verdict",
            Column::Text(|row| row.figure.verdict.map_or("", Verdict::words).to_owned()),
        ),
    ]
}

fn known(count: u32) -> Option<i64> {
    (count > 0).then_some(i64::from(count))
}

/// Writes the figures of many machines, a row group for each, and returns the number of rows.
///
/// # Errors
///
/// The error of the Parquet writer, which contains that of `out`.
pub fn write_figures(
    collection: &Collection,
    out: impl Write + Send,
) -> Result<usize, ParquetError> {
    let columns = figure_columns();
    let mut writer = writer("figures", &columns, out)?;
    let mut count = 0;
    for machine in &collection.machines {
        let mut rows = Vec::new();
        for setup in &machine.setups {
            for (place, lanes) in &setup.figures {
                rows.extend(lanes.iter().map(|(lane, figure)| FigureRow {
                    machine,
                    setup,
                    place,
                    lane,
                    figure,
                }));
            }
        }
        count += rows.len();
        write_rows(&mut writer, &columns, &rows)?;
    }
    writer.close()?;
    Ok(count)
}

fn writer<R, W: Write + Send>(
    name: &str,
    columns: &[(&str, Column<R>)],
    out: W,
) -> Result<SerializedFileWriter<W>, ParquetError> {
    let fields: Vec<String> = columns
        .iter()
        .map(|(name, column)| match column {
            Column::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (STRING);"),
            Column::Whole(_) => format!("OPTIONAL INT64 {name};"),
            Column::Real(_) => format!("OPTIONAL DOUBLE {name};"),
            Column::Flag(_) => format!("REQUIRED BOOLEAN {name};"),
        })
        .collect();
    let schema = parse_message_type(&format!("message {name} {{ {} }}", fields.join(" ")))?;
    // The dictionaries hold each text once, so compression would gain little.
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by(concat!("threadbare ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
}

fn write_rows<R, W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    columns: &[(&str, Column<R>)],
    rows: &[R],
) -> Result<(), ParquetError> {
    let mut row_group = writer.next_row_group()?;
    for (_, column) in columns {
        write_column(&mut row_group, column, rows)?;
    }
    row_group.close()?;
    Ok(())
}

fn write_column<R, W: Write + Send>(
    row_group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column<R>,
    rows: &[R],
) -> Result<(), ParquetError> {
    let Some(mut writer) = row_group.next_column()? else {
        return Err(ParquetError::General(
            "the schema has fewer columns".to_owned(),
        ));
    };
    match column {
        Column::Text(of) => {
            let values: Vec<ByteArray> = rows
                .iter()
                .map(|row| ByteArray::from(of(row).into_bytes()))
                .collect();
            writer
                .typed::<ByteArrayType>()
                .write_batch(&values, None, None)?;
        }
        Column::Flag(of) => {
            let values: Vec<bool> = rows.iter().map(of).collect();
            writer
                .typed::<BoolType>()
                .write_batch(&values, None, None)?;
        }
        Column::Whole(of) => {
            let (values, levels) = optional(rows, *of);
            writer
                .typed::<Int64Type>()
                .write_batch(&values, Some(&levels), None)?;
        }
        Column::Real(of) => {
            let (values, levels) = optional(rows, *of);
            writer
                .typed::<DoubleType>()
                .write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}

/// The values that exist, and for each row whether it has a value (1 or 0).
fn optional<R, T>(rows: &[R], of: fn(&R) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let values: Vec<Option<T>> = rows.iter().map(of).collect();
    let levels = values
        .iter()
        .map(|value| i16::from(value.is_some()))
        .collect();
    (values.into_iter().flatten().collect(), levels)
}
