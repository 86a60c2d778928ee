//! Conversations as transformers renders them: systems, answers, tools, switches, refusals.
#![allow(clippy::unwrap_used)]

use super::render;
use minijinja::Value;
use serde::Deserialize;

const GOLDEN: &str = "../../fixtures/golden/chat/templates.json";

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    renders: Vec<Conversation>,
}

/// Either the text or the error is there.
#[derive(Deserialize)]
struct Conversation {
    context: Value,
    text: Option<String>,
    error: Option<String>,
}

impl Case {
    /// The template, or the one named `default`.
    fn template(&self) -> String {
        let template = self.config.get_attr("chat_template").unwrap();
        if let Some(text) = template.as_str() {
            return text.to_owned();
        }
        let is_default = |named: &Value| named.get_attr("name").unwrap() == Value::from("default");
        let named = template.try_iter().unwrap().find(is_default).unwrap();
        named.get_attr("template").unwrap().as_str().unwrap().to_owned()
    }
}

#[test]
fn conversations_render_as_in_transformers() {
    let golden: Golden = serde_json::from_slice(&std::fs::read(GOLDEN).unwrap()).unwrap();
    let (mut texts, mut errors) = (0, 0);
    for case in &golden.cases {
        let template = case.template();
        for Conversation { context, text, error } in &case.renders {
            match (render(&template, context), text, error) {
                (Ok(rendered), Some(text), None) => {
                    assert_eq!(&rendered, text, "{}: {context}", case.name);
                    texts += 1;
                }
                (Err(refused), None, Some(error)) => {
                    let message = refused.to_string();
                    assert!(message.contains(error), "{}: {context}: {message}", case.name);
                    errors += 1;
                }
                (rendered, ..) => panic!("{}: {context}: {rendered:?}", case.name),
            }
        }
    }
    assert!(texts > 100 && errors >= 9, "{texts} texts and {errors} errors");
}
