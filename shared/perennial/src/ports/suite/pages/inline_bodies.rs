//! Bodies beside their records.

use crate::ports::pages::Pages;
use crate::ports::pages::grant::Committed;
use crate::ports::pages::slot::Ask;
use crate::ports::pages::snapshot::{Inline, Wanted};
use crate::ports::suite::pages::{ask_and_record, granted, look, page};
use crate::record::content::Content;
use crate::record::page_record::{Form, Record, Stored};

/// A store may keep small bodies beside its records; if it does, they are those of the record that it shows.
pub(super) async fn bodies_beside<P: Pages>(pages: &P) {
    let (page, (ask, record)) = (page("beside"), ask_and_record());
    let content = |text: &str| Content::render(text.into());
    let (one, two, data) = (content("one"), content("two"), content("{}"));
    let stored = |html: &Content| Stored::Page { html: html.body().clone(), data: data.body().clone() };
    let beside = async |form| {
        let wanted = Wanted { body: Some(form), ..Wanted::default() };
        pages.read(&page, wanted).await.expect("read").body
    };
    let first = granted(pages, &page, ask).await;
    let old = Record { generation: first.ticket, stored: stored(&one), ..record.clone() };
    let inline = Inline { html: Some(one.stored().clone()), data: Some(data.stored().clone()) };
    pages.commit(&page, &old, &inline).await.expect("commit");
    let kept = beside(Form::Html).await;
    assert!(kept.is_none() || kept == inline.html);
    assert_eq!(beside(Form::Data).await, kept.as_ref().and(inline.data), "both or none");
    assert!(look(pages, &page).await.body.is_none(), "only what is wanted is read");

    let second = granted(pages, &page, Ask { judged: Some(first.ticket), ..ask }).await;
    let same = Record { generation: second.ticket, ..old };
    pages.commit(&page, &same, &Inline::default()).await.expect("commit");
    assert_eq!(beside(Form::Html).await, kept, "its freshness alone was written");

    let third = granted(pages, &page, Ask { judged: Some(second.ticket), ..ask }).await;
    let new = Record { generation: third.ticket, stored: stored(&two), ..record };
    pages.commit(&page, &new, &Inline::default()).await.expect("commit");
    assert_eq!(beside(Form::Html).await, None, "another content, which is not kept beside");
    let late = Record { generation: second.ticket, ..same };
    let inline = Inline { html: Some(one.stored().clone()), data: None };
    assert_eq!(pages.commit(&page, &late, &inline).await.expect("commit"), Committed::Superseded);
    assert_eq!(beside(Form::Html).await, None, "never a body of another generation");
}
