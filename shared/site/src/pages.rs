//! One module for each kind of page.

pub(crate) mod error;
pub(crate) mod guide;
pub(crate) mod index;
pub(crate) mod posts;
pub(crate) mod tag;

use std::sync::Arc;

use perennial::Failure;

use crate::content::Content;
use crate::content::guide::Guide;

/// Reads the guides on a thread for blocking work, so that a slow disk delays no other request.
async fn guides(content: &Arc<Content>) -> Result<Vec<Guide>, Failure> {
    let content = content.clone();
    Ok(tokio::task::spawn_blocking(move || content.guides()).await??)
}
