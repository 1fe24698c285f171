//! Visitors: what they ask for, and what they must be answered.

use std::sync::Arc;

use http::request::Parts;
use http_body_util::BodyExt as _;
use perennial::parts::key::encode::decode_path;
use perennial::parts::key::url::data_url;
use tests::rng::Rng;

use crate::gate::{ACTOR, ActorId, Sim};
use crate::history::Visit;
use crate::node::Node;
use crate::plan::Plan;
use crate::upstream::PATHS;

/// In everything a visitor sends besides the path, and so in nothing that is stored.
pub(crate) const MARK: &str = "mark-of-a-visitor";

/// What a visitor asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) data: bool,
    pub(crate) head: bool,
    /// The entity tag of an answer that the visitor has kept.
    pub(crate) has: Option<String>,
    pub(crate) bot: bool,
}

impl Wish {
    pub(crate) fn of(path: &str) -> Self {
        let path = path.to_owned();
        Self { path, query: String::new(), data: false, head: false, has: None, bot: true }
    }

    /// Something that visitors ask for; `strangers` ask for what there is not.
    pub(crate) fn random(rng: &mut Rng, plan: &Plan) -> Self {
        let mut wish = Self::of(PATHS[*rng.pick(&plan.paths)].0);
        if plan.strangers && rng.permille(400) {
            wish.path = format!("/blog/x{}", rng.below(40));
        }
        if wish.path == "/list" && rng.permille(500) {
            wish.query = format!("page={}", rng.between(1, 2));
        }
        wish.data = rng.permille(250);
        wish.head = rng.permille(80);
        wish.bot = rng.permille(700);
        wish
    }

    fn request(&self, build: &str) -> Parts {
        let target = match self.data {
            true => data_url("", build, &self.path),
            false => self.path.clone(),
        };
        let request = http::Request::builder()
            .method(if self.head { "HEAD" } else { "GET" })
            .uri(format!("{target}?{}&x={MARK}", self.query))
            .header("host", format!("{MARK}.example"))
            .header("cookie", format!("session={MARK}"))
            .header("x-forwarded-host", MARK)
            .header("user-agent", if self.bot { "googlebot" } else { MARK });
        let request = match &self.has {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        request.body(()).expect("a request").into_parts().0
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.head.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// One visitor's request, from its arrival to its answer.
pub(crate) async fn visit(sim: Sim, node: Arc<Node>, actor: ActorId, wish: Wish) {
    arrive(&sim, &node, actor, &wish);
    let parts = wish.request(&node.build);
    let reply = ACTOR.scope(actor, node.serve.handle(&parts)).await;
    let (head, body) = reply.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let answer = Answer { status: head.status.as_u16(), head: head.headers, body };
    let mut world = sim.lock();
    if world.nodes[node.id].dead {
        return;
    }
    world.waiting();
    let Some(mut visit) = world.history.visits.remove(&actor) else { return };
    visit.faulted |= node.is_struggling();
    world.answered(actor, &visit, answer);
}

fn arrive(sim: &Sim, node: &Node, actor: ActorId, wish: &Wish) {
    let segments = decode_path(&wish.path).expect("a path");
    let site = node.engine.site();
    let page = site.candidates(&segments, Some(&wish.query)).next().expect("a route");
    let mut world = sim.lock();
    let place = world.store.place(&node.build, page.key());
    let always = !["/strict", "/hard", "/event"].iter().any(|path| wish.path.starts_with(path));
    let servable = always && world.store.is_servable(&place);
    let began = world.number();
    let visit = Visit {
        node: node.id,
        build: node.build.clone(),
        path: wish.path.clone(),
        query: wish.query.clone(),
        place,
        data: wish.data,
        head: wish.head,
        conditional: wish.has.is_some(),
        began,
        began_ms: world.now,
        servable,
        faulted: node.is_struggling(),
        unchecked: false,
        waited_ms: 0,
    };
    world.say(|| format!("n{} #{actor} comes: {wish:?}", node.id));
    world.history.visits.insert(actor, visit);
}
