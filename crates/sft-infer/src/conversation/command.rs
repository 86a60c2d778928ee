//! What a line asks for.

/// A line of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing but space.
    Nothing,
    /// Summarise this.
    Note(String),
    /// `/help`.
    Help,
    /// `/base`, perhaps with a note.
    Base(Option<String>),
    /// `/set`, perhaps with a name and a value.
    Set(Option<(String, String)>),
    /// `/again`.
    Again,
    /// `/quit` or `/exit`.
    Quit,
}

const NAMES: [&str; 6] = ["help", "base", "set", "again", "quit", "exit"];
/// The least likeness of a name that is suggested (Jaro-Winkler).
const LIKENESS: f64 = 0.7;

impl Command {
    /// Reads a line; the error is a message for the user.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        if line.trim().is_empty() {
            return Ok(Self::Nothing);
        }
        let Some(rest) = line.strip_prefix('/') else { return Ok(Self::Note(line.to_owned())) };
        if rest.starts_with('/') {
            return Ok(Self::Note(rest.to_owned()));
        }
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let argument = argument.trim();
        let alone = |command| match argument {
            "" => Ok(command),
            _ => Err(format!("/{name} stands alone: leave out `{argument}`")),
        };
        match name {
            "help" => alone(Self::Help),
            "again" => alone(Self::Again),
            "quit" | "exit" => alone(Self::Quit),
            "base" if argument.is_empty() => Ok(Self::Base(None)),
            "base" => Ok(Self::Base(Some(argument.to_owned()))),
            "set" => match argument.split_whitespace().collect::<Vec<_>>()[..] {
                [] => Ok(Self::Set(None)),
                [name, value] => Ok(Self::Set(Some((name.to_owned(), value.to_owned())))),
                _ => Err("/set needs a name and a value, as in /set temperature 0.7; alone it \
                          lists them"
                    .to_owned()),
            },
            _ => Err(format!(
                "there is no command /{name}: {}; a note that begins with / is written with //",
                nearest(name, &NAMES)
                    .map_or("see /help".to_owned(), |near| format!("did you mean /{near}?"))
            )),
        }
    }
}

/// The name that is most like `word`, if one is like it at all.
pub(crate) fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    let likeness = |name: &&'n str| (strsim::jaro_winkler(&word.to_lowercase(), name), *name);
    let best = names.iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS).map(|(_, name)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_commands() {
        let note = |text: &str| Ok(Command::Note(text.to_owned()));
        for (line, expected) in [
            ("", Ok(Command::Nothing)),
            (" \n\t", Ok(Command::Nothing)),
            ("Fever.\nCough.", note("Fever.\nCough.")),
            ("//help", note("/help")),
            (" /help", note(" /help")),
            ("/help", Ok(Command::Help)),
            ("/again ", Ok(Command::Again)),
            ("/quit", Ok(Command::Quit)),
            ("/exit", Ok(Command::Quit)),
            ("/base", Ok(Command::Base(None))),
            ("/base  Fever.\nCough. ", Ok(Command::Base(Some("Fever.\nCough.".to_owned())))),
            ("/set", Ok(Command::Set(None))),
            ("/set  top_p  off", Ok(Command::Set(Some(("top_p".into(), "off".into()))))),
        ] {
            assert_eq!(Command::parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_command_gets_a_hint() {
        for (line, part) in [
            ("/qiut", "did you mean /quit?"),
            ("/Help", "did you mean /help?"),
            ("/xyz", "see /help"),
            ("/", "see /help"),
            ("/quit now", "leave out `now`"),
            ("/set temperature", "/set temperature 0.7"),
            ("/set a b c", "/set temperature 0.7"),
        ] {
            let message = Command::parse(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
