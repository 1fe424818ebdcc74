//! Programs as people and controllers write them.

use crate::{Epoch, Kind, Program, ProgramError};
use core::fmt;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The version of programs that is written and read here.
pub const VERSION: u32 = 1;

/// The longest document, in bytes.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// Reads a document: one program object, or an array of them, in order.
///
/// Each has `"version"`, `"kind"`, perhaps `"epoch"`, and the kind's own fields, and no others;
/// none twice. What a program says of itself is read here; whether it goes with the others is for
/// [`Programs`](crate::Programs) to say.
///
/// # Errors
///
/// The first thing wrong, with the path of the field: `[2].mac` in an array, `mac` in an object.
pub fn read(bytes: &[u8]) -> Result<Vec<(Option<Epoch>, Program)>, ProgramError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(ProgramError::TooLong {
            got: bytes.len(),
            limit: MAX_DOCUMENT,
        });
    }
    match objects(bytes)? {
        Objects::One(object) => Ok(vec![program("", object)?]),
        Objects::Many(objects) => objects
            .into_iter()
            .enumerate()
            .map(|(index, object)| program(&format!("[{index}]"), object))
            .collect(),
    }
}

/// Writes programs as a document that [`read`] reads: an array, one program a line.
///
/// # Panics
///
/// Never: a program is strings and numbers, and all of these become JSON.
pub fn write(programs: &[(Epoch, Program)]) -> String {
    let mut text = String::from("[");
    for (index, (epoch, program)) in programs.iter().enumerate() {
        let line = Written {
            version: VERSION,
            epoch: *epoch,
            program,
        };
        let line = serde_json::to_string(&line).expect("strings and numbers become JSON");
        text.push_str(if index == 0 { "\n  " } else { ",\n  " });
        text.push_str(&line);
    }
    text.push_str(if programs.is_empty() { "]\n" } else { "\n]\n" });
    text
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    epoch: Epoch,
    #[serde(flatten)]
    program: &'a Program,
}

/// A document before its programs are looked at: objects, no key of which comes twice.
enum Objects {
    One(Map<String, Value>),
    Many(Vec<Map<String, Value>>),
}

fn objects(bytes: &[u8]) -> Result<Objects, ProgramError> {
    // serde_json gives up at a depth of 128, so the recursion below is bounded.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let many = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let read = if many {
        located("", &mut reader)
            .map(|all: Vec<Unique>| Objects::Many(all.into_iter().map(|unique| unique.0).collect()))
    } else {
        located("", &mut reader).map(|one: Unique| Objects::One(one.0))
    }?;
    let end = reader.end();
    end.map_err(|error| unreadable(String::new(), &error))?;
    Ok(read)
}

/// Reads one program. The kind is looked at first and its struct read by itself: of a tagged
/// enum serde cannot say in which field an error lies.
fn program(
    at: &str,
    mut object: Map<String, Value>,
) -> Result<(Option<Epoch>, Program), ProgramError> {
    let version: u64 = required(at, &mut object, "version")?;
    if version != u64::from(VERSION) {
        let error = ProgramError::Version {
            got: version,
            have: VERSION,
        };
        return Err(if at.is_empty() {
            error
        } else {
            unreadable(join(at, "version"), &error) // the variant alone cannot say which program
        });
    }
    let epoch = if object.contains_key("epoch") {
        Some(required(at, &mut object, "epoch")?)
    } else {
        None
    };
    let program = match required(at, &mut object, "kind")? {
        Kind::Underlay => {
            Program::Underlay(fields(at, object, &["name", "endpoint", "interface"])?)
        }
        Kind::Network => Program::Network(fields(at, object, &["name", "vnet"])?),
        Kind::Tunnel => Program::Tunnel(fields(at, object, &["name", "vnet", "remote"])?),
        Kind::Port => Program::Port(fields(at, object, &["name", "vnet", "interface", "mac"])?),
    };
    Ok((epoch, program))
}

/// Takes `field` out of `object` and reads it.
fn required<T: DeserializeOwned>(
    at: &str,
    object: &mut Map<String, Value>,
    field: &str,
) -> Result<T, ProgramError> {
    match object.remove(field) {
        Some(value) => located(&join(at, field), value),
        None => Err(missing(at, field)),
    }
}

/// Reads a kind's own fields; those in `needed` have no default.
fn fields<T: DeserializeOwned>(
    at: &str,
    object: Map<String, Value>,
    needed: &[&str],
) -> Result<T, ProgramError> {
    if let Some(field) = needed.iter().find(|field| !object.contains_key(**field)) {
        return Err(missing(at, field));
    }
    located(at, Value::Object(object))
}

fn missing(at: &str, field: &str) -> ProgramError {
    ProgramError::Unreadable {
        field: join(at, field),
        why: "this field is missing".to_owned(),
    }
}

/// Reads a `T`, and says where in it an error lies.
fn located<'de, T, D>(at: &str, reader: D) -> Result<T, ProgramError>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
    D::Error: fmt::Display,
{
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { &path };
        unreadable(join(at, path), error.inner())
    })
}

fn join(at: &str, path: &str) -> String {
    match (at, path) {
        ("", path) => path.to_owned(),
        (at, "") => at.to_owned(),
        (at, path) if path.starts_with('[') => format!("{at}{path}"),
        (at, path) => format!("{at}.{path}"),
    }
}

fn unreadable(field: String, error: &dyn fmt::Display) -> ProgramError {
    ProgramError::Unreadable {
        field,
        why: error.to_string(),
    }
}

/// A JSON object no key of which comes twice, at any depth. JSON leaves open which of two counts
/// (RFC 8259 §4); we do not guess.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a program: an object with \"version\", \"kind\" and \"name\"")
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                unique(entries)
            }
        }

        reader.deserialize_map(Object).map(Self)
    }
}

fn unique<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Map<String, Value>, A::Error> {
    let mut map = Map::new();
    while let Some(key) = entries.next_key::<String>()? {
        if map.contains_key(&key) {
            return Err(A::Error::custom(format_args!("field `{key}` comes twice")));
        }
        let value = entries.next_value_seed(AnyValue)?;
        map.insert(key, value);
    }
    Ok(map)
}

/// Reads any JSON value as [`unique`] does.
struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(AnyValue)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        unique(entries).map(Value::Object)
    }
}

#[cfg(test)]
mod tests;
