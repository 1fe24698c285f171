//! Publishers, and the queue's deliveries.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use http_body_util::BodyExt as _;
use perennial::parts::key::tags::{SITE_TAG, path_tag, route_tag, user_tag};
use tests::rng::Rng;

use crate::gate::{ACTOR, ActorId, Sim};
use crate::history::{Aim, Invalidation};
use crate::mistake::Mistake;
use crate::node::{Node, SECRET};
use crate::plan::Plan;
use crate::upstream::PATHS;
use crate::world::Message;

/// What a publisher asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    aim: Aim,
    path: Option<String>,
    tag: String,
    query: String,
}

impl Order {
    pub(crate) fn random(rng: &mut Rng, plan: &Plan) -> Self {
        let path = PATHS[*rng.pick(&plan.paths)].0.to_owned();
        let aims =
            [(Aim::Shown, "now"), (Aim::Shown, "now"), (Aim::Stale, "stale"), (Aim::Deleted, "delete")];
        let (aim, mode) = *rng.pick(&aims);
        let (name, value, tag, is_path) = match rng.below(8) {
            0 => {
                let tag = *rng.pick(&["red", "green", "blue"]);
                ("tag", tag.to_owned(), user_tag(tag), false)
            }
            1 if aim != Aim::Deleted => {
                ("route", "/blog/{slug}".to_owned(), route_tag("/blog/{slug}"), false)
            }
            2 if aim != Aim::Deleted => ("site", "true".to_owned(), SITE_TAG.to_owned(), false),
            _ => ("path", path.clone(), path_tag(&path), true),
        };
        let only = if rng.permille(100) { "&only_generated=true" } else { "" };
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let query = format!("secret={SECRET}&mode={mode}&{name}={value}{only}");
        // What is found by tag is rendered by the queue, after the answer; but deleted before.
        let aim = if is_path || aim == Aim::Deleted { aim } else { Aim::Stale };
        Self { aim, path: is_path.then_some(path), tag, query }
    }

    fn of(aim: Aim, mode: &str, path: Option<&str>, tag: String, target: &str) -> Self {
        let query = format!("secret={SECRET}&mode={mode}&{target}");
        Self { aim, path: path.map(str::to_owned), tag, query }
    }

    /// Renders a page before it is answered.
    pub(crate) fn now(path: &str) -> Self {
        Self::of(Aim::Shown, "now", Some(path), path_tag(path), &format!("path={path}"))
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::of(Aim::Deleted, "delete", Some(path), path_tag(path), &format!("path={path}"))
    }

    pub(crate) fn stale_tag(tag: &str) -> Self {
        Self::of(Aim::Stale, "stale", None, user_tag(tag), &format!("tag={tag}"))
    }

    /// The page that it names.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

/// One publisher's call, from its arrival to its answer.
pub(crate) async fn publish(sim: Sim, node: Arc<Node>, actor: ActorId, order: Order) {
    let place = {
        let mut world = sim.lock();
        let began = world.number();
        world.say(|| format!("n{} #{actor} publishes: {order:?}", node.id));
        let Order { aim, path, tag, .. } = order.clone();
        let build = node.build.clone();
        let told = Invalidation { aim, build, path, tag, began, acknowledged: None };
        world.history.invalidations.push(told);
        world.history.invalidations.len() - 1
    };
    let request = http::Request::get(format!("/api/revalidate?{}", order.query)).body(()).expect("a request");
    let parts = request.into_parts().0;
    let response = ACTOR.scope(actor, node.revalidate.handle(&parts, &[])).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body in memory").to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut world = sim.lock();
    if world.nodes[node.id].dead {
        return;
    }
    world.history.under_way.remove(&actor);
    let moment = world.number();
    // Not the id, which is made of randomness.
    world.say(|| format!("n{} #{actor} is told {status}", node.id));
    *world.tally.answers.entry(format!("{status} to publishers")).or_default() += 1;
    let left_alone = body.contains("\"generated\":false");
    if (status == 200 || status == 202) && !left_alone {
        world.history.invalidations[place].acknowledged = Some(moment);
        world.check_order(place);
    } else if status < 500 && !left_alone {
        world.breaks(6, format!("a publisher's call is answered {status}: {body}"));
    }
}

/// One delivery of the queue.
pub(crate) async fn deliver(sim: Sim, node: Arc<Node>, actor: ActorId, messages: Vec<Message>) {
    let mut event = SqsEvent::default();
    let ignored = |message: &&Message| {
        let of_other = *message.build != *node.build && !message.build.is_empty();
        of_other && sim.lock().has(Mistake::AcknowledgesOtherBuilds)
    };
    event.records = messages
        .iter()
        .filter(|message| !ignored(message))
        .map(|message| {
            let mut record = SqsMessage::default();
            record.message_id = Some(message.id.to_string());
            record.receipt_handle = record.message_id.clone();
            record.attributes.insert("ApproximateReceiveCount".to_owned(), message.deliveries.to_string());
            record.body = Some(message.text.clone());
            record
        })
        .collect();
    let answer = ACTOR.scope(actor, node.regenerate.handle(&event)).await;
    let mut world = sim.lock();
    if world.nodes[node.id].dead {
        return;
    }
    world.history.under_way.remove(&actor);
    world.number();
    let again: Vec<_> =
        answer.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect();
    world.say(|| format!("n{} #{actor} has worked, again: {again:?}", node.id));
    // What is delivered again stays hidden until its time.
    world.queue.retain(|message| {
        let delivered = messages.iter().any(|of| of.id == message.id);
        !delivered || again.contains(&message.id.to_string())
    });
}
