//! From a record to token ids: the one place that builds prompts, for training and generation.

mod added_tokens;
mod border;
mod chat;
mod choice;
mod jinja;
mod precompiled;
mod python;
mod template;
mod text;
mod tokenizer;

pub use choice::TemplateChoice;
pub use template::PromptTemplate;
pub use tokenizer::{Encoded, Piece, PromptTokenizer};
