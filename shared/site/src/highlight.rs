//! Syntax highlighting of code blocks: comments, strings, keywords and numbers of a few languages. This is no parser: all other
//! text stays plain.

use perennial::escape;

struct Language {
    comment: &'static str,
    quotes: &'static str,
    keywords: &'static [&'static str],
}

const RUST: Language = Language {
    comment: "//",
    // No apostrophe: lifetimes are more frequent than char literals.
    quotes: "\"",
    keywords: &[
        "as", "async", "await", "const", "else", "enum", "fn", "for", "if", "impl", "in", "let", "match",
        "mod", "move", "mut", "pub", "return", "self", "Self", "static", "struct", "trait", "type", "use",
        "where", "while",
    ],
};
const SHELL: Language = Language { comment: "#", quotes: "\"'", keywords: &["cargo", "curl", "export"] };
const TOML: Language = Language { comment: "#", quotes: "\"", keywords: &["true", "false"] };
const JSON: Language = Language { comment: "\0", quotes: "\"", keywords: &["true", "false", "null"] };

/// The code as HTML, with `<span class>` around tokens: `c` comment, `s` string, `k` keyword, `n` number.
pub(crate) fn html(code: &str, language: &str) -> String {
    let language = match language {
        "rust" => &RUST,
        "sh" => &SHELL,
        "toml" => &TOML,
        "json" => &JSON,
        _ => return escape(code),
    };
    let mut out = String::with_capacity(code.len() * 2);
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (class, len) = if starts_comment(code, rest, language.comment) {
            ("c", rest.find('\n').unwrap_or(rest.len()))
        } else if language.quotes.contains(first) {
            ("s", string_len(rest, first))
        } else if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            match &rest[..len] {
                token if language.keywords.contains(&token) => ("k", len),
                _ if first.is_ascii_digit() => ("n", len),
                _ => ("", len),
            }
        } else {
            ("", first.len_utf8())
        };
        let (token, after) = rest.split_at(len);
        if class.is_empty() {
            out.push_str(&escape(token));
        } else {
            out.push_str(&format!("<span class=\"{class}\">{}</span>", escape(token)));
        }
        rest = after;
    }
    out
}

/// A `#` inside a word or an address (`a#b`) begins no comment.
fn starts_comment(code: &str, rest: &str, comment: &str) -> bool {
    let before = code[..code.len() - rest.len()].chars().next_back();
    rest.starts_with(comment) && before.is_none_or(char::is_whitespace)
}

/// The length of a string literal with its quotes. An unclosed literal ends at the end of its line.
fn string_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn tokens_are_marked_and_everything_is_escaped() {
        assert_eq!(
            html("let a = \"<\\\"\"; // é", "rust"),
            "<span class=\"k\">let</span> a = <span class=\"s\">&quot;&lt;\\&quot;&quot;</span>; <span class=\"c\">// é</span>"
        );
        assert_eq!(html("see https://x/a#b", "sh"), "see https://x/a#b");
        assert_eq!(html("<b>", "text"), "&lt;b&gt;");
    }

    #[test]
    fn no_text_is_lost_and_nothing_panics() {
        for code in ["\"never closed\nnext", "'", "\\", "é\"é", "a1 1a _", "#", "//", "\"\\"] {
            for language in ["rust", "sh", "toml", "json", "?"] {
                let plain: String = html(code, language)
                    .split('<')
                    .map(|p| p.split_once('>').map_or(p, |(_, t)| t))
                    .collect();
                assert_eq!(
                    plain,
                    perennial::escape(code).split('<').collect::<String>(),
                    "{code:?} as {language}"
                );
            }
        }
    }
}
