//! For tests only: a clock that is turned by hand, renders without threads of their own, and the least page there is.

use crate::site::page::{Context, Failure, Outcome, Page};

/// A page that says `text`, for sites whose routes matter and not what they show.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Page for Text {
    type Props = ();
    async fn props(&self, _: &Context) -> Result<Outcome<()>, Failure> {
        Ok(Outcome::page(()))
    }
    fn render(&self, (): &(), _: &Context) -> Result<String, Failure> {
        Ok("text".into())
    }
}
