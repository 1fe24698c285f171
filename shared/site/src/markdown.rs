//! Markdown to HTML: headings with anchors, scrollable tables and code, links under the base path.

use perennial::escape;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::highlight;
use crate::links::href;

/// A heading of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) level: u8,
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The HTML of a text, and its headings for the table of contents.
pub(crate) struct Document {
    pub(crate) html: String,
    pub(crate) headings: Vec<Heading>,
}

/// Renders a guide's text. HTML in the text is escaped.
pub(crate) fn render(markdown: &str, base: &str) -> Document {
    let mut headings = Vec::new();
    let mut out: Vec<Event<'_>> = Vec::new();
    let mut events = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_SMART_PUNCTUATION);
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => heading(level, &mut events, &mut headings, &mut out),
            Event::Start(Tag::CodeBlock(kind)) => out.push(code(&kind, &mut events)),
            Event::Start(Tag::Table(columns)) => {
                out.push(html(
                    "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\">".to_owned(),
                ));
                out.push(Event::Start(Tag::Table(columns)));
            }
            Event::End(TagEnd::Table) => out.extend([Event::End(TagEnd::Table), html("</div>".to_owned())]),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = CowStr::from(href(base, &dest_url));
                out.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            Event::Html(text) | Event::InlineHtml(text) => out.push(Event::Text(text)),
            other => out.push(other),
        }
    }
    let mut html = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut html, out.into_iter());
    Document { html, headings }
}

fn html(text: String) -> Event<'static> {
    Event::Html(text.into())
}

/// Writes a heading that links to itself. Its id is made from its text, so that authors can write links by hand.
fn heading<'a>(
    level: HeadingLevel,
    events: &mut Parser<'a>,
    headings: &mut Vec<Heading>,
    out: &mut Vec<Event<'a>>,
) {
    let inner: Vec<_> = events.take_while(|e| !matches!(e, Event::End(TagEnd::Heading(_)))).collect();
    let text: String = inner
        .iter()
        .filter_map(|e| match e {
            Event::Text(t) | Event::Code(t) => Some(t.as_ref()),
            _ => None,
        })
        .collect();
    let wanted = slug(&text);
    let is_taken = |id: &str| headings.iter().any(|h: &Heading| h.id == id);
    let id = if is_taken(&wanted) {
        (2..).map(|n| format!("{wanted}-{n}")).find(|id| !is_taken(id)).unwrap_or_default()
    } else {
        wanted
    };
    out.push(html(format!("<{level} id=\"{id}\"><a href=\"#{id}\">")));
    out.extend(inner);
    out.push(html(format!("</a></{level}>\n")));
    headings.push(Heading { level: level as u8, id, text });
}

/// The id of a heading: `What happens on a miss?` becomes `what-happens-on-a-miss`.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn code<'a>(kind: &CodeBlockKind<'_>, events: &mut Parser<'a>) -> Event<'a> {
    let code: String = events
        .take_while(|e| !matches!(e, Event::End(TagEnd::CodeBlock)))
        .filter_map(|e| match e {
            Event::Text(text) => Some(text.into_string()),
            _ => None,
        })
        .collect();
    let language = match kind {
        CodeBlockKind::Fenced(info) => info.split([' ', ',']).next().unwrap_or_default(),
        CodeBlockKind::Indented => "",
    };
    let code = if language == "rust" { shown(&code) } else { code };
    // Focusable, so that keyboard users can scroll long lines.
    html(format!(
        "<pre tabindex=\"0\"><code class=\"language-{}\">{}</code></pre>\n",
        escape(language),
        highlight::html(&code, language)
    ))
}

/// An example without the lines that only its test needs: `rustdoc` hides lines that begin with `# `.
fn shown(code: &str) -> String {
    let is_shown = |line: &&str| !(line.trim() == "#" || line.starts_with("# "));
    code.split_inclusive('\n').filter(is_shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_get_unique_ids_from_their_text() {
        let document = render("## What *is* `it`?\n\n## What is it\n\n### Café – 2", "");
        let ids: Vec<_> = document.headings.iter().map(|h| (h.level, h.id.as_str())).collect();
        assert_eq!(ids, [(2, "what-is-it"), (2, "what-is-it-2"), (3, "café-2")]);
        assert!(document.html.contains(
            "<h2 id=\"what-is-it\"><a href=\"#what-is-it\">What <em>is</em> <code>it</code>?</a></h2>"
        ));
    }

    #[test]
    fn links_get_the_base_path_and_html_is_shown_as_text() {
        let html =
            render("[a](/guides/a#b) [out](https://example.com/) [here](#x) <script>1</script>", "/docs")
                .html;
        for part in ["\"/docs/guides/a#b\"", "\"https://example.com/\"", "\"#x\"", "&lt;script&gt;"] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn every_guide_renders_and_its_links_lead_somewhere() {
        let guides = crate::content::Content::new(None).guides().unwrap();
        let rendered: Vec<_> =
            guides.iter().map(|guide| (&guide.slug, render(&guide.markdown, "/base"))).collect();
        for (slug, document) in &rendered {
            assert!(document.headings.iter().all(|h| h.level > 1), "{slug}: the title is the only h1");
            for link in document.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                if link.starts_with("https://") || link == "/base/posts" {
                    continue;
                }
                let (path, anchor) =
                    link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
                let target = match path {
                    "" => document,
                    _ => match rendered.iter().find(|(other, _)| path == format!("/base/guides/{other}")) {
                        Some((_, target)) => target,
                        None => panic!("{slug} links to {link}"),
                    },
                };
                if let Some(anchor) = anchor {
                    assert!(target.headings.iter().any(|h| h.id == anchor), "{slug} links to {link}");
                }
            }
        }
    }

    #[test]
    fn lines_of_an_example_that_only_its_test_needs_are_not_shown() {
        let shown = render("```rust\n#[derive(Debug)]\n# use hidden::Hidden;\n#\nlet x = 1;\n```\n", "").html;
        assert!(shown.contains("derive") && !shown.contains("idden") && !shown.contains("\n#\n"), "{shown}");
        assert!(render("```sh\n# A comment\n```\n", "").html.contains("# A comment"));
    }

    #[test]
    fn code_and_tables_can_scroll() {
        let html = render("```sh\necho 1\n```\n\n| a |\n|---|\n| b |", "").html;
        assert!(html.contains("<pre tabindex=\"0\"><code class=\"language-sh\">"), "{html}");
        assert!(html.contains("class=\"scroll\"") && html.contains("</table>\n</div>"), "{html}");
    }
}
