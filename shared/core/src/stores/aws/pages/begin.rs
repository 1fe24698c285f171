//! Grants leases with conditional writes of a slot's item.
//!
//! The conditions are [`Slot::may_begin`](crate::ports::pages::slot::Slot::may_begin) in DynamoDB's language. After a refusal,
//! `may_begin` itself finds the reason.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::freshness::CLOCK_SKEW_MAX;
use crate::key::encode::hex;
use crate::key::page_key::PageKey;
use crate::ports::error::StoreError;
use crate::ports::pages::slot::{LeaseDecision, LeaseRequest, supersedes};
use crate::ports::pages::urgency::Urgency;
use crate::record::page_record::Ticket;
use crate::stores::aws::dynamodb::{Request, ReturnValue};
use crate::stores::aws::errors::{Failure, write_error};
use crate::stores::aws::item::{Item, n, number, s};
use crate::stores::aws::pages::item::SlotItem;
use crate::stores::aws::pages::table::{LISTED, PagesTable, UNCOMMITTED_KEPT_MS, listed_item, write_if};

/// The result of a conditional update: the new item, or the item that refused the update.
enum Changed {
    Yes(Item),
    No(Item),
}

/// A random name for one call. A repetition of the call recognises its first write by the name.
fn holder() -> String {
    let mut bytes = [0; 8];
    // Without randomness a lost answer costs the time of the lease, like a renderer that died.
    let _ = getrandom::fill(&mut bytes);
    hex(&bytes)
}

/// The condition [`Slot::is_current`](crate::ports::pages::slot::Slot::is_current).
pub(super) const IS_CURRENT: &str = "ticket = :ticket AND (attribute_not_exists(shown) OR shown < :ticket)";

/// The condition [`Slot::is_forgotten`](crate::ports::pages::slot::Slot::is_forgotten), and that the lease was given
/// back before: a repetition of this call must not forget a later first ticket.
const IS_FORGOTTEN: &str = "ticket = :first AND attribute_not_exists(shown) AND attribute_not_exists(failed_ticket) \
                            AND attribute_not_exists(keep) AND attribute_not_exists(lease_until)";

const LEASE_HAS_ENDED: &str = "(attribute_not_exists(lease_until) OR lease_until <= :now OR lease_from > :skewed \
                               OR ticket <= shown OR ticket <= :seen)";

const BACK_OFF_HAS_ENDED: &str = "(attribute_not_exists(retry_at) OR retry_at <= :now OR failed_at > :skewed \
                                  OR failed_ticket <= shown OR failed_ticket <= :seen)";

/// The condition of a grant, [`Slot::may_begin`](crate::ports::pages::slot::Slot::may_begin).
fn condition(request: &LeaseRequest) -> String {
    let mut all = vec![];
    if request.seen.is_some() {
        all.push("(attribute_not_exists(shown) OR shown <= :seen)".to_owned());
    }
    match request.urgency {
        Urgency::Overriding => {}
        Urgency::Demand(_) => all.push(format!("(attribute_not_exists(demanded) OR {LEASE_HAS_ENDED})")),
        Urgency::Missing => all.push(LEASE_HAS_ENDED.to_owned()),
        Urgency::Ordinary => {
            all.push(LEASE_HAS_ENDED.to_owned());
            // A back-off holds only for a page with a record. A caller with a generation above zero has seen a record, even
            // if the slot does not know of it.
            match request.seen {
                Some(0) => {}
                Some(_) => all.push(BACK_OFF_HAS_ENDED.to_owned()),
                None => all.push(format!("(attribute_not_exists(shown) OR {BACK_OFF_HAS_ENDED})")),
            }
        }
    }
    all.join(" AND ")
}

/// A conditional update that grants a lease. A refusal returns the item that refused it.
async fn change(table: &PagesTable, page: &PageKey, update: Request) -> Result<Changed, StoreError> {
    let update = update.return_values(ReturnValue::AllNew).return_refusing_item();
    match update.send().await {
        Ok(done) => return Ok(Changed::Yes(done.attributes.unwrap_or_default())),
        Err(Failure::Refused(Some(item))) => return Ok(Changed::No(item)),
        Err(Failure::Refused(None)) => {}
        Err(error) => return Err(write_error("dynamodb:UpdateItem", "ask for a lease", &error)),
    }
    // The server has not returned the item.
    let key = table.keys().slot(page);
    let mut found = table.reads.get_all(vec![key.clone()]).await?;
    Ok(Changed::No(found.take(&key).unwrap_or_default()))
}

pub(super) async fn grant(
    table: &PagesTable,
    page: &PageKey,
    request: LeaseRequest,
) -> Result<LeaseDecision, StoreError> {
    let granted = request_above(table, page, request, request.seen.unwrap_or(0)).await?;
    let LeaseDecision::Granted(ticket) = granted else { return Ok(granted) };
    let shown = match request.seen {
        Some(seen) => seen,
        // The first ticket, and the caller has not looked for a record.
        None if ticket == 1 => stored_generation(table, page).await?,
        None => 0,
    };
    if supersedes(ticket, shown) {
        return Ok(granted);
    }
    // The slot's item was lost, and its tickets began again below the shown generation. Leases of such tickets do not count.
    let update = table
        .update(table.keys().slot(page))
        .update_expression("SET ticket = :shown REMOVE lease_from, lease_until")
        .condition_expression("ticket < :shown")
        .expression_attribute_values(":shown", n(shown));
    table.update_if(update).await?;
    request_above(table, page, request, shown).await
}

async fn stored_generation(table: &PagesTable, page: &PageKey) -> Result<Ticket, StoreError> {
    let key = table.keys().record(page);
    let found = table.reads.get_all(vec![key.clone()]).await?;
    Ok(found.get(&key).and_then(|item| number(item, "generation")).unwrap_or(0))
}

/// Requests a ticket above all earlier ones, and above `floor` if the slot knows of none.
async fn request_above(
    table: &PagesTable,
    page: &PageKey,
    request: LeaseRequest,
    floor: Ticket,
) -> Result<LeaseDecision, StoreError> {
    let holder = holder();
    let expires_s = (request.now.0 + UNCOMMITTED_KEPT_MS) / 1000;
    let condition = condition(&request);
    let demanded = request.urgency.demanded();
    let set_demanded = if demanded > 0 { ", demanded = :demanded" } else { " REMOVE demanded" };
    let mut update = listed_item(table.update(table.keys().slot(page)), &table.keys(), page)
        .update_expression(format!(
            "{LISTED}, ticket = if_not_exists(ticket, :floor) + :one, lease_from = :now, lease_until = :until, \
             holder = :holder, expires = if_not_exists(keep, :expires){set_demanded}"
        ))
        .expression_attribute_values(":floor", n(floor))
        .expression_attribute_values(":one", n(1))
        .expression_attribute_values(":now", n(request.now.0))
        .expression_attribute_values(":until", n(request.now.plus(request.lease).0))
        .expression_attribute_values(":holder", s(&*holder))
        .expression_attribute_values(":expires", n(expires_s));
    if demanded > 0 {
        update = update.expression_attribute_values(":demanded", n(demanded));
    }
    if !condition.is_empty() {
        if condition.contains(":seen") {
            update = update.expression_attribute_values(":seen", n(request.seen.unwrap_or(0)));
        }
        if condition.contains(":skewed") {
            update = update.expression_attribute_values(":skewed", n(request.now.plus(CLOCK_SKEW_MAX).0));
        }
        update = update.condition_expression(condition);
    }
    match change(table, page, update).await? {
        Changed::Yes(item) => Ok(LeaseDecision::Granted(number(&item, "ticket").unwrap_or(floor + 1))),
        Changed::No(item) => Ok(why(SlotItem::read(&item), &request, &holder)),
    }
}

pub(super) async fn exchange(
    table: &PagesTable,
    page: &PageKey,
    ticket: Ticket,
    lease: Duration,
    now: Millis,
) -> Result<Option<Ticket>, StoreError> {
    let (holder, next) = (holder(), ticket + 1);
    let update = table
        .update(table.keys().slot(page))
        .update_expression(
            "SET ticket = :next, lease_from = :now, lease_until = :until, holder = :holder REMOVE demanded",
        )
        .condition_expression(IS_CURRENT)
        .expression_attribute_values(":ticket", n(ticket))
        .expression_attribute_values(":next", n(next))
        .expression_attribute_values(":now", n(now.0))
        .expression_attribute_values(":until", n(now.plus(lease).0))
        .expression_attribute_values(":holder", s(&*holder));
    Ok(match change(table, page, update).await? {
        Changed::Yes(_) => Some(next),
        Changed::No(item) => (SlotItem::read(&item).holder == Some(holder)).then_some(next),
    })
}

/// Ends the lease of a ticket, if the ticket is the newest.
pub(super) async fn give_back(table: &PagesTable, page: &PageKey, ticket: Ticket) -> Result<(), StoreError> {
    let update = table
        .update(table.keys().slot(page))
        .update_expression("REMOVE lease_from, lease_until")
        .condition_expression("ticket = :ticket")
        .expression_attribute_values(":ticket", n(ticket));
    table.update_if(update).await.map(drop)
}

/// Removes the slot of a page of which the store knows nothing but its first ticket.
pub(super) async fn forget(table: &PagesTable, page: &PageKey) -> Result<(), StoreError> {
    let delete = table.table.delete_item(table.keys().slot(page));
    let delete = delete.condition_expression(IS_FORGOTTEN).expression_attribute_values(":first", n(1));
    write_if(delete, "dynamodb:DeleteItem", "forget a page").await.map(drop)
}

/// The reason of a refused grant; or the grant itself, if only its answer was lost.
fn why(there: SlotItem, request: &LeaseRequest, holder: &str) -> LeaseDecision {
    let ours = there.holder.as_deref() == Some(holder);
    let generation = there.shown.max(request.seen.unwrap_or(0));
    let slot = there.slot(generation);
    if ours {
        return LeaseDecision::Granted(slot.ticket);
    }
    // If nothing refuses the request by now, the caller reads the page again.
    slot.may_begin(generation, request).err().unwrap_or(LeaseDecision::RecordChanged)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ports::suite::pages::kit::lease_request_and_record;

    fn item(fields: &[(&str, u64)]) -> SlotItem {
        let item: Item = fields.iter().map(|&(name, value)| (name.to_owned(), n(value))).collect();
        SlotItem::read(&item)
    }

    #[test]
    fn a_refusal_says_why() {
        let (request, _) = lease_request_and_record();
        let now = request.now.0;
        let leased = item(&[("ticket", 2), ("lease_from", now), ("lease_until", now + 5)]);
        assert!(
            matches!(why(leased, &request, "x"), LeaseDecision::Busy(lease) if (lease.ticket, lease.until.0) == (2, now + 5))
        );
        let stale = LeaseRequest { seen: Some(1), ..request };
        let failed = item(&[
            ("ticket", 2),
            ("shown", 1),
            ("failed_ticket", 2),
            ("failed_at", now),
            ("retry_at", now + 9),
        ]);
        assert!(matches!(why(failed, &stale, "x"), LeaseDecision::BackedOff { until } if until.0 == now + 9));
        let newer = item(&[("ticket", 2), ("shown", 2)]);
        assert!(matches!(why(newer, &stale, "x"), LeaseDecision::RecordChanged));
    }

    #[test]
    fn a_lost_answer_is_recognised() {
        let (request, _) = lease_request_and_record();
        let fields = [("ticket", 7), ("lease_from", request.now.0), ("lease_until", request.now.0 + 5)];
        let mut item: Item = fields.map(|(name, value)| (name.to_owned(), n(value))).into();
        item.insert("holder".into(), s("me"));
        assert!(matches!(why(SlotItem::read(&item), &request, "me"), LeaseDecision::Granted(7)));
        assert!(matches!(why(SlotItem::read(&item), &request, "you"), LeaseDecision::Busy(_)));
        assert_ne!(holder(), holder());
    }

    /// Whether a condition holds for an item by DynamoDB's rules. A comparison with an absent attribute does not hold.
    fn holds(condition: &str, item: &Item, values: &HashMap<&str, u64>) -> bool {
        let spaced = condition.replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let held = any_holds(&mut words, item, values);
        assert_eq!(words.next(), None, "{condition}");
        held
    }

    type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

    fn any_holds(words: &mut Words<'_>, item: &Item, values: &HashMap<&str, u64>) -> bool {
        let mut any = all_hold(words, item, values);
        while words.next_if_eq(&"OR").is_some() {
            any |= all_hold(words, item, values);
        }
        any
    }

    fn all_hold(words: &mut Words<'_>, item: &Item, values: &HashMap<&str, u64>) -> bool {
        let mut all = one_holds(words, item, values);
        while words.next_if_eq(&"AND").is_some() {
            all &= one_holds(words, item, values);
        }
        all
    }

    fn one_holds(words: &mut Words<'_>, item: &Item, values: &HashMap<&str, u64>) -> bool {
        let mut word = || words.next().expect("a word");
        match word() {
            "(" => {
                let held = any_holds(words, item, values);
                assert_eq!(words.next(), Some(")"));
                held
            }
            "attribute_not_exists" => {
                let (open, name, close) = (word(), word(), word());
                assert_eq!((open, close), ("(", ")"));
                !item.contains_key(name)
            }
            left => {
                let value = |name: &str| values.get(name).copied().or_else(|| number(item, name));
                let (comparison, right) = (word(), value(word()));
                value(left).zip(right).is_some_and(|(left, right)| match comparison {
                    "=" => left == right,
                    "<" => left < right,
                    "<=" => left <= right,
                    ">" => left > right,
                    other => panic!("{other}"),
                })
            }
        }
    }

    /// All slots with a few tickets and instants.
    fn slots(now: u64) -> Vec<Item> {
        let far = now + 60_000;
        let times: [&[(&str, u64)]; 4] = [
            &[],
            &[("from", now), ("until", now + 5)],
            &[("from", now - 9), ("until", now)],
            &[("from", far), ("until", far + 5)],
        ];
        let mut slots = vec![Item::new()];
        for (ticket, shown, failed) in (0..64).map(|i| (i % 4, i / 4 % 4, i / 16)) {
            for (lease, failure, demanded) in (0..32).map(|i| (times[i % 4], times[i / 4 % 4], i > 15)) {
                let mut item = Item::from([("ticket".to_owned(), n(ticket))]);
                if demanded {
                    item.insert("demanded".into(), n(1));
                }
                if shown > 0 {
                    item.insert("shown".into(), n(shown));
                    item.insert("keep".into(), n(1));
                }
                item.extend(lease.iter().map(|(name, at)| (format!("lease_{name}"), n(*at))));
                if let [(_, from), (_, until)] = failure {
                    let fields = [("failed_ticket", failed), ("failed_at", *from), ("retry_at", *until)];
                    item.extend(fields.map(|(name, value)| (name.to_owned(), n(value))));
                }
                slots.push(item);
            }
        }
        slots
    }

    #[test]
    fn conditions_say_what_the_slot_says() {
        let (request, _) = lease_request_and_record();
        let now = request.now.0;
        let urgencies = [Urgency::Ordinary, Urgency::Missing, Urgency::Demand(1), Urgency::Overriding];
        for (item, seen, urgency) in slots(now).iter().flat_map(|item| {
            [None, Some(0), Some(1), Some(2), Some(3)]
                .into_iter()
                .flat_map(move |seen| urgencies.map(|urgency| (item, seen, urgency)))
        }) {
            let request = LeaseRequest { seen, urgency, ..request };
            let there = SlotItem::read(item);
            let generation = there.shown.max(seen.unwrap_or(0));
            let said = there.slot(generation).may_begin(generation, &request);
            let values = [
                (":now", now),
                (":skewed", request.now.plus(CLOCK_SKEW_MAX).0),
                (":seen", seen.unwrap_or(0)),
            ];
            let condition = condition(&request);
            let granted = condition.is_empty() || holds(&condition, item, &HashMap::from(values));
            assert_eq!(granted, said.is_ok(), "{request:?} {item:?}: {said:?}");
            if let Err(refusal) = said {
                assert_eq!(
                    format!("{:?}", why(SlotItem::read(item), &request, "me")),
                    format!("{refusal:?}")
                );
            }
        }
        for (item, ticket) in slots(now).iter().flat_map(|item| (1..4).map(move |ticket| (item, ticket))) {
            let there = SlotItem::read(item);
            let shown = there.shown;
            let slot = there.slot(0);
            let current = holds(IS_CURRENT, item, &HashMap::from([(":ticket", ticket)]));
            assert_eq!(current, slot.is_current(ticket, shown), "{ticket} {item:?}");
            let given_back = !item.contains_key("lease_until");
            let forgotten = holds(IS_FORGOTTEN, item, &HashMap::from([(":first", 1)]));
            let failed = item.contains_key("failed_ticket");
            assert_eq!(forgotten, given_back && !failed && slot.is_forgotten(1, shown), "{item:?}");
        }
    }
}
