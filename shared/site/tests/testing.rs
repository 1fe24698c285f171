//! The tests of the guide Testing: a house rule compares them.

use std::time::Duration;

use perennial::testing::TestSite;

#[tokio::test]
async fn a_post_is_shown_and_renewed() {
    let site = TestSite::new(my_site::site());
    let post = site.get("/blog/hello").await;
    assert_eq!((post.status(), post.cache()), (200, "MISS"));
    assert!(post.text().contains("hello"));

    // A minute later the visitor gets the old page at once, and the queue renews it.
    site.advance(Duration::from_secs(61));
    assert_eq!(site.get("/blog/hello").await.cache(), "STALE");
    site.settle().await;
    assert_eq!(site.get("/blog/hello").await.cache(), "HIT");
}

#[tokio::test]
async fn every_listed_page_renders_and_depends_on_its_data_alone() {
    let site = TestSite::new(my_site::site());
    assert_eq!(site.check().await, Ok(vec![]));
}

mod my_site {
    use perennial::{Context, Failure, Outcome, Page, Params, Route, Site};

    struct Post;

    impl Page for Post {
        type Props = String;

        async fn paths(&self) -> Result<Vec<Params>, Failure> {
            Ok(vec![Params::new().with("slug", "hello")])
        }

        async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
            Ok(Outcome::page(cx.param("slug").to_owned()).revalidate(60).tag("posts"))
        }

        fn render(&self, slug: &String, _: &Context) -> Result<String, Failure> {
            Ok(format!("<!doctype html><title>{slug}</title><h1>{slug}</h1>"))
        }
    }

    pub(crate) fn site() -> Site {
        Site::new().route(Route::new("/blog/{slug}", Post))
    }
}
