//! The project's files as the rules see them.

use std::path::{Path, PathBuf};

/// Every text file of the project that somebody wrote.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// One file.
pub(crate) struct File {
    /// Relative to the project's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Rust only: `text` with the insides of comments and literals blanked out, line for line and byte for byte.
    pub(crate) code: String,
}

impl Tree {
    /// Reads the project this test belongs to.
    pub(crate) fn read() -> Self {
        let root = root();
        let mut files = Vec::new();
        walk(&root, &root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.iter().any(|f| f.path == "Cargo.toml"), "not a project: {}", root.display());
        Self { files }
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.is_rust())
    }

    /// The file of that path.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }
}

impl File {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") { blank_out(&text) } else { String::new() };
        Self { path, text, code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code before the tests at its end.
    pub(crate) fn product_code(&self) -> &str {
        let end =
            self.code.find("#[cfg(test)]\nmod ").or_else(|| self.code.find("#[cfg(test)]\npub(crate) mod "));
        &self.code[..end.unwrap_or(self.code.len())]
    }

    /// A complaint about the line that holds this byte.
    pub(crate) fn complain(&self, byte: usize, what: &str) -> String {
        let line = self.text[..byte].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.path)
    }
}

/// Every place where `needle` stands in `code` as a whole word.
pub(crate) fn places<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(needle).map(|(at, _)| at).filter(move |&at| {
        let joined_before = is_word(needle.chars().next()) && is_word(code[..at].chars().next_back());
        let joined_after =
            is_word(needle.chars().next_back()) && is_word(code[at + needle.len()..].chars().next());
        !joined_before && !joined_after
    })
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate has a parent folder").to_owned()
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink()
            || ["target", ".git", ".tools", ".perennial", "Cargo.lock"].contains(&name.as_str())
        {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let relative =
                path.strip_prefix(root).expect("under the root").to_string_lossy().replace('\\', "/");
            files.push(File::new(relative, text));
        }
    }
}

/// Blanks out comments and the insides of string and character literals, keeping lines and bytes in place.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = literal(bytes, at) else {
            at += 1;
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("blanks replace whole characters")
}

/// The end of the comment or literal that begins at this byte, if one does.
fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    if rest[0] == b'"' {
        return Some(at + quoted(rest, b'"'));
    }
    if rest[0] == b'\'' {
        // A lifetime has no closing quote after one character.
        let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]);
        let mut chars = text.chars();
        let is_char = chars.next() == Some('\\') || chars.next() == Some('\'');
        return is_char.then(|| at + quoted(rest, b'\''));
    }
    let raw = rest.strip_prefix(b"b").unwrap_or(rest).strip_prefix(b"r")?;
    let hashes = raw.iter().take_while(|&&b| b == b'#').count();
    if in_word || raw.get(hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = at + (rest.len() - raw.len()) + hashes + 1;
    let length = bytes[body..].windows(close.len()).position(|w| w == close);
    Some(length.map_or(bytes.len(), |n| body + n + close.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        match &rest[at..rest.len().min(at + 2)] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

#[test]
fn literals_and_comments_are_blanked_out() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("x\"y", 'z', '\'', b)"#, "f(      ,    ,     , b)"),
        (r##"f(r#"a"b"#, x)"##, "f(        , x)"),
        ("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str"),
        ("let c = 'é';", "let c =     ;"),
        ("bar\"x\"", "bar   "),
    ] {
        assert_eq!(blank_out(text), code);
    }
}
