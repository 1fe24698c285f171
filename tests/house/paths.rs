//! What the code of a file names and defines: its paths, its imports, its items. Comments, literals and tests are
//! left out.

use std::ops::Range;

/// What one file says.
#[derive(Default)]
pub(crate) struct Said<'a> {
    /// Paths of more than one name outside imports: `b::C` of `b::C::new()`, with all their names.
    pub(crate) paths: Vec<Named<'a>>,
    pub(crate) imports: Vec<Import<'a>>,
    /// Items beside modules.
    pub(crate) items: Vec<Item<'a>>,
    /// `mod a { … }`.
    pub(crate) inline: Vec<Item<'a>>,
    /// `mod a;`.
    pub(crate) children: Vec<Item<'a>>,
    /// The same, for tests alone: their files are no product code.
    pub(crate) test_children: Vec<Item<'a>>,
    /// `impl X { … }`: a block of methods that is of no trait.
    pub(crate) methods: Vec<Named<'a>>,
}

/// A path, and where it stands.
#[derive(Clone)]
pub(crate) struct Named<'a> {
    pub(crate) at: usize,
    /// Modules of this file around it.
    pub(crate) inside: Vec<&'a str>,
    pub(crate) names: Vec<&'a str>,
}

/// One name that a `use` brings in.
pub(crate) struct Import<'a> {
    pub(crate) path: Named<'a>,
    /// None: all that is there, `*`.
    pub(crate) alias: Option<&'a str>,
}

#[derive(PartialEq)]
pub(crate) struct Item<'a> {
    pub(crate) inside: Vec<&'a str>,
    pub(crate) name: &'a str,
}

/// Reads code whose comments and literals are blank.
pub(crate) fn said(code: &str) -> Said<'_> {
    let tokens = tokens(code);
    let tests = tests(&tokens);
    let mut reader = Reader { tokens: &tokens, at: 0, blocks: vec![], said: Said::default() };
    while reader.at < tokens.len() {
        match tests.iter().find(|test| test.contains(&reader.at)) {
            Some(test) => reader.pass(test),
            None => reader.step(),
        }
    }
    reader.said
}

/// A word, `::`, or any other character; and where it begins.
#[derive(Clone, Copy)]
struct Token<'a> {
    at: usize,
    text: &'a str,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut at) = (vec![], 0);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let end = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
        let length = match first {
            // A lifetime is no word.
            '\'' => 1 + end(&rest[1..]),
            'r' if rest.starts_with("r#") => 2 + end(&rest[2..]),
            c if is_word(c) => end(rest),
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(Token { at, text: rest[..length].trim_start_matches("r#") });
        }
        at += length;
    }
    tokens
}

/// Items that only tests have: what follows `#[cfg(test)]`, or `#[cfg(all(test, …))]`.
fn tests(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let marks = [&["#", "[", "cfg", "(", "test", ")"][..], &["#", "[", "cfg", "(", "all", "(", "test", ","]];
    let marked = |at: &usize| {
        marks.iter().any(|mark| {
            tokens[*at..].iter().take(mark.len()).map(|token| token.text).eq(mark.iter().copied())
        })
    };
    let attribute_end =
        |at: usize| at + tokens[at..].iter().take_while(|token| token.text != "]").count() + 1;
    (0..tokens.len()).filter(marked).map(|at| at..item_end(tokens, attribute_end(at))).collect()
}

/// The end of the item that begins here: its `;`, or the brace that closes it.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0;
    let ends_in_semicolon = ["use", "let", "const", "static", "type"];
    let ends_in_brace = ["fn", "mod", "impl", "struct", "enum", "trait"];
    let keyword = tokens[start..]
        .iter()
        .find(|token| [&ends_in_semicolon[..], &ends_in_brace].concat().contains(&token.text));
    let ends_in_brace = keyword.is_none_or(|keyword| ends_in_brace.contains(&keyword.text));
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && token.text == "}" && ends_in_brace {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

struct Reader<'a, 'b> {
    tokens: &'b [Token<'a>],
    at: usize,
    /// The open braces; named if they are a module's.
    blocks: Vec<Option<&'a str>>,
    said: Said<'a>,
}

impl<'a> Reader<'a, '_> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn before(&self, by: usize) -> &'a str {
        self.at.checked_sub(by).map_or("", |at| self.text(at))
    }

    fn inside(&self) -> Vec<&'a str> {
        self.blocks.iter().copied().flatten().collect()
    }

    fn step(&mut self) {
        let (text, next) = (self.text(self.at), self.text(self.at + 1));
        // Items of a module, not those inside a function or an `impl`.
        let of_module = self.blocks.iter().all(Option::is_some);
        match text {
            "{" => self.blocks.push(None),
            "}" => drop(self.blocks.pop()),
            // `use<'a>` is a bound.
            "use" if next != "<" => return self.import(),
            // Elsewhere it begins a type: `-> impl Future`.
            "impl" if of_module && ["", "}", "{", ";", "]", "unsafe"].contains(&self.before(1)) => {
                return self.block_of_methods();
            }
            "mod" if of_module => return self.module(),
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" if of_module => {
                if self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
                    self.said.items.push(Item { inside: self.inside(), name: next });
                }
            }
            "macro_rules" if next == "!" => {
                self.said.items.push(Item { inside: vec![], name: self.text(self.at + 2) });
            }
            // `pub(in crate::a)` names who may see.
            "in" if self.before(1) == "(" && self.before(2) == "pub" => {
                while self.at < self.tokens.len() && self.text(self.at) != ")" {
                    self.at += 1;
                }
            }
            _ => return self.path(),
        }
        self.at += 1;
    }

    /// Leaves out what only tests have.
    fn pass(&mut self, test: &Range<usize>) {
        if let Some(at) =
            test.clone().find(|&at| self.text(at) == "mod").filter(|&at| self.text(at + 2) == ";")
        {
            let item = Item { inside: self.inside(), name: self.text(at + 1) };
            self.said.test_children.push(item);
        }
        self.at = test.end;
    }

    fn module(&mut self) {
        let item = Item { inside: self.inside(), name: self.text(self.at + 1) };
        if self.text(self.at + 2) == "{" {
            self.blocks.push(Some(item.name));
            self.said.inline.push(item);
        } else {
            self.said.children.push(item);
        }
        self.at += 3;
    }

    /// A path, if one begins here.
    fn path(&mut self) {
        let field = self.before(1) == "." && self.before(2) != ".";
        let start = self.at;
        let names = self.names();
        if names.is_empty() {
            self.at += 1;
        } else if names.len() > 1 && !field && !self.goes_on(start) {
            let named = Named { at: self.tokens[start].at, inside: self.inside(), names };
            self.said.paths.push(named);
        }
    }

    /// Whether what begins here is the end of a longer path: `new` of `Vec::<u8>::new`.
    fn goes_on(&self, at: usize) -> bool {
        at >= 2 && self.text(at - 1) == "::" && (self.text(at - 2) == ">" || self.tokens[at - 2].is_word())
    }

    /// Reads `a::b::c`, and leaves what follows.
    fn names(&mut self) -> Vec<&'a str> {
        let mut names = vec![];
        while self.tokens.get(self.at).is_some_and(Token::is_word) {
            names.push(self.text(self.at));
            self.at += 1;
            if self.text(self.at) != "::" || !self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
                break;
            }
            self.at += 1;
        }
        names
    }

    fn import(&mut self) {
        self.at += 1;
        self.tree(&[]);
    }

    /// One item of a `use`, or a group of them.
    fn tree(&mut self, before: &[&'a str]) {
        if self.text(self.at) == "::" {
            self.at += 1;
        }
        let at = self.tokens.get(self.at).map_or(0, |token| token.at);
        let names = [before, &self.names()].concat();
        if self.text(self.at) == "::" {
            self.at += 1;
        }
        match self.text(self.at) {
            "{" => {
                self.at += 1;
                while !["}", ""].contains(&self.text(self.at)) {
                    self.tree(&names);
                    if self.text(self.at) == "," {
                        self.at += 1;
                    }
                }
                self.at += 1;
            }
            "*" => {
                self.leaf(at, names, None);
                self.at += 1;
            }
            text => {
                let whole = if names.last() == Some(&"self") { names.len() - 1 } else { names.len() };
                let renamed = text == "as";
                let alias =
                    if renamed { self.text(self.at + 1) } else { names[..whole].last().unwrap_or(&"") };
                self.leaf(at, names[..whole].to_vec(), Some(alias));
                // What no program has is stepped over.
                let odd = ![",", "}", ";"].contains(&text);
                self.at += if renamed { 2 } else { usize::from(odd) };
            }
        }
    }

    fn leaf(&mut self, at: usize, names: Vec<&'a str>, alias: Option<&'a str>) {
        let path = Named { at, inside: self.inside(), names };
        self.said.imports.push(Import { path, alias });
    }

    /// `impl<T: A> b::C<T> where … {`, up to its brace; what its bounds name are paths, too.
    fn block_of_methods(&mut self) {
        self.at += 1;
        if self.text(self.at) == "<" {
            self.generics();
        }
        let start = self.at;
        let of = (start..self.tokens.len()).take_while(|&at| !["{", ";"].contains(&self.text(at)));
        let of_a_trait = of.clone().take_while(|&at| self.text(at) != "where").any(|at| self.is_for(at));
        if !of_a_trait && self.tokens.get(start).is_some_and(Token::is_word) {
            let at = self.tokens[start].at;
            let names = self.names();
            self.said.methods.push(Named { at, inside: self.inside(), names });
            self.at = start;
        }
    }

    /// The `for` of a trait's `impl`, and not that of `for<'a>`.
    fn is_for(&self, at: usize) -> bool {
        self.text(at) == "for" && self.text(at + 1) != "<"
    }

    fn generics(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.text(self.at) {
                "<" => depth += 1,
                // Not the arrow of `Fn() -> T`.
                ">" if self.before(1) != "-" => depth -= 1,
                _ => {
                    self.path();
                    continue;
                }
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

#[test]
fn paths_imports_and_items_are_read() {
    let code = "
        use crate::{a, b::{self, C as D, *}, e::f::G};
        pub(crate) mod h;
        mod i { use super::J; fn k() { l::m(); } }
        impl<T: n::O> P<T> where T: q::R { fn s(&self) -> t::U { self.v.w(x..y::Z) } }
        impl n::O for P<u8> {}
        pub(in crate::aa) struct Bb;
        fn cc() -> impl Kk { Vec::<dd::Ee>::ff(); 'gg: loop {} }
        #[cfg(test)]
        mod tests { use crate::not; }
        #[cfg(test)]
        use crate::{not, either};
        #[cfg(test)]
        pub(crate) mod ll;
        const HH: u8 = ii::JJ;
    ";
    let said = said(code);
    let path = |named: &Named<'_>| [named.inside.join("::"), named.names.join("::")].join(" ");
    let imports: Vec<_> =
        said.imports.iter().map(|i| format!("{} {}", path(&i.path), i.alias.unwrap_or("*"))).collect();
    let b = [" crate::b b", " crate::b::C D", " crate::b *"];
    assert_eq!(imports, [&[" crate::a a"][..], &b, &[" crate::e::f::G G", "i super::J J"]].concat());
    let paths: Vec<_> = said.paths.iter().map(path).collect();
    assert_eq!(paths, ["i l::m", " n::O", " q::R", " t::U", " y::Z", " n::O", " dd::Ee", " ii::JJ"]);
    let names = |items: &[Item<'_>]| items.iter().map(|i| i.name.to_owned()).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&said.items), "k Bb cc HH");
    assert_eq!(
        [&said.inline, &said.children, &said.test_children].map(|items| names(items)),
        ["i", "h", "ll"]
    );
    assert_eq!(said.methods.iter().map(path).collect::<Vec<_>>(), [" P"]);
}
