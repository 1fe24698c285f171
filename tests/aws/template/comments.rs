//! Numbers in the template's comments and descriptions, beside the constants that they repeat.

use std::time::Duration;

use perennial::parts::ports::queue::{DELIVERIES_MAX, RETRY_FIRST, RETRY_MAX};
use perennial::parts::run::preview::DRAFT_MAX;
use perennial::parts::run::settings::Settings;

use crate::source::root;

/// What the template says, with the numbers of the code.
fn sayings() -> Vec<String> {
    let limits = Settings::default().limits;
    let (seconds, minutes) = (|time: Duration| time.as_secs(), |time: Duration| time.as_secs() / 60);
    vec![
        format!("(PERENNIAL_RENDER_TIMEOUT_MS, {} s)", seconds(limits.render_timeout)),
        format!(
            "{} pages are rendered at the same time (PERENNIAL_MAX_CONCURRENT_RENDERS)",
            limits.max_concurrent_renders
        ),
        format!("up to {} paths (PERENNIAL_MAX_REVALIDATIONS)", limits.max_revalidations),
        format!("again after {} s, doubling to {} minutes", seconds(RETRY_FIRST), minutes(RETRY_MAX)),
        format!("{DELIVERIES_MAX} deliveries take"),
        format!("A job failed {DELIVERIES_MAX} times"),
        format!("wait for more than {} minutes", minutes(RETRY_MAX)),
        format!("Threshold: {}", seconds(RETRY_MAX)),
        format!("within the next {} days", seconds(DRAFT_MAX) / 86_400),
    ]
}

/// Sayings that are not in the text. Where a line breaks does not matter.
fn unsaid(template: &str, sayings: &[String]) -> Vec<String> {
    let words = template.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    sayings.iter().filter(|saying| !words.contains(saying.as_str())).cloned().collect()
}

#[test]
fn comments_have_the_numbers_of_the_code() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).expect("the template");
    let unsaid = unsaid(&template, &sayings());
    assert!(unsaid.is_empty(), "infra/template.yaml does not say what the code does: {unsaid:#?}");
}

#[test]
fn another_number_is_seen() {
    let saying = ["up to 100 paths".to_owned()];
    assert_eq!(unsaid("  # A call has up to\n      # 100 paths.", &saying), [""; 0]);
    assert_eq!(unsaid("  # A call has up to\n      # 50 paths.", &saying), saying);
}
