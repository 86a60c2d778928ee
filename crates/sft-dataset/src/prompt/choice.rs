//! Which template a user asks for.

use super::chat::ChatPrompt;
use super::template::PromptTemplate;
use crate::DatasetError;
use std::path::Path;

/// The word that stands for the tokenizer's chat template.
const CHAT: &str = "chat";

/// A template of one's own, or the one that a model's tokenizer brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChoice {
    /// A text with `{clinical_note}`.
    Text(PromptTemplate),
    /// The tokenizer's chat template: the note in a user's turn, below the instruction
    /// "Summarize the following clinical note. State only what the note says."
    Chat,
    /// What an adapter was trained with, and the id that ended its summaries.
    Saved(PromptTemplate, u32),
}

impl TemplateChoice {
    /// What a user names: the word `chat` (also where there is a file of that name: that is
    /// `./chat`), a file, or the text itself.
    ///
    /// # Errors
    /// As [`PromptTemplate::from_arg`].
    pub fn from_arg(chat_file_or_text: &str) -> Result<Self, DatasetError> {
        if chat_file_or_text == CHAT {
            return Ok(Self::Chat);
        }
        PromptTemplate::from_arg(chat_file_or_text).map(Self::Text)
    }

    /// `chat`, or the template's text: what makes this choice again, without a file.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(template) | Self::Saved(template, _) => template.text(),
            Self::Chat => CHAT,
        }
    }

    /// The template for a model, and the id that ends its answers if that is not the model's own
    /// end of sequence. The chat template is looked for beside `tokenizer_json`.
    ///
    /// A chat template that writes the date gets a fixed one. Where it writes no BOS although the
    /// tokenizer's post-processor does, the prompt has one all the same.
    ///
    /// # Errors
    /// [`DatasetError::NoChatTemplate`], [`DatasetError::ChatTemplate`],
    /// [`DatasetError::ChatContent`], and where a file cannot be read.
    pub fn resolve(
        &self,
        tokenizer_json: &Path,
    ) -> Result<(PromptTemplate, Option<u32>), DatasetError> {
        match self {
            Self::Text(template) => Ok((template.clone(), None)),
            Self::Saved(template, eos_id) => Ok((template.clone(), Some(*eos_id))),
            Self::Chat => {
                let ChatPrompt { template, turn_end } = ChatPrompt::read(tokenizer_json)?;
                Ok((template, turn_end))
            }
        }
    }
}

impl From<PromptTemplate> for TemplateChoice {
    fn from(template: PromptTemplate) -> Self {
        Self::Text(template)
    }
}
