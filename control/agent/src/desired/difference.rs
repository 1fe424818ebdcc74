//! What a program says that the one before it did not.

use program::Program;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A field in which a program differs from the one it takes the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Its path, such as `flood.multicast`.
    pub field: String,
    /// What it was; none if it was not said. Of two lists, the entries that go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    /// What it is now; none if it is not said. Of two lists, the entries that come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Value>,
}

impl Difference {
    /// The most entries of a list that are named; then comes a text that says how many more.
    pub const ENTRIES: usize = 16;
}

/// The fields in which `now` differs from `was`.
pub(super) fn differences(was: &Program, now: &Program) -> Vec<Difference> {
    let (was, now) = (said(was), said(now));
    let fields: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    let value = |of: &Map<String, Value>, field| of.get(field).cloned();
    let pairs = fields
        .into_iter()
        .map(|field| (field, value(&was, field), value(&now, field)));
    pairs
        .filter(|(_, was, now)| was != now)
        .map(|(field, was, now)| {
            let (was, now) = match (was, now) {
                (Some(Value::Array(was)), Some(Value::Array(now))) => {
                    (Some(without(&was, &now)), Some(without(&now, &was)))
                }
                (was, now) => (was.map(bounded), now.map(bounded)),
            };
            let field = field.clone();
            Difference { field, was, now }
        })
        .collect()
}

/// What a program says, by the path of each field.
fn said(program: &Program) -> Map<String, Value> {
    let mut all = Map::new();
    // Strings and numbers become JSON; if ever not, nothing is said of the fields.
    let value = serde_json::to_value(program).unwrap_or_default();
    flatten(String::new(), value, &mut all);
    all
}

fn flatten(path: String, value: Value, all: &mut Map<String, Value>) {
    match value {
        Value::Object(object) => {
            let dot = if path.is_empty() { "" } else { "." };
            for (field, value) in object {
                flatten(format!("{path}{dot}{field}"), value, all);
            }
        }
        value => {
            all.insert(path, value);
        }
    }
}

/// Of `list` the entries that `other` does not have.
fn without(list: &[Value], other: &[Value]) -> Value {
    let other: BTreeSet<_> = other.iter().map(Value::to_string).collect();
    let only = list.iter().filter(|v| !other.contains(&v.to_string()));
    bounded(only.cloned().collect())
}

fn bounded(value: Value) -> Value {
    match value {
        Value::Array(mut list) if list.len() > Difference::ENTRIES => {
            let more = list.len() - Difference::ENTRIES;
            list.truncate(Difference::ENTRIES);
            list.push(format!("and {more} more").into());
            Value::Array(list)
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn program(fields: &str) -> Program {
        let text = format!(r#"{{"version": 1, "name": "x", "vnet": 1, {fields}}}"#);
        program::read(text.as_bytes()).unwrap().remove(0).1
    }

    #[track_caller]
    fn differ(was: &str, now: &str) -> Vec<(String, Option<Value>, Option<Value>)> {
        let all = differences(&program(was), &program(now));
        all.into_iter().map(|d| (d.field, d.was, d.now)).collect()
    }

    #[test]
    fn a_field_that_was_not_said_and_one_inside_another_are_named() {
        let tunnel = r#""kind": "tunnel", "remote": "10.0.0.2""#;
        assert_eq!(differ(tunnel, tunnel), []);
        let other = format!(r#"{tunnel}, "checksum": true, "dscp": "uniform""#);
        let field = |field: &str, was, now| (field.to_owned(), was, now);
        assert_eq!(
            differ(tunnel, &other),
            [
                field("checksum", None, Some(json!(true))),
                field("dscp", None, Some(json!("uniform"))),
            ]
        );
        let (was, now) = (
            r#""kind": "network""#,
            r#""kind": "network", "flood": {"multicast": false}"#,
        );
        let multicast = field("flood.multicast", Some(json!(true)), Some(json!(false)));
        assert_eq!(differ(was, now), [multicast]);
    }

    #[test]
    fn of_lists_only_what_goes_and_what_comes_is_named_and_not_without_end() {
        let port = |addresses: &[String]| {
            let addresses = json!(addresses);
            let interface = r#""interface": "vm", "mac": "any""#;
            format!(r#""kind": "port", {interface}, "addresses": {addresses}"#)
        };
        let hosts = |range: std::ops::Range<u8>| -> Vec<_> {
            range.map(|last| format!("10.0.0.{last}")).collect()
        };
        assert_eq!(
            differ(&port(&hosts(1..5)), &port(&hosts(2..6))),
            [(
                "addresses".to_owned(),
                Some(json!(["10.0.0.1"])),
                Some(json!(["10.0.0.5"]))
            )]
        );
        let many = differ(&port(&[]), &port(&hosts(1..40)));
        let now = many[0].2.as_ref().unwrap().as_array().unwrap();
        assert_eq!((now.len(), &now[16]), (17, &json!("and 23 more")));
    }
}
