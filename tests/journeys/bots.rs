//! Tests which user agents count as bots, with user agents that real bots, browsers and apps send.

use perennial::Site;
use perennial::parts::site::bots::DEFAULT_BOTS;

const BOTS: &str = include_str!("../agents/bots.txt");
const OTHERS: &str = include_str!("../agents/others.txt");

fn agents(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn search_and_preview_crawlers_get_the_page_and_everybody_else_the_shell() {
    let site = Site::new().ready(None, None).unwrap();
    let bots = |text| agents(text).partition::<Vec<_>, _>(|agent| site.is_bot(agent.as_bytes()));
    let (found, missed) = bots(BOTS);
    assert!(missed.is_empty(), "bots that would get a shell:\n{}", missed.join("\n"));
    let (taken, people) = bots(OTHERS);
    assert!(taken.is_empty(), "user agents of people that would get no shell:\n{}", taken.join("\n"));
    assert!(found.len() > 100 && people.len() > 100, "{} bots, {} others", found.len(), people.len());
}

/// User agents are compared in lower case, so that a name with an upper-case letter would match none.
#[test]
fn the_list_is_sorted_lower_case_and_has_no_name_for_everybody() {
    assert!(DEFAULT_BOTS.is_sorted());
    for name in DEFAULT_BOTS {
        assert!(name.trim_start_matches('^').len() >= 3, "`{name}` is too short");
        assert_eq!(name.to_ascii_lowercase(), *name);
    }
}
