//! How much memory the run may take, what it will take, and what is computed again so that it fits.

use std::fs;
use std::str::FromStr;

use candle_core::{DType, Device};
use sft_dataset::Example;
use sft_model::ModelDir;
use sft_model::memory::{MemoryPlan, Place, TrainingShape, is_predictable};
use sft_model::runtime::{Quantize, free_memory};
use sft_trainer::largest_batch;

use crate::console;
use crate::error::{CliError, is_full, one_line};
use crate::resolve::Settings;

mod system;

/// A number of bytes as users write it: `16GB`, `900 MB`, `7.5GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemorySize(pub(crate) u64);

/// Units and their bytes; the longer of two that end alike comes first.
const UNITS: [(&str, f64); 7] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
];

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_lowercase();
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes)));
        let size = unit.and_then(|(number, unit)| Some(number.trim().parse::<f64>().ok()? * unit));
        match size {
            Some(bytes) if bytes.is_finite() && bytes >= 1.0 => Ok(Self(bytes as u64)),
            _ => Err(format!(
                "`{text}` is no size of memory: give a number with a unit, such as 16GB, 900MB or 7.5GiB"
            )),
        }
    }
}

/// The plan of a run, and what a reader is told about it.
pub(crate) struct Planned {
    pub(crate) plan: MemoryPlan,
    budget: Option<Budget>,
    /// What takes less, for when a device runs full all the same.
    rescue: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    bytes: u64,
    /// What was typed, rather than what the machine has free.
    given: bool,
}

/// Plans a run on `examples`, before any weight is read. None where nothing can be predicted: on
/// other devices than the CPU and those of CUDA.
///
/// # Errors
/// When the run does not fit, whatever is computed again.
pub(crate) fn plan(
    settings: &Settings,
    folder: &ModelDir,
    dtype: DType,
    device: &Device,
    examples: &[Example],
) -> Result<Option<Planned>, CliError> {
    let given = settings.memory_budget;
    if !is_predictable(device, folder.config(), dtype) || examples.is_empty() {
        if given.is_some() {
            console::note(
                "memory_budget has no effect: only runs on the CPU, and of usual shapes on CUDA, are planned",
            );
        }
        return Ok(None);
    }
    let process = system::resident();
    let place = if device.is_cpu() { Place::Host } else { Place::Device };
    let on_device = place == Place::Device;
    let run = Run { settings, folder, examples, process, place };
    let free = || {
        if on_device { free_memory(device) } else { system::free().map(|free| free + process) }
    };
    let budget = match given {
        Some(MemorySize(bytes)) => Some(Budget { bytes, given: true }),
        None => free().map(|bytes| Budget { bytes, given: false }),
    };
    let base = Base { flag: "", dtype, quantize: settings.quantize };
    let shape = run.shape(base, settings.train.batch_size)?;
    let all = settings.train.gradient_checkpointing;
    if let Some(plan) = shape.plan(budget.map_or(u64::MAX, |budget| budget.bytes), all) {
        let rescue = on_device.then(|| run.rescue(base, &plan, budget)).transpose()?;
        return Ok(Some(Planned { plan, budget, rescue }));
    }
    if on_device && given.is_none() {
        // The prediction errs on the large side there: the device has the last word.
        let plan = shape.plan_of(shape.blocks());
        let rescue = run.rescue(base, &plan, budget)?;
        console::warning(format_args!(
            "training may take {}, more than the {} that the GPU has free, even with activations computed again; {rescue}",
            gb(plan.estimate.peak()),
            gb(budget.map_or(0, |budget| budget.bytes))
        ));
        return Ok(Some(Planned { plan, budget, rescue: Some(rescue) }));
    }
    let budget = budget.map_or(0, |budget| budget.bytes);
    Err(CliError::Memory {
        needed: gb(shape.least()),
        budget: if given.is_some() {
            format!("the {} of --memory_budget", gb(budget))
        } else {
            format!("the {} that this machine has free", gb(budget))
        },
        remedy: run.remedy(base, budget)?,
    })
}

impl Planned {
    /// The error of a run as it went, with what takes less memory where a device's was full.
    pub(crate) fn explain(&self, error: CliError) -> CliError {
        match &self.rescue {
            Some(remedy) if is_full(&one_line(&error)) => {
                CliError::DeviceFull { remedy: remedy.clone(), source: Box::new(error) }
            }
            _ => error,
        }
    }

    /// One line for the settings.
    pub(crate) fn line(&self) -> String {
        let MemoryPlan { recomputed, blocks, estimate } = self.plan;
        let part = |bytes: u64| format!("{:.2}", bytes as f64 / 1e9);
        let of = match self.budget {
            None => String::new(),
            Some(budget) => {
                let source = if budget.given { "allowed" } else { "free" };
                format!(" of {} {source}", gb(budget.bytes))
            }
        };
        let weights = if estimate.mapped > 0 { " in their files" } else { "" };
        let loading = if estimate.loading > estimate.training() {
            format!("; {} while the weights are converted", part(estimate.loading))
        } else {
            String::new()
        };
        let rest = if self.rescue.is_some() { "libraries and gaps" } else { "program and data" };
        format!(
            "{} predicted{of}: weights {}{weights}, adapters and optimizer {}, activations {} ({recomputed} of {blocks} \
             blocks recomputed), temporary {}, {rest} {}{loading}",
            gb(estimate.peak()),
            part(estimate.weights + estimate.mapped),
            part(estimate.adapters),
            part(estimate.activations),
            part(estimate.temporary),
            part(estimate.process),
        )
    }
}

/// Of a plan that a device could not hold: a plan of this size should do.
const SHARE_THAT_FITS: f64 = 0.85;

/// What a run's size is computed from.
struct Run<'a> {
    settings: &'a Settings,
    folder: &'a ModelDir,
    examples: &'a [Example],
    process: u64,
    place: Place,
}

/// A way of holding the base, and the flag that asks for it.
#[derive(Clone, Copy)]
struct Base {
    flag: &'static str,
    dtype: DType,
    quantize: Option<Quantize>,
}

impl Run<'_> {
    fn shape(&self, base: Base, batch_size: usize) -> Result<TrainingShape, CliError> {
        let (config, lora) = (self.folder.config(), &self.settings.lora);
        let mut weights = self.folder.weight_shape(base.dtype)?;
        weights.quantize = base.quantize;
        let batch = largest_batch(self.examples, batch_size);
        let mut shape = TrainingShape::new(config, lora, weights, batch)?;
        shape.process = self.process;
        shape.place = self.place;
        Ok(shape)
    }

    /// What takes less than a plan that a device could not hold, by more than the prediction may be wrong.
    fn rescue(
        &self,
        base: Base,
        plan: &MemoryPlan,
        budget: Option<Budget>,
    ) -> Result<String, CliError> {
        let less = (plan.estimate.peak() as f64 * SHARE_THAT_FITS) as u64;
        let room = budget.map_or(less, |budget| budget.bytes.min(less));
        let again = self.least(base, self.settings.train.batch_size)?;
        if plan.recomputed < plan.blocks && again <= room {
            return Ok(format!("--gradient_checkpointing takes less ({})", gb(again)));
        }
        Ok(format!("{}; a smaller --max_length takes less, too", self.remedy(base, room)?))
    }

    /// What would fit.
    fn remedy(&self, base: Base, budget: u64) -> Result<String, CliError> {
        let smaller = [
            Base { flag: "--dtype bf16", dtype: DType::BF16, quantize: None },
            Base { flag: "--quantize nf4", dtype: DType::BF16, quantize: Some(Quantize::Nf4) },
        ];
        let size = |base: Base| (base.quantize.is_none(), base.dtype.size_in_bytes());
        let possible = |other: &Base| !(self.place == Place::Device && other.quantize.is_some());
        let smaller =
            smaller.into_iter().filter(|other| size(*other) < size(base) && possible(other));
        let mut remedies: Vec<String> = self.smaller_batch(base, budget)?.into_iter().collect();
        for base in smaller.clone() {
            let bytes = self.least(base, self.settings.train.batch_size)?;
            if bytes <= budget {
                remedies.push(format!("{} ({})", base.flag, gb(bytes)));
            }
        }
        if remedies.is_empty() {
            for base in smaller {
                if let Some(batch) = self.smaller_batch(base, budget)? {
                    remedies.push(format!("{} {batch}", base.flag));
                }
            }
        }
        if remedies.is_empty() {
            return Ok("nothing that sft-train can change would fit: take a smaller model or a machine with more memory"
                .to_owned());
        }
        Ok(format!("what would fit: {}", remedies.join(", or ")))
    }

    /// The largest batch that fits and takes the same steps.
    fn smaller_batch(&self, base: Base, budget: u64) -> Result<Option<String>, CliError> {
        let train = &self.settings.train;
        let window = train.batch_size.saturating_mul(train.gradient_accumulation_steps);
        for size in (1..train.batch_size).rev().filter(|size| window.is_multiple_of(*size)) {
            let bytes = self.least(base, size)?;
            if bytes <= budget {
                let windows = window / size;
                let flags = format!("--batch_size {size} --gradient_accumulation_steps {windows}");
                return Ok(Some(format!("{flags} ({}, the same steps)", gb(bytes))));
            }
        }
        Ok(None)
    }

    /// Bytes with as much computed again as helps.
    fn least(&self, base: Base, batch_size: usize) -> Result<u64, CliError> {
        Ok(self.shape(base, batch_size)?.least())
    }
}

/// Bytes for a reader.
fn gb(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// A number of kilobytes in a file of the system, in bytes, by the word before its colon.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn text(path: &std::path::Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests;
