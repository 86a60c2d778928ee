//! What can go wrong, as one line for the user.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use sft_dataset::DatasetError;
use sft_eval::EvalError;
use sft_inference::InferenceError;

/// Every failure of the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing says which note to summarise.
    #[error(
        "no note to summarise: give --clinical-note TEXT, --input-file FILE, or pipe a note into \
         standard input"
    )]
    NoNote,
    /// A conversation was asked for, with what only given notes have.
    #[error(
        "{flag} needs notes: give --clinical-note TEXT, --input-file FILE, or pipe a note into \
         standard input; without {flag} a conversation opens"
    )]
    NoConversation { flag: &'static str },
    /// The note on the command line or from the pipe holds nothing but space.
    #[error("{source_name} is empty: give the text of a note")]
    EmptyNote { source_name: &'static str },
    /// Standard input is no text.
    #[error("standard input is not UTF-8 text (byte {offset}): convert the note to UTF-8")]
    StdinNotUtf8 { offset: usize },
    /// The input file is neither kind.
    #[error("{}: a .txt file (a note a line) or a .csv file (a column clinical_note) is needed", path.display())]
    UnknownKind { path: PathBuf },
    /// The system refused a file.
    #[error("cannot {action} {what}: {source}; {remedy}")]
    Io {
        action: &'static str,
        what: String,
        remedy: &'static str,
        #[source]
        source: io::Error,
    },
    /// The system has no room for threads.
    #[error(
        "cannot start threads: {0}; RAYON_NUM_THREADS=1, set before the command, takes one, or let the process have more \
         (ulimit -u, ulimit -v)"
    )]
    Threads(#[source] io::Error),
    /// A line is not UTF-8.
    #[error("{}:{line}: not UTF-8 text: convert the file to UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: u64 },
    /// The .csv file of notes cannot be read.
    #[error(transparent)]
    Csv(DatasetError),
    /// The file's rows are all empty.
    #[error("{}: no note in this file: give a .txt file with a note a line, or a .csv file with rows under clinical_note", path.display())]
    NoNoteInFile { path: PathBuf },
    /// A note of a file is at fault.
    #[error("{}:{line}", path.display())]
    AtNote {
        path: PathBuf,
        line: u64,
        #[source]
        source: Box<InferenceError>,
    },
    /// Notes of a file were left out, each with a warning.
    #[error(
        "{skipped} of {total} notes could not be summarised: shorten those named in the warnings"
    )]
    Skipped { skipped: usize, total: usize },
    /// The results would replace the notes.
    #[error("{}: an output would replace a file that is read: give another path", path.display())]
    OutputIsInput { path: PathBuf },
    /// Two outputs have one path.
    #[error("{}: two outputs would be written here: give each a path of its own", path.display())]
    OutputTwice { path: PathBuf },
    /// Another run's summaries, or somebody's file.
    #[error("{}: exists already, perhaps from a run that was stopped: move or remove it, or give another output", path.display())]
    PartialExists { path: PathBuf },
    /// A folder or a device.
    #[error("{}: not a file: give another output", path.display())]
    OutputIsNoFile { path: PathBuf },
    /// Ctrl-C cannot be caught.
    #[error("cannot listen for Ctrl-C: leave out --output-file")]
    Interrupt(#[from] ctrlc::Error),
    /// A base was to be compared with itself.
    #[error(
        "{} has no adapter_config.json, so there is no base to compare with: give an adapter's \
         folder as --model-path, or leave out --compare",
        folder.display()
    )]
    NothingToCompare { folder: PathBuf },
    /// The labelled summaries cannot be read.
    #[error(transparent)]
    EvaluationCsv(DatasetError),
    /// The labelled summaries cannot be scored.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// The sidecar is another file's.
    #[error("{}: no id of this file is an id of {}: give the findings of that file", path.display(), csv.display())]
    NoSuchFindings { path: PathBuf, csv: PathBuf },
    /// The model is not good enough.
    #[error("{short}")]
    BelowThreshold { short: String },
    /// A CSV file could not be put together.
    #[error("a row cannot be written as CSV")]
    WriteCsv(#[from] csv::Error),
    /// Nothing says which summary to check.
    #[error(
        "--check needs a summary: give --clinical-note TEXT with --summary TEXT, or --input-file \
         FILE.csv with columns clinical_note and model_summary"
    )]
    NothingToCheck,
    /// Summaries to check stand in no .csv file.
    #[error(
        "{}: --check needs a .csv file with columns clinical_note and model_summary",
        path.display()
    )]
    NoSummaries { path: PathBuf },
    /// The prompt template cannot be used.
    #[error(transparent)]
    Template(DatasetError),
    /// The library refused.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A result could not be put into JSON.
    #[error("a result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// 2 where another command line is the remedy, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoNote
            | Self::NoConversation { .. }
            | Self::EmptyNote { .. }
            | Self::UnknownKind { .. }
            | Self::OutputIsInput { .. }
            | Self::OutputTwice { .. }
            | Self::NothingToCompare { .. }
            | Self::NothingToCheck
            | Self::NoSummaries { .. }
            | Self::Template(_)
            | Self::Inference(InferenceError::Params { .. }) => 2,
            Self::BelowThreshold { .. } => 3,
            _ => 1,
        }
    }

    /// Whether the reader of standard output has gone, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message and its causes in one line.
    pub(crate) fn one_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
