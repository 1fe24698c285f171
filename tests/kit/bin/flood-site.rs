//! A site that is flooded: its pages ask nobody, so that a flood meets Perennial alone. A path's last segment says what
//! becomes of it: `gone-…` does not exist, `bad-…` fails, all others are pages.

use std::process::ExitCode;

use perennial::{Context, Failure, Fallback, Outcome, Page, Route, Site, escape};

/// Pages that visitors may fill the store with on `/few/{slug}`.
const FEW: usize = 500;

struct Made;

impl Page for Made {
    type Props = String;

    async fn props(&self, cx: &Context) -> Result<Outcome<String>, Failure> {
        match cx.param("slug") {
            slug if slug.starts_with("gone-") => Ok(Outcome::not_found()),
            slug if slug.starts_with("bad-") => Err(Failure::new("this page always fails")),
            slug => Ok(Outcome::page(slug.to_owned())),
        }
    }

    fn render(&self, slug: &String, cx: &Context) -> Result<String, Failure> {
        let text = "Some text that makes the page as long as pages are. ".repeat(100);
        let (slug, generation) = (escape(slug), cx.generation());
        Ok(format!("<!doctype html><title>{slug}</title><main data-id=\"{slug}-{generation}\">{text}</main>"))
    }
}

fn main() -> ExitCode {
    let site = Site::new()
        .route(Route::new("/blog/{slug}", Made))
        .route(Route::new("/few/{slug}", Made).max_stored(FEW))
        .route(Route::new("/fb/{slug}", Made).fallback(Fallback::Shell))
        .route(Route::new("/nofb/{slug}", Made).fallback(Fallback::NotFound));
    perennial::run_with(site, &[("PERENNIAL_REVALIDATE_SECRETS", "test-secret")])
}
