//! B13. Bots never get a shell.

use serde_json::json;
use tests::answer::{GOOGLEBOT, PERSON};
use tests::{Ask, Asks as _};

use crate::Fixture;

/// B13.166, B13.167: a bot waits for the page, and everyone after it has it.
#[tokio::test]
async fn a_bot_makes_the_page() {
    let f = Fixture::start().await;
    f.up.otherwise(|_| json!({ "revalidate": 60 }).into());
    let full = f.ask(Ask::get("/fb/b").agent(GOOGLEBOT)).await.expect(200, "MISS");
    assert!(full.is_page());
    assert_eq!(f.get("/fb/b").await.expect(200, "HIT").id(), full.id());
    assert_eq!(f.up.count("/fb/b"), 1);
    assert!(f.get("/fb/c").await.expect(200, "MISS").is_shell());
    let full = f.ask(Ask::get("/fb/c").agent("Twitterbot/1.0")).await.expect(200, "MISS");
    assert_eq!(f.get("/fb/c").await.expect(200, "HIT").id(), full.id());
}

/// B13.168, B13.169, B13.172: who is a bot.
#[tokio::test]
async fn who_is_a_bot() {
    let f = Fixture::start().await;
    let long = "(.*)+$ [a-z]* \\ ( ".repeat(500);
    let cases = [
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", true),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", true),
        ("facebookexternalhit/1.1", true),
        ("Mozilla/5.0 (Applebot/0.1; +http://www.apple.com/go/applebot)", true),
        ("DuckDuckBot/1.1", true),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", true),
        ("LinkedInBot/1.0", true),
        ("WhatsApp/2.23", true),
        ("Mozilla/5.0 (compatible; Yeti/1.1; +http://naver.me/spd)", true),
        ("Mozilla/5.0 (compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot)", true),
        ("Mozilla/5.0 (compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)", true),
        ("Mozilla/5.0 (compatible; Claude-SearchBot/1.0; +https://www.anthropic.com)", true),
        ("DuckAssistBot/1.2; (+http://duckduckgo.com/duckassistbot.html)", true),
        ("GoogleOther", true),
        ("Mozilla/5.0 (Linux; Android 6.0; CUBOT MAX) Chrome/72.0.3626.121 Mobile Safari/537.36", false),
        ("Mozilla/5.0 (iPad; CPU OS 6_1_3 like Mac OS X) Mobile/10B329 [Pinterest/iOS]", false),
        ("Mozilla/5.0 (Linux; Android 10; wv) YandexSearch/7.52 YandexSearchBrowser/7.52", false),
        ("gOOGLEbOT", true),
        ("curl/8.5.0", false),
        (PERSON, false),
        ("GPTBot/1.0", false),
        ("", false),
        (&long, false),
    ];
    for (i, (agent, bot)) in cases.iter().enumerate() {
        let answer = f.ask(Ask::get(format!("/fb/a{i}")).agent(agent)).await.expect(200, "MISS");
        assert_eq!((answer.is_page(), answer.is_shell()), (*bot, !bot), "{agent:.60}");
    }
    assert!(f.ask(Ask::get("/fb/none")).await.expect(200, "MISS").is_shell(), "no user agent");
    f.ask(Ask::head("/fb/head").agent(GOOGLEBOT)).await.expect(200, "MISS");
    assert_eq!(f.up.count("/fb/head"), 1);
}
