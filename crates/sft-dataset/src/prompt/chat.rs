//! A tokenizer's chat template as a prompt template.
//!
//! The chat template is rendered once, over the placeholder instead of a note; what comes out is a
//! [`PromptTemplate`] like any other. So its control strings are control tokens and those of a
//! note are text, its BOS is not doubled, and a saved prompt needs no Jinja to be built again.

use super::added_tokens::is_control;
use super::jinja;
use super::template::{PLACEHOLDER, PromptTemplate};
use crate::DatasetError;
use crate::limited::{SETTINGS, read_limited};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What the user asks for in the turn that holds the note.
const INSTRUCTION: &str = "Summarize the following clinical note. State only what the note says.";

/// Stands for a summary where the end of the assistant's turn is looked up.
const SUMMARY: &str = "{model_summary}";

/// What one turn of a model's chat looks like.
pub(super) struct ChatPrompt {
    /// A user's turn with the instruction and the note, and the start of the assistant's.
    pub(super) template: PromptTemplate,
    /// The control token that ends the assistant's turn, if one does.
    pub(super) turn_end: Option<u32>,
}

impl ChatPrompt {
    /// Reads the chat template beside a `tokenizer.json`: `chat_template.jinja`, else
    /// `chat_template` of `tokenizer_config.json`, the order of transformers.
    pub(super) fn read(tokenizer_json: &Path) -> Result<Self, DatasetError> {
        let folder = tokenizer_json.parent().unwrap_or(Path::new(""));
        let config_path = folder.join("tokenizer_config.json");
        let config: TokenizerConfig = read_json(&config_path)?.unwrap_or_default();
        let jinja_path = folder.join("chat_template.jinja");
        let (path, template) = match (read(&jinja_path)?, config.default_template()) {
            (Some(bytes), _) => {
                let utf8 = String::from_utf8(bytes);
                let path = jinja_path.clone();
                (jinja_path, utf8.map_err(|source| DatasetError::TemplateUtf8 { path, source })?)
            }
            (None, Some(template)) => (config_path, template.to_owned()),
            (None, None) => return Err(DatasetError::NoChatTemplate { folder: folder.into() }),
        };
        let tokens: TokenizerJson = read_json(tokenizer_json)?.unwrap_or_default();
        let chat = Chat { path, template, special_tokens: config.special_tokens() };
        chat.prompt(&tokens.added_tokens)
    }
}

/// What somebody says. A template may ask for the keys, so they have the order of transformers.
#[derive(Clone, Copy, Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

/// What a template may name.
#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [Message<'a>],
    add_generation_prompt: bool,
    tools: (),
    documents: (),
    #[serde(flatten)]
    special_tokens: &'a Map<String, Value>,
}

/// A chat template and the tokens it may name.
struct Chat {
    path: PathBuf,
    template: String,
    special_tokens: Map<String, Value>,
}

impl Chat {
    fn prompt(&self, added_tokens: &[AddedToken]) -> Result<ChatPrompt, DatasetError> {
        let content = format!("{INSTRUCTION}\n\n{PLACEHOLDER}");
        let user = Message { role: "user", content: &content };
        let prompt = self.render(&[user], true)?;
        let problem =
            match (prompt.matches(content.as_str()).count(), prompt.matches(PLACEHOLDER).count()) {
                (1, 1) => None,
                (0, 0) => Some("it leaves out what the user says"),
                (0, _) => Some("it changes what the user says"),
                (1, _) => Some("it has {clinical_note} in a text of its own"),
                (_, _) => Some("it repeats what the user says"),
            };
        if let Some(problem) = problem {
            return Err(DatasetError::ChatContent { path: self.path.clone(), problem });
        }

        let assistant = Message { role: "assistant", content: SUMMARY };
        let answered = self.render(&[user, assistant], false)?;
        let (before, after) = match answered.rsplit_once(SUMMARY) {
            Some((before, after)) => (before, Some(after.trim_start())),
            None => (answered.as_str(), None),
        };
        let turn_end = after.and_then(|after| starting(added_tokens, after));
        let written = before.strip_prefix(prompt.as_str());
        let lead = written.filter(|lead| lead.trim().is_empty() && after.is_some());
        if lead.is_none() {
            tracing::warn!(
                "the chat template {} does not write an answer right after its own prompt (some \
                 put thinking in between); training and generation both go on right after the prompt",
                self.path.display()
            );
        }
        // Behind plain text, a word without a space would be a part of the last word.
        let open =
            !prompt.ends_with(char::is_whitespace) && ending(added_tokens, &prompt).is_none();
        let lead = match lead.unwrap_or_default() {
            "" if open => " ",
            lead => lead,
        };
        Ok(ChatPrompt { template: PromptTemplate::new(prompt)?.with_lead(lead), turn_end })
    }

    fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DatasetError> {
        let special_tokens = &self.special_tokens;
        let context =
            Context { messages, add_generation_prompt, tools: (), documents: (), special_tokens };
        jinja::render(&self.template, &context)
            .map_err(|source| DatasetError::ChatTemplate { path: self.path.clone(), source })
    }
}

/// The longest control token that a text starts with.
fn starting(tokens: &[AddedToken], text: &str) -> Option<u32> {
    longest(tokens, |token| text.starts_with(token))
}

/// The longest control token that a text ends with.
fn ending(tokens: &[AddedToken], text: &str) -> Option<u32> {
    longest(tokens, |token| text.ends_with(token))
}

fn longest(tokens: &[AddedToken], matches: impl Fn(&str) -> bool) -> Option<u32> {
    let control = tokens.iter().filter(|token| {
        !token.content.is_empty()
            && is_control(&token.content, token.special)
            && matches(&token.content)
    });
    control.max_by_key(|token| token.content.len()).map(|token| token.id)
}

/// What a `tokenizer.json` says about tokens.
#[derive(Default, Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<ChatTemplates>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One template, or several by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum ChatTemplates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl TokenizerConfig {
    fn default_template(&self) -> Option<&str> {
        match self.chat_template.as_ref()? {
            ChatTemplates::One(template) => Some(template),
            ChatTemplates::Named(templates) => {
                let named = templates.iter().find(|named| named.name == "default");
                named.map(|named| named.template.as_str())
            }
        }
    }

    /// `bos_token`, `eos_token` and the like, each a text or an object with the text.
    fn special_tokens(&self) -> Map<String, Value> {
        let tokens = self.rest.iter().filter(|(key, _)| key.ends_with("_token"));
        let text = |value: &Value| value.as_str().or(value["content"].as_str()).map(Value::from);
        tokens.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
    }
}

/// A JSON file, if it is there.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, DatasetError> {
    let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
    let json = read(path)?.map(parse).transpose();
    json.map_err(|source| DatasetError::TokenizerFile { path: path.into(), source })
}

/// A file, if it is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, DatasetError> {
    match read_limited(path, SETTINGS) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DatasetError::Read { path: path.into(), source }),
    }
}
