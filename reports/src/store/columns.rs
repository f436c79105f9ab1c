//! Records of one kind as columns, because similar values compress well together: a compressed run
//! has half the size that it has as lines.
//!
//! A line of columns holds `count` records:
//!
//! `{"type":"columns","of":"group","count":2,"columns":{"fields":{"lane":["go","tokio"],…}}}`
//!
//! A column is a list of values in one of these forms. The writer chooses the form by the values,
//! and uses `delta` only if it is shorter.
//!
//! | form | holds |
//! |---|---|
//! | `[v, …]` | the values |
//! | `{"delta":[d, …]}` | whole numbers, each as its difference from the number before |
//! | `{"fields":{name: column, …}}` | objects with all of these fields |
//! | `{"fields":…, "some":{name: {"rows":column,"values":column}}}` | … and fields that only the objects at `rows` have |
//! | `{"tuple":[column, …]}` | lists of one length: their first elements, their second … |
//! | `{"lengths":column,"items":column}` | lists of any lengths: the length of each, and all items in one column |

use std::collections::BTreeMap;
use std::iter::Peekable;

use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::{Error, Map, Value};

use crate::schema::Record;

pub(super) const TYPE: &str = "columns";

/// Longer lists are not stored as tuples.
const LONGEST_TUPLE: usize = 4;

/// A line with the records of one kind, to be written; [`Rows`] reads it.
#[derive(Serialize)]
struct Line {
    r#type: String,
    of: String,
    count: usize,
    columns: Column,
}

#[derive(Serialize)]
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
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        some: BTreeMap<String, Sparse>,
    },
}

/// A field that some objects lack.
#[derive(Serialize)]
struct Sparse {
    rows: Column,
    values: Column,
}

/// The line of columns for `records`. Their type is `of`; they have no field `type`.
pub(super) fn line(of: &str, records: Vec<Value>) -> Value {
    let line = Line {
        r#type: TYPE.to_owned(),
        of: of.to_owned(),
        count: records.len(),
        columns: Column::of(records),
    };
    serde_json::to_value(line).expect("columns have texts as names")
}

/// The records in a line of columns. Its values are subtracted from `values_left`, the number that
/// may still be read.
///
/// # Errors
///
/// What is wrong with the line.
pub(super) fn records(line: Value, values_left: &mut u64) -> Result<Vec<Record>, String> {
    let mut line = JsonObject::of(line)?;
    let of = match line.take("of")? {
        Value::String(of) => of,
        _ => return Err(wrong("of")),
    };
    let count = as_usize(&line.take("count")?).ok_or_else(|| wrong("count"))?;
    let mut rows = Rows::of(line.take("columns")?, count, values_left)?;
    match &rows {
        Rows::Objects { fields, some, .. } => {
            let names = fields.iter().map(|(name, _)| name);
            let mut names = names.chain(some.iter().map(|field| &field.name));
            if names.any(|name| name == "type") {
                return Err("a line of columns has a column of types".to_owned());
            }
        }
        _ if count == 0 => {}
        _ => return Err("a line of columns has a row that is not a record".to_owned()),
    }
    (0..count)
        .map(|_| Record::of_kind(&of, &mut rows))
        .collect()
}

/// An object of the file, from which fields are removed as they are read.
struct JsonObject(Map<String, Value>);

impl JsonObject {
    fn of(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err("a line of columns: a column must be a list or an object".to_owned()),
        }
    }

    fn take(&mut self, name: &str) -> Result<Value, String> {
        self.0.remove(name).ok_or_else(|| wrong(name))
    }

    fn take_list(&mut self, name: &str) -> Result<Vec<Value>, String> {
        match self.take(name)? {
            Value::Array(list) => Ok(list),
            _ => Err(wrong(name)),
        }
    }

    fn take_fields(&mut self, name: &str) -> Result<Map<String, Value>, String> {
        match self.0.remove(name) {
            None => Ok(Map::new()),
            Some(Value::Object(fields)) => Ok(fields),
            Some(_) => Err(wrong(name)),
        }
    }
}

fn wrong(name: &str) -> String {
    format!("a line of columns: its `{name}` is missing or has the wrong type")
}

fn as_usize(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// A column; its values are taken in order.
enum Rows {
    Values(std::vec::IntoIter<Value>),
    Whole(std::vec::IntoIter<i64>),
    Tuples(Vec<Rows>),
    Lists {
        lengths: std::vec::IntoIter<usize>,
        items: Box<Rows>,
    },
    Objects {
        row: usize,
        fields: Vec<(String, Rows)>,
        some: Vec<Field>,
    },
}

/// A field that some objects lack.
struct Field {
    name: String,
    rows: Peekable<std::vec::IntoIter<usize>>,
    values: Rows,
}

impl Rows {
    fn of(column: Value, count: usize, left: &mut u64) -> Result<Rows, String> {
        // The values of every form are counted, because a short line may claim to hold many values.
        *left = left.checked_sub(count as u64).ok_or_else(|| {
            "a line of columns stands for more values than any run has: refused".to_owned()
        })?;
        let is_count = |found: usize| match found == count {
            true => Ok(()),
            false => Err(format!("a column has {found} values instead of {count}")),
        };
        let mut object = match column {
            Value::Array(values) => {
                is_count(values.len())?;
                return Ok(Rows::Values(values.into_iter()));
            }
            other => JsonObject::of(other)?,
        };
        let has = |object: &JsonObject, name: &str| object.0.contains_key(name);
        if has(&object, "delta") {
            let steps = object.take_list("delta")?;
            is_count(steps.len())?;
            let mut last = 0_i64;
            let sums = steps.iter().map(|step| {
                let by = step.as_i64().ok_or_else(|| wrong("delta"))?;
                let next = last.checked_add(by);
                last = next.ok_or_else(|| "a column of differences overflows".to_owned())?;
                Ok(last)
            });
            let sums: Result<Vec<i64>, String> = sums.collect();
            return Ok(Rows::Whole(sums?.into_iter()));
        }
        if has(&object, "tuple") {
            let places = object.take_list("tuple")?.into_iter();
            let places = places.map(|place| Rows::of(place, count, left));
            return Ok(Rows::Tuples(places.collect::<Result<_, _>>()?));
        }
        if has(&object, "lengths") {
            let lengths = sizes(object.take("lengths")?, count, left)?;
            let sum = lengths
                .iter()
                .try_fold(0, |sum: usize, &length| sum.checked_add(length));
            let sum = sum.ok_or_else(|| "a column has too many items".to_owned())?;
            let items = Rows::of(object.take("items")?, sum, left)?;
            return Ok(Rows::Lists {
                lengths: lengths.into_iter(),
                items: Box::new(items),
            });
        }
        if !has(&object, "fields") {
            return Err("a line of columns: a column has an unknown form".to_owned());
        }
        let mut fields = Vec::new();
        for (name, column) in object.take_fields("fields")? {
            fields.push((name, Rows::of(column, count, left)?));
        }
        let mut some = Vec::new();
        for (name, sparse) in object.take_fields("some")? {
            let mut sparse = JsonObject::of(sparse)?;
            let rows = sparse.take("rows")?;
            let rows_count = length(&rows);
            let rows = sizes(rows, rows_count, left)?;
            if !rows.is_sorted_by(|a, b| a < b) {
                return Err("the row numbers of a column are not ascending".to_owned());
            }
            if let Some(row) = rows.last().filter(|row| **row >= count) {
                return Err(format!("a column has a value for row {row} of {count}"));
            }
            let values = Rows::of(sparse.take("values")?, rows.len(), left)?;
            let rows = rows.into_iter().peekable();
            some.push(Field { name, rows, values });
        }
        Ok(Rows::Objects {
            row: 0,
            fields,
            some,
        })
    }
}

fn length(column: &Value) -> usize {
    let list = match column {
        Value::Object(object) => object.get("delta"),
        list => Some(list),
    };
    list.and_then(Value::as_array).map_or(0, Vec::len)
}

fn sizes(column: Value, count: usize, left: &mut u64) -> Result<Vec<usize>, String> {
    let none = || "a column of lengths or rows has other values".to_owned();
    let sizes: Option<Vec<usize>> = match Rows::of(column, count, left)? {
        Rows::Values(values) => values.map(|value| as_usize(&value)).collect(),
        Rows::Whole(values) => values.map(|value| usize::try_from(value).ok()).collect(),
        _ => None,
    };
    sizes.ok_or_else(none)
}

impl<'de> Deserializer<'de> for &mut Rows {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Rows::Values(values) => values
                .next()
                .ok_or_else(missing_value)?
                .deserialize_any(visitor),
            Rows::Whole(values) => {
                let value = values.next().ok_or_else(missing_value)?;
                match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_i64(value),
                }
            }
            Rows::Tuples(places) => {
                let mut places = Places(places.iter_mut());
                let value = visitor.visit_seq(&mut places)?;
                require_all_read(value, places.0.len())
            }
            Rows::Lists { lengths, items } => {
                let left = lengths.next().ok_or_else(missing_value)?;
                let mut items = Items { items, left };
                let value = visitor.visit_seq(&mut items)?;
                require_all_read(value, items.left)
            }
            Rows::Objects { row, fields, some } => {
                let entries = Entries {
                    row: *row,
                    fields: fields.iter_mut(),
                    some: some.iter_mut(),
                    value: None,
                };
                *row += 1;
                visitor.visit_map(entries)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Rows::Values(values) => {
                let value = values.next().ok_or_else(missing_value)?;
                value.deserialize_option(visitor)
            }
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Rows::Values(values) => {
                let value = values.next().ok_or_else(missing_value)?;
                value.deserialize_enum(name, variants, visitor)
            }
            _ => Err(Error::custom(format_args!("a word for {name} is missing"))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Does not occur, because the rows were counted before.
fn missing_value() -> Error {
    Error::custom("a column has ended")
}

/// `value`, or an error if `left` items of its list were not read.
fn require_all_read<T>(value: T, left: usize) -> Result<T, Error> {
    match left {
        0 => Ok(value),
        left => Err(Error::custom(format_args!("a list has {left} extra items"))),
    }
}

struct Places<'a>(std::slice::IterMut<'a, Rows>);

impl<'de> SeqAccess<'de> for Places<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|rows| seed.deserialize(rows)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Items<'a> {
    items: &'a mut Rows,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.items).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The fields of one object: first those that all objects have, then those that only some have.
struct Entries<'a> {
    row: usize,
    fields: std::slice::IterMut<'a, (String, Rows)>,
    some: std::slice::IterMut<'a, Field>,
    value: Option<&'a mut Rows>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let row = self.row;
        let has_row = |field: &'_ mut Field| field.rows.next_if_eq(&row).is_some();
        let next = match self.fields.next() {
            Some((name, values)) => Some((name.as_str(), values)),
            None => self.some.find_map(|field| {
                has_row(field).then_some((field.name.as_str(), &mut field.values))
            }),
        };
        let Some((name, values)) = next else {
            return Ok(None);
        };
        self.value = Some(values);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let values = self.value.take().ok_or_else(missing_value)?;
        seed.deserialize(values)
    }
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
}

/// `None` if a difference is out of range.
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
        let line = line("new", records);
        let line = serde_json::from_str(&line.to_string()).unwrap();
        let records = super::records(line, &mut 1_000_000).unwrap().into_iter();
        let values = records.map(|record| match record {
            Record::Unknown(fields) => Value::Object(fields),
            known => panic!("{known:?}"),
        });
        values.collect()
    }

    fn with_type(mut record: Value) -> Value {
        record["type"] = json!("new");
        record
    }

    #[test]
    fn rising_numbers_are_stored_as_differences() {
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
    fn fields_missing_in_some_records_are_stored_with_their_rows() {
        let records = vec![
            json!({"a": 1, "b": null}),
            json!({"a": 2, "samples": [{"x": [[5, 1], [9, 2]]}, {"x": []}]}),
            json!({"a": 3, "samples": []}),
        ];
        let expected: Vec<Value> = records.iter().cloned().map(with_type).collect();
        assert_eq!(there_and_back(records), expected);
    }

    #[test]
    fn lines_that_do_not_fit_are_refused() {
        let read = |columns: Value, count: u64| {
            let line = json!({"type": "columns", "of": "x", "count": count, "columns": columns});
            records(line, &mut 1_000).unwrap_err()
        };
        let few = read(json!({"fields": {"a": [1, 2]}}), 3);
        assert!(few.contains("2 values instead of 3"), "{few}");
        let bomb = read(json!({"fields": {}}), 1 << 40);
        assert!(bomb.contains("more values than any run"), "{bomb}");
        let lists = json!({"fields": {"a": {"lengths": [u64::MAX, 1], "items": []}}});
        assert!(read(lists, 2).contains("too many items"));
        let deep = json!({"fields": {"a": {"lengths": [1_u64 << 40], "items": {"fields": {}}}}});
        assert!(read(deep, 1).contains("more values than any run"));
        let some =
            |rows: Value| json!({"fields": {}, "some": {"a": {"rows": rows, "values": [1, 2]}}});
        assert!(read(some(json!([0, 7])), 1).contains("row 7 of 1"));
        assert!(read(some(json!([1, 0])), 2).contains("are not ascending"));
        assert!(read(json!({"fields": {"type": ["group"]}}), 1).contains("column of types"));
        assert!(read(json!({"fields": {"a": {"delta": [i64::MAX, 1]}}}), 2).contains("overflows"));
        assert!(read(json!([1]), 1).contains("not a record"));
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
        fn any_records_are_read_back_unchanged(
            records in prop::collection::vec(prop::collection::btree_map("[a-e]", any_json(), 0..5), 0..8)
        ) {
            let object = |fields: BTreeMap<String, Value>| Value::Object(fields.into_iter().collect());
            let records: Vec<Value> = records.into_iter().map(object).collect();
            let expected: Vec<Value> = records.iter().cloned().map(with_type).collect();
            prop_assert_eq!(there_and_back(records), expected);
        }
    }
}
