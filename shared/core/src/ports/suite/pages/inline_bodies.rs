//! Bodies that a store keeps inline, with their records.

use crate::ports::pages::Pages;
use crate::ports::pages::grant::Committed;
use crate::ports::pages::slot::LeaseRequest;
use crate::ports::pages::snapshot::{Inline, Wanted};
use crate::ports::suite::pages::kit::{granted, lease_request_and_record, page, read_all};
use crate::record::content::Content;
use crate::record::page_record::{Form, Record, Stored};

/// A store may keep small bodies inline. They must be the bodies of the record that a read returns.
pub(super) async fn are_of_their_record<P: Pages>(pages: &P) {
    let (page, (request, record)) = (page("inline"), lease_request_and_record());
    let content = |text: &str| Content::render(text.into());
    let (one, two, data) = (content("one"), content("two"), content("{}"));
    let stored = |html: &Content| Stored::Page { html: html.body().clone(), data: data.body().clone() };
    let read_inline = async |form| {
        let wanted = Wanted { body: Some(form), ..Wanted::default() };
        pages.read(&page, wanted).await.expect("read").body
    };
    let first = granted(pages, &page, request).await;
    let old = Record { generation: first.ticket, stored: stored(&one), ..record.clone() };
    let inline = Inline { html: Some(one.stored().clone()), data: Some(data.stored().clone()) };
    pages.commit(&page, &old, &inline).await.expect("commit");
    let first_html = read_inline(Form::Html).await;
    assert!(first_html.is_none() || first_html == inline.html);
    assert_eq!(read_inline(Form::Data).await, first_html.as_ref().and(inline.data), "both or none");
    assert!(read_all(pages, &page).await.body.is_none(), "a read returns no body unless asked");

    let second = granted(pages, &page, LeaseRequest { seen: Some(first.ticket), ..request }).await;
    let same = Record { generation: second.ticket, ..old };
    pages.commit(&page, &same, &Inline::default()).await.expect("commit");
    assert_eq!(read_inline(Form::Html).await, first_html, "the commit changed only the freshness");

    let third = granted(pages, &page, LeaseRequest { seen: Some(second.ticket), ..request }).await;
    let new = Record { generation: third.ticket, stored: stored(&two), ..record };
    pages.commit(&page, &new, &Inline::default()).await.expect("commit");
    assert_eq!(read_inline(Form::Html).await, None, "the new content was not committed inline");
    let late = Record { generation: second.ticket, ..same };
    let inline = Inline { html: Some(one.stored().clone()), data: None };
    assert_eq!(pages.commit(&page, &late, &inline).await.expect("commit"), Committed::Superseded);
    assert_eq!(read_inline(Form::Html).await, None, "a superseded commit stores no body");
}
