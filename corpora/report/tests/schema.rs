//! The published schema says what reports are: it accepts what we write, and refuses what we would not.
//!
//! The validator knows the keywords that the schema uses and stops at any other, so that none is ignored.

mod sample;

use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../report.schema.json");

/// The first thing in `value` that `schema` does not allow.
fn violation(root: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
    let at = |what: String| Some(format!("{path}: {what}"));
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let found = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => None,
            "$ref" => {
                let name =
                    wanted.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a local reference");
                violation(root, &root["$defs"][name], value, path)
            }
            "type" => {
                let fits = match wanted.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("integer") => value.is_i64() || value.is_u64(),
                    other => panic!("unknown type {other:?}"),
                };
                if fits { None } else { at(format!("is no {wanted}")) }
            }
            "const" => {
                if value == wanted {
                    None
                } else {
                    at(format!("is not {wanted}"))
                }
            }
            "enum" => {
                if wanted.as_array().is_some_and(|all| all.contains(value)) {
                    None
                } else {
                    at(format!("{value} is none of {wanted}"))
                }
            }
            "minimum" => {
                if value.as_f64() >= wanted.as_f64() {
                    None
                } else {
                    at(format!("is below {wanted}"))
                }
            }
            "required" => {
                let keys = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                keys.into_iter()
                    .find(|key| value.get(key).is_none())
                    .and_then(|key| at(format!("lacks {key}")))
            }
            "properties" => {
                let wanted = wanted.as_object().expect("properties are an object");
                wanted.iter().find_map(|(key, schema)| {
                    value.get(key).and_then(|v| violation(root, schema, v, &format!("{path}.{key}")))
                })
            }
            "additionalProperties" => {
                assert_eq!(wanted, &json!(false));
                let keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
                keys.into_iter()
                    .find(|key| schema["properties"].get(key).is_none())
                    .and_then(|key| at(format!("knows no {key}")))
            }
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
                .find_map(|(index, item)| violation(root, wanted, item, &format!("{path}[{index}]"))),
            other => panic!("the validator does not know the keyword {other}"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn judged(value: &Value) -> Option<String> {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    violation(&schema, &schema, value, "$")
}

fn written() -> Value {
    serde_json::from_str(&sample::report().to_json()).expect("a report is JSON")
}

#[test]
fn accepts_what_is_written() {
    assert_eq!(judged(&written()), None);
    let time = exchange::Time::new(0, 0);
    let empty = report::Report::new("replay", "0.1.0", "nothing", time, time);
    assert_eq!(judged(&serde_json::from_str(&empty.to_json()).unwrap()), None);
}

#[test]
fn names_every_key_that_is_written() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let report = written();
    let known = |value: &Value, properties: &Value| {
        for key in value.as_object().unwrap().keys() {
            assert!(properties.get(key).is_some(), "{key} is not in the schema");
        }
    };
    known(&report, &schema["properties"]);
    for check in report["checks"].as_array().unwrap() {
        known(check, &schema["$defs"]["check"]["properties"]);
    }
}

#[test]
fn tools_may_add_keys() {
    let mut report = sample::report();
    report.extra.insert("connections".to_owned(), json!(3));
    report.checks[0].extra.insert("seen".to_owned(), json!({"status": 200}));
    let value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(judged(&value), None);
    assert_eq!(report::Report::from_json(&report.to_json()), Ok(report));
}

#[test]
fn refuses_what_is_never_written() {
    let refused = |change: fn(&mut Value), expected: &str| {
        let mut report = written();
        change(&mut report);
        assert_eq!(judged(&report).as_deref(), Some(expected));
    };
    refused(|r| r["schema"] = json!(2), "$.schema: is not 1");
    refused(
        |r| r["outcome"] = json!("fine"),
        "$.outcome: \"fine\" is none of [\"deploy\",\"do-not-deploy\",\"agree\",\"differences\",\"pass\",\"fail\",\"could-not-judge\"]",
    );
    refused(|r| drop(r.as_object_mut().unwrap().remove("checks")), "$: lacks checks");
    refused(
        |r| r["checks"][0]["level"] = json!("must"),
        "$.checks[0].level: \"must\" is none of [\"MUST\",\"SHOULD\",\"MAY\",\"BEHAVIOUR\"]",
    );
    refused(
        |r| drop(r["checks"][1].as_object_mut().unwrap().remove("verdict")),
        "$.checks[1]: lacks verdict",
    );
    refused(|r| r["ledgers"][0]["total"] = json!(-1), "$.ledgers[0].total: is below 0");
    refused(|r| r["reasons"][0]["blame"] = json!("x"), "$.reasons[0]: knows no blame");
}
