//! The message `tensorflow.Event`, as far as scalars need it, in protocol buffers' wire format.
//!
//! Numbers of fields are those of TensorFlow's `event.proto` and `summary.proto`.

/// An event.
pub(super) enum Event<'a> {
    /// The first of a file.
    Version,
    /// Steps from this one on are told anew.
    Restart { step: u64 },
    /// Values of a step by name.
    Scalars { step: u64, values: &'a [(&'a str, f64)] },
}

/// Of a field: the three ways in which these messages hold one.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Event<'_> {
    /// The bytes of the message, said at `wall_time` (seconds since 1970).
    pub(super) fn encode(&self, wall_time: f64) -> Vec<u8> {
        let mut event = Vec::new();
        key(&mut event, 1, FIXED64); // wall_time
        event.extend(wall_time.to_le_bytes());
        match self {
            Self::Version => bytes(&mut event, 3, b"brain.Event:2"), // file_version
            Self::Restart { step } => {
                varint_field(&mut event, 2, *step); // step
                let mut log = Vec::new();
                varint_field(&mut log, 1, 1); // status: START
                bytes(&mut event, 7, &log); // session_log
            }
            Self::Scalars { step, values } => {
                varint_field(&mut event, 2, *step);
                let mut summary = Vec::new();
                for (tag, number) in *values {
                    let mut value = Vec::new();
                    bytes(&mut value, 1, tag.as_bytes()); // tag
                    key(&mut value, 2, FIXED32); // simple_value
                    value.extend((*number as f32).to_le_bytes());
                    bytes(&mut summary, 1, &value); // value
                }
                bytes(&mut event, 5, &summary); // summary
            }
        }
        event
    }
}

fn bytes(message: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(message, field, BYTES);
    varint(message, content.len() as u64);
    message.extend(content);
}

fn varint_field(message: &mut Vec<u8>, field: u64, value: u64) {
    key(message, field, VARINT);
    varint(message, value);
}

fn key(message: &mut Vec<u8>, field: u64, kind: u64) {
    varint(message, field << 3 | kind);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
