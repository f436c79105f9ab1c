//! Records of one kind as columns: each field of all of them side by side, since
//! neighbours that are alike pack well. A run of 9.4 MB packs to 1.2 MB line by
//! line, and to half of that as columns.
//!
//! A line of columns stands for as many lines as it says:
//!
//! `{"type":"columns","of":"group","count":2,"columns":{"fields":{"lane":["go","tokio"],…}}}`
//!
//! A column holds a list of values in one of these forms. The writer takes the
//! shorter one where there are two; the reader reads any.
//!
//! | form | holds |
//! |---|---|
//! | `[v, …]` | the values |
//! | `{"delta":[d, …]}` | whole numbers, each as what it is more than the one before |
//! | `{"fields":{name: column, …}}` | objects with all of these fields |
//! | `{"fields":…, "some":{name: {"rows":column,"values":column}}}` | … and fields that only the objects at `rows` have |
//! | `{"tuple":[column, …]}` | lists of one length: their first elements, their second … |
//! | `{"lengths":column,"items":column}` | lists of any lengths, behind each other |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The `type` of a line of columns.
pub(super) const TYPE: &str = "columns";

/// Lists up to this long are taken apart by place, if all are of one length.
const LONGEST_TUPLE: usize = 4;

/// A line that stands for the records of one kind.
#[derive(Serialize, Deserialize)]
struct Line {
    r#type: String,
    of: String,
    count: usize,
    columns: Column,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Column {
    Values(Vec<Value>),
    Delta {
        delta: Vec<i64>,
    },
    Tuple {
        tuple: Vec<Column>,
    },
    Lists {
        lengths: Box<Column>,
        items: Box<Column>,
    },
    Fields {
        fields: BTreeMap<String, Column>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        some: BTreeMap<String, Sparse>,
    },
}

/// A field that not all objects have.
#[derive(Serialize, Deserialize)]
struct Sparse {
    rows: Column,
    values: Column,
}

/// The line that stands for records of the kind `of`, given without their `type`.
pub(super) fn line(of: &str, records: Vec<Value>) -> Value {
    let line = Line {
        r#type: TYPE.to_owned(),
        of: of.to_owned(),
        count: records.len(),
        columns: Column::of(records),
    };
    serde_json::to_value(line).expect("columns have texts as names")
}

/// The records that a line of columns stands for. `values_left` is how many
/// values they may have, and falls by those that they have.
///
/// # Errors
///
/// What is wrong with the line, for a person.
pub(super) fn records(line: Value, values_left: &mut u64) -> Result<Vec<Value>, String> {
    let line: Line =
        serde_json::from_value(line).map_err(|error| format!("a line of columns: {error}"))?;
    let mut records = line.columns.values(line.count, values_left)?;
    for record in &mut records {
        let Value::Object(fields) = record else {
            return Err("a line of columns holds what is no record".to_owned());
        };
        fields.insert("type".to_owned(), Value::from(line.of.as_str()));
    }
    Ok(records)
}

impl Column {
    fn of(values: Vec<Value>) -> Self {
        if values.is_empty() {
            return Self::Values(values);
        }
        if values.iter().all(Value::is_object) {
            return Self::of_objects(values);
        }
        if values.iter().all(Value::is_array) {
            return Self::of_lists(values);
        }
        let numbers: Option<Vec<i64>> = values.iter().map(Value::as_i64).collect();
        let delta = numbers.and_then(|numbers| differences(&numbers));
        match delta {
            Some(delta) if is_shorter(&delta, &values) => Self::Delta { delta },
            _ => Self::Values(values),
        }
    }

    fn of_objects(values: Vec<Value>) -> Self {
        let count = values.len();
        let mut by_name: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
        for (row, value) in values.into_iter().enumerate() {
            let Value::Object(fields) = value else {
                continue;
            };
            for (name, value) in fields {
                let (rows, values) = by_name.entry(name).or_default();
                rows.push(Value::from(row));
                values.push(value);
            }
        }
        let (mut fields, mut some) = (BTreeMap::new(), BTreeMap::new());
        for (name, (rows, values)) in by_name {
            let values = Self::of(values);
            if rows.len() == count {
                fields.insert(name, values);
            } else {
                let rows = Self::of(rows);
                some.insert(name, Sparse { rows, values });
            }
        }
        Self::Fields { fields, some }
    }

    fn of_lists(values: Vec<Value>) -> Self {
        let lists = values.into_iter().filter_map(|value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        });
        let lists: Vec<Vec<Value>> = lists.collect();
        let length = lists[0].len();
        let is_tuple = (1..=LONGEST_TUPLE).contains(&length);
        if is_tuple && lists.iter().all(|list| list.len() == length) {
            let mut places = vec![Vec::with_capacity(lists.len()); length];
            for list in lists {
                for (place, value) in places.iter_mut().zip(list) {
                    place.push(value);
                }
            }
            let tuple = places.into_iter().map(Self::of).collect();
            return Self::Tuple { tuple };
        }
        let lengths = lists.iter().map(|list| Value::from(list.len())).collect();
        Self::Lists {
            lengths: Box::new(Self::of(lengths)),
            items: Box::new(Self::of(lists.into_iter().flatten().collect())),
        }
    }

    /// Its values, which must be `count`.
    fn values(self, count: usize, left: &mut u64) -> Result<Vec<Value>, String> {
        // Each form is asked for as many as there are to be: a short line may
        // claim to stand for a lot.
        *left = left.checked_sub(count as u64).ok_or_else(|| {
            "a line of columns stands for more values than any run has: refused".to_owned()
        })?;
        let is_count = |found: usize| match found == count {
            true => Ok(()),
            false => Err(format!("a column has {found} values where {count} belong")),
        };
        match self {
            Self::Values(values) => {
                is_count(values.len())?;
                Ok(values)
            }
            Self::Delta { delta } => {
                is_count(delta.len())?;
                let numbers = delta.into_iter().scan(Some(0_i64), |last, step| {
                    *last = last.and_then(|last| last.checked_add(step));
                    Some(last.map(Value::from))
                });
                let numbers: Option<Vec<Value>> = numbers.collect();
                numbers.ok_or_else(|| "a column of differences leaves the range".to_owned())
            }
            Self::Tuple { tuple } => {
                let mut lists = vec![Vec::with_capacity(tuple.len()); count];
                for place in tuple {
                    for (list, value) in lists.iter_mut().zip(place.values(count, left)?) {
                        list.push(value);
                    }
                }
                Ok(lists.into_iter().map(Value::Array).collect())
            }
            Self::Lists { lengths, items } => {
                let lengths = lengths.sizes(count, left)?;
                let sum = lengths
                    .iter()
                    .try_fold(0, |sum: usize, &length| sum.checked_add(length));
                let sum = sum.ok_or_else(|| "a column has too many items".to_owned())?;
                let mut items = items.values(sum, left)?.into_iter();
                let list = |length| Value::Array(items.by_ref().take(length).collect());
                Ok(lengths.into_iter().map(list).collect())
            }
            Self::Fields { fields, some } => {
                let mut objects = vec![Map::new(); count];
                for (name, column) in fields {
                    for (object, value) in objects.iter_mut().zip(column.values(count, left)?) {
                        object.insert(name.clone(), value);
                    }
                }
                for (name, Sparse { rows, values }) in some {
                    let count_of_rows = rows.len();
                    let rows = rows.sizes(count_of_rows, left)?;
                    let values = values.values(rows.len(), left)?;
                    for (row, value) in rows.into_iter().zip(values) {
                        let object = objects.get_mut(row);
                        let object = object.ok_or_else(|| {
                            format!("a column has a value for row {row} of {count}")
                        })?;
                        object.insert(name.clone(), value);
                    }
                }
                Ok(objects.into_iter().map(Value::Object).collect())
            }
        }
    }

    /// How many numbers a column of them has.
    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Delta { delta } => delta.len(),
            _ => 0,
        }
    }

    fn sizes(self, count: usize, left: &mut u64) -> Result<Vec<usize>, String> {
        let size = |value: Value| usize::try_from(value.as_u64()?).ok();
        let sizes: Option<Vec<usize>> = self.values(count, left)?.into_iter().map(size).collect();
        sizes.ok_or_else(|| "a column of lengths or rows holds what is none".to_owned())
    }
}

/// Each number less the one before; `None` where one leaves the range.
fn differences(numbers: &[i64]) -> Option<Vec<i64>> {
    let before = std::iter::once(&0).chain(numbers);
    let pairs = numbers.iter().zip(before);
    pairs
        .map(|(number, before)| number.checked_sub(*before))
        .collect()
}

fn is_shorter(delta: &[i64], values: &[Value]) -> bool {
    let length = |number: i64| number.to_string().len();
    let plain = values.iter().filter_map(Value::as_i64).map(length);
    delta.iter().copied().map(length).sum::<usize>() < plain.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn there_and_back(records: Vec<Value>) -> Vec<Value> {
        let line = line("group", records);
        // As text: that is what a file holds.
        let line = serde_json::from_str(&line.to_string()).unwrap();
        super::records(line, &mut 1_000_000).unwrap()
    }

    fn with_type(mut record: Value) -> Value {
        record["type"] = json!("group");
        record
    }

    #[test]
    fn numbers_that_rise_are_kept_as_their_differences() {
        let line = line(
            "block",
            vec![json!({"at": 1_000_000}), json!({"at": 1_000_007})],
        );
        assert_eq!(
            line,
            json!({"type": "columns", "of": "block", "count": 2,
                "columns": {"fields": {"at": {"delta": [1_000_000, 7]}}}})
        );
    }

    #[test]
    fn fields_that_some_lack_are_kept_with_their_rows() {
        let records = vec![
            json!({"a": 1, "b": null}),
            json!({"a": 2, "samples": [{"x": [[5, 1], [9, 2]]}, {"x": []}]}),
            json!({"a": 3, "samples": []}),
        ];
        let expected: Vec<Value> = records.iter().cloned().map(with_type).collect();
        assert_eq!(there_and_back(records), expected);
    }

    #[test]
    fn lines_that_do_not_fit_are_refused_and_not_believed() {
        let read = |columns: Value, count: u64| {
            let line = json!({"type": "columns", "of": "x", "count": count, "columns": columns});
            records(line, &mut 1_000).unwrap_err()
        };
        let few = read(json!({"fields": {"a": [1, 2]}}), 3);
        assert!(few.contains("2 values where 3 belong"), "{few}");
        let bomb = read(json!({"fields": {}}), 1 << 40);
        assert!(bomb.contains("more values than any run"), "{bomb}");
        let lists = json!({"fields": {"a": {"lengths": [u64::MAX, 1], "items": []}}});
        assert!(read(lists, 2).contains("too many items"));
        let deep = json!({"fields": {"a": {"lengths": [1_u64 << 40], "items": {"fields": {}}}}});
        assert!(read(deep, 1).contains("more values than any run"));
        let row = json!({"fields": {}, "some": {"a": {"rows": [7], "values": [1]}}});
        assert!(read(row, 1).contains("row 7 of 1"));
        assert!(read(json!({"fields": {"a": {"delta": [i64::MAX, 1]}}}), 2).contains("range"));
        assert!(read(json!([1]), 1).contains("no record"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1000_i64..1000).prop_map(|tenths| Value::from(tenths as f64 / 10.0)),
            "[a-z]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_records_come_back_as_they_were(
            records in prop::collection::vec(prop::collection::btree_map("[a-e]", any_json(), 0..5), 0..8)
        ) {
            let object = |fields: BTreeMap<String, Value>| Value::Object(fields.into_iter().collect());
            let records: Vec<Value> = records.into_iter().map(object).collect();
            let expected: Vec<Value> = records.iter().cloned().map(with_type).collect();
            prop_assert_eq!(there_and_back(records), expected);
        }
    }
}
