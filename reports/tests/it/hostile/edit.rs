//! A result file with values that no run would write. The fuzz target `values` uses it too, and
//! chooses the values by coverage.

use serde_json::{Value, json};

pub(crate) const BYTES_OF_AN_EDIT: usize = 4;

/// A value with more than this many bytes of JSON is not made larger.
const LARGE: usize = 10_000;

/// `seed` has a JSON object on each line. Each four bytes of `choices` make one edit. The first
/// byte chooses a line. If the last byte is 250 or above, the line is copied to the end; from 240
/// to 249, it is removed, unless it is the only one. Otherwise the bytes choose a value in the
/// line, and its replacement.
#[must_use]
pub(crate) fn edited(seed: &str, choices: &[u8]) -> String {
    let mut lines: Vec<Value> = seed
        .lines()
        .map(|line| serde_json::from_str(line).expect("the seed is a good file"))
        .collect();
    for choice in choices.chunks_exact(BYTES_OF_AN_EDIT) {
        let line = usize::from(choice[0]) % lines.len();
        match choice[3] {
            250.. => lines.push(lines[line].clone()),
            240..250 if lines.len() > 1 => drop(lines.remove(line)),
            kind => {
                let place = u16::from_le_bytes([choice[1], choice[2]]);
                let mut left = usize::from(place) % values_count(&lines[line]);
                let value = nth_value(&mut lines[line], &mut left).expect("counted");
                *value = odd(kind, value.take());
            }
        }
    }
    let texts: Vec<String> = lines.iter().map(Value::to_string).collect();
    texts.join("\n") + "\n"
}

fn values_count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(values_count).sum(),
        Value::Object(fields) => fields.values().map(values_count).sum(),
        _ => 0,
    }
}

/// The value that is `left` places after `value`, in reading order.
fn nth_value<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    let inner: Box<dyn Iterator<Item = &'a mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(fields) => Box::new(fields.values_mut()),
        _ => return None,
    };
    inner
        .into_iter()
        .find_map(|item| nth_value(item, &mut *left))
}

fn odd(kind: u8, old: Value) -> Value {
    match kind % 24 {
        0 => Value::Null,
        1 => json!(0),
        2 => json!(1),
        3 => json!(-1),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(f64::MAX),
        7 => json!(-f64::MAX),
        8 => json!(f64::MIN_POSITIVE / 2.0),
        9 => json!(""),
        10 => json!("</script><script>alert(1)</script>"),
        11 => json!("\" onload=alert(1) x='\u{0}\u{202e}\u{feff}"),
        12 => json!("x".repeat(5_000)),
        13 => json!([]),
        14 => json!({}),
        15 => json!(true),
        16 => json!(u64::from(u32::MAX) + 1),
        17 => json!(1e-300),
        18 => json!(0.5),
        19 => json!({ "é": 1, "a b": -0.0 }),
        _ => more_of(old),
    }
}

/// A larger value of the same kind. Large values stay as they are, because a dozen edits of one
/// array could fill the memory.
fn more_of(old: Value) -> Value {
    match old {
        large if large.to_string().len() > LARGE => large,
        Value::Array(items) => Value::Array(vec![items; 9].concat()),
        Value::String(text) => Value::String(text.repeat(9)),
        Value::Number(number) => json!(number.as_f64().unwrap_or(1.0) * 1e9),
        Value::Object(fields) => {
            let copies = fields.clone().into_iter().map(|(k, v)| (k + "'", v));
            Value::Object(fields.into_iter().chain(copies).collect())
        }
        other => other,
    }
}
