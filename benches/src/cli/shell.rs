//! Quotes words for a command line that a user may paste into a shell.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `path` as one word of a shell. A name that begins with a dash gets `./`, because it would be an
/// option.
pub(super) fn word(path: &Path) -> String {
    let path = match path.as_os_str().as_bytes() {
        [b'-', ..] => &Path::new(".").join(path),
        _ => path,
    };
    let bytes = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return path.display().to_string();
    }
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let escaped = |&byte: &u8| match byte {
                b' '..=b'~' if !b"'\\".contains(&byte) => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_quoted() {
        assert_eq!(
            word(Path::new("results/2026-11-29_a1")),
            "results/2026-11-29_a1"
        );
        assert_eq!(word(Path::new("my results")), "'my results'");
        assert_eq!(word(Path::new("it's")), r"'it'\''s'");
        assert_eq!(word(Path::new("-x")), "./-x");
        assert_eq!(word(Path::new("")), "''");
    }

    #[test]
    fn a_shell_reads_each_word_back_as_the_path() {
        let names: [&[u8]; 7] = [
            b"a; touch pwned; #",
            b"$HOME `id` \"q\" 'p' \\ *",
            b"two\nlines\ttab",
            b"caf\xe9 7",
            b"\x1b]0;title\x07",
            b"~root",
            "größe".as_bytes(),
        ];
        for name in names {
            let word = word(Path::new(OsStr::from_bytes(name)));
            let output = Command::new("bash")
                .arg("-c")
                .arg(format!("printf %s {word}"))
                .output()
                .unwrap();
            assert_eq!(output.stdout, name, "{word}");
        }
    }
}
