//! What can go wrong between a CSV file and a batch.

use crate::records::capped;
use crate::shown;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The remedy where a model's chat template does not serve.
const OWN_TEMPLATE: &str =
    "give a template of your own: --prompt_template with a file or a text that has {clinical_note}";

/// An error of this crate. Each message names the place and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that the path names an existing, readable file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and the free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: std::io::Error,
    },
    /// The CSV file has no content, or a header alone.
    #[error("{}: the file has {}; it needs a header line with clinical_note, model_summary and label, and at least one row", path.display(), if *header { "a header but no rows" } else { "no content" })]
    EmptyCsv {
        /// The file.
        path: PathBuf,
        /// Whether there is a header.
        header: bool,
    },
    /// The file is not text in UTF-8 at all: UTF-16, a workbook, another binary format.
    #[error("{}: this is {format}, not a CSV file in UTF-8; {remedy}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What the file seems to be.
        format: &'static str,
        /// How to get a CSV file in UTF-8 from it.
        remedy: &'static str,
    },
    /// Bytes that are not UTF-8 inside an otherwise textual file.
    #[error("{}, line {line}, column `{column}`: not valid UTF-8; save the file again as UTF-8, or convert it with `iconv -f WINDOWS-1252 -t UTF-8`", path.display())]
    BadUtf8 {
        /// The file.
        path: PathBuf,
        /// The 1-based line of the first bad byte.
        line: u64,
        /// The column's name.
        column: String,
    },
    /// A column that must be there is not.
    #[error("{}: no column {} (the header has: {}); {remedy}", path.display(), quoted(missing), quoted(found))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are needed and missing.
        missing: Vec<String>,
        /// The columns of the header.
        found: Vec<String>,
        /// What to rename, or which separator to change.
        remedy: String,
    },
    /// A column that is read stands in the header twice.
    #[error("{}: the header has the column `{column}` more than once; rename or remove one of them", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A row has more or fewer fields than the header.
    #[error("{}, line {line}: the row that starts here has {found} fields where the header has {expected}; usually a comma or a quote is not quoted: put the field in double quotes and double the quotes inside it", path.display())]
    RowLength {
        /// The file.
        path: PathBuf,
        /// The 1-based line where the row starts.
        line: u64,
        /// Fields in the header.
        expected: usize,
        /// Fields in this row.
        found: usize,
    },
    /// The file ends inside a quoted field, so every row after it would be part of that field.
    #[error("{}, line {line}: the quoted field that starts here is never closed, so all rows after it would be lost; close it with a double quote, and double the quotes inside it (\"\", not \\\")", path.display())]
    UnclosedQuote {
        /// The file.
        path: PathBuf,
        /// The 1-based line where the field starts.
        line: u64,
    },
    /// Text follows the quote that ends a quoted field: a quote of the text that is not doubled.
    #[error("{}, line {line}: a quote inside the quoted field that starts on line {start} is not doubled, or the field is not closed; double the quotes inside a quoted field (\"\", not \\\")", path.display())]
    BareQuote {
        /// The file.
        path: PathBuf,
        /// The 1-based line of the quote.
        line: u64,
        /// The 1-based line where the field starts.
        start: u64,
    },
    /// The CSV reader failed on a row.
    #[error("{}, line {line}: {source}; correct this row", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The 1-based line where the row starts.
        line: u64,
        /// The reader's reason.
        #[source]
        source: csv::Error,
    },
    /// Rows have the right label, but nothing in them can be trained on.
    #[error("{}: no usable row: in all rows with the label `factual` ({rows}) the clinical_note or the model_summary is empty; fill in both", path.display())]
    OnlyEmptyRows {
        /// The file.
        path: PathBuf,
        /// How many factual rows there are.
        rows: usize,
    },
    /// No row has the label of those that are trained on.
    #[error("{}: no row has the label `factual` (labels seen: {}); only factual rows are trained on: correct the label column", path.display(), shown::labels(labels))]
    NoFactualRows {
        /// The file.
        path: PathBuf,
        /// Every distinct label, trimmed and case-folded, with its count.
        labels: BTreeMap<String, usize>,
    },
    /// Notes cannot be divided so.
    #[error("{notes} distinct notes cannot be divided into {folds} parts; give from 2 to {notes}")]
    Folds {
        /// Parts that were asked for.
        folds: usize,
        /// Distinct notes.
        notes: usize,
    },
    /// The share of validation rows is not a share.
    #[error(
        "a validation split of {value} is not possible; give a number from 0 (none) to below 1, such as 0.1"
    )]
    ValSplit {
        /// The value given.
        value: f64,
    },
    /// The prompt template does not have its placeholder exactly once.
    #[error(
        "the prompt template has {{clinical_note}} {count} times and needs it exactly once; write it where the note belongs (a template given as a file must exist under that path)"
    )]
    Placeholder {
        /// How often the placeholder was found.
        count: usize,
    },
    /// The prompt template's file is not UTF-8.
    #[error("the prompt template {} is not valid UTF-8; save it again as UTF-8", path.display())]
    TemplateUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first bad byte is.
        #[source]
        source: std::string::FromUtf8Error,
    },
    /// The folder of the tokenizer has no chat template.
    #[error("{} has no chat template (no chat_template.jinja, and no default chat_template in tokenizer_config.json); {OWN_TEMPLATE}", folder.display())]
    NoChatTemplate {
        /// The folder.
        folder: PathBuf,
    },
    /// The chat template is no Jinja, or refuses a user's message and its answer.
    #[error("the chat template in {} cannot be used: {source}; {OWN_TEMPLATE}", path.display())]
    ChatTemplate {
        /// The file.
        path: PathBuf,
        /// The line and the reason.
        #[source]
        source: minijinja::Error,
    },
    /// The chat template does not write the user's message exactly once, as it is.
    #[error("the chat template in {} cannot be used: {problem}; {OWN_TEMPLATE}", path.display())]
    ChatContent {
        /// The file.
        path: PathBuf,
        /// What it does instead.
        problem: &'static str,
    },
    /// A file of the tokenizer is not the JSON it should be.
    #[error("{}: {source}; save the tokenizer again with transformers, or fetch the file anew", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// `tokenizer.json` could not be used.
    #[error("cannot load the tokenizer {}: {source}; it must be a Hugging Face tokenizer.json", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The tokenizer library's reason.
        #[source]
        source: tokenizers::Error,
    },
    /// The end-of-sequence id does not exist in the tokenizer.
    #[error("the end-of-sequence id {eos_id} is not in the tokenizer {} ({vocab_size} ids); tokenizer.json and the model's configuration do not belong together", path.display())]
    UnknownEos {
        /// The tokenizer's file.
        path: PathBuf,
        /// The id asked for.
        eos_id: u32,
        /// The highest id of the tokenizer plus one.
        vocab_size: usize,
    },
    /// Text could not be turned into ids or back.
    #[error("the tokenizer failed: {source}; check that tokenizer.json is complete")]
    Encode {
        /// The tokenizer library's reason.
        #[source]
        source: tokenizers::Error,
    },
    /// The end of the template and the start of a summary can give other tokens together than apart:
    /// mostly one token with characters of both.
    #[error(
        "the prompt template's end {end:?} and a summary that begins with {start:?} fuse: together they give other tokens than apart, so training and generation would see different prompts; end the template with a single newline"
    )]
    TemplateFuses {
        /// The last characters of the template.
        end: String,
        /// A summary's start that fuses with it.
        start: String,
    },
    /// The prompt and the summary of one row give other tokens together than apart.
    #[error(
        "the end of the prompt and the first characters of the summary fuse: together they give other tokens than apart, so training and generation would see different prompts; end the prompt template with a single newline"
    )]
    RowFuses,
    /// A row cannot be encoded.
    #[error("{}, line {line} (id {}): {source}", path.display(), shown::id(id))]
    AtRow {
        /// The CSV file.
        path: PathBuf,
        /// The 1-based line where the row starts.
        line: u64,
        /// The row's id.
        id: String,
        /// The reason.
        #[source]
        source: Box<DatasetError>,
    },
    /// Every row is too long even with an empty note.
    #[error("{}: none of the {rows} rows fits into {max_length} tokens even with an empty note (the shortest needs {shortest}); raise --max_length", path.display())]
    NothingFits {
        /// The CSV file.
        path: PathBuf,
        /// Rows given.
        rows: usize,
        /// The limit.
        max_length: usize,
        /// Tokens of the shortest row with an empty note.
        shortest: usize,
    },
    /// `sft_config.json` is not what this crate writes.
    #[error("{}: {source}; the file must be one that sft-train wrote beside an adapter", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
}

fn quoted(names: &[String]) -> String {
    capped(names.iter().map(|name| shown::column(name)))
}
